"""Scores between trained networks, from records alone: every run has its class maps on the same planes."""

import itertools
import math

import numpy as np

from common.metrics.reproducibility import reproducibility_matrix, triplet_agreement
from common.verdicts import Estimate

_RESAMPLES = 9999
# A training accuracy that counts as interpolation.
_FITTED = 0.99


def class_maps(run):
    """Classes on the planes through test images: uint8 (triplets, resolution, resolution)."""
    return run.arrays["score_classes"]


def value(run, metric):
    """The last value of a metric; nan if there is none."""
    values = run.rows.value[run.rows.metric == metric]
    return float(values.iloc[-1]) if len(values) else math.nan


def groups(runs, key):
    """Gathers runs under a key.

    Args:
        runs: List of (settings, `records.Run`), finished ones, each once.
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
        The smallest width from which on the mean training accuracy over seeds is at least 99 %; None if the
        widest network does not reach it.
    """
    by_width = groups(runs, lambda settings: settings.width)
    fitted = None
    for width in sorted(by_width, reverse=True):
        if np.mean([value(run, "train_accuracy") for run in by_width[width]]) < _FITTED:
            break
        fitted = width
    return fitted


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
            `verdicts.Estimate`: a seeded percentile bootstrap over networks, each group resampled once for
            all cells; undefined where a cell has fewer than two networks, or three within one group.
        """
        names = sorted({name for _, cell in terms for name in cell}, key=str)
        sizes = {name: len(self._runs[name]) for name in names}
        if any(min(sizes[a], sizes[b]) < (2 if a == b else 1) for _, (a, b) in terms):
            return Estimate(math.nan, math.nan, math.nan, 0)
        value = self._sum(terms, {name: np.ones((1, n)) for name, n in sizes.items()})[0]
        n = min(sizes.values())
        if any(min(sizes[a], sizes[b]) < (3 if a == b else 2) for _, (a, b) in terms):
            return Estimate(float(value), math.nan, math.nan, n)
        rng = np.random.default_rng(0)
        counts = {
            name: rng.multinomial(n, np.full(n, 1 / n), _RESAMPLES).astype(float) for name, n in sizes.items()
        }
        sums = self._sum(terms, counts)
        sums = sums[np.isfinite(sums)]
        low, high = np.quantile(sums, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Estimate(float(value), float(low), float(high), n)

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
