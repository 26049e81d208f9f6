import dataclasses
import json
import types
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.boundaries import Boundaries
from common.comparison import Options, compare
from common.data import images
from common.data.augmentation import normalize
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.errors import UserError
from common.metrics.plane import draw_released_triplets
from common.models.vit import vit
from launch import compare as program
from launch import compare_data, compare_table
from replications.somepalli_boundaries import triplets

SMALL = [
    "--num_triplets=3",
    "--resolution=5",
    "--picture_resolution=6",
    "--num_margins=0",
    "--num_gradients=0",
]
FEW = Options(
    num_planes=4, resolution=6, picture_resolution=5, num_margins=0, num_gradients=0, batch_size=500
)
layers = keras.layers


def network(seed=0, classes=10, shape=(32, 32, 3), first=(), last=None):
    keras.utils.set_random_seed(seed)
    inputs = x = keras.Input(shape)
    for layer in first:
        x = layer(x)
    x = layers.Conv2D(6, 5, 4)(x)
    x = layers.GlobalAveragePooling2D()(x)
    outputs = layers.Dense(classes, activation=last, name="classes")(x)
    return keras.Model(inputs, outputs)


def linear(kernel, activation=None):
    """A model of vectors whose logits are their product with a matrix."""
    kernel = np.array(kernel, np.float32)
    dense = layers.Dense(kernel.shape[1], activation, use_bias=False)
    model = keras.Sequential([keras.Input(kernel.shape[:1]), dense])
    dense.set_weights([kernel])
    return model


@pytest.fixture(scope="module")
def data():
    return images.load("synthetic", None, 1, 100, 1)


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


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the program: exit status, lines on standard output, text on standard error."""

    def started(*arguments, small=SMALL):
        given = {argument.partition("=")[0] for argument in arguments}
        arguments = [*(a for a in small if a.partition("=")[0] not in given), *arguments]
        if not any(argument.startswith("--out=") for argument in arguments):
            arguments.append(f"--out={tmp_path / 'page.html'}")
        status = 0
        try:
            program.main(["compare", *arguments])
        except SystemExit as stopped:
            status = stopped.code
        output = capsys.readouterr()
        return status, output.out.splitlines(), output.err

    return started


@pytest.fixture
def arrays(tmp_path):
    def save(name="data.npz", **found):
        np.savez(tmp_path / name, **found)
        return f"--data={tmp_path / name}"

    return save


# Four vectors. By the first number against the second, "old" says 0 0 1 1; "new" weighs the second by half
# and says 0 0 0 1. Labels 0 0 1 0: one change, for the worse.
X = np.array([[3.0, 1.0], [2.0, 0.0], [2.0, 3.0], [0.0, 1.0]], np.float32)
Y = np.array([0, 0, 1, 0])
OLD, NEW = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [0.0, 0.5]]


def test_numbers_worked_out_by_hand_and_the_fields_of_the_json_line(saved, run, arrays):
    paths = saved(old=linear(OLD), new=linear(NEW))
    status, lines, error = run(f"--models={','.join(paths)}", arrays(x=X, y=Y), "--json")
    assert (status, error) == (0, "")
    found = json.loads(lines[-1])
    assert found["files"] == paths and found["num_examples"] == 4 and found["num_classes"] == 2
    expected = {
        "churn": 1 / 4,
        "changes_for_the_worse": 1 / 4,
        "changes_for_the_better": 0,
        "accuracy_change": -1 / 4,
    }
    first, second = (1 / (1 + np.exp(X @ np.array(kernel) @ [1, -1])) for kernel in (OLD, NEW))
    expected["prediction_difference"] = np.mean(np.abs(first - second))
    expected["relative_prediction_difference"] = np.mean(np.abs(first - second) / ((first + second) / 2))
    losses = [-np.log(np.where(Y, p, 1 - p)).mean() for p in (first, second)]
    expected["loss_change"] = losses[1] - losses[0]
    for name, value in expected.items():
        assert found[name]["value"] == pytest.approx(value, abs=1e-6), name
        assert found[name]["low"] <= value + 1e-6 and found[name]["high"] >= value - 1e-6, name
        assert (found[name]["n"], found[name]["unit"], found[name]["over_models"]) == (4, "examples", None)
    assert found["reproducibility_score"]["unit"] == "planes"
    old, new = found["models"]
    assert (old["name"], old["accuracy"]["value"], new["accuracy"]["value"]) == ("old.keras", 0.75, 0.5)
    assert new["loss"]["value"] == pytest.approx(losses[1], abs=1e-6)
    assert found["pairs"][0]["models"] == ["old.keras", "new.keras"]
    assert found["pairs"][0]["churn"]["value"] == 0.25
    assert found["most_different"][0] == int(np.argmax(np.abs(first - second)))
    assert found["failed"] == [] and found["means_of_models"] == {}


def test_limits_decide_the_exit_status(saved, run, arrays):
    given = f"--models={','.join(saved(old=linear(OLD), new=linear(NEW)))}", arrays(x=X, y=Y)
    kept = ["--fail_above=churn:0.25,changes_for_the_worse:0.3", "--fail_below=accuracy:0.5"]
    assert run(*given, *kept)[0] == 0
    status, lines, _ = run(*given, "--fail_above=churn:0.24", "--fail_below=accuracy:0.6", "--json")
    assert status == 1
    failed = ["churn: 0.25 is above 0.24", "accuracy of new.keras: 0.5 is below 0.6"]
    assert lines[-3:-1] == [f"failed: {line}" for line in failed]
    assert json.loads(lines[-1])["failed"] == failed
    # What was not measured is not known to be kept.
    assert run(*given, "--fail_above=margin:1")[0] == 1


def test_a_page_is_made_also_where_a_limit_is_not_kept(saved, run, arrays, tmp_path):
    paths = saved(old=linear(OLD), new=linear(NEW))
    out = tmp_path / "one <two>.html"
    run(f"--models={','.join(paths)}", arrays(x=X, y=Y), f"--out={out}", "--fail_above=churn:0.1")
    page = out.read_text("utf-8")
    assert "A limit is not kept" in page and "churn: 0.25 is above 0.1" in page
    assert "new.keras predicts another class than old.keras for 25.0 % of the examples" in page
    # Nothing from elsewhere; vectors have a plane, but no pictures.
    assert page.count("<img") == page.count("src=") == page.count('src="data:image/png;base64,') == 1
    assert "href" not in page and "<script" not in page and "url(" not in page


def test_images_are_shown(saved, run, arrays, tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (30, 12, 12, 3), dtype=np.uint8), rng.integers(0, 4, 30)
    scaled = layers.Rescaling(1 / 255)
    paths = saved(a=network(0, 4, x.shape[1:], [scaled]), b=network(1, 4, x.shape[1:], [scaled]))
    names = np.array(["<cat>", "$0-$10", "cost_$_low_$", "pig"])  # the last two are no formulas
    given = f"--models={','.join(paths)}", arrays(x=x, y=y[:, None], class_names=names)
    assert run(*given, "--triplet=3,5,8")[0] == 0
    page = (tmp_path / "page.html").read_text("utf-8")
    assert page.count("<img") == 2 and "&lt;cat&gt;" in page and "<cat>" not in page


def test_three_models(saved, run, arrays):
    paths = saved(a=linear(OLD), b=linear(NEW), c=linear(OLD))
    given = arrays(x=X, y=Y), "--json"
    status, lines, _ = run(f"--models={','.join(paths)}", *given)
    found = json.loads(lines[-1])
    assert status == 0
    assert [pair["churn"]["value"] for pair in found["pairs"]] == [0.25, 0, 0.25]
    assert found["churn"]["value"] == pytest.approx(1 / 6)
    over = found["churn"]["over_models"]
    assert over["n"] == 3 and 0 <= over["low"] < 1 / 6 < over["high"] <= 1
    assert found["means_of_models"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert (found["means_of_models"]["accuracy"]["n"], found["models"][2]["name"]) == (3, "c.keras")


def test_a_sigmoid_of_one_unit_and_examples_without_labels(saved, run, arrays):
    a, b = [[1.0], [-1.0]], [[1.0], [-0.5]]
    paths = saved(a=linear(a, "sigmoid"), b=linear(b, "sigmoid"))
    status, lines, _ = run(f"--models={','.join(paths)}", arrays(x=X), "--json")
    found = json.loads(lines[-1])
    assert status == 0 and found["num_classes"] == 2 and found["churn"]["value"] == 0.25
    first, second = (1 / (1 + np.exp(-(X @ np.array(k))[:, 0])) for k in (a, b))
    relative = np.mean(np.abs(first - second) / ((first + second) / 2))
    assert found["relative_prediction_difference"]["value"] == pytest.approx(relative, rel=1e-5)
    assert "changes_for_the_worse" not in found
    assert "left out: accuracy, loss and changes for the worse: there are no labels" in lines


def test_what_cannot_be_measured_is_said_and_the_rest_goes_on(saved, run, arrays):
    """Numbers that are looked up have nothing between them; one number an example spans no plane."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((3,), dtype="int32"), layers.Embedding(9, 4), layers.Flatten(), layers.Dense(3)]
    )
    (path,) = saved(a=model)
    x, y = np.arange(30).reshape(10, 3) % 9, np.arange(10) % 3
    status, lines, error = run(f"--models={path},{path}", arrays(x=x, y=y))
    assert (status, error) == (0, "")
    (line,) = (line for line in lines if line.startswith("left out:"))
    assert "planes, margins and Jacobian norms" in line
    (path,) = saved(b=linear([[1.0, -1.0]]))
    status, lines, _ = run(f"--models={path},{path}", arrays(x=X[:, :1], y=Y))
    assert status == 0
    assert any(line.startswith("left out: planes: too few of 3") for line in lines)


def looking_up(shape, offset=0):
    """Says class 1 of what begins with an odd number."""
    inputs = keras.Input(shape, dtype="int64")
    first = keras.layers.Flatten()(inputs)[:, :1] - offset
    table = layers.Embedding(60, 2, weights=np.float32([[1, 0], [0, 1]] * 30))
    return keras.Model(inputs, layers.Flatten()(table(first)))


def test_large_whole_numbers_reach_the_model_as_they_are():
    """Also those that float32 does not hold."""
    x, y = 2**24 + np.array([[[0]], [[1]], [[2]], [[3]]]), np.array([0, 1, 0, 1])
    models = [looking_up((1, 1), offset=2**24) for _ in range(2)]
    found = compare(models, x, y, options=Options(num_planes=0, num_margins=0, num_gradients=0))
    assert found.of_models[0]["accuracy"].value == found.of_models[1]["accuracy"].value == 1


def test_numbers_that_are_looked_up_span_no_plane_whatever_their_shape():
    x = np.random.default_rng(0).integers(25, 35, (30, 6, 2))
    found = compare([looking_up((6, 2)) for _ in range(2)], x, x[:, 0, 0] % 2)
    assert found.of_models[0]["accuracy"].value == 1
    (line,) = found.left_out
    assert line.startswith("planes, margins and Jacobian norms: the examples are whole numbers")


def look_up(x):
    """A model that knows nothing between the examples."""
    place = tf.gather(tf.constant([[1.0, 0.0], [0.0, 1.0]]), tf.cast(tf.round(x[:, 0]), tf.int32))
    return place + x[:, :2]


def test_a_limit_is_not_kept_where_some_pairs_were_not_measured():
    x = np.float32([[0, 0], [1, 0], [0, 1], [1, 1]])
    options = Options(num_planes=4, num_margins=0, num_gradients=0)
    found = compare([lambda x: 2 * x[:, :2], lambda x: 3 * x[:, :2], look_up], x, options=options)
    limit = program.Limit("reproducibility_score", 0.9, above=False)
    words = "was not measured of 2 of 3 pairs, the limit 0.9 is not known to be kept"
    assert limit.broken(found) == [f"reproducibility_score: {words}"]
    assert "planes, 1 of 3 pairs" in compare_table.text(found, "four points")


def test_an_error_of_a_program_is_said_without_the_places_that_it_passed():
    """At the points of planes, which lie beyond the examples, a table has no line."""
    x = np.float32([[0, 0], [1, 0], [0, 1], [1, 1]])
    found = compare([look_up, look_up], x, options=Options(num_planes=4, num_margins=0, num_gradients=0))
    lines = [line for line in found.left_out if line.startswith("planes of model 1")]
    assert lines and "is not in [0, 2)" in lines[0] and "File" not in lines[0]


@pytest.mark.parametrize(
    "values,message",
    [
        ({"x": X}, None),
        ({"y": Y}, "has no array x"),
        ({"x": X[0]}, "x must be numbers of shape (examples, ...)"),
        ({"x": X.astype(str)}, "x must be numbers"),
        ({"x": np.full_like(X, np.nan)}, "not finite"),
        ({"x": X, "y": Y[:3]}, "4 examples in x, 3 labels in y"),
        ({"x": X, "y": Y - 1}, "y holds -1"),
        ({"x": X, "y": Y + 0.5}, "must be whole numbers"),
        ({"x": X, "y": Y.astype(float)}, None),
        ({"x": X, "y": np.eye(4)}, "y.argmax(axis=1)"),
        ({"x": X, "y": Y, "class_names": ["a"]}, "class_names has 1 names"),
        ({"x": X, "y": Y, "class_names": "a"}, "class_names has 1 names"),
    ],
)
def test_files_of_arrays(values, message, tmp_path):
    np.savez(tmp_path / "a.npz", **values)
    if message is None:
        assert compare_data.read_file(str(tmp_path / "a.npz"), None, 0, False).x.shape == X.shape
        return
    with pytest.raises(UserError) as refused:
        compare_data.read_file(str(tmp_path / "a.npz"), None, 0, False)
    assert message in str(refused.value)


def test_a_flipped_bit_of_an_archive_is_one_line(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(50, 4)))
    content = path.read_bytes()
    refused = 0
    for place in range(0, len(content), 7):
        path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
        try:
            compare_data.read_file(str(path), None, 0, False)
        except UserError:
            refused += 1
    assert refused > 0.8 * len(range(0, len(content), 7))


def test_some_examples_keep_their_numbers(tmp_path):
    np.savez(tmp_path / "a.npz", x=np.arange(200.0).reshape(100, 2), y=np.arange(100))
    found = compare_data.read_file(str(tmp_path / "a.npz"), 7, 3, False)
    assert len(found.x) == 7 and np.all(found.numbers == found.y) and np.all(found.x[:, 0] == 2 * found.y)
    assert found.places(found.numbers[[4, 0]]) == (4, 0)


@pytest.mark.parametrize(
    "x,expected",
    [
        (np.full((4, 9, 9, 1), 7, np.uint8), 7),
        (np.full((4, 9, 9), 0.2), 51),
        # Black and white are those of all examples.
        (np.arange(4.0).reshape(4, 1, 1, 1) * np.ones((4, 9, 9, 3)), 170),
        (np.zeros((4, 9, 9, 2)), None),
        (np.zeros((4, 5)), None),
    ],
)
def test_pictures_of_some_examples(x, expected):
    found = compare_data.Data("a", "a", x, None, np.arange(4)).pictures(np.array([2]))
    if expected is None:
        assert found is None
    else:
        assert found.shape == (1, 9, 9, 3) and found.dtype == np.uint8 and np.all(found == expected)


def prepared(data, models, scalings):
    found = compare_data.load_images("synthetic", None, None, 1)
    return found, compare_data.prepare(models, ["a"] * len(models), found, scalings)


def test_a_model_agrees_with_itself_and_accuracies_are_counted(data):
    models = [network(0), network(0)]
    found, ready = prepared(data, models, ["0-1"] * 2)
    comparison = compare(ready.networks, ready.x, found.y, options=FEW)
    assert comparison.agreement["reproducibility_score"].value == 1
    assert comparison.agreement["churn"].value == comparison.agreement["prediction_difference"].value == 0
    expected = np.mean(models[0].predict(data.test.images, verbose=0).argmax(axis=1) == data.test.labels)
    assert comparison.of_models[1]["accuracy"].value == pytest.approx(expected)
    assert comparison.picture.classes.shape == (2, 5, 5)
    assert comparison.most_different().size == 0


def test_no_call_of_a_model_has_more_examples_than_the_option_says():
    """Predictions, planes, picture, margins, gradients, and the calls that see what a model gives."""
    sizes = []

    def model(x):
        tf.py_function(lambda number: sizes.append(int(number)), [tf.shape(x)[0]], [])
        return x

    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    options = Options(num_planes=3, resolution=5, picture_resolution=6, num_margins=4, batch_size=6)
    found = compare([model, model], x, np.arange(40) % 3, options=options)
    assert max(sizes) == 6 and found.left_out == ()
    assert found.picture and {"fragmentation", "margin", "jacobian_norm"} <= set(found.of_models[0])


def test_the_plane_that_is_drawn_is_the_one_in_the_middle_of_the_agreement():
    x = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    found = Boundaries([lambda x: x, lambda x: -x], x, None, ["a", "b"], FEW, None)
    found.agreement = {(0, 1): np.array([0.9, 0.1, 0.5])}
    found._draw_plane(np.arange(9).reshape(3, 3), (0, 1))
    assert found.picture.positions.tolist() == [6, 7, 8]


@pytest.mark.parametrize("options", [{"num_planes": 0}, {"triplets": np.array([[0, 0, 1], [1, 1, 2]])}])
def test_a_plane_that_is_asked_for_is_drawn_without_planes_for_scores(options):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    none = Options(num_margins=0, num_gradients=0, picture_resolution=6, **options)
    found = compare([lambda x: x, lambda x: -x], x, np.arange(40) % 3, options=none)
    assert found.picture is None and "fragmentation" not in found.of_models[0]
    asked = dataclasses.replace(none, picture=(4, 5, 6))
    found = compare([lambda x: x, lambda x: -x], x, np.arange(40) % 3, options=asked)
    assert found.picture.positions.tolist() == [4, 5, 6] and found.picture.classes.shape == (2, 6, 6)


@pytest.mark.parametrize(
    "options,names,message",
    [
        ({"num_planes": 1}, None, "0 or at least 2 .*Received: 1$"),
        ({"triplets": np.array([[0, 1, 2]])}, None, "0 or at least 2 .*Received: 1$"),
        ({"batch_size": 0}, None, "`batch_size` must be a positive integer"),
        ({"picture": (0, 1, 4)}, None, "`picture` must be positions .* from 0 to 3"),
        ({"picture": (0, 1, -1)}, None, "`picture` must be positions"),
        ({"triplets": np.array([[0, 1, 2], [0, 1, 4]])}, None, "`triplets` must be positions"),
        ({"triplets": np.zeros((2, 3))}, None, "`triplets` must be positions"),
        ({"triplets": np.zeros((2, 2), int)}, None, "`triplets` must be positions"),
        ({}, ["a", "a"], "`names` must differ"),
    ],
)
def test_what_cannot_be_compared_is_refused_before_a_model_is_called(options, names, message):
    def model(x):
        raise AssertionError("called")

    with pytest.raises(ValueError, match=message):
        compare([model, model], X, Y, names, Options(**options))


@pytest.mark.parametrize(
    "scaling,layer",
    [
        ("0-255", (1 / 255, 0.0)),
        ("standardized", (CIFAR10_STD, CIFAR10_MEAN)),
    ],
)
def test_the_same_function_of_other_pixels_has_the_same_boundaries(scaling, layer, data):
    plain, scaled = network(0), network(0, first=[layers.Rescaling(*layer)])
    found, ready = prepared(data, [plain, scaled], ["0-1", scaling])
    comparison = compare(ready.networks, ready.x, found.y, options=FEW)
    # But for points that rounding moves across a boundary.
    assert comparison.agreement["reproducibility_score"].value > 0.95
    first, second = (m["accuracy"].value for m in comparison.of_models)
    assert first == pytest.approx(second, abs=0.02)


def test_the_score_is_of_the_released_triplets_where_asked(data, saved, run, monkeypatch):
    from common import boundaries

    drawn, through = [], boundaries.plane_through

    def recording(triplet, *arguments):
        drawn.append(triplet)
        return through(triplet, *arguments)

    monkeypatch.setattr(boundaries, "plane_through", recording)
    for module in (triplets, compare_data, program):
        monkeypatch.setattr(module, "NUM_TEST", 100)  # those of `data`
    paths = saved(a=network(0), b=network(1))
    asked = f"--models={','.join(paths)}", "--data=synthetic", "--input_scaling=0-1", "--triplets=released"
    assert run(*asked)[0] == 0
    expected = data.test.images[draw_released_triplets(data.test.labels, 3, 1)]
    np.testing.assert_allclose(drawn[:3], normalize(expected, CIFAR10_MEAN, CIFAR10_STD), atol=1e-5)


def test_our_layers_are_loaded(saved):
    (model, _) = program.load_models(saved(a=vit(8, 1, 2, 4, 8), b=vit(8, 1, 2, 4, 8)), images=True)
    assert model.output_shape == (None, 10)


@pytest.mark.parametrize(
    "second,message",
    [
        (lambda: network(0, classes=7), "have different classes"),
        (lambda: network(0, shape=(28, 28, 3)), "take different inputs"),
        (lambda: linear(np.eye(5, 10)), "not images to classes"),
    ],
)
def test_models_that_cannot_be_compared(second, message, saved):
    with pytest.raises(UserError, match=message):
        program.load_models(saved(a=network(0), b=second()), images=True)


def test_a_model_of_any_size_is_compared_with_one_of_32(saved):
    def average(side):
        return keras.Sequential(
            [keras.Input((side, side, 3)), layers.GlobalAveragePooling2D(), layers.Dense(10)]
        )

    found = program.load_models(saved(a=average(None), b=average(32)), images=True)
    assert [model.input_shape[1:] for model in found] == [(None, None, 3), (32, 32, 3)]


def test_the_folder_of_ones_own_is_found(saved, run, arrays, tmp_path, monkeypatch):
    saved(old=linear(OLD), new=linear(NEW))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("--models=~/old.keras,~/new.keras", arrays(x=X, y=Y))[0] == 0


def test_the_batch_that_a_model_was_first_called_on_does_not_matter(saved):
    models = {}
    for name, size in (("five", 5), ("seven", 7)):
        models[name] = keras.Sequential([layers.Dense(3)])
        models[name](np.ones((size, 4), np.float32))
    found = program.load_models(saved(**models), images=False)
    assert [model.input_shape for model in found] == [(5, 4), (7, 4)]


def test_files_that_are_no_models(tmp_path, saved):
    (good,) = saved(a=network(0))
    text, archive = tmp_path / "text.keras", tmp_path / "archive.keras"
    text.write_text("no model")
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme", "no model")
    for bad in (text, archive):
        with pytest.raises(UserError, match=f"{bad.name} is not a Keras model"):
            program.load_models([good, str(bad)], images=True)


SCALED = "--input_scaling=0-1"


@pytest.mark.parametrize(
    "arguments,message",
    [
        (
            ["--models={a},{b}"],
            "does not begin with layers that say the pixels that it takes; say 0-255, 0-1",
        ),
        (["--models={c},{c}", SCALED], "has images of"),
        (["--models={d},{d}", SCALED], "has 10 classes, the models 7"),
        (["--models={a},{b}", "--input_scaling=0-1,0-1,0-1"], "one of them for each of 2 models"),
        (["--models={a},{b}", SCALED, "--triplet=0,1,2"], "is not among the 100 examples"),
        (["--models={a},{b}", SCALED, "--triplets=released"], "drawn from all 10,000 test images"),
        (["--models={a},,{b}"], "--models={a},,{b}: has an empty place"),
        (["--models={a},{b}", "--fail_above=churn:0.5,"], "--fail_above=churn:0.5,: has an empty place"),
        (
            ["--models={a},{b}", "--fail_above=churn:1", "--fail_above=loss:1"],
            "--fail_above: is given 2 times",
        ),
        (["--models={a},{b}", "--nojson=1"], "--nojson=1 does not take an argument"),
        (["--models={a},{b}", SCALED, "--data_dir=."], "--data_dir: synthetic is not read from files"),
        (["--models={a},{b}", "--num_triplets=0", "--resolution=9"], "--resolution: has no effect with"),
    ],
)
def test_what_loading_finds_is_one_line(arguments, message, saved, run, tmp_path):
    models = {"a": network(0), "b": network(1), "c": network(0, shape=(28, 28, 3)), "d": network(0, 7)}
    paths = dict(zip(models, saved(**models), strict=True))
    before = sorted(tmp_path.iterdir())
    arguments = [argument.format(**paths) for argument in arguments]
    status, lines, error = run("--data=synthetic", *arguments)
    assert (status, lines, error.count("\n")) == (2, [], 1)
    assert message.format(**paths) in error
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "values,message",
    [
        ({"x": np.ones((4, 3), np.float32), "y": Y}, "has examples of (3,), the models take (2,)"),
        ({"x": X, "y": Y + 1}, "y holds 2; the classes of the models are 0 to 1"),
        ({"x": X, "class_names": ["a"]}, "class_names has 1 names, the models 2 classes"),
    ],
)
def test_arrays_that_do_not_fit_are_one_line(values, message, saved, run, arrays):
    (path,) = saved(a=linear(OLD))
    status, lines, error = run(f"--models={path},{path}", arrays(**values))
    assert (status, lines, error.count("\n")) == (2, [], 1)
    assert message in error


def test_chance_level_is_warned_of(saved, run):
    paths = saved(a=network(0), b=network(1))
    status, lines, _ = run(f"--models={','.join(paths)}", "--data=synthetic", SCALED)
    assert status == 0
    assert any(line.startswith("warning:") and "at chance level" in line for line in lines)


def test_a_pair_may_take_different_pixels(saved, run):
    """The same function of pixels, once with its own scaling from 0 to 255."""
    paths = saved(a=network(0), b=network(0, first=[layers.Rescaling(1 / 255)]))
    asked = f"--models={','.join(paths)}", "--data=synthetic", "--json"
    status, lines, _ = run(*asked, "--input_scaling=0-1,0-255")
    assert status == 0
    first, second = (line.split("accuracy as")[1] for line in lines if "accuracy as" in line)
    assert first == second
    found = json.loads(lines[-1])
    percent = f"{100 * found['models'][0]['accuracy']['value']:.2f} %"
    assert first.endswith(f"counts it {percent}")
    assert found["reproducibility_score"]["value"] > 0.95
    assert not any(line.startswith("note:") for line in lines)


def test_a_flag_that_is_given_decides(saved, run):
    """Also against the model's own first layers; a note says that they disagree."""
    paths = saved(a=network(0), b=network(0, first=[layers.Rescaling(1 / 255)]))
    _, lines, _ = run(f"--models={','.join(paths)}", "--data=synthetic", SCALED)
    assert sum(": pixels of 0-1; accuracy" in line for line in lines) == 2
    note = (
        f"note: the first layers of {paths[1]} look made for pixels of 0-255; as --input_scaling says, it was"
    )
    assert f"{note} given 0-1" in lines


@pytest.mark.parametrize("stored", [np.uint8, np.float32])
def test_images_of_a_file_are_scaled_where_the_flag_is_given(stored, saved, run, arrays):
    """Without it the models get them as they are; a note says where first layers look made for others."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (20, 12, 12, 3), dtype=np.uint8), rng.integers(0, 3, 20)
    x = x if stored == np.uint8 else x.astype(np.float32) / 255
    shape = x.shape[1:]
    (a, b) = saved(a=network(0, 3, shape), b=network(0, 3, shape, [layers.Rescaling(1 / 255)]))
    scaled = run(f"--models={a},{b}", arrays(x=x, y=y), "--input_scaling=0-1,0-255", "--json")[1]
    assert json.loads(scaled[-1])["prediction_difference"]["value"] < 1e-4
    plain = run(f"--models={a},{b}", arrays(x=x, y=y), "--json")[1]
    assert json.loads(plain[-1])["prediction_difference"]["value"] > 1e-3
    noted = any(
        line.startswith("note:") and "made for pixels of 0-255; x reaches 1" in line for line in plain
    )
    assert noted == (stored == np.float32)


def test_missing_data_advise_no_flag_that_is_none(saved, run, tmp_path):
    paths = ",".join(saved(a=network(0), b=network(1)))
    status, _, error = run(f"--models={paths}", SCALED, f"--data_dir={tmp_path}", "--data=cifar10")
    assert (status, error.count("\n")) == (2, 1)
    assert "tensorflow_datasets" in error
    assert "--download" not in error


def test_models_of_one_name_are_told_apart():
    assert program._names(["a/m.keras", "b/n.keras"]) == ["m.keras", "n.keras"]
    assert program._names(["a/m.keras", "b/m.keras"]) == ["a/m.keras", "b/m.keras"]
    assert program._names(["m.keras", "m.keras"]) == ["m.keras (1)", "m.keras (2)"]


def test_bad_input_is_found_before_tensorflow_is_imported(monkeypatch, saved, run, arrays):
    paths = ",".join(saved(a=linear(OLD), b=linear(NEW)))

    def started(*_):
        raise AssertionError("TensorFlow is imported")

    monkeypatch.setattr(program, "import_quietly", started)
    for arguments in (
        [arrays(x=X, y=Y), "--out=/proc/page.html"],
        [arrays(x=X, y=Y), "--fail_above=churn"],
        [arrays(x=X, y=Y[:2])],
        ["--data=synthetic", "--triplet=30,72,50000"],
    ):
        status, lines, error = run(f"--models={paths}", *arguments)
        assert (status, lines, error.count("\n")) == (2, [], 1)


def test_colours_of_more_classes_than_there_are_colours():
    from figures.comparison import figure_plane

    rng = np.random.default_rng(0)
    plane = types.SimpleNamespace(
        axis_u=np.linspace(0, 1, 9),
        axis_v=np.linspace(0, 1, 9),
        coordinates=np.array([[0, 0], [1, 0], [0.5, 1]]),
    )
    classes = np.minimum(rng.integers(0, 40, (2, 9, 9)), 30)
    picture = types.SimpleNamespace(plane=plane, classes=classes, confidences=np.ones((2, 9, 9)))
    figure = figure_plane(picture, ["a", "b"], [1, 2, 3], np.array([30, 2, 35]), 40)
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"class 30", "class 2", "class 35", "other classes", "an example"} <= set(names)
    assert len(names) == 11
