import math
from decimal import Decimal, localcontext

import keras
import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.special import expit, rel_entr

from common.metrics.excess_label_loss import ExcessLabelLoss, excess_label_loss

logits = st.floats(-30, 30)


def exact_divergence(a, b):
    """The two terms of the definition, in 100 digits."""
    with localcontext() as context:
        context.prec = 100
        a, b = Decimal(a), Decimal(b)
        p, q = (1 / (1 + (-x).exp()) for x in (a, b))
        return float(p * (p / q).ln() + (1 - p) * ((1 - p) / (1 - q)).ln())


def random_logits(num_examples, seed=0):
    generator = np.random.default_rng(seed)
    truth = 3 * generator.normal(size=num_examples)
    predictions = truth + generator.normal(size=num_examples)
    counts = generator.integers(0, 5, num_examples).astype("float64")
    counts[0] = 1.0
    return truth, predictions, counts


def test_equation_2_by_hand():
    # p = 1/2 and q = 3/4: (1/2) ln(2/3) + (1/2) ln 2 = ln(4/3) / 2.
    # p = 3/4 and q = 1/2: (3/4) ln(3/2) + (1/4) ln(1/2) = (3/4) ln 3 - ln 2.
    log3 = math.log(3)
    half_ln_4_3 = math.log(4 / 3) / 2
    other = 0.75 * log3 - math.log(2)
    assert excess_label_loss([0.0], [log3]) == pytest.approx(half_ln_4_3, rel=1e-14)
    assert excess_label_loss([log3], [0.0]) == pytest.approx(other, rel=1e-14)
    result = excess_label_loss([0.0, log3, 5.0], [log3, 0.0, 5.0])
    assert result == pytest.approx((half_ln_4_3 + other) / 3, rel=1e-14)
    assert result.dtype == np.float64


def test_weights_by_hand():
    log3 = math.log(3)
    result = excess_label_loss([0.0, 1.0, 2.0], [log3, 1.0, -7.0], sample_weight=[3, 1, 0])
    assert result == pytest.approx(3 / 8 * math.log(4 / 3), rel=1e-14)


def test_is_the_relative_entropy_of_the_probabilities():
    a, b, _ = random_logits(200)
    p, q = expit(a), expit(b)
    expected = np.mean(rel_entr(p, q) + rel_entr(1 - p, 1 - q))
    assert excess_label_loss(a, b) == pytest.approx(expected, rel=1e-12)


@settings(deadline=None)  # 100 digits are slow
@given(logits, st.floats(-12, 1.6), st.sampled_from([-1, 1]))
@example(0.0, 0.0, 1)
@example(0.0, 1e-9, -1)
@example(30.0, -6.0, 1)
def test_relative_error_is_small_also_for_nearly_equal_logits(a, exponent, sign):
    b = a + sign * 10**exponent
    assume(b != a)
    assert excess_label_loss([a], [b]) == pytest.approx(exact_divergence(a, b), rel=1e-14, abs=0)


@given(logits, logits)
def test_non_negative_and_the_same_when_labels_swap(a, b):
    assert excess_label_loss([a], [b]) >= 0
    swapped = excess_label_loss([-a], [-b])
    assert excess_label_loss([a], [b]) == pytest.approx(swapped, rel=1e-14, abs=1e-300)
    assert excess_label_loss([a], [a]) == 0


@pytest.mark.filterwarnings("error")
def test_extreme_logits():
    # A certain label costs the model's logit; a certain model and an even label, half of it.
    assert excess_label_loss([1000.0], [-1000.0]) == 1000
    assert excess_label_loss([-1000.0], [1000.0]) == 1000
    assert excess_label_loss([0.0], [1000.0]) == pytest.approx(500 - math.log(2), rel=1e-15)
    assert excess_label_loss([1000.0], [0.0]) == pytest.approx(math.log(2), rel=1e-15)
    assert excess_label_loss([[1000.0]] * 2, [[1000.0], [998.0]]) == 0


def test_logits_of_several_classes_are_refused():
    """They would be averaged over the classes, as if each were a model of one label."""
    truth, predictions, counts = random_logits(12)
    for arguments, name in (
        ((np.ones((12, 3)), np.ones((12, 3))), "true_logits"),
        ((truth, predictions, np.ones((12, 3))), "sample_weight"),
    ):
        with pytest.raises(ValueError, match=rf"`{name}` must hold one number an example.*\(12, 3\)$"):
            excess_label_loss(*arguments)
    with pytest.raises(ValueError, match=r"same number of examples.*logits=array of shape \(12, 3\)"):
        excess_label_loss(truth, np.ones((12, 3)))
    expected = excess_label_loss(truth, predictions, counts)
    assert excess_label_loss(truth, predictions[:, None], counts[:, None]) == expected
    assert isinstance(expected, float)


def test_leading_axes_of_models_are_kept():
    truth, predictions, counts = random_logits(12)
    models = np.stack([predictions, truth, -predictions])
    result = excess_label_loss(truth, models, sample_weight=counts)
    assert result.shape == (3,)
    assert result[1] == 0
    for model in range(3):
        alone = excess_label_loss(truth, models[model], sample_weight=counts)
        assert result[model] == pytest.approx(alone, rel=1e-14)


def test_several_models_on_one_example():
    """(models, 1), whose last axis is that of the examples; p = 1/2 and q = 1/2, 3/4, 1/4."""
    log3, half_ln_4_3 = math.log(3), math.log(4 / 3) / 2
    models = np.array([[0.0], [log3], [-log3]])
    for truth, weights in (([0.0], None), ([[0.0]], [5])):
        result = excess_label_loss(truth, models, weights)
        assert result.shape == (3,)
        np.testing.assert_allclose(result, [0, half_ln_4_3, half_ln_4_3], rtol=1e-14)
    # One model's column stays a column.
    assert np.ndim(excess_label_loss([0.0], [[log3]])) == 0
    assert excess_label_loss([0.0] * 2, [[log3], [0.0]]) == pytest.approx(half_ln_4_3 / 2, rel=1e-14)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.0, 1.0], [0.0]), r"Received: true_logits=array of shape \(2,\), logits=array of"),
        ((0.0, 0.0), "at least one"),
        (([0.0], [np.inf]), r"`logits` must be finite. Received: logits=inf at index \(0,\)$"),
        (([np.nan], [0.0]), "Received: true_logits=nan"),
        (([0.0], [0.0], [-1.0]), "finite and non-negative. Received: sample_weight=-1.0"),
        (([0.0], [0.0], [0.0]), "sum of sample_weight` must be greater than 0"),
        (([0.0], [0.0], [1.0, 1.0]), r"sample_weight=array of shape \(2,\)$"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        excess_label_loss(*arguments)


@pytest.mark.parametrize("column", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("float64", 1e-13)])
def test_metric_over_batches_is_the_function(column, dtype, tolerance):
    truth, predictions, counts = random_logits(50)
    expected = excess_label_loss(truth, predictions, sample_weight=counts)
    metric = ExcessLabelLoss(dtype=dtype)
    y_pred, weights = (predictions[:, None], counts[:, None]) if column else (predictions, counts)
    for batch in np.split(np.arange(50), [20, 27]):
        metric.update_state(truth[batch], y_pred[batch], sample_weight=weights[batch])
    assert float(metric.result()) == pytest.approx(expected, rel=tolerance)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_metric_in_float32_resolves_nearly_equal_logits():
    a, b = np.float32(1.0), np.nextafter(np.float32(1.0), np.float32(2.0))
    metric = ExcessLabelLoss()
    metric.update_state([a], [b])
    assert float(metric.result()) == pytest.approx(exact_divergence(float(a), float(b)), rel=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("truth", "logit", "expected"),
    [
        (0.0, np.inf, np.inf),
        (0.0, -np.inf, np.inf),
        (-3.0, np.inf, np.inf),
        (np.inf, -np.inf, np.inf),
        (-np.inf, np.inf, np.inf),
        (np.inf, np.inf, 0.0),
        (-np.inf, -np.inf, 0.0),
        (np.inf, 0.0, math.log(2)),
        (-np.inf, 0.0, math.log(2)),
        (np.inf, math.log(3), math.log(4 / 3)),  # q = 3/4 for what is certain
        (3e38, -3e38, 3e38),  # their difference is no float32
        (np.nan, np.inf, np.nan),
        (np.inf, np.nan, np.nan),
    ],
)
def test_metric_of_infinite_logits(truth, logit, expected, dtype):
    metric = ExcessLabelLoss(dtype=dtype)
    metric.update_state([truth], [logit])
    assert float(metric.result()) == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_metric_of_a_compiled_model_survives_saving(tmp_path):
    truth, predictions, counts = random_logits(30)
    model = keras.Sequential([keras.Input((1,)), keras.layers.Activation("linear")])
    model.compile(loss="mse", weighted_metrics=[ExcessLabelLoss()])
    model.save(tmp_path / "model.keras")
    expected = excess_label_loss(truth, predictions, sample_weight=counts)
    for tested in (model, keras.models.load_model(tmp_path / "model.keras")):
        results = tested.evaluate(
            predictions, truth, sample_weight=counts, batch_size=8, verbose=0, return_dict=True
        )
        assert results["excess_label_loss"] == pytest.approx(expected, rel=1e-5)


def test_early_stopping_knows_that_less_is_better():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, kernel_initializer="zeros")])
    # Leaving the optimum, the loss rises after each of the epochs: the first one is the best.
    model.compile(loss=lambda _, y: -keras.ops.abs(y - 1), optimizer="sgd", metrics=[ExcessLabelLoss()])
    stop = keras.callbacks.EarlyStopping(monitor="excess_label_loss", patience=2)
    history = model.fit(np.zeros((4, 1)), np.zeros(4), epochs=9, callbacks=[stop], verbose=0)
    assert len(history.history["excess_label_loss"]) == 3


def test_metric_config_round_trip():
    metric = ExcessLabelLoss(name="excess", dtype="float64")
    copy = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert type(copy) is ExcessLabelLoss
    assert copy.get_config() == metric.get_config()
    assert (copy.name, copy.dtype) == ("excess", "float64")


def test_metric_invalid_arguments():
    metric = ExcessLabelLoss()
    with pytest.raises(ValueError, match=r"Received: y_pred of shape \(2, 3\)$"):
        metric.update_state(np.ones(2), np.ones((2, 3)))
