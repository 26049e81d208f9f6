"""The examples on which models are compared, and the models as functions of them.

Examples are images of a data set that the suite knows, or arrays of an .npz file. Importing this module, and
reading a file, loads no TensorFlow.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from common import input_scaling
from common.arrays import class_labels
from common.data.datasets import DATASETS
from common.disagreement import is_chance
from common.errors import UserError, in_one_line
from replications.somepalli_boundaries.published import CLASSES, NUM_TEST

_NUM_TRIED = 1000  # images on which other scalings are tried
# Beyond this a number is no pixel of 0 to 1, nor of a standardized image.
_LARGEST_UNSCALED = 16.0


@dataclasses.dataclass(frozen=True, eq=False)
class Data:
    """Examples.

    Args:
        name: As --data has it.
        title: How results on them must be named.
        x: Array (examples, ...); of images that are scaled for the models, pixels in [0, 1].
        y: Integer array (examples,), or None.
        numbers: Integer array (examples,), the number of each example in the data set or file.
        class_names: A name for each class, or None.
        num_classes: Number of classes, None if only the models know it.
        statistics: Mean and deviation of each channel that standardize pixels; None for arrays that the
            models take as they are.
    """

    name: str
    title: str
    x: np.ndarray
    y: np.ndarray | None
    numbers: np.ndarray
    class_names: tuple[str, ...] | None = None
    num_classes: int | None = None
    statistics: tuple[Sequence[float], Sequence[float]] | None = None

    def places(self, numbers: Sequence[int]) -> tuple[int, ...]:
        """Returns the positions of the examples of some numbers.

        Raises:
            UserError: One is not among them.
        """
        place = {int(number): position for position, number in enumerate(self.numbers)}
        for number in numbers:
            if number not in place:
                raise UserError(f"--triplet: example {number} is not among the {len(self.x):,} examples")
        return tuple(place[number] for number in numbers)

    def pictures(self, positions: np.ndarray) -> np.ndarray | None:
        """Returns examples as uint8 images (examples, height, width, 3), or None if they are none.

        Args:
            positions: Integer array (examples,), their places in x.
        """
        x = self.x
        if x.ndim == 3 and x.shape[1] == x.shape[2] and x.shape[1] >= 8:
            x = x[..., None]
        if x.ndim != 4 or x.shape[-1] not in (1, 3):
            return None
        shown = x[positions]
        if x.dtype != np.uint8:
            low, high = float(x.min()), float(x.max())
            if low < 0 or high > 1:  # of another scale: the darkest is black, the brightest white
                shown = (shown - low) / max(high - low, 1e-12)
            shown = np.round(255 * shown).astype(np.uint8)
        return np.broadcast_to(shown, (*shown.shape[:3], 3))


def is_file(name: str) -> bool:
    """Whether --data names a file, not a data set."""
    return name.endswith(".npz")


def check_name(name: str) -> None:
    """Refuses what is neither a data set nor an .npz file that is there.

    Raises:
        UserError: One line.
    """
    if not name:
        raise UserError(f"--data: name an .npz file with arrays x and y, or one of {', '.join(DATASETS)}")
    if is_file(name):
        path = pathlib.Path(name)
        try:
            if not path.is_file():
                raise UserError(f"--data={name}: no such file")
        except OSError as error:
            raise UserError(f"--data={name[:60]}: {error.strerror}") from None
    elif name not in DATASETS:
        raise UserError(f"--data={name}: must be an .npz file or one of {', '.join(DATASETS)}")


def read_file(name: str, num_examples: int | None, seed: int, as_pixels: bool) -> Data:
    """Reads an .npz file.

    Args:
        name: The file: `x`, numbers of shape (examples, ...); perhaps `y`, the class of each; perhaps
            `class_names`.
        num_examples: Number of examples, drawn at random; None for all.
        seed: Seed of that.
        as_pixels: Whether x must be images, of whole numbers from 0 to 255 or in [0, 1].

    Raises:
        UserError: It is none, or its arrays are not as described.
    """
    arrays = _arrays(name)
    if "x" not in arrays:
        raise UserError(f"--data={name}: has no array x, the examples (and y, the class of each)")
    x, y = _examples(name, arrays["x"]), None
    if "y" in arrays:
        y = _labels(name, arrays["y"], len(x))
    class_names = tuple(map(str, np.ravel(arrays["class_names"]))) if "class_names" in arrays else None
    if class_names and y is not None and y.max() >= len(class_names):
        raise UserError(f"--data={name}: y holds {y.max()}, but class_names has {len(class_names)} names")
    if as_pixels:
        x = _pixels(name, x)
    numbers = np.arange(len(x))
    if num_examples is not None:
        if num_examples > len(x):
            raise UserError(f"--num_examples={num_examples}: {name} holds {len(x):,}")
        numbers = np.sort(np.random.default_rng(seed).choice(len(x), num_examples, replace=False))
    return Data(
        name=name,
        title=pathlib.Path(name).name,
        x=x[numbers],
        y=None if y is None else y[numbers],
        numbers=numbers,
        class_names=class_names,
        statistics=((0.0,), (1.0,)) if as_pixels else None,
    )


def _arrays(name):
    try:
        with np.load(name) as archive:
            # Others may be large, or objects that are not read.
            known = [key for key in ("x", "y", "class_names") if key in archive.files]
            return {key: archive[key] for key in known}
    except Exception as error:  # NumPy, zipfile and zlib have a dozen types for what is no archive
        reason = in_one_line(error)
        raise UserError(f"--data={name}: cannot be read as an .npz of plain arrays ({reason})") from None


def _examples(name, x):
    if x.dtype.kind not in "fiub" or x.ndim < 2 or len(x) < 2 or 0 in x.shape:
        raise UserError(
            f"--data={name}: x must be numbers of shape (examples, ...), two examples or more; it is "
            f"{x.dtype} of shape {x.shape}"
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        raise UserError(f"--data={name}: x holds numbers that are not finite")
    return x


def _labels(name, y, num_examples):
    if y.dtype.kind == "f" and np.isfinite(y).all() and np.all(y == np.round(y)):
        y = y.astype(np.int64)
    try:
        y = class_labels(y, "y")
    except ValueError:
        hint = "; of one-hot labels store y.argmax(axis=1)" if y.ndim == 2 else ""
        raise UserError(
            f"--data={name}: y must be whole numbers, the class of each example; it is {y.dtype} of shape "
            f"{y.shape}{hint}"
        ) from None
    if len(y) != num_examples:
        raise UserError(f"--data={name}: {num_examples:,} examples in x, {len(y):,} labels in y")
    if y.min() < 0:
        raise UserError(f"--data={name}: y holds {y.min()}; classes are counted from 0")
    return y


def _pixels(name, x):
    if x.dtype == np.uint8:
        return x.astype(np.float32) / np.float32(255)
    if x.dtype.kind != "f" or x.min() < 0 or x.max() > 1:
        raise UserError(
            f"--input_scaling: for {name} x must be pixels, uint8 or from 0 to 1; it is {x.dtype} from "
            f"{x.min():g} to {x.max():g}; without the flag the models take it as it is"
        )
    return x


def load_images(
    name: str, data_dir: str | None, num_examples: int | None, seed: int, triplets: str = "ours"
) -> Data:
    """Loads the test images of a data set that the suite knows.

    Args:
        name: One of `DATASETS`.
        data_dir: Folder of tensorflow-datasets.
        num_examples: Number of test images, balanced over classes; None for all.
        seed: Seed that chooses them.
        triplets: "released" needs all test images.

    Raises:
        UserError: They are missing or too few.
    """
    from common.data import images

    known = DATASETS[name]
    try:
        data = images.load(name, data_dir, 1, num_examples, seed, download=None)
    except UserError as error:
        raise UserError(str(error).replace("--num_test", "--num_examples")) from None
    if triplets == "released" and len(data.test.labels) != NUM_TEST:
        raise UserError(
            f"--triplets=released: is drawn from all {NUM_TEST:,} test images; the data set has "
            f"{len(data.test.labels):,}"
        )
    return Data(
        name=name,
        title=f"test images of {data.title}",
        x=data.test.images,
        y=data.test.labels,
        numbers=data.test.ids,
        class_names=CLASSES if name == "cifar10" else None,
        num_classes=data.num_classes,
        statistics=(known.mean, known.std),
    )


@dataclasses.dataclass(frozen=True, eq=False)
class Prepared:
    """Models as functions of one array.

    Args:
        networks: A function from examples to what the model gives, for each model.
        x: The examples that these take: standardized images, or the arrays as they are.
        scalings: The pixels that each model takes, None for arrays that are given as they are.
    """

    networks: list[Callable]
    x: np.ndarray
    scalings: list[str] | None


def prepare(models: Sequence, paths: Sequence[str], data: Data, given: Sequence[str | None]) -> Prepared:
    """Makes models comparable: functions of the same examples, whatever pixels each of them takes.

    Args:
        models: Keras models.
        paths: Their files.
        data: The examples.
        given: The scaling of each model's pixels that a flag says, or None.

    Raises:
        UserError: A scaling is not given and not said by the model's first layers, or the models have fewer
            classes than the labels or more than there are names.
    """
    num_classes = max(2, models[0].output_shape[-1])
    if data.y is not None and data.y.max() >= num_classes:
        raise UserError(
            f"--data={data.name}: y holds {data.y.max()}; the classes of the models are 0 to "
            f"{num_classes - 1}"
        )
    if data.class_names and len(data.class_names) < num_classes:
        raise UserError(
            f"--data={data.name}: class_names has {len(data.class_names)} names, the models {num_classes} "
            "classes"
        )
    if data.statistics is None:
        return Prepared(list(models), data.x, None)
    mean, std = data.statistics
    scalings = [
        input_scaling.decide_scaling(model, path, scaling)
        for model, path, scaling in zip(models, paths, given, strict=True)
    ]
    networks = [
        input_scaling.outputs_on_standardized(model, scaling, mean, std)
        for model, scaling in zip(models, scalings, strict=True)
    ]
    x = data.x - np.asarray(mean, np.float32)
    x /= np.asarray(std, np.float32)
    return Prepared(networks, x.astype(np.float32, copy=False), scalings)


def notes(
    models: Sequence,
    paths: Sequence[str],
    data: Data,
    prepared: Prepared,
    accuracies: Sequence[float] | None,
    batch_size: int | None = None,
) -> list[str]:
    """Lines that say how the inputs were taken, and warn of what looks wrong.

    Args:
        models: Keras models.
        paths: Their files.
        data: The examples.
        prepared: What `prepare` made of them.
        accuracies: Accuracy of each model, or None.
        batch_size: The most examples in a call of a model; None: `arrays.examples_at_once`.
    """
    found = []
    for place, (path, model) in enumerate(zip(paths, models, strict=True)):
        if accuracies:
            num_classes = max(2, model.output_shape[-1])
            if is_chance(accuracies[place], num_classes, len(data.x)):
                advice = (
                    "is --input_scaling what it was trained with?"
                    if prepared.scalings
                    else "is x what it takes?"
                )
                found.append(f"warning: {path} is at chance level; {advice}")
        if prepared.scalings:
            found += _scaling_notes(path, model, data, prepared.scalings[place], batch_size)
        elif (expected := input_scaling.expected_scaling(model)) and data.x.dtype.kind == "f":
            largest = float(np.abs(data.x).max())
            if (largest <= _LARGEST_UNSCALED) == (expected == "0-255"):
                found.append(
                    f"note: the first layers of {path} look made for pixels of {expected}; x reaches "
                    f"{largest:g}"
                )
    return found


def _scaling_notes(path, model, data, scaling, batch_size):
    found = []
    mean, std = data.statistics
    if data.y is not None and model.output_shape[-1] > 1:
        classes = input_scaling.predicted_classes(model, data.x, scaling, mean, std, batch_size)
        accuracy = 100 * np.mean(classes == data.y)
        found.append(f"{path}: pixels of {scaling}; accuracy as model.evaluate counts it {accuracy:.2f} %")
        x, y = data.x[:_NUM_TRIED], data.y[:_NUM_TRIED]
        if better := input_scaling.better_scaling(model, x, y, scaling, mean, std, batch_size):
            found.append(
                f"warning: of {len(y):,} images {path} is right about {100 * better[1]:.1f} % on pixels of "
                f"{better[0]}, about {100 * better[2]:.1f} % on those of {scaling}; is that what it was "
                "trained with?"
            )
    expected = input_scaling.expected_scaling(model)
    if expected not in (None, scaling):
        found.append(
            f"note: the first layers of {path} look made for pixels of {expected}; as --input_scaling says, "
            f"it was given {scaling}"
        )
    return found
