import types
import zipfile

import keras
import numpy as np
import pytest

from common.data import images
from common.data.augmentation import normalize
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.errors import UserError
from common.metrics import plane
from common.metrics.plane import draw_released_triplets, plane_through
from common.models.vit import vit
from replications.somepalli_boundaries import score, triplets

OPTIONS = types.SimpleNamespace(
    triplet=(30, 72, 42),
    triplets="ours",
    num_triplets=4,
    resolution=6,
    picture_resolution=5,
    data_seed=1,
)


def network(seed=0, classes=10, shape=(32, 32, 3), first=(), last=None):
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input(shape)
    for layer in first:
        x = layer(x)
    x = keras.layers.Conv2D(6, 5, 4)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = keras.layers.Dense(classes, activation=last, name="classes")(x)
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def data():
    return images.load("synthetic", None, 200, 100, 1, OPTIONS.triplet)


@pytest.fixture(autouse=True)
def few_images(data, monkeypatch):
    """The program would make 10,000 synthetic test images each time."""
    load = images.load

    def loaded(dataset, *arguments, **options):
        return data if dataset == "synthetic" else load(dataset, *arguments, **options)

    monkeypatch.setattr(images, "load", loaded)


@pytest.fixture
def saved(tmp_path):
    def save(**models):
        paths = []
        for name, model in models.items():
            model.save(tmp_path / f"{name}.keras")
            paths.append(str(tmp_path / f"{name}.keras"))
        return paths

    return save


def command(*arguments):
    with pytest.raises(SystemExit) as stopped:
        score.main(["score", "--dataset=synthetic", *arguments])
    return stopped.value.code


def test_a_model_agrees_with_itself_and_accuracies_are_counted(data, saved):
    paths = saved(a=network(0), b=network(0))
    models = score.load_models(paths)
    found = score.compare(models, data, ["0-1"] * 2, OPTIONS)
    np.testing.assert_array_equal(found.agreement, 1)
    expected = np.mean(models[0].predict(data.test.images, verbose=0).argmax(axis=1) == data.test.labels)
    assert found.accuracies == found.predicted_accuracies == (expected, expected)
    assert found.classes.shape == (2, 5, 5)


@pytest.mark.parametrize(
    "scaling,layer",
    [
        ("0-255", (1 / 255, 0.0)),
        ("standardized", (CIFAR10_STD, CIFAR10_MEAN)),
    ],
)
def test_the_same_function_of_other_pixels_has_the_same_boundaries(scaling, layer, data):
    plain, scaled = network(0), network(0, first=[keras.layers.Rescaling(*layer)])
    found = score.compare([plain, scaled], data, ["0-1", scaling], OPTIONS)
    assert found.agreement.min() > 0.95  # but for points that rounding moves across a boundary
    assert found.accuracies[0] == pytest.approx(found.accuracies[1], abs=0.02)


def test_the_score_is_of_the_released_triplets_where_asked(data, monkeypatch):
    drawn = []

    def recording(triplet, *arguments):
        drawn.append(triplet)
        return plane_through(triplet, *arguments)

    monkeypatch.setattr(plane, "plane_through", recording)
    monkeypatch.setattr(triplets, "NUM_TEST", 100)  # those of `data`
    options = types.SimpleNamespace(**vars(OPTIONS) | {"triplets": "released"})
    score.compare([network(0), network(1)], data, ["0-1"] * 2, options)
    expected = data.test.images[draw_released_triplets(data.test.labels, 4, 1)]
    np.testing.assert_allclose(drawn[:4], normalize(expected, CIFAR10_MEAN, CIFAR10_STD), atol=1e-6)


def test_our_layers_are_loaded(saved):
    (model, _) = score.load_models(saved(a=vit(8, 1, 2, 4, 8), b=vit(8, 1, 2, 4, 8)))
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    "second,message",
    [
        (lambda: network(0, classes=7), "have different classes"),
        (lambda: network(0, shape=(28, 28, 3)), "take different inputs"),
        (lambda: keras.Sequential([keras.Input((5,)), keras.layers.Dense(10)]), "not images to classes"),
    ],
)
def test_models_that_cannot_be_compared(second, message, saved):
    with pytest.raises(UserError, match=message):
        score.load_models(saved(a=network(0), b=second()))


def test_files_that_are_no_models(tmp_path, saved):
    (good,) = saved(a=network(0))
    text, archive = tmp_path / "text.keras", tmp_path / "archive.keras"
    text.write_text("no model")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme", "no model")
    for bad in (text, archive):
        with pytest.raises(UserError, match=f"{bad.name} is not a Keras model"):
            score.load_models([good, str(bad)])


@pytest.mark.parametrize(
    "arguments,message",
    [
        (
            ["--models={a},{b}"],
            "does not begin with layers that say the pixels that it takes; say 0-255, 0-1",
        ),
        (["--models={a},missing.keras"], "no file missing.keras"),
        (["--models={a}"], "must be two files"),
        (["--models={a},{b}", "--triplet=30,30,42"], "must be three different images"),
        (["--models={a},{b}", "--triplet=30,72"], "must be three image numbers"),
        (["--models={a},{b}", "--triplet=30,72,60000", "--input_scaling=0-1"], "image 60000 is not among"),
        (["--models={a},{b}", "--triplets=theirs"], "triplets=theirs"),
        (
            ["--models={a},{b}", "--triplet=-1,30,72"],
            "image -1 is not among the training images, 0 to 49,999",
        ),
        (
            ["--models={a},{b}", "--input_scaling=0-2"],
            "must be one of 0-255, 0-1, standardized, or two of them",
        ),
        (["--models={a},{b}", "--input_scaling=0-1,0-1,0-1"], "one for each model"),
        (["--models={a},{b}", "--data_dir=nowhere"], "--data_dir=nowhere: no such folder"),
        (["--models={a},{b}", "--data_dir="], "--data_dir=: names no folder"),
        (["--models={a},{b}", "--out=/proc/picture.png"], "its folder is not writable"),
        (["--models={a},{b}", "--out=nowhere/picture.png"], "must be a file in a folder that exists"),
        (["--models={c},{c}", "--input_scaling=0-1"], "has images of"),
        (["--models={d},{d}", "--input_scaling=0-1"], "has 10 classes, the models 7"),
    ],
)
def test_bad_input_is_one_line(arguments, message, saved, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models = {"a": network(0), "b": network(1), "c": network(0, shape=(28, 28, 3)), "d": network(0, 7)}
    paths = dict(zip(models, saved(**models), strict=True))
    assert command(*(argument.format(**paths) for argument in arguments)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.count("\n") == 1
    assert message in output.err


def test_the_command_prints_accuracies_first_and_draws(saved, tmp_path, capsys, monkeypatch):
    paths = saved(a=network(0), b=network(1))
    out = tmp_path / "picture.png"
    small = ["--num_triplets=3", "--resolution=5", "--picture_resolution=6"]
    files = [f"--models={','.join(paths)}", f"--out={out}"]
    score.main(["score", "--dataset=synthetic", "--input_scaling=0-1", *small, *files])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{paths[0]}: test accuracy")
    assert any(line.startswith("warning:") and "at chance level" in line for line in lines)
    assert lines[-2].startswith("reproducibility score 0.")
    value, low, high = (float(lines[-2].split()[i].rstrip(",")) for i in (2, 6, 8))
    assert 0 <= low <= value <= high <= 1
    assert lines[-1] == f"picture: {out}"
    assert out.stat().st_size > 10_000


def test_a_pair_may_take_different_pixels(saved, tmp_path, capsys):
    """The same function of pixels, once with its own scaling from 0 to 255."""
    paths = saved(a=network(0), b=network(0, first=[keras.layers.Rescaling(1 / 255)]))
    small = ["--num_triplets=3", "--resolution=5", "--picture_resolution=6", f"--out={tmp_path / 'out.png'}"]
    asked = ["score", "--dataset=synthetic", f"--models={','.join(paths)}", *small]
    score.main([*asked, "--input_scaling=0-1,0-255"])
    lines = capsys.readouterr().out.splitlines()
    first, second = (line.split("test accuracy ")[1] for line in lines if "test accuracy" in line)
    assert first.replace("pixels of 0-1", "pixels of 0-255") == second
    accuracy, _, predicted = first.partition(" (")
    assert predicted.endswith(f"on pixels of 0-1, {accuracy}")
    (found,) = (line for line in lines if line.startswith("reproducibility score"))
    assert float(found.split()[2].rstrip(",")) > 0.95
    assert not any(line.startswith("note:") for line in lines)


def test_a_flag_that_is_given_decides(saved, tmp_path, capsys):
    """Also against the model's own first layers; a note says that they disagree."""
    paths = saved(a=network(0), b=network(0, first=[keras.layers.Rescaling(1 / 255)]))
    small = ["--num_triplets=3", "--resolution=5", "--picture_resolution=6", f"--out={tmp_path / 'out.png'}"]
    asked = ["score", "--dataset=synthetic", f"--models={','.join(paths)}", *small]
    score.main([*asked, "--input_scaling=0-1"])
    lines = capsys.readouterr().out.splitlines()
    assert sum("on pixels of 0-1," in line for line in lines) == 2
    note = (
        f"note: the first layers of {paths[1]} look made for pixels of 0-255; as --input_scaling says, it was"
    )
    assert f"{note} given 0-1" in lines


@pytest.mark.parametrize(
    "accuracy,num_test,expected",
    [(0.10, 10_000, True), (0.109, 10_000, True), (0.1091, 10_000, False), (0.15, 100, True)],
)
def test_chance_is_three_standard_errors_wide(accuracy, num_test, expected):
    assert score.is_chance(accuracy, 10, num_test) == expected


def test_bad_input_is_found_before_tensorflow_is_imported(monkeypatch, saved, capsys, tmp_path):
    paths = ",".join(saved(a=network(0), b=network(1)))

    def started(*_):
        raise AssertionError("TensorFlow is imported")

    monkeypatch.setattr("common.study.startup.import_quietly", started)
    (tmp_path / "text.keras").write_text("no model")
    for arguments in (
        [f"--models={paths},{paths}"],
        [f"--models={tmp_path},{tmp_path}"],
        [f"--models={tmp_path}/text.keras,{tmp_path}/text.keras"],
        [f"--models={paths}", "--input_scaling=0-2"],
        [f"--models={paths}", "--triplet=30,72,50000"],
        [f"--models={paths}", "--data_dir=nowhere"],
        [f"--models={paths}", "--out=/proc/picture.png"],
        [f"--models={paths}", f"--out={tmp_path}"],
    ):
        assert command(*arguments) == 2
        assert capsys.readouterr().err.count("\n") == 1


def test_missing_data_advise_no_flag_that_is_none(saved, tmp_path, capsys):
    paths = ",".join(saved(a=network(0), b=network(1)))
    arguments = [f"--models={paths}", "--input_scaling=0-1", f"--data_dir={tmp_path}", "--dataset=cifar10"]
    assert command(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "tensorflow_datasets" in error
    assert "--download" not in error


def test_the_program_is_asked_for_models():
    assert score.is_requested(["program", "--models=a,b"])
    assert score.is_requested(["program", "--models", "a,b"])
    assert not score.is_requested(["program", "--network=vit"])
    assert not score.is_requested(["program", "--out_dir", "models", "--figure=7"])
