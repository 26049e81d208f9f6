import numpy as np
import pytest
from scipy import stats

from common import statistics
from common.statistics import (
    QUANTITIES,
    interval,
    interval_of_pairs,
    interval_over_units,
    jackknife_interval,
    summarize,
)


def test_interval_of_normal_values_is_close_to_students():
    values = np.random.default_rng(1).normal(3, 2, size=400)
    low, high = interval(values)
    expected = stats.t.interval(0.95, 399, values.mean(), stats.sem(values))
    np.testing.assert_allclose([low, high], expected, atol=0.03)


def test_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(2)
    hits = 0
    for _ in range(60):
        low, high = interval(rng.normal(size=40))
        hits += low <= 0 <= high
    assert hits >= 51  # P(fewer | 95 %) < 1e-3


@pytest.mark.parametrize("n", [2, 3, 7])
def test_the_interval_of_few_values_is_students(n):
    rng = np.random.default_rng(4)
    values = rng.normal(size=n)
    expected = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    assert interval(values) == pytest.approx(expected, rel=1e-12)


def test_a_jackknife_of_two_samples_is_that_of_their_difference():
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=5), rng.normal(size=7)
    left_out = [[np.delete(a, i).mean() - b.mean() for i in range(5)]]
    left_out += [[a.mean() - np.delete(b, i).mean() for i in range(7)]]
    low, high = jackknife_interval(a.mean() - b.mean(), left_out)
    assert (low, high) == pytest.approx(stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95))
    assert jackknife_interval(1.0, [[1.0, 1.0], [1.0, 1.0, 1.0]]) == (1.0, 1.0)


def test_values_that_share_no_unit_are_independent():
    values = np.random.default_rng(6).normal(size=6)
    assert interval_over_units(values, [range(6)]) == pytest.approx(interval(values), rel=1e-12)


def test_pairs_lose_all_that_a_unit_is_in():
    # Without unit 0, 1, 2: 6, 4 and 1. Their variance about 11 / 3 times (n - 1) / n is 76 / 9.
    low, high = interval_over_units([1.0, 4.0, 6.0], [[(0, 1), (0, 2), (1, 2)]])
    reach = stats.t.ppf(0.975, 2) * np.sqrt(76 / 9)
    assert (low, high) == pytest.approx((11 / 3 - reach, 11 / 3 + reach))
    assert np.isnan(interval_over_units([1.0], [[(0, 1)]])).all()


def test_the_interval_over_pairs_covers_what_the_values_alone_do_not():
    rng = np.random.default_rng(7)
    pairs = np.array([(i, j) for i in range(4) for j in range(i)])
    hits = np.zeros(2)
    for _ in range(300):
        unit = rng.normal(size=4)
        values = unit[pairs].sum(axis=1) + 0.3 * rng.normal(size=len(pairs))
        for k, (low, high) in enumerate((interval(values), interval_over_units(values, [pairs]))):
            hits[k] += low <= 0 <= high
    assert hits[0] < 0.8 * 300
    assert hits[1] > 0.91 * 300


def test_interval_is_the_same_for_the_same_values():
    values = np.random.default_rng(3).exponential(size=16)
    assert interval(values) == interval(values.copy())


def test_degenerate_samples():
    assert interval([2.0, 2.0, 2.0]) == (2.0, 2.0)
    assert np.isnan(interval([1.0])).all()
    low, high = interval([0.0] * 8 + [1.0])
    assert 0 <= low <= 1 / 9 <= high <= 1


def test_summary_by_hand():
    summary = summarize([4.0, 1.0, 2.0, 3.0, 10.0])
    assert (summary.n, summary.mean, summary.median) == (5, 4.0, 3.0)
    assert (summary.q25, summary.q75) == (2.0, 4.0)
    assert summary.low < 4 < summary.high


def test_other_statistics():
    values = np.arange(101.0)
    low, high = interval(values, statistic=np.median)
    assert low < 50 < high
    assert high - low == pytest.approx(4 * 50 / np.sqrt(101) * 0.96, rel=0.5)


def test_the_median_of_few_values_lies_between_two_of_them():
    """It is below the least of six values in one sample of 64, and above the largest in another."""
    assert interval([5.0, 1, 4, 2, 6, 3], np.median) == (1, 6)
    for few in ([1.0, 2, 3, 4, 5], [1.0, 2, 3]):  # 2 / 32 is more than 5 %
        assert np.isnan(interval(few, np.median)).all()
    assert interval([1.0, 2, 3, 4, 5], np.median, confidence=0.9) == (1, 5)


def test_a_constant_jackknife_falls_back_without_a_warning(recwarn):
    low, high = interval([1.0, *[2.0] * 8, 3.0], statistic=np.median)
    assert 1 <= low <= 2 <= high <= 3
    assert not recwarn.list


@pytest.mark.parametrize(
    "quantity,values",
    [
        ("fraction", [0.99, 0.62, 0.98, 0.97, 0.93]),
        ("fraction", [1.0, 1.0, 0.4]),
        ("fraction", [0.0, 1.0]),
        ("fraction", [0.0, 0.0, 0.0, 1e-6]),
        ("percentage", [99.0, 62.0, 98.0]),
        ("difference", [0.9, -0.9, -0.2]),
        ("positive", [4.6, 0.1, 0.2, 1.5]),
        ("positive", [0.0, 1e-9, 1e3]),
    ],
)
def test_the_interval_of_few_values_stays_inside_what_they_can_be(quantity, values):
    low, high = interval(values, quantity=quantity)
    least, most = QUANTITIES[quantity]
    assert least <= low < np.mean(values) < high <= most
    student = interval(values)
    assert student[0] < least or student[1] > most


def test_the_intervals_on_a_scale_by_hand():
    """Mean 2, standard error 1, t of one degree of freedom; mean 0.5 and 0.1."""
    reach = stats.t.ppf(0.975, 1)
    expected = 2 * np.exp(-reach / 2), 2 * np.exp(reach / 2)
    assert interval([1.0, 3.0], quantity="positive") == pytest.approx(expected, rel=1e-12)
    odds = np.exp(0.1 * reach / 0.25)
    expected = 1 / (1 + odds), odds / (1 + odds)
    assert interval([0.4, 0.6], quantity="fraction") == pytest.approx(expected, rel=1e-12)
    expected = tuple(100 * end for end in expected)
    assert interval([40.0, 60.0], quantity="percentage") == pytest.approx(expected, rel=1e-12)


def test_scales_agree_with_students_interval_where_values_are_close():
    values = 0.5 + 1e-4 * np.arange(5)
    for quantity in QUANTITIES:
        assert interval(values, quantity=quantity) == pytest.approx(interval(values), rel=1e-6)


@pytest.mark.parametrize("value,quantity", [(0.0, "fraction"), (1.0, "fraction"), (0.0, "positive")])
def test_equal_values_at_the_limit_are_their_interval(value, quantity):
    assert interval([value] * 4, quantity=quantity) == (value, value)
    pairs = [(0, 1), (0, 2), (1, 2)]
    assert interval_over_units([value] * 3, [pairs], quantity=quantity) == (value, value)


def test_impossible_values_are_refused():
    for values, quantity in (([0.5, 1.1], "fraction"), ([-1e-9, 1.0], "positive"), ([101.0], "percentage")):
        with pytest.raises(ValueError, match=f"A {quantity} must be from 0 to .* Received: "):
            interval(values, quantity=quantity)


def test_the_interval_of_a_fraction_covers_its_mean_more_often_than_students():
    """Of five values of beta(30, 1) Student's covers the mean in 89 %, this one in 93 %."""
    rng, hits = np.random.default_rng(0), np.zeros(2)
    for values in rng.beta(30, 1, (1500, 5)):
        for k, quantity in enumerate(("real", "fraction")):
            low, high = interval(values, quantity=quantity)
            hits[k] += low <= 30 / 31 <= high
    assert hits[1] - hits[0] > 0.025 * 1500
    assert hits[1] > 0.915 * 1500


def test_what_a_bootstrap_holds_in_memory_changes_nothing(monkeypatch):
    values = np.random.default_rng(1).normal(size=300)
    expected = interval(values, statistic=np.median)
    monkeypatch.setattr(statistics, "_VALUES_AT_ONCE", 300_000)
    assert interval(values, statistic=np.median) == expected


def test_many_values_have_the_same_interval_whatever_they_are():
    values = np.random.default_rng(1).beta(5, 1, 20)
    assert interval(values, quantity="fraction") == interval(values)
    assert interval(values, quantity="fraction")[1] <= 1


@pytest.mark.parametrize("confidence", [95, 1, 0, -0.5, float("nan")])
def test_levels_that_are_none(confidence):
    for values in ([1.0, 2.0, 3.0], [1.0]):
        with pytest.raises(ValueError, match="`confidence` must lie between 0 and 1"):
            interval(values, confidence=confidence)


def test_eight_values_have_the_bootstraps_interval_and_seven_students():
    """Student's of a mean of 1 with one value that is not 0 reaches below 0, where no mean of a sample is."""
    assert interval([0.0] * 7 + [8.0])[0] >= 0
    assert interval([0.0] * 6 + [7.0])[0] < 0


def test_the_interval_of_few_pairs_leaves_out_those_that_diverged():
    """1 and 3: mean 2, standard error 1, t of one degree of freedom 12.706, on the scale of positives."""
    reach = np.exp(12.7062 / 2)
    assert interval_of_pairs([1, 3, np.nan], 0.1, 0.2) == pytest.approx((2 / reach, 2 * reach), rel=1e-4)
    assert interval_of_pairs([1, np.nan], 0.1, 0.2) == (0.1, 0.2)
    assert interval_of_pairs([1.0] * 8, 0.1, 0.2) == (0.1, 0.2)
