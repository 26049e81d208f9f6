"""One network over width: the curves of its seeds, the interpolation threshold, extremes near it.

Papers differ in what counts as interpolation; each gives its own threshold. Values are compared seed by seed.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .run_folders import Run
from .verdicts import Contrast, Outcome, Sample, above, compare, geometric_mean

# A peak is looked for from half to twice the threshold: the smallest networks err for another reason.
_PEAK_RANGE = 2.0

Members = Mapping[int, Mapping[int, Run]]
Measure = Callable[[Run], float]


def with_common_seeds(groups: Members) -> dict[int, dict[int, Run]]:
    """Returns {width: {seed: Run}} with the seeds that all widths have, in increasing order.

    A seed with a diverged run is left out if two others stay, since a diverged run has no threshold.
    """
    seeds = sorted(set.intersection(*map(set, groups.values())))
    whole = [s for s in seeds if not any(members[s].diverged for members in groups.values())]
    seeds = whole if len(whole) > 1 else seeds
    return {width: {seed: members[seed] for seed in seeds} for width, members in groups.items()}


def by_width(runs: Sequence[tuple[Any, Run]]) -> dict[int, dict[int, Run]]:
    """Groups (settings, Run) by width: {width: {seed: Run}}, increasing, the seeds that all widths have."""
    groups: dict[int, dict[int, Run]] = {}
    for settings, run in sorted(runs, key=lambda pair: (pair[0].width, pair[0].seed)):
        groups.setdefault(settings.width, {})[settings.seed] = run
    return with_common_seeds(groups)


def cross_fit(values: np.ndarray, choose: Callable, read: Callable) -> tuple[float, ...]:
    """Reads each seed at a place that the other seeds select: an extreme selected by its own noise is biased.

    What is made of the numbers has `cross_fitted=True`, since they are not independent.

    Args:
        values: Array of shape (seeds, ...).
        choose: Function of the other seeds' mean that returns a place; a single seed chooses for itself.
        read: Function of one seed's values and the place that returns a number.

    Returns:
        A number for each seed; nan if a value is missing.
    """
    if np.isnan(values).any():
        return (math.nan,) * len(values)
    numbers = []
    for i, own in enumerate(values):
        others = np.delete(values, i, axis=0) if len(values) > 1 else values
        numbers.append(float(read(own, choose(others.mean(axis=0)))))
    return tuple(numbers)


def selected(
    one: Callable[..., Sample | Contrast], label: str, values: np.ndarray, choose: Callable, read: Callable
) -> Sample | Contrast:
    """What seeds give at an extreme: underestimated at the places of the others, overestimated at their own.

    Args:
        one: `Sample` or `geometric_mean`.
        label: Its label.
        values: As `cross_fit`, which reads at the places of the others.
        choose: See there.
        read: See there.
    """
    own = tuple(float(read(curve, choose(curve))) for curve in values)
    return one(label, cross_fit(values, choose, read), cross_fitted=True, self_selected=own)


@dataclasses.dataclass(frozen=True)
class WidthSweep:
    """One network at every width, for the seeds that all widths have.

    Args:
        members: {width: {seed: Run}}, increasing widths, the same seeds at every width.
        threshold: The interpolation threshold as the paper has it; None if no width interpolates.
    """

    members: Mapping[int, Mapping[int, Run]]
    threshold: int | None

    @property
    def widths(self) -> tuple[int, ...]:
        """All widths, increasing."""
        return tuple(self.members)

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that all widths have."""
        return tuple(self.members[self.widths[0]])

    @property
    def ends(self) -> list[int]:
        """The narrowest and the widest network, but for the one at the threshold."""
        return [width for width in (self.widths[0], self.widths[-1]) if width != self.threshold]

    def at(self, width: int, measure: Measure) -> np.ndarray:
        """Returns a function of the runs of one width: array of shape (seeds,)."""
        return np.array([measure(run) for run in self.members[width].values()], float)

    def curve(self, measure: Measure) -> np.ndarray:
        """Returns the values of a function of a run: array of shape (seeds, widths)."""
        return np.array([self.at(width, measure) for width in self.widths]).T

    @functools.cached_property
    def _near(self) -> np.ndarray:
        assert self.threshold is not None
        widths = np.array(self.widths)
        return (widths >= self.threshold / _PEAK_RANGE) & (widths <= self.threshold * _PEAK_RANGE)

    def peak(self, mean: np.ndarray) -> int:
        """The index of the width near the threshold at which a curve is highest."""
        return int(np.argmax(np.where(self._near, mean, -np.inf)))

    def at_peak(self, curve: np.ndarray) -> np.ndarray:
        """Array of each seed's value at the peak of the other seeds near the threshold."""
        return np.array(cross_fit(curve, self.peak, lambda own, peak: own[peak]))

    def peak_distance(self, label: str, curve: np.ndarray, origin: np.ndarray | None = None) -> Sample:
        """Sample of how many widths a curve's peak lies above the threshold, or above other widths."""
        found = np.array(self.widths)[np.argmax(np.where(self._near, curve, -np.inf), axis=1)]
        distance = found - (self.threshold if origin is None else origin)
        distance = np.where(np.isnan(curve).any(axis=1), math.nan, distance)
        return Sample(label, tuple(distance), discrete=True)

    def extreme_factor(self, label: str, curve: np.ndarray, highest: bool = True) -> Sample:
        """Sample of the width of each seed's extreme, as a factor of the threshold; nan where a value is."""
        places = (np.argmax if highest else np.argmin)(curve, axis=1)
        factors = np.array(self.widths)[places] / self.threshold
        factors[np.isnan(curve).any(axis=1)] = math.nan
        return Sample(label, tuple(map(float, factors)), discrete=True)


def rise_and_fall(sweep: WidthSweep, curves: Mapping[str, np.ndarray], unit: str = "ratio") -> list[Outcome]:
    """Outcomes that curves rise to a peak near the threshold and fall behind it.

    Args:
        sweep: The sweep, which has a threshold.
        curves: {label: array of shape (seeds, widths)}.
        unit: "ratio" compares by ratios, anything else by differences in that unit.

    Returns:
        Two Outcomes: the peak against the smallest value before it, and against the largest width; the
        other seeds choose both places.
    """
    bounds, one = (above(1.0), geometric_mean) if unit == "ratio" else (above(0.0), Sample)

    def difference(high, low):
        with np.errstate(all="ignore"):
            return high / low if unit == "ratio" else high - low

    def trough_and_peak(mean):
        peak = sweep.peak(mean)
        return (int(np.argmin(mean[:peak])) if peak else None), peak

    def rise(own, place):
        trough, peak = place
        return math.nan if trough is None else difference(own[peak], own[trough])

    def fall(own, peak):
        return difference(own[peak], own[-1])

    rises, falls = [], []
    for name, curve in curves.items():
        rises.append(selected(one, name, curve, trough_and_peak, rise))
        falls.append(selected(one, name, curve, sweep.peak, fall))
    return [
        compare(f"peak against the least at smaller widths ({unit})", rises, bounds),
        compare(f"peak against the largest width ({unit})", falls, bounds),
    ]
