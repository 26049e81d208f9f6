"""What the checks of Gamba et al. 2022 share: sweeps over width, and how the paper's words are read.

The seeds of a sweep share images and labels, so they are blocks. Whatever is chosen - the interpolation
threshold, the place of a peak - is chosen by seeds that do not decide.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from common.study import decisions, effects
from common.study.claims import Evidence
from common.study.verdicts import Outcome
from replications.smooth_interpolation import results

NAMES = {
    "accuracy": "accuracy (%)",
    "cross_entropy": "cross-entropy",
    "jacobian_norm": "Jacobian norm",
    "tangent_hessian_norm": "tangent Hessian norm",
}
SHARPNESS = ("jacobian_norm", "tangent_hessian_norm")
LOSSES = ("cross_entropy", *SHARPNESS)
ERROR, ACCURACY = "test error (%)", "training accuracy (%)"
POINT, FACTOR = decisions.MARGINS["points"], decisions.MARGINS["factor"]
# "Near" the threshold is from half to twice of it: the smallest networks err for another reason.
_NEAR = 2.0

Measure = Callable[..., float]


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A measure over places, such as widths.

    Args:
        choosing: Array of shape (seeds that choose places, places).
        deciding: Array of shape (seeds that decide at places of others, places).
        confirmatory: Array of shape (all confirmatory seeds, places), for what chooses no place.
    """

    choosing: np.ndarray
    deciding: np.ndarray
    confirmatory: np.ndarray

    def chooser(self, factor: bool) -> np.ndarray:
        """The mean of the seeds that choose, geometric where values are compared by ratios."""
        return np.exp(np.log(self.choosing).mean(axis=0)) if factor else self.choosing.mean(axis=0)


class Sweep:
    """One network at every width of a figure, for the seeds that all widths have.

    Args:
        evidence: `claims.Evidence`.
        share: The training accuracy at the threshold; by default that of `results.FITTED`.
    """

    def __init__(self, evidence: Evidence, share: float | None = None) -> None:
        self.widths = tuple(evidence.values("width"))
        self._share = share
        self._runs: list = []
        found = evidence.table([{"width": width} for width in self.widths], self._keep)
        self._pilot, self._confirmatory = found.pilot, found.values
        # Without exploratory seeds the first one chooses, as in `decisions.choosing_and_deciding`.
        exploratory = len(found.pilot) > 0
        self._choosing = found.pilot if exploratory else found.values[:1]
        self._deciding = found.values if exploratory else found.values[1:]

    def _keep(self, run):
        self._runs.append(run)
        return len(self._runs) - 1

    def _measured(self, places, measure, shape=()):
        """Values of shape (seeds, widths, *shape); places of diverged runs are nan."""
        values = np.full((*places.shape, *shape), np.nan)
        for place in np.ndindex(places.shape):
            if not np.isnan(places[place]):
                values[place] = measure(self._runs[int(places[place])])
        return values

    def curve(self, measure: Measure) -> Curve:
        """The values of a function of a run over the widths."""
        parts = (self._choosing, self._deciding, self._confirmatory)
        return Curve(*(self._measured(part, measure) for part in parts))

    def course(self, measure: Measure, chosen: np.ndarray, factor: bool) -> Curve:
        """A curve over epochs: the mean over some widths of a function run -> values at all times.

        Args:
            measure: Function of a run that returns an array.
            chosen: Boolean array of shape (widths,).
            factor: Whether the mean is geometric.
        """
        times = next(len(measure(run)) for run in self._runs)

        def mean(part):
            values = self._measured(part[:, chosen], measure, (times,))
            return np.exp(np.log(values).mean(axis=1)) if factor else values.mean(axis=1)

        return Curve(*(mean(part) for part in (self._choosing, self._deciding, self._confirmatory)))

    def over_pairs(self, measure: Callable) -> list[np.ndarray]:
        """A function of two runs for all pairs of the deciding seeds without a diverged run.

        Returns:
            For each width a symmetric array of shape (seeds, seeds), zero on its diagonal.
        """
        whole = self._deciding[~np.isnan(self._deciding).any(axis=1)].astype(int)
        matrices = []
        for places in whole.T:
            matrix = np.zeros((len(whole), len(whole)))
            for i, j in itertools.combinations(range(len(whole)), 2):
                matrix[i, j] = matrix[j, i] = measure(self._runs[places[i]], self._runs[places[j]])
            matrices.append(matrix)
        return matrices

    def epochs(self) -> np.ndarray:
        """The epochs at which the courses of all runs are recorded."""
        return results.history(self._runs[0], "test_accuracy")[0]

    @property
    def num_anchors(self) -> int:
        """Number of anchors of the largest volume."""
        return results.num_anchors(self._runs[0])

    @property
    def num_images(self) -> int:
        """Number of training images of its runs."""
        return results.num_images(self._runs[0])

    def own_thresholds(self, confirmatory: bool = True) -> list[int | None]:
        """The threshold of each confirmatory seed, or of each that chooses."""
        part = self._confirmatory if confirmatory else self._choosing
        return [self._own_threshold(places) for places in part]

    def _own_threshold(self, places):
        if np.isnan(places).any():
            return None
        runs = {width: self._runs[int(place)] for width, place in zip(self.widths, places, strict=True)}
        return results.own_threshold(runs, self._share)

    @functools.cached_property
    def threshold(self) -> int | None:
        """The median of the own thresholds of the seeds that choose."""
        return results.median_threshold(self.own_thresholds(confirmatory=False))

    @property
    def near(self) -> np.ndarray:
        """The widths near the threshold: a boolean array."""
        widths = np.array(self.widths)
        return (widths >= self.threshold / _NEAR) & (widths <= self.threshold * _NEAR)

    @property
    def wide(self) -> np.ndarray:
        """The widths from the threshold on: a boolean array."""
        return np.array(self.widths) >= self.threshold


def from_threshold(check):
    """Makes a check of a `Sweep` one of an `Evidence`; without a threshold it is open."""

    @functools.wraps(check)
    def checked(evidence):
        sweep = Sweep(evidence)
        if sweep.threshold is None:
            fit = f"No width up to {sweep.widths[-1]} is fitted in half of the seeds that choose"
            return Outcome("open", f"{fit}, so there is no threshold.")
        return check(sweep).noting(f"Threshold: width {sweep.threshold}, from the seeds that choose.")

    return checked


def at(metric: str, subset: str = "all") -> Measure:
    """The function run -> a measure at the training images themselves, an accuracy in percent."""
    percent = 100 if metric == "accuracy" else 1
    return lambda run: percent * results.volume(run, metric, subset)


def over(metrics: Sequence[str], subset: str, anchors: Sequence[int]) -> Measure:
    """The function run -> geometric mean of measures over volumes; of accuracies arithmetic, in percent."""

    def measure(run):
        values = [results.volume(run, metric, subset, a) for metric in metrics for a in anchors]
        return 100 * np.mean(values) if metrics == ("accuracy",) else np.exp(np.mean(np.log(values)))

    return measure


def peaks(question: str, sweep: Sweep, curve: Curve, factor: bool) -> Outcome:
    """The Outcome that a curve over width rises to a peak near the threshold and falls behind it.

    Beside the orderings of `decisions.peak`, no width between the trough and that range may be higher than
    the peak by more than a point, or a factor of 1.5: a curve that falls from an earlier peak has none there.
    """
    chooser, values = curve.chooser(factor), curve.deciding
    outcome = decisions.peak(question, chooser[np.newaxis], values, sweep.widths, sweep.near, factor)
    top = int(np.argmax(np.where(sweep.near, chooser, -np.inf)))
    if not len(values) or not np.isfinite(chooser).all() or top in (0, len(chooser) - 1):
        return outcome
    trough = int(np.argmin(chooser[:top]))
    earlier = [i for i in range(trough + 1, top) if not sweep.near[i]]
    if not earlier:
        return outcome
    other = max(earlier, key=lambda i: chooser[i])
    label = f"{sweep.widths[top]} against the highest before that range, {sweep.widths[other]}"
    effect = effects.difference(label, values[:, top], values[:, other], factor)
    return decisions.every(
        outcome, decisions.ordering(question, effect, bound=1 / FACTOR if factor else -POINT)
    )


def peaks_near(question: str, sweep: Sweep, curve: Curve, factor: bool) -> Outcome:
    """As `peaks`; open where the seeds that choose are highest, behind the least value, at no width near."""
    chooser = curve.chooser(factor)
    if np.isfinite(chooser).all():
        top = int(np.argmax(np.where(sweep.near, chooser, -np.inf)))
        trough = int(np.argmin(chooser[: top + 1]))
        highest = trough + int(np.argmax(chooser[trough:]))
        if highest != top:
            where = f"width {sweep.widths[highest]}, not near the threshold"
            return Outcome("open", f"{question}: the seeds that choose are highest at {where}")
    return peaks(question, sweep, curve, factor)


def peaks_there(question: str, sweep: Sweep, curve: Curve, factor: bool, top: int) -> Outcome:
    """The Outcome that a curve has a peak at a place that is given."""
    only = np.arange(len(sweep.widths)) == top
    chooser = curve.chooser(factor)[np.newaxis]
    return decisions.peak(question, chooser, curve.deciding, sweep.widths, only, factor)


def threshold_is(evidence: Evidence, width: int) -> Outcome:
    """The Outcome that the threshold, all images as labelled, is a published width within three."""
    sweep = Sweep(evidence, share=1.0)
    found = sweep.own_thresholds()
    if missing := found.count(None):
        # Left out, they would make the mean that of the seeds that fit early.
        return Outcome(
            "open", f"{missing} of {len(found)} seeds have no such width up to {sweep.widths[-1]}."
        )
    effect = effects.level("one a seed", np.array(found, float))
    return decisions.together(
        decisions.equality("smallest width with a training error of 0", effect, 3.0, width)
    )
