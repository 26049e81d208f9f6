import types
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data import images
from common.data.augmentation import CIFAR10_MEAN, CIFAR10_STD, normalize
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
    assert found.accuracies == (expected, expected)
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


def test_probabilities_are_taken_for_what_they_are():
    x = tf.constant(np.random.default_rng(0).random((3, 32, 32, 3), dtype=np.float32))
    inside = network(0, last="softmax")
    operation = keras.Model(inside.inputs, keras.ops.softmax(network(0)(inside.inputs[0])))
    for model in (inside, keras.Sequential([keras.layers.Rescaling(1.0), inside]), operation):
        logits = score.on_standardized(model, "standardized", CIFAR10_MEAN, CIFAR10_STD, x)(x)
        np.testing.assert_allclose(tf.nn.softmax(logits), model(x), rtol=1e-5)
    plain = network(0)
    pixels = normalize(x, CIFAR10_MEAN, CIFAR10_STD)
    logits = score.on_standardized(plain, "0-255", CIFAR10_MEAN, CIFAR10_STD, pixels)(pixels)
    np.testing.assert_allclose(logits, plain(255 * x), rtol=1e-3)


def test_a_layer_that_scales_says_what_it_takes():
    assert score.scaling_of(network()) is None
    assert score.scaling_of(network(first=[keras.layers.Rescaling(1 / 127.5, -1)])) == "0-255"
    assert score.scaling_of(network(first=[keras.layers.Rescaling(2.0, -1)])) == "0-1"
    layer = keras.layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3)
    assert score.scaling_of(network(first=[layer])) == "0-255"
    layer = keras.layers.Normalization(mean=[0.5] * 3, variance=[0.05] * 3)
    assert score.scaling_of(network(first=[layer])) == "0-1"


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
        (["--models={a},{b}"], "holds no layer that scales its inputs; say 0-255, 0-1 or standardized"),
        (["--models={a},missing.keras"], "no file missing.keras"),
        (["--models={a}"], "must be two files"),
        (["--models={a},{b}", "--triplet=30,30,42"], "must be three different images"),
        (["--models={a},{b}", "--triplet=30,72"], "must be three image numbers"),
        (["--models={a},{b}", "--triplet=30,72,60000", "--input_scaling=0-1"], "image 60000 is not among"),
        (["--models={a},{b}", "--input_scaling=0-2"], "input_scaling"),
        (["--models={a},{b}", "--triplets=theirs"], "triplets=theirs"),
        (["--models={a},{b}", "--out=nowhere/picture.png"], "must be a .png or .pdf file in a folder"),
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
    assert "95 % interval" in lines[-2]
    assert lines[-1] == f"picture: {out}"
    assert out.stat().st_size > 10_000


def test_the_flag_is_for_models_without_a_layer_that_scales(saved, tmp_path, capsys):
    """A mixed pair: the same function of pixels, once with its own scaling from 0 to 255."""
    paths = saved(a=network(0), b=network(0, first=[keras.layers.Rescaling(1 / 255)]))
    small = ["--num_triplets=3", "--resolution=5", "--picture_resolution=6", f"--out={tmp_path / 'out.png'}"]
    score.main(["score", "--dataset=synthetic", "--input_scaling=0-1", f"--models={','.join(paths)}", *small])
    lines = capsys.readouterr().out.splitlines()
    assert f"note: {paths[1]} scales its inputs itself, from 0-255; --input_scaling is not for it" in lines
    first, second = (line.split("test accuracy ")[1] for line in lines if "test accuracy" in line)
    assert first == second
    (found,) = (line for line in lines if line.startswith("reproducibility score"))
    assert float(found.split()[2].rstrip(",")) > 0.95


@pytest.mark.parametrize(
    "accuracy,num_test,expected",
    [(0.10, 10_000, True), (0.109, 10_000, True), (0.1091, 10_000, False), (0.15, 100, True)],
)
def test_chance_is_three_standard_errors_wide(accuracy, num_test, expected):
    assert score.is_chance(accuracy, 10, num_test) == expected


def test_the_program_is_asked_for_models():
    assert score.is_requested(["program", "--models=a,b"])
    assert score.is_requested(["program", "--models", "a,b"])
    assert not score.is_requested(["program", "--network=vit"])
    assert not score.is_requested(["program", "--out_dir", "models", "--figure=7"])
