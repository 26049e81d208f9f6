import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from common.data.colour_jitter import COLOUR_CLIPS, apply_jitter, jitter_coefficients
from common.layers import SmeLU
from common.metrics.sharpness import (
    jacobian_norm,
    samples_in,
    tangent_hessian_norm,
    tangent_hessian_prefactor,
    tangent_hessian_sums,
)

MEAN, STD = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
SHAPE = (6, 5, 3)


@keras.saving.register_keras_serializable(package="tests")
class SaturatedLoss(keras.layers.Layer):
    """Logits (q - 100, 0) with q = sum of a_i * x_i^power / power: with label 0 the loss is 100 - q."""

    def __init__(self, factors, power):
        super().__init__()
        self.factors, self.power = tf.constant(factors, tf.float32), power

    def call(self, inputs):
        q = tf.reduce_sum(self.factors * inputs**self.power / self.power, axis=(1, 2, 3))
        return tf.stack([q - 100, tf.zeros_like(q)], axis=-1)


def examples(num_samples, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.random((num_samples, *SHAPE), dtype="float32")
    return images, generator.integers(0, 4, num_samples)


def linear_model(seed=0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(4, bias_initializer="normal")]
    )


def linear_gradients(model, inputs, labels):
    """W (p - e_y) for each input, in float64."""
    kernel, bias = (np.asarray(weight, "float64") for weight in model.get_weights()[-2:])
    logits = inputs.reshape(len(inputs), -1).astype("float64") @ kernel + bias
    return (softmax(logits, axis=-1) - np.eye(4)[labels]) @ kernel.T


def jittered(images, num_copies, seed=0, clip="none"):
    coefficients = jitter_coefficients(seed, np.arange(len(images)), num_copies, clip=clip)
    return apply_jitter(tf.constant(images), coefficients, clip).numpy().astype("float64")


def test_jacobian_norm_of_a_linear_softmax_model():
    model = linear_model()
    images, labels = examples(11)
    expected = np.linalg.norm(linear_gradients(model, images, labels), axis=-1)
    result = jacobian_norm(model, images, labels, batch_size=4)
    assert result.dtype == np.float64
    np.testing.assert_allclose(result, expected, rtol=1e-5)


@pytest.mark.parametrize("gap", [2.0, 10.0, 20.0, 50.0, 80.0])
def test_jacobian_norm_of_a_sample_that_is_fitted_well(gap):
    """Logits 3 x0 + 4 x1 and 0, whose gap is `gap`: 5 times the probability of the other class."""
    x = np.array([[0.12, 0.16]], np.float32) * np.float32(gap)
    found = [
        jacobian_norm(lambda x: tf.matmul(x, [[3.0, 0.0], [4.0, 0.0]]), x, [label])[0] for label in (0, 1)
    ]
    np.testing.assert_allclose(found, [5 / (1 + np.exp(gap)), 5 / (1 + np.exp(-gap))], rtol=1e-4)


def test_gradients_of_fitted_samples_agree_with_float64():
    """Ten classes, labels that a network gives itself: cross-entropies of 1 to 1e-30."""
    rng = np.random.default_rng(0)
    x, kernel = rng.normal(size=(200, 6)), 8 * rng.normal(size=(6, 10))
    logits = x @ kernel
    labels = logits.argmax(axis=1)
    others = np.where(np.eye(10, dtype=bool)[labels], -np.inf, logits - logits.max(axis=1, keepdims=True))
    weights = np.exp(others) / (1 + np.exp(others).sum(axis=1, keepdims=True))
    slopes = weights @ kernel.T - weights.sum(axis=1, keepdims=True) * kernel.T[labels]
    found = jacobian_norm(lambda x: tf.matmul(x, kernel.astype(np.float32)), x.astype(np.float32), labels)
    kept = np.linalg.norm(slopes, axis=1) > 1e-34  # float32 has no numbers below 1e-38
    np.testing.assert_allclose(found[kept], np.linalg.norm(slopes, axis=1)[kept], rtol=1e-3)
    assert kept.sum() > 150 and np.exp(others).sum(axis=1).min() < 1e-7


def test_jacobian_norm_takes_any_input_shape():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    # Logits (5 x0, 12 x1) at 0: p = 1/2 each, so the gradient is (-5/2, 12/2, 0) for label 0.
    model.set_weights([np.array([[5.0, 0.0], [0.0, 12.0], [0.0, 0.0]]), np.zeros(2)])
    np.testing.assert_allclose(jacobian_norm(model, np.zeros((1, 3)), [0]), [6.5], rtol=1e-6)


def test_jacobian_norm_of_single_numbers():
    """Logits 0 and 2 x with label 0: the loss is log(1 + exp(2 x)), its slope 2 sigmoid(2 x)."""
    x = np.array([0.0, np.log(3) / 2])
    found = jacobian_norm(lambda x: tf.stack([0 * x, 2 * x], axis=1), x, [0, 0])
    np.testing.assert_allclose(found, [1.0, 1.5], rtol=1e-6)


def test_the_model_is_in_inference_mode():
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.BatchNormalization(center=False, scale=False, epsilon=0.25),
            keras.layers.Dense(4),
        ]
    )
    # Moving mean 0 and variance 1: inference divides by sqrt(1.25), whatever the batch.
    images, labels = examples(6)
    scale = 1 / np.sqrt(1.25)
    expected = scale * np.linalg.norm(linear_gradients(model, images * scale, labels), axis=-1)
    np.testing.assert_allclose(jacobian_norm(model, images, labels), expected, rtol=1e-5)


@pytest.mark.parametrize("clip", COLOUR_CLIPS)
def test_tangent_hessian_of_a_linear_softmax_model(clip):
    model = linear_model()
    images, labels = examples(7)
    images[:, :3] = images[:, :3].round()  # black and white, which the clip keeps from growing
    at_image = linear_gradients(model, (images - MEAN) / STD, labels)
    copies = (jittered(images, 4, clip=clip) - MEAN) / STD
    # The kernel and the labels are the same at a copy: W (p(x) - p(x_m)).
    sums = sum(
        np.sum((at_image - linear_gradients(model, copies[:, copy], labels)) ** 2, axis=-1)
        for copy in range(4)
    )
    result = tangent_hessian_sums(model, images, labels, MEAN, STD, colour_clip=clip)
    np.testing.assert_allclose(result, sums, rtol=2e-3)
    norms = tangent_hessian_norm(model, images, labels, MEAN, STD, colour_clip=clip)
    np.testing.assert_allclose(norms, np.sqrt(sums / 4) / 0.1, rtol=1e-3)


def test_tangent_hessian_is_that_of_the_closed_form():
    """H = W (diag p - p p^T) W^T; the changes of colour are small, so H u is the difference of gradients."""
    model = linear_model()
    images, labels = examples(7)
    kernel, bias = (np.asarray(weight, "float64") for weight in model.get_weights()[-2:])
    inputs = ((images - MEAN) / STD).reshape(7, -1)
    p = softmax(inputs @ kernel + bias, axis=-1)
    copies = ((jittered(images, 4) - MEAN) / STD).reshape(7, 4, -1)
    expected = np.zeros(7)
    for i in range(7):
        hessian = kernel @ (np.diag(p[i]) - np.outer(p[i], p[i])) @ kernel.T
        expected[i] = sum(np.sum((hessian @ (copy - inputs[i])) ** 2) for copy in copies[i])
    result = tangent_hessian_sums(model, images, labels, MEAN, STD)
    np.testing.assert_allclose(np.sqrt(result), np.sqrt(expected), rtol=0.03)


@pytest.mark.parametrize(("step", "part"), [("code", 1.0), ("paper", 0.1)])
@pytest.mark.parametrize("num_copies", [1, 4])
def test_tangent_hessian_of_a_quadratic_loss(num_copies, step, part):
    factors = np.random.default_rng(1).normal(size=SHAPE)
    model = keras.Sequential([keras.Input(SHAPE), SaturatedLoss(factors, power=2)])
    images, _ = examples(5)
    # The gradient is -a x, so its change is a (x - x_m), in normalised inputs.
    displacements = part * (images[:, np.newaxis] - jittered(images, num_copies, seed=3)) / STD
    expected = np.sum((factors * displacements) ** 2, axis=(1, 2, 3, 4))
    options = {"num_copies": num_copies, "seed": 3, "step": step}
    result = tangent_hessian_sums(model, images, np.zeros(5, int), MEAN, STD, **options)
    np.testing.assert_allclose(result, expected, rtol=1e-3 / part)


def test_a_linear_loss_has_no_tangent_hessian():
    model = keras.Sequential([keras.Input(SHAPE), SaturatedLoss(np.ones(SHAPE), power=1)])
    images, _ = examples(3)
    labels = np.zeros(3, int)
    # Of gradients of 7 that are rounded.
    np.testing.assert_allclose(tangent_hessian_norm(model, images, labels, MEAN, STD), 0, atol=2e-5)
    np.testing.assert_allclose(jacobian_norm(model, images, labels), np.sqrt(np.prod(SHAPE)), rtol=1e-6)


def test_prefactors_by_hand():
    # Root of the sum 2: the code has 2 / (0.1 * 2) = 10, the paper 2 / (0.01 * 16) = 12.5.
    assert 2 * tangent_hessian_prefactor(4, "code") == pytest.approx(10)
    assert 2 * tangent_hessian_prefactor(4, "paper") == pytest.approx(12.5)
    ratio = tangent_hessian_prefactor(9, "paper", delta=0.5) / tangent_hessian_prefactor(9, "code", delta=0.5)
    assert ratio == pytest.approx(1 / (0.5 * 27))


def test_hessian_norm_of_samples_that_are_fitted_well():
    """A logit that is larger by 40: gradients, and their differences, are exp(-40) times as large."""
    images, _ = examples(3)

    def norms(bias):
        def model(x):
            logit = bias + 0.1 * tf.reduce_sum(x, axis=(1, 2, 3))
            return tf.stack([logit, tf.zeros_like(logit)], axis=1)

        return tangent_hessian_norm(model, images, np.zeros(3, int), MEAN, STD)

    np.testing.assert_allclose(norms(60.0), np.exp(-40) * norms(20.0), rtol=0.01)


def test_ratio_of_the_paper_to_the_code():
    model = linear_model()
    images, labels = examples(3)
    code, paper = (
        tangent_hessian_norm(model, images, labels, MEAN, STD, source=source) for source in ("code", "paper")
    )
    np.testing.assert_allclose(paper / code, 1.25, rtol=1e-12)
    sums = tangent_hessian_sums(model, images, labels, MEAN, STD)
    np.testing.assert_allclose(code, np.sqrt(sums / 4) / 0.1, rtol=1e-12)


def test_batch_size_does_not_matter():
    model = linear_model()
    images, labels = examples(7)
    jacobian = jacobian_norm(model, images, labels)
    hessian = tangent_hessian_norm(model, images, labels, MEAN, STD)
    for batch_size in (1, 10, 15):
        again = jacobian_norm(model, images, labels, batch_size)
        np.testing.assert_allclose(again, jacobian, rtol=1e-5)
        again = tangent_hessian_norm(model, images, labels, MEAN, STD, batch_size=batch_size)
        np.testing.assert_allclose(again, hessian, rtol=1e-3)


def test_invalid_models_and_labels():
    images, labels = examples(2)
    flat = [keras.Input(SHAPE), keras.layers.Flatten()]
    constant = keras.Sequential([*flat, keras.layers.Lambda(tf.stop_gradient)], name="constant")
    with pytest.raises(ValueError, match="a gradient by its input. Received: model=constant$"):
        jacobian_norm(constant, images, labels)
    with pytest.raises(
        ValueError, match=r"logits of shape \(batch, classes\).*Received: logits of shape \(2, 6, 5, 3\)$"
    ):
        jacobian_norm(keras.Sequential([keras.Input(SHAPE), keras.layers.ReLU()]), images, labels)
    model = linear_model()
    for wrong in ([0, 4], [-1, 0]):
        with pytest.raises(ValueError, match="must be from 0 to 3. Received: labels="):
            jacobian_norm(model, images, wrong)
    for wrong in ([0.0, 1.0], [[0, 1], [1, 0]]):
        with pytest.raises(ValueError, match=r"`labels` must be integers of shape \(n,\) or \(n, 1\)"):
            jacobian_norm(model, images, wrong)
    with pytest.raises(ValueError, match="at least one example. Received: 1 labels for 2 examples"):
        jacobian_norm(model, images, [0])
    with pytest.raises(ValueError, match="at least one example"):
        jacobian_norm(model, images[:0], labels[:0])
    with pytest.raises(ValueError, match="logits, not their softmax"):
        jacobian_norm(keras.Sequential([model, keras.layers.Softmax()]), images, labels)
    broken = images.copy()
    broken[1, 2, 3, 0] = np.nan
    with pytest.raises(ValueError, match=r"must be finite. Received: examples=nan at index \(1, 2"):
        jacobian_norm(model, broken, labels)


def test_a_diverged_network_is_not_flat():
    """The gradient of a clipped activation is 0 at nan."""
    images, labels = examples(2)
    layers = [keras.layers.Flatten(), keras.layers.Dense(4, activation=SmeLU(0.5)), keras.layers.Dense(4)]
    model = keras.Sequential([keras.Input(SHAPE), *layers])
    layers[1].bias.assign([0.0, np.nan, 0.0, 0.0])
    assert np.isnan(jacobian_norm(model, images, labels)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_copies": 0}, "at least 1. Received: num_copies=0$"),
        ({"source": "author"}, "Received: source='author'$"),
        ({"mean": [0.5]}, "`mean` must have one value for each channel"),
        ({"std": [0.2, 0.0, 0.2]}, r"`std` must be greater than 0. Received: std=0.0 at index \(1,\)$"),
        ({"images": np.full((2, *SHAPE), 2.0)}, r"must be in \[0, 1\], not yet normalised"),
        ({"images": np.ones((2, *SHAPE), "uint8")}, "must be floats of shape .* type uint8$"),
        ({"images": np.ones((2, 30))}, r"Received: images of shape \(2, 30\)"),
        ({"images": np.ones((2, 6, 5, 2))}, "1 or 3 channels"),
    ],
)
def test_invalid_arguments(changes, message):
    images, labels = examples(2)
    arguments = {"images": images, "labels": labels, "mean": MEAN, "std": STD} | changes
    with pytest.raises(ValueError, match=message):
        tangent_hessian_norm(linear_model(), **arguments)


def test_an_image_counts_beside_its_copies_among_the_points_of_a_batch():
    assert [samples_in(*given) for given in ((320, 4), (320, 0), (4, 4))] == [64, 320, 1]
