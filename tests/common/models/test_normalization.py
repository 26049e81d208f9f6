import numpy as np
import pytest
import tensorflow as tf

from common.models.normalization import batch_normalization, layer_normalization


def test_constants():
    layer = batch_normalization("bn")
    assert (layer.momentum, layer.epsilon, layer.scale, layer.name) == (0.9, 1e-5, True, "bn")
    assert not layer.synchronized
    layer = batch_normalization("bn", momentum=0.99, epsilon=1e-3, scale=False)
    assert (layer.momentum, layer.epsilon, layer.scale) == (0.99, 1e-3, False)
    assert layer_normalization("ln").epsilon == 1e-5


def test_two_replicas_normalize_by_the_global_batch():
    strategy = tf.distribute.MirroredStrategy(
        ["/CPU:0", "/CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )
    x = np.random.default_rng(0).normal(size=(12, 5)).astype("float32")
    with strategy.scope():
        layer = batch_normalization("bn")
        layer.build((None, 5))
    assert layer.synchronized
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(x[6 * context.replica_id_in_sync_group :][:6])
    )
    outputs = tf.function(lambda x: strategy.run(lambda x: layer(x, training=True), [x]))(shares)
    outputs = np.concatenate([y.numpy() for y in strategy.experimental_local_results(outputs)])
    expected = (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(layer.moving_mean, 0.1 * x.mean(axis=0), rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, 0.9 + 0.1 * x.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("momentum", [0.9, 0.99])
def test_momentum_is_the_share_of_the_old_value(momentum):
    layer = batch_normalization("bn", momentum=momentum)
    layer(np.array([[1.0], [3.0]], "float32"), training=True)
    np.testing.assert_allclose(layer.moving_mean, [2 * (1 - momentum)], rtol=1e-5)
