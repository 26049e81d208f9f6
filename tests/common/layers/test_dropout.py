import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.layers.dropout import ReplicaDropout

ONES = np.ones((50, 200), "float32")


@pytest.fixture(scope="module")
def strategy():
    return tf.distribute.MirroredStrategy(
        ["/CPU:0", "/CPU:1"], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def masks_of_replicas(strategy, layer, num_calls):
    """Returns the outputs for ones: list over calls of one array a replica."""
    run = tf.function(lambda: strategy.run(lambda: layer(tf.constant(ONES), training=True)))
    return [[x.numpy() for x in strategy.experimental_local_results(run())] for _ in range(num_calls)]


def test_masks_differ_between_replicas_and_calls(strategy):
    with strategy.scope():
        layer = ReplicaDropout(0.5, seed=3)
    first, second = masks_of_replicas(strategy, layer, 2)
    masks = [*first, *second]
    assert len(masks) == 4
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            # Independent masks agree at half of the positions; standard deviation 0.005.
            assert np.mean(mask == other) == pytest.approx(0.5, abs=0.03)


def test_masks_of_replicas_are_the_calls_of_one_device_in_turn(strategy):
    with strategy.scope():
        layer = ReplicaDropout(0.25, seed=7)
    alone = ReplicaDropout(0.25, seed=7)
    for replicas in masks_of_replicas(strategy, layer, 3):
        for mask in replicas:
            np.testing.assert_array_equal(mask, alone(ONES, training=True))


@pytest.mark.parametrize("rate", [0.05, 0.5, 0.9])
def test_rate_and_scale(rate):
    y = ReplicaDropout(rate, seed=0)(ONES, training=True).numpy()
    kept = y != 0
    np.testing.assert_allclose(y[kept], 1 / (1 - rate), rtol=1e-6)
    # Five standard deviations of the mean of 10,000 Bernoulli draws.
    assert np.mean(~kept) == pytest.approx(rate, abs=5 * np.sqrt(rate * (1 - rate) / ONES.size))


def test_one_replica_has_the_masks_of_keras():
    ours, theirs = ReplicaDropout(0.3, seed=5), keras.layers.Dropout(0.3, seed=5)
    for _ in range(3):
        np.testing.assert_array_equal(ours(ONES, training=True), theirs(ONES, training=True))


def test_noise_shape():
    y = ReplicaDropout(0.5, noise_shape=(None, 1), seed=0)(ONES, training=True).numpy()
    np.testing.assert_array_equal(y, np.broadcast_to(y[:, :1], y.shape))
    assert set(np.unique(y)) == {0.0, 2.0}


def test_inference_is_the_identity():
    layer = ReplicaDropout(0.5, seed=0)
    x = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")
    np.testing.assert_array_equal(layer(x), x)
    np.testing.assert_array_equal(layer(x, training=False), x)
    np.testing.assert_array_equal(layer.seed_generator.state, [0, 0])


@pytest.mark.parametrize(("rate", "value"), [(0.0, 1.0), (1.0, 0.0)])
def test_extreme_rates(rate, value):
    np.testing.assert_array_equal(ReplicaDropout(rate)(ONES, training=True), value * ONES)


def test_gradient_is_the_mask():
    x = tf.constant(ONES)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ReplicaDropout(0.5, seed=1)(x, training=True)
    np.testing.assert_array_equal(tape.gradient(y, x), y)


def test_masks_go_on_from_a_checkpoint(tmp_path):
    def model(seed):
        return keras.Sequential([keras.Input((200,)), ReplicaDropout(0.5, seed=seed)])

    first, second = model(1), model(2)
    first(ONES, training=True)
    path = tf.train.Checkpoint(model=first).save(tmp_path / "checkpoint")
    expected = [first(ONES, training=True).numpy() for _ in range(2)]
    tf.train.Checkpoint(model=second).restore(path).assert_consumed()
    for mask in expected:
        np.testing.assert_array_equal(second(ONES, training=True), mask)


def test_config_round_trip():
    layer = ReplicaDropout(0.25, noise_shape=(None, 1), seed=3, name="dropout")
    copy = keras.layers.deserialize(json.loads(json.dumps(keras.layers.serialize(layer))))
    assert type(copy) is ReplicaDropout
    assert (copy.rate, copy.seed, copy.name) == (0.25, 3, "dropout")
    assert keras.layers.serialize(copy) == keras.layers.serialize(layer)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_invalid_rate(rate):
    with pytest.raises(ValueError, match=f"Received: rate={rate}"):
        ReplicaDropout(rate)
