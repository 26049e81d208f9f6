"""This process's place among the workers of a cluster: TF_CONFIG, or its Slurm step. Loads no TensorFlow."""

import dataclasses
import json
import os
from collections.abc import Iterable
from typing import TypeVar

from .errors import UserError

_Item = TypeVar("_Item")
_FIRST_PORT, _NUM_PORTS = 10_000, 20_000  # below those that systems give to outgoing connections
_PORTS_OF_A_STEP = 16  # one a task of a node, of which few have more GPUs
_PLACES_BETWEEN_STEPS = 33  # of 1,250: 37 steps of 33 jobs that follow each other


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
    """Reads this process's place as tf.distribute does; alone without multi_worker.

    TF_CONFIG names a cluster of workers, of which the first is the chief, or of one chief and workers; then
    the chief comes before them. Without it the tasks of a Slurm step are workers, the first is the chief.

    Args:
        strategy: One of `command_line.STRATEGIES`.

    Raises:
        UserError: --strategy=multi_worker without a usable TF_CONFIG or Slurm step.
    """
    if strategy != "multi_worker":
        return Worker()
    config = os.environ.get("TF_CONFIG")
    if not config:
        if "SLURM_STEP_NUM_TASKS" in os.environ:
            return Worker(int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_STEP_NUM_TASKS"]))
        raise _error("is not set, and this is no step of Slurm (srun)")
    try:
        config = json.loads(config)
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        members = {name: list(_checked(addresses)) for name, addresses in cluster.items()}
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError):
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


def in_tf_config() -> bool:
    """Whether the cluster is that of TF_CONFIG, rather than of a Slurm step."""
    return bool(os.environ.get("TF_CONFIG"))


def step_ports() -> int:
    """Returns the first of the ports of this Slurm step on a node.

    Jobs of near numbers and steps of one job have others.
    """
    step = int(os.environ.get("SLURM_STEP_ID", 0))
    place = int(os.environ["SLURM_JOB_ID"]) + _PLACES_BETWEEN_STEPS * step
    return _FIRST_PORT + place * _PORTS_OF_A_STEP % _NUM_PORTS


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
    advice = f"it must be like {form}; launch.workers sets it"
    return UserError(f"--strategy=multi_worker: TF_CONFIG {problem}; {advice}")
