import keras
import numpy as np
import pytest
import tensorflow as tf

from common.layers import FusedBatchNormalization

RNG_SEED = 3


def images(*shape, dtype="float32"):
    """Channels of different means and spreads."""
    x = np.random.default_rng(RNG_SEED).normal(size=shape)
    return (x * np.arange(1, shape[-1] + 1) + np.arange(shape[-1]) - 2).astype(dtype)


def pair(shape, **arguments):
    """Our layer and Keras's, with the same weights, none of them at its start."""
    layers = [kind(**arguments) for kind in (FusedBatchNormalization, keras.layers.BatchNormalization)]
    rng = np.random.default_rng(1)
    for layer in layers:
        layer.build(shape)
    weights = [rng.uniform(0.5, 2, variable.shape) for variable in layers[0].weights]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def trained(layer, x, compiled=False, **call):
    """Outputs, gradients and moved statistics of two calls in training, of a loss that is no sum."""

    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True, **call)
            loss = tf.reduce_sum(tf.sin(tf.cast(y, x.dtype)))
        return y, *tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    step = tf.function(step, jit_compile=compiled)
    found = [*step(tf.constant(x)), *step(tf.constant(2 * x + 1))]
    return [np.asarray(tf.cast(v, "float64")) for v in (*found, *layer.non_trainable_variables)]


def operations(layer, x, **call):
    """The types of the operations of a call."""
    graph = (
        tf.function(lambda x: layer(x, **call)).get_concrete_function(tf.TensorSpec(x.shape, x.dtype)).graph
    )
    return {operation.type for operation in graph.get_operations()}


def test_numbers_by_hand():
    # One channel: 1, 3, 5, 7 have mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; with epsilon 4 the root is 3.
    layer = FusedBatchNormalization(momentum=0.75, epsilon=4.0)
    y = layer(np.array([1.0, 3.0, 5.0, 7.0], "float32").reshape(2, 1, 2, 1), training=True)
    np.testing.assert_allclose(np.ravel(y), [-1, -1 / 3, 1 / 3, 1], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_mean, [0.25 * 4], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [0.75 + 0.25 * 5], rtol=1e-6)
    # In inference: (4 - 1) / sqrt(2 + 4).
    y = layer(np.full((1, 1, 1, 1), 4.0, "float32"))
    np.testing.assert_allclose(np.ravel(y), [3 / np.sqrt(6)], rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "arguments", [{}, {"scale": False}, {"center": False}, {"scale": False, "center": False}]
)
@pytest.mark.parametrize("shape", [(6, 5, 4, 3), (1, 1, 2, 5), (7, 8, 8, 16)])
def test_trains_as_keras_does(shape, arguments, compiled):
    ours, keras_own = pair(shape, momentum=0.9, epsilon=1e-3, **arguments)
    x = images(*shape)
    for found, expected in zip(trained(ours, x, compiled), trained(keras_own, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_a_single_value_has_no_variance():
    ours, keras_own = pair((1, 1, 1, 3))
    for found, expected in zip(
        trained(ours, images(1, 1, 1, 3)), trained(keras_own, images(1, 1, 1, 3)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("policy", "tolerance"), [("mixed_float16", 2e-3), ("mixed_bfloat16", 2e-2)])
def test_half_precision_computes_in_float32(policy, tolerance):
    ours, keras_own = pair((6, 4, 4, 3), dtype=policy)
    x = 100 * images(6, 4, 4, 3)  # squares above 65504
    found, expected = (layer(x, training=True) for layer in (ours, keras_own))
    assert found.dtype == expected.dtype == ours.compute_dtype
    np.testing.assert_allclose(tf.cast(found, "float32"), tf.cast(expected, "float32"), atol=tolerance)
    np.testing.assert_allclose(ours.moving_variance, keras_own.moving_variance, rtol=1e-2)


def test_training_on_images_is_one_operation():
    layer, x = FusedBatchNormalization(), images(4, 3, 3, 2)
    assert "FusedBatchNormV3" in operations(layer, x, training=True)
    assert "FusedBatchNormV3" not in operations(layer, x, training=False)


@pytest.mark.parametrize(
    ("shape", "arguments", "call"),
    [
        ((8, 3), {}, {}),
        ((4, 3, 5, 6, 2), {}, {}),
        ((4, 3, 5, 2), {"axis": 1}, {}),
        ((4, 3, 5, 2), {"dtype": "float64"}, {}),
        ((4, 3, 5, 2), {"renorm": True}, {}),
        ((4, 3, 5, 2), {"synchronized": True}, {}),
        ((4, 3, 5, 2), {}, {"mask": np.arange(60).reshape(4, 3, 5) % 3 > 0}),
    ],
)
def test_what_it_cannot_fuse_keras_does(shape, arguments, call):
    ours, keras_own = pair(shape, **arguments)
    x = images(*shape, dtype=arguments.get("dtype", "float32"))
    assert "FusedBatchNormV3" not in operations(ours, x, training=True, **call)
    for found, expected in zip(trained(ours, x, **call), trained(keras_own, x, **call), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_a_frozen_layer_uses_and_keeps_its_statistics():
    ours, keras_own = pair((4, 3, 3, 2))
    ours.trainable = keras_own.trainable = False
    x, before = images(4, 3, 3, 2), ours.get_weights()
    np.testing.assert_array_equal(ours(x, training=True), keras_own(x, training=True))
    for found, expected in zip(ours.get_weights(), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_survives_saving(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), FusedBatchNormalization(momentum=0.8, scale=False)])
    model(images(5, 4, 4, 3), training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is FusedBatchNormalization
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    np.testing.assert_array_equal(loaded(images(5, 4, 4, 3)), model(images(5, 4, 4, 3)))
