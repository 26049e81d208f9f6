"""What the claims of Somepalli et al. 2022 are judged on: scores between networks, and one value a network.

Intervals of scores leave out one network at a time. Networks of one seed share nothing but their data, so
values of two settings are compared seed by seed only where a figure has the same seeds for both.
"""

import dataclasses
import functools

import numpy as np

from common.records import last
from common.verdicts import Outcome
from replications.somepalli_boundaries.scores import (
    PairScores,
    accuracy,
    diverged_names,
    groups,
    not_diverged,
    threshold,
)


class KeptEvidence:
    """The runs of an `Evidence` that did not diverge.

    Args:
        evidence: `common.claims.Evidence`.
    """

    def __init__(self, evidence):
        self.scale = evidence.scale
        self._all = evidence.runs()
        self._kept = not_diverged(self._all)

    def runs(self):
        """(settings, Run) of every run with measurements."""
        return self._kept

    @property
    def has_gap(self):
        """Whether no seed of some setting is left; of students, which have one, it only costs a gain."""
        everything, kept = (
            {_unseeded(settings) for settings, _ in runs if not settings.teacher}
            for runs in (self._all, self._kept)
        )
        return everything != kept


def _unseeded(settings):
    """Settings without what differs between the seeds of one network."""
    idle = {"init_seed": None, "order_seed": None, "augmentation_seed": None}
    return dataclasses.replace(settings, seed=0, teacher_seed=None, **idle)


def without_diverged(check):
    """Makes a check leave out diverged runs and say so; it is unclear where no seed of a setting is left."""

    @functools.wraps(check)
    def checked(evidence):
        found = KeptEvidence(evidence)
        if len(found.runs()) == len(evidence.runs()):
            return check(evidence)
        runs = evidence.runs()
        number = len(runs) - len(found.runs())
        text = f"{number} of {len(runs)} runs diverged and are left out: {diverged_names(runs)}"
        if found.has_gap:
            return Outcome("unclear", f"{text}; no seed of a setting is left.")
        return check(found).noting(f"{text}.")

    return checked


@dataclasses.dataclass(frozen=True)
class Scores:
    """A sum of coefficients times mean scores between groups of networks."""

    label: str
    pairs: PairScores
    terms: tuple

    def estimate(self, confidence=0.95, center=np.mean):
        """Returns the Estimate; `center` has no part, since scores are means over pairs."""
        return self.pairs.estimate(self.terms, confidence)


def mean_of(cells, sign=1.0):
    """Terms of the mean over cells, times a sign."""
    return [(sign / len(cells), cell) for cell in cells]


@dataclasses.dataclass(frozen=True)
class WidthSweep:
    """The runs of a figure over the width of ResNet18k.

    Args:
        runs: {(label noise, width): runs in the order of the seeds}, the same seeds everywhere.
        threshold: Narrowest width that fits all noisy labels; None if the widest does not.
        scale: Scale of the runs.
    """

    runs: dict
    threshold: int | None
    scale: str

    @property
    def noise(self):
        """The largest label noise."""
        return max(noise for noise, _ in self.runs)

    @property
    def widths(self):
        """All widths, ascending."""
        return sorted({width for _, width in self.runs})

    def values(self, metric, noise, width):
        """The metric of each seed."""
        return np.array([last(run, metric) for run in self.runs[noise, width]])

    def accuracies(self, part, noise, width):
        """The accuracy on "train" or "test" of each seed."""
        return np.array([accuracy(run, part) for run in self.runs[noise, width]])

    def ends(self):
        """The narrowest and the widest network, but for the one at the threshold."""
        return [width for width in (self.widths[0], self.widths[-1]) if width != self.threshold]


def width_sweep(evidence):
    """The `WidthSweep` of a claim's figure."""
    runs = evidence.runs()
    places = {(settings.label_noise, settings.width) for settings, _ in runs}
    seeds = [settings.seed for settings, _ in runs]
    runs = [(settings, run) for settings, run in runs if seeds.count(settings.seed) == len(places)]
    found = {place: [] for place in places}
    found |= groups(runs, lambda settings: (settings.label_noise, settings.width))
    noise = max(noise for noise, _ in found)
    fitted = threshold([pair for pair in runs if pair[0].label_noise == noise])
    return WidthSweep(found, fitted, evidence.scale)


def no_threshold(sweep):
    """The Outcome where there is no threshold, or it is the narrowest or the widest width; else None."""
    if not all(sweep.runs.values()):
        return Outcome("unclear", "no seed has a network at every width that did not diverge")
    if sweep.threshold is None:
        return Outcome("unclear", "no width fits all noisy labels: there is no interpolation threshold")
    if sweep.threshold in (sweep.widths[0], sweep.widths[-1]):
        return Outcome(
            "unclear", f"the interpolation threshold, k = {sweep.threshold}, is at an end of the widths"
        )
    return None
