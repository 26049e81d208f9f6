import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.layers.local_response_normalization import LocalResponseNormalization


def reference(x, depth_radius, bias, alpha, beta):
    output = np.empty_like(x)
    for channel in range(x.shape[-1]):
        window = x[..., max(channel - depth_radius, 0) : channel + depth_radius + 1]
        output[..., channel] = x[..., channel] / (bias + alpha * np.sum(window**2, axis=-1)) ** beta
    return output


def gradient(layer, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(tf.sin(layer(x)))
    return tape.gradient(y, x).numpy()


def test_numbers_by_hand():
    x = np.array([1.0, 2.0, 3.0], "float32").reshape(1, 1, 1, 3)
    # Sums over the window: 1 + 4, 1 + 4 + 9, 4 + 9.
    y = LocalResponseNormalization(depth_radius=1, bias=1.0, alpha=1.0, beta=1.0)(x)
    np.testing.assert_allclose(y[0, 0, 0], [1 / 6, 2 / 15, 3 / 14], rtol=1e-6)
    # 3 + 1, 12 + 4, 27 + 9: the square roots 2, 4, 6 are exact.
    x = np.array([1.0, 2.0, 3.0], "float32").reshape(3, 1, 1, 1)
    y = LocalResponseNormalization(depth_radius=0, bias=1.0, alpha=3.0)(x)
    np.testing.assert_allclose(y[:, 0, 0, 0], [1 / 2, 2 / np.sqrt(13), 3 / np.sqrt(28)], rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("depth_radius", [0, 1, 4, 20])
def test_equals_numpy(depth_radius, dtype):
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 9)).astype(dtype)
    arguments = {"depth_radius": depth_radius, "bias": 1.5, "alpha": 0.3, "beta": 0.75}
    layer = LocalResponseNormalization(**arguments, dtype=dtype)
    tolerance = 1e-5 if dtype == "float32" else 1e-13
    np.testing.assert_allclose(layer(x), reference(x, **arguments), rtol=tolerance)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 1e-3), ("mixed_bfloat16", 1e-2)])
def test_half_precision_rounds_and_does_not_overflow(policy, tolerance, compiled):
    x = 300 * np.random.default_rng(0).normal(size=(2, 3, 4, 9)).astype("float32")  # squares above 65504
    layer = LocalResponseNormalization(dtype=policy)
    found = tf.function(layer, jit_compile=compiled)(tf.cast(x, layer.compute_dtype))
    assert found.dtype == layer.compute_dtype
    expected = reference(x.astype("float64"), 5, 1.0, 1.0, 0.5)
    np.testing.assert_allclose(tf.cast(found, "float64"), expected, rtol=0, atol=tolerance)


def test_whole_numbers_are_taken_as_floats():
    x = np.arange(12).reshape(1, 2, 2, 3)
    layer = LocalResponseNormalization()
    np.testing.assert_array_equal(layer(x.astype("uint8")), layer(x.astype("float32")))


def test_integers_of_numpy_are_integers():
    assert type(LocalResponseNormalization(np.int64(2)).get_config()["depth_radius"]) is int


def test_gradient_is_that_of_finite_differences():
    x = np.random.default_rng(0).normal(size=(1, 1, 2, 5))
    arguments = {"depth_radius": 1, "bias": 1.0, "alpha": 0.5, "beta": 0.75}
    expected = np.empty_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = 1e-6
        values = [np.sin(reference(x + sign * step, **arguments)).sum() for sign in (1, -1)]
        expected[index] = (values[0] - values[1]) / 2e-6
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-7)):
        layer = LocalResponseNormalization(**arguments, dtype=dtype)
        np.testing.assert_allclose(gradient(layer, x.astype(dtype)), expected, rtol=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_program_computes_the_same(dtype):
    x = np.random.default_rng(0).normal(size=(2, 3, 3, 8)).astype(dtype)
    layer = LocalResponseNormalization(2, alpha=0.1, beta=0.75, dtype=dtype)
    compiled = tf.function(lambda x: gradient_in_graph(layer, x), jit_compile=True)
    np.testing.assert_allclose(compiled(x), gradient(layer, x), rtol=1e-4, atol=1e-6)


def gradient_in_graph(layer, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(tf.sin(layer(x)))
    return tape.gradient(y, x)


def test_config_round_trip():
    layer = LocalResponseNormalization(4, bias=2, alpha=np.float32(0.5), beta=0.75, name="lrn")
    copy = keras.layers.deserialize(json.loads(json.dumps(keras.layers.serialize(layer))))
    assert type(copy) is LocalResponseNormalization
    assert copy.get_config() == layer.get_config()
    assert (copy.depth_radius, copy.bias, copy.alpha, copy.beta) == (4, 2.0, 0.5, 0.75)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth_radius": -1}, "non-negative integer. Received: depth_radius=-1$"),
        ({"depth_radius": 1.5}, "non-negative integer. Received: depth_radius=1.5$"),
        ({"depth_radius": True}, "non-negative integer. Received: depth_radius=True$"),
        ({"bias": 0}, "greater than 0. Received: bias=0$"),
        ({"bias": -1.0}, "finite non-negative number. Received: bias=-1.0$"),
        ({"alpha": float("nan")}, "finite non-negative number. Received: alpha=nan$"),
        ({"beta": float("inf")}, "finite non-negative number. Received: beta=inf$"),
        ({"beta": "1"}, "finite non-negative number. Received: beta='1'$"),
    ],
)
def test_invalid_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LocalResponseNormalization(**arguments)


def test_inputs_must_have_four_axes():
    with pytest.raises(ValueError, match="expected ndim=4, found ndim=2"):
        LocalResponseNormalization()(np.ones((2, 3)))
