"""CIFAR-10, CIFAR-100 and synthetic images as arrays, with seeded class-balanced subsets.

CIFAR comes from files that `tensorflow_datasets` has prepared, and is downloaded only when asked. An image
set carries the name under which results on it may be reported, because copies differ: some are re-encoded,
some partial. The synthetic images need no files.
"""

import dataclasses
import fcntl
import os
import re
import sys
from collections.abc import Callable, Collection

import numpy as np
import tensorflow as tf

from ..arrays import class_labels
from ..errors import UserError, in_one_line
from ..streams import Streams
from ..study.startup import quiet_stderr
from .datasets import DATASETS, root_folder

IMAGE_SIZE = 32
_JPEG = b"\xff\xd8\xff"

# The synthetic images: one fixed set. Amplitudes are in units of the [0, 1] range of a pixel.
_SYNTHETIC_SEED = 0
_MODES_PER_CLASS = 4
_HIGHEST_FREQUENCY = 3  # periods across the image
_LARGEST_SHIFT = 4.0  # pixels
_TEMPLATE_AMPLITUDE = 0.13
_BACKGROUND_AMPLITUDE = 0.16
_NOISE_AMPLITUDE = 0.05


@dataclasses.dataclass(frozen=True)
class Images:
    """One split, in the order of the image numbers.

    Args:
        images: float32 array of shape (n, 32, 32, 3) in [0, 1].
        labels: int32 array of shape (n,).
        ids: int32 array of shape (n,): the number of each image in the original files.
    """

    images: np.ndarray
    labels: np.ndarray
    ids: np.ndarray

    def take(self, positions: np.ndarray) -> "Images":
        """Returns the images at some positions."""
        return Images(self.images[positions], self.labels[positions], self.ids[positions])


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A train and a test split.

    Args:
        title: How results on these images must be named.
        num_classes: Number of classes.
        train: Training images.
        test: Test images.
    """

    title: str
    num_classes: int
    train: Images
    test: Images


@dataclasses.dataclass(frozen=True)
class _Split:
    """A whole split whose pixels are made only for the images asked for.

    Args:
        labels: int32 array of shape (n,).
        ids: Increasing int32 array of shape (n,).
        pixels: Function of positions that returns their float32 images in [0, 1].
    """

    labels: np.ndarray
    ids: np.ndarray
    pixels: Callable[[np.ndarray], np.ndarray]

    def take(self, positions: np.ndarray) -> Images:
        return Images(self.pixels(positions), self.labels[positions], self.ids[positions])


def load(
    dataset: str,
    data_dir: str | os.PathLike[str] | None = None,
    num_train: int | None = None,
    num_test: int | None = None,
    seed: int = 0,
    keep: Collection[int] = (),
    download: bool | None = False,
) -> ImageSet:
    """Loads a data set, or a class-balanced part of it, into memory.

    The part depends on the seed alone: with the same seed a smaller part lies within a larger one. The
    counts of two classes differ by one at most, unless a class has too few images.

    Args:
        dataset: One of `DATASETS`.
        data_dir: Folder of `tensorflow_datasets`; None for its default, the environment variable
            TFDS_DATA_DIR or ~/tensorflow_datasets. Unused by the synthetic images.
        num_train: Number of training images, None for all.
        num_test: Number of test images, None for all.
        seed: Root seed of the streams that choose the parts.
        keep: Numbers of training images that the part must hold, whatever the seed; they take the places
            of others of their class.
        download: Whether to fetch and check a data set that is not there; None where the user cannot ask
            for it, so that no error advises it.

    Returns:
        Each split in the order of the image numbers.

    Raises:
        UserError: If the data are missing or unreadable, or an argument is out of range.
    """
    if dataset not in DATASETS:
        raise UserError(f"--dataset={dataset}: must be one of {', '.join(DATASETS)}")
    known = DATASETS[dataset]
    if not known.from_files:
        title, sizes = known.title, (known.num_train, known.num_test)
        train, test = (_synthetic_split(index, n) for index, n in enumerate(sizes))
    else:
        title, train, test = _read_cifar(dataset, data_dir, download)
    streams = Streams(seed)
    train_part = _part("num_train", num_train, train, streams.generator("data", 0), keep)
    test_part = _part("num_test", num_test, test, streams.generator("data", 1))
    return ImageSet(title, known.num_classes, train.take(train_part), test.take(test_part))


def balanced_order(labels: np.ndarray, rng: np.random.Generator, first: np.ndarray) -> np.ndarray:
    """An order of the images whose every prefix is as class-balanced as the set allows.

    Args:
        labels: Integer array of shape (n,) or (n, 1).
        rng: Source of the draws.
        first: Boolean array of shape (n,): images that come before all others of their class.

    Returns:
        Integer array of shape (n,), a permutation of the positions.
    """
    labels = class_labels(labels)
    shuffled = rng.permutation(len(labels))
    shuffled = shuffled[np.argsort(~first[shuffled], kind="stable")]
    labels = labels[shuffled]
    by_class = np.argsort(labels, kind="stable")
    place_in_class = np.empty(len(labels), np.int64)
    place_in_class[by_class] = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])
    class_rank = rng.permutation(labels.max() + 1)
    return shuffled[np.lexsort((class_rank[labels], ~first[shuffled], place_in_class))]


def _part(flag, num_images, split, rng, keep=()):
    """Returns the increasing positions of the images of a part."""
    whole = len(split.ids)
    absent = sorted(set(keep) - set(split.ids.tolist()))
    if absent:
        raise UserError(f"image {absent[0]} is not among the {whole:,} training images of the data set")
    if num_images is None:
        return np.arange(whole)
    if not 1 <= num_images <= whole:
        raise UserError(f"--{flag}={num_images}: must be from 1 to {whole}")
    first = np.isin(split.ids, list(keep))
    order = balanced_order(split.labels, rng, first)
    needed = int(np.flatnonzero(first[order]).max(initial=-1)) + 1
    if num_images < needed:
        raise UserError(
            f"--{flag}={num_images}: must be at least {needed} for a balanced set that holds images "
            f"{', '.join(map(str, sorted(keep)))}"
        )
    return np.sort(order[:num_images])


def title_of_copy(dataset: str, description: str, num_train: int, num_test: int, first_image: bytes) -> str:
    """The name under which results on a copy of CIFAR may be reported.

    A copy whose description asks for a name, as in `report results on it as "..."`, gets it. Any other copy
    is taken for the original unless its images are compressed with loss. A partial copy says so.

    Args:
        dataset: "cifar10" or "cifar100".
        description: The text in the copy's `dataset_info.json`.
        num_train: Number of training images in the copy.
        num_test: Number of test images in the copy.
        first_image: Bytes of the first training image as they are stored.

    Returns:
        Such as "CIFAR-10", "CIFAR-10 (JPEG re-encoding)" or "CIFAR-100 (1,117 of 50,000 images)".
    """
    asked = re.search(r'report results on it as "([^"]+)"', description)
    known = DATASETS[dataset]
    title = asked[1] if asked else known.title
    if not asked and first_image.startswith(_JPEG):
        title += " (JPEG re-encoding)"
    if num_train < known.num_train:
        return f"{title} ({num_train:,} of {known.num_train:,} images)"
    if num_test < known.num_test:
        return f"{title} ({num_test:,} of {known.num_test:,} test images)"
    return title


def _download(dataset, root, folder):
    """Fetches a data set and checks its sums; of several processes that want it at once the first does."""
    import tensorflow_datasets as tfds

    title = DATASETS[dataset].title
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.parent / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return
        print(f"fetching {title} into {folder}, some 170 MB", file=sys.stderr, flush=True)
        try:
            with quiet_stderr():
                tfds.builder(dataset, data_dir=root).download_and_prepare()
        except Exception as error:  # of the network, of the disk, of TFDS
            reason = in_one_line(error)
            raise UserError(
                f"cannot fetch {title} ({reason}); try again, or copy its prepared folder to {folder}"
            ) from error


def _read_cifar(dataset, data_dir, download):
    """Returns title, train and test split of the prepared files, or raises a UserError of one line."""
    with quiet_stderr():
        import tensorflow_datasets as tfds

        root = root_folder(data_dir)
        folder = root / dataset / str(tfds.builder_cls(dataset).VERSION)
    if download and not folder.exists():
        _download(dataset, root, folder)
    with quiet_stderr():
        try:
            # Says "Permission denied" where TFDS says only that it could not read the file.
            (folder / "dataset_info.json").read_bytes()
            builder = tfds.builder_from_directory(folder)
            _check_features(dataset, folder, builder.info.features)
            # A part is decoded in a second, all images in ten.
            decoders = {"image": tfds.decode.SkipDecoding()}
            train, test = (
                builder.as_dataset(split=name, batch_size=-1, decoders=decoders) for name in ("train", "test")
            )
            failure = None
        except UserError:
            raise
        except Exception as error:  # TFDS, TensorFlow and protobuf have a dozen types for damaged files.
            failure = error
    if failure is not None:
        raise _reading_error(dataset, data_dir, folder, failure, download) from failure
    first_image = train["image"][0].numpy()
    title = title_of_copy(dataset, builder.info.description, len(train["id"]), len(test["id"]), first_image)
    splits = (
        _cifar_split(arrays, lambda e: _reading_error(dataset, data_dir, folder, e))
        for arrays in (train, test)
    )
    return title, *splits


def _check_features(dataset, folder, features):
    """Refuses a data set of another image size or number of classes under the name of a CIFAR."""
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    found, num_classes = tuple(features["image"].shape), features["label"].num_classes
    if (found, num_classes) != (shape, DATASETS[dataset].num_classes):

        def words(shape, num_classes):
            return f"images of {' x '.join(map(str, shape))} in {num_classes} classes"

        raise UserError(
            f"{folder} holds {words(found, num_classes)}; {DATASETS[dataset].title} has "
            f"{words(shape, DATASETS[dataset].num_classes)}"
        )


def _reading_error(dataset, data_dir, folder, failure, download=None):
    """Returns the UserError that says what is wrong with a folder and what to do."""
    where = f", data_dir={str(data_dir)!r}" if data_dir else ""
    command = f"""python -c "import tensorflow_datasets as tfds; tfds.load({dataset!r}{where})\""""
    if isinstance(failure, FileNotFoundError | NotADirectoryError):
        how = f"{command} fetches it" if download is None else f"--download fetches it, as does {command}"
        return UserError(f"no {DATASETS[dataset].title} in {folder}; {how}")
    return UserError(
        f"cannot read {DATASETS[dataset].title} in {folder} ({in_one_line(failure)}); if it is damaged, "
        f"remove that folder and fetch it again: {command}"
    )


def _cifar_split(arrays, reading_error):
    """Returns the split of one TFDS split, sorted by the number in ids such as b"train_16399"."""
    ids = np.array([int(name.rpartition(b"_")[2]) for name in arrays["id"].numpy()], np.int32)
    order = np.argsort(ids)
    labels = arrays["label"].numpy().astype(np.int32)

    def pixels(positions):
        try:
            images = _decode(arrays["image"], order[positions])
        except tf.errors.InvalidArgumentError as error:
            raise reading_error(error) from error
        return np.divide(images, np.float32(255), dtype=np.float32)

    return _Split(labels[order], ids[order], pixels)


def _decode(encoded, positions):
    """Decodes images as TFDS does: uint8 array of shape (n, 32, 32, 3)."""
    data = tf.data.Dataset.from_tensor_slices(tf.gather(encoded, positions))
    data = data.map(lambda image: tf.io.decode_image(image, 3), tf.data.AUTOTUNE, deterministic=True)
    return data.batch(len(positions)).get_single_element().numpy()


def _synthetic_split(index, num_images):
    """Returns a split of the synthetic images: image i is of class i mod 10, with pixels of its own."""
    ids = np.arange(num_images, dtype=np.int32)
    return _Split(
        ids % DATASETS["synthetic"].num_classes, ids, lambda positions: _synthetic_pixels(index, positions)
    )


def _synthetic_pixels(split, ids):
    """Draws images: a shifted class template and a background, both smooth, and white noise.

    Every class has several templates; contrast and shift vary from image to image. Templates and
    backgrounds are sums of waves with few periods across the image, so a shift turns their phases.

    Args:
        split: 0 for training images, 1 for test images.
        ids: Integer array of shape (n,), image numbers; an image does not depend on the others.

    Returns:
        float32 array of shape (n, 32, 32, 3) in [0, 1].
    """
    waves, basis = _waves()
    streams = Streams(_SYNTHETIC_SEED)
    rng = streams.generator("synthetic_templates")
    templates = _smooth_field(rng, waves, (DATASETS["synthetic"].num_classes, _MODES_PER_CLASS))
    images = np.empty((len(ids), IMAGE_SIZE**2, 3), np.float32)
    for image, number in zip(images, ids, strict=True):
        rng = streams.generator("synthetic_images", split, int(number))
        template = templates[number % DATASETS["synthetic"].num_classes, rng.integers(_MODES_PER_CLASS)]
        contrast = rng.uniform(0.5, 1.5)
        shift = rng.uniform(-_LARGEST_SHIFT, _LARGEST_SHIFT, 2)
        phase = np.exp(-2j * np.pi * (waves @ shift) / IMAGE_SIZE)
        field = _TEMPLATE_AMPLITUDE * contrast * phase[:, None] * template
        field += _BACKGROUND_AMPLITUDE * _smooth_field(rng, waves)
        rng.standard_normal(dtype=np.float32, out=image)
        image *= _NOISE_AMPLITUDE
        image += 0.5 + (basis @ np.concatenate([field.real, field.imag])).astype(np.float32)
    return np.clip(images, 0, 1, out=images).reshape(-1, IMAGE_SIZE, IMAGE_SIZE, 3)


def _waves():
    """Returns wave numbers (waves, 2), and the values of real and imaginary parts (pixels, 2 * waves)."""
    numbers = range(-_HIGHEST_FREQUENCY, _HIGHEST_FREQUENCY + 1)
    # Half of the plane: the other half would only be the complex conjugates.
    waves = np.array([(y, x) for y in numbers for x in numbers if (y, x) >= (0, 0)])
    rows, columns = np.divmod(np.arange(IMAGE_SIZE**2), IMAGE_SIZE)
    angle = 2 * np.pi * (np.stack([rows, columns], axis=1) @ waves.T) / IMAGE_SIZE
    return waves, np.concatenate([np.cos(angle), -np.sin(angle)], axis=1)


def _smooth_field(rng, waves, shape=()):
    """Draws complex amplitudes (*shape, waves, 3) of fields with unit variance, falling with frequency."""
    scale = 1 / (1 + np.hypot(*waves.T))
    scale /= np.sqrt(np.sum(scale**2))
    parts = rng.standard_normal((*shape, len(waves), 3, 2))
    return scale[:, None] * (parts[..., 0] + 1j * parts[..., 1])
