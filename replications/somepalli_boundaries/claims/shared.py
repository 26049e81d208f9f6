"""What the checks of Somepalli et al. 2022 share: runs that did not diverge, scores, sweeps over width.

Intervals of scores leave out one network at a time. Networks of one seed share nothing but their data, so
values of two settings are compared seed by seed only where a figure has the same seeds for both.
"""

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np

from common.study.verdicts import Outcome
from common.study.widths import WidthSweep
from replications.somepalli_boundaries.results import (
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
        evidence: `common.study.claims.Evidence`.
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
    """Makes a check leave out diverged runs and say so; it is open where no seed of a setting is left."""

    @functools.wraps(check)
    def checked(evidence):
        found = KeptEvidence(evidence)
        if len(found.runs()) == len(evidence.runs()):
            return check(evidence)
        runs = evidence.runs()
        number = len(runs) - len(found.runs())
        text = f"{number} of {len(runs)} runs diverged and are left out: {diverged_names(runs)}"
        if found.has_gap:
            return Outcome("open", f"{text}; no seed of a setting is left.")
        return check(found).noting(f"{text}.")

    return checked


@dataclasses.dataclass(frozen=True)
class Scores:
    """A sum of coefficients times mean scores between groups of networks."""

    label: str
    pairs: PairScores
    terms: Sequence[tuple[float, tuple]]

    def estimate(self, confidence=0.95, center=np.mean):
        """Returns the Estimate; `center` has no part, since scores are means over pairs."""
        return self.pairs.estimate(self.terms, confidence)


def mean_of(cells, sign=1.0):
    """Terms of the mean over cells, times a sign."""
    return [(sign / len(cells), cell) for cell in cells]


@dataclasses.dataclass(frozen=True)
class NoiseSweeps:
    """The runs of a figure over the width of ResNet18k: a `WidthSweep` for each label noise.

    Args:
        by_noise: {label noise: WidthSweep}, with the same widths and seeds; the threshold of all is the
            narrowest width that fits all labels of the largest noise.
        scale: Scale of the runs.
    """

    by_noise: dict[float, WidthSweep]
    scale: str

    @property
    def noise(self):
        """The largest label noise."""
        return max(self.by_noise)

    @property
    def noisy(self):
        """The sweep with the largest label noise."""
        return self.by_noise[self.noise]

    @property
    def widths(self):
        """All widths, increasing."""
        return self.noisy.widths

    @property
    def threshold(self):
        """The narrowest width that fits all noisy labels; None if the widest does not."""
        return self.noisy.threshold

    def values(self, measure, noise, width):
        """A function of a run, of each seed."""
        return self.by_noise[noise].at(width, measure)

    def accuracies(self, part, noise, width):
        """The accuracy on "train" or "test" of each seed."""
        return self.by_noise[noise].at(width, lambda run: accuracy(run, part))

    def seed_scores(self):
        """The scores between the seeds of every (label noise, width)."""
        runs = {
            (noise, width): list(members.values())
            for noise, sweep in self.by_noise.items()
            for width, members in sweep.members.items()
        }
        return PairScores(runs)


def noise_sweeps(evidence):
    """The `NoiseSweeps` of a claim's figure, of the seeds that all its networks have."""
    runs = evidence.runs()
    places = {(settings.label_noise, settings.width) for settings, _ in runs}
    seeds = [settings.seed for settings, _ in runs]
    runs = [(settings, run) for settings, run in runs if seeds.count(settings.seed) == len(places)]
    noises, widths = (sorted(set(values)) for values in zip(*places, strict=True))
    fitted = threshold([pair for pair in runs if pair[0].label_noise == noises[-1]])
    found = {noise: {width: {} for width in widths if (noise, width) in places} for noise in noises}
    for (noise, width), members in groups(runs, lambda s: (s.label_noise, s.width)).items():
        found[noise][width] = {run.seed: run for run in members}
    return NoiseSweeps(
        {noise: WidthSweep(members, fitted) for noise, members in found.items()}, evidence.scale
    )


def no_threshold(sweeps):
    """The Outcome where there is no threshold, or it is the narrowest or the widest width; else None."""
    if not sweeps.noisy.seeds:
        return Outcome("open", "no seed has a network at every width that did not diverge")
    if sweeps.threshold is None:
        return Outcome("open", "no width fits all noisy labels: there is no interpolation threshold")
    if len(sweeps.noisy.ends) < 2:
        return Outcome(
            "open", f"the interpolation threshold, k = {sweeps.threshold}, is at an end of the widths"
        )
    return None
