import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import log_softmax, softmax

from common.compilation import compiled
from common.data.colour_jitter import apply_jitter, jitter_coefficients
from common.errors import UserError
from common.metrics import volumes as volumes_module
from common.metrics.sharpness import jacobian_norm, tangent_hessian_norm
from common.metrics.volumes import VolumeMeter, integrate_paths, measure_volumes

MEAN, STD = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
SHAPE = (12, 12, 3)
STRENGTHS = (3, 5, 8)
OPTIONS = {"mean": MEAN, "std": STD, "num_paths": 2, "strengths": STRENGTHS}
# Numbers whose products are far from underflow.
lengths_of_paths = arrays(
    np.float64, (2, 3, 4), elements=st.floats(0.0, 100.0, width=32, allow_subnormal=False)
)


class PointCounter(keras.layers.Layer):
    """Counts the points that pass through it."""

    def __init__(self):
        super().__init__()
        self.count = tf.Variable(0)

    def call(self, inputs):
        self.count.assign_add(tf.shape(inputs)[0])
        return inputs


def examples(num_samples, seed=0):
    generator = np.random.default_rng(seed)
    images = generator.random((num_samples, *SHAPE), dtype="float32")
    return images, generator.integers(0, 4, num_samples)


def linear_model(seed=0, *layers):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input(SHAPE), *layers, keras.layers.Flatten(), keras.layers.Dense(4)])


def erased(image, start, stop):
    """The image without the singular values start ... stop - 1 of each channel, in float64."""
    result = np.empty(image.shape)
    for channel in range(3):
        left, singular_values, right = np.linalg.svd(image[..., channel].astype("float64"))
        singular_values[start:stop] = 0
        result[..., channel] = left @ np.diag(singular_values) @ right
    return result


def scores_at(kernel, label, point, coefficients, clip):
    """Accuracy, cross-entropy, Jacobian and tangent Hessian norm of a linear model at one point."""

    def gradient_and_logits(image):
        logits = ((image - MEAN) / STD).ravel() @ kernel
        return kernel @ (softmax(logits) - np.eye(4)[label]), logits

    gradient, logits = gradient_and_logits(point)
    image = tf.constant(point[np.newaxis], tf.float64)
    copies = apply_jitter(image, coefficients[np.newaxis].astype("float64"), clip).numpy()[0]
    changes = [np.sum((gradient - gradient_and_logits(copy)[0]) ** 2) for copy in copies]
    return np.array(
        [
            np.argmax(logits) == label,
            -log_softmax(logits)[label],
            np.linalg.norm(gradient),
            np.sqrt(np.mean(changes)) / 0.1,
        ]
    )


def plain_loop(model, images, labels, num_paths, strengths, clip):
    """The cumulative values of four scores, one sample, path and anchor after the other."""
    kernel = np.asarray(model.get_weights()[0], "float64")
    all_coefficients = jitter_coefficients(0, np.arange(len(images)), 4, clip=clip)
    results = np.zeros((4, len(images), 1 + len(strengths)))
    for sample, (image, label) in enumerate(zip(images, labels, strict=True)):
        for path in range(num_paths):
            coefficients = all_coefficients[sample]
            last, last_scores = image, scores_at(kernel, label, image.astype("float64"), coefficients, clip)
            results[:, sample, 0] += last_scores / num_paths
            integral, length = 0, 0
            for anchor, strength in enumerate(strengths):
                point = erased(image, 12 - strength - path, 12 - path)
                scores = scores_at(kernel, label, point, coefficients, clip)
                distance = np.linalg.norm((point - last) / STD)
                integral = integral + 0.5 * (scores + last_scores) * distance
                length += distance
                results[:, sample, anchor + 1] += integral / length / num_paths
                last, last_scores = point, scores
    return results


def test_integral_by_hand():
    # Two paths: (0 + 1) / 2 * 1 and (1 + 3) / 2 * 3; constant 2.
    scores = [[[0, 1, 3], [2, 2, 2]]]
    lengths = [[[1, 3], [5, 7]]]
    expected = [[(0 + 2) / 2, (0.5 + 2) / 2, ((0.5 + 6) / 4 + 2) / 2]]
    np.testing.assert_allclose(integrate_paths(scores, lengths), expected, rtol=1e-15)


@given(lengths_of_paths, st.floats(-1000.0, 1000.0, width=32, allow_subnormal=False))
def test_integral_of_a_constant_is_the_constant(lengths, constant):
    values = integrate_paths(np.full((2, 3, 5), constant), lengths)
    assert values.shape == (2, 5)
    np.testing.assert_allclose(values, constant, rtol=1e-12)


@given(lengths_of_paths, arrays(np.float64, (2, 3, 5), elements=st.floats(-10.0, 10.0)))
def test_integral_lies_between_the_scores(lengths, scores):
    values = integrate_paths(scores, lengths)
    assert np.all(values <= scores.max(axis=(1, 2))[:, None] + 1e-9)
    assert np.all(values >= scores.min(axis=(1, 2))[:, None] - 1e-9)


def test_integral_of_arc_length_is_half_the_length():
    lengths = np.random.default_rng(0).uniform(0.1, 2, (3, 4, 6))
    positions = np.concatenate([np.zeros((3, 4, 1)), np.cumsum(lengths, axis=-1)], axis=-1)
    np.testing.assert_allclose(integrate_paths(positions, lengths), positions.mean(axis=1) / 2, rtol=1e-12)


def test_a_path_of_no_length_has_the_value_of_its_base():
    np.testing.assert_array_equal(
        integrate_paths([[[3.0, 3.0, 3.0, 5.0]]], [[[0.0, 0.0, 1.0]]]), [[3, 3, 3, 4]]
    )


@pytest.mark.parametrize(
    ("num_paths", "strengths", "clip"),
    [(2, STRENGTHS, "none"), (4, (1, 9), "none"), (1, (12,), "none"), (4, (1, 9), "code")],
)
def test_cumulative_values_equal_a_plain_loop(num_paths, strengths, clip):
    model = linear_model()
    images, labels = examples(5)
    options = {"batch_size": 10, "colour_clip": clip}
    volumes = measure_volumes(model, images, labels, MEAN, STD, num_paths, strengths, **options)
    expected = plain_loop(model, images, labels, num_paths, strengths, clip)
    names = ["accuracy", "cross_entropy", "jacobian_norm", "tangent_hessian_norm"]
    assert list(volumes) == [*names, "tangent_hessian_norm_paper"]
    for name, values in zip(names, expected, strict=True):
        assert volumes[name].dtype == np.float64
        np.testing.assert_allclose(volumes[name], values, rtol=2e-3 if "hessian" in name else 2e-5)
    np.testing.assert_allclose(
        volumes["tangent_hessian_norm_paper"], 1.25 * volumes["tangent_hessian_norm"], rtol=1e-12
    )


def test_anchors_of_the_paper_and_the_base_column():
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((3, 32, 32, 3), dtype="float32")
    labels = [0, 1, 2]
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            keras.layers.Conv2D(4, 3, activation="relu", strides=2),
            keras.layers.GlobalMaxPooling2D(),
            keras.layers.Dense(10),
        ]
    )
    volumes = measure_volumes(model, images, labels, MEAN, STD)
    assert all(values.shape == (3, 7) for values in volumes.values())
    normalised = (images - MEAN.astype("float32")) / STD.astype("float32")
    np.testing.assert_allclose(
        volumes["jacobian_norm"][:, 0], jacobian_norm(model, normalised, labels), rtol=1e-4
    )
    np.testing.assert_allclose(
        volumes["tangent_hessian_norm"][:, 0],
        tangent_hessian_norm(model, images, labels, MEAN, STD),
        rtol=1e-3,
    )


def test_batch_size_does_not_matter():
    model = linear_model()
    images, labels = examples(7)
    expected = measure_volumes(model, images, labels, **OPTIONS)
    for batch_size in (1, 10, 15):
        volumes = measure_volumes(model, images, labels, **OPTIONS, batch_size=batch_size)
        for name, values in volumes.items():
            np.testing.assert_allclose(values, expected[name], rtol=1e-3 if "hessian" in name else 1e-5)


def test_a_meter_is_compiled_once_and_follows_the_weights():
    model, other = linear_model(0), linear_model(1)
    images, labels = examples(7)
    meter = VolumeMeter(model, **OPTIONS, batch_size=15)
    first = meter.measure(images, labels)
    model.set_weights(other.get_weights())
    second = meter.measure(images, labels)
    assert meter._scores.experimental_get_tracing_count() == 1
    expected = measure_volumes(other, images, labels, **OPTIONS, batch_size=15)
    for name in expected:
        np.testing.assert_allclose(second[name], expected[name], rtol=1e-6)
    assert not np.any(first["jacobian_norm"] == second["jacobian_norm"])


def test_the_number_of_points_is_the_least_possible():
    counter = PointCounter()
    meter = VolumeMeter(linear_model(0, counter), **OPTIONS, batch_size=15)
    images, labels = examples(6)
    counter.count.assign(0)
    meter.measure(images, labels)
    # Each sample: base and 2 paths of 3 anchors, each with 4 copies; the logits of all 6 are checked.
    assert int(counter.count) == 6 * (1 + 2 * 3) * (1 + 4) + 6


@pytest.mark.parametrize(("number", "paths", "strengths"), [(6, 1, (1,)), (9, 1, (1,)), (6, 3, (1, 2, 3))])
def test_a_step_holds_the_points_of_a_batch_whatever_the_numbers(number, paths, strengths, monkeypatch):
    held, scores = set(), volumes_module.point_scores

    def recording(model, anchors, *arguments):
        held.add(tuple(anchors.shape))
        return scores(model, anchors, *arguments)

    monkeypatch.setattr(volumes_module, "point_scores", recording)
    images, labels = examples(number)
    options = OPTIONS | {"num_paths": paths, "strengths": strengths}
    VolumeMeter(linear_model(), **options, batch_size=15).measure(images, labels)
    # 3 samples, each with 4 copies, are 15 points.
    assert held == {(3, *images.shape[1:])}


def test_base_points_without_copies():
    model = linear_model()
    images, labels = examples(4)
    volumes = measure_volumes(model, images, labels, MEAN, STD, strengths=(), num_copies=0)
    expected = measure_volumes(model, images, labels, **OPTIONS)
    assert list(volumes) == ["accuracy", "cross_entropy", "jacobian_norm"]
    for name, values in volumes.items():
        np.testing.assert_allclose(values, expected[name][:, :1], rtol=1e-5)


def test_seeds_change_the_tangent_hessian_alone():
    model = linear_model()
    images, labels = examples(4)
    a, b = (measure_volumes(model, images, labels, **OPTIONS, seed=seed) for seed in (0, 1))
    assert not np.any(a["tangent_hessian_norm"] == b["tangent_hessian_norm"])
    for name in ("accuracy", "cross_entropy", "jacobian_norm"):
        np.testing.assert_array_equal(a[name], b[name])


def test_xla_computes_the_same(monkeypatch):
    model = linear_model()
    images, labels = examples(3)
    expected = measure_volumes(model, images, labels, **OPTIONS)
    # Where there is a GPU the meter is compiled by XLA, which a CPU can run too.
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU"])
    assert compiled(abs).chosen._jit_compile
    volumes = measure_volumes(model, images, labels, **OPTIONS)
    for name, values in volumes.items():
        np.testing.assert_allclose(values, expected[name], rtol=1e-3 if "hessian" in name else 1e-5)


def test_constant_images_have_finite_values():
    # Rank one, and no window reaches the one singular value: all anchors are the image but for rounding.
    images = np.full((1, *SHAPE), 0.5, "float32")
    volumes = measure_volumes(linear_model(), images, [0], **OPTIONS)
    for values in volumes.values():
        np.testing.assert_allclose(values, values[:, :1].repeat(4, axis=1), rtol=1e-3)


def test_invalid_arguments():
    model = linear_model()
    images, labels = examples(2)
    with pytest.raises(UserError, match="paths of strength 25 need 28 singular values.*images have 12"):
        measure_volumes(model, images, labels, MEAN, STD)
    with pytest.raises(ValueError, match="at least 0. Received: num_copies=-1$"):
        VolumeMeter(model, MEAN, STD, num_copies=-1)
    with pytest.raises(ValueError, match="one of .'none', 'code'.. Received: True$"):
        VolumeMeter(model, MEAN, STD, colour_clip=True)
    with pytest.raises(ValueError, match="The step of eq. 5 must be one of"):
        VolumeMeter(model, MEAN, STD, step=0.1)
    meter = VolumeMeter(model, **OPTIONS)
    with pytest.raises(ValueError, match=r"from 0 to 3. Received: labels=4 at index \(1,\)$"):
        meter.measure(images, [0, 4])
    with pytest.raises(ValueError, match=r"in \[0, 1\], not yet normalised"):
        meter.measure(images * 2, labels)
    constant = linear_model(0, keras.layers.Lambda(tf.stop_gradient))
    with pytest.raises(ValueError, match="a gradient by its input. Received: model="):
        measure_volumes(constant, images, labels, **OPTIONS)


@pytest.mark.parametrize("lengths", [[[1.0]], [[1.0, -3.0, 1.0]]])
def test_lengths_that_are_not_those_of_the_segments(lengths):
    with pytest.raises(ValueError, match="must be those of the segments between scores"):
        integrate_paths([[0.0, 1.0, 3.0, 5.0]], lengths)
