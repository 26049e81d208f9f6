"""Scores any two saved Keras models: how much of the planes through test images they label alike.

`python -m replications.somepalli_boundaries --models=a.keras,b.keras --data_dir=DIR --input_scaling=0-1`
prints both test accuracies, the reproducibility score and its interval, and draws both models' plane through
three training images side by side. Importing this module loads no TensorFlow.
"""

import dataclasses
import math
import os
import pathlib
import sys
import types
import typing

import numpy as np
from absl import flags

from common import input_scaling, saved_models
from common.errors import UserError
from common.input_scaling import SCALINGS
from common.study.command_line import exit_status, parse_flags
from common.study.files import replacing
from common.study.folders import check_file_to_make, check_folder
from common.study.startup import check_backend
from replications.somepalli_boundaries.published import NUM_TRAIN
from replications.somepalli_boundaries.settings import TRIPLETS

DATASETS = ("cifar10", "synthetic")
_NUM_TRAIN = 1000  # enough to hold any three images in a balanced part
_BATCH = 500
_NUM_TRIED = 1000  # test images on which other scalings are tried
_USAGE = "python -m replications.somepalli_boundaries --models=A.keras,B.keras [--flag=value ...]"


def is_requested(argv):
    """Whether a command line asks for models to be scored, not for a run."""
    return any(a.startswith("-") and a.lstrip("-").partition("=")[0] == "models" for a in argv[1:])


def _define_flags(flag_values):
    define = {"flag_values": flag_values}
    flags.DEFINE_list("models", None, "Two files of saved Keras models of images, to be compared.", **define)
    flags.DEFINE_list(
        "input_scaling",
        None,
        "Pixels that the models take: 0-255, 0-1, or standardized by the channels' mean and deviation; for "
        "both models, or one for each. Required of a model whose first layers do not say it.",
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
    scalings = flag_values.input_scaling
    if scalings is not None and (len(scalings) not in (1, 2) or not set(scalings) <= set(SCALINGS)):
        raise UserError(
            f"--input_scaling={','.join(scalings)}: must be one of {', '.join(SCALINGS)}, or two of them, "
            "one for each model"
        )
    _check_folders(flag_values)
    triplet = _triplet(flag_values)
    check_backend()
    for path in models:  # last: it takes the longest
        saved_models.check_file(path)
    return triplet


def _check_folders(flag_values):
    """Refuses a folder of data that is none, and a picture that could not be written."""
    if (data_dir := flag_values.data_dir) is not None:
        check_folder("data_dir", os.path.expanduser(data_dir), "name the folder that holds the data sets")
    if pathlib.Path(flag_values.out).suffix not in (".png", ".pdf"):
        raise UserError(f"--out={flag_values.out}: must be a .png or .pdf file")
    check_file_to_make("out", flag_values.out)


def _triplet(flag_values):
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
    for number in triplet:
        if not 0 <= number < NUM_TRAIN:
            raise UserError(
                f"--triplet={','.join(flag_values.triplet)}: image {number} is not among the training "
                f"images, 0 to {NUM_TRAIN - 1:,}"
            )
    return triplet


@dataclasses.dataclass(frozen=True)
class Scored:
    """What was found out about two models.

    Args:
        accuracies: Test accuracy of each, as a function of standardized pixels, which planes are made of.
        predicted_accuracies: Test accuracy of each as `model.evaluate` counts it, on the pixels it takes.
        num_test: Number of test images.
        agreement: Float64 (triplets,), the part of each plane that both label alike.
        classes: Array (2, resolution, resolution), what each predicts on the plane that is drawn.
        confidences: The same, softmax probabilities.
        plane: `metrics.plane.Plane` that is drawn.
        images: Its three images, float32 in [0, 1].
        labels: Their labels.
    """

    accuracies: tuple[float, ...]
    predicted_accuracies: tuple[float, ...]
    num_test: int
    agreement: np.ndarray
    classes: np.ndarray
    confidences: np.ndarray
    plane: typing.Any
    images: np.ndarray
    labels: np.ndarray


def load_models(paths):
    """Loads models and checks that they can be compared: a list of Keras models.

    Raises:
        UserError: As `saved_models.read` and `saved_models.check_alike` do.
    """
    models = [saved_models.read(path) for path in paths]
    saved_models.check_alike(models, paths)
    return models


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
    from common.data.augmentation import normalize
    from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
    from common.metrics.classifier import Classifier
    from common.metrics.plane import plane_through, predict_planes
    from common.metrics.reproducibility import triplet_agreement
    from replications.somepalli_boundaries.measure import PICTURE_OVERHANG, SCORE_OVERHANG
    from replications.somepalli_boundaries.triplets import score_triplets

    statistics = CIFAR10_MEAN, CIFAR10_STD
    test = normalize(data.test.images, *statistics).numpy()
    classifiers = [
        Classifier(input_scaling.on_standardized(model, scaling, *statistics, test[:8]))
        for model, scaling in zip(models, scalings, strict=True)
    ]
    accuracies = [_accuracy(classifier, test, data.test.labels) for classifier in classifiers]
    predicted = [
        input_scaling.predicted_classes(model, data.test.images, scaling, *statistics)
        for model, scaling in zip(models, scalings, strict=True)
    ]
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
        tuple(float(np.mean(classes == data.test.labels)) for classes in predicted),
        len(test),
        triplet_agreement(*maps),
        classes[:, 0],
        confidences[:, 0],
        plane,
        images,
        data.train.labels[places],
    )


def _accuracy(classifier, images, labels):
    """Part of the images that are given their label; refuses logits that are not finite."""
    from common.metrics.classifier import check_defined

    batches = [classifier(images[i : i + _BATCH]) for i in range(0, len(images), _BATCH)]
    classes, confidences = (np.concatenate([batch[kind].numpy() for batch in batches]) for kind in range(2))
    check_defined(confidences)
    return float(np.mean(classes == labels))


def is_chance(accuracy, num_classes, num_test):
    """Whether an accuracy is at most three standard errors above that of guessing."""
    chance = 1 / num_classes
    return accuracy <= chance + 3 * math.sqrt(chance * (1 - chance) / num_test)


def _print(scored, paths, scalings, num_classes, title):
    from common.statistics import interval

    found = zip(paths, scalings, scored.accuracies, scored.predicted_accuracies, strict=True)
    for path, scaling, accuracy, predicted in found:
        print(
            f"{path}: test accuracy {accuracy:.2%} ({scored.num_test:,} images, {title}); as model.evaluate "
            f"counts, on pixels of {scaling}, {predicted:.2%}"
        )
        if is_chance(accuracy, num_classes, scored.num_test):
            print(f"warning: {path} is at chance level; is --input_scaling what it was trained with?")
    agreement = scored.agreement
    low, high = interval(agreement, quantity="fraction")
    print(
        f"reproducibility score {agreement.mean():.3f}, 95 % interval {low:.3f} to {high:.3f} over "
        f"{len(agreement)} planes (for these two models; other trainings vary more)"
    )


def _score(flag_values, triplet):
    from common.study.startup import import_quietly

    import_quietly("tensorflow")
    from common.data import images
    from replications.somepalli_boundaries.triplets import check_triplets

    paths = flag_values.models
    models = load_models(paths)
    given = flag_values.input_scaling or [None]
    given = given * 2 if len(given) == 1 else given
    scalings = [
        input_scaling.decide_scaling(model, path, scaling)
        for model, path, scaling in zip(models, paths, given, strict=True)
    ]
    seed = flag_values.data_seed
    data = images.load(
        flag_values.dataset, flag_values.data_dir, _NUM_TRAIN, None, seed, triplet, download=None
    )
    saved_models.check_fits(models[0], flag_values.dataset, data.train.images.shape[1:], data.num_classes)
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
    _print(scored, paths, scalings, data.num_classes, data.title)
    _note_other_scalings(paths, models, scalings, data.test)
    _draw(scored, paths, flag_values.out, data)


def _note_other_scalings(paths, models, scalings, test):
    from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD

    some = test.take(slice(_NUM_TRIED))
    for path, model, scaling in zip(paths, models, scalings, strict=True):
        better = input_scaling.better_scaling(
            model, some.images, some.labels, scaling, CIFAR10_MEAN, CIFAR10_STD
        )
        if better:
            print(
                f"warning: of {len(some.labels):,} images {path} is right about {better[1]:.1%} on pixels of "
                f"{better[0]}, about {better[2]:.1%} on those of {scaling}; is that what it was trained with?"
            )
        expected = input_scaling.expected_scaling(model)
        if expected not in (None, scaling):
            print(
                f"note: the first layers of {path} look made for pixels of {expected}; as --input_scaling "
                f"says, it was given {scaling}"
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
    with exit_status("somepalli_boundaries", goes_on=False):
        parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        _score(flag_values, _check(flag_values))
