"""Scores between trained networks, from records alone: every run has its class maps on the same planes."""

import dataclasses
import itertools
import math

import numpy as np

from common.metrics.reproducibility import reproducibility_matrix, triplet_agreement
from common.statistics import jackknife_interval
from common.study.records import last
from common.study.runs import describe
from common.study.verdicts import Estimate

_RESAMPLES = 9999
# A training accuracy that counts as interpolation.
# A constant rate never settles: from epoch to epoch the accuracy of networks that have fitted every label
# varies by a few percent at laptop scale.
_FITTED = 0.95
_NAMED = 3  # diverged runs that a text names


def not_diverged(runs):
    """Returns those of (settings, Run) that did not diverge."""
    return [(settings, run) for settings, run in runs if not run.diverged]


def _without_derived(settings):
    """Settings without those that follow from others in every figure."""
    names = ("learning_rate", "weight_decay", "schedule", "depth", "pictures", "distillation")
    names += ("teacher_width", "teacher_seed", "temperature", *["width"] * (settings.network != "resnet18k"))
    return dataclasses.replace(settings, **dict.fromkeys(names))


def diverged_names(runs):
    """Names those of (settings, Run) that diverged, such as "seed=1; seed=2"; a few of many."""
    everything = [_without_derived(settings) for settings, _ in runs]
    names = [describe(s, everything) for s, (_, run) in zip(everything, runs, strict=True) if run.diverged]
    more = [f"and {len(names) - _NAMED} more"] * (len(names) > _NAMED)
    return "; ".join(names[:_NAMED] + more)


def class_maps(run):
    """Classes on the planes through test images: uint8 (triplets, resolution, resolution)."""
    return run.arrays["score_classes"]


def accuracy(run, part):
    """Accuracy of the measured network on "train" or "test"; where it has none, that after the last epoch.

    The two part with `--checkpoint=best_test`. Training labels count as given, wrong ones included.
    """
    found = last(run, "accuracy", subset={"train": "all", "test": "test"}[part])
    return last(run, f"{part}_accuracy") if math.isnan(found) else found


def fragmentation(run, subset="all"):
    """Mean number of regions on planes through training images, "test" images or "clean" ones of a class."""
    return last(run, "fragmentation", subset=subset, statistic="run")


def median_margin(run, subset="all"):
    """Median margin of training images, or of "clean" or "noisy" ones; nan if none kept a margin."""
    return last(run, "margin", subset=subset, statistic="median")


def groups(runs, key):
    """Gathers runs under a key.

    Args:
        runs: List of (settings, `run_folders.Run`), finished ones, each once.
        key: Function of settings; None leaves a run out.

    Returns:
        Dictionary key -> list of Run, in the order of the seeds.
    """
    found = {}
    for settings, run in sorted(runs, key=lambda pair: tuple(pair[0].seeds.values())):
        if (name := key(settings)) is not None:
            found.setdefault(name, []).append(run)
    return found


def matrix(runs_by_group):
    """`Reproducibility` of every ordered pair of groups; a network is never compared with itself."""
    return reproducibility_matrix({name: list(map(class_maps, runs)) for name, runs in runs_by_group.items()})


def score_and_error(first, second):
    """Mean agreement of two runs over the planes, and its standard error over the planes."""
    agreement = triplet_agreement(class_maps(first), class_maps(second))
    return float(agreement.mean()), float(agreement.std(ddof=1) / math.sqrt(len(agreement)))


def threshold(runs):
    """The interpolation threshold: the narrowest width that fits its training labels, noise included.

    Args:
        runs: List of (settings, Run) of one label noise.

    Returns:
        The smallest width from which on the mean training accuracy over seeds is at least 95 %; None if the
        widest network does not reach it.
    """
    by_width = groups(runs, lambda settings: settings.width)
    fitted = None
    for width in sorted(by_width, reverse=True):
        fits = np.mean([accuracy(run, "train") for run in by_width[width]]) >= _FITTED
        if not fits:  # nan does not
            break
        fitted = width
    return fitted


def _resamples(sizes):
    """How often each network of a group is drawn, in many resamples: name -> (resamples, networks)."""
    rng = np.random.default_rng(0)
    return {
        name: rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(float) for name, n in sizes.items()
    }


class PairScores:
    """Scores between all networks of some groups, and intervals of sums of mean scores.

    Args:
        runs_by_group: Mapping of a name to the runs of one setting, such as its seeds.
    """

    def __init__(self, runs_by_group):
        self._runs = {name: list(runs) for name, runs in runs_by_group.items()}
        self._scores = {}

    def _pairs(self, cell):
        """Scores (first group, second group) and which of them count."""
        first, second = (self._runs[name] for name in cell)
        if cell not in self._scores:
            scores = np.zeros((len(first), len(second)))
            for i, j in itertools.product(range(len(first)), range(len(second))):
                if cell[0] != cell[1] or i != j:
                    agreement = triplet_agreement(class_maps(first[i]), class_maps(second[j]))
                    scores[i, j] = agreement.mean()
            self._scores[cell] = scores
        counting = 1.0 - np.eye(len(first)) if cell[0] == cell[1] else np.ones((len(first), len(second)))
        return self._scores[cell], counting

    def estimate(self, terms, confidence=0.95):
        """Estimates a sum of coefficients times mean scores.

        Args:
            terms: Sequence of (coefficient, cell), a cell being a pair of names.
            confidence: Level of the interval.

        Returns:
            `verdicts.Estimate`: its interval leaves out one network at a time, in all cells; undefined where
            a cell has fewer than two networks, or three within one group.
        """
        names = sorted({name for _, cell in terms for name in cell}, key=str)
        sizes = {name: len(self._runs[name]) for name in names}
        if any(min(sizes[a], sizes[b]) < (2 if a == b else 1) for _, (a, b) in terms):
            return Estimate(math.nan, math.nan, math.nan, 0)
        value = self._sum(terms, {name: np.ones((1, n)) for name, n in sizes.items()})[0]
        n = min(sizes.values())
        if any(min(sizes[a], sizes[b]) < (3 if a == b else 2) for _, (a, b) in terms):
            return Estimate(float(value), math.nan, math.nan, n)
        left_out = []
        for chosen, rows in sizes.items():
            counts = {name: np.ones((rows, size)) for name, size in sizes.items()}
            counts[chosen] -= np.eye(rows)
            left_out.append(self._sum(terms, counts))
        return Estimate(float(value), *jackknife_interval(value, left_out, confidence), n)

    def lowest(self, places, confidence=0.95):
        """Estimates where the mean score within a group is lowest.

        Args:
            places: Mapping of a group's name to its place, a number such as a width.
            confidence: Level of the interval.

        Returns:
            `verdicts.Estimate` of the place, its interval by a seeded bootstrap over networks: the lowest
            mean of each resample, over those in which every group has a pair.
        """
        cells = [[(1.0, (name, name))] for name in places]
        sizes = {name: len(self._runs[name]) for name in sorted(places, key=str)}
        n, numbers = min(sizes.values()), np.array(list(places.values()), float)
        if n < 2:
            return Estimate(math.nan, math.nan, math.nan, 0)
        ones = {name: np.ones((1, size)) for name, size in sizes.items()}
        value = float(numbers[np.argmin([self._sum(cell, ones)[0] for cell in cells])])
        if n < 3:
            return Estimate(value, math.nan, math.nan, n)
        counts = _resamples(sizes)
        means = np.array([self._sum(cell, counts) for cell in cells])
        found = numbers[means[:, np.isfinite(means).all(axis=0)].argmin(axis=0)]
        tails = [(1 - confidence) / 2, (1 + confidence) / 2]
        low, high = np.quantile(found, tails, method="inverted_cdf")
        return Estimate(value, float(low), float(high), n)

    def _sum(self, terms, counts):
        """The sum for each row of counts; nan where a resample holds no pair."""
        total = 0.0
        for coefficient, cell in terms:
            scores, counting = self._pairs(cell)
            first, second = counts[cell[0]], counts[cell[1]]
            weight = np.einsum("ri,ij,rj->r", first, counting, second)
            with np.errstate(invalid="ignore"):
                total += coefficient * np.einsum("ri,ij,rj->r", first, counting * scores, second) / weight
        return total
