"""One question, one test: from effects to verdicts.

Every decision is wrong in at most 5 % of cases in each direction, whatever the number of seeds: orderings
are tested one-sided, in both directions alike; "equal" is an equivalence test with a margin (two one-sided
tests, Schuirmann 1987); a peak is an intersection of two orderings (Berger 1982) at places that other seeds
have chosen. tests/common/study/test_decisions.py measures the error rates and the power by simulation.
"""

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import stats

from .effects import ERROR, Effect, level
from .verdicts import NOT_JUDGED, Outcome, number

# What counts as equal where a claim gives no margin of its own. One table for all papers.
MARGINS = {
    "score": 0.02,  # of a reproducibility score, between networks
    "points": 1.0,  # percentage points of accuracy or error
    "factor": 1.5,  # of what is compared by ratios
}


def _p(value):
    return f"p = {value:.2g}" if value >= 1e-4 else "p < 0.0001"


def _measured(question, effect):
    return f"{question}, {effect.label.removesuffix(',')},"


def ordering(
    question: str, effect: Effect, bound: float | None = None, margin: float | None = None
) -> Outcome:
    """The Outcome of a claim that an effect is above a bound.

    Args:
        question: The quantity that is compared, with its unit.
        effect: Effect; for "below" its `inverse()`.
        bound: 0 by default, or 1 for a factor.
        margin: How far from the bound an effect is a tie: where neither direction is significant and the
            interval lies within, the verdict is "no difference". A difference, or a factor above 1. None: no
            tie is declared.
    """
    bound = (1.0 if effect.factor else 0.0) if bound is None else bound
    above, below = effect.p_above(bound), effect.p_below(bound)
    text = f"{_measured(question, effect)} is {effect}, expected above {number(bound)}"
    if above <= ERROR:
        return Outcome("reproduced", f"{text} ({_p(above)})", p=above, found=text)
    if below <= ERROR:
        return Outcome("contradicted", f"{text} (of the opposite {_p(below)})", p=below, found=text)
    if margin is not None and (equal := _p_equal(effect, bound, margin)) <= ERROR:
        size = f"a factor of {margin:g}" if effect.factor else f"{margin:g}"
        text = f"{text}; equal within {size}"
        return Outcome("no difference", f"{text} ({_p(equal)})", p=equal, found=text)
    more = effect.further_seeds(bound)
    return Outcome("open", f"{text} ({_p(above)})", p=above, more=more, found=text)


def _limits(effect, value, margin):
    return (value / margin, value * margin) if effect.factor else (value - margin, value + margin)


def _p_equal(effect, value, margin):
    low, high = _limits(effect, value, margin)
    return max(effect.p_above(low), effect.p_below(high))


def equality(question: str, effect: Effect, margin: float, value: float | None = None) -> Outcome:
    """The Outcome of a claim that an effect equals a value within a margin.

    Args:
        question: The quantity that is compared, with its unit.
        effect: Effect.
        margin: A difference, or a factor above 1.
        value: 0 by default, or 1 for a factor.
    """
    value = (1.0 if effect.factor else 0.0) if value is None else value
    low, high = _limits(effect, value, margin)
    equal, outside = _p_equal(effect, value, margin), min(effect.p_below(low), effect.p_above(high))
    text = f"{_measured(question, effect)} is {effect}, expected from {number(low)} to {number(high)}"
    if equal <= ERROR:
        return Outcome("reproduced", f"{text} ({_p(equal)})", p=equal, found=text)
    if outside <= ERROR:
        return Outcome("contradicted", f"{text} (of lying outside {_p(outside)})", p=outside, found=text)
    nearer = (effect.value**2 < low * high) if effect.factor else (effect.value - low < high - effect.value)
    more = effect.further_seeds(low if nearer else high)
    return Outcome("open", f"{text} ({_p(equal)})", p=equal, more=more, found=text)


def trend(question: str, label: str, values: np.ndarray) -> Outcome:
    """The Outcome of a claim that a curve grows, by Page's test for ordered alternatives (1963).

    Seeds are blocks; within a seed the test uses ranks alone, so one leap at an end is not the whole trend.

    Args:
        question: The quantity, with its unit; a curve that falls is given with a minus sign.
        label: Over what it grows.
        values: Array of shape (seeds, places), three places or more.
    """
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values).all(axis=1)]
    if len(values) < 2:
        return Outcome("open", f"{question} over {label} needs two seeds with all places")
    grows, falls = (float(stats.page_trend_test(sign * values).pvalue) for sign in (1, -1))
    ranks = np.mean(
        [stats.spearmanr(np.arange(values.shape[1]), row)[0] if np.ptp(row) else 0 for row in values]
    )
    seen = f"mean rank correlation {ranks:.2f} over {len(values)} seeds"
    text = f"{question} over {label}: {seen}, expected to grow"
    if grows <= ERROR:
        return Outcome("reproduced", f"{text} (Page's test, {_p(grows)})", p=grows, found=text)
    if falls <= ERROR:
        return Outcome("contradicted", f"{text} (falls: {_p(falls)})", p=falls, found=text)
    return Outcome("open", f"{text} ({_p(grows)})", p=grows, found=text)


def rate(question: str, successes: int, trials: int, bound: float = 0.5) -> Outcome:
    """The Outcome of a claim that something happens in more than a share of the cases (exact binomial test).

    Args:
        question: What happens, to what.
        successes: How often it happened.
        trials: Of how many independent cases.
        bound: The share.
    """
    text = f"{question} in {successes} of {trials}, expected in more than {100 * bound:.3g} %"
    if not trials:
        return Outcome("open", text)
    more, fewer = (
        float(stats.binomtest(successes, trials, bound, side).pvalue) for side in ("greater", "less")
    )
    if more <= ERROR:
        return Outcome("reproduced", f"{text} ({_p(more)})", p=more, found=text)
    if fewer <= ERROR:
        return Outcome("contradicted", f"{text} (of the opposite {_p(fewer)})", p=fewer, found=text)
    return Outcome("open", f"{text} ({_p(more)})", p=more, found=text)


def correlation(question: str, label: str, first: np.ndarray, second: np.ndarray) -> Outcome:
    """The Outcome of a claim that two curves go together: their mean rank correlation is above 0.

    A seed's rank correlation counts on Fisher's scale, artanh, held within 0.99; seeds are the sample.

    Args:
        question: The two quantities.
        label: Over what they are compared.
        first: Array of shape (seeds, places), four places or more.
        second: Like it.
    """
    kept = np.isfinite(first).all(axis=1) & np.isfinite(second).all(axis=1)
    pairs = zip(first[kept], second[kept], strict=True)
    found = [stats.spearmanr(a, b)[0] if np.ptp(a) and np.ptp(b) else 0.0 for a, b in pairs]
    effect = level(label, np.arctanh(np.clip(found, -0.99, 0.99)))
    each = ", ".join(f"{r:.2f}" for r in found)
    return ordering(f"rank correlation (of seeds {each}; on Fisher's scale) of {question}", effect)


def choosing_and_deciding(pilot: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which seeds choose places such as that of a peak, and which decide there.

    A place that is read off the values that it is tested on makes peaks of noise. So the exploratory seeds
    choose; where there are none, the first seed does and decides nothing.

    Args:
        pilot: Array of shape (exploratory seeds, cells).
        values: Array of shape (seeds, cells).

    Returns:
        The seeds' mean that chooses, of shape (cells,), in each cell over the seeds that have a value, nan
        if none has; the values that decide.
    """
    pilot, values = np.asarray(pilot, np.float64), np.asarray(values, np.float64)
    if not len(pilot):
        pilot, values = values[:1], values[1:]
    with np.errstate(invalid="ignore"):  # of a cell without any
        return np.nansum(pilot, axis=0) / np.isfinite(pilot).sum(axis=0), values


def peak(
    question: str,
    pilot: np.ndarray,
    values: np.ndarray,
    places: Sequence[float],
    near: np.ndarray,
    factor: bool,
) -> Outcome:
    """The Outcome of a claim that a curve rises to a peak near a place and falls behind it.

    Two orderings have to hold: the peak lies above the least value before it, and above the last value.

    Args:
        question: The quantity, with its unit.
        pilot: Array of shape (exploratory seeds, places), which choose the peak and the trough before it; see
            `choosing_and_deciding`.
        values: Array of shape (seeds, places), which decide.
        places: Names of the places, such as widths.
        near: Boolean array of shape (places,): where the peak is looked for.
        factor: Whether values are compared by ratios.
    """
    chooser, values = choosing_and_deciding(pilot, values)
    if not np.isfinite(chooser).all():
        return Outcome("open", f"{question}: no seed that chooses the peak has a value at every place")
    if not len(values):
        return Outcome(
            "open", f"{question}: the seeds that are run chose the place, and others have to decide"
        )
    top = int(np.argmax(np.where(near, chooser, -np.inf)))
    if top in (0, len(places) - 1):
        return Outcome("open", f"{question}: the peak of the seeds that choose is at the end, {places[top]}")
    trough = int(np.argmin(chooser[:top]))

    def against(other, name):
        coefficients = np.zeros(len(places))
        coefficients[[top, other]] = 1, -1
        return Effect(f"{places[top]} against {name} {places[other]}", values, coefficients, factor)

    rise = ordering(question, against(trough, "the least before it,"))
    fall = ordering(question, against(len(places) - 1, "the last,"))
    return every(rise, fall)


def every(*outcomes: Outcome) -> Outcome:
    """The Outcome of a statement all of whose parts have to hold (intersection-union test, Berger 1982).

    One contradicted part contradicts it, at 5 % divided by the number of parts (Bonferroni).
    """
    against = sorted((o for o in outcomes if o.verdict == "contradicted"), key=lambda o: o.p)
    verdicts = {o.verdict for o in outcomes}
    seen = "; ".join(o.seen for o in outcomes)
    if verdicts == {"reproduced"}:
        return Outcome("reproduced", seen, p=_p_of_all(outcomes), found=_found(outcomes))
    if against and against[0].p <= ERROR / len(outcomes):
        p = len(outcomes) * against[0].p
        return Outcome("contradicted", seen, p=p, found=_found(outcomes))
    if verdicts <= {"reproduced", "no difference"}:
        ties = [o.p for o in outcomes if o.verdict == "no difference"]
        return Outcome("no difference", seen, p=max(ties), found=_found(outcomes))
    return Outcome("open", seen, p=_p_of_all(outcomes), more=_more(outcomes), found=_found(outcomes))


def _p_of_all(outcomes):
    """The p value of all parts together, the largest; nan if a part has none.

    That of a contradicted part speaks against it, and that of a tie says nothing of an order.
    """
    turned = {"contradicted": lambda p: 1 - p, "no difference": lambda p: 1.0}
    return float(np.max([turned.get(o.verdict, float)(o.p) for o in outcomes]))


def _found(outcomes):
    return "; ".join(outcome.clause for outcome in outcomes)


def _more(outcomes):
    """The seeds that decide all that is open; None if that is not known of one."""
    needed = [o.more for o in outcomes if o.verdict == "open"]
    known = [n for n in needed if n is not None]
    return max(known) if known and len(known) == len(needed) else None


def together(*outcomes: Outcome) -> Outcome:
    """The Outcome of a claim whose parts are judged one by one.

    Reproduced if all parts are, "in part" if at least half are. While open parts could still make half, it
    is open; else it is contradicted, or "no difference" if no part is contradicted. Parts that are not judged
    are only reported, and a claim with no judged part is open.
    """
    judged = [outcome for outcome in outcomes if outcome.verdict != NOT_JUDGED]
    tally = Counter(outcome.verdict for outcome in judged)
    held = tally["reproduced"] + tally["in part"]
    seen = "; ".join(outcome.seen for outcome in outcomes)
    verdict = _verdict_of_parts(len(judged), tally, held)
    count = f"{held} of {len(judged)} parts hold: " if verdict == "in part" else ""
    text = f"{count}{seen}."
    deciding = [o for o in judged if o.verdict in _DECIDES[verdict]]
    with_p = [o.p for o in deciding if not math.isnan(o.p)]
    more = _more(judged) if verdict == "open" else None
    p = max(with_p) if with_p and len(with_p) == len(deciding) else math.nan
    return Outcome(verdict, f"{text[0].upper()}{text[1:]}", outcomes, p, more, _found(judged))


_DECIDES = {
    "reproduced": ("reproduced",),
    "in part": ("reproduced", "in part"),
    "contradicted": ("contradicted",),
    "no difference": ("no difference",),
    "open": ("open",),
}


def _verdict_of_parts(count, tally, held):
    if not count:
        return "open"
    if tally["reproduced"] == count:
        return "reproduced"
    if (count > 1 and 2 * held >= count) or tally["in part"] == count:
        return "in part"
    if tally["open"] and 2 * (held + tally["open"]) >= count:
        return "open"
    return "contradicted" if tally["contradicted"] else "no difference"


def described(quantity: str, values: Sequence[tuple[str, Effect | float | str]]) -> Outcome:
    """A part that lists single comparisons and is not judged."""
    return Outcome(NOT_JUDGED, f"{quantity}: {', '.join(f'{label} {value}' for label, value in values)}")
