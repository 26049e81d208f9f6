"""Scores any two saved Keras models: how much of the planes through test images they label alike.

`python -m replications.somepalli_boundaries --models=a.keras,b.keras --data_dir=DIR --input_scaling=0-1`
prints both test accuracies, the reproducibility score and its interval, and draws both models' plane through
three training images side by side. Importing this module loads no TensorFlow.
"""

import dataclasses
import math
import pathlib
import sys
import types
import typing

import numpy as np
from absl import flags

from common.command_line import exit_status, parse_flags
from common.errors import UserError
from common.files import replacing
from replications.somepalli_boundaries.settings import TRIPLETS

DATASETS = ("cifar10", "synthetic")
SCALINGS = ("0-255", "0-1", "standardized")
_NUM_TRAIN = 1000  # enough to hold any three images in a balanced part
_BATCH = 500
_USAGE = "python -m replications.somepalli_boundaries --models=A.keras,B.keras [--flag=value ...]"


def is_requested(argv):
    """Whether a command line asks for models to be scored, not for a run."""
    return any(a.startswith("-") and a.lstrip("-").partition("=")[0] == "models" for a in argv[1:])


def _define_flags(flag_values):
    define = {"flag_values": flag_values}
    flags.DEFINE_list("models", None, "Two files of saved Keras models of images, to be compared.", **define)
    flags.DEFINE_enum(
        "input_scaling",
        None,
        SCALINGS,
        "Pixels that the models take: 0 to 255, 0 to 1, or standardized by the channels' mean and deviation; "
        "required unless both models hold a layer that scales them, and for those that hold none.",
        **define,
    )
    flags.DEFINE_enum("dataset", DATASETS[0], DATASETS, "Images that the models classify.", **define)
    flags.DEFINE_string("data_dir", None, "Folder of the data sets of tensorflow-datasets.", **define)
    flags.DEFINE_integer("num_triplets", 100, "Planes through test images; the paper has 500.", 2, **define)
    flags.DEFINE_enum(
        "triplets",
        TRIPLETS[0],
        TRIPLETS,
        "Test images of these planes: drawn by NumPy, or as in the official code.",
        **define,
    )
    flags.DEFINE_integer("resolution", 50, "Points along each axis of these planes.", 2, **define)
    flags.DEFINE_integer("data_seed", 1, "Seed that chooses the test images.", 0, **define)
    flags.DEFINE_list("triplet", ["30", "72", "42"], "Training images of the plane that is drawn.", **define)
    flags.DEFINE_integer("picture_resolution", 200, "Points along each axis of this plane.", 2, **define)
    flags.DEFINE_string("out", "boundaries.png", "Picture file, PNG or PDF.", **define)


def _check(flag_values):
    """Refuses bad input before TensorFlow is imported; returns the triplet."""
    models = flag_values.models or []
    if len(models) != 2:
        raise UserError(f"--models={','.join(models)}: must be two files, separated by a comma")
    for path in models:
        if not pathlib.Path(path).is_file():
            raise UserError(f"--models: no file {path}")
    try:
        triplet = tuple(int(number) for number in flag_values.triplet)
    except ValueError:
        triplet = ()
    if len(triplet) != 3:
        raise UserError(f"--triplet={','.join(flag_values.triplet)}: must be three image numbers")
    if len(set(triplet)) != 3:
        raise UserError(
            f"--triplet={','.join(flag_values.triplet)}: must be three different images, since equal ones "
            "determine no plane"
        )
    out = pathlib.Path(flag_values.out)
    if out.suffix not in (".png", ".pdf") or not out.absolute().parent.is_dir():
        raise UserError(f"--out={out}: must be a .png or .pdf file in a folder that exists")
    return triplet


@dataclasses.dataclass(frozen=True)
class Scored:
    """What was found out about two models.

    Args:
        accuracies: Test accuracy of each.
        num_test: Number of test images.
        agreement: Float64 (triplets,), the part of each plane that both label alike.
        classes: Array (2, resolution, resolution), what each predicts on the plane that is drawn.
        confidences: The same, softmax probabilities.
        plane: `metrics.plane.Plane` that is drawn.
        images: Its three images, float32 in [0, 1].
        labels: Their labels.
    """

    accuracies: tuple
    num_test: int
    agreement: np.ndarray
    classes: np.ndarray
    confidences: np.ndarray
    plane: typing.Any
    images: np.ndarray
    labels: np.ndarray


def load_models(paths):
    """Loads models and checks that they can be compared.

    Args:
        paths: Files, `.keras` or HDF5.

    Returns:
        List of Keras models.

    Raises:
        UserError: A file is no Keras model, a model does not map images to classes, or the models differ in
            their inputs or in their number of classes.
    """
    import keras

    import common.layers
    import common.models.vit  # noqa: F401  (registers its layers)

    models = []
    for path in paths:
        try:
            models.append(keras.models.load_model(path, compile=False))
        except Exception as error:  # Keras, h5py and zipfile have a dozen types for files that are none.
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"--models: {path} is not a Keras model that can be loaded: {reason}") from error
    for path, model in zip(paths, models, strict=True):
        shapes = model.input_shape, model.output_shape
        single = all(
            isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape)
            for shape in shapes
        )
        if not single or len(shapes[0]) != 4 or len(shapes[1]) != 2 or shapes[1][1] < 2:
            raise UserError(f"--models: {path} maps {shapes[0]} to {shapes[1]}, not images to classes")
    for what, attribute in (
        ("take different inputs", "input_shape"),
        ("have different classes", "output_shape"),
    ):
        first, second = (getattr(model, attribute) for model in models)
        if first != second:
            raise UserError(f"--models: {paths[0]} and {paths[1]} {what}, {first} and {second}")
    return models


def scaling_of(model):
    """The scaling of the images that a model takes by its own layers; None if it holds no such layer."""
    import keras

    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Rescaling):
            return "0-255" if np.max(np.abs(layer.scale)) < 0.1 else "0-1"
        if isinstance(layer, keras.layers.Normalization):
            return "0-255" if np.max(np.abs(layer.mean)) > 2 else "0-1"
    return None


def on_standardized(model, scaling, mean, std, examples):
    """Returns the function from standardized images to logits, made of TensorFlow operations.

    The logarithm stands for the logits of a model that gives probabilities.

    Args:
        model: Keras model of logits or of probabilities.
        scaling: One of SCALINGS, the pixels that it takes.
        mean: Mean of each channel that standardizes pixels in [0, 1].
        std: Standard deviation of each channel.
        examples: A few standardized images, on which is seen what the model gives.
    """
    import tensorflow as tf

    from common.metrics.logits import are_probabilities, logits_of

    def outputs(images):
        if scaling != "standardized":
            images = images * tf.constant(std, tf.float32) + tf.constant(mean, tf.float32)
        if scaling == "0-255":
            images = 255 * images
        return model(images, training=False)

    if not are_probabilities(logits_of(outputs, examples)):
        return outputs
    return lambda images: tf.math.log(tf.maximum(outputs(images), 1e-30))


def compare(models, data, scalings, options):
    """Measures two models on planes in the space of standardized pixels, as Somepalli et al. 2022 do.

    Args:
        models: Two Keras models.
        data: `data.images.ImageSet` whose training part holds the triplet.
        scalings: The scaling of each model's inputs.
        options: Has `triplet`, `triplets`, `num_triplets`, `resolution`, `picture_resolution`, `data_seed`.

    Returns:
        `Scored`.
    """
    from common.data.augmentation import CIFAR10_MEAN, CIFAR10_STD, normalize
    from common.metrics.classifier import Classifier
    from common.metrics.plane import plane_through, predict_planes
    from common.metrics.reproducibility import triplet_agreement
    from replications.somepalli_boundaries.measure import PICTURE_OVERHANG, SCORE_OVERHANG
    from replications.somepalli_boundaries.triplets import score_triplets

    statistics = CIFAR10_MEAN, CIFAR10_STD
    test = normalize(data.test.images, *statistics).numpy()
    classifiers = [
        Classifier(on_standardized(model, scaling, *statistics, test[:8]))
        for model, scaling in zip(models, scalings, strict=True)
    ]
    batches = range(0, len(test), _BATCH)
    accuracies = []
    for classifier in classifiers:
        found = np.concatenate([classifier(test[i : i + _BATCH])[0].numpy() for i in batches])
        accuracies.append(float(np.mean(found == data.test.labels)))
    triplets = score_triplets(options.triplets, data.test.labels, options.num_triplets, options.data_seed)
    planes = [plane_through(test[t], options.resolution, SCORE_OVERHANG) for t in triplets]
    maps = predict_planes(classifiers, planes)
    places = np.searchsorted(data.train.ids, options.triplet)
    images = data.train.images[places]
    plane = plane_through(
        normalize(images, *statistics).numpy(), options.picture_resolution, PICTURE_OVERHANG
    )
    classes, confidences = predict_planes(classifiers, [plane], confidences=True)
    return Scored(
        tuple(accuracies),
        len(test),
        triplet_agreement(*maps),
        classes[:, 0],
        confidences[:, 0],
        plane,
        images,
        data.train.labels[places],
    )


def is_chance(accuracy, num_classes, num_test):
    """Whether an accuracy is at most three standard errors above that of guessing."""
    chance = 1 / num_classes
    return accuracy <= chance + 3 * math.sqrt(chance * (1 - chance) / num_test)


def _print(scored, paths, num_classes, title):
    from common.statistics import interval

    for path, accuracy in zip(paths, scored.accuracies, strict=True):
        print(f"{path}: test accuracy {accuracy:.2%} ({scored.num_test:,} images, {title})")
        if is_chance(accuracy, num_classes, scored.num_test):
            print(f"warning: {path} is at chance level; is --input_scaling what it was trained with?")
    agreement = scored.agreement
    low, high = interval(agreement)
    print(
        f"reproducibility score {agreement.mean():.3f}, 95 % interval {low:.3f} to {high:.3f} over "
        f"{len(agreement)} planes (for these two models; other trainings vary more)"
    )


def _score(flag_values, triplet):
    from common.startup import import_quietly

    import_quietly("tensorflow")
    from common.data import images
    from replications.somepalli_boundaries.triplets import check_triplets

    paths = flag_values.models
    models = load_models(paths)
    scalings = [scaling_of(model) or flag_values.input_scaling for model in models]
    if None in scalings:
        raise UserError(
            f"--input_scaling: {paths[scalings.index(None)]} holds no layer that scales its inputs; say "
            f"{', '.join(SCALINGS[:2])} or {SCALINGS[2]}"
        )
    seed = flag_values.data_seed
    data = images.load(flag_values.dataset, flag_values.data_dir, _NUM_TRAIN, None, seed, triplet)
    _check_fit(models[0], data, flag_values.dataset)
    check_triplets(flag_values.triplets, len(data.test.labels))
    options = types.SimpleNamespace(
        triplet=triplet,
        triplets=flag_values.triplets,
        num_triplets=flag_values.num_triplets,
        resolution=flag_values.resolution,
        picture_resolution=flag_values.picture_resolution,
        data_seed=seed,
    )
    try:
        scored = compare(models, data, scalings, options)
    except ValueError as error:
        raise UserError(f"--models: {error}") from error
    _print(scored, paths, data.num_classes, data.title)
    _note_own_scalings(paths, models, flag_values.input_scaling)
    _draw(scored, paths, flag_values.out, data)


def _note_own_scalings(paths, models, asked):
    for path, model in zip(paths, models, strict=True):
        own = scaling_of(model)
        if asked and own and own != asked:
            print(f"note: {path} scales its inputs itself, from {own}; --input_scaling is not for it")


def _check_fit(model, data, dataset):
    shape, found = model.input_shape[1:], data.train.images.shape[1:]
    if any(n is not None and n != m for n, m in zip(shape, found, strict=True)):
        raise UserError(f"--dataset={dataset}: has images of {found}, the models take {shape}")
    if model.output_shape[-1] != data.num_classes:
        raise UserError(
            f"--dataset={dataset}: has {data.num_classes} classes, the models {model.output_shape[-1]}"
        )


def _draw(scored, paths, out, data):
    # The one place where a program draws: what it shows is in no record.
    from figures import style
    from figures.somepalli_boundaries.pictures import figure_models

    names = [pathlib.Path(path).name for path in paths]
    titles = [
        f"{name}\n{accuracy:.1%} test acc." for name, accuracy in zip(names, scored.accuracies, strict=True)
    ]
    with style.applied():
        figure = figure_models(
            scored, titles, f"reproducibility score {scored.agreement.mean():.3f}, {data.title}"
        )
        with replacing(out) as temporary:
            figure.savefig(temporary, format=pathlib.Path(out).suffix[1:])
    print(f"picture: {out}")


def main(argv=None):
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    with exit_status("somepalli_boundaries"):
        parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        _score(flag_values, _check(flag_values))
