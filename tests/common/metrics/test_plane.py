import random
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from common.metrics import plane as plane_module
from common.metrics.classifier import Classifier
from common.metrics.plane import (
    draw_released_triplets,
    draw_same_class_triplets,
    draw_triplets,
    plane_through,
    predict_planes,
)


def random_images(seed, shape=(4, 4, 3), number=3):
    return np.random.default_rng(seed).normal(size=(number, *shape))


def linear_model(num_classes=4, size=48, seed=0):
    """Returns a linear classifier and its kernel."""
    kernel = np.random.default_rng(seed).normal(size=(size, num_classes))
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(num_classes)]
    )
    model.set_weights([kernel, np.zeros(num_classes)])
    return model, kernel


def released_grid(images, resolution, overhang):
    """The inputs of the released code: its bounds, its order, in a loop over points."""
    x1, x2, x3 = (image.ravel() for image in images)
    a, b = x2 - x1, x3 - x1
    length = np.sqrt(np.dot(a, a))
    a = a / length
    p = np.dot(a, b)
    orthogonal = b - p * a
    orthogonal = orthogonal / np.sqrt(np.dot(orthogonal, orthogonal))
    q = np.dot(b, orthogonal)
    bounds = [(min(0, length, p), max(0, length, p)), (min(0, 0, q), max(0, 0, q))]
    values = [
        np.linspace(low - overhang * (high - low), high + overhang * (high - low), resolution)
        for low, high in bounds
    ]
    points = [x1 + c1 * a + c2 * orthogonal for c1 in values[0] for c2 in values[1]]
    return np.array(points).reshape(-1, *images.shape[1:])


def test_a_plane_by_hand():
    # x1 at the origin, x2 at distance 5, x3 at 3 along u and 4 along v.
    images = np.array([[1.0, 2.0, 0.0], [6.0, 2.0, 0.0], [4.0, 2.0, 4.0]])
    plane = plane_through(images, resolution=4, overhang=0.5)
    np.testing.assert_array_equal(plane.base, [1, 2, 0])
    np.testing.assert_array_equal(plane.u, [1, 0, 0])
    np.testing.assert_array_equal(plane.v, [0, 0, 1])
    np.testing.assert_array_equal(plane.coordinates, [[0, 0], [5, 0], [3, 4]])
    np.testing.assert_allclose(plane.axis_u, [-2.5, 2.5 / 3, 12.5 / 3, 7.5], rtol=1e-14)
    np.testing.assert_allclose(plane.axis_v, [-2, 2 / 3, 10 / 3, 6], rtol=1e-14)
    assert (plane.resolution, plane.num_points) == (4, 16)
    np.testing.assert_allclose(plane.points()[1], [-1.5, 2, 2 / 3], rtol=1e-14)
    np.testing.assert_allclose(plane.points()[4], [1 + 2.5 / 3, 2, -2], rtol=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(["float32", "float64"]))
def test_the_images_lie_at_their_coordinates(seed, dtype):
    images = random_images(seed).astype(dtype)
    plane = plane_through(images, resolution=5, overhang=0.1)
    tolerance = {"float32": 1e-5, "float64": 1e-12}[dtype]
    assert {plane.base.dtype, plane.u.dtype, plane.v.dtype} == {np.dtype(dtype)}
    u, v = plane.u.ravel(), plane.v.ravel()
    np.testing.assert_allclose([u @ u, v @ v, u @ v], [1, 1, 0], atol=tolerance)
    for image, (c1, c2) in zip(images, plane.coordinates, strict=True):
        np.testing.assert_allclose(plane.base + c1 * plane.u + c2 * plane.v, image, atol=tolerance)
        assert plane.axis_u[0] < c1 < plane.axis_u[-1]
        assert plane.axis_v[0] < c2 < plane.axis_v[-1]
    assert plane.coordinates[2, 1] > 0


@pytest.mark.parametrize("seed", range(4))
def test_the_points_are_those_of_the_released_code(seed):
    images = random_images(seed)
    if seed % 2:
        images[2] = images[0] - (images[1] - images[0]) + 0.3 * images[2]  # an obtuse angle at x1
    plane = plane_through(images, resolution=7, overhang=0.1)
    assert (plane.coordinates[2, 0] < 0) == bool(seed % 2)
    np.testing.assert_allclose(plane.points(), released_grid(images, 7, 0.1), atol=1e-12)
    np.testing.assert_array_equal(plane.points(5, 20), plane.points()[5:20])


def test_an_obtuse_angle_widens_the_released_window_only():
    # |a| = 2, p = -1, q = 3.
    images = np.array([[0.0, 0.0], [2.0, 0.0], [-1.0, 3.0]])
    code, paper = (plane_through(images, 3, 0.1, window) for window in ("code", "paper"))
    np.testing.assert_allclose(code.axis_u, [-1.3, 0.5, 2.3])
    np.testing.assert_allclose(paper.axis_u, [-0.2, 1.0, 2.2])
    np.testing.assert_allclose(code.axis_v, [-0.3, 1.5, 3.3])
    np.testing.assert_array_equal(code.axis_v, paper.axis_v)


@pytest.mark.parametrize("p", [0.0, 0.5, 2.0, 3.5])
def test_the_windows_agree_for_other_angles(p):
    images = np.array([[0.0, 0.0], [2.0, 0.0], [p, 3.0]])
    code, paper = (plane_through(images, 6, 0.1, window) for window in ("code", "paper"))
    np.testing.assert_allclose(code.axis_u, paper.axis_u, atol=1e-14)
    # The paper's formula: alpha * max(|v1|, p) with alpha from -0.1 to 1.1.
    np.testing.assert_allclose(paper.axis_u, np.linspace(-0.1, 1.1, 6) * max(2.0, p), atol=1e-14)


def test_integer_images_give_float32_planes():
    plane = plane_through(np.array([[0, 0], [2, 0], [1, 1]], "uint8"), 3, 0.5)
    assert plane.points().dtype == np.float32
    np.testing.assert_array_equal(plane.axis_u, [-1, 1, 3])


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([[0.0, 1.0], [0.0, 1.0], [1.0, 0.0]], "three different images.*two equal ones$"),
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], "two equal ones$"),
        ([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], "two equal ones$"),
        ([[0.0, 0.1], [0.1, 0.2], [0.2, 0.3]], "must not lie on one line"),
        ([[0.0, 0.0], [1.0, 1.0]], r"three arrays.*Received: shape \(2, 2\)$"),
        ([[0.0, 0.0], [1.0, np.nan], [1.0, 0.0]], "finite numbers"),
    ],
)
def test_images_without_a_plane(images, message):
    with pytest.raises(ValueError, match=message):
        plane_through(np.array(images, "float32"), 3, 0.1)


def test_points_are_made_once_for_all_models_a_batch_at_a_time(monkeypatch):
    made, inputs = [], plane_module._inputs

    def counting(base, u, v, grid):
        made.append(len(grid))
        return inputs(base, u, v, grid)

    monkeypatch.setattr(plane_module, "_inputs", counting)
    planes = [plane_through(random_images(seed).astype("float32"), 7, 0.1) for seed in range(2)]
    predict_planes([linear_model(seed=seed)[0] for seed in range(3)], planes, batch_size=20)
    # 49 points of each plane in three batches of one size.
    assert made == [17] * 6


_PEAK = """
import keras
import numpy as np
from common.metrics.plane import plane_through, predict_planes
from launch.benchmark import peak_memory

rng = np.random.default_rng(0)
layers = keras.layers
models = [
    keras.Sequential([keras.Input((32, 32, 3)), layers.Conv2D(16, 5, 4), layers.Flatten(), layers.Dense(10)])
    for _ in range(3)
]
planes = [plane_through(rng.random((3, 32, 32, 3), np.float32), 50, 0.1) for _ in range(500)]
assert predict_planes(models, planes).shape == (3, 500, 50, 50)
print(peak_memory())
"""


@pytest.mark.slow
def test_five_hundred_planes_and_three_models_need_less_than_two_gibibytes():
    """Their points alone are 15 GB."""
    done = subprocess.run([sys.executable, "-c", _PEAK], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 2


@pytest.mark.parametrize("arguments", [(1, 0.1), (3, -0.1), (3, np.nan), (3, 0.1, "both")])
def test_invalid_grids(arguments):
    with pytest.raises(ValueError, match=r"`resolution` must be.*Received: resolution="):
        plane_through([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]], *arguments)


def test_triplets_of_distinct_classes_are_uniform():
    labels = np.array([0, 0, 0, 1, 1, 2])
    triplets = draw_triplets(labels, 30_000, np.random.default_rng(0))
    assert triplets.shape == (30_000, 3)
    assert np.all(np.sort(labels[triplets], axis=1) == [0, 1, 2])
    # The first image is uniform over images; the second, after one of class 0, over the three of 1 and 2.
    first = np.bincount(triplets[:, 0], minlength=6) / 30_000
    np.testing.assert_allclose(first, 1 / 6, atol=0.015)
    after_zero = triplets[labels[triplets[:, 0]] == 0, 1]
    np.testing.assert_allclose(
        np.bincount(after_zero) / len(after_zero), [0, 0, 0, 1 / 3, 1 / 3, 1 / 3], atol=0.02
    )


def test_triplets_without_a_class_rule_repeat_no_image():
    triplets = draw_triplets([0, 0, 0, 1], 4_000, np.random.default_rng(0), distinct_classes=False)
    assert np.all(np.diff(np.sort(triplets, axis=1), axis=1) > 0)
    # 24 ordered triplets, all equally likely: of one class in a quarter of the cases.
    _, counts = np.unique(triplets, axis=0, return_counts=True)
    assert len(counts) == 24
    np.testing.assert_allclose(counts / 4_000, 1 / 24, atol=0.015)


def test_triplets_are_the_same_for_the_same_generator():
    labels = np.arange(40) % 10
    drawn = [draw_triplets(labels, 20, np.random.default_rng(5)) for _ in range(2)]
    np.testing.assert_array_equal(*drawn)


def test_released_triplets_are_those_of_the_script():
    """The script's own way: it seeds Python's generator anew for each triplet, its number added."""
    labels = np.random.default_rng(0).integers(
        0, 4, 10_000
    )  # so few classes that many images are passed over
    state, expected, num_passed = random.getstate(), [], 0
    for number in range(40):
        random.seed(7 + number)
        images, classes = [], []
        while len(images) < 3:
            image = random.randint(0, 9999)
            if labels[image] in classes:
                num_passed += 1
                continue
            images.append(image)
            classes.append(labels[image])
        expected.append(images)
    random.setstate(state)
    assert num_passed > 20
    np.testing.assert_array_equal(draw_released_triplets(labels, 40, 7), expected)


def test_released_triplets_pass_over_a_class_that_is_there():
    # Python's generator, seeded with 1, gives 2201, 9325, 1033, 4179.
    labels = np.arange(10_000)
    np.testing.assert_array_equal(draw_released_triplets(labels, 1, 1), [[2201, 9325, 1033]])
    labels[9325] = labels[2201]
    np.testing.assert_array_equal(draw_released_triplets(labels, 1, 1), [[2201, 1033, 4179]])


def test_released_triplets_need_three_classes():
    with pytest.raises(ValueError, match=r"at least 3 classes. Received: 2 classes$"):
        draw_released_triplets([0, 1, 1, 0], 1, 1)


def test_triplets_of_one_class():
    labels = np.array([3, 7, 3, 7, 3, 7, 3, 7, 7])
    eligible = np.array([1, 1, 1, 1, 1, 0, 0, 1, 1], bool)
    triplets = draw_same_class_triplets(labels, 50, np.random.default_rng(0), eligible)
    np.testing.assert_array_equal(labels[triplets], np.repeat([[3] * 3, [7] * 3], 50, axis=0))
    assert eligible[triplets].all()
    assert set(triplets[:50].ravel()) == {0, 2, 4}
    assert set(triplets[50:].ravel()) == {1, 3, 7, 8}
    assert np.all(np.diff(np.sort(triplets, axis=1), axis=1) > 0)


def test_too_few_images_or_classes():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"at least 3 classes. Received: 2 classes$"):
        draw_triplets([0, 0, 1, 1], 1, rng)
    with pytest.raises(ValueError, match=r"at least 3 images. Received: 2 images$"):
        draw_triplets([0, 1], 1, rng, distinct_classes=False)
    with pytest.raises(ValueError, match=r"Received: 2 of class 1$"):
        draw_same_class_triplets([0, 0, 0, 1, 1, 1], 1, rng, np.array([1, 1, 1, 1, 1, 0], bool))


def test_predictions_are_those_of_the_points():
    models, kernels = zip(*(linear_model(seed=seed) for seed in range(2)), strict=True)
    planes = [plane_through(random_images(seed), 6, 0.1) for seed in range(3)]
    labels, confidences = predict_planes(models, planes, batch_size=10, confidences=True)
    assert labels.shape == confidences.shape == (2, 3, 6, 6)
    assert labels.dtype == np.uint8 and confidences.dtype == np.float32
    for model, kernel in enumerate(kernels):
        for index, plane in enumerate(planes):
            logits = plane.points().reshape(36, -1) @ kernel
            np.testing.assert_array_equal(labels[model, index].ravel(), logits.argmax(axis=1))
            odds = np.exp(logits)
            expected = odds.max(axis=1) / odds.sum(axis=1)
            np.testing.assert_allclose(confidences[model, index].ravel(), expected, rtol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 7, 36, 100])
def test_batches_do_not_change_the_labels(batch_size):
    model, _ = linear_model()
    planes = [plane_through(random_images(seed), 6, 0.1) for seed in range(2)]
    np.testing.assert_array_equal(
        predict_planes([model], planes, batch_size), predict_planes([model], planes, 12)
    )


def test_a_network_is_traced_once_and_sees_one_batch_shape():
    shapes = []

    def model(x):
        shapes.append(x.shape)
        return tf.reshape(x, (-1, 48))[:, :3]

    classifier = Classifier(model)
    planes = [plane_through(random_images(seed).astype("float32"), 5, 0.1) for seed in range(4)]
    predict_planes([classifier], planes, batch_size=10)
    predict_planes([classifier], planes, batch_size=10)
    # 25 points: three batches of 9, not of 10, 10 and 5.
    assert shapes == [(9, 4, 4, 3)]


def test_a_classifier_follows_the_weights():
    model, _ = linear_model()
    classifier = Classifier(model)
    planes = [plane_through(random_images(0), 6, 0.1)]
    before = predict_planes([classifier], planes)
    model.set_weights([-model.get_weights()[0], model.get_weights()[1]])
    after = predict_planes([classifier], planes)
    np.testing.assert_array_equal(after, predict_planes([model], planes))
    assert (before != after).any()


def test_networks_predict_in_inference_mode():
    noisy = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dropout(0.5)])
    planes = [plane_through(random_images(0), 6, 0.1)]
    expected = planes[0].points().reshape(36, 48).argmax(axis=1)
    np.testing.assert_array_equal(predict_planes([noisy], planes).ravel(), expected)


def test_classes_beyond_a_byte():
    planes = [plane_through(random_images(0), 3, 0.1)]
    labels = predict_planes([lambda x: tf.one_hot(tf.fill([len(x)], 299), 300)], planes)
    assert labels.dtype == np.uint16
    assert np.all(labels == 299)


def test_undefined_predictions_are_refused():
    planes = [plane_through(random_images(0), 3, 0.1)]
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="logits must be finite.*Received: 9 inputs of 9"):
            predict_planes([lambda x, value=value: tf.fill([len(x), 4], value)], planes)
    with pytest.raises(ValueError, match=r"shape \(batch, classes\).*Received: logits of shape"):
        predict_planes([lambda x: x], planes)


def test_invalid_predictions():
    planes = [plane_through(random_images(0), resolution, 0.1) for resolution in (3, 4)]
    for arguments in (([], planes[:1]), ([tf.identity], []), ([tf.identity], planes)):
        with pytest.raises(ValueError, match="must not be empty, all planes of one resolution"):
            predict_planes(*arguments)


def test_labels_of_another_shape_are_refused():
    labels = np.arange(12) % 3
    for draw in (draw_triplets, draw_same_class_triplets):
        with pytest.raises(ValueError, match=r"integers of shape \(n,\).*labels of shape \(12, 3\)"):
            draw(np.eye(3, dtype=int)[labels], 2, np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"`eligible` must have the shape of `labels`"):
        draw_same_class_triplets(labels, 2, np.random.default_rng(0), np.ones((12, 1), bool))


def test_planes_of_vectors_and_of_images_follow_each_other():
    """In one process, whatever their ranks."""
    for shape in ((5,), (4, 4, 3), (2, 3), (6,)):
        images = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
        plane = plane_through(images, 4, 0.1)
        found = predict_planes([lambda x: tf.reshape(x, (len(x), -1))[:, :2]], [plane])
        expected = plane.points().reshape(16, -1)[:, :2].argmax(axis=1)
        np.testing.assert_array_equal(found.ravel(), expected)


def test_images_almost_on_one_line_span_a_plane_computed_in_float64():
    found = plane_through(np.float32([[0, 0], [1, 0], [2, 1e-3]]), 3, 0.1)
    assert found.coordinates[2] == pytest.approx([2, 1e-3], rel=1e-6)
    found = plane_through(np.float32([[0, 0], [3, 1], [0, 5]]), 3, 0.1)
    assert found.coordinates[1, 0] == pytest.approx(np.sqrt(10), rel=1e-14)
