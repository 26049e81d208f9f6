import json
import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from common.layers.activations import SmeLU, Swish, smelu, swish

INVALID_BETAS = [0, -1.0, math.nan, math.inf, "1", None, True, [1.0]]
betas = st.floats(2**-20, 2**20, width=32)
inputs = st.floats(-(2.0**100), 2.0**100, width=32)


def value_and_gradient(function, x):
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return y.numpy(), tape.gradient(y, x).numpy()


def second_derivative_at_zero(function):
    x = tf.constant(0.0, tf.float64)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = function(x)
        slope = inner.gradient(y, x)
    return float(outer.gradient(slope, x))


def test_smelu_numbers():
    # (x + 1)^2 / 4, then (x + 1/2)^2 / 2: all exact in binary.
    x = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0]
    np.testing.assert_array_equal(smelu(x), [0, 0, 0.0625, 0.25, 0.5625, 1, 2])
    x = np.array([-0.5, -0.25, 0.0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(SmeLU(0.5)(x), [0, 0.03125, 0.125, 0.28125, 0.5, 0.75])


def test_swish_numbers():
    # sigmoid(ln 3) = 3/4.
    x = np.array([-math.log(3), 0.0, math.log(3)])
    expected = np.array([-0.25, 0.0, 0.75]) * math.log(3)
    np.testing.assert_allclose(swish(x), expected, rtol=1e-14)
    np.testing.assert_allclose(swish(x / 2, beta=2.0), expected / 2, rtol=1e-14)
    np.testing.assert_allclose(Swish(2.0)(x / 2), expected / 2, rtol=1e-6)


def test_swish_with_beta_one_is_silu():
    x = np.linspace(-20, 20, 101, dtype="float32")
    np.testing.assert_allclose(swish(x), keras.activations.silu(x), rtol=1e-6)


@settings(deadline=None)  # the first call of an operation is slow
@given(st.lists(inputs, min_size=1, max_size=20), betas)
def test_smelu_is_exact_outside_the_parabola(x, beta):
    x = np.array([*x, beta, -beta], "float32")
    y = smelu(x, beta).numpy()
    np.testing.assert_array_equal(y[x >= beta], x[x >= beta])
    np.testing.assert_array_equal(y[x <= -beta], 0)
    relu = np.maximum(x, 0)
    assert np.all(y >= relu * (1 - 1e-6))
    assert np.all(y - relu <= beta / 4 * (1 + 1e-6))


@pytest.mark.parametrize("beta", [0.25, 1.0, 4.0])
def test_smelu_gradient(beta):
    x = beta * np.array([-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0])
    _, gradient = value_and_gradient(lambda x: smelu(x, beta), x)
    np.testing.assert_array_equal(gradient, [0, 0, 0.25, 0.5, 0.75, 1, 1])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("function", [smelu, swish])
@pytest.mark.parametrize("beta", [1e-30, 1e-3, 1.0, 1e3, 1e30])
def test_values_and_gradients_are_finite(function, beta, dtype):
    largest = np.finfo(dtype).max
    x = np.array([0.0, 1e-30, 1e-3, beta, 1.0, 88.0, 1e4, 1e30, largest], dtype)
    x = np.concatenate([-x, x])
    value, gradient = value_and_gradient(lambda x: function(x, beta), x)
    assert np.all(np.isfinite(value))
    assert np.all(np.isfinite(gradient))
    # The slope of swish stays below 1.1 (its extreme, at beta * x = 2.4).
    assert np.all((gradient >= -0.1) & (gradient <= 1.1))


@pytest.mark.parametrize("beta", [1e-8, 1e5])
@pytest.mark.parametrize("function", [smelu, swish])
def test_a_beta_beyond_float16_is_the_limit_and_no_nan(function, beta):
    x = np.array([-1.0, 0.0, 1.0], "float16")
    value, gradient = value_and_gradient(lambda x: function(x, beta), x)
    relu, flat = ((0, 0, 1), (0, 0.5, 1)), {smelu: (25000, 25000, 25000), swish: (-0.5, 0, 0.5)}
    expected = relu if (beta > 1) == (function is swish) else (flat[function], (0.5, 0.5, 0.5))
    np.testing.assert_allclose(value, expected[0], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(gradient, expected[1], atol=1e-4)


def test_smoothness_grows_with_the_beta_of_smelu_and_falls_with_that_of_swish():
    for beta in [0.25, 0.5, 2.0, 8.0]:
        assert second_derivative_at_zero(lambda x, b=beta: smelu(x, b)) == 1 / (2 * beta)
        assert second_derivative_at_zero(lambda x, b=beta: swish(x, b)) == beta / 2


def test_limits():
    x = np.linspace(-3, 3, 13)
    np.testing.assert_allclose(smelu(x, 1e-9), np.maximum(x, 0), atol=1e-9)
    np.testing.assert_allclose(swish(x, 1e9), np.maximum(x, 0), atol=1e-9)
    np.testing.assert_allclose(swish(x, 1e-9), x / 2, atol=1e-8)


@pytest.mark.parametrize("function", [smelu, swish])
def test_types(function):
    assert function(np.arange(3)).dtype == keras.config.floatx()
    for dtype in ["float16", "float32", "float64"]:
        assert function(np.ones(3, dtype)).dtype == dtype
    np.testing.assert_allclose(function([-2, 0, 2]), function([-2.0, 0.0, 2.0]))


@pytest.mark.parametrize("function", [smelu, swish])
def test_compiled_program_computes_the_same(function):
    x = np.linspace(-3, 3, 25, dtype="float32")
    expected = value_and_gradient(function, x)
    compiled = value_and_gradient(tf.function(function, jit_compile=True), x)
    np.testing.assert_allclose(compiled, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer_class", [SmeLU, Swish])
@pytest.mark.parametrize("beta", [0.5, 2, np.float32(0.25)])
def test_config_round_trip(layer_class, beta):
    layer = layer_class(beta, name="activation")
    config = json.loads(json.dumps(keras.layers.serialize(layer)))
    copy = keras.layers.deserialize(config)
    assert type(copy) is layer_class
    assert copy.beta == beta
    assert copy.get_config() == layer.get_config()


@pytest.mark.parametrize("beta", INVALID_BETAS)
def test_invalid_beta(beta):
    for call in [SmeLU, Swish, lambda beta: smelu(1.0, beta), lambda beta: swish(1.0, beta)]:
        with pytest.raises(ValueError, match="finite number greater than 0") as error:
            call(beta)
        assert str(error.value).endswith(f"Received: beta={beta!r}")


@pytest.mark.parametrize("activation", [SmeLU(0.5), smelu, Swish(5.0), swish])
def test_dense_layer_survives_saving(activation, tmp_path):
    x = np.linspace(-2, 2, 15, dtype="float32").reshape(5, 3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation=activation)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))
    restored = loaded.layers[-1].activation
    if isinstance(activation, keras.Layer):
        assert type(restored) is type(activation)
        assert restored.beta == activation.beta
    else:
        assert restored is activation


@pytest.mark.parametrize("activation", [SmeLU(0.5), smelu, Swish(5.0), swish])
def test_functional_model_survives_saving(activation, tmp_path):
    x = np.linspace(-2, 2, 6, dtype="float32").reshape(2, 3)
    symbolic = keras.Input((3,))
    model = keras.Model(symbolic, activation(symbolic))
    assert model.output_shape == (None, 3)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), activation(x))


@pytest.mark.parametrize("layer_class", [SmeLU, Swish])
def test_layer_passes_the_mask_on(layer_class):
    masked = keras.layers.Masking()(np.array([[[1.0], [0.0]]], "float32"))
    output = layer_class()(masked)
    np.testing.assert_array_equal(output._keras_mask, [[True, False]])
