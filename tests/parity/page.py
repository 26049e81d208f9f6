"""docs/parity.md: the checks with their greatest differences."""

import pathlib

from replications.smooth_interpolation.measure import full_float32
from tests.parity.checks import CHECKS, Check
from tests.parity.outputs import OfficialOutputs

PATH = pathlib.Path(__file__).parents[2] / "docs" / "parity.md"
_HEAD = """\
# Parity with the official code

The functions of this suite and the official PyTorch code of two papers were given the same images, weights
and random numbers. The official code's outputs were kept in files, and each line below is the greatest
difference between these and ours, over all entries. A tolerance is several times the difference on one CPU,
to leave room for another machine's rounding; 0 is exact.

"""
_TAIL = """
The networks were trained briefly on CIFAR-10 images, and both codes run in float32. Training is not compared,
nor are pictures. Classes are compared where the two largest logits are more than 0.001 apart.

`python -m tests.parity --data_dir=DIR --write_docs` writes this page. The files are not part of the
repository: tests/parity looks for them where the environment variable PARITY_DATA says, and is skipped
without it.
"""


def differences(official: OfficialOutputs) -> dict[str, float]:
    """Returns the greatest difference of every check, by its name."""
    with full_float32():
        return {check.name: float(check.difference(official)) for check in CHECKS}


def cells(check: Check) -> list[str]:
    """Returns what the page says of a check whatever the machine: all but the difference."""
    name = check.name.replace("_", " ")
    return [name, check.quantity, f"`{check.function}`", number(check.tolerance), check.code]


def number(value: float) -> str:
    """Returns a difference with two digits, 0 where there is none."""
    return f"{value:.2g}"


def text(found: dict[str, float]) -> str:
    """Returns the page for differences by the checks' names."""
    rows = [
        ["check", "quantity", "official function", "greatest difference", "tolerance", "official code"],
        ["---"] * 6,
    ]
    for check in CHECKS:
        *about, tolerance, code = cells(check)
        rows.append([*about, number(found[check.name]), tolerance, code])
    return _HEAD + "".join(f"| {' | '.join(row)} |\n" for row in rows) + _TAIL
