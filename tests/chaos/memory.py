"""Memory of a process that goes through many settings."""

import dataclasses
import gc
import pathlib

from tests.chaos import programs
from tests.chaos.result import Tally

KIND = "memory over learning rates"
_WARM_UP = 3
MEBIBYTES_EACH = 5.0
BOUNDED = "bounded"


def resident_mebibytes() -> float:
    """Memory that this process occupies."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise LookupError("VmRSS")


def growth(chosen: programs.Program, folder: pathlib.Path, number: int) -> float:
    """MiB by which each of so many further learning rates makes the process grow."""
    for i in range(_WARM_UP + number):
        if i == _WARM_UP:
            gc.collect()
            before = resident_mebibytes()
        rate = f"--learning_rate={0.01 + i / 10_000:g}"
        outcome = programs.run(dataclasses.replace(chosen, arguments=(*chosen.arguments, rate)), folder)
        assert outcome.status == 0, outcome.error
    gc.collect()
    return (resident_mebibytes() - before) / number


def try_settings(tally: Tally, chosen: programs.Program, folder: pathlib.Path, number: int = 20) -> float:
    """Tallies whether the growth is bounded; returns it."""
    grown = growth(chosen, folder, number)
    tally.add(chosen.name, BOUNDED if grown < MEBIBYTES_EACH else f"{grown:.1f} MiB a setting", (BOUNDED,))
    return grown
