import dataclasses
import functools
import types

import numpy as np
import pytest
import tensorflow as tf

from common.data import images
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.data.images import Images, ImageSet
from common.errors import UserError
from common.metrics.volumes import measure_volumes
from common.streams import Streams
from common.study import command_line
from common.study.runs import run_folder
from common.study.setting import without
from common.training import fit
from common.training.trainer import Trainer
from replications.smooth_interpolation import experiment, measure
from replications.smooth_interpolation.presets import STUDY
from replications.smooth_interpolation.settings import Settings
from tests.made_rows import named_values

TINY = Settings(
    dataset="synthetic",
    width=1,
    num_train=60,
    num_test=40,
    batch_size=20,
    epochs=6,
    learning_rate=0.05,
    num_samples=30,
    num_paths=2,
    num_copies=2,
    strengths="5-10",
    num_checkpoints=3,
)


def run(settings, out_dir):
    experiment.run(STUDY, settings.resolve(), command_line.RunOptions(str(out_dir), "auto", False))
    return run_folder(STUDY, settings.resolve(), str(out_dir))


def arrays(folder):
    with np.load(folder.path / "arrays.npz") as found:
        return dict(found)


def image_set(num_train=200, num_classes=10):
    def split(n):
        labels = (np.arange(n) % num_classes).astype(np.int32)
        return Images(np.arange(n, dtype=np.float32).reshape(-1, 1, 1, 1), labels, np.arange(n))

    return ImageSet("toy", num_classes, split(num_train), split(40))


def data_of(num_train=200, **values):
    settings = {"batch_size": 10, "num_validation": 0, "dataset": "synthetic"} | values
    return experiment.run_data(Settings(**settings).resolve(), image_set(num_train))


def test_symmetric_noise_is_exact_and_never_the_true_label():
    data = data_of(label_noise=0.2)
    wrong = data.train.labels != data.true_labels
    assert wrong.sum() == 40
    np.testing.assert_array_equal(data.true_labels, np.arange(200) % 10)


def test_validation_images_are_set_aside_with_true_labels():
    data = data_of(num_validation=50, label_noise=0.2)
    assert (data.train.labels != data.true_labels).sum() == 30
    together = np.concatenate([data.train.images.ravel(), data.validation.images.ravel()])
    np.testing.assert_array_equal(np.sort(together), np.arange(200))
    np.testing.assert_array_equal(data.validation.labels, data.validation.images.ravel() % 10)
    other = data_of(num_validation=50, split_seed=43)
    assert not np.array_equal(other.validation.images, data.validation.images)


def test_asymmetric_noise_leaves_the_other_classes_alone():
    data = data_of(noise="asymmetric")
    wrong = data.train.labels != data.true_labels
    counts = np.bincount(data.true_labels[wrong], minlength=10)
    # 80 % of 20 images in each of two classes.
    assert sorted(counts) == [0] * 8 + [16, 16]
    np.testing.assert_array_equal(data.corrupted_classes, np.flatnonzero(counts))
    first = data_of(noise="asymmetric", corrupted_classes="first")
    np.testing.assert_array_equal(first.corrupted_classes, [0, 1])


def test_subsets_partition_the_measured_images():
    data = data_of(label_noise=0.2, num_samples=100)
    masks = data.subsets
    assert list(masks) == ["noisy", "clean", "all"]
    assert masks["all"].all() and len(masks["all"]) == 100
    np.testing.assert_array_equal(masks["noisy"], ~masks["clean"])
    wrong = data.train.labels[data.sample] != data.true_labels[data.sample]
    np.testing.assert_array_equal(masks["noisy"], wrong)
    assert list(data_of(label_noise=0.0).subsets) == ["all"]
    assert list(data_of(label_noise=1.0).subsets) == ["noisy", "all"]


def test_runs_that_differ_in_the_seed_alone_have_the_same_images_and_labels():
    first, second = (data_of(seed=seed, num_validation=20, num_samples=50) for seed in (0, 1))
    np.testing.assert_array_equal(first.train.labels, second.train.labels)
    np.testing.assert_array_equal(first.train.images, second.train.images)
    np.testing.assert_array_equal(first.sample, second.sample)
    other = data_of(label_seed=1, num_validation=20)
    assert not np.array_equal(first.train.labels, other.train.labels)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_validation": 195}, "leaves 5 training images of 200, fewer than a batch of 10"),
        ({"num_validation": 300}, "leaves 0 training images of 200"),
        ({"num_samples": 201}, "--num_samples=201: must be from 1 to 200"),
    ],
)
def test_too_few_images(values, message):
    with pytest.raises(UserError, match=message):
        data_of(**values)


@pytest.mark.parametrize(
    ("values", "parameters"),
    [({"width": 10}, 39_030), ({"width": 64}, 1_556_106), ({"network": "resnet18w", "width": 1}, 2_963)],
)
def test_networks_have_the_published_numbers_of_parameters(values, parameters):
    model = experiment.build_network(Settings(**values).resolve(), 10)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and the model that it left."""
    models = []
    loaded_trainer = experiment.loaded_trainer

    def keep_model(*arguments):
        trainer = loaded_trainer(*arguments)
        models.append(trainer.model)
        return trainer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "loaded_trainer", keep_model)
        folder = run(TINY, tmp_path_factory.mktemp("runs"))
    return folder, models[0]


def final(folder, metric, subset, anchors):
    (value,) = {
        row["value"]
        for row in folder.rows()
        if row["metric"] == metric
        and (row.get("subset"), row.get("anchors"), row["epoch"]) == (subset, anchors, 6)
    }
    return value


def test_final_rows_are_the_measures_of_the_final_network(finished):
    folder, model = finished
    settings = TINY.resolve()
    data = experiment.run_data(settings, images.load("synthetic", None, 60, 40, 0))
    sample = data.train.take(data.sample)
    expected = measure_volumes(
        model,
        sample.images,
        sample.labels,
        CIFAR10_MEAN,
        CIFAR10_STD,
        num_paths=2,
        strengths=(5, 10),
        num_copies=2,
    )
    del expected["tangent_hessian_norm_paper"]  # a constant times the code's
    for metric, values in expected.items():
        for subset, mask in data.subsets.items():
            for anchors in (1, 2, 3):
                wanted = values[mask, anchors - 1].mean()
                assert final(folder, metric, subset, anchors) == pytest.approx(wanted, rel=1e-5)


def test_the_record_has_one_tangent_hessian_norm(finished):
    names = {row["metric"] for row in finished[0].rows() if "hessian" in row["metric"]}
    assert names == {"tangent_hessian_norm"}


def test_kept_predictions_give_the_test_accuracy(finished):
    folder, model = finished
    found, rows = arrays(folder), folder.rows()
    predictions, labels = found["test_log_probabilities"], found["test_labels"]
    assert predictions.shape == (40, 10) and predictions.dtype == np.float16
    accuracy = [row["value"] for row in rows if row["metric"] == "test_accuracy"][-1]
    assert np.mean(predictions.argmax(axis=1) == labels) == pytest.approx(accuracy, abs=0.03)
    test = images.load("synthetic", None, 60, 40, 0).test
    inputs = (test.images - np.float32(CIFAR10_MEAN)) / np.float32(CIFAR10_STD)
    expected = tf.nn.log_softmax(model(inputs, training=False)).numpy()
    np.testing.assert_allclose(predictions, expected, rtol=2e-3)
    np.testing.assert_array_equal(labels, test.labels)


def test_checkpoints_measure_the_test_set_and_the_images_themselves(finished):
    rows = finished[0].rows()
    # 6^(1/3) and 6^(2/3).
    for metric, count in (("test_accuracy", 4), ("test_loss", 4), ("train_accuracy", 1)):
        assert [row["epoch"] for row in rows if row["metric"] == metric] == [1, 2, 3, 6][-count:]
    base = [row for row in rows if row["metric"] == "jacobian_norm" and row["epoch"] == 2]
    assert [(row["subset"], row["anchors"]) for row in base] == [("noisy", 1), ("clean", 1), ("all", 1)]
    # Tables show the last row of a metric: all images themselves, at the end.
    last = [row for row in rows if row["metric"] == "jacobian_norm"][-1]
    assert (last["epoch"], last["subset"], last["anchors"]) == (6, "all", 1)
    assert [row["epoch"] for row in rows if row["metric"] == "batch_loss"] == [1, 2, 3, 6]


def test_late_epochs_also_measure_the_training_images_and_are_marked():
    settings = dataclasses.replace(TINY, epochs=100).resolve()
    trainer = types.SimpleNamespace(step=94 * 3, steps_per_epoch=3)
    trainer.row = functools.partial(Trainer.row, trainer)
    trainer.evaluation_data = lambda chosen, labels: len(labels)
    trainer.evaluate = lambda size: (0.5, size)
    points = types.SimpleNamespace(
        measure=lambda chosen, labels: {"jacobian_norm": np.ones((len(labels), 1))}
    )
    data = data_of(label_noise=0.0)
    measurement = measure.Measurement(settings, trainer, types.SimpleNamespace(points=points), data)
    rows = measurement.at_checkpoint(94)
    assert {row["statistic"] for row in rows} == {"late"}
    assert {row["metric"]: row["value"] for row in rows} == {
        "train_loss": 0.5,
        "train_accuracy": len(data.train.labels),
        "test_loss": 0.5,
        "test_accuracy": len(data.test.labels),
        "jacobian_norm": 1.0,
    }
    assert measurement.at_checkpoint(93) == []
    assert {row["statistic"] for row in measurement.at_checkpoint(5)} == {"run"}


def test_table_shows_the_measures_at_the_images(finished):
    folder, _ = finished
    line = experiment.table_row(TINY.resolve(), folder)
    assert line["Jacobian norm"] == f"{final(folder, 'jacobian_norm', 'all', 1):.3g}"
    assert line["data"] == "synthetic" and line["wrong labels"] == "20%"


def test_an_interrupted_run_measures_what_a_whole_one_does(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(fit, "_CHECKPOINT_SECONDS", 0)
    at_checkpoint = measure.Measurement.at_checkpoint

    def interrupted(self, epoch):
        if epoch == 3:
            raise KeyboardInterrupt
        return at_checkpoint(self, epoch)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(measure.Measurement, "at_checkpoint", interrupted)
        run(TINY, tmp_path)
    folder = run_folder(STUDY, TINY.resolve(), str(tmp_path))
    assert not folder.finished and list(folder.work.glob("checkpoints/*/SHA256SUMS"))
    folder = run(TINY, tmp_path)
    assert folder.rows() == finished[0].rows()
    for name, values in arrays(finished[0]).items():
        np.testing.assert_array_equal(arrays(folder)[name], values)


def test_validation_and_perturbed_classes_are_measured(tmp_path):
    settings = dataclasses.replace(
        TINY, noise="asymmetric", num_validation=20, num_train=80, epochs=1, num_checkpoints=None
    )
    folder = run(settings, tmp_path)
    rows = named_values(row for row in folder.rows() if "anchors" not in row)
    # Two of ten classes are perturbed, and the test set is balanced.
    parts = 0.2 * rows["accuracy", "test_perturbed"] + 0.8 * rows["accuracy", "test_unperturbed"]
    assert parts == pytest.approx(rows["test_accuracy"], abs=1e-6)
    assert 0 <= rows["validation_accuracy"] <= 1 and rows["validation_loss"] > 0


def test_validation_is_of_the_images_set_aside():
    """Made-up predictions, a row for the number that an image holds."""
    data = data_of(num_validation=50, label_noise=0.2)
    table = np.log(np.random.default_rng(0).dirichlet(np.ones(10), 200))
    meters = types.SimpleNamespace(log_probabilities=lambda chosen: table[chosen.ravel().astype(int)])
    trainer = types.SimpleNamespace(step=6, steps_per_epoch=3)
    trainer.row = functools.partial(Trainer.row, trainer)
    rows = measure.Measurement(TINY.resolve(), trainer, meters, data)._validation()
    numbers = data.validation.images.ravel().astype(int)
    losses, hits = -table[numbers, numbers % 10], table[numbers].argmax(axis=1) == numbers % 10
    assert [(row["metric"], row["value"], row["epoch"]) for row in rows] == [
        ("validation_loss", pytest.approx(losses.mean()), 2),
        ("validation_accuracy", pytest.approx(hits.mean()), 2),
    ]


def test_checkpoints_measure_what_the_end_does_at_the_images():
    settings = TINY.resolve()
    meters = measure.Meters(settings, experiment.build_network(settings, 10), CIFAR10_MEAN, CIFAR10_STD)
    chosen = np.random.default_rng(0).random((4, 32, 32, 3), dtype=np.float32)
    points, volumes = (meter.measure(chosen, np.arange(4)) for meter in (meters.points, meters.volumes))
    assert list(points) == list(volumes)
    for name, values in volumes.items():
        np.testing.assert_allclose(points[name], values[:, :1], rtol=1e-3)


def test_images_of_100_classes_are_normalized_by_the_statistics_of_cifar100():
    settings = dataclasses.replace(without(TINY.resolve(), experiment.UNCOMPILED), dataset="cifar100")
    strategy = tf.distribute.get_strategy()
    trainer = experiment._trainer.__wrapped__(strategy, settings, 100)
    meters = experiment._meters.__wrapped__(trainer, settings)
    mean, std = np.float32([0.5071, 0.4865, 0.4409]), np.float32([0.2009, 0.1984, 0.2023])
    np.testing.assert_array_equal([meters._mean, meters._std], [mean, std])
    scaled = trainer._preprocessing.evaluated(np.ones((1, 32, 32, 3), np.float32))
    np.testing.assert_allclose(scaled[0, 0, 0], (1 - mean) / std, rtol=1e-5)


def test_a_diverged_run_is_recorded(tmp_path):
    settings = dataclasses.replace(TINY, learning_rate=1e30, warmup_epochs=0)
    folder = run(settings, tmp_path)
    assert folder.record["status"] == "diverged"
    assert np.isnan(final_of_any_epoch(folder, "jacobian_norm"))


def final_of_any_epoch(folder, metric):
    return [row["value"] for row in folder.rows() if row["metric"] == metric][-1]


def trainer_of(settings, image_set):
    data, strategy = experiment.run_data(settings, image_set), tf.distribute.get_strategy()
    return experiment.loaded_trainer(strategy, settings, data, image_set.num_classes, Streams(settings.seed))


def test_seeds_share_the_compiled_programs():
    settings = TINY.resolve()
    data = images.load("synthetic", None, 60, 40, 0)
    first, seed, noise, width = (
        trainer_of(dataclasses.replace(settings, **change), data)
        for change in ({}, {"seed": 1}, {"label_noise": 0.0}, {"width": 2})
    )
    assert first is seed is noise and first is not width


def test_another_measurement_shares_the_trainer_and_not_the_meters():
    settings = TINY.resolve()
    data = images.load("synthetic", None, 60, 40, 0)
    found = []
    for change in ({}, {"seed": 1}, {"colour_clip": "code"}, {"hessian_step": "paper"}):
        changed = dataclasses.replace(settings, **change)
        trainer = trainer_of(changed, data)
        found.append((trainer, experiment.meters_of(trainer, changed)))
    trainers, meters = zip(*found, strict=True)
    assert len(set(trainers)) == 1
    assert meters[0] is meters[1]
    assert len(set(meters)) == 3
    assert [one.volumes.colour_clip for one in meters] == ["none", "none", "code", "none"]
    assert [one.points.colour_clip for one in meters] == ["none", "none", "code", "none"]
    assert [one.volumes.step for one in meters] == ["code", "code", "code", "paper"]


def test_networks_of_the_other_sources():
    def layers(**given):
        return {layer.name for layer in experiment.network(Settings(width=1, **given).resolve()).layers}

    assert "pool4" in layers() and "mean_pool" in layers(pooling="average")
    resnet = {"network": "resnet18w"}
    added = layers(**resnet, shortcuts="normalized") - layers(**resnet)
    assert added == {f"stage{stage}_block1_shortcut_bn" for stage in (2, 3, 4)}


def test_steps_take_a_fifth_after_150_epochs():
    settings = dataclasses.replace(TINY, schedule="step", learning_rate=0.1, warmup_epochs=None).resolve()
    rate = experiment._learning_rate(settings, num_train=3 * settings.batch_size - 1)
    steps = [0, 3 * 150 - 1, 3 * 150, 3 * 300]
    np.testing.assert_allclose([float(rate(step)) for step in steps], [0.1, 0.1, 0.02, 0.004], rtol=1e-5)


def test_warm_up_rises_to_the_rate():
    settings = dataclasses.replace(TINY, epochs=10).resolve()
    data = images.load("synthetic", None, 60, 40, 0)
    trainer = trainer_of(settings, data)
    rates = []
    for epoch in range(7):
        trainer.train(np.random.default_rng(epoch).permutation(60), 3)
        rates.append(float(trainer.optimizer.learning_rate))
    np.testing.assert_allclose(rates, [0.001, 0.01325, 0.0255, 0.03775, 0.05, 0.05, 0.05], rtol=1e-5)
