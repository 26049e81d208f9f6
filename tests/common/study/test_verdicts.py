import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from common.study import verdicts
from common.study.decisions import together
from common.study.verdicts import (
    Bounds,
    Estimate,
    Outcome,
    Sample,
    above,
    below,
    compare,
    geometric_mean,
)


def assert_same(first, second):
    """Estimates are equal where both are nan: from Python 3.13 on `==` of dataclasses says they are not."""
    np.testing.assert_equal(dataclasses.asdict(first), dataclasses.asdict(second))


def heavy_tailed(n=16):
    return np.exp(2 * np.random.default_rng(1).normal(size=n))


def test_values_that_share_units_are_left_out_with_them():
    # Without unit a or b: 5.5, 1.5; without unit x or y: 4.5, 2.5. Halved sums of squares: 4 and 1.
    found = Sample("", (1.0, 2.0, 4.0, 7.0), groups=("aabb", "xyxy")).estimate()
    reach = stats.t.ppf(0.975, 5**2 / (4**2 + 1**2)) * 5**0.5
    assert (found.value, found.low, found.high) == pytest.approx((3.5, 3.5 - reach, 3.5 + reach))


def test_ratios_of_few_seeds_have_a_positive_interval():
    found = geometric_mean("", [25.5, 61.3, 219.0, 218.9, 52.1]).estimate()
    assert found.value == pytest.approx(115.36)
    assert 25 < found.low < found.value < found.high < 400
    assert np.isnan(geometric_mean("", [2.0, math.nan]).estimate().value)


def test_a_higher_level_widens_the_interval_and_the_seed_is_fixed():
    generator = np.random.default_rng(3)
    contrast = geometric_mean("", generator.normal(10, 1, 16))
    narrow, wide = contrast.estimate(), contrast.estimate(0.9975)
    assert wide.low < narrow.low < narrow.high < wide.high
    assert_same(contrast.estimate(), narrow)


@pytest.mark.parametrize("values", [[1.0], [], [0.0, 0.0]])
def test_no_interval_leaves_an_ordering_open(values):
    outcome = compare("It", [geometric_mean("a over b", values)], above())
    assert outcome.verdict == "open"


@pytest.mark.parametrize(
    "bounds,low,high,verdict",
    [
        (above(1), 1.1, 2, "reproduced"),
        (above(1), 0.5, 0.9, "contradicted"),
        (above(1), 0.9, 1.1, "open"),
        (below(1), 0.5, 0.9, "reproduced"),
        (below(1), 1.1, 2, "contradicted"),
        (Bounds(), math.nan, math.nan, "open"),
    ],
)
def test_the_interval_decides(bounds, low, high, verdict):
    assert bounds.verdict(low, high) == verdict


def certain(label, value):
    return geometric_mean(label, [value] * 4)


NOISY = geometric_mean("noisy", [0.5, 2.0, 0.4, 2.5])


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


def test_a_note_is_said_and_judges_nothing():
    alone = Outcome("open", "It is 1.").noting("One run.")
    assert (alone.verdict, alone.seen, alone.parts) == ("open", "It is 1. One run.", ())
    several = together(Outcome("open", "it is 1"), Outcome("open", "it is 2"))
    noted = several.noting("One run.")
    assert (noted.verdict, noted.seen) == ("open", "It is 1; it is 2. One run.")
    assert noted.parts == (*several.parts, Outcome(verdicts.NOT_JUDGED, "One run."))


@pytest.mark.parametrize(
    "value,text",
    [
        (3251.4, "3,250"),
        (1.04e-7, "1.04e-07"),
        (0.1888, "0.189"),
        (2e6, "2e+06"),
        (12.0, "12"),
        (999.4, "999"),
        (999.9, "1,000"),
        (999_999, "1e+06"),
        (-12345, "-12,300"),
    ],
)
def test_numbers_have_three_digits(value, text):
    assert verdicts.number(value) == text


def test_an_estimate_without_an_interval_says_so():
    assert str(Estimate(2.0, math.nan, math.nan, 1)) == "2 [no interval from n = 1]"


def test_a_published_number_needs_the_whole_interval():
    # 10 with t(0.975, 2) / sqrt(3) = 2.48 around it.
    sample = Sample("", (9.0, 10.0, 11.0))
    assert verdicts.near_published("paper", "q", sample, 10.0, 1.0).verdict == "open"
    assert verdicts.near_published("paper", "q", sample, 10.0, 2.5).verdict == "reproduced"


def test_the_interval_of_a_positive_mean_is_around_its_logarithm():
    # Means of 1, 3, 5 without one of them: 4, 3, 2.
    left_out = np.log([4.0, 3.0, 2.0])
    error = math.sqrt(2 / 3 * np.sum((left_out - left_out.mean()) ** 2))
    reach = stats.t.ppf(0.975, 2) * error
    found = geometric_mean("", [1.0, 3.0, 5.0]).estimate()
    assert (found.value, found.low, found.high) == pytest.approx(
        (3, 3 * math.exp(-reach), 3 * math.exp(reach))
    )
