"""This process's place among the workers of a cluster, from TF_CONFIG. Loads no TensorFlow."""

import dataclasses
import json
import os
from collections.abc import Iterable
from typing import TypeVar

from .errors import UserError

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True)
class Worker:
    """This process's place: worker `index` of `count`; worker 0 is the chief."""

    index: int = 0
    count: int = 1

    @property
    def chief(self) -> bool:
        """Whether this worker merges and writes the results."""
        return self.index == 0

    def share(self, items: Iterable[_Item]) -> list[_Item]:
        """Returns this worker's share of the items: every count-th one."""
        return list(items)[self.index :: self.count]


def current_worker(strategy: str) -> Worker:
    """Reads this process's place from TF_CONFIG, as tf.distribute does; alone without multi_worker.

    A cluster consists of workers, of which the first is the chief, or of one chief and workers; then the
    chief comes before them.

    Args:
        strategy: One of `command_line.STRATEGIES`.

    Raises:
        UserError: --strategy=multi_worker without a usable TF_CONFIG.
    """
    if strategy != "multi_worker":
        return Worker()
    config = os.environ.get("TF_CONFIG")
    if not config:
        raise _error("is not set")
    try:
        config = json.loads(config)
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        members = {name: list(_checked(addresses)) for name, addresses in cluster.items()}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _error("names no cluster, or no task in it") from None
    foreign = sorted({str(kind), *members} - {"chief", "worker"})
    if foreign:
        raise _error(f"names {foreign[0]!r}; only a chief and workers train")
    chiefs, workers = (len(members.get(name, ())) for name in ("chief", "worker"))
    if chiefs > 1:
        raise _error(f"has {chiefs} chiefs")
    if not 0 <= index < {"chief": chiefs, "worker": workers}[kind]:
        raise _error(f"gives this process the place of {kind} {index}, which its cluster does not have")
    return Worker(index + (chiefs if kind == "worker" else 0), chiefs + workers)


def _checked(addresses):
    """The addresses of a cluster's members of one kind.

    Raises:
        TypeError: They are no list of texts.
    """
    if not isinstance(addresses, list) or not all(isinstance(address, str) for address in addresses):
        raise TypeError
    return addresses


def _error(problem: str) -> UserError:
    form = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
    return UserError(f"--strategy=multi_worker: TF_CONFIG {problem}; it must be like {form}")
