"""Corruptions of labels and of pixels, each under the name of the study that defines it.

The rules for labels differ in what is counted (each class, the whole set, or nothing: independent draws), in
whether a new label may be the true one, and in where their randomness comes from. They are not variants of
one function. All work on arrays on the host, once before training, and leave their input as it is. Labels of
shape (n, 1), as `keras.datasets` gives them, are taken as those of shape (n,).
"""

import numpy as np

from ..arrays import class_labels, floating
from ..errors import UserError


def _check_fraction(name, value):
    if not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be from 0 to 1. Received: {name}={value}")


def _checked(labels, num_classes, name="labels"):
    """Labels of one axis, which are classes and whose type holds every class."""
    labels = class_labels(labels, name)
    if num_classes < 2 or num_classes - 1 > np.iinfo(labels.dtype).max:
        raise ValueError(
            f"`num_classes` must be at least 2 and no more than {labels.dtype} holds. Received: "
            f"num_classes={num_classes}"
        )
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"`{name}` must be from 0 to {num_classes - 1}. Received: {labels.min()} to {labels.max()}"
        )
    return labels


def zhang_labels(
    labels: np.ndarray, probability: float, num_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Replaces each label, with a probability, by a uniform draw over all classes.

    The draw may be the true label: a fraction `probability * (1 - 1 / num_classes)` is wrong on average.
    With equal generators the labels replaced at one probability are replaced alike at a larger one.

    Args:
        labels: Integer array of shape (n,) or (n, 1).
        probability: In [0, 1]; 1 gives random labels.
        num_classes: Number of classes.
        rng: Source of the draws.

    Returns:
        Array of shape (n,) and of the type of `labels`.

    Raises:
        ValueError: If the probability is not in [0, 1], or labels are not classes, one an example, or
            their type does not hold all classes.

    Reference: Zhang et al. 2017, section 2.1.
    """
    _check_fraction("probability", probability)
    labels = _checked(labels, num_classes)
    replaced = rng.random(labels.shape) < probability
    draws = rng.integers(0, num_classes, labels.shape)
    return np.where(replaced, draws, labels).astype(labels.dtype)


def nakkiran_labels(
    labels: np.ndarray, probability: float, num_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Replaces each label, with a probability, by a uniform draw over the other classes.

    With equal generators the labels replaced at one probability are replaced alike at a larger one.

    Args:
        labels: Integer array of shape (n,) or (n, 1).
        probability: In [0, 1], the expected fraction of wrong labels.
        num_classes: Number of classes.
        rng: Source of the draws.

    Returns:
        Array of shape (n,) and of the type of `labels`.

    Raises:
        ValueError: If the probability is not in [0, 1], or labels are not classes, one an example, or
            their type does not hold all classes.

    Reference: Nakkiran et al. 2020, "Deep double descent".
    """
    _check_fraction("probability", probability)
    labels = _checked(labels, num_classes)
    replaced = rng.random(labels.shape) < probability
    others = (labels + rng.integers(1, num_classes, labels.shape)) % num_classes
    return np.where(replaced, others, labels).astype(labels.dtype)


def somepalli_labels(labels: np.ndarray, rate: float, num_classes: int) -> np.ndarray:
    """Replaces the same number of labels in every class by uniform draws over the other classes.

    The randomness is fixed: NumPy's legacy generator, seeded with 42 anew for every class; the new labels
    continue the sequence of the last class. On all 50,000 labels of CIFAR-10 in the order of the original
    files the result is that of the official code. Counts are rounded down, first that of the whole set,
    then that of a class.

    Args:
        labels: Integer array of shape (n,) or (n, 1).
        rate: In [0, 1], the fraction of wrong labels.
        num_classes: Number of classes.

    Returns:
        Array of shape (n,) and of the type of `labels`.

    Raises:
        UserError: If a class has fewer images than are to be replaced.
        ValueError: If the rate is not in [0, 1], or labels are not classes, one an example, or their type
            does not hold all classes.

    Reference: Somepalli et al. 2022; somepago/dbViz, double-descent/data_noisy.py.
    """
    _check_fraction("rate", rate)
    labels = _checked(labels, num_classes)
    num_per_class = int(int(rate * len(labels)) / num_classes)
    chosen = []
    for label in range(num_classes):
        members = np.flatnonzero(labels == label)
        if len(members) < num_per_class:
            raise UserError(
                f"--label_noise={rate}: class {label} has {len(members)} images, fewer than the "
                f"{num_per_class} to corrupt in every class"
            )
        rng = np.random.RandomState(42)
        chosen.append(rng.choice(members, num_per_class, replace=False))
    replaced = np.concatenate(chosen)
    # The official code draws an index into the list of the other classes, in increasing order.
    draws = rng.randint(0, num_classes - 1, len(replaced))
    corrupted = labels.copy()
    corrupted[replaced] = draws + (draws >= labels[replaced])
    return corrupted


def gamba_symmetric_labels(
    labels: np.ndarray, rate: float, num_classes: int, rng: np.random.Generator
) -> np.ndarray:
    """Replaces an exact number of labels of the whole set by uniform draws over the other classes.

    The classes share the wrong labels by chance. With `numpy.random.default_rng(label_seed)` the result is
    that of the official code.

    Args:
        labels: Integer array of shape (n,) or (n, 1).
        rate: In [0, 1]; round(rate * n) labels are wrong.
        num_classes: Number of classes.
        rng: Source of the draws.

    Returns:
        Array of shape (n,) and of the type of `labels`.

    Raises:
        ValueError: If the rate is not in [0, 1], or labels are not classes, one an example, or their type
            does not hold all classes.

    Reference: Gamba et al. 2022; magamba/double_descent, core/data.py, `corrupt_labels`.
    """
    _check_fraction("rate", rate)
    labels = _checked(labels, num_classes)
    num_replaced = round(rate * len(labels))
    offsets = np.zeros(len(labels), np.int64)
    offsets[:num_replaced] = rng.integers(1, num_classes, num_replaced)
    offsets = offsets[rng.permutation(len(labels))]
    return ((labels + offsets) % num_classes).astype(labels.dtype)


def gamba_asymmetric_labels(
    labels: np.ndarray,
    num_corrupted_classes: int,
    fraction: float,
    num_classes: int,
    rng: np.random.Generator,
    classes: str = "random",
) -> np.ndarray:
    """Replaces a fraction of the labels of some classes by uniform draws over all other classes.

    The paper chooses 20 of 100 classes at random and a fraction of 0.8. Its text calls this 20 % of the
    training set; it is 16 %. The official code takes the first classes, 25 of them for 20 %; with
    `classes="first"` and `numpy.random.default_rng(label_seed)` the result is that of the official code.

    Args:
        labels: Integer array of shape (n,) or (n, 1).
        num_corrupted_classes: Number of classes whose labels are replaced.
        fraction: In [0, 1], the fraction replaced in each of them, rounded down to whole images.
        num_classes: Number of classes.
        rng: Source of the draws.
        classes: "random" or "first".

    Returns:
        Array of shape (n,) and of the type of `labels`.

    Raises:
        ValueError: If the fraction is not in [0, 1] or the number of classes not in [0, `num_classes`], if
            `classes` is neither "random" nor "first", or labels are not classes, one an example, or their
            type does not hold all classes.

    Reference: Gamba et al. 2022, section 4.5; magamba/double_descent, core/data.py,
    `corrupt_labels_asymmetric`.
    """
    _check_fraction("fraction", fraction)
    if not 0 <= num_corrupted_classes <= num_classes:
        raise ValueError(
            f"`num_corrupted_classes` must be from 0 to {num_classes}. Received: {num_corrupted_classes=}"
        )
    if classes not in ("random", "first"):
        raise ValueError(f'`classes` must be "random" or "first". Received: classes={classes!r}')
    labels = _checked(labels, num_classes)
    order = rng.permutation(num_classes) if classes == "random" else np.arange(num_classes)
    corrupted = labels.copy()
    for label in order[:num_corrupted_classes]:
        members = labels == label
        num_members = np.count_nonzero(members)
        # As the official code: the shuffle before the offsets here, after them in the symmetric rule.
        shuffle = rng.permutation(num_members)
        offsets = np.zeros(num_members, np.int64)
        num_replaced = int(num_members * fraction)
        offsets[:num_replaced] = rng.integers(1, num_classes, num_replaced)
        corrupted[members] = (label + offsets[shuffle]) % num_classes
    return corrupted


def pluskid_labels(
    train_labels: np.ndarray, test_labels: np.ndarray, probability: float, num_classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Replaces each label, of training AND test set, with a probability by a uniform draw over all classes.

    The randomness is fixed: NumPy's legacy generator, seeded with 12345 for either set. This is Zhang's own
    demonstration, not the code of the paper: there test labels stay true.

    Args:
        train_labels: Integer array of shape (n,) or (n, 1).
        test_labels: Integer array of shape (m,) or (m, 1).
        probability: In [0, 1].
        num_classes: Number of classes.

    Returns:
        Two arrays of shapes (n,) and (m,) and of the types of `train_labels` and `test_labels`.

    Raises:
        ValueError: If the probability is not in [0, 1], or labels are not classes, one an example, or
            their type does not hold all classes.

    Reference: pluskid/fitting-random-labels, cifar10_data.py.
    """
    _check_fraction("probability", probability)
    train_labels = _checked(train_labels, num_classes, "train_labels")
    test_labels = _checked(test_labels, num_classes, "test_labels")
    return tuple(_pluskid(labels, probability, num_classes) for labels in (train_labels, test_labels))


def _pluskid(labels, probability, num_classes):
    corrupted = labels.copy()
    if probability > 0:
        rng = np.random.RandomState(12345)
        replaced = rng.rand(len(labels)) <= probability
        corrupted[replaced] = rng.choice(num_classes, np.count_nonzero(replaced))
    return corrupted


def pixel_permutation(image_shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """Draws a permutation of the positions in an image.

    Args:
        image_shape: (height, width, channels).
        rng: Source of the draws.

    Returns:
        Integer array of shape (height * width,): the position from which each pixel comes.
    """
    height, width, _ = image_shape
    return rng.permutation(height * width)


def permute_pixels(images: np.ndarray, permutation: np.ndarray) -> np.ndarray:
    """Moves the pixels of all images alike; the channels of a pixel stay together.

    Args:
        images: Array of shape (n, height, width, channels).
        permutation: Array of shape (height * width,), as of `pixel_permutation`.

    Returns:
        Array of the shape and type of `images`.
    """
    positions = images.reshape(len(images), -1, images.shape[-1])
    return positions[:, permutation].reshape(images.shape)


def shuffled_pixels(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permutes the pixels of all images by one permutation, the same for the channels.

    Equal generators give equal permutations, so a test set takes a new generator of the same stream.

    Args:
        images: Array of shape (n, height, width, channels).
        rng: Source of the draws.

    Returns:
        Array of the shape and type of `images`.

    Reference: Zhang et al. 2017, section 2.1.
    """
    return permute_pixels(images, pixel_permutation(images.shape[1:], rng))


def random_pixels(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Permutes the pixels of each image by a permutation of its own, the same for the channels.

    Args:
        images: Array of shape (n, height, width, channels).
        rng: Source of the draws.

    Returns:
        Array of the shape and type of `images`.

    Reference: Zhang et al. 2017, section 2.1.
    """
    permuted = np.empty_like(images)
    for i in range(len(images)):
        permuted[i] = shuffled_pixels(images[i : i + 1], rng)[0]
    return permuted


def channel_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of every channel over a whole data set.

    Args:
        images: Array of shape (n, height, width, channels), of any type of numbers.

    Returns:
        Two float64 arrays of shape (channels,).
    """
    images = floating(images)
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64)
    # In place: `images.var` would make a float64 copy of the whole set.
    squares = images - mean.astype(images.dtype)
    np.square(squares, out=squares)
    return mean, squares.mean(axis=(0, 1, 2), dtype=np.float64)


def gaussian_pixels(
    images: np.ndarray, rng: np.random.Generator, statistics: str | tuple[np.ndarray, np.ndarray] = "dataset"
) -> np.ndarray:
    """Replaces every pixel by a draw from a Gaussian with the mean and variance of its channel.

    The values are not clipped to [0, 1]. With "image", the mean colour of an image survives.

    Args:
        images: Array of shape (n, height, width, channels), of any type of numbers.
        rng: Source of the draws.
        statistics: "dataset" for those of `images` (Zhang et al. 2017), "image" for those of each image (the
            EE-411 reproduction), or a pair (mean, variance) of shape (channels,), as of
            `channel_statistics`: a test set takes those of its training set.

    Returns:
        float32 array of the shape of `images`.

    Raises:
        ValueError: If `statistics` is a string other than "dataset" and "image".

    Reference: Zhang et al. 2017, section 2.1; EE-411 reproduction 2024, randomization tests.
    """
    if isinstance(statistics, str) and statistics not in ("dataset", "image"):
        raise ValueError(
            '`statistics` must be "dataset", "image" or a pair (mean, variance). '
            f"Received: statistics={statistics!r}"
        )
    if statistics == "image":
        values = floating(images)
        mean, variance = values.mean(axis=(1, 2), keepdims=True), values.var(axis=(1, 2), keepdims=True)
    else:
        mean, variance = channel_statistics(images) if isinstance(statistics, str) else statistics
    pixels = rng.standard_normal(images.shape, dtype=np.float32)
    pixels *= np.sqrt(variance).astype(np.float32)
    pixels += np.asarray(mean, np.float32)
    return pixels
