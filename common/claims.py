"""A paper's claims, judged on finished runs: evidence, intervals, verdicts.

A claim's check reads the runs it needs from an `Evidence` and returns an `Outcome`. Every verdict follows
from one rule: an interval that lies inside the claim's bounds reproduces it, one that lies outside
contradicts it, and one across a bound leaves it unclear. A family of comparisons shares its error
probability (Bonferroni).
"""

import dataclasses
import math
import typing
import warnings
from collections import Counter

import numpy as np
from scipy import stats

from common.program import SCALES, find_runs
from common.statistics import interval

VERDICTS = ("reproduced", "contradicted", "unclear", "not run")
NOT_JUDGED = "not judged"  # an absolute number below paper scale
_NUM_SEEDS = 5
_ERROR = 0.05
_RESAMPLES = 9999


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A verdict (one of VERDICTS, or NOT_JUDGED for a part), and in a sentence the numbers that decided."""

    verdict: str
    seen: str
    parts: tuple = ()


@dataclasses.dataclass(frozen=True)
class Claim:
    """A published number or ordering.

    Args:
        number: Its number in the list of the paper's claims.
        statement: What the paper says, in one sentence.
        source: Section and figure of the paper.
        figures: Names of the figure presets whose runs it needs.
        check: Function Evidence -> Outcome.
    """

    number: int
    statement: str
    source: str
    figures: tuple
    check: typing.Callable


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim, its outcome, and the scale (None: not run at any), data sets and runs that decided it."""

    claim: Claim
    outcome: Outcome
    scale: str | None
    data: tuple = ()
    runs: tuple = ()

    @property
    def verdict(self):
        """The verdict with its scale and data, such as "reproduced at laptop scale, linear data"."""
        if self.scale is None:
            return self.outcome.verdict
        data = f", {' and '.join(self.data)}" if self.data else ""
        return f"{self.outcome.verdict} at {self.scale} scale{data}"


class MissingRunsError(Exception):
    """A check asked for runs that are not finished."""


class Evidence:
    """The finished runs of some figures at one scale.

    Args:
        replication: A `program.Replication`.
        figures: Names of its figure presets.
        records: Folder of all runs.
        scale: One of `program.SCALES`.
    """

    def __init__(self, replication, figures, records, scale):
        self.scale = scale
        self.used = {}
        self._replication, self._records, self._figures = replication, records, " and ".join(figures)
        settings = dict.fromkeys(s.resolve() for f in figures for s in replication.figure(f, scale))
        self._runs = find_runs(replication, settings, records)

    @property
    def state(self):
        """How many runs are finished, in words."""
        finished = f"{sum(run is not None for _, run in self._runs)} of the {len(self._runs)} runs"
        return f"{finished} of figure {self._figures} at {self.scale} scale are finished."

    def _matching(self, coordinates):
        matching = [
            (settings, run)
            for settings, run in self._runs
            if all(getattr(settings, name) == value for name, value in coordinates.items())
        ]
        if not matching:
            raise LookupError(f"No figure has a run with these settings. Received: {coordinates}")
        return matching

    def runs(self, **coordinates):
        """Returns (settings, Run) of every run with these settings.

        Raises:
            MissingRunsError: Not all of them are finished.
        """
        matching = self._matching(coordinates)
        if any(run is None for _, run in matching):
            raise MissingRunsError(self.state)
        self.used |= dict(matching)
        return matching

    def run(self, **coordinates):
        """Returns the one Run with these settings; raises like `runs`."""
        ((_, run),) = self.runs(**coordinates)
        return run

    def seeds(self, **coordinates):
        """Returns the Run with these settings and those that differ from it only by the next four seeds."""
        ((settings, run),) = self.runs(**coordinates)
        others = [dataclasses.replace(settings, seed=settings.seed + i) for i in range(1, _NUM_SEEDS)]
        found = {s: other for s, other in find_runs(self._replication, others, self._records) if other}
        self.used |= found
        return [run, *found.values()]

    def values(self, name, **coordinates):
        """Returns the sorted values of a setting over the runs that a complete figure has."""
        return sorted({getattr(settings, name) for settings, _ in self._matching(coordinates)})


def _judge_at(claim, replication, records, scale):
    evidence = Evidence(replication, claim.figures, records, scale)
    try:
        outcome = claim.check(evidence)
    except MissingRunsError as error:
        return Judgement(claim, Outcome("not run", str(error)), scale)
    runs = tuple(evidence.used.values())
    names = {name for run in runs if (name := data_name(run))}
    return Judgement(claim, outcome, scale, tuple(sorted(names)), runs)


def data_name(run):
    """How results on a run's data must be named, such as "linear data" or "CIFAR-10"; None: not said."""
    synthetic = run.record["settings"].get("data")
    return run.record.get("data") or (synthetic and f"{synthetic} data")


def judge(claims, replication, records, scale=None):
    """Judges claims on the finished runs below a folder.

    Args:
        claims: Claims of one paper.
        replication: Its `program.Replication`.
        records: Folder of all runs.
        scale: Scale of the runs; None takes for each claim the largest at which its runs are finished.

    Returns:
        A Judgement for each claim.
    """
    scales = tuple(reversed(SCALES)) if scale is None else (scale,)
    judgements = []
    for claim in claims:
        tried = []
        for s in scales:
            tried.append(_judge_at(claim, replication, records, s))
            if tried[-1].outcome.verdict != "not run":
                break
        else:
            tried.append(dataclasses.replace(tried[0], scale=scale))
        judgements.append(tried[-1])
    return judgements


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Where a claim says a value lies."""

    low: float = -math.inf
    high: float = math.inf

    def verdict(self, low, high):
        """The verdict of an interval; nan (no interval) leaves the claim unclear."""
        if self.low < low and high < self.high:
            return "reproduced"
        return "contradicted" if high < self.low or low > self.high else "unclear"

    def margin(self, estimate):
        """Factor, as a logarithm, by which an interval stays inside; the smallest is the closest call."""
        with np.errstate(all="ignore"):
            over = np.log(estimate.low / self.low) if self.low > 0 else math.inf
            return min(over, np.log(self.high / np.float64(estimate.high)))

    def __str__(self):
        if math.isinf(self.high):
            return f"above {self.low:.3g}"
        if math.isinf(self.low):
            return f"below {self.high:.3g}"
        return f"{self.low:.2g} to {self.high:.2g}"


def above(threshold=1.0):
    """Bounds of an ordering: the value exceeds the threshold."""
    return Bounds(low=threshold)


def below(threshold=1.0):
    """Bounds of an ordering: the value stays under the threshold."""
    return Bounds(high=threshold)


def about(value, factor):
    """Bounds of an equality or an order of magnitude: within a factor of the value."""
    return Bounds(value / factor, value * factor)


def number(value):
    """Writes a number with three digits."""
    return f"{float(f'{value:.3g}'):,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its interval over n runs or pairs, and the same value computed from medians."""

    value: float
    low: float
    high: float
    n: int
    median: float = math.nan

    def __str__(self):
        limits = f"{number(self.low)}, {number(self.high)}"
        if math.isnan(self.low):
            limits = f"no interval from n = {self.n}"
        median = "" if math.isnan(self.median) or self.n < 2 else f" (median {number(self.median)})"
        return f"{number(self.value)} [{limits}]{median}"


@dataclasses.dataclass(frozen=True)
class Contrast:
    """A product of powers of means: exp(sum of coefficient * ln(mean of sample)).

    Ratios, ratios of ratios and slopes on logarithmic axes are contrasts.

    Args:
        label: What is compared.
        samples: One sequence of values for each mean.
        coefficients: One number for each sample.
        paired: Whether the values at one index of all samples belong together and are resampled together.
    """

    label: str
    samples: tuple
    coefficients: tuple
    paired: bool = True

    def estimate(self, confidence=1 - _ERROR, center=np.mean):
        """Returns the Estimate by a seeded bootstrap (BCa, or percentile where that is undefined)."""

        def logarithm(*samples, center=center, axis=-1):
            terms = zip(self.coefficients, samples, strict=True)
            return sum(c * np.log(center(sample, axis=axis)) for c, sample in terms)

        samples = [np.asarray(sample, np.float64) for sample in self.samples]
        n = min(len(sample) for sample in samples)
        if n == 0:
            return Estimate(math.nan, math.nan, math.nan, 0)
        low = high = math.nan
        with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value, median = (float(np.exp(logarithm(*samples, center=c))) for c in (center, np.median))
            for method in ("BCa", "percentile") if n > 1 else ():
                found = stats.bootstrap(
                    samples,
                    logarithm,
                    paired=self.paired,
                    confidence_level=confidence,
                    n_resamples=_RESAMPLES,
                    method=method,
                    rng=np.random.default_rng(0),
                ).confidence_interval
                low, high = (float(np.exp(limit)) for limit in found)
                if math.isfinite(low) and math.isfinite(high):
                    break
        return Estimate(value, low, high, n, math.nan if center is np.median else median)


def ratio(label, top, bottom, paired=True):
    """The Contrast mean(top) / mean(bottom)."""
    return Contrast(label, (top, bottom), (1.0, -1.0), paired)


def slope(label, samples, positions):
    """The Contrast exp(least-squares slope of ln(mean) over `positions`): the change per unit, a factor."""
    offsets = np.asarray(positions, np.float64) - np.mean(positions)
    return Contrast(label, tuple(samples), tuple(offsets / np.sum(offsets**2)))


def quotient(label, first, second):
    """The Contrast first / second; all their samples belong together."""
    coefficients = (*first.coefficients, *(-c for c in second.coefficients))
    return Contrast(label, (*first.samples, *second.samples), coefficients)


def estimate_center(values, center=np.mean):
    """Returns the Estimate of the mean or median of one sample."""
    median = float(np.median(values)) if center is np.mean else math.nan
    with np.errstate(all="ignore"):  # values that differ by rounding alone
        low, high = interval(values, center)
    return Estimate(float(center(values)), low, high, len(values), median)


def holds(quantity, estimate, bounds):
    """The Outcome of one estimate."""
    verdict = bounds.verdict(estimate.low, estimate.high)
    return Outcome(verdict, f"{quantity} is {estimate}, expected {bounds}")


def compare(quantity, contrasts, bounds, every=True, center=np.mean):
    """The Outcome of a family of contrasts with the same bounds.

    The error probability of 5 % is shared among them. With `every`, all must lie within the bounds and one
    outside contradicts the claim; without, one inside is enough and only all outside contradict it.
    """
    confidence = 1 - _ERROR / len(contrasts)
    found = []
    for contrast in contrasts:
        estimate = contrast.estimate(confidence, center)
        found.append((bounds.verdict(estimate.low, estimate.high), contrast.label, estimate))
    tally = Counter(verdict for verdict, _, _ in found)
    decisive, other = ("contradicted", "reproduced") if every else ("reproduced", "contradicted")
    verdict = decisive if tally[decisive] else other if tally[other] == len(found) else "unclear"
    if len(found) == 1:
        return Outcome(verdict, f"{quantity}, {found[0][1]}, is {found[0][2]}, expected {bounds}")
    texts = [_list(kind, found, bounds) for kind in VERDICTS if tally[kind]]
    level = f"{100 * confidence:.4g} % intervals"
    return Outcome(verdict, f"{quantity}, expected {bounds} ({level}): {', '.join(texts)}")


def _list(kind, found, bounds):
    """Counts the comparisons with one verdict; names them all if they are few, else the closest call."""
    members = [(label, estimate) for verdict, label, estimate in found if verdict == kind]
    few = len(members) <= 4
    shown = members if few else [min(members, key=lambda member: bounds.margin(member[1]))]
    text = ", ".join(f"{label}: {estimate}" for label, estimate in shown)
    closest = "" if few else "closest " if kind == "reproduced" else "such as "
    return f"{len(members)} of {len(found)} {kind} ({closest}{text})"


def magnitude(quantity, samples, order, scale, factor=10.0, center=np.mean):
    """The Outcome of a published order of magnitude; an absolute number, so judged at paper scale only.

    With one seed the interval of the mean over its runs or pairs decides; with several, that of their
    geometric mean over the seeds.

    Args:
        quantity: What was measured.
        samples: One sequence of values for each seed.
        order: The published order.
        scale: Scale of the runs.
        factor: How far from the order a value may lie.
        center: numpy.mean or numpy.median, of a seed's values.
    """
    estimate = estimate_center(samples[0], center)
    if scale != "paper":
        return Outcome(NOT_JUDGED, f"{quantity} is {estimate}, its order judged at paper scale only")
    bounds = about(order, factor)
    if len(samples) == 1:
        where = {
            "reproduced": "wholly within",
            "contradicted": "wholly outside",
            "unclear": "not wholly within",
        }
        verdict = bounds.verdict(estimate.low, estimate.high)
        text = f"one seed, the interval {where[verdict]} a factor of {factor:g} of {order:g}"
        return Outcome(verdict, f"{quantity} is {estimate}, {text}")
    centers = np.array([center(sample) for sample in samples])
    low, high = np.exp(interval(np.log(centers)))
    inside = int(np.sum((bounds.low < centers) & (centers < bounds.high)))
    pooled = Estimate(float(np.exp(np.log(centers).mean())), float(low), float(high), len(centers))
    text = f"{inside} of {len(centers)} seeds within a factor of {factor:g} of {order:g}"
    return Outcome(bounds.verdict(low, high), f"{quantity} over seeds is {pooled}, {text}")


def together(*outcomes):
    """The Outcome of a claim with several parts: all must hold, one contradicted part contradicts it.

    Parts that are not judged are only reported; a claim with no judged part is unclear.
    """
    verdicts = {outcome.verdict for outcome in outcomes} - {NOT_JUDGED}
    worst = [v for v in ("contradicted", "unclear", "reproduced") if v in verdicts]
    seen = "; ".join(outcome.seen for outcome in outcomes)
    return Outcome(worst[0] if worst else "unclear", f"{seen[0].upper()}{seen[1:]}.", outcomes)
