"""What all our Keras metrics share: types, weights of every shape, and examples of weight 0."""

import keras
import ml_dtypes
import numpy as np
import pytest

from common.metrics.excess_label_loss import ExcessLabelLoss, excess_label_loss
from common.metrics.prediction_difference import (
    RelativePredictionDifference,
    relative_prediction_difference,
)

DTYPES = ["float16", "bfloat16", "float32", "float64", "mixed_float16"]
EPSILON = {"float16": 2**-10, "mixed_float16": 2**-10, "bfloat16": 2**-7, "float32": 1e-5, "float64": 1e-12}


def excess(rng, n):
    truth, logits = rng.normal(size=(2, n))
    return ExcessLabelLoss, truth, logits, lambda w: excess_label_loss(truth, logits, w)


def difference(rng, n):
    truth, a, b = rng.uniform(0.1, 0.9, (3, n))

    def expected(weights):
        return relative_prediction_difference(a, b, truth, weights)

    return RelativePredictionDifference, truth, np.stack([a, b], axis=1), expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", [excess, difference])
def test_every_type_gives_the_value_of_the_function(problem, dtype):
    metric, truth, predicted, expected = problem(np.random.default_rng(0), 6)
    metric = metric(dtype=dtype)
    metric.update_state(truth, predicted)
    assert float(metric.result()) == pytest.approx(expected(None), rel=EPSILON[dtype])
    assert keras.backend.standardize_dtype(metric.result().dtype) == dtype.removeprefix("mixed_")


@pytest.mark.parametrize("stored", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
@pytest.mark.parametrize("problem", [excess, difference])
def test_predictions_of_every_type_are_taken(problem, stored):
    metric, truth, predicted, _ = problem(np.random.default_rng(0), 6)
    truth, predicted = truth.astype(stored), predicted.astype(stored)
    found, same = metric(dtype="float64"), metric(dtype="float64")
    found.update_state(truth, predicted)
    same.update_state(truth.astype("float64"), predicted.astype("float64"))
    assert float(found.result()) == float(same.result())


@pytest.mark.parametrize("dtype", DTYPES[:3])
@pytest.mark.parametrize("problem", [excess, difference])
def test_many_examples_are_counted_in_whatever_type(problem, dtype):
    """In float16 4,096 + 1 is 4,096."""
    metric, truth, predicted, expected = problem(np.random.default_rng(0), 2**13)
    metric = metric(dtype=dtype)
    for batch in np.split(np.arange(2**13), 64):
        metric.update_state(truth[batch], predicted[batch])
    assert float(metric.result()) == pytest.approx(expected(None), rel=EPSILON[dtype])


@pytest.mark.parametrize("shape", [(6,), (6, 1), (), (1,), (1, 1), None])
@pytest.mark.parametrize("problem", [excess, difference])
def test_weights_of_every_shape_that_fits(problem, shape):
    rng = np.random.default_rng(1)
    metric, truth, predicted, expected = problem(rng, 6)
    weights = None if shape is None else rng.uniform(0.5, 2, shape)
    metric = metric(dtype="float64")
    metric.update_state(truth, predicted, sample_weight=weights)
    flat = None if weights is None else np.broadcast_to(weights.reshape(-1), 6)
    assert float(metric.result()) == pytest.approx(expected(flat), rel=1e-12)


@pytest.mark.parametrize("problem", [excess, difference])
def test_one_weight_counts_each_example(problem):
    """Beside a second batch of weight 1, a scalar weight is that of every example of its batch."""
    metric, truth, predicted, expected = problem(np.random.default_rng(1), 6)
    metric = metric(dtype="float64")
    metric.update_state(truth[:4], predicted[:4], sample_weight=3.0)
    metric.update_state(truth[4:], predicted[4:])
    assert float(metric.result()) == pytest.approx(expected([3, 3, 3, 3, 1, 1]), rel=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("problem", [excess, difference])
@pytest.mark.parametrize("column", [False, True])
def test_an_example_of_weight_0_has_no_part(problem, dtype, column):
    metric, truth, predicted, expected = problem(np.random.default_rng(2), 6)
    weights = np.array([1.0, 0.0, 2.0, 0.0, 1.0, 0.0])
    expected = expected(weights)
    truth[1], predicted[3], predicted[5] = np.nan, np.nan, np.inf
    metric = metric(dtype=dtype)
    metric.update_state(truth, predicted, sample_weight=weights[:, None] if column else weights)
    assert float(metric.result()) == pytest.approx(expected, rel=EPSILON[dtype])


@pytest.mark.parametrize("problem", [excess, difference])
def test_no_examples_and_other_weights(problem):
    metric, truth, predicted, expected = problem(np.random.default_rng(3), 6)
    metric = metric(dtype="float64")
    metric.update_state(truth[:0], predicted[:0])
    assert float(metric.result()) == 0
    metric.update_state(truth, predicted)
    metric.update_state(truth[:0], predicted[:0], sample_weight=np.ones(0))
    metric.update_state(truth, predicted, sample_weight=0.0)
    assert float(metric.result()) == pytest.approx(expected(None), rel=1e-12)
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(6,\).*\(6, 2\)$"):
        metric.update_state(truth, predicted, sample_weight=np.ones((6, 2)))


@pytest.mark.parametrize("problem", [excess, difference])
def test_one_value_is_not_spread_over_a_batch(problem):
    metric, truth, predicted, _ = problem(np.random.default_rng(3), 6)
    metric = metric()
    with pytest.raises(ValueError, match=r"must have shape \((1|6),\)"):
        metric.update_state(truth[:1], predicted)
    with pytest.raises(ValueError, match=r"`sample_weight` must have shape \(1,\)"):
        metric.update_state(truth[:1], predicted[:1], sample_weight=np.ones(6))
