"""Weak colour transformations: brightness, contrast and saturation, in a random order.

The three operations are torchvision's `adjust_brightness`, `adjust_contrast` and `adjust_saturation`. Each is
linear in the image `x`, its luma `g` and its mean luma `m`, up to torchvision's clip to [0, 1]: three
coefficients stand for an operation and, without the clip, for a whole transformation.
"""

import itertools

import numpy as np
import tensorflow as tf

from ..streams import Streams, threefry2x32
from ..tensors import floating

# torchvision's rgb_to_grayscale; the weights add up to 0.9999.
RGB_LUMA = (0.2989, 0.587, 0.114)
ORDERS = np.array(list(itertools.permutations(range(3))))
COLOUR_CLIPS = ("none", "code")


def luma_weights(num_channels: int) -> np.ndarray:
    """Weights of the channels in the luma: (1,) of a grey image, torchvision's for three channels.

    Raises:
        ValueError: If there are neither 1 nor 3 channels.
    """
    if num_channels not in (1, 3):
        raise ValueError(f"Images must have 1 or 3 channels. Received: num_channels={num_channels}")
    return np.array(RGB_LUMA if num_channels == 3 else (1.0,))


def jitter_parameters(
    key: np.ndarray, samples: np.ndarray, num_copies: int, strength: float = 0.01
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the factors and the order of each transformation.

    A draw is a function of (key, sample, copy) alone: it does not depend on the batch that a sample is in.

    Args:
        key: Two uint32 words, as `Streams.key` returns them.
        samples: Integer array of shape (samples,), the samples' positions in the data.
        num_copies: Number of transformations of each sample.
        strength: Factors are uniform in [1 - strength, 1 + strength].

    Returns:
        Factors of brightness, contrast and saturation, float64 (samples, num_copies, 3), and the order in
        which these three are applied, integers (samples, num_copies, 3).

    Reference:

    - magamba/double_descent, core/data.py, MultiColorJitter
    """
    samples = np.asarray(samples, dtype="uint32")[:, np.newaxis, np.newaxis]
    blocks = np.arange(2 * num_copies, dtype="uint32").reshape(1, num_copies, 2)
    first, second = threefry2x32(tuple(np.asarray(key, np.uint32)), (samples, blocks))
    words = np.concatenate([first.numpy(), second.numpy()], axis=-1)
    factors = 1 + strength * (2 * (words[..., :3] / 2.0**32) - 1)
    return factors, ORDERS[words[..., 3] % len(ORDERS)]


def compose(factors: np.ndarray, orders: np.ndarray, num_channels: int = 3) -> np.ndarray:
    """Composes sequences of transformations into coefficients of the image, its luma and its mean luma.

    Args:
        factors: First result of `jitter_parameters`.
        orders: Second result of `jitter_parameters`.
        num_channels: 1 or 3.

    Returns:
        Float32 array of shape (samples, num_copies, 1, 3), see `apply_jitter`: a sequence is one step.

    Raises:
        ValueError: If there are neither 1 nor 3 channels.
    """
    # The luma of an image that is grey already is `weight` times itself.
    weight = np.sum(luma_weights(num_channels))
    of_image, of_luma, of_mean = np.moveaxis(_operations(factors), -1, 0)
    maps = of_image[..., np.newaxis, np.newaxis] * np.eye(3)
    maps[..., 1, :] += of_luma[..., np.newaxis] * (1, weight, 0)
    maps[..., 2, :] += of_mean[..., np.newaxis] * (1, weight, weight)
    maps[..., 2, 2] += of_luma * weight
    ordered = np.take_along_axis(maps, orders[..., np.newaxis, np.newaxis], axis=-3)
    coefficients = np.broadcast_to(np.array([1.0, 0.0, 0.0]), factors.shape)[..., np.newaxis]
    for step in range(3):
        coefficients = ordered[..., step, :, :] @ coefficients
    return coefficients[..., np.newaxis, :, 0].astype("float32")


def in_sequence(factors: np.ndarray, orders: np.ndarray) -> np.ndarray:
    """Coefficients of the operations one by one, between which something else can be done.

    Args:
        factors: First result of `jitter_parameters`.
        orders: Second result of `jitter_parameters`.

    Returns:
        Float32 array of shape (samples, num_copies, 3, 3), see `apply_jitter`: an operation is one step.
    """
    ordered = np.take_along_axis(_operations(factors), orders[..., np.newaxis], axis=-2)
    return ordered.astype("float32")


def _operations(factors):
    """Coefficients (..., 3, 3) of brightness, contrast and saturation: one more axis than their factors."""
    brightness, contrast, saturation = np.moveaxis(factors, -1, 0)
    zero = np.zeros_like(brightness)
    operations = (
        (brightness, zero, zero),
        (contrast, zero, 1 - contrast),
        (saturation, 1 - saturation, zero),
    )
    return np.stack([np.stack(operation, axis=-1) for operation in operations], axis=-2)


def jitter_coefficients(
    seed: int, samples: np.ndarray, num_copies: int, num_channels: int = 3, clip: str = "none"
) -> np.ndarray:
    """Coefficients of the transformed copies of some samples, drawn below a root seed.

    Args:
        seed: Root seed; the copies have their own stream below it.
        samples: Integer array of shape (samples,), the samples' positions in the data.
        num_copies: Number of transformations of each sample.
        num_channels: 1 or 3.
        clip: One of `COLOUR_CLIPS`, what `apply_jitter` is to do with them.

    Returns:
        Float32 array of shape (samples, num_copies, steps, 3), see `apply_jitter`; one step where nothing is
        clipped, else three.

    Raises:
        ValueError: If there are neither 1 nor 3 channels, or `clip` is not one of `COLOUR_CLIPS`.
    """
    check_clip(clip)
    factors, orders = jitter_parameters(Streams(seed).key("colour_jitter"), samples, num_copies)
    return compose(factors, orders, num_channels) if clip == "none" else in_sequence(factors, orders)


def apply_jitter(images: tf.Tensor, coefficients: np.ndarray | tf.Tensor, clip: str = "none") -> tf.Tensor:
    """Transforms each image by each of its copies' coefficients.

    By default nothing is clipped to [0, 1]. The official code clips the copies after each operation but not
    the anchors of an erasure path, which leave [0, 1]; part of the difference between the two is then the
    clip instead of the colours. `clip="code"` does as it does.

    Args:
        images: Tensor of shape (images, height, width, channels), not normalised.
        coefficients: Float32 array of shape (images, num_copies, steps, 3): what each step, one after the
            other, multiplies the image, its luma and its mean luma by, to add them.
        clip: One of `COLOUR_CLIPS`: `"code"` clips to [0, 1] after each step.

    Returns:
        Tensor of shape (images, num_copies, height, width, channels), float64 if the images are, else
        float32.

    Raises:
        ValueError: If there are neither 1 nor 3 channels, or `clip` is not one of `COLOUR_CLIPS`.

    Reference:

    - magamba/double_descent, core/data.py, MultiColorJitter
    """
    check_clip(clip)
    images = floating(images)
    coefficients = tf.cast(coefficients, images.dtype)
    weights = tf.constant(luma_weights(images.shape[-1]), images.dtype)
    copies = images[:, tf.newaxis]
    for step in tf.unstack(coefficients, axis=2):
        luma = tf.reduce_sum(copies * weights, axis=-1, keepdims=True)
        mean_luma = tf.reduce_mean(luma, axis=(2, 3, 4), keepdims=True)
        of_image, of_luma, of_mean = tf.unstack(step[:, :, tf.newaxis, tf.newaxis, tf.newaxis, :], axis=-1)
        copies = of_image * copies + (of_luma * luma + of_mean * mean_luma)
        if clip == "code":
            copies = tf.clip_by_value(copies, 0.0, 1.0)
    return copies


def check_clip(clip: str) -> None:
    """Raises a ValueError unless it is one of `COLOUR_CLIPS`."""
    if clip not in COLOUR_CLIPS:
        raise ValueError(f"The clip of colours must be one of {COLOUR_CLIPS}. Received: {clip!r}")
