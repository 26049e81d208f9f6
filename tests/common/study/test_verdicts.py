import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from common.study import verdicts
from common.study.decisions import together
from common.study.verdicts import (
    Bounds,
    Contrast,
    Estimate,
    Outcome,
    Sample,
    about,
    above,
    below,
    compare,
    ratio,
    slope,
)


def assert_same(first, second):
    """Estimates are equal where both are nan: from Python 3.13 on `==` of dataclasses says they are not."""
    np.testing.assert_equal(dataclasses.asdict(first), dataclasses.asdict(second))


def heavy_tailed(n=16):
    return np.exp(2 * np.random.default_rng(1).normal(size=n))


@pytest.mark.parametrize("make", [Sample, verdicts.geometric_mean])
def test_the_interval_reaches_up_to_that_of_self_selected_extremes(make):
    crossed, own = (1.0, 1.1, 1.2), (4.0, 5.0, 6.0)
    plain, upper = (make("", values).estimate() for values in (crossed, own))
    both = make("", crossed, self_selected=own).estimate()
    assert (both.value, both.low, both.high) == (plain.value, plain.low, upper.high)
    assert_same(make("", own, self_selected=crossed).estimate(), upper)


def test_two_discrete_values_that_agree_have_no_interval():
    for n, expected in ((2, math.nan), (3, 4.0)):
        agreed = Sample("", (4.0,) * n, discrete=True).estimate()
        assert (agreed.value, agreed.n) == (4, n)
        np.testing.assert_equal((agreed.low, agreed.high), (expected, expected))
    spread = (4.0, 5.0)
    assert_same(Sample("", spread, discrete=True).estimate(), Sample("", spread).estimate())


def test_a_ratio_of_matched_pairs_ignores_what_the_pairs_share():
    pairs = heavy_tailed()
    matched = ratio("", 3 * pairs, pairs).estimate()
    assert (matched.value, matched.low, matched.high, matched.median) == pytest.approx((3, 3, 3, 3))
    independent = ratio("", 3 * pairs, pairs, paired=False).estimate()
    assert independent.value == pytest.approx(3)
    assert independent.low < 2 < 5 < independent.high


def test_values_that_share_units_are_left_out_with_them():
    # Without unit a or b: 5.5, 1.5; without unit x or y: 4.5, 2.5. Halved sums of squares: 4 and 1.
    found = Sample("", (1.0, 2.0, 4.0, 7.0), groups=("aabb", "xyxy")).estimate()
    reach = stats.t.ppf(0.975, 5**2 / (4**2 + 1**2)) * 5**0.5
    assert (found.value, found.low, found.high) == pytest.approx((3.5, 3.5 - reach, 3.5 + reach))


def test_a_contrast_of_values_with_a_unit_each_is_that_of_matched_pairs():
    top, bottom = np.random.default_rng(8).exponential(size=(2, 5))
    shared = Contrast("", (top, bottom), (1.0, -1.0), groups=(range(5),)).estimate()
    alone = ratio("", top, bottom).estimate()
    assert (shared.value, shared.low, shared.high) == pytest.approx((alone.value, alone.low, alone.high))


def test_a_contrast_of_pairs_has_an_interval_from_three_units_on():
    pairs = ((0, 1), (0, 2), (1, 2))
    found = Contrast("", ((2.0, 4.0, 8.0), (1.0, 1.0, 1.0)), (1.0, -1.0), groups=(pairs,)).estimate()
    left_out = np.log([8, 4, 2])
    reach = stats.t.ppf(0.975, 2) * np.sqrt(2 / 3 * np.sum((left_out - left_out.mean()) ** 2))
    assert (found.low, found.high) == pytest.approx((14 / 3 * np.exp(-reach), 14 / 3 * np.exp(reach)))
    assert math.isnan(Contrast("", ((2.0,), (1.0,)), (1.0, -1.0), groups=(pairs[:1],)).estimate().low)


def test_an_independent_ratio_has_the_interval_of_the_delta_method():
    generator = np.random.default_rng(2)
    top, bottom = generator.normal(20, 2, 400), generator.normal(10, 2, 900)
    error = math.sqrt(0.1**2 / 400 + 0.2**2 / 900)
    found = ratio("", top, bottom, paired=False).estimate()
    assert math.log(found.low) == pytest.approx(math.log(found.value) - 1.96 * error, abs=error / 5)
    assert math.log(found.high) == pytest.approx(math.log(found.value) + 1.96 * error, abs=error / 5)


@pytest.mark.parametrize("paired", [True, False])
def test_a_ratio_of_few_values_has_students_interval_of_the_delta_method(paired):
    generator = np.random.default_rng(4)
    top, bottom = generator.normal(20, 0.1, 5), generator.normal(10, 0.1, 5)
    logs = [top / top.mean(), bottom / bottom.mean()]
    error = stats.sem(logs[0] - logs[1]) if paired else math.hypot(*map(stats.sem, logs))
    variances = np.array([stats.sem(values) ** 2 for values in logs])
    freedom = 4 if paired else 4 * variances.sum() ** 2 / np.sum(variances**2)
    reach = stats.t.ppf(0.975, freedom) * error
    found = ratio("", top, bottom, paired=paired).estimate()
    assert math.log(found.high / found.value) == pytest.approx(reach, rel=0.02)
    assert math.log(found.value / found.low) == pytest.approx(reach, rel=0.02)


def test_ratios_of_few_seeds_have_a_positive_interval():
    found = verdicts.geometric_mean("", [25.5, 61.3, 219.0, 218.9, 52.1]).estimate()
    assert found.value == pytest.approx(115.36)
    assert 25 < found.low < found.value < found.high < 400
    assert np.isnan(verdicts.geometric_mean("", [2.0, math.nan]).estimate().value)


def test_a_slope_is_the_factor_per_doubling():
    pairs, examples = heavy_tailed(), np.array([8.0, 16.0, 32.0, 64.0])
    falling = slope("", [pairs / math.sqrt(n) for n in examples], np.log2(examples))
    assert falling.estimate().value == pytest.approx(2**-0.5)
    flat = slope("", [pairs] * 4, np.log2(examples))
    assert verdicts.quotient("", flat, falling).estimate().low == pytest.approx(2**0.5)


def test_a_higher_level_widens_the_interval_and_the_seed_is_fixed():
    generator = np.random.default_rng(3)
    contrast = ratio("", generator.normal(10, 1, 16), generator.normal(10, 1, 16))
    narrow, wide = contrast.estimate(), contrast.estimate(0.9975)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert_same(contrast.estimate(), narrow)


@pytest.mark.parametrize("values", [([1.0], [2.0]), ([], []), ([0.0, 0.0], [0.0, 0.0])])
def test_no_interval_leaves_an_ordering_unclear(values):
    outcome = compare("It", [ratio("a over b", *values)], above())
    assert outcome.verdict == "open"


@pytest.mark.parametrize(
    "bounds,low,high,verdict",
    [
        (above(1), 1.1, 2, "reproduced"),
        (above(1), 0.5, 0.9, "contradicted"),
        (above(1), 0.9, 1.1, "open"),
        (below(1), 0.5, 0.9, "reproduced"),
        (below(1), 1.1, 2, "contradicted"),
        (about(1e-7, 10), 2e-8, 9e-7, "reproduced"),
        (about(1e-7, 10), 2e-8, 2e-6, "open"),
        (about(1e-7, 10), 2e-6, 3e-6, "contradicted"),
        (about(1, 2), 0.1, 10, "open"),
        (Bounds(), math.nan, math.nan, "open"),
    ],
)
def test_the_interval_decides(bounds, low, high, verdict):
    assert bounds.verdict(low, high) == verdict


def certain(label, value):
    return ratio(label, np.full(4, value), np.ones(4))


NOISY = Contrast("noisy", (np.array([0.5, 2.0, 0.4, 2.5]),), (1.0,))


@pytest.mark.parametrize(
    "contrasts,every,any_one",
    [
        ([certain("a", 2), certain("b", 3)], "reproduced", "reproduced"),
        ([certain("a", 2), certain("b", 0.5)], "contradicted", "reproduced"),
        ([certain("a", 2), NOISY], "open", "reproduced"),
        ([certain("a", 0.5), NOISY], "contradicted", "open"),
        ([certain("a", 0.5), certain("b", 0.2)], "contradicted", "contradicted"),
    ],
)
def test_a_family_of_comparisons(contrasts, every, any_one):
    assert compare("It", contrasts, above()).verdict == every
    assert compare("It", contrasts, above(), every=False).verdict == any_one


def test_where_one_decides_alone_the_error_is_shared_and_where_all_have_to_agree_it_is_not():
    # The interval of b lies above 1 at 95 %, not at 97.5 %.
    b = Sample("b", (1.1, 1.2, 1.3, 1.45))
    assert b.estimate().low > 1 > b.estimate(0.975).low
    for bounds, every, verdict in (
        (above(), True, "reproduced"),
        (above(), False, "reproduced"),  # a alone
        (below(), True, "contradicted"),
        (below(), False, "contradicted"),
    ):
        assert compare("It", [certain("a", 2), b], bounds, every).verdict == verdict
    unsure = Sample("c", (0.5, 1.5))
    for bounds, every in ((above(), False), (below(), True)):
        outcome = compare("It", [unsure, b], bounds, every)
        assert (outcome.verdict, "reproduced at 97.5 %" in outcome.seen) == ("open", not every)
        assert ("contradicted at 97.5 %" in outcome.seen) == every


def test_values_read_where_the_others_say_have_a_wider_interval():
    # S^2 (1 / 3 + 1 / 2) in the place of S^2 / 3.
    values = (1.0, 2.0, 4.0)
    sizes = (Sample, lambda e: e.high - e.low), (verdicts.geometric_mean, lambda e: math.log(e.high / e.low))
    for make, size in sizes:
        plain, wide = (size(make("", values, cross_fitted=others).estimate()) for others in (False, True))
        assert wide / plain == pytest.approx(math.sqrt(5 / 2))
    assert Sample("", (1.0,), cross_fitted=True).estimate().value == 1


def test_the_closest_of_many_differences_is_named():
    samples = [Sample(f"s{i}", (m - 0.1, m + 0.1, m)) for i, m in enumerate((1.9, 1.5, 1.0, 1.1, 1.3))]
    assert "closest s2" in compare("It", samples, above(0)).seen
    negative = [Sample(s.label, tuple(-v for v in s.values)) for s in samples]
    assert "closest s2" in compare("It", negative, below(0)).seen


def test_a_missing_value_is_no_small_sample():
    assert str(Sample("", (1.0, math.nan, 2.0)).estimate()) == "not measured in every run"
    assert str(Sample("", ()).estimate()) == "not measured"


def test_a_large_family_names_its_closest_call():
    seen = compare("PD", [certain(f"z = {z}", 1 + z) for z in (4, 1, 3, 2, 5)], above()).seen
    assert seen == (
        "PD, expected above 1 (95 % intervals): 5 of 5 reproduced (closest z = 1: 2 [2, 2] (median 2))"
    )
    seen = compare("PD", [certain("a", 2), certain("b", 0.5)], below()).seen
    assert "1 of 2 reproduced (b: 0.5 [0.5, 0.5] (median 0.5)), 1 of 2 contradicted (a: 2 [2, 2]" in seen


def test_an_order_of_magnitude_with_one_seed():
    sample = [1e-7 * x for x in (1, 1.1, 1.2, 1.3)]
    for order, verdict in ((1e-7, "reproduced"), (1e-3, "contradicted"), (1.15e-6, "open")):
        outcome = verdicts.magnitude("PD", [sample], order, "paper")
        assert (outcome.verdict, "one seed" in outcome.seen) == (verdict, True)
    assert verdicts.magnitude("PD", [sample], 1e-7, "laptop").verdict == verdicts.NOT_JUDGED


def test_an_order_of_magnitude_with_five_seeds_says_how_many_lie_inside():
    seeds = [[x] * 3 for x in (1e-7, 2e-7, 1e-7, 3e-7, 1.1e-6)]
    outcome = verdicts.magnitude("PD", seeds, 1e-7, "paper")
    assert outcome.verdict == "reproduced"
    assert "4 of 5 seeds within a factor of 10 of 1e-07" in outcome.seen
    assert f"{stats.gmean([x for x, *_ in seeds]):.3g}" in outcome.seen


def test_a_note_is_said_and_judges_nothing():
    alone = Outcome("open", "It is 1.").noting("One run.")
    assert (alone.verdict, alone.seen, alone.parts) == ("open", "It is 1. One run.", ())
    several = together(Outcome("open", "it is 1"), Outcome("open", "it is 2"))
    noted = several.noting("One run.")
    assert (noted.verdict, noted.seen) == ("open", "It is 1; it is 2. One run.")
    assert noted.parts == (*several.parts, Outcome(verdicts.NOT_JUDGED, "One run."))


@pytest.mark.parametrize(
    "value,text", [(3251.4, "3,250"), (1.04e-7, "1.04e-07"), (0.1888, "0.189"), (2e6, "2e+06"), (12.0, "12")]
)
def test_numbers_have_three_digits(value, text):
    assert verdicts.number(value) == text


def test_an_estimate_without_an_interval_says_so():
    assert str(Estimate(2.0, math.nan, math.nan, 1)) == "2 [no interval from n = 1]"
