import keras
import numpy as np
import pytest
import tensorflow as tf

from common.distribution import replica_strategy
from common.errors import UserError
from common.streams import Streams
from common.training import schedules

ORDER = np.random.default_rng(1).permutation(18)
BATCHES = [slice(0, 4), slice(4, 8), slice(8, 12), slice(12, 16), slice(16, 18)]


def weights(trainer):
    return [variable.numpy() for variable in trainer.model.variables]


def assert_close(first, second, tolerance):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def plain_loop(model, images, rate, weight_decay, epochs):
    """An independent loop: one eager step a batch, momentum and decay written out; returns batch losses."""
    velocity = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
    losses = []
    for step in range(epochs * len(BATCHES)):
        batch = ORDER[BATCHES[step % len(BATCHES)]]
        with tf.GradientTape() as tape:
            logits = model(images.images[batch], training=True)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(images.labels[batch], logits)
            for variable in model.trainable_variables:
                loss += weight_decay / 2 * tf.reduce_sum(variable**2)
        gradients = tape.gradient(loss, model.trainable_variables)
        losses.append(float(loss))
        for i, variable in enumerate(model.trainable_variables):
            velocity[i] = 0.9 * velocity[i] - rate(step) * gradients[i].numpy()
            variable.assign_add(velocity[i])
    return losses


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_equals_a_plain_loop_with_coupled_weight_decay(
    make_trainer, images, weight_decay, batch_norm
):
    rate = schedules.exponential(0.02, 0.5, steps_per_epoch=5)
    trainer = make_trainer(rate=rate, weight_decay=weight_decay, batch_norm=batch_norm)
    trainer.load(images.images, images.labels, Streams(0))
    model = keras.models.clone_model(trainer.model)
    model.set_weights(trainer.model.get_weights())
    expected = plain_loop(model, images, lambda step: 0.02 * 0.5 ** (step // 5), weight_decay, epochs=2)
    losses = np.concatenate([trainer.train(ORDER, 5)[0] for _ in range(2)])
    assert trainer.step == 10
    assert_close(weights(trainer), [v.numpy() for v in model.variables], 1e-5)
    if not weight_decay:  # the reported loss is the cross-entropy alone
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_partial_last_batch_is_trained_and_the_split_into_calls_changes_nothing(make_trainer, images):
    whole, parts = make_trainer(), make_trainer()
    for trainer in (whole, parts):
        trainer.load(images.images, images.labels, Streams(0))
    losses, hits = whole.train(ORDER, 5)
    pieces = [parts.train(ORDER, n) for n in (1, 2, 1, 3)]
    assert losses.shape == hits.shape == (5,)
    assert [len(piece[0]) for piece in pieces] == [1, 2, 1, 1]
    np.testing.assert_array_equal(losses, np.concatenate([piece[0] for piece in pieces]))
    np.testing.assert_array_equal(hits, np.concatenate([piece[1] for piece in pieces]))
    for a, b in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_loading_again_starts_the_same_run_bit_for_bit(make_trainer, images):
    trainer = make_trainer(training="pad_crop_flip")
    results = []
    for seed in (0, 0, 1):
        trainer.load(images.images, images.labels, Streams(seed))
        assert trainer.step == 0
        results.append((trainer.train(ORDER, 5)[0], weights(trainer)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(results[0][0], results[2][0])


def test_evaluation_counts_every_image_once(make_trainer, images, monkeypatch):
    monkeypatch.setattr("common.training.trainer._EVALUATION_BATCH", 4)
    trainer = make_trainer(batch_norm=True, scale=lambda x: 2 * x - 1)
    trainer.load(images.images, images.labels, Streams(0))
    trainer.train(ORDER, 5)
    loss, accuracy = trainer.evaluate(trainer.evaluation_data(images.images, images.labels))
    logits = trainer.model(2 * images.images - 1, training=False).numpy().astype(np.float64)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    expected = np.mean(log_sum - logits[np.arange(18), images.labels])
    assert loss == pytest.approx(expected, rel=1e-5)
    assert accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == images.labels))


def test_two_replicas_train_as_one_device_does(make_trainer, images):
    """Tolerance 1e-5: sums over the batch are split in two."""
    found = []
    for strategy in (tf.distribute.get_strategy(), replica_strategy("mirrored")):
        trainer = make_trainer(
            strategy, rate=0.002, training="pad_crop_flip", weight_decay=0.01, batch_norm=True
        )
        trainer.load(images.images, images.labels, Streams(0))
        results = [trainer.train(ORDER, 5) for _ in range(2)]
        evaluation = trainer.evaluate(trainer.evaluation_data(images.images, images.labels))
        found.append((trainer, results, evaluation))
    (one, one_results, one_evaluation), (two, two_results, two_evaluation) = found
    assert (one.replicas, two.replicas) == (1, 2)
    assert two.step == 10
    assert_close(weights(two), weights(one), 1e-5)  # moving statistics of batch normalization included
    for a, b in zip(one_results, two_results, strict=True):
        np.testing.assert_allclose(a[0], b[0], rtol=1e-5)
        np.testing.assert_array_equal(a[1], b[1])
    assert two_evaluation == pytest.approx(one_evaluation, rel=1e-5)


def test_a_batch_that_the_replicas_do_not_divide_is_refused(make_trainer, images):
    strategy = replica_strategy("mirrored")
    with pytest.raises(UserError, match="--batch_size=3: 2 replicas do not divide a batch of 3 images"):
        make_trainer(strategy, batch_size=3)
    trainer = make_trainer(strategy)
    with pytest.raises(UserError, match="do not divide a batch of 1 images"):
        trainer.load(images.images[:17], images.labels[:17], Streams(0))


def test_a_checkpoint_holds_all_that_a_step_changes(make_trainer, images, tmp_path):
    trainer = make_trainer(batch_norm=True)
    trainer.load(images.images, images.labels, Streams(0))
    trainer.train(ORDER, 3)
    path = trainer.checkpoint().write(str(tmp_path / "checkpoint"))
    expected = trainer.train(ORDER, 2)[0], weights(trainer)
    other = make_trainer(batch_norm=True)
    other.load(images.images, images.labels, Streams(7))
    other.checkpoint().read(path).assert_consumed()
    assert other.step == 3
    np.testing.assert_array_equal(other.train(ORDER, 2)[0], expected[0])
    for a, b in zip(weights(other), expected[1], strict=True):
        np.testing.assert_array_equal(a, b)
