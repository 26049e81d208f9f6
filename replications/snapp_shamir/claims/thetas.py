"""What claims are judged on: one value per theta.

A seed draws a theta, and sixteen pairs of models that have it in common. So thetas are the sample: each gives
the mean over its pairs, as the paper plots it, and effects are ratios of these means. Pairs with a dead model
are left out, and described beside: one of them can hold nine tenths of the mean of 16.
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from common.study.claims import Evidence, Table
from common.study.decisions import described
from common.study.effects import Effect, level
from common.study.run_folders import Run
from common.study.verdicts import Outcome, number
from replications.snapp_shamir.results import DISTINCT, IDENTICAL, living, measured

Cell = dict  # settings of a run, without its seed
Comparison = tuple[Cell, Cell]  # what stands above and below the line

NEW = 1  # the first seed that nobody looked at when these checks were written
NEW_WIDE = 8  # of figure 8, whose linear model has eight
NEW_TOWERS = 8  # of ReLU towers, which have seeds up to 7
_WHY = "an order of magnitude of training on 2^26 examples"
ABSOLUTE = {"laptop": _WHY, "smoke": _WHY}

# How the paper's words are read. "Orders of magnitude" are at least two, "not far behind" is less than one,
# and a level is "retained", or of "equal order", within a factor of 3.
ORDERS = 100.0
ONE_ORDER = 10.0
SAME_ORDER = 3.0
# "Substantially" better or worse is at most half the loss, or twice.
SUBSTANTIAL = 2.0
# "Some" pairs are more than one in a hundred.
SOME = 0.01


def at(z: int, *places: Cell) -> tuple[Cell, ...]:
    """The settings of cells at a window, a tuple."""
    return tuple(place | {"shuffle_log2": z} for place in places)


def cell_at(z: int, *parts: Cell) -> Cell:
    """The settings of one cell, put together of parts, at a window."""
    return {name: value for part in parts for name, value in part.items()} | {"shuffle_log2": z}


def inits(z: int, model: Cell) -> Comparison:
    """A model with distinct over identical initialization."""
    return cell_at(z, model, DISTINCT), cell_at(z, model, IDENTICAL)


def mean_of(metric: str, everyone: bool = False) -> Callable[[Run], float]:
    """Returns the function of a run that gives its mean over pairs, by default those without a dead model."""

    def measure(run: Run) -> float:
        values = measured(run, metric).dropna() if everyone else living(run, metric)
        return float(values.mean()) if len(values) else np.nan

    return measure


def ratios(evidence: Evidence, metric: str, comparisons: Sequence[Comparison], everyone=False) -> Table:
    """Returns the Table of ratios of means: arrays of shape (thetas, comparisons)."""
    cells = [cell for comparison in comparisons for cell in comparison]
    table = evidence.table(cells, mean_of(metric, everyone))
    with np.errstate(divide="ignore", invalid="ignore"):
        values, pilot = (array[:, ::2] / array[:, 1::2] for array in (table.values, table.pilot))
    return dataclasses.replace(table, values=values, pilot=pilot)


def typical(label: str, values: np.ndarray) -> Effect:
    """The Effect of each theta's geometric mean over ratios of shape (thetas, comparisons)."""
    with np.errstate(divide="ignore"):
        return level(label, np.exp(np.log(values).mean(axis=1)), factor=True)


def smallest(label: str, values: np.ndarray) -> Effect:
    """The Effect of each theta's smallest ratio: what holds of it holds of all."""
    return level(label, values.min(axis=1), factor=True)


def listed(quantity: str, labels: Sequence[str], values: np.ndarray) -> Outcome:
    """A part that lists the geometric mean over thetas of each comparison, and is not judged."""
    with np.errstate(divide="ignore"):
        means = np.exp(np.log(values).mean(axis=0))
    return described(quantity, [(label, number(mean)) for label, mean in zip(labels, means, strict=True)])


def with_dead(evidence: Evidence, metric: str, quantity: str, comparisons: Sequence[Comparison]) -> Outcome:
    """A part that gives the same ratios with the pairs of dead models, and is not judged."""
    effect = typical("", ratios(evidence, metric, comparisons, everyone=True).values)
    return described(f"{quantity} with the pairs that have a dead model", [("it is", effect)])


def changes(evidence: Evidence, metric: str, places: Sequence[Cell], windows: Sequence[int]) -> np.ndarray:
    """By which factor a metric changes from the smallest to the largest window, by least squares.

    Returns:
        Array of shape (thetas, places), the smaller value over the larger, whichever comes first.
    """
    cells = [place | {"shuffle_log2": z} for place in places for z in windows]
    values = np.log(evidence.table(cells, mean_of(metric)).values).reshape(-1, len(places), len(windows))
    offsets = np.asarray(windows, np.float64) - np.mean(windows)
    slopes = values @ offsets / np.sum(offsets**2)
    return np.exp(-np.abs(slopes) * (windows[-1] - windows[0]))


def common_runs(evidence: Evidence, cells: Sequence[Cell]) -> dict[int, list[Run]]:
    """Returns {seed: its runs} of the deciding seeds that all cells have."""
    found: dict[int, list[Run]] = {}

    def collect(run: Run) -> float:
        found.setdefault(run.seed, []).append(run)
        return 0.0

    seeds = evidence.table(cells, collect).seeds
    return {seed: runs for seed, runs in found.items() if seed in seeds}


def ends(windows: Sequence[int]) -> tuple[int, int, int]:
    """The smallest, a middle and the largest window, as the lower halves of the paper's figures show them."""
    return windows[0], windows[len(windows) // 2], windows[-1]
