import gc
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data.augmentation import Augmentation, CentralCrop, augmentation
from common.distribution import replica_strategy
from common.errors import UserError
from common.layers.dropout import ReplicaDropout
from common.streams import Streams, fold_in, uniform_numbers
from common.training import schedules
from common.training.trainer import Preprocessing, Trainer

ORDER = np.random.default_rng(1).permutation(22)
BATCHES = [slice(0, 8), slice(8, 16), slice(16, 22)]


def weights(trainer):
    return [variable.numpy() for variable in trainer.model.variables]


def assert_close(first, second, tolerance):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def plain_loop(model, images, rate, weight_decay, epochs, decayed=("kernel", "bias", "gamma", "beta")):
    """An independent loop: one eager step a batch, momentum and decay written out; returns batch losses."""
    velocity = [np.zeros(v.shape, np.float32) for v in model.trainable_variables]
    losses = []
    for step in range(epochs * len(BATCHES)):
        batch = ORDER[BATCHES[step % len(BATCHES)]]
        with tf.GradientTape() as tape:
            logits = model(images.images[batch], training=True)
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(images.labels[batch], logits)
            for variable in model.trainable_variables:
                if variable.name in decayed:
                    loss += weight_decay / 2 * tf.reduce_sum(variable**2)
        gradients = tape.gradient(loss, model.trainable_variables)
        losses.append(float(loss))
        for i, variable in enumerate(model.trainable_variables):
            velocity[i] = 0.9 * velocity[i] - rate(step) * gradients[i].numpy()
            variable.assign_add(velocity[i])
    return losses


def test_training_images_that_nothing_is_drawn_for_are_cropped_as_in_training(
    make_trainer, images, monkeypatch
):
    trainer = make_trainer()
    crops = [Augmentation((CentralCrop(size),)) for size in (24, 28)]
    monkeypatch.setattr(trainer, "_preprocessing", Preprocessing(*crops, lambda batch: batch))
    monkeypatch.setattr(trainer, "_gives_logits", True)  # the network takes no such images
    trainer.load(images.images, images.labels, Streams(0))
    np.testing.assert_array_equal(trainer._images, images.images[:, 4:28, 4:28])


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_training_equals_a_plain_loop_with_coupled_weight_decay(
    make_trainer, images, weight_decay, batch_norm
):
    rate = schedules.exponential(0.02, 0.5, steps_per_epoch=3)
    trainer = make_trainer(rate=rate, weight_decay=weight_decay, batch_norm=batch_norm)
    trainer.load(images.images, images.labels, Streams(0))
    model = keras.models.clone_model(trainer.model)
    model.set_weights(trainer.model.get_weights())
    expected = plain_loop(model, images, lambda step: 0.02 * 0.5 ** (step // 3), weight_decay, epochs=2)
    losses = np.concatenate([trainer.train(ORDER, 3)[0] for _ in range(2)])
    assert trainer.step == 6
    assert_close(weights(trainer), [v.numpy() for v in model.variables], 1e-5)
    if not weight_decay:  # the reported loss is the cross-entropy alone
        np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_half_precision_trains_as_float32_but_for_rounding(make_trainer, images):
    """The losses are computed in float32, whatever the network computes in."""
    given, losses = keras.config.dtype_policy(), {}
    for policy in ("float32", "mixed_bfloat16"):
        keras.config.set_dtype_policy(policy)
        try:
            trainer = make_trainer(rate=0.01)
        finally:
            keras.config.set_dtype_policy(given)
        trainer.load(images.images, images.labels, Streams(0))
        data = trainer.evaluation_data(images.images, images.labels)
        losses[policy] = trainer.train(ORDER, 3)[0], trainer.evaluate(data)[0]
    assert trainer.model.compute_dtype == "bfloat16"
    np.testing.assert_allclose(losses["mixed_bfloat16"][0], losses["float32"][0], rtol=0.05)
    np.testing.assert_allclose(losses["mixed_bfloat16"][1], losses["float32"][1], rtol=0.05)


def test_labels_may_be_as_keras_gives_them(make_trainer, images):
    trainer = make_trainer()
    found = []
    for labels in (images.labels, images.labels.astype(np.int64)[:, None], images.labels.astype(np.uint8)):
        trainer.load(images.images, labels, Streams(0))
        losses = trainer.train(ORDER, 3)[0]
        found.append([*losses, *trainer.evaluate(trainer.evaluation_data(images.images, labels))])
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_labels_of_an_evaluation_are_classes(make_trainer, images):
    with pytest.raises(ValueError, match="from 0 to 4. Received: labels=5"):
        make_trainer().evaluation_data(images.images, images.labels + 1)


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda x, y: ((255 * x).astype(np.uint8), y), r"`images` must be floating-point .* uint8$"),
        (lambda x, y: (x, y + 1), r"from 0 to 4. Received: labels=5"),
        (lambda x, y: (x, y - 1), r"from 0 to 4. Received: labels=-1"),
        (lambda x, y: (x, np.eye(5)[y]), r"integers of shape \(n,\)"),
    ],
)
def test_data_that_would_train_on_something_else_are_refused(change, message, make_trainer, images):
    with pytest.raises(ValueError, match=message):
        make_trainer().load(*change(images.images, images.labels), Streams(0))


def one_layer(**arguments):
    return keras.Sequential(
        [keras.Input((32, 32, 3)), keras.layers.Flatten(), keras.layers.Dense(5, **arguments)]
    )


@pytest.mark.parametrize(
    "arguments,message",
    [
        ({"activation": "softmax"}, "must give logits, not their softmax"),
        ({"kernel_regularizer": "l2"}, "must have no losses of its own.*Received: 1 losses"),
        ({"activity_regularizer": "l2"}, "must have no losses of its own"),
    ],
)
def test_a_model_that_would_train_on_something_else_is_refused(arguments, message, images):
    none = Preprocessing(augmentation("none"), augmentation("none"), lambda batch: batch)
    trainer = Trainer(
        tf.distribute.get_strategy(), lambda: one_layer(**arguments), keras.optimizers.SGD, none, 8
    )
    with pytest.raises(ValueError, match=message):
        trainer.load(images.images, images.labels, Streams(0))
        trainer.train(ORDER, 3)
    with pytest.raises(ValueError, match="whose loss is not scaled"):
        scaled = lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD())  # noqa: E731
        Trainer(tf.distribute.get_strategy(), one_layer, scaled, none, 8)


def test_weight_decay_of_kernels_alone(make_trainer, images):
    trainer = make_trainer(rate=0.02, weight_decay=0.5, batch_norm=True, decayed_weights="kernels")
    trainer.load(images.images, images.labels, Streams(0))
    model = keras.models.clone_model(trainer.model)
    model.set_weights(trainer.model.get_weights())
    plain_loop(model, images, lambda step: 0.02, 0.5, epochs=1, decayed=("kernel",))
    trainer.train(ORDER, 3)
    assert_close(weights(trainer), [v.numpy() for v in model.variables], 1e-5)


def test_the_partial_last_batch_is_trained_and_the_split_into_calls_changes_nothing(make_trainer, images):
    whole, parts = make_trainer(), make_trainer()
    for trainer in (whole, parts):
        trainer.load(images.images, images.labels, Streams(0))
    losses, hits = whole.train(ORDER, 3)
    pieces = [parts.train(ORDER, 1), parts.train(ORDER, 3)]
    assert losses.shape == hits.shape == (3,)
    assert [len(piece[0]) for piece in pieces] == [1, 2]
    np.testing.assert_array_equal(losses, np.concatenate([piece[0] for piece in pieces]))
    np.testing.assert_array_equal(hits, np.concatenate([piece[1] for piece in pieces]))
    for a, b in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_array_equal(a, b)


def test_correct_predictions_of_a_batch_are_counted(make_trainer, images):
    """At a rate of nearly nothing: the weights stay."""
    trainer = make_trainer(rate=1e-30)
    trainer.load(images.images, images.labels, Streams(0))
    correct = trainer.model(images.images).numpy().argmax(axis=1) == images.labels
    expected = [np.sum(correct[ORDER[batch]]) for batch in BATCHES]
    assert sum(expected) > 0
    np.testing.assert_array_equal(trainer.train(ORDER, 3)[1], expected)


def test_loading_again_starts_the_same_run_bit_for_bit(make_trainer, images):
    trainer = make_trainer(training="pad_crop_flip")
    results = []
    for seed in (0, 0, 1):
        trainer.load(images.images, images.labels, Streams(seed))
        assert trainer.step == 0
        results.append((trainer.train(ORDER, 3)[0], weights(trainer)))
    np.testing.assert_array_equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(results[0][0], results[2][0])


@pytest.mark.parametrize(
    "rate",
    [
        schedules.exponential(0.02, 0.5, steps_per_epoch=3),
        schedules.LinearWarmup(0.01, 0.03, epochs=2, steps_per_epoch=3),
        schedules.EpochCosine(0.02, epochs=3, steps_per_epoch=3),
        schedules.step(0.02, epochs=3, steps_per_epoch=3),
        0.03,
    ],
    ids=["exponential", "warm-up", "cosine", "step", "constant"],
)
def test_a_rate_given_when_it_is_loaded_is_that_of_the_optimizer_and_compiles_nothing(
    make_trainer, images, rate
):
    def trained(trainer, **arguments):
        trainer.load(images.images, images.labels, Streams(0), **arguments)
        return np.concatenate([trainer.train(ORDER, 2)[0] for _ in range(5)]), weights(trainer)

    trainer = make_trainer(rate=0.5)
    trained(trainer, learning_rate=0.1)
    num_traces = trainer._block.experimental_get_tracing_count()
    losses, found = trained(trainer, learning_rate=rate)
    assert trainer._block.experimental_get_tracing_count() == num_traces
    expected_losses, expected = trained(make_trainer(rate=rate))
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-6)
    assert_close(found, expected, 1e-6)


def test_a_rate_that_changes_within_an_epoch_is_refused(make_trainer, images):
    """How many steps are taken at once depends on the speed of the machine."""
    trainer = make_trainer()
    rate = keras.optimizers.schedules.ExponentialDecay(0.1, 100, 0.9)
    trainer.load(images.images, images.labels, Streams(0), learning_rate=rate)
    with pytest.raises(ValueError, match="only between epochs. Received: 0.1 at step 0, 0.0998.* at step 1$"):
        trainer.train(ORDER, 2)


def test_what_a_dropped_trainer_compiled_is_freed(make_trainer, images):
    trainer = make_trainer()
    trainer.load(images.images, images.labels, Streams(0))
    trainer.train(ORDER, 3)
    weight = weakref.ref(trainer.model.trainable_variables[0].value)
    del trainer
    gc.collect()
    assert weight() is None


def test_evaluation_counts_every_image_once(make_trainer, images, monkeypatch):
    monkeypatch.setattr("common.training.trainer._EVALUATION_BATCH", 10)
    trainer = make_trainer(batch_norm=True, scale=lambda x: 2 * x - 1)
    trainer.load(images.images, images.labels, Streams(0))
    trainer.train(ORDER, 3)
    data = trainer.evaluation_data(images.images, images.labels)
    assert (data.count, data.batch_size) == (22, 8)  # three of eight, not of ten: two are padded, not eight
    loss, accuracy = trainer.evaluate(data)
    logits = trainer.model(2 * images.images - 1, training=False).numpy().astype(np.float64)
    log_sum = np.log(np.exp(logits).sum(axis=1))
    expected = np.mean(log_sum - logits[np.arange(22), images.labels])
    assert loss == pytest.approx(expected, rel=1e-5)
    assert accuracy == pytest.approx(np.mean(logits.argmax(axis=1) == images.labels))


# The second takes as long as ten other tests: it compiles two gradients a step.
OPTIONS = [{}, pytest.param({"mixup": True, "sam_radius": 0.05}, marks=pytest.mark.slow)]


@pytest.mark.parametrize("options", OPTIONS)
def test_two_replicas_train_as_one_device_does(make_trainer, images, options):
    """Tolerance 1e-5: sums over the batch are split in two."""
    found = []
    for strategy in (tf.distribute.get_strategy(), replica_strategy("mirrored")):
        trainer = make_trainer(
            strategy, rate=0.002, training="pad_crop_flip", weight_decay=0.01, batch_norm=True, **options
        )
        trainer.load(images.images, images.labels, Streams(0))
        results = [trainer.train(ORDER, 3) for _ in range(2)]
        evaluation = trainer.evaluate(trainer.evaluation_data(images.images, images.labels))
        found.append((trainer, results, evaluation))
    (one, one_results, one_evaluation), (two, two_results, two_evaluation) = found
    assert (one.replicas, two.replicas) == (1, 2)
    assert two.step == 6
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
    trainer.train(ORDER, 1)
    path = trainer.checkpoint().write(str(tmp_path / "checkpoint"))
    expected = trainer.train(ORDER, 2)[0], weights(trainer)
    other = make_trainer(batch_norm=True)
    other.load(images.images, images.labels, Streams(7))
    other.checkpoint().read(path).assert_consumed()
    assert other.step == 1
    np.testing.assert_array_equal(other.train(ORDER, 2)[0], expected[0])
    for a, b in zip(weights(other), expected[1], strict=True):
        np.testing.assert_array_equal(a, b)


def test_sharpness_aware_step_equals_one_by_hand(make_trainer, images):
    """The gradient is taken at w + radius * g / |g| and applied at w."""
    trainer = make_trainer(rate=0.01, sam_radius=0.05)
    trainer.load(images.images, images.labels, Streams(0))
    start = [w.copy() for w in weights(trainer)]
    batch = ORDER[:8]

    def gradient(at):
        hidden, bias, logits, last = [w.astype(np.float64) for w in at]
        x = images.images[batch].reshape(8, -1).astype(np.float64)
        before = x @ hidden + bias
        active = np.log1p(np.exp(before))
        scores = active @ logits + last
        probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        error = (probabilities - np.eye(5)[images.labels[batch]]) / 8
        back = error @ logits.T / (1 + np.exp(-before))
        return [x.T @ back, back.sum(axis=0), active.T @ error, error.sum(axis=0)]

    first = gradient(start)
    norm = np.sqrt(sum(np.sum(g**2) for g in first))
    second = gradient([w + 0.05 * g / norm for w, g in zip(start, first, strict=True)])
    trainer.train(ORDER, 1)
    expected = [w - 0.01 * g for w, g in zip(start, second, strict=True)]
    assert_close(weights(trainer), expected, 1e-5)
    plain = [w - 0.01 * g for w, g in zip(start, first, strict=True)]
    assert max(np.abs(a - b).max() for a, b in zip(expected, plain, strict=True)) > 1e-4


def test_both_passes_of_a_sharpness_aware_step_have_masks_of_their_own(make_trainer, images):
    """Two calls a step: the next step's first pass does not drop what this one's second dropped."""

    def network():
        return keras.Sequential(
            [
                keras.Input((32, 32, 3)),
                keras.layers.Flatten(),
                ReplicaDropout(0.5, seed=3),
                keras.layers.Dense(5),
            ]
        )

    calls = []
    for radius in (0.0, 0.05):
        trainer = make_trainer(network=network, sam_radius=radius)
        trainer.load(images.images, images.labels, Streams(0))
        start = int(trainer.model.layers[1].seed_generator.state[1])
        trainer.train(ORDER, 3)
        calls.append(int(trainer.model.layers[1].seed_generator.state[1]) - start)
    assert calls == [3, 6]


def test_sharpness_aware_gradients_go_through_the_statistics_of_the_batch(make_trainer, images):
    """In both passes; moving statistics see the first one alone."""
    trainer = make_trainer(rate=0.01, sam_radius=0.05, batch_norm=True)
    trainer.load(images.images, images.labels, Streams(0))
    model = keras.models.clone_model(trainer.model)
    model.set_weights(trainer.model.get_weights())
    x, y = images.images[ORDER[:8]], images.labels[ORDER[:8]]

    def gradients():
        with tf.GradientTape() as tape:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, model(x, training=True))
        return tape.gradient(loss, model.trainable_variables)

    start, first = [v.numpy() for v in model.trainable_variables], gradients()
    statistics = [v.numpy() for v in model.non_trainable_variables]
    for variable, gradient in zip(model.trainable_variables, first, strict=True):
        variable.assign_add(0.05 / tf.linalg.global_norm(first) * gradient)
    expected = [w - 0.01 * g.numpy() for w, g in zip(start, gradients(), strict=True)]
    trainer.train(ORDER, 1)
    assert_close([v.numpy() for v in trainer.model.trainable_variables], expected, 1e-5)
    assert_close([v.numpy() for v in trainer.model.non_trainable_variables], statistics, 1e-6)


def test_an_image_is_mixed_with_another_as_that_one_is_augmented(make_trainer, images):
    seen = []

    def objective(inputs, labels, logits):
        tf.py_function(lambda x: seen.append(x.numpy()), [inputs], [])
        return tf.reduce_sum(logits, axis=1)

    trainer = make_trainer(training="pad_crop_flip", mixup=True, objective=objective)
    trainer.load(images.images, images.labels, Streams(0))
    trainer.train(np.arange(22), 1)
    key = fold_in(tf.constant(Streams(0).key("augmentation").view(np.int32)), 0)
    augment, batch = augmentation("pad_crop_flip"), images.images[:8]
    draws = augment.draw(key, 8)
    numbers = uniform_numbers(fold_in(key, 1), 9, 1)[:, 0].numpy()
    share, other = numbers[0], np.argsort(numbers[1:], kind="stable")
    own = augment(tf.constant(batch), draws).numpy()
    partners = augment(tf.constant(batch[other]), {k: v.numpy()[other] for k, v in draws.items()}).numpy()
    np.testing.assert_allclose(seen[0], share * own + (1 - share) * partners, atol=1e-6)


def test_mixup_mixes_images_and_losses_with_one_share_a_batch(make_trainer, images):
    """Of constant images c, a mixed batch has constants share * c + (1 - share) * c[other]."""
    seen = []

    def objective(inputs, labels, logits):
        tf.py_function(lambda x, y: seen.append((x.numpy(), y.numpy())), [inputs[:, 0, 0, 0], labels], [])
        return tf.cast(labels, tf.float32) + 0 * tf.reduce_sum(logits, axis=1)

    trainer = make_trainer(mixup=True, objective=objective)
    constants = np.arange(22, dtype=np.float32)
    trainer.load(
        np.ones((22, 32, 32, 3), np.float32) * constants[:, None, None, None], images.labels, Streams(0)
    )
    losses, _ = trainer.train(np.arange(22), 1)
    (mixed, first), (again, second) = sorted(
        seen[:2], key=lambda pair: list(pair[1]) != list(images.labels[:8])
    )
    np.testing.assert_array_equal(mixed, again)
    np.testing.assert_array_equal(first, images.labels[:8])
    shares = []
    for share in np.linspace(0, 1, 100_001):
        partner = (mixed - share * constants[:8]) / max(1 - share, 1e-9)
        if np.allclose(np.sort(partner), constants[:8], atol=2e-3):
            shares.append((share, np.rint(partner).astype(int)))
    assert shares
    share, partner = shares[len(shares) // 2]
    np.testing.assert_array_equal(second, images.labels[partner])
    expected = np.mean(share * images.labels[:8] + (1 - share) * images.labels[partner])
    assert losses[0] == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_program_for_a_gpu_compiles_with_xla_to_the_same_numbers(
    make_trainer, images, monkeypatch, options
):
    found = []
    for gpus in ([], ["a GPU"]):
        monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind, gpus=gpus: gpus)
        trainer = make_trainer(rate=0.01, training="pad_crop_flip", weight_decay=0.01, **options)
        trainer.load(images.images, images.labels, Streams(0))
        losses, hits = trainer.train(ORDER, 3)
        evaluation = trainer.evaluate(trainer.evaluation_data(images.images, images.labels))
        found.append((losses, hits, evaluation, weights(trainer)))
    (losses, hits, evaluation, expected), compiled = found
    np.testing.assert_allclose(compiled[0], losses, rtol=1e-5)
    np.testing.assert_array_equal(compiled[1], hits)
    assert compiled[2] == pytest.approx(evaluation, rel=1e-5)
    assert_close(compiled[3], expected, 1e-5)


def test_the_network_sees_scaled_images_that_each_step_augments_anew(make_trainer, images):
    seen = []

    def objective(inputs, labels, logits):
        tf.py_function(lambda x: seen.append(x.numpy()), [inputs], [])
        return tf.reduce_sum(logits, axis=1)

    trainer = make_trainer(training="pad_crop_flip", scale=lambda x: 2 * x - 1, objective=objective)
    trainer.load(images.images, images.labels, Streams(0), Streams(5))
    for _ in range(2):
        trainer.train(ORDER, 3)
    augment, key = augmentation("pad_crop_flip"), tf.constant(Streams(5).key("augmentation"))
    assert len(seen) == 6
    for step, found in enumerate(seen):
        batch = images.images[ORDER[BATCHES[step % 3]]]
        expected = 2 * augment(tf.constant(batch), augment.draw(fold_in(key, step), len(batch))) - 1
        np.testing.assert_allclose(found, expected, atol=1e-6)
