import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import expit

from common.metrics.prediction_difference import (
    RelativePredictionDifference,
    relative_prediction_difference,
)

probabilities = arrays(np.float64, 7, elements=st.floats(1e-3, 1.0))


def random_predictions(num_examples, seed=0):
    generator = np.random.default_rng(seed)
    truth = expit(generator.normal(size=num_examples))
    models = expit(generator.normal(size=(num_examples, 2)))
    counts = generator.integers(0, 5, num_examples).astype("float64")
    counts[0] = 1.0
    return truth, models, counts


def test_equation_3_by_hand():
    # 0.1 / 0.2 = 1/2, 0.25 / 0.5 = 1/2, 0 / 0.8 = 0, 0.5 / 0.25 = 2.
    result = relative_prediction_difference(
        [0.2, 0.75, 0.9, 0.5], [0.3, 0.5, 0.9, 0.0], true_probabilities=[0.2, 0.5, 0.8, 0.25]
    )
    assert result == pytest.approx(0.75, rel=1e-15)
    assert result.dtype == np.float64


def test_relative_to_the_mean_prediction_by_hand():
    # 0.1 / 0.25 = 2/5, 0 / 0.5 = 0, 0.5 / 0.25 = 2.
    result = relative_prediction_difference([0.2, 0.5, 0.5], [0.3, 0.5, 0.0])
    assert result == pytest.approx(0.8, rel=1e-15)


def test_weights_by_hand():
    # Relative differences 1/2, 0, 2 seen 3, 1 and 0 times.
    result = relative_prediction_difference(
        [0.2, 0.5, 0.5], [0.3, 0.5, 0.0], [0.2, 0.5, 0.25], sample_weight=[3, 1, 0]
    )
    assert result == pytest.approx(1.5 / 4, rel=1e-15)


def test_weights_are_counts_of_repeated_examples():
    truth, models, counts = random_predictions(20)
    a, b = models.T
    repeated = [np.repeat(values, counts.astype(int)) for values in (a, b, truth)]
    np.testing.assert_allclose(
        relative_prediction_difference(a, b, truth, sample_weight=counts),
        relative_prediction_difference(*repeated),
        rtol=1e-14,
    )


def test_of_several_classes_the_label_is_asked_for():
    a = np.array([[0.7, 0.2, 0.1], [0.1, 0.5, 0.4]])
    b = np.array([[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]])
    # Class 1: 0.1 / 0.25 = 2/5 and 0.2 / 0.4 = 1/2. Classes 0 and 2: 0.1 / 0.65 = 2/13, 0.2 / 0.5 = 2/5.
    assert relative_prediction_difference(a, b, label=1) == pytest.approx(0.45, rel=1e-14)
    for label in ([0, 2], [[0], [2]]):
        found = relative_prediction_difference(a, b, label=label)
        assert found == pytest.approx((2 / 13 + 2 / 5) / 2, rel=1e-14)
    with pytest.raises(ValueError, match=r"`label` must say the class.*label=None, .* of shape \(2, 3\)$"):
        relative_prediction_difference(a, b)
    with pytest.raises(ValueError, match=r"from 0 to 2. Received: label=3"):
        relative_prediction_difference(a, b, label=3)
    with pytest.raises(ValueError, match="one for each of 2 examples. Received: 3$"):
        relative_prediction_difference(a, b, label=[0, 1, 2])
    with pytest.raises(ValueError, match=r"if and only if.*label=1, probabilities_a of shape \(2,\)$"):
        relative_prediction_difference(a[:, 1], b[:, 1], label=1)


def test_what_a_model_of_one_unit_predicts_is_one_value_an_example():
    truth, models, counts = random_predictions(20)
    a, b = models.T
    expected = relative_prediction_difference(a, b, truth, counts)
    assert isinstance(expected, float)
    columns = (array[:, None] for array in (a, b, truth, counts))
    assert relative_prediction_difference(*columns) == expected
    assert relative_prediction_difference(a[:, None], b, truth, counts) == expected


def test_differences_of_1e_minus_9_are_resolved():
    result = relative_prediction_difference([0.5], [0.5 + 1e-9], [0.5])
    assert result == pytest.approx(2e-9, rel=1e-6)


@given(probabilities, probabilities, probabilities)
def test_symmetric_non_negative_and_zero_for_equal_predictions(a, b, truth):
    for reference in (truth, None):
        difference = relative_prediction_difference(a, b, reference)
        assert difference == relative_prediction_difference(b, a, reference)
        assert difference >= 0
        assert relative_prediction_difference(a, a, reference) == 0
    # |a - b| <= a + b: relative to the mean it cannot exceed 2.
    assert relative_prediction_difference(a, b) <= 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.5], [0.5]), r"same number of examples.*probabilities_b=array of shape \(1,\)$"),
        ((0.5, 0.5), r"at least one.*Received: probabilities_a=array of shape \(\)"),
        (([], []), "at least one"),
        ((np.ones((2, 3)), np.ones((4, 3))), r"`label` must say.* of shape \(2, 3\)$"),
        ((np.ones((2, 3, 1)), np.ones((2, 3, 1))), r"one number an example.* of shape \(2, 3, 1\)$"),
        (([0.5] * 2, [0.5] * 2, np.ones((2, 3))), r"`true_probabilities` must hold one number an example"),
        (([0.5] * 2, [0.5] * 2, [0.5]), r"true_probabilities=array of shape \(1,\)$"),
        (([0.5] * 2, [0.5] * 2, None, [1.0]), r"sample_weight=array of shape \(1,\)$"),
        (([0.5] * 2, [0.5] * 2, None, 1.0), r"sample_weight=array of shape \(\)$"),
        (([0.5, 1.5], [0.5, 0.5]), r"in \[0, 1\]. Received: probabilities_a=1.5 at index \(1,\)$"),
        (([0.5], [-0.1]), r"`probabilities_b` must be in \[0, 1\]"),
        (([0.5], [np.nan]), "Received: probabilities_b=nan"),
        (([0.5], [0.5], [0.0]), r"`true_probabilities` must be in \(0, 1\]"),
        (([0.5], [0.5], [1.1]), r"Received: true_probabilities=1.1"),
        (([0.0], [0.0]), "mean of the two predictions` must be greater than 0"),
        (([0.5], [0.5], None, [-1.0]), "finite and non-negative. Received: sample_weight=-1.0"),
        (([0.5], [0.5], None, [np.inf]), "finite and non-negative"),
        (([0.5], [0.5], None, [0.0]), "sum of sample_weight` must be greater than 0"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        relative_prediction_difference(*arguments)


def test_metric_by_hand():
    metric = RelativePredictionDifference()
    metric.update_state(y_true=[0.2, 0.5], y_pred=[[0.2, 0.3], [0.75, 0.5]])
    metric.update_state(y_true=[[0.25]], y_pred=[[0.5, 0.0]])
    assert float(metric.result()) == pytest.approx(1.0, rel=1e-6)
    metric.reset_state()
    assert float(metric.result()) == 0


@pytest.mark.parametrize("reference", ["true", "mean"])
@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_metric_over_batches_is_the_function(reference, column, dtype, tolerance):
    truth, models, counts = random_predictions(50)
    expected = relative_prediction_difference(
        *models.T, truth if reference == "true" else None, sample_weight=counts
    )
    metric = RelativePredictionDifference(reference=reference, dtype=dtype)
    y_true, weights = (truth[:, None], counts[:, None]) if column else (truth, counts)
    for batch in np.split(np.arange(50), [20, 27]):
        metric.update_state(y_true[batch], models[batch], sample_weight=weights[batch])
    assert float(metric.result()) == pytest.approx(expected, rel=tolerance)


def test_a_weight_of_zero_leaves_out_what_is_undefined():
    metric = RelativePredictionDifference()
    for weights in ([0.0, 2.0], [[0.0], [2.0]]):
        metric.update_state(y_true=[0.0, 0.5], y_pred=[[0.1, 0.2], [0.5, 0.75]], sample_weight=weights)
    assert float(metric.result()) == 0.5


def test_one_weight_is_that_of_every_example():
    metric = RelativePredictionDifference()
    metric.update_state(y_true=[0.5] * 3, y_pred=[[0.5, 0.25]] * 3, sample_weight=2.0)
    metric.update_state(y_true=[0.5], y_pred=[[0.5, 0.5]], sample_weight=2.0)
    assert float(metric.result()) == 0.375


def test_metric_relative_to_the_mean_ignores_the_truth():
    metric = RelativePredictionDifference(reference="mean")
    metric.update_state(None, [[0.5, 0.0], [0.0, 0.0]])
    assert float(metric.result()) == 1.0


def test_metric_of_a_compiled_model_survives_saving(tmp_path):
    truth, models, counts = random_predictions(30)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Activation("linear")])
    model.compile(loss="mse", weighted_metrics=[RelativePredictionDifference("mean", dtype="float64")])
    model.save(tmp_path / "model.keras")
    expected = relative_prediction_difference(*models.T, sample_weight=counts)
    for tested in (model, keras.models.load_model(tmp_path / "model.keras")):
        results = tested.evaluate(
            models, truth[:, None], sample_weight=counts, batch_size=8, verbose=0, return_dict=True
        )
        assert results["relative_prediction_difference"] == pytest.approx(expected, rel=1e-5)


def test_metric_config_round_trip():
    metric = RelativePredictionDifference(reference="mean", name="pd", dtype="float64")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(copy) is RelativePredictionDifference
    assert copy.get_config() == metric.get_config()
    assert (copy.reference, copy.name, copy.dtype) == ("mean", "pd", "float64")


def test_metric_invalid_arguments():
    with pytest.raises(ValueError, match=r"Received: reference='median'$"):
        RelativePredictionDifference(reference="median")
    metric = RelativePredictionDifference()
    with pytest.raises(ValueError, match=r"\(batch, 2\).*Received: y_pred of shape \(2, 3\)$"):
        metric.update_state(np.ones(2), np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"\(2, 1\). Received: y_true of shape \(2, 2\)$"):
        metric.update_state(np.ones((2, 2)), np.ones((2, 2)))
