"""Paths of images of growing erasure: each image loses a window of its smallest singular values.

One singular value decomposition for each image and channel gives all paths, and the lengths of their
segments without forming an image.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ..errors import UserError
from ..tensors import floating

# Gamba et al. 2022; the numbers are those of magamba/double_descent, core/strategies.py, "svd-path".
STRENGTHS = (5, 10, 15, 20, 22, 25)


def erasure_windows(rank: int, num_paths: int = 4, strengths: Sequence[int] = STRENGTHS) -> np.ndarray:
    """Index ranges of the singular values to erase, sorted from the largest.

    Path `p` at strength `k` erases `k` values, of 0-based indices `rank - k - p ... rank - p - 1`: the
    window starts at the smallest values and moves toward the larger ones as `p` grows.

    Example:
    >>> erasure_windows(rank=32, num_paths=2, strengths=(5, 25))
    [[[27, 32], [7, 32]], [[26, 31], [6, 31]]]

    Args:
        rank: Number of singular values of a channel, the smaller of its height and width.
        num_paths: Number of paths, at least 1. The authors' example has 4, their default is 8.
        strengths: Strictly increasing numbers of erased values; may be empty.

    Returns:
        Integer array of shape (num_paths, strengths, 2): first index, last index + 1.

    Raises:
        UserError: If `num_paths` or `strengths` are not such numbers, or a window starts below index 0.

    Reference:

    - [Gamba et al. 2022, section 3.4](https://arxiv.org/abs/2209.10080)
    - magamba/double_descent, core/data.py, SVDTransform
    """
    if num_paths < 1:
        raise UserError(f"the number of paths must be at least 1, not {num_paths}")
    if any(low >= high for low, high in zip((0, *strengths), strengths, strict=False)):
        raise UserError(f"erasure strengths must be positive and increasing, not {tuple(strengths)}")
    if strengths and strengths[-1] + num_paths - 1 > rank:
        raise UserError(
            f"{num_paths} paths of strength {strengths[-1]} need {strengths[-1] + num_paths - 1} singular "
            f"values, but the images have {rank}: lower the strengths or the number of paths"
        )
    stop = rank - np.arange(num_paths)[:, np.newaxis]
    start = stop - np.array(strengths, dtype=int)
    return np.stack([start, np.broadcast_to(stop, start.shape)], axis=-1)


def erasure_masks(windows: np.ndarray, rank: int) -> np.ndarray:
    """Ones where a window erases: float32 array of shape (paths * strengths, rank), path by path."""
    index = np.arange(rank)
    start, stop = windows.reshape(-1, 2, 1).transpose(1, 0, 2)
    return ((index >= start) & (index < stop)).astype("float32")


def decompose(images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Singular value decompositions of all channels of all images, computed in float64.

    NumPy's batched LAPACK call is faster than TensorFlow's decomposition on a CPU, and float64 costs it
    no more than float32.

    Args:
        images: Array of shape (images, height, width, channels).

    Returns:
        Left vectors times singular values, float32 (images, channels, height, rank); singular values,
        float64 (images, channels, rank), largest first; right vectors, float32 (images, channels, rank,
        width).
    """
    channels = np.moveaxis(np.asarray(images, dtype="float64"), -1, 1)
    left, singular_values, right = np.linalg.svd(channels, full_matrices=False)
    scaled_left = left * singular_values[..., np.newaxis, :]
    return scaled_left.astype("float32"), singular_values, right.astype("float32")


def erase(images: tf.Tensor, scaled_left: tf.Tensor, right: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Images without the singular values of one window.

    The erased part is subtracted, so an empty window returns the images exactly. Nothing is clipped.

    Args:
        images: Tensor of shape (images, height, width, channels).
        scaled_left: First result of `decompose`.
        right: Last result of `decompose`.
        mask: Float32 tensor of shape (rank,), one where a singular value is erased.

    Returns:
        Tensor of the shape of `images`, float64 if they are, else float32.
    """
    images = floating(images)
    erased = tf.matmul(scaled_left * mask, right)
    return images - tf.cast(tf.transpose(erased, (0, 2, 3, 1)), images.dtype)


def svd_paths(images: np.ndarray, num_paths: int = 4, strengths: Sequence[int] = STRENGTHS) -> np.ndarray:
    """All erasures of all images, each made from the image itself, from one decomposition.

    Images stay in the range that they come in, usually [0, 1], and leave it slightly: nothing is clipped.
    The result is `num_paths * len(strengths)` times as large as the images.

    Args:
        images: Array of shape (images, height, width, channels).
        num_paths: Number of paths, at least 1.
        strengths: Strictly increasing numbers of erased singular values.

    Returns:
        Float32 array of shape (images, num_paths, strengths, height, width, channels).

    Raises:
        UserError: As `erasure_windows` does.

    Reference:

    - [Gamba et al. 2022, section 3.4](https://arxiv.org/abs/2209.10080)
    """
    images = np.asarray(images, dtype="float32")
    rank = min(images.shape[1:3])
    masks = erasure_masks(erasure_windows(rank, num_paths, strengths), rank)
    scaled_left, _, right = decompose(images)
    # A single matrix product for each channel: the factors of all windows stand on top of each other.
    stacked = (scaled_left[:, :, np.newaxis] * masks[:, np.newaxis]).reshape(*scaled_left.shape[:2], -1, rank)
    erased = (stacked @ right).reshape(*right.shape[:2], num_paths, len(strengths), *images.shape[1:3])
    return images[:, np.newaxis, np.newaxis] - np.moveaxis(erased, 1, -1)


def segment_lengths(
    singular_values: np.ndarray, windows: np.ndarray, std: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Euclidean lengths of the segments of each path, between normalised images.

    Consecutive anchors of a path differ by the singular values that only the later one has lost. Singular
    vectors are orthonormal, so the squared distance is the sum of the squares of those values, each divided
    by the standard deviation that its channel is normalised with.

    Args:
        singular_values: Array of shape (images, channels, rank).
        windows: Result of `erasure_windows`.
        std: Array of shape (channels,).

    Returns:
        Float64 array of shape (images, num_paths, strengths); the first segment starts at the image.
    """
    std = np.asarray(std, dtype="float64")
    squares = np.sum(np.square(singular_values / std[:, np.newaxis]), axis=1)
    # Sums from the smallest value on, so that the short first segments keep their precision.
    sums = np.cumsum(squares[:, ::-1], axis=-1)[:, ::-1]
    sums = np.concatenate([sums, np.zeros((len(sums), 1))], axis=-1)
    start, stop = windows[..., 0], windows[..., 1]
    previous = np.concatenate([stop[:, :1], start[:, :-1]], axis=1)
    return np.sqrt(sums[:, start] - sums[:, previous])
