"""Effects: what a check compares, estimated from a table of one value per seed and cell.

A *cell* is a setting: a network, a width, an optimizer. Every seed gives each cell one value, and seeds are
blocks: what a seed adds to all of its cells (its images, its wrong labels) cancels in a contrast, which is
one number a seed. Their spread over seeds is the variance. To pool the cells' variances, which has more
degrees of freedom, would be wrong too often where a seed adds something to some of the cells (16 to 18 %
instead of 5 % for two groups of four cells, where it is as large as the rest) or cells differ in spread. What
is positive and spreads in proportion to its size is compared by factors, on a logarithmic scale.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from .verdicts import number

ERROR = 0.05  # of a wrong decision in one direction
_MOST_SEEDS = 64


@dataclasses.dataclass(frozen=True, eq=False)
class Effect:
    """A contrast of cells: sum(coefficient * mean of the cell), or of the means' logarithms.

    Seeds with a value that is nan are left out. A cell whose coefficient is 0 takes no part: neither its
    spread nor its missing values count. Of a value that is not positive there is no factor, nor of those that
    stand beside it.

    Args:
        label: What is compared, in words.
        values: Array of shape (seeds, cells).
        coefficients: Array of shape (cells,). If they do not sum to zero the effect is a level.
        factor: Whether the values are positive and the effect is a factor, exp of the contrast.
    """

    label: str
    values: np.ndarray
    coefficients: np.ndarray
    factor: bool = False

    @property
    def n(self) -> int:
        """How many seeds have all values."""
        return len(self._of_seeds)

    @functools.cached_property
    def _compared(self):
        """Which cells are compared: all if every coefficient is 0."""
        compared = np.asarray(self.coefficients) != 0
        return compared if compared.any() else np.ones(len(compared), bool)

    @property
    def _weights(self):
        return np.asarray(self.coefficients, np.float64)[self._compared]

    @functools.cached_property
    def _of_seeds(self):
        """The contrast of each seed that has all values."""
        values = np.asarray(self.values, np.float64)[:, self._compared]
        if self.factor:
            values = np.log(values) if self._is_positive else np.full_like(values, np.nan)
        return values[np.isfinite(values).all(axis=1)] @ self._weights

    @property
    def _is_positive(self):
        return not np.any(np.asarray(self.values, np.float64)[:, self._compared] <= 0)

    @property
    def contrast(self) -> float:
        """The contrast, a logarithm where the effect is a factor; nan without seeds."""
        return float(self._of_seeds.mean()) if self.n else math.nan

    @property
    def value(self) -> float:
        """The effect."""
        return math.exp(self.contrast) if self.factor else self.contrast

    @property
    def _is_level(self):
        return len(self._weights) == 1 or not np.isclose(np.sum(self._weights), 0)

    @property
    def freedom(self) -> int:
        """Degrees of freedom."""
        return self.n - 1

    @property
    def deviation(self) -> float:
        """Standard deviation of one seed's contrast; nan from fewer than two seeds."""
        return float(self._of_seeds.std(ddof=1)) if self.n > 1 else math.nan

    def p_above(self, bound: float) -> float:
        """One-sided p value of the effect being above a bound.

        Values that do not differ between seeds at all give the sign test's 2^-n; one seed gives 1.
        """
        distance = self.contrast - (math.log(bound) if self.factor else bound)
        if self.n < 2 or math.isnan(distance):
            return 1.0
        error = self.deviation / math.sqrt(self.n)
        if error <= 1e-12 * abs(distance):
            return 0.5**self.n if distance > 0 else 1.0
        if error == 0:
            return 1.0
        return float(stats.t.sf(distance / error, self.freedom))

    def p_below(self, bound: float) -> float:
        """One-sided p value of the effect being below a bound, as `p_above`."""
        if self.factor:
            return self.inverse().p_above(1 / bound)
        return self.inverse().p_above(-bound)

    def inverse(self) -> "Effect":
        """The effect with the opposite sign, or one over the factor."""
        return dataclasses.replace(self, coefficients=-np.asarray(self.coefficients, np.float64))

    def interval(self) -> tuple[float, float]:
        """(low, high) at 90 %: each end is a one-sided limit at 95 %; nan from fewer than two seeds."""
        if self.n < 2:
            return math.nan, math.nan
        reach = stats.t.ppf(1 - ERROR, self.freedom) * self.deviation / math.sqrt(self.n)
        low, high = self.contrast - reach, self.contrast + reach
        with np.errstate(over="ignore"):
            return (float(np.exp(low)), float(np.exp(high))) if self.factor else (low, high)

    def further_seeds(self, bound: float) -> int | None:
        """How many more seeds decide on which side of a bound it lies, with effect and spread as seen.

        Returns:
            None if that is not known (fewer than two seeds) or more than 64 are needed.
        """
        distance = abs(self.contrast - (math.log(bound) if self.factor else bound))
        if self.n < 2 or not distance > 0:
            return None
        if self.deviation <= 1e-12 * distance:  # the sign test decides
            return max(1, math.ceil(-math.log2(ERROR)) - self.n)
        for n in range(self.n + 1, _MOST_SEEDS + 1):
            if stats.t.ppf(1 - ERROR, n - 1) * self.deviation / math.sqrt(n) < distance:
                return n - self.n
        return None

    def __str__(self):
        if not self.n:
            return (
                "not measured"
                if self._is_positive or not self.factor
                else "no factor (a value is not above 0)"
            )
        low, high = self.interval()
        limits = f"[{number(low)}, {number(high)}]" if self.n > 1 else "[no interval]"
        times = " times" if self.factor and not self._is_level else ""
        return f"{number(self.value)}{times} {limits} over {self.n} seed{'s' * (self.n > 1)}"


def level(label: str, values: Sequence[float], factor: bool = False) -> Effect:
    """The Effect of one value per seed: their mean, or geometric mean."""
    return Effect(label, np.asarray(values, np.float64).reshape(-1, 1), np.ones(1), factor)


def difference(label: str, first: Sequence[float], second: Sequence[float], factor: bool = False) -> Effect:
    """The Effect first - second, or first / second, of two cells with the same seeds."""
    return Effect(label, np.stack([first, second], axis=1), np.array([1.0, -1.0]), factor)


def mean_difference(label: str, first: np.ndarray, second: np.ndarray, factor: bool = False) -> Effect:
    """The Effect first - second, averaged over cells: arrays of shape (seeds, cells)."""
    cells = np.shape(first)[1]
    signs = np.repeat([1.0, -1.0], cells) / cells
    return Effect(label, np.concatenate([first, second], axis=1), signs, factor)


def slope(label: str, values: np.ndarray, positions: Sequence[float], factor: bool = False) -> Effect:
    """The Effect of the least-squares slope over positions, per unit; values of shape (seeds, positions)."""
    offsets = np.asarray(positions, np.float64) - np.mean(positions)
    return Effect(label, np.asarray(values), offsets / np.sum(offsets**2), factor)


def over_pairs(scores: np.ndarray) -> np.ndarray:
    """One value per seed of scores between the networks of two seeds: jackknife pseudo-values (Tukey 1958).

    Scores that share a network are alike. What a mean over pairs loses without a seed is that seed's part of
    it: n times the mean minus (n - 1) times the mean without the seed. The values' mean is the mean over
    pairs, their spread that of its error: exact where networks have effects that add up, too large where
    pairs have errors of their own.

    Args:
        scores: Array of shape (seeds, seeds, cells), symmetric in the seeds; the diagonal has no part.

    Returns:
        Array of shape (seeds, cells); of two seeds, the one pair (1, cells); of fewer, (0, cells). A seed
        without a score with any other, such as one that diverged, is left out.
    """
    scores = np.asarray(scores, np.float64)
    others = np.isfinite(scores).any(axis=-1) & ~np.eye(len(scores), dtype=bool)
    scores = scores[np.ix_(others.any(axis=1), others.any(axis=1))]
    n = len(scores)
    if n < 3:
        return scores[:1, 1] if n == 2 else np.empty((0, scores.shape[-1]))
    others = np.where(np.eye(n, dtype=bool)[..., None], 0.0, scores)
    of_seed = others.sum(axis=1) / (n - 1)
    mean = of_seed.mean(axis=0)
    return mean + 2 * (n - 1) / (n - 2) * (of_seed - mean)
