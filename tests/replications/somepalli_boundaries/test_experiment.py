import dataclasses
import itertools
import shutil
import types

import numpy as np
import pytest

from common.data import images as image_data
from common.errors import UserError
from common.metrics.reproducibility import reproducibility_score
from common.study import command_line
from common.study.runs import run_folder
from common.study.setting import without
from common.training.fit import Fit
from common.training.trainer import Trainer
from replications.somepalli_boundaries import experiment
from replications.somepalli_boundaries.presets import STUDY
from replications.somepalli_boundaries.settings import Settings
from tests.made_rows import made_rows, named_values

TINY = Settings(
    network="fully_connected",
    width=64,
    dataset="synthetic",
    num_train=160,
    num_test=40,
    epochs=3,
    batch_size=40,
    num_triplets=3,
    num_random_planes=1,
    num_random_images=2,
    resolution=5,
    picture_resolution=4,
)


class Killed(Exception):
    pass


@pytest.fixture(scope="module", autouse=True)
def images_once():
    """The images of all tests are read once."""
    patch = pytest.MonkeyPatch()
    cache = {}

    def load(*arguments):
        if arguments not in cache:
            cache[arguments] = image_data.load(*arguments)
        return cache[arguments]

    patch.setattr("common.training.run.images", type("Images", (), {"load": staticmethod(load)}))
    yield
    patch.undo()


def run(out_dir, strategy="one_device", **values):
    settings = dataclasses.replace(TINY, **values).resolve()
    experiment.run(STUDY, settings, command_line.RunOptions(str(out_dir), strategy, False))
    return run_folder(STUDY, settings, str(out_dir))


def arrays(folder):
    with np.load(folder.path / "arrays.npz") as found:
        return dict(found)


def weights(folder):
    with np.load(folder.path / experiment.WEIGHTS) as found:
        return [found[name] for name in found.files]


def values(folder):
    return named_values(folder.rows())


def same(first, second):
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_run_leaves_rows_arrays_and_weights(tmp_path):
    folder = run(tmp_path)
    found = values(folder)
    assert folder.record["status"] == "done"
    assert {"train_accuracy", "test_accuracy", ("accuracy", "test"), ("num_classes", "uniform")} <= set(found)
    assert found["accuracy", "test"] == pytest.approx(found["test_accuracy"])
    assert found["accuracy", "all"] == pytest.approx(found["train_accuracy"])
    assert {row["statistic"] for row in folder.rows()} == {"run"}
    shapes = {name: array.shape for name, array in arrays(folder).items()}
    assert shapes["score_classes"] == (3, 5, 5)
    assert shapes["random_classes"] == (2, 1, 5, 5)
    assert shapes["picture_classes"] == shapes["picture_confidences"] == (3, 4, 4)
    assert shapes["picture_images"] == (3, 3, 32, 32, 3)
    units = (3072, 64, 32, 16, 4, 10)
    size = sum((inputs + 1) * outputs for inputs, outputs in itertools.pairwise(units))
    assert sum(array.size for array in weights(folder)) == size


def test_runs_of_different_seeds_train_and_are_measured_on_the_same_images(tmp_path):
    first, second = run(tmp_path), run(tmp_path, seed=1)
    assert not same(weights(first), weights(second))
    one, other = arrays(first), arrays(second)
    np.testing.assert_array_equal(one["picture_images"], other["picture_images"])
    np.testing.assert_array_equal(one["picture_coordinates"], other["picture_coordinates"])
    assert 0 <= reproducibility_score(one["score_classes"], other["score_classes"]) <= 1


@pytest.mark.parametrize("name", ["order_seed", "augmentation_seed", "init_seed"])
def test_each_source_is_varied_alone(name, tmp_path):
    """With a learning rate of nearly nothing only the initial weights show; with any rate the others do."""
    still = {"learning_rate": 1e-30, "weight_decay": 0.0}
    base, other = run(tmp_path, **still), run(tmp_path, **still, **{name: 5})
    assert same(weights(base), weights(other)) == (name != "init_seed")
    moving, moved = run(tmp_path), run(tmp_path, **{name: 5})
    assert not same(weights(moving), weights(moved))


def test_each_seed_has_its_own_streams(tmp_path, monkeypatch):
    seen = []
    load, train = Trainer.load, Fit.run

    def loading(self, images, labels, streams, augmentation, rate):
        seen[:] = [("init_seed", streams.seed), ("augmentation_seed", augmentation.seed)]
        load(self, images, labels, streams, augmentation, rate)

    def training(self):
        seen.append(("order_seed", self.streams.seed))
        return train(self)

    monkeypatch.setattr(Trainer, "load", loading)
    monkeypatch.setattr(Fit, "run", training)
    run(tmp_path, seed=3, init_seed=4, order_seed=5, augmentation_seed=6)
    assert dict(seen) == {"init_seed": 4, "order_seed": 5, "augmentation_seed": 6}


def kill_after_epochs(monkeypatch, number):
    train, count = Fit._train_epoch, iter(range(number))

    def dying(self, epoch):
        if next(count, None) is None:
            raise Killed
        train(self, epoch)
        # As if a checkpoint were due after every epoch.
        self._saved = -1e9
        self._save()

    monkeypatch.setattr(Fit, "_train_epoch", dying)


@pytest.mark.parametrize("checkpoint", ["last", "best_test"])
def test_a_killed_run_goes_on_bit_for_bit(checkpoint, tmp_path, monkeypatch):
    whole = run(tmp_path / "whole", checkpoint=checkpoint)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after_epochs(patch, 2)
        run(tmp_path / "killed", checkpoint=checkpoint)
    folder = run(tmp_path / "killed", checkpoint=checkpoint)
    assert folder.record["status"] == "done"
    assert folder.rows() == whole.rows()
    assert same(weights(folder), weights(whole))
    found, expected = arrays(folder), arrays(whole)
    assert set(found) == set(expected)
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_best_test_keeps_the_first_best_epoch(tmp_path, monkeypatch):
    """Of made-up test accuracies, the best of which comes twice and not last."""
    accuracies, networks = [0.2, 0.5, 0.5, 0.1], []
    evaluate = Trainer.evaluate

    def made_up(self, data):
        loss, accuracy = evaluate(self, data)
        if data.count == TINY.num_test:
            networks.append([variable.numpy() for variable in self.model.variables])
            accuracy = accuracies[len(networks) - 1]
        return loss, accuracy

    monkeypatch.setattr(Trainer, "evaluate", made_up)
    folder = run(tmp_path, checkpoint="best_test", epochs=4)
    rows = [row["value"] for row in folder.rows() if row["metric"] == "test_accuracy"]
    assert rows == accuracies
    assert values(folder)["checkpoint_epoch"] == 2
    assert same(weights(folder), networks[1])
    assert not same(networks[1], networks[2])
    assert not (folder.path / "work").exists()


def test_a_teacher_is_trained_once_as_a_run_of_its_own(tmp_path, monkeypatch):
    student = run(tmp_path, teacher="fully_connected", teacher_width=32)
    settings = dataclasses.replace(TINY, teacher="fully_connected", teacher_width=32).resolve()
    teacher = run_folder(STUDY, settings.teacher_settings(), str(tmp_path))
    assert teacher.record["status"] == student.record["status"] == "done"
    assert teacher.record["settings"]["seed"] == 1
    # Another student finds it.
    trained = (teacher.path / experiment.WEIGHTS).stat().st_mtime_ns
    other = run(tmp_path, teacher="fully_connected", teacher_width=32, distillation="logits")
    assert (teacher.path / experiment.WEIGHTS).stat().st_mtime_ns == trained
    assert not same(weights(student), weights(other))
    # A record without its weights is left as it is, and the teacher trained again beside it.
    (teacher.path / experiment.WEIGHTS).unlink()
    first = weights(student)
    shutil.rmtree(student.path)
    again = run(tmp_path, teacher="fully_connected", teacher_width=32)
    assert same(weights(again), first)
    assert not (teacher.path / experiment.WEIGHTS).exists()
    beside = run_folder(STUDY, settings.teacher_settings(), str(tmp_path / "teachers"))
    assert beside.finished


def test_a_student_waits_for_a_teacher_that_another_process_trains(tmp_path, monkeypatch):
    settings = dataclasses.replace(TINY, teacher="fully_connected", teacher_width=32).resolve()
    teacher = run_folder(STUDY, settings.teacher_settings(), str(tmp_path))
    waits = []

    def release(seconds):
        waits.append(seconds)
        teacher.__exit__()

    monkeypatch.setattr(experiment.interruption, "sleep", release)
    with teacher:
        student = run(tmp_path, teacher="fully_connected", teacher_width=32)
    assert student.finished and len(waits) == 1


@pytest.mark.slow
def test_distillation_brings_a_student_nearer_to_its_teacher(tmp_path):
    """Of one architecture, long enough to fit: the student's planes are its teacher's more than its own."""
    shared = {
        "epochs": 120,
        "learning_rate": 0.003,
        "optimizer": "adam",
        "pictures": "none",
        "augmentation": "none",
        "num_triplets": 20,
    }
    taught = run(tmp_path, teacher="fully_connected", teacher_width=64, **shared)
    alone, teacher = run(tmp_path, **shared), run(tmp_path, seed=1, **shared)
    scores = [
        reproducibility_score(arrays(teacher)["score_classes"], arrays(folder)["score_classes"])
        for folder in (taught, alone)
    ]
    assert scores[0] > scores[1]


def test_a_diverged_teacher_teaches_nothing(tmp_path):
    with pytest.raises(UserError, match="--teacher=fully_connected: its training diverged"):
        run(tmp_path, teacher="fully_connected", teacher_width=64, weight_decay=1e30)


def test_a_diverged_run_is_recorded_without_measurements(tmp_path):
    folder = run(tmp_path, learning_rate=1e30)
    assert folder.record["status"] == "diverged"
    assert ("accuracy", "test") not in values(folder)
    assert not (folder.path / experiment.WEIGHTS).exists()


@pytest.mark.parametrize(
    "settings,message",
    [
        ({"num_test": 2}, "--num_test=2: its images are of . classes; the planes of scores need three"),
        ({"label_noise": 1.0, "num_fragmentation_triplets": 2}, "--label_noise=1: leaves . images of class"),
        (
            {"label_noise": 1.0, "label_noise_rule": "nakkiran", "num_margin_images": 2},
            "--label_noise=1: leaves no image with its right label; margins",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused_before_training(settings, message, tmp_path):
    with pytest.raises(UserError, match=message):
        run(tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "measured", "shown"),
    [
        ("done", {("accuracy", "all"): 0.8, ("accuracy", "test"): 0.6}, ["80.00%", "60.00%"]),
        ("diverged", {}, ["90.00%", "50.00%"]),
    ],
)
def test_the_printed_table_shows_the_measured_network(status, measured, shown):
    rows = made_rows({"train_accuracy": 0.9, "test_accuracy": 0.5} | measured)
    record = {"status": status, "times": {"train_seconds": 1.0}}
    line = experiment.table_row(TINY.resolve(), types.SimpleNamespace(rows=lambda: rows, record=record))
    assert [line["train accuracy"], line["test accuracy"]] == shown


def test_the_printed_table_names_all_seeds(tmp_path):
    settings = dataclasses.replace(TINY, seed=1).resolve()
    line = experiment.table_row(settings, run(tmp_path, seed=1))
    assert (line["seeds"], line["network"]) == ("1/1/1", "FullyCon")


@pytest.mark.parametrize(("schedule", "half"), [("cosine", 200), ("cosine_200", 100)])
def test_the_length_of_a_cosine(schedule, half):
    settings = dataclasses.replace(TINY, schedule=schedule, learning_rate=0.1, epochs=400).resolve()
    rate = experiment._schedule(settings, 4)
    assert float(rate(4 * half)) == pytest.approx(0.05)
    assert float(rate(4 * 400)) == pytest.approx(0.0 if schedule == "cosine" else 0.1, abs=1e-6)


def test_sharpness_mixup_and_schedules_are_those_of_the_settings():
    settings = dataclasses.replace(TINY, sam_radius=0.05, mixup=True, epochs=100).resolve()
    strategy = __import__("tensorflow").distribute.get_strategy()
    compiled = experiment._compiled.__wrapped__(strategy, without(settings, experiment.UNCOMPILED), 10)
    trainer = compiled.trainer
    assert (trainer._sam_radius, trainer._mixup, trainer._weight_decay) == (0.05, True, 5e-4)
    schedule = experiment._schedule(settings, 4)
    rates = [float(schedule(4 * epoch)) for epoch in (0, 36, 37, 61, 62, 87)]
    np.testing.assert_allclose(rates, [0.01, 0.01, 0.001, 0.001, 1e-4, 1e-5], rtol=1e-5)
