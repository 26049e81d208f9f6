"""Arrays of images and of labels, as all public functions take them; loads no TensorFlow."""

import math
from collections.abc import Sequence

import numpy as np

# What a classifier gives: found out from examples, or said.
OUTPUTS = ("auto", "logits", "probabilities")
# A batch of 500 of CIFAR-10's images holds as many.
_AT_ONCE, _NUMBERS_AT_ONCE = 500, 500 * 32 * 32 * 3


def examples_at_once(shape: Sequence[int]) -> int:
    """Returns how many examples a model is given at once: 500, fewer where they are large.

    Args:
        shape: Shape of an example. Those of more than 32 x 32 x 3 numbers come in batches of as many numbers.
    """
    return max(1, min(_AT_ONCE, _NUMBERS_AT_ONCE // math.prod(shape)))


def floating_type(array: np.ndarray) -> np.dtype:
    """Returns the type in which images are computed, whatever they are stored in: float32 at least.

    Half precision overflows above 65,504, and whole numbers wrap around.

    Args:
        array: Array of any type of numbers.

    Returns:
        float64 of float64, else float32.
    """
    return np.dtype(np.float64 if array.dtype == np.float64 else np.float32)


def floating(images: np.ndarray) -> np.ndarray:
    """Returns images in the type in which they are computed; without a copy if they have it already."""
    images = np.asarray(images)
    return images.astype(floating_type(images), copy=False)


def class_labels(labels: np.ndarray, name: str = "labels") -> np.ndarray:
    """Returns labels, one an example, as an array of one axis.

    `keras.datasets` gives labels of shape (n, 1), which NumPy would broadcast against those of shape (n,).

    Args:
        labels: Integers of shape (n,) or (n, 1); of two classes also booleans.
        name: How the caller calls them.

    Returns:
        Integer array of shape (n,).

    Raises:
        ValueError: If they have another shape, such as that of one-hot labels, or are not integers.
    """
    labels = np.asarray(labels)
    if labels.dtype.kind == "b":
        labels = labels.astype(np.int64)
    if labels.ndim not in (1, 2) or labels.shape[1:] not in ((), (1,)) or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be integers of shape (n,) or (n, 1), the class of each example. Received: "
            f"{name} of shape {labels.shape} and type {labels.dtype}"
        )
    return labels.reshape(-1)
