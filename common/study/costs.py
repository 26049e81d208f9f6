"""How long runs take on which machine: from rates measured on it, or from a stated one. Loads no TensorFlow.

A paper's own estimate knows two cores of one machine, and everything that a run does: training, measurements,
start-up. It is scaled by how much faster or slower the machine at hand trains the run's network: by its
floating-point operations, over the rate (operations a second) at which the machine computes such networks.

`python -m launch.benchmark --costs` measures these rates and keeps them in the user's cache folder.
"""

import dataclasses
import heapq
import json
import math
import os
import pathlib
import platform
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..machine import usable_cores
from .files import write_json
from .progress import duration
from .runs import Study
from .setting import without

# Operations a second where nothing was measured: of a core in a convolution, and a third of what a mid-range
# GPU promises in float32. Stated, not measured.
STATED_RATES = {"CPU": 30e9, "GPU": 5e12}
# What a GPU needs for the hundreds of operations of a step, however small they are; stated as well.
_GPU_STEP_SECONDS = 2e-3
_START_SECONDS = 10.0  # importing and tracing: the same on every machine
_NETWORK_SETTINGS = ("model", "network", "width", "depth", "dataset", "batch_norm")
_BESIDE_A_NETWORK = ("sam_radius", "distillation", "teacher", "teacher_width", "teacher_seed", "warm_start")
MEASURED = "measured on this machine"
OWN = "an estimate for two cores"
STATED = "an estimate: from the operations of the networks at a stated {rate:g} billion a second{floor}"


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a run computes on.

    Args:
        kind: "CPU" or "GPU".
        cores: Its processor cores.
    """

    kind: str = "CPU"
    cores: int = dataclasses.field(default_factory=lambda: len(usable_cores()))

    @property
    def name(self) -> str:
        """The name under which its rates are kept."""
        return self.kind if self.kind == "GPU" else f"CPU {platform.machine()}"

    @property
    def stated_rate(self) -> float:
        """Operations a second, where nothing was measured."""
        return STATED_RATES[self.kind] * (self.cores if self.kind == "CPU" else 1)


@dataclasses.dataclass(frozen=True)
class Price:
    """How long a run takes, and whether by a measured rate or by the stated one; None: by neither."""

    seconds: float
    measured: bool | None


def cache_path() -> pathlib.Path:
    """Returns the file of the rates, in the user's cache folder."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(os.path.expanduser(root)) / "irreproducibility" / "costs.json"


def read_cache() -> dict[str, dict[str, float]]:
    """Returns what is kept: machine or "operations" -> network -> number; nothing from a damaged file."""
    try:
        kept = json.loads(cache_path().read_text())
    except (OSError, ValueError):
        return {}
    groups = kept.items() if isinstance(kept, dict) else ()
    return {
        group: {
            name: value
            for name, value in values.items()
            if isinstance(value, int | float) and 0 < value < math.inf
        }
        for group, values in groups
        if isinstance(values, dict)
    }


def keep(group: str, values: dict[str, float]) -> bool:
    """Adds numbers to a group of the cache, and returns whether it could be written."""
    kept = read_cache()
    kept[group] = kept.get(group, {}) | values
    try:
        cache_path().parent.mkdir(parents=True, exist_ok=True)
        write_json(cache_path(), kept)
    except OSError:
        return False
    return True


def price(study: Study, settings: Any, machine: Machine) -> Price:
    """Returns how long a run takes on a machine.

    Args:
        study: Its paper.
        settings: Resolved settings.
        machine: Where it would run.
    """
    table, usual = study.estimate(settings), _usual_seconds(study, settings)
    if usual is None:  # scalar data, closed forms: no network that a benchmark measures
        return Price(table, None)
    rate = _measured_rate(settings, machine)
    seconds = _operations(study, settings) / (rate or machine.stated_rate)
    if machine.kind == "GPU" and rate is None:
        models = 1 if study.images else 2 * settings.pairs
        seconds = max(seconds, _GPU_STEP_SECONDS / (settings.batch_size * models))
    start = min(table, _START_SECONDS)
    return Price(start + (table - start) * seconds / usual, rate is not None)


def _usual_seconds(study, settings):
    """Seconds that the paper's estimate has for an example in training; None if it takes no steps."""
    name = "epochs" if study.images else "examples_log2"
    if study.images and not settings.of_images:
        return None
    # What is counted by its operations alone: no second pass, no teacher, no donor.
    beside = [name for name in _BESIDE_A_NETWORK if hasattr(settings, name)]
    settings = without(settings, beside)
    # The second epoch: an estimate may end where a run is expected to have fitted.
    count = 1 if study.images else settings.examples_log2
    one, two = (study.estimate(dataclasses.replace(settings, **{name: n})) for n in (count, count + 1))
    return (two - one) / (settings.train_size if study.images else 2 * settings.pairs * 2**count) or None


def _operations(study, settings):
    """Operations of an example in training; counted once for each network."""
    values = {name: getattr(settings, name) for name in _NETWORK_SETTINGS if hasattr(settings, name)}
    key = " ".join([study.name, *(f"{name}={value}" for name, value in values.items())])
    if (known := read_cache().get("operations", {}).get(key)) is not None:
        return known
    network = study.experiment().network(settings)
    from ..training.operations import training_operations

    found = training_operations(network)
    keep("operations", {key: found})
    return found


def _measured_rate(settings, machine):
    """The machine's rate for the most similar network that was measured on it; None if there is none."""
    name = getattr(settings, "network", getattr(settings, "model", ""))
    width = getattr(settings, "width", None) or 0
    similar = []  # (distance in width, rate)
    for network, rate in read_cache().get(machine.name, {}).items():
        family, _, size = network.partition(" ")
        # wide_resnet_10 and densenet121 are of the families wide_resnet and densenet, wide is none's.
        if re.fullmatch(rf"{re.escape(family)}(_?\d+)?", name) and (size or "0").isdigit():
            similar.append((abs(int(size or 0) - width), rate * machine.cores))
    return min(similar)[1] if similar else None


def wall_seconds(seconds: Iterable[float], at_once: int) -> float:
    """Returns how long processes take, the longest first, if so many run at once."""
    places = [0.0] * at_once
    for one in sorted(seconds, reverse=True):
        heapq.heapreplace(places, places[0] + one)
    return max(places)


def source(prices: Sequence[Price], machine: Machine) -> str:
    """Returns where prices come from, as words."""
    if all(one.measured is None for one in prices):
        return OWN
    prices = [one for one in prices if one.measured is not None]
    measured = sum(bool(one.measured) for one in prices)
    if measured == len(prices):
        return MEASURED
    floor = f", at least {_GPU_STEP_SECONDS * 1e3:g} ms a step" if machine.kind == "GPU" else ""
    words = STATED.format(rate=machine.stated_rate / 1e9, floor=floor)
    return f"{measured} of {len(prices)} runs {MEASURED}; else {words}" if measured else words


def hours(seconds: float) -> str:
    """Returns a duration for a plan: seconds and minutes as they are, hours with one decimal."""
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else duration(seconds)
