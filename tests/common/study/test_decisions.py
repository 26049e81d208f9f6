"""Decisions against values worked out by hand, and how often each is wrong, by simulation.

Simulated curves have the spread of our records; a rate of N trials is known to a standard error of
sqrt(rate (1 - rate) / N), and a limit of 5 % is held to within three of them. `-m slow` runs more trials.
`python -m tests.common.study.test_decisions` prints the table of docs/claims.md, in a few minutes.
"""

import math

import numpy as np
import pytest
from scipy import stats

from common.study import decisions, effects
from common.study.effects import Effect
from common.study.verdicts import NOT_JUDGED, Outcome

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12)
NEAR = np.array([4 <= width <= 8 for width in WIDTHS])
SEEDS = (3, 5)  # those of the presets
FLAT = np.zeros(len(WIDTHS))
FALLING = -np.arange(len(WIDTHS), dtype=float)
RISING = -FALLING
# A trough at width 3, a peak at 6, as the test error of the ConvNets over width has them, in points.
PEAKED = np.array([4.0, 1.0, 0.0, 1.0, 3.0, 4.0, 3.5, 2.0, -2.0])


def draws(curve, seeds, rng, spread=1.0):
    """Seeds with a level of their own, as blocks have."""
    own = rng.normal(0, 2 * spread, (seeds, 1))
    return curve + own + rng.normal(0, spread, (seeds, len(curve)))


def test_contrast_of_three_cells_by_hand():
    # Of the seeds 2.5 - 1 = 1.5 and 5.75 - 3.5 = 2.25.
    effect = Effect("b and c - a", np.array([[1.0, 1.5, 3.5], [3.5, 4.5, 7.0]]), np.array([-1.0, 0.5, 0.5]))
    assert effect.value == pytest.approx(1.875)
    assert effect.deviation == pytest.approx(0.75 / math.sqrt(2))
    assert effect.freedom == 1
    # t of one degree of freedom is Cauchy's: 1.875 / 0.375 = 5.
    assert effect.p_above(0) == pytest.approx(0.5 - math.atan(5) / math.pi)
    assert effect.p_below(0) == pytest.approx(0.5 + math.atan(5) / math.pi)
    low, high = effect.interval()
    assert (low + high) / 2 == pytest.approx(1.875)
    assert high - 1.875 == pytest.approx(0.375 * math.tan(0.45 * math.pi))


def test_two_cells_are_the_paired_t_test():
    rng = np.random.default_rng(0)
    first, second = rng.random((2, 6))
    effect = effects.difference("", first, second)
    assert effect.p_above(0) == pytest.approx(stats.ttest_rel(first, second, alternative="greater").pvalue)
    factor = effects.difference("", np.exp(first), np.exp(second), factor=True)
    assert factor.value == pytest.approx(math.exp(effect.value))
    assert factor.p_above(1.0) == pytest.approx(effect.p_above(0.0))
    assert factor.p_below(2.0) == pytest.approx(effect.p_below(math.log(2)))


def test_a_level_has_the_variance_of_one_number_a_seed():
    values = np.array([1.0, 2.0, 4.0])
    assert effects.level("", values).p_above(0) == pytest.approx(
        stats.ttest_1samp(values, 0, alternative="greater").pvalue
    )


def test_a_slope_is_that_of_least_squares():
    values = np.array([[0.0, 1.0, 2.0, 4.0], [1.0, 2.0, 3.0, 5.0]])
    found = effects.slope("", values, (0, 1, 2, 4))
    assert found.value == pytest.approx(np.polyfit((0, 1, 2, 4), values.mean(axis=0), 1)[0])


def test_pairs_of_seeds_by_hand():
    # Pairs 01: 1, 02: 2, 12: 6, mean 3; without seed 0 it is 6, without 1 2, without 2 1.
    scores = np.array([[9.0, 1.0, 2.0], [1.0, 9.0, 6.0], [2.0, 6.0, 9.0]])[..., None]
    assert effects.over_pairs(scores).ravel() == pytest.approx([3 * 3 - 2 * 6, 3 * 3 - 2 * 2, 3 * 3 - 2 * 1])
    assert effects.over_pairs(scores[:2, :2]).tolist() == [[1.0]]
    assert effects.over_pairs(scores[:1, :1]).shape == (0, 1)


def test_a_seed_that_diverged_has_no_pairs():
    scores = np.array(
        [[9.0, 1.0, np.nan, 2.0], [1.0, 9.0, np.nan, 6.0], [np.nan] * 4, [2.0, 6.0, np.nan, 9.0]]
    )
    rest = [0, 1, 3]
    np.testing.assert_array_equal(
        effects.over_pairs(scores[..., None]), effects.over_pairs(scores[np.ix_(rest, rest)][..., None])
    )
    assert effects.over_pairs(scores[1:3, 1:3, None]).shape == (0, 1)


def test_a_mean_over_pairs_loses_what_its_seed_adds():
    own = np.array([0.0, 1.0, 5.0, 2.0])
    found = effects.over_pairs((own[:, None] + own)[..., None]).ravel()
    assert found == pytest.approx(2 * own)


def test_seeds_that_agree_to_the_last_digit_are_counted():
    assert effects.level("", [1.0] * 4).p_above(0) == 1 / 16
    assert decisions.ordering("", effects.level("", [1.0] * 5)).verdict == "reproduced"
    assert decisions.ordering("", effects.level("", [1.0] * 4)).verdict == "open"
    assert effects.level("", [0.0] * 5).p_above(0) == 1
    assert effects.level("", [1.0]).p_above(0) == 1
    assert effects.level("", [1.0, math.nan]).n == 1


def test_seeds_that_would_decide():
    effect = effects.level("", [1.0, -1.0, 3.0])  # mean 1, deviation 2
    further = effect.further_seeds(0.0)
    needed = next(n for n in range(4, 65) if stats.t.ppf(0.95, n - 1) * 2 / math.sqrt(n) < 1)
    assert further == needed - 3
    assert effects.level("", [1.0]).further_seeds(0.0) is None
    assert effects.level("", [1e-9, 2.0, -2.0]).further_seeds(0.0) is None
    # Values that do not differ are judged by their signs alone: 0.5^5 < 0.05.
    assert effects.level("", [1.0, 1.0, 1.0]).further_seeds(0.0) == 2


def test_cells_that_are_not_compared_take_no_part():
    """Here the third spreads a thousand times as much, and a seed lacks it."""
    values = np.array([[1.0, 2.0, 900.0], [1.1, 2.2, -900.0], [0.9, 2.1, 10.0], [1.0, 2.2, np.nan]])
    among = effects.Effect("", values, np.array([-1.0, 1.0, 0.0]))
    paired = stats.ttest_1samp(values[:, 1] - values[:, 0], 0, alternative="greater")
    assert among.p_above(0) == pytest.approx(paired.pvalue)
    assert among.freedom == pytest.approx(3) and among.n == 4


def test_equality_and_ties():
    close = effects.level("", [0.1, -0.1, 0.0, 0.05])
    assert decisions.equality("", close, 1.0).verdict == "reproduced"
    assert decisions.ordering("", close, margin=1.0).verdict == "no difference"
    assert decisions.ordering("", close).verdict == "open"
    assert decisions.equality("", effects.level("", [5.1, 4.9, 5.0]), 1.0).verdict == "contradicted"
    factor = effects.level("", [1.0, 1.1, 0.95], factor=True)
    assert decisions.equality("", factor, 1.5).verdict == "reproduced"
    assert decisions.equality("", factor, 1.5, value=3.0).verdict == "contradicted"


def test_rates_are_exact():
    assert decisions.rate("", 5, 5).p == pytest.approx(1 / 32)
    assert [decisions.rate("", k, 5).verdict for k in (5, 4, 1, 0)] == [
        "reproduced",
        "open",
        "open",
        "contradicted",
    ]
    assert decisions.rate("", 0, 0).verdict == "open"


def parts(*verdicts):
    return decisions.together(*(Outcome(v, v, p=0.01 * (i + 1)) for i, v in enumerate(verdicts)))


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        (["reproduced", "reproduced"], "reproduced"),
        (["reproduced", "contradicted"], "in part"),
        (["reproduced", "open", "contradicted", "contradicted"], "open"),
        (["reproduced", "no difference", "contradicted"], "contradicted"),
        (["no difference", "no difference"], "no difference"),
        (["open", "reproduced"], "in part"),
        (["open"], "open"),
        (["contradicted"], "contradicted"),
        ([NOT_JUDGED, "reproduced"], "reproduced"),
        ([NOT_JUDGED], "open"),
    ],
)
def test_parts(verdicts, expected):
    assert parts(*verdicts).verdict == expected


def test_parts_say_how_many_hold_and_the_largest_p_that_decides():
    outcome = parts("reproduced", "reproduced", "contradicted")
    assert outcome.words == "reproduced in part (2 of 3)"
    assert outcome.p == 0.02
    assert parts("contradicted", NOT_JUDGED).p == 0.01


def test_all_parts_have_to_hold_and_one_that_is_contradicted_pays_for_the_others():
    reproduced, contradicted = (lambda p, v=v: Outcome(v, v, p=p) for v in ("reproduced", "contradicted"))
    both = decisions.every(reproduced(0.01), reproduced(0.03))
    assert (both.verdict, both.p) == ("reproduced", 0.03)
    assert decisions.every(contradicted(0.04), reproduced(0.01)).verdict == "open"
    against = decisions.every(contradicted(0.02), reproduced(0.01))
    assert (against.verdict, against.p) == ("contradicted", 0.04)


@pytest.mark.parametrize("join", [decisions.every, decisions.together])
def test_the_part_that_needs_most_seeds_says_how_many(join):
    def parts(*needed):
        return join(*(Outcome("open", "", p=0.5, more=more) for more in needed))

    assert parts(3, 7).more == parts(7, 3).more == 7
    assert parts(3, None).more is None


def test_a_seed_without_a_value_has_no_part_in_a_trend():
    found = decisions.trend("", "", [[1, 2, 3]] * 3 + [[math.nan, 2, 1]])
    assert found.verdict == "reproduced" and "over 3 seeds" in found.seen
    assert found.p == pytest.approx(1 / 6**3)  # of all orders of three seeds' ranks it is one


def test_a_factor_needs_positive_values_of_the_cells_that_it_compares():
    values = [[2.0, 1.0, -1.0], [4.0, 2.0, 0.0]]
    assert Effect("", values, np.array([1.0, -1.0, 0.0]), True).value == pytest.approx(2)
    assert "a value is not above 0" in str(effects.level("", [0.0, 1.0, 1.1], factor=True))
    assert effects.level("", [0.0, 1.0, 1.1], factor=True).p_above(0.1) == 1


def test_one_seed_decides_nothing():
    values = np.arange(9.0).reshape(1, 9)
    assert decisions.trend("", "", values).verdict == "open"
    assert decisions.peak("", np.empty((0, 9)), values, WIDTHS, NEAR, False).verdict == "open"


def test_a_seed_that_diverged_at_one_width_closes_no_claim():
    pilot, values = (draws(PEAKED, n, np.random.default_rng(n), 0.1) for n in (3, 5))
    pilot[1, 4] = np.nan
    assert decisions.peak("", pilot, values, WIDTHS, NEAR, False).verdict == "reproduced"
    pilot[:, 4] = np.nan
    outcome = decisions.peak("", pilot, values, WIDTHS, NEAR, False)
    assert outcome.verdict == "open" and "no seed that chooses the peak has a value at every" in outcome.seen


def test_a_peak_at_an_end_is_no_peak():
    assert (
        decisions.peak(
            "", RISING[None], draws(RISING, 3, np.random.default_rng(0)), WIDTHS, ~FLAT.astype(bool), False
        ).verdict
        == "open"
    )


def _peak(curve, seeds, rng):
    return decisions.peak("", draws(curve, 1, rng), draws(curve, seeds, rng), WIDTHS, NEAR, False)


def _peak_first_seed(curve, seeds, rng):
    return decisions.peak("", np.empty((0, len(curve))), draws(curve, seeds, rng), WIDTHS, NEAR, False)


def _trend(curve, seeds, rng):
    return decisions.trend("", "", draws(curve, seeds, rng, 3.0))


def _ordering(curve, seeds, rng):
    values = draws(curve, seeds, rng)
    return decisions.ordering("", effects.difference("", values[:, -1], values[:, 0]))


def _slope(curve, seeds, rng):
    """With deviations that differ by a factor of three between cells, as they do at most in our records."""
    uneven = np.linspace(0.5, 1.5, len(curve))
    values = curve + rng.normal(0, 1, (seeds, len(curve))) * uneven
    return decisions.ordering("", effects.slope("", values, WIDTHS))


def _groups(curve, seeds, rng):
    """The second half of the cells minus the first; a seed adds something else to each half."""
    half = len(curve) // 2
    first, second = (draws(part, seeds, rng, 0.5) for part in (curve[:half], curve[-half:]))
    return decisions.ordering("", effects.mean_difference("", second, first))


def _equality(curve, seeds, rng):
    return decisions.equality("", effects.level("", draws(curve, seeds, rng, 0.3)[:, -1]), 1.0)


def _rate(curve, seeds, rng):
    chance = {0: 0.5, -1: 0.1, 1: 0.9}[int(np.sign(curve[-1]))]
    return decisions.rate("", int(rng.binomial(5 * seeds, chance)), 5 * seeds)


def _correlation(curve, seeds, rng):
    return decisions.correlation("", "", draws(curve, seeds, rng, 3.0), draws(RISING, seeds, rng, 3.0))


def _pairs(curve, seeds, rng):
    """Scores of pairs whose networks have effects, and errors of their own half as large."""
    own = draws(curve, seeds, rng)
    pair = rng.normal(0, 0.5, (seeds, seeds, len(curve)))
    values = effects.over_pairs(own[:, None] + own + pair + pair.swapaxes(0, 1))
    return decisions.ordering("", effects.level("", values[:, -1] - values[:, 0]))


# Family: a curve without the effect, one with the opposite, one with it; the simulation of its test.
FAMILIES = {
    "peak, places from exploratory seeds": (_peak, FLAT, FALLING, PEAKED),
    "peak, places from the first seed": (_peak_first_seed, RISING, FALLING, PEAKED),
    "trend": (_trend, FLAT, FALLING, RISING),
    "ordering": (_ordering, FLAT, FALLING / 3, RISING / 3),
    "slope": (_slope, FLAT, FALLING / 5, RISING / 5),
    "two groups of cells": (_groups, FLAT, FALLING / 2, RISING / 2),
    "equality": (_equality, FLAT + 1.0, FLAT + 3.0, FLAT),
    "rate": (_rate, FLAT, FALLING, RISING),
    "correlation": (_correlation, FLAT, FALLING, RISING),
    "scores of pairs": (_pairs, FLAT, FALLING / 3, RISING / 3),
}


def shares(simulate, curve, seeds, trials):
    """The shares of `reproduced` and of `contradicted`."""
    rng = np.random.default_rng([17, seeds])
    verdicts = [simulate(curve, seeds, rng).verdict for _ in range(trials)]
    return verdicts.count("reproduced") / trials, verdicts.count("contradicted") / trials


def check(family, seeds, trials):
    simulate, without, opposite, effect = FAMILIES[family]
    allowed = 0.05 + 3 * math.sqrt(0.05 * 0.95 / trials)
    false = shares(simulate, without, seeds, trials)[0], shares(simulate, opposite, seeds, trials)[0]
    power, against = shares(simulate, effect, seeds, trials)
    assert max(false) <= allowed
    assert against <= allowed
    assert power > allowed  # the test is able to see what it looks for
    return f"| {family} | {seeds} | {false[0]:.3f} | {false[1]:.3f} | {against:.3f} | {power:.2f} |"


@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_error_rates(family, seeds):
    check(family, seeds, 150)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize("family", FAMILIES)
def test_error_rates_of_many_trials(family, seeds):
    check(family, seeds, 500)


if __name__ == "__main__":
    for each in FAMILIES:
        for number in SEEDS:
            print(check(each, number, 2000), flush=True)


def test_the_trough_lies_before_the_peak():
    # Level up to the peak and from it a fall of 6 in all five seeds, which 0.5^5 allows: no rise, open.
    values = np.tile([4.0, 4, 4, 4, 4, 4, 3, 2, -2], (5, 1))
    assert decisions.peak("", PEAKED[None], values, WIDTHS, NEAR, False).verdict == "open"


def test_the_fall_from_a_peak_goes_to_the_last_place():
    # After the peak the curve falls and then rises above it, in all six seeds.
    values = np.tile([4.0, 1, 0, 1, 3, 4, 3.5, 2, 6], (6, 1))
    found = decisions.peak("", PEAKED[None], values, WIDTHS, NEAR, False)
    assert (found.verdict, found.p) == ("contradicted", 2 * 0.5**6)


def test_the_p_value_of_a_tie_is_that_of_the_equivalence():
    # Mean 0 with standard error 0.1 and one degree of freedom, Cauchy's: the margin of 1 is 10 errors away.
    found = decisions.ordering("", effects.level("", [-0.1, 0.1]), margin=1.0)
    assert found.verdict == "no difference"
    assert found.p == pytest.approx(0.5 - math.atan(10) / math.pi)


def outcome(verdict, p=math.nan):
    return Outcome(verdict, verdict, p=p)


def test_a_tie_decides_all_parts_only_where_none_is_open():
    tie = outcome("no difference", 0.01)
    assert decisions.every(tie, outcome("open", 0.3)).verdict == "open"
    found = decisions.every(outcome("reproduced", 0.02), tie)
    assert (found.verdict, found.p) == ("no difference", 0.01)


def test_the_p_value_of_open_parts_is_that_of_all_of_them():
    """Whatever their order; a p value against a part is none for it."""
    against, held, unknown = outcome("contradicted", 0.04), outcome("reproduced", 0.01), outcome("open")
    for parts in ((against, held), (held, against)):
        found = decisions.every(*parts)
        assert (found.verdict, found.p) == ("open", 0.96)
    for parts in ((held, unknown), (unknown, held)):
        assert math.isnan(decisions.every(*parts).p)
    assert decisions.every(held, outcome("open", 0.3), outcome("no difference", 0.01)).p == 1


def test_parts_that_hold_in_part_count_as_held():
    half = decisions.together(outcome("reproduced", 0.01), outcome("contradicted", 0.02))
    found = decisions.together(half, outcome("reproduced", 0.01), *[outcome("contradicted", 0.01)] * 2)
    assert (found.verdict, found.words) == ("in part", "reproduced in part (2 of 4)")


def test_the_seeds_that_decide_an_equality_are_those_for_its_closer_limit():
    # Mean -0.9 with deviation 0.4, 0.1 above the lower limit: t(45) 0.4 / sqrt(46) is 0.0990, t(44) 0.4 /
    # sqrt(45) 0.1002. There are 3 seeds.
    found = decisions.equality("", effects.level("", [-0.9, -0.5, -1.3]), 1.0)
    assert (found.verdict, found.more) == ("open", 43)


def test_of_factors_the_closer_limit_is_that_of_the_smaller_ratio():
    """1.05 is 1.43 times below 1.5, and 1.57 times above 2/3, though 2/3 is 0.38 away and 1.5 is 0.45."""
    effect = effects.level("", 1.05 * np.exp([-0.5, 0.0, 0.5]), factor=True)
    found = decisions.equality("", effect, 1.5)
    assert (found.verdict, found.more) == ("open", effect.further_seeds(1.5))
    assert effect.further_seeds(1.5) > effect.further_seeds(1 / 1.5)


def test_a_constant_curve_goes_together_with_nothing(recwarn):
    rising = np.tile(np.arange(5.0), (4, 1))
    constant = rising.copy()
    constant[1] = 1.0
    found = decisions.correlation("", "", rising, constant)
    assert "(of seeds 1.00, 0.00, 1.00, 1.00; on" in found.found and not recwarn.list


def test_a_seed_that_lacks_one_cell_keeps_the_others():
    first = np.array([[9.0, 1, 2], [1, 9, 6], [2, 6, 9]])  # as in the test by hand
    second = first.copy()
    second[2, :] = second[:, 2] = np.nan
    assert effects.over_pairs(np.stack([first, second], axis=-1))[:, 0] == pytest.approx([-3, 5, 7])
