"""Intervals by resampling whole runs (or pairs), never the examples inside them."""

import dataclasses
import warnings

import numpy as np
from scipy import stats

_RESAMPLES = 9999


@dataclasses.dataclass(frozen=True)
class Summary:
    """A sample of independent runs or pairs in a few numbers.

    `low` and `high` bound the mean at 95 % confidence; they are nan for fewer than two values.
    """

    n: int
    mean: float
    low: float
    high: float
    median: float
    q25: float
    q75: float


def interval(values, statistic=np.mean, confidence=0.95):
    """Bootstrap confidence interval of a statistic, resampling the values.

    The bias-corrected and accelerated interval (Efron 1987), and the percentile interval where that is
    undefined. The resampling is seeded: the same values give the same interval.

    Args:
        values: Sequence of numbers, one for each independent run or pair.
        statistic: Function of an array and an `axis`.
        confidence: Level in (0, 1).

    Returns:
        (low, high); (nan, nan) for fewer than two values.
    """
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        return float("nan"), float("nan")
    if np.all(values == values[0]):
        return float(values[0]), float(values[0])
    for method in ("BCa", "percentile"):
        with warnings.catch_warnings():
            # A constant jackknife (a median, say) divides by zero and leaves nan: the next method's turn.
            warnings.simplefilter("ignore", stats.DegenerateDataWarning)
            warnings.simplefilter("ignore", RuntimeWarning)
            result = stats.bootstrap(
                (values,),
                statistic,
                confidence_level=confidence,
                n_resamples=_RESAMPLES,
                method=method,
                rng=np.random.default_rng(0),
            ).confidence_interval
        if np.isfinite(result.low) and np.isfinite(result.high):
            break
    return float(result.low), float(result.high)


def summarize(values):
    """Returns the `Summary` of a non-empty sequence of finite numbers."""
    values = np.asarray(values, np.float64)
    low, high = interval(values)
    q25, median, q75 = np.quantile(values, [0.25, 0.5, 0.75])
    return Summary(len(values), float(values.mean()), low, high, float(median), float(q25), float(q75))
