import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from common.layers import EmbeddingSum, EnsembleDense
from common.models.alexnet import small_alexnet
from common.models.blocks import convolution, dense
from common.models.initialization import draw_weights, layer_initializers
from common.models.mlp import mlp
from common.streams import Streams

CONSTANTS = {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1}


def values(model):
    return {variable.path: np.array(variable) for variable in model.variables}


def disturb(model):
    for variable in model.variables:
        variable.assign(variable + tf.cast(7, variable.dtype))


def test_drawing_weights_of_every_model(every_model):
    model = every_model
    assert model.output.dtype == "float32"
    assert model.layers[-1].name == "logits"
    assert model.layers[-1].activation is keras.activations.linear
    draw_weights(model, Streams(1))
    first = values(model)
    disturb(model)
    keras.utils.set_random_seed(5)
    draw_weights(model, Streams(1))
    again = values(model)
    draw_weights(model, Streams(2))
    other = values(model)
    assert len(first) == len(model.variables)
    drawn = 0
    for path, value in first.items():
        np.testing.assert_array_equal(again[path], value)
        constant = CONSTANTS.get(path.split("/")[-1])
        if constant is not None:
            assert np.all(value == constant)
        elif value.any():
            assert not np.array_equal(other[path], value)
            drawn += 1
    assert drawn >= 2


def test_weights_of_one_shape_differ(every_model):
    model = every_model
    draw_weights(model, Streams(0))
    seen = {}
    for weight in model.weights:
        value = np.asarray(weight)
        if value.size > 1 and value.std() > 0:
            seen.setdefault(value.shape, []).append(value.tobytes())
    for same_shape in seen.values():
        assert len(set(same_shape)) == len(same_shape)


def test_seeds_are_counted_over_the_random_weights_only():
    inputs = keras.Input((5,))
    x = dense(inputs, 4, name="first", initialization="glorot")
    x = keras.layers.BatchNormalization(name="bn")(x)
    model = keras.Model(inputs, dense(x, 3, name="second", initialization="glorot"))
    streams = Streams(9)
    draw_weights(model, streams)
    for i, name in enumerate(["first", "second"]):
        layer = model.get_layer(name)
        initializer = keras.initializers.GlorotUniform(seed=streams.integer("init", i))
        np.testing.assert_array_equal(layer.kernel, initializer(layer.kernel.shape))


def test_models_of_an_ensemble_are_drawn_one_by_one():
    """With the fans of one: uniform within sqrt(6 / (16 + 16)), of deviation 0.25."""
    layers = [EmbeddingSum(2, 8, num_models=32), EnsembleDense(32, 16), EmbeddingSum(4, 4, num_models=None)]
    model = keras.Sequential([keras.Input(batch_shape=(32, None, 6)), *layers])
    streams = Streams(0)
    draw_weights(model, streams)
    embeddings, kernel, alone = (layer.weights[0].numpy() for layer in layers)
    assert kernel.std() == pytest.approx(0.25, abs=0.01)
    for m in (0, 31):
        uniform = keras.initializers.RandomUniform(seed=streams.integer("init", 0) + m)
        np.testing.assert_array_equal(embeddings[m], uniform((2, 3, 8)))
        glorot = keras.initializers.GlorotUniform(seed=streams.integer("init", 1) + m)
        np.testing.assert_array_equal(kernel[m], glorot((16, 16)))
    # A layer of one model keeps its draws.
    uniform = keras.initializers.RandomUniform(seed=streams.integer("init", 2))
    np.testing.assert_array_equal(alone, uniform((4, 4, 4)))
    assert not layers[1].bias.numpy().any()


def test_dropout_starts_from_the_streams():
    model = small_alexnet(dropout=0.5)
    disturb(model)
    streams = Streams(3)
    draw_weights(model, streams)
    for i, name in enumerate(["dense1", "dense2", "logits"]):
        state = model.get_layer(f"{name}_dropout").seed_generator.state
        np.testing.assert_array_equal(state, [streams.integer("dropout", i), 0])


def test_traced_function_sees_the_new_weights():
    model = mlp((6,), (5,))
    predict = tf.function(model)
    x = tf.ones((2, 6))
    outputs = []
    for seed in (0, 1):
        draw_weights(model, Streams(seed))
        outputs.append(predict(x).numpy())
        np.testing.assert_allclose(outputs[-1], model(x), rtol=1e-5, atol=1e-6)
    assert not np.allclose(*outputs)
    assert predict.experimental_get_tracing_count() == 1


def test_what_a_layer_was_adapted_to_stays():
    layer = keras.layers.Normalization()
    layer.adapt(np.float32([[1.0, 10.0], [3.0, 20.0]]))
    model = keras.Sequential([keras.Input((2,)), layer, keras.layers.Dense(3)])
    before = model.layers[1].get_weights()[0]
    draw_weights(model, Streams(1))
    np.testing.assert_array_equal(layer.mean, [[2.0, 15.0]])
    assert np.all(model.layers[1].get_weights()[0] != before)


def test_a_variable_without_initializer_is_an_error():
    class Scale(keras.layers.Layer):
        def build(self, input_shape):
            self.factor = self.add_weight(name="factor", shape=())

        def call(self, inputs):
            return inputs * self.factor

    model = keras.Sequential([keras.Input((3,)), Scale(name="scale")])
    with pytest.raises(ValueError, match=r"'scale' must have an initializer `factor_initializer`"):
        draw_weights(model, Streams(0))


def two_layers(initialization):
    """A 3x3 convolution of 24 to 40 channels with bias, and a dense layer of 40 to 500 units."""
    inputs = keras.Input((4, 4, 24))
    x = convolution(inputs, 40, 3, name="conv", use_bias=True, initialization=initialization)
    model = keras.Model(inputs, dense(x, 500, name="dense", initialization=initialization))
    draw_weights(model, Streams(0))
    for name, fan_in, fan_out in (("conv", 9 * 24, 9 * 40), ("dense", 40, 500)):
        layer = model.get_layer(name)
        yield np.asarray(layer.kernel).ravel(), np.asarray(layer.bias), fan_in, fan_out


def check_uniform(sample, bound):
    assert np.abs(sample).max() <= bound
    assert stats.kstest(sample, stats.uniform(-bound, 2 * bound).cdf).pvalue > 1e-3


def test_pytorch():
    for kernel, bias, fan_in, _ in two_layers("pytorch"):
        check_uniform(kernel, 1 / math.sqrt(fan_in))
        check_uniform(bias, 1 / math.sqrt(fan_in))


def test_glorot():
    for kernel, bias, fan_in, fan_out in two_layers("glorot"):
        check_uniform(kernel, math.sqrt(6 / (fan_in + fan_out)))
        assert not bias.any()


def test_he_normal_fan_out():
    for kernel, bias, _, fan_out in two_layers("he_normal_fan_out"):
        assert stats.kstest(kernel, stats.norm(0, math.sqrt(2 / fan_out)).cdf).pvalue > 1e-3
        assert not bias.any()


def test_an_initializer_is_copied():
    initializer = keras.initializers.RandomNormal(stddev=0.5)
    first, second = (layer_initializers(initializer, 3)["kernel_initializer"] for _ in range(2))
    assert first.stddev == second.stddev == 0.5
    assert not np.array_equal(first((4,)), second((4,)))


def test_invalid_scheme():
    with pytest.raises(ValueError, match=r"one of \('glorot', .*Received: initialization='xavier'$"):
        layer_initializers("xavier", 3)
