"""From samples to verdicts: intervals of means and of their ratios, held against bounds.

Every verdict follows from one rule: an interval that lies inside the claim's bounds reproduces it, one that
lies outside contradicts it, and one across a bound leaves it open. Where one of several comparisons
decides alone they share its error probability (Bonferroni); where all have to agree none is needed
(intersection-union test, Berger 1982).
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..statistics import interval, interval_of_samples

VERDICTS = ("reproduced", "in part", "contradicted", "no difference", "out of reach", "open", "not run")
DECIDED = VERDICTS[:4]
NOT_JUDGED = "not judged"  # a part that is only reported, such as an absolute number below paper scale
_ERROR = 0.05


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a check found.

    Args:
        verdict: One of VERDICTS, or NOT_JUDGED for a part.
        seen: In a sentence the numbers that decided.
        parts: Outcomes of the parts of a claim.
        p: The p value of the test that decided; nan where an interval did.
        more: About how many further seeds would decide what is open; None: not known.
        found: As `seen`, without what the test gave and with the closest of several numbers alone.
    """

    verdict: str
    seen: str
    parts: "tuple[Outcome, ...]" = ()
    p: float = math.nan
    more: int | None = None
    found: str = ""

    @property
    def words(self) -> str:
        """The verdict, of parts with their number, such as "reproduced in part (3 of 4)"."""
        judged = [part.verdict for part in self.parts if part.verdict != NOT_JUDGED]
        if self.verdict != "in part":
            return self.verdict
        return f"reproduced in part ({judged.count('reproduced') + judged.count('in part')} of {len(judged)})"

    @property
    def clause(self) -> str:
        """What was found, as words within a sentence."""
        return self.found or self.seen.removesuffix(".")

    def noting(self, text: str) -> "Outcome":
        """Returns the same Outcome with a sentence on its runs."""
        parts = self.parts and (*self.parts, Outcome(NOT_JUDGED, text))
        return dataclasses.replace(self, seen=f"{self.seen} {text}", parts=parts)


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Where a claim says a value lies."""

    low: float = -math.inf
    high: float = math.inf

    def verdict(self, low: float, high: float) -> str:
        """The verdict of an interval; nan (no interval) leaves the claim open."""
        if self.low < low and high < self.high:
            return "reproduced"
        return "contradicted" if high < self.low or low > self.high else "open"

    def margin(self, estimate: "Estimate") -> float:
        """How far an interval stays inside, as a factor where bounds are positive; the least is closest."""
        low, high = np.float64(estimate.low), np.float64(estimate.high)
        if self.low <= 0 or self.high <= 0:
            return min(low - self.low, self.high - high)
        with np.errstate(all="ignore"):
            return min(np.log(low / self.low), np.log(self.high / high))

    def __str__(self):
        if math.isinf(self.high):
            return f"above {self.low:.3g}"
        if math.isinf(self.low):
            return f"below {self.high:.3g}"
        return f"{self.low:.2g} to {self.high:.2g}"


def above(threshold: float = 1.0) -> Bounds:
    """Bounds of an ordering: the value exceeds the threshold."""
    return Bounds(low=threshold)


def below(threshold: float = 1.0) -> Bounds:
    """Bounds of an ordering: the value stays under the threshold."""
    return Bounds(high=threshold)


def number(value: float) -> str:
    """Writes a number with three digits."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if 1000 <= abs(rounded) < 1e6 else f"{rounded:.3g}"


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A value with its interval over n runs or pairs, and the same value computed from medians."""

    value: float
    low: float
    high: float
    n: int
    median: float = math.nan

    def __str__(self):
        if math.isnan(self.value):
            return "not measured in every run" if self.n else "not measured"
        limits = f"{number(self.low)}, {number(self.high)}"
        if math.isnan(self.low):
            limits = f"no interval from n = {self.n}"
        median = "" if math.isnan(self.median) or self.n < 2 else f" (median {number(self.median)})"
        return f"{number(self.value)} [{limits}]{median}"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One value per seed, network or pair, whose mean is estimated.

    Args:
        label: What is estimated.
        values: The values.
        groups: The units that values share, as `interval_over_units` takes them; empty: none.
        factor: Whether the values are positive: the interval is that of the mean's logarithm.
    """

    label: str
    values: tuple[float, ...]
    groups: tuple[Sequence, ...] = ()
    factor: bool = False

    def estimate(self, confidence: float = 1 - _ERROR) -> Estimate:
        """Returns the Estimate; undefined if a value is nan, without an interval for fewer than two."""
        values = np.asarray(self.values, np.float64)
        if not len(values) or np.isnan(values).any():
            return Estimate(math.nan, math.nan, math.nan, len(values))
        if not self.factor:
            low, high = interval(values, np.mean, confidence, self.groups)
            return Estimate(float(np.mean(values)), low, high, len(values))
        with np.errstate(divide="ignore", over="ignore"):
            found = interval_of_samples([values], _logarithm, True, confidence, groups=self.groups)
        low, high = map(float, np.exp(found))
        return Estimate(float(np.mean(values)), low, high, len(values), float(np.median(values)))


def _logarithm(sample: np.ndarray, axis: int = -1) -> Any:
    return np.log(np.mean(sample, axis=axis))


def geometric_mean(label: str, values: Sequence) -> Sample:
    """The Sample of positive ratios, one per seed: their mean, with an interval on a logarithmic scale."""
    return Sample(label, tuple(values), factor=True)


class Estimable(Protocol):
    """What `compare` holds against bounds: a `Contrast`, a `Sample`, or a paper's own."""

    @property
    def label(self) -> str:
        """What is estimated."""

    def estimate(self, confidence: float = ...) -> Estimate:
        """Returns the value with its interval."""


def compare(quantity: str, contrasts: Sequence[Estimable], bounds: Bounds, every: bool = True) -> Outcome:
    """The Outcome of a family of contrasts with the same bounds.

    With `every`, all must lie within the bounds, by their 95 % intervals, and one outside contradicts the
    claim; without, one inside is enough and only all outside contradict it. Where one decides alone, the
    error probability of 5 % is shared among all.
    """
    alone, other = ("contradicted", "reproduced") if every else ("reproduced", "contradicted")
    shared = 1 - _ERROR / len(contrasts)
    found, level = [], "95 % intervals"
    for contrast in contrasts:
        estimate = contrast.estimate(1 - _ERROR)
        verdict = bounds.verdict(estimate.low, estimate.high)
        if verdict == alone and len(contrasts) > 1:
            level = f"95 % intervals; {alone} at {100 * shared:.4g} %"
            wide = contrast.estimate(shared)
            verdict = bounds.verdict(wide.low, wide.high)
        found.append((verdict, contrast.label, estimate))
    tally = Counter(verdict for verdict, _, _ in found)
    verdict = alone if tally[alone] else other if tally[other] == len(found) else "open"
    if len(found) == 1:
        text = f"{quantity}, {found[0][1]}, is {found[0][2]}, expected {bounds}"
        return Outcome(verdict, text, found=text)
    texts = [_list(kind, found, bounds) for kind in VERDICTS if tally[kind]]
    _, label, closest = min((f for f in found if f[0] == verdict), key=lambda f: bounds.margin(f[2]))
    text = f"{quantity}, expected {bounds} ({level}): {', '.join(texts)}"
    short = f"{quantity}, {label}, the closest of {len(found)}, is {closest}, expected {bounds}"
    return Outcome(verdict, text, found=short)


def _list(kind, found, bounds):
    """Counts the comparisons with one verdict; names them all if they are few, else the closest call."""
    members = [(label, estimate) for verdict, label, estimate in found if verdict == kind]
    few = len(members) <= 4
    shown = members if few else [min(members, key=lambda member: bounds.margin(member[1]))]
    text = ", ".join(f"{label}: {estimate}" for label, estimate in shown)
    closest = "" if few else "closest " if kind == "reproduced" else "such as "
    return f"{len(members)} of {len(found)} {kind} ({closest}{text})"


def near_published(scale: str, quantity: str, found: Estimable, number: float, tolerance: float) -> Outcome:
    """The Outcome of a published number, within a tolerance; judged at paper scale only.

    Args:
        scale: Scale of the runs.
        quantity: What was measured, with its unit.
        found: Sample, or what else `compare` takes.
        number: The published value.
        tolerance: How far from it a replication may lie.
    """
    estimate = found.estimate()
    text = f"{quantity}, {found.label}, is {estimate}, published {number:g}"
    if scale != "paper":
        return Outcome(NOT_JUDGED, f"{text}, judged at paper scale only")
    verdict = Bounds(number - tolerance, number + tolerance).verdict(estimate.low, estimate.high)
    return Outcome(verdict, f"{text}, expected within {tolerance:g}")
