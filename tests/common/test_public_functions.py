"""Every public function and class of common.metrics and common.data, against what it takes.

A name that is not in the table fails: say there what it takes, and the tests below hold it to that. Images
give the same numbers in whatever type they are stored; labels of shape (n, 1) are those of shape (n,);
probabilities are refused where logits are asked for; an undefined image does not pass for a defined one.
"""

import dataclasses
import importlib
import inspect
import pkgutil
import typing

import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import common.data
import common.metrics
from common.data import augmentation, colour_jitter, corruption, images, svd_paths
from common.metrics import (
    class_skips,
    classifier,
    concentration,
    excess_label_loss,
    logits,
    margin,
    plane,
    prediction_difference,
    sharpness,
    volumes,
)

NUM, SHAPE, CLASSES = 12, (6, 6, 3), 4
MEAN, STD = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
LABELS = np.arange(NUM) % CLASSES
UNIFORMS = np.random.default_rng(1).random((NUM, 2), dtype=np.float32)
STORED = [np.float16, np.uint8]
STORED += [pytest.param(dtype, marks=pytest.mark.slow) for dtype in (ml_dtypes.bfloat16, np.float64)]


@dataclasses.dataclass(frozen=True)
class Takes:
    """What a public name takes.

    Args:
        call: Function of images, labels and a model that calls it; None: it takes none of the three.
        images: "any" range and type, "unit" for [0, 1] in floating-point types, or None.
        labels: "taken" in both shapes, "refused" unless of shape (n,), or None.
        logits: Whether probabilities are refused.
        values: Function of values, one an example, that must not pass an undefined one for a number.
        slow: Whether it compiles for seconds.
    """

    call: typing.Callable | None = None
    images: str | None = None
    labels: str | None = None
    logits: bool = False
    values: typing.Callable | None = None
    slow: bool = False


def rng():
    return np.random.default_rng(0)


def of_images(call, kind="any", **takes):
    return Takes(lambda x, y, model: call(x), images=kind, **takes)


def of_labels(call):
    return Takes(lambda x, y, model: call(y), labels="taken")


def on_rays(x, model):
    directions = np.ones((len(x), 2, *SHAPE))
    rays = classifier.Rays(classifier.Classifier(model), x, directions, batch_size=7)
    return rays.classes(np.arange(2 * len(x)), np.linspace(0, 40, 2 * len(x)))


def classified(network, x):
    network.check_confidences(x[:8])
    return network(x)


def through(x):
    found = plane.plane_through(x[:3], 5, 0.1)
    return found.base, found.u, found.v, found.axis_u, found.axis_v


def on_plane(x, y, model):
    return plane.predict_planes([model], [plane.plane_through(x[:3], 5, 0.1)], confidences=True)


def gradients(x, y, model):
    return sharpness.input_gradients(model, x, y)


def scores(x, y, model):
    coefficients = colour_jitter.jitter_coefficients(0, np.arange(len(x)), 2)
    floats = (tf.constant(values, tf.float32) for values in (MEAN, STD))
    return sharpness.point_scores(model, x, y, coefficients, *floats)


def volumes_of(x, y, model):
    return volumes.measure_volumes(model, x, y, MEAN, STD, num_paths=1, strengths=(2,), num_copies=1)


def metered(x, y, model):
    meter = volumes.VolumeMeter(model, MEAN, STD, num_paths=1, strengths=(), num_copies=0)
    return meter.measure(x, y)


def erased(x):
    left, _, right = svd_paths.decompose(np.asarray(x, np.float32))
    return svd_paths.erase(x, left, right, np.array([0, 0, 0, 1, 1, 1], np.float32))


def updated(metric, *arguments):
    metric.update_state(*arguments)
    return metric.result()


def jitter(x):
    return colour_jitter.apply_jitter(x, colour_jitter.jitter_coefficients(0, np.arange(len(x)), 2))


# Names that take none of these; those of fragmentation and reproducibility take maps of classes.
NEITHER = """
    metrics.classifier.num_images_per_block metrics.concentration.concentration_bound
    metrics.examples.example_arrays metrics.examples.check_values metrics.examples.mean_over_examples
    metrics.examples.column metrics.examples.one_value_per_example metrics.examples.MeanOverExamples
    metrics.fragmentation.fragmentation_score metrics.fragmentation.fragmentation_scores
    metrics.logits.are_probabilities metrics.logits.padded_batches
    metrics.margin.Margins metrics.plane.Plane metrics.reproducibility.triplet_agreement
    metrics.reproducibility.reproducibility_score metrics.reproducibility.Reproducibility
    metrics.reproducibility.group_reproducibility metrics.reproducibility.reproducibility_matrix
    metrics.sharpness.tangent_hessian_prefactor metrics.sharpness.check_num_copies
    metrics.sharpness.samples_in metrics.sharpness.check_step metrics.volumes.integrate_paths
    data.colour_jitter.luma_weights data.colour_jitter.jitter_parameters data.colour_jitter.compose
    data.colour_jitter.jitter_coefficients data.corruption.pixel_permutation data.datasets.Dataset
    data.datasets.root_folder data.augmentation.augmentation data.images.Images
    data.images.ImageSet data.images.load data.images.title_of_copy data.svd_paths.erasure_windows
    data.svd_paths.erasure_masks data.svd_paths.segment_lengths data.colour_jitter.in_sequence
    data.colour_jitter.check_clip
"""
METRICS = {
    "class_skips.class_skips": Takes(
        lambda x, y, model: class_skips.class_skips(model, x[:6], x[6:], 9), images="any"
    ),
    "classifier.Classifier": Takes(
        lambda x, y, model: classified(classifier.Classifier(model), x), images="any", logits=True
    ),
    "classifier.as_classifier": Takes(
        lambda x, y, model: classified(classifier.as_classifier(model), x), images="any", logits=True
    ),
    "classifier.check_defined": Takes(values=classifier.check_defined),
    "classifier.Rays": Takes(lambda x, y, model: on_rays(x, model), images="any"),
    "concentration.smallest_lipschitz": Takes(
        values=lambda v: concentration.smallest_lipschitz(np.abs(v) / 9, 0.1, 5)
    ),
    "concentration.outputs_and_slopes": Takes(
        lambda x, y, model: concentration.outputs_and_slopes(model, SHAPE, 8, rng()), logits=True
    ),
    "excess_label_loss.excess_label_loss": Takes(
        values=lambda v: excess_label_loss.excess_label_loss(np.zeros(len(v)), v)
    ),
    "excess_label_loss.ExcessLabelLoss": Takes(
        values=lambda v: updated(excess_label_loss.ExcessLabelLoss(), np.zeros(len(v)), v)
    ),
    "logits.logits_of": Takes(lambda x, y, model: logits.logits_of(model, x), images="any"),
    "logits.as_logits": Takes(lambda x, y, model: logits.as_logits(model, x)(x), images="any"),
    "logits.logits_by_kind": Takes(
        lambda x, y, model: logits.logits_by_kind(model, "logits")(x), images="any"
    ),
    "logits.array_of": Takes(lambda x, y, model: logits.array_of(model, x), images="any"),
    "logits.kind_of_outputs": Takes(),
    "logits.logits_from": Takes(),
    "logits.check_logits": Takes(lambda x, y, model: logits.check_logits(model, x), logits=True),
    "margin.margins": Takes(
        lambda x, y, model: margin.margins(model, x, [0, 1, 5], np.arange(len(x)), rng()), images="any"
    ),
    "margin.gaussian_margins": Takes(
        lambda x, y, model: margin.gaussian_margins(model, x, [0, 1, 5], rng()), images="any"
    ),
    "plane.plane_through": of_images(through),
    "plane.draw_triplets": of_labels(lambda y: plane.draw_triplets(y, 5, rng())),
    "plane.draw_released_triplets": of_labels(lambda y: plane.draw_released_triplets(y, 5, 0)),
    "plane.draw_same_class_triplets": of_labels(lambda y: plane.draw_same_class_triplets(y, 2, rng())),
    "plane.predict_planes": Takes(on_plane, images="any", logits=True),
    "prediction_difference.relative_prediction_difference": Takes(
        values=lambda v: prediction_difference.relative_prediction_difference(np.abs(v) / 9, v * 0 + 0.5)
    ),
    "prediction_difference.RelativePredictionDifference": Takes(
        values=lambda v: updated(
            prediction_difference.RelativePredictionDifference(), v * 0 + 0.5, np.stack([v, v], 1)
        )
    ),
    "sharpness.check_examples": Takes(
        lambda x, y, model: sharpness.check_examples(model, x, y), "any", "taken", logits=True
    ),
    "sharpness.check_images": of_images(lambda x: sharpness.check_images(x, MEAN, STD), "unit"),
    "sharpness.input_gradients": Takes(gradients, "any", "refused"),
    "sharpness.point_scores": Takes(scores, "any", "refused"),
    "sharpness.jacobian_norm": Takes(
        lambda x, y, model: sharpness.jacobian_norm(model, x, y), "any", "taken", logits=True
    ),
    "sharpness.tangent_hessian_sums": Takes(
        lambda x, y, model: sharpness.tangent_hessian_sums(model, x, y, MEAN, STD, num_copies=1),
        "unit",
        "taken",
        logits=True,
        slow=True,
    ),
    "sharpness.tangent_hessian_norm": Takes(
        lambda x, y, model: sharpness.tangent_hessian_norm(model, x, y, MEAN, STD, num_copies=1),
        "unit",
        "taken",
        logits=True,
        slow=True,
    ),
    "volumes.VolumeMeter": Takes(metered, "unit", "taken", logits=True),
    "volumes.measure_volumes": Takes(volumes_of, "unit", "taken", logits=True, slow=True),
}
DATA = {
    "augmentation.normalize": of_images(lambda x: augmentation.normalize(x, MEAN, STD)),
    "augmentation.per_image_standardization": of_images(augmentation.per_image_standardization),
    "augmentation.grey": of_images(augmentation.grey),
    "augmentation.brightness": of_images(lambda x: augmentation.brightness(x, 1.1)),
    "augmentation.saturation": of_images(lambda x: augmentation.saturation(x, 0.3)),
    "augmentation.contrast": of_images(lambda x: augmentation.contrast(x, 0.3)),
    "augmentation.CentralCrop": of_images(lambda x: augmentation.CentralCrop(4)(x, None)),
    "augmentation.RandomCrop": of_images(lambda x: augmentation.RandomCrop(4, 1)(x, UNIFORMS)),
    "augmentation.RandomFlip": of_images(lambda x: augmentation.RandomFlip()(x, UNIFORMS[:, :1])),
    "augmentation.RandomColour": of_images(
        lambda x: augmentation.RandomColour(augmentation.contrast, 0.5, 0.9)(x, UNIFORMS[:, :1])
    ),
    "augmentation.Augmentation": of_images(
        lambda x: augmentation.Augmentation((augmentation.RandomCrop(4),))(x, {"crop": UNIFORMS})
    ),
    "colour_jitter.apply_jitter": of_images(jitter),
    "corruption.zhang_labels": of_labels(lambda y: corruption.zhang_labels(y, 0.5, CLASSES, rng())),
    "corruption.nakkiran_labels": of_labels(lambda y: corruption.nakkiran_labels(y, 0.5, CLASSES, rng())),
    "corruption.somepalli_labels": of_labels(lambda y: corruption.somepalli_labels(y, 0.7, CLASSES)),
    "corruption.gamba_symmetric_labels": of_labels(
        lambda y: corruption.gamba_symmetric_labels(y, 0.5, CLASSES, rng())
    ),
    "corruption.gamba_asymmetric_labels": of_labels(
        lambda y: corruption.gamba_asymmetric_labels(y, 2, 0.7, CLASSES, rng())
    ),
    "corruption.pluskid_labels": of_labels(lambda y: corruption.pluskid_labels(y, y, 0.5, CLASSES)),
    "corruption.permute_pixels": of_images(lambda x: corruption.permute_pixels(x, rng().permutation(36))),
    "corruption.shuffled_pixels": of_images(lambda x: corruption.shuffled_pixels(x, rng())),
    "corruption.random_pixels": of_images(lambda x: corruption.random_pixels(x, rng())),
    "corruption.channel_statistics": of_images(corruption.channel_statistics),
    "corruption.gaussian_pixels": of_images(
        lambda x: [corruption.gaussian_pixels(x, rng(), kind) for kind in ("dataset", "image")]
    ),
    "images.balanced_order": of_labels(lambda y: images.balanced_order(y, rng(), np.arange(NUM) > 8)),
    "svd_paths.decompose": of_images(lambda x: svd_paths.decompose(x)[1]),  # vectors have any sign
    "svd_paths.erase": of_images(erased),
    "svd_paths.svd_paths": of_images(lambda x: svd_paths.svd_paths(x, 1, (2,))),
}
TABLE = {f"metrics.{name}": takes for name, takes in METRICS.items()}
TABLE |= {f"data.{name}": takes for name, takes in DATA.items()}
TABLE |= {name: Takes() for name in NEITHER.split()}


def named(**wanted):
    """The names that take something, as parameters of a test."""
    return pytest.mark.parametrize(
        "name",
        [
            pytest.param(name, marks=[pytest.mark.slow] * takes.slow)
            for name, takes in TABLE.items()
            if all(getattr(takes, field) in values for field, values in wanted.items())
        ],
    )


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense(CLASSES, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0))
    return keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), dense])


def stored(kind, dtype):
    """Images as they are stored, and the same numbers in float32."""
    pixels = rng().random((NUM, *SHAPE)) * (1 if kind == "unit" else 255)
    pixels = pixels.astype(dtype)
    return pixels, pixels.astype(np.float32)


def arrays(result):
    """The arrays of a result."""
    if dataclasses.is_dataclass(result):
        result = dataclasses.astuple(result)
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, list | tuple):
        return [array for part in result for array in arrays(part)]
    return [] if result is None else [np.asarray(result)]


def assert_equal(found, expected, **tolerance):
    found, expected = arrays(found), arrays(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a.astype(np.float64), b.astype(np.float64), **tolerance)


def public_names():
    for package in (common.metrics, common.data):
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            for name, value in vars(module).items():
                is_own = getattr(value, "__module__", None) == module.__name__
                if is_own and not name.startswith("_") and (inspect.isclass(value) or callable(value)):
                    yield f"{package.__name__.partition('.')[2]}.{info.name}.{name}"


def test_every_public_name_is_in_the_table():
    assert sorted(public_names()) == sorted(TABLE)


@pytest.mark.parametrize("dtype", STORED)
@named(images=["any", "unit"])
def test_images_give_the_same_numbers_in_whatever_type_they_are_stored(name, dtype, model):
    takes = TABLE[name]
    pixels, same = stored(takes.images, dtype)
    if takes.images == "unit" and dtype in (np.uint8, ml_dtypes.bfloat16):
        with pytest.raises(ValueError, match="`images` must be floats"):
            takes.call(pixels, LABELS, model)
        return
    # Half the digits of float32: float64 images are computed in float64 or rounded first.
    expected = takes.call(same, LABELS, model)
    assert_equal(takes.call(pixels, LABELS, model), expected, rtol=2e-3, atol=2e-3)


@named(labels=["taken"])
def test_labels_of_one_column_are_labels(name, model):
    takes = TABLE[name]
    pixels, _ = stored(takes.images, np.float32)
    expected = takes.call(pixels, LABELS, model)
    assert_equal(takes.call(pixels, LABELS[:, None], model), expected, rtol=0)
    for wrong in (np.eye(CLASSES, dtype=int)[LABELS], LABELS[None], LABELS.astype(float)):
        with pytest.raises(ValueError, match=r"labels` must be integers of shape \(n,\) or \(n, 1\)"):
            takes.call(pixels, wrong, model)


@named(labels=["refused"])
def test_labels_of_one_column_are_refused(name, model):
    takes = TABLE[name]
    pixels, _ = stored(takes.images, np.float32)
    with pytest.raises(ValueError, match=r"`labels` must have shape \(batch,\)"):
        takes.call(pixels, LABELS[:, None], model)


@named(logits=[True])
def test_probabilities_are_refused(name, model):
    takes = TABLE[name]
    pixels, _ = stored(takes.images, np.float32)
    for dtype in ("float32", "mixed_float16"):
        softmax = keras.layers.Softmax(dtype=dtype)
        network = keras.Sequential([model, softmax, keras.layers.Activation("linear", dtype="float32")])
        with pytest.raises(ValueError, match="must give logits, not their softmax"):
            takes.call(pixels, LABELS, network)


@named(images=["any", "unit"])
def test_an_undefined_image_does_not_pass_for_a_defined_one(name, model):
    """It is refused, or leaves nan behind: never a number in the place of one."""
    takes = TABLE[name]
    pixels, _ = stored(takes.images, np.float32)
    pixels[1] = np.nan
    try:
        found = takes.call(pixels, LABELS, model)
    except ValueError:
        return
    assert any(np.isnan(array.astype(np.float64)).any() for array in arrays(found))


@pytest.mark.parametrize("name", [name for name, takes in TABLE.items() if takes.values])
def test_an_undefined_value_does_not_pass_for_a_number(name):
    values = np.array([0.5, 0.25, 0.75])
    for array in arrays(TABLE[name].values(values)):
        assert np.isfinite(array).all()
    values[1] = np.nan
    try:
        found = TABLE[name].values(values)
    except ValueError:
        return
    assert np.isnan(arrays(found)).all()
