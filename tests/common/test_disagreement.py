import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from common import disagreement
from common.disagreement import MEASURES, Predictions, mean_over_examples, mean_over_pairs, pair_of_examples
from common.statistics import QUANTITIES, interval_over_units


def predictions(probabilities, labels=None):
    return Predictions.of_logits(np.log(probabilities), labels)


def test_classes_confidences_and_losses():
    found = predictions([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]], np.array([2, 0]))
    np.testing.assert_array_equal(found.classes, [1, 0])
    np.testing.assert_allclose(found.confidences, [0.5, 0.6])
    np.testing.assert_array_equal(found.of_examples()["accuracy"], [0, 1])
    np.testing.assert_allclose(found.of_examples()["loss"], [-math.log(0.3), -math.log(0.6)])


def test_the_pair_of_three_classes():
    """Half the summed differences: (0.3 + 0.1 + 0.2) / 2, and all of the mass."""
    a = predictions([[0.2, 0.5, 0.3], [1 - 2e-12, 1e-12, 1e-12]], np.array([1, 0]))
    b = predictions([[0.5, 0.4, 0.1], [1e-12, 1 - 2e-12, 1e-12]], np.array([1, 0]))
    found = pair_of_examples(a, b)
    np.testing.assert_allclose(found["prediction_difference"], [0.3, 1.0])
    np.testing.assert_array_equal(found["churn"], [1, 1])
    np.testing.assert_array_equal(found["changes_for_the_worse"], [1, 1])
    np.testing.assert_allclose(found["loss_change"][0], math.log(0.5 / 0.4))
    assert "relative_prediction_difference" not in found


def test_the_relative_difference_of_two_classes_is_that_of_the_metric():
    from common.metrics.prediction_difference import relative_prediction_difference

    a, b = np.random.default_rng(0).random((2, 50))
    both = [predictions(np.stack([1 - p, p], axis=1)) for p in (a, b)]
    values = pair_of_examples(*both)["relative_prediction_difference"]
    assert values.mean() == pytest.approx(relative_prediction_difference(a, b))


@pytest.mark.parametrize(
    "logits,labels,message",
    [
        ([[0.0, np.nan], [0, 1]], None, "1 examples without"),
        ([[0.0, 1], [0, 1]], [0, 2], "labels hold 2; the classes are 0 to 1"),
        ([[0.0, 1], [0, 1]], [0], "1 labels for 2 examples"),
        ([[0.0, 1], [0, 1]], [[0, 1], [1, 0]], "must be integers of shape"),
    ],
)
def test_what_is_no_prediction(logits, labels, message):
    with pytest.raises(ValueError, match=message):
        Predictions.of_logits(np.array(logits), None if labels is None else np.array(labels))


def test_a_share_has_wilsons_interval():
    """None of 20: from 0 to z^2 / (n + z^2), not an empty interval."""
    z = stats.norm.ppf(0.975) ** 2
    none = mean_over_examples(np.zeros(20), "fraction")
    assert (none.value, none.low, none.n) == (0, 0, 20)
    assert none.high == pytest.approx(z / (20 + z))
    every = mean_over_examples(np.ones(20), "fraction")
    assert every.low == pytest.approx(20 / (20 + z)) and every.high == 1


def test_other_means_have_students_interval():
    values = np.array([1.0, 2.0, 4.0, 7.0])
    found = mean_over_examples(values, "real")
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected)


@given(
    st.lists(st.sampled_from([0.0, 1 / 3, 2 / 3, 1.0]), min_size=2, max_size=30),
    st.sampled_from(["fraction", "positive", "real", "difference"]),
)
def test_intervals_hold_the_mean_and_stay_inside(values, quantity):
    found = mean_over_examples(np.array(values), quantity)
    least, most = QUANTITIES[quantity]
    assert least <= found.low <= found.value + 1e-12 and found.value - 1e-12 <= found.high <= most


def test_the_interval_over_models_leaves_one_out_at_a_time():
    pairs = {
        (0, 1): np.array([1.0, 0, 0, 0]),
        (0, 2): np.array([1.0, 1, 0, 0]),
        (1, 2): np.array([0.0, 1, 1, 1]),
    }
    found = mean_over_pairs(pairs, "churn")
    assert (found.value, found.n) == (pytest.approx(0.5), 4)
    expected = interval_over_units([0.25, 0.5, 0.75], [np.array(list(pairs))], quantity="fraction")
    assert found.over_models == (*expected, 3)
    # Two models, or pairs that are missing, say nothing of others.
    assert mean_over_pairs({(0, 1): pairs[0, 1]}, "churn").over_models is None
    assert mean_over_pairs({p: pairs[p] for p in [(0, 1), (1, 2)]}, "churn").over_models is None


def test_the_interval_of_a_change_of_accuracy_ends_at_one():
    """Student's would be 2/3 -+ 4.3 * 2/3, of 0, 1 and 1 with one model left out; of -1 and 1, 0 -+ 12.7."""
    pairs = {(0, 1): np.ones(4), (0, 2): np.ones(4), (1, 2): np.zeros(4)}
    found = mean_over_pairs(pairs, "accuracy_change")
    assert (found.value, found.over_models) == (pytest.approx(2 / 3), (-1.0, 1.0, 3))
    found = mean_over_pairs({(0, 1): np.array([-0.9, 0.9])}, "accuracy_change")
    assert (found.value, found.low, found.high) == (0, -1, 1)


def test_no_change_of_accuracy_among_few_examples_is_no_proof_of_none():
    """Agresti & Min: half an example better and half worse of n + 2, so 0 -+ z sqrt(1 / 22) / sqrt(22)."""
    found = mean_over_examples(np.zeros(20), "difference")
    assert (found.value, found.low, found.high) == (0, -found.high, pytest.approx(1.96 / 22, rel=1e-4))


@pytest.mark.parametrize(
    "n,worse,better", [(100, 0.005, 0.001), (100, 0.01, 0), (500, 0.002, 0.0005), (100, 0.1, 0.12)]
)
def test_the_interval_of_a_change_of_accuracy_covers_it(n, worse, better):
    """Exactly: over how many examples get worse and how many better, as far as that is likely."""
    covered = 0.0
    for lost in range(n + 1):
        p_lost = stats.binom.pmf(lost, n, worse)
        for won in range(n - lost + 1) if p_lost > 1e-6 else ():
            if (p := p_lost * stats.binom.pmf(won, n - lost, better / (1 - worse))) > 1e-7:
                found = mean_over_examples(
                    np.repeat([-1.0, 1.0, 0.0], [lost, won, n - lost - won]), "difference"
                )
                covered += p * (found.low <= better - worse <= found.high)
    assert covered > 0.94


def test_json_has_no_nan():
    found = disagreement.Measured(0.5, math.nan, math.nan, 1, over_models=(math.nan, 1.0, 3)).as_dict()
    assert (found["low"], found["over_models"]) == (None, {"low": None, "high": 1.0, "n": 3})


def test_every_measure_says_what_it_is():
    assert all(measure.definition and measure.quantity in QUANTITIES for measure in MEASURES.values())


@pytest.mark.parametrize(
    "accuracy,num_test,expected",
    [
        (0.10, 10_000, True),
        (0.109, 10_000, True),
        (0.1091, 10_000, False),
        (0.15, 100, True),
        (1.0, 1, False),
    ],
)
def test_chance_is_three_standard_errors_wide(accuracy, num_test, expected):
    assert disagreement.is_chance(accuracy, 10, num_test) == expected
