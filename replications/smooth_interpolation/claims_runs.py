"""What the claims of Gamba et al. 2022 read from a family of runs: curves over width, peaks, comparisons.

The seeds of a family share images and labels, so values are compared seed by seed.
"""

import dataclasses
import functools
import math

import numpy as np

from common.verdicts import NOT_JUDGED, Bounds, Outcome, Sample, above, compare, factor, published, together
from replications.smooth_interpolation.runs import interpolation_threshold, train_error, with_common_seeds

# How the paper's words are read: "near" the threshold is within three widths of it; a peak is looked for from
# half to twice the threshold, since the error of the smallest networks is large for another reason.
NEAR = Bounds(-3.01, 3.01)
_PEAK_RANGE = 2.0


def cross_fit(values, choose, read):
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


def selected(one, label, values, choose, read):
    """What seeds give at an extreme: underestimated at the places of the others, overestimated at their own.

    Args:
        one: `Sample` or `factor`.
        label: Its label.
        values: As `cross_fit`, which reads at the places of the others.
        choose: See there.
        read: See there.
    """
    own = tuple(float(read(curve, choose(curve))) for curve in values)
    return one(label, cross_fit(values, choose, read), cross_fitted=True, self_selected=own)


@dataclasses.dataclass(frozen=True)
class Family:
    """One network at every width, for the seeds that all widths have.

    Args:
        widths: Increasing widths.
        members: {width: {seed: Run}}, the same seeds at every width, as `with_common_seeds` chooses them.
        diverged: In words, the runs that have diverged; empty if none has.
    """

    widths: tuple
    members: dict
    diverged: str = ""

    @staticmethod
    def of(evidence, **coordinates):
        """Gathers the runs of a figure and their further seeds from a `claims.Evidence`."""
        found = {}
        for width in evidence.values("width", **coordinates):
            runs = evidence.seeds(width=width, seed=0, **coordinates)
            found[width] = {run.seed: run for run in runs}
        runs = [run for members in found.values() for run in members.values()]
        kept = with_common_seeds(found)
        text = ""
        if diverged := sorted({run.seed for run in runs if run.diverged}):
            text = f"{sum(run.diverged for run in runs)} of {len(runs)} runs diverged"
            if diverged[0] not in kept[min(kept)]:
                text += f" (seed {' and '.join(map(str, diverged))} left out)"
        return Family(tuple(found), kept, text)

    def curve(self, measure):
        """Returns the values of a function of a run: array of shape (seeds, widths)."""
        values = [[measure(run) for run in self.members[width].values()] for width in self.widths]
        return np.array(values, float).T

    @functools.cached_property
    def thresholds(self):
        """Each seed's smallest width with a training error of 0: array, nan where there is none."""
        fitted = self.curve(train_error) == 0
        widths = np.array(self.widths, float)
        return np.where(fitted.any(axis=1), widths[fitted.argmax(axis=1)], math.nan)

    @functools.cached_property
    def threshold(self):
        """The smallest width at which all seeds have a training error of 0; None if there is none."""
        return interpolation_threshold(self.members)

    def peak(self, mean):
        """The index of the width near the threshold at which a curve is highest."""
        return int(np.argmax(np.where(self._near, mean, -np.inf)))

    def at_peak(self, curve):
        """Array of each seed's value at the peak of the other seeds near the threshold."""
        return np.array(cross_fit(curve, self.peak, lambda own, peak: own[peak]))

    @functools.cached_property
    def _near(self):
        widths = np.array(self.widths)
        return (widths >= self.threshold / _PEAK_RANGE) & (widths <= self.threshold * _PEAK_RANGE)

    def peak_distance(self, label, curve, origin=None):
        """Sample of how many widths a curve's peak lies above the threshold, or above other widths."""
        found = np.array(self.widths)[np.argmax(np.where(self._near, curve, -np.inf), axis=1)]
        distance = found - (self.threshold if origin is None else origin)
        distance = np.where(np.isnan(curve).any(axis=1), math.nan, distance)
        return Sample(label, tuple(distance), discrete=True)


def from_threshold(check):
    """Makes a check of a `Family` one of an `Evidence`; without an interpolation threshold it is unclear."""

    def checked(evidence):
        family = Family.of(evidence)
        diverged = [Outcome(NOT_JUDGED, family.diverged)] if family.diverged else []
        if family.threshold is None:
            largest = family.widths[-1]
            text = (
                f"no width up to {largest} has a training error of 0 in all seeds, so there is no threshold"
            )
            return together(*diverged, Outcome(NOT_JUDGED, text))
        return together(*diverged, *check(family))

    return checked


def on_stand_in(check):
    """Leaves a claim on CIFAR-100 open, whatever the check says, where other images stand in for it."""

    def checked(evidence):
        outcome = check(evidence)
        if evidence.scale == "paper":
            return outcome
        noted = outcome.noting("Left open: CIFAR-10 stands in for CIFAR-100.")
        return dataclasses.replace(noted, verdict="unclear")

    return checked


def threshold_is(width):
    """Returns the check that the threshold is a published width, within three; judged at paper scale only."""

    def check(evidence):
        found = Sample("one a seed", tuple(Family.of(evidence).thresholds))
        quantity = "smallest width with a training error of 0"
        return together(published(evidence.scale, quantity, found, width, NEAR.high))

    return check


def rise_and_fall(family, curves, unit="ratio"):
    """Outcomes that curves rise to a peak near the threshold and fall behind it.

    Args:
        family: Family.
        curves: {label: array of shape (seeds, widths)}.
        unit: "ratio" compares by ratios, anything else by differences in that unit.

    Returns:
        Two Outcomes: the peak against the smallest value before it, and against the largest width; the
        other seeds choose both places.
    """
    bounds, one = (above(1.0), factor) if unit == "ratio" else (above(0.0), Sample)

    def difference(high, low):
        with np.errstate(all="ignore"):
            return high / low if unit == "ratio" else high - low

    def trough_and_peak(mean):
        peak = family.peak(mean)
        return (int(np.argmin(mean[:peak])) if peak else None), peak

    def rise(own, place):
        trough, peak = place
        return math.nan if trough is None else difference(own[peak], own[trough])

    def fall(own, peak):
        return difference(own[peak], own[-1])

    rises, falls = [], []
    for name, curve in curves.items():
        rises.append(selected(one, name, curve, trough_and_peak, rise))
        falls.append(selected(one, name, curve, family.peak, fall))
    return [
        compare(f"peak against the least at smaller widths ({unit})", rises, bounds),
        compare(f"peak against the largest width ({unit})", falls, bounds),
    ]


def places(family, curves, origin=None, what="the threshold"):
    """The Outcome that the peaks of curves lie within three widths of the threshold, or of other widths."""
    samples = [family.peak_distance(label, curve, origin) for label, curve in curves.items()]
    return compare(f"place of the peak, widths above {what}", samples, NEAR)
