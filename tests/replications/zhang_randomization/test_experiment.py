import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data import images
from common.data.augmentation import augmentation, per_image_standardization
from common.data.images import Images, ImageSet
from common.streams import Streams
from common.study import command_line
from common.study.runs import run_folder
from replications.zhang_randomization import experiment
from replications.zhang_randomization.presets import STUDY
from replications.zhang_randomization.settings import Settings

TINY = Settings(
    dataset="synthetic", network="mlp_1x512", num_train=100, num_test=50, epochs=40, batch_size=20
)


def run(settings, out_dir):
    experiment.run(STUDY, settings.resolve(), command_line.RunOptions(str(out_dir), "auto", False))
    return run_folder(STUDY, settings.resolve(), str(out_dir))


def values(folder):
    return {row["metric"]: row["value"] for row in folder.rows()}


def image_set(num_train=300, num_test=40):
    rng = np.random.default_rng(0)

    def split(n):
        images = rng.random((n, 32, 32, 3), dtype=np.float32) * [[[0.2, 0.5, 1.0]]]
        return Images(images.astype(np.float32), rng.integers(0, 10, n).astype(np.int32), np.arange(n))

    return ImageSet("toy", 10, split(num_train), split(num_test))


def randomized(data, **values):
    settings = Settings(**values).resolve()
    return experiment.randomize(settings, data, Streams(0))


def test_true_labels_change_nothing():
    data = image_set()
    (train_images, train_labels), (test_images, test_labels) = randomized(data)
    assert train_images is data.train.images and test_images is data.test.images
    np.testing.assert_array_equal(train_labels, data.train.labels)
    np.testing.assert_array_equal(test_labels, data.test.labels)


def test_labels_are_replaced_with_their_probability_and_test_labels_never():
    data = image_set(num_train=20_000)
    for noise in (0.4, 1.0):
        (_, labels), (_, test_labels) = randomized(data, label_noise=noise)
        # A uniform draw is the true label in one case of ten.
        assert np.mean(labels != data.train.labels) == pytest.approx(0.9 * noise, abs=0.02)
        np.testing.assert_array_equal(test_labels, data.test.labels)


def sorted_pixels(images):
    """The pixels of each image as a set: colours stay together."""
    return np.sort(images.reshape(len(images), -1, 3).view([("", images.dtype)] * 3), axis=1)


@pytest.mark.parametrize("condition", ["shuffled_pixels", "random_pixels"])
def test_permutations_move_the_pixels_of_the_crop(condition):
    data = image_set()
    (images, labels), (test_images, _) = randomized(data, condition=condition)
    crop = data.train.images[:, 2:30, 2:30]
    assert images.shape == (300, 28, 28, 3) and test_images.shape == (40, 28, 28, 3)
    np.testing.assert_array_equal(sorted_pixels(images.copy()), sorted_pixels(crop.copy()))
    assert not np.array_equal(images, crop)
    np.testing.assert_array_equal(labels, data.train.labels)

    def origin(image, original):
        """Where the pixel at each place came from; colours are all different."""
        places = {tuple(colour): i for i, colour in enumerate(original.reshape(-1, 3))}
        return [places[tuple(colour)] for colour in image.reshape(-1, 3)]

    orders = [origin(images[i], crop[i]) for i in (0, 1)]
    orders.append(origin(test_images[0], data.test.images[0, 2:30, 2:30]))
    assert (orders[0] == orders[1] == orders[2]) is (condition == "shuffled_pixels")


def test_gaussian_pixels_have_the_statistics_of_the_data_or_of_their_image():
    data = image_set()
    data.train.images[0] *= 0.1
    crop = data.train.images[:, 2:30, 2:30]
    (images, _), _ = randomized(data, condition="gaussian_pixels")
    np.testing.assert_allclose(images.mean((0, 1, 2)), crop.mean((0, 1, 2)), atol=0.01)
    np.testing.assert_allclose(images.std((0, 1, 2)), crop.std((0, 1, 2)), atol=0.01)
    assert abs(images[0].mean() - crop[0].mean()) > 0.2
    (images, _), _ = randomized(data, condition="gaussian_pixels", protocol="ee411")
    np.testing.assert_allclose(images[0].std((0, 1)), crop[0].std((0, 1)), rtol=0.2)
    np.testing.assert_allclose(images.mean((1, 2)), crop.mean((1, 2)), atol=0.06)


@pytest.mark.parametrize(
    ("network", "parameters"),
    [("inception", 1_649_402), ("alexnet", 1_387_786), ("mlp_1x512", 1_209_866), ("mlp_3x512", 1_735_178)],
)
def test_networks_have_the_published_numbers_of_parameters(network, parameters):
    model = experiment.build_network(Settings(network=network).resolve(), 10)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters


def test_a_run_fits_its_training_set_and_says_when(tmp_path):
    folder = run(TINY, tmp_path)
    assert folder.record["status"] == "done"
    assert folder.record["data"] == "synthetic images"
    found = values(folder)
    assert found["fit"] == 1 and found["train_accuracy"] == 1.0
    rows = [row for row in folder.rows() if row["metric"] == "train_accuracy"]
    assert rows[-1]["step"] == 5 * rows[-1]["epoch"] < 5 * 40
    with np.load(folder.path / "arrays.npz") as arrays:
        assert arrays["batch_losses"].shape == (rows[-1]["step"],)
    assert experiment.table_row(TINY.resolve(), folder)["epochs to fit"] == str(rows[-1]["epoch"])


def test_a_capped_run_is_censored(tmp_path):
    settings = dataclasses.replace(TINY, epochs=1, label_noise=1.0)
    folder = run(settings, tmp_path)
    assert values(folder)["fit"] == 0
    assert experiment.table_row(settings.resolve(), folder)["epochs to fit"] == "over 1"


def test_seeds_differ_and_a_seed_repeats(tmp_path):
    short = dataclasses.replace(TINY, epochs=1)
    first = run(short, tmp_path / "a").rows()
    assert run(short, tmp_path / "b").rows() == first
    assert run(dataclasses.replace(short, seed=1), tmp_path / "a").rows() != first


def start(out_dir, *arguments, **environment):
    command = [sys.executable, "-m", "replications.zhang_randomization", f"--out_dir={out_dir}", *arguments]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--data_dir=nowhere",), "--data_dir=nowhere: no such folder"),
        (("--data_dir=docs",), "no CIFAR-10 in docs"),
        (("--dataset=synthetic", "--num_train=50001"), "--num_train=50001: must be from 1 to 50000"),
    ],
)
def test_bad_data_is_one_line_and_leaves_nothing(flags, message, tmp_path):
    process = start(tmp_path, *flags)
    _, error = process.communicate()
    assert process.returncode == 2
    assert error.startswith("zhang_randomization: ") and message in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


LONG = (
    "--dataset=synthetic",
    "--network=alexnet",
    "--num_train=640",
    "--num_test=50",
    "--batch_size=32",
    "--epochs=12",
    "--stop=epochs",
    "--augmentation=ee411",
    "--dropout=0.1",
)


@pytest.mark.slow
def test_sigkill_mid_epoch_then_the_same_command(tmp_path):
    """Batch losses and measurements are equal bit for bit, with random augmentation and dropout."""
    killed = start(tmp_path / "killed", *LONG)
    while killed.poll() is None and not list(tmp_path.glob("**/checkpoints/*/SHA256SUMS")):
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    for out_dir in ("killed", "whole"):
        assert start(tmp_path / out_dir, *LONG).wait() == 0
    folders = [next((tmp_path / name).glob("*/*/")) for name in ("killed", "whole")]
    assert (folders[0] / "rows.jsonl").read_bytes() == (folders[1] / "rows.jsonl").read_bytes()
    losses = [np.load(folder / "arrays.npz")["batch_losses"] for folder in folders]
    np.testing.assert_array_equal(*losses)


@pytest.mark.slow
def test_two_workers_leave_one_record(tmp_path):
    flags = ("--network=mlp_1x512", "--dataset=synthetic", *LONG[2:5], "--epochs=2")
    sockets = [socket.socket() for _ in range(2)]
    for one in sockets:
        one.bind(("localhost", 0))
    cluster = {"worker": [f"localhost:{one.getsockname()[1]}" for one in sockets]}
    for one in sockets:
        one.close()
    workers = [
        start(
            tmp_path / "two",
            *flags,
            "--strategy=multi_worker",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": i}}),
        )
        for i in range(2)
    ]
    for worker in workers:
        _, error = worker.communicate(timeout=300)
        assert worker.returncode == 0, error
    assert start(tmp_path / "one", *flags).wait() == 0
    found = [next((tmp_path / name).glob("*/*/rows.jsonl")).read_text() for name in ("two", "one")]
    two, one = ([json.loads(line) for line in text.splitlines()] for text in found)
    assert [row | {"value": 0} for row in two] == [row | {"value": 0} for row in one]
    losses = [[row["value"] for row in rows if row["metric"] == "batch_loss"] for rows in (two, one)]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_gaussian_test_images_have_the_statistics_of_the_training_images():
    data = image_set()
    data.test.images[...] *= 0.1
    crop = data.train.images[:, 2:30, 2:30]
    _, (images, _) = randomized(data, condition="gaussian_pixels")
    np.testing.assert_allclose(images.mean((0, 1, 2)), crop.mean((0, 1, 2)), atol=0.01)
    np.testing.assert_allclose(images.std((0, 1, 2)), crop.std((0, 1, 2)), atol=0.01)


def trainer_of(**values):
    """The trainer of a run on 100 images in batches of 32: four steps an epoch."""
    settings = Settings(batch_size=32, **values).resolve()
    cropped = experiment._is_cropped(settings)
    strategy = tf.distribute.get_strategy()
    return experiment._trainer.__wrapped__(strategy, settings, 10, cropped)


def test_the_trainer_is_that_of_the_settings():
    trainer = trainer_of(network="mlp_1x512", optimizer="adam", weight_decay=0.25)
    assert isinstance(trainer.optimizer, keras.optimizers.Adam)
    assert (trainer.batch_size, trainer._weight_decay) == (32, 0.25)


def test_the_rate_falls_after_every_epoch():
    settings = Settings(network="mlp_1x512", batch_size=32, learning_rate_decay=0.5, num_train=100).resolve()
    data = images.load("synthetic", None, 100, 20, 0)
    streams, strategy = Streams(settings.seed), tf.distribute.get_strategy()
    train, _ = experiment.randomize(settings, data, streams)
    trainer = experiment.loaded_trainer(strategy, settings, train, data.num_classes, streams)
    rates = []
    for _ in range(3):
        trainer.train(np.arange(100), 4)
        rates.append(float(trainer.optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0.01, 0.005, 0.0025], rtol=1e-6)


@pytest.mark.parametrize(
    ("values", "training", "evaluation"),
    [
        ({}, "central_crop", "central_crop"),
        ({"augmentation": "random_crop"}, "random_crop", "central_crop"),
        ({"condition": "random_pixels"}, "none", "none"),  # made at 28 x 28
    ],
)
def test_images_are_prepared_as_the_settings_say(values, training, evaluation):
    preprocessing = trainer_of(network="mlp_1x512", **values)._preprocessing
    assert preprocessing.training == augmentation(training)
    assert preprocessing.evaluation == augmentation(evaluation)
    assert preprocessing.normalize is per_image_standardization


def test_networks_are_built_as_the_settings_say():
    def layers(kind, **values):
        model = experiment.build_network(Settings(**values).resolve(), 10)
        return [layer for layer in model.layers if type(layer).__name__ == kind]

    norms = [layers("FusedBatchNormalization", batch_norm=mode) for mode in ("all", "downsample", "none")]
    assert [len(found) for found in norms] == [19, 2, 0]
    momentum = layers("FusedBatchNormalization", batch_norm_momentum=0.5)[0].momentum
    assert (norms[0][0].momentum, momentum) == (0.99, 0.5)
    for network in ("inception", "alexnet"):
        assert not layers("ReplicaDropout", network=network)
        assert {layer.rate for layer in layers("ReplicaDropout", network=network, dropout=0.25)} == {0.25}
    for network in ("inception", "alexnet", "mlp_3x512"):
        kernels = [
            layers("Dense", network=network, initialization=name)[-1].kernel_initializer
            for name in ("glorot", "pytorch")
        ]
        assert [type(kernel).__name__ for kernel in kernels] == ["GlorotUniform", "VarianceScaling"]
    assert [layer.units for layer in layers("Dense", network="mlp_3x512")] == [512, 512, 512, 10]
