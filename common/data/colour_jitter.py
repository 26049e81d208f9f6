"""Weak colour transformations: brightness, contrast and saturation, in a random order.

The three operations are torchvision's `adjust_brightness`, `adjust_contrast` and `adjust_saturation`
without the clamp to [0, 1]. Without it they are linear in the image `x`, its luma `g` and its mean luma `m`,
and so is any sequence of them: three coefficients stand for a whole transformation.
"""

import itertools

import numpy as np
import tensorflow as tf

from common.streams import Streams, threefry2x32

# torchvision's rgb_to_grayscale; the weights add up to 0.9999.
RGB_LUMA = (0.2989, 0.587, 0.114)
ORDERS = np.array(list(itertools.permutations(range(3))))


def luma_weights(num_channels):
    """Weights of the channels in the luma: (1,) of a grey image, torchvision's for three channels.

    Raises:
        ValueError: If there are neither 1 nor 3 channels.
    """
    if num_channels not in (1, 3):
        raise ValueError(f"Images must have 1 or 3 channels. Received: num_channels={num_channels}")
    return np.array(RGB_LUMA if num_channels == 3 else (1.0,))


def jitter_parameters(key, samples, num_copies, strength=0.01):
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
    first, second = threefry2x32(tuple(np.uint32(key)), (samples, blocks))
    words = np.concatenate([first.numpy(), second.numpy()], axis=-1)
    factors = 1 + strength * (2 * (words[..., :3] / 2.0**32) - 1)
    return factors, ORDERS[words[..., 3] % len(ORDERS)]


def compose(factors, orders, num_channels=3):
    """Composes sequences of transformations into coefficients of the image, its luma and its mean luma.

    Args:
        factors: First result of `jitter_parameters`.
        orders: Second result of `jitter_parameters`.
        num_channels: 1 or 3.

    Returns:
        Float32 array of shape (samples, num_copies, 3), see `apply_jitter`.

    Raises:
        ValueError: If there are neither 1 nor 3 channels.
    """
    # The luma of an image that is grey already is `weight` times itself.
    weight = np.sum(luma_weights(num_channels))
    brightness, contrast, saturation = np.moveaxis(factors, -1, 0)
    maps = np.zeros((*factors.shape, 3, 3))
    maps[..., 0, :, :] = brightness[..., np.newaxis, np.newaxis] * np.eye(3)
    maps[..., 1, :, :] = contrast[..., np.newaxis, np.newaxis] * np.eye(3)
    maps[..., 1, 2, :] += (1 - contrast)[..., np.newaxis] * (1, weight, weight)
    maps[..., 2, :, :] = saturation[..., np.newaxis, np.newaxis] * np.eye(3)
    maps[..., 2, 1, :] += (1 - saturation)[..., np.newaxis] * (1, weight, 0)
    maps[..., 2, 2, 2] += (1 - saturation) * weight
    ordered = np.take_along_axis(maps, orders[..., np.newaxis, np.newaxis], axis=-3)
    coefficients = np.broadcast_to(np.array([1.0, 0.0, 0.0]), factors.shape)[..., np.newaxis]
    for step in range(3):
        coefficients = ordered[..., step, :, :] @ coefficients
    return coefficients[..., 0].astype("float32")


def jitter_coefficients(seed, samples, num_copies, num_channels=3):
    """Coefficients of the transformed copies of some samples, drawn below a root seed.

    Args:
        seed: Root seed; the copies have their own stream below it.
        samples: Integer array of shape (samples,), the samples' positions in the data.
        num_copies: Number of transformations of each sample.
        num_channels: 1 or 3.

    Returns:
        Float32 array of shape (samples, num_copies, 3), see `apply_jitter`.

    Raises:
        ValueError: If there are neither 1 nor 3 channels.
    """
    key = Streams(seed).key("colour_jitter")
    return compose(*jitter_parameters(key, samples, num_copies), num_channels)


def apply_jitter(images, coefficients):
    """Transforms each image by each of its copies' coefficients.

    Nothing is clamped to [0, 1]. torchvision clamps the transformed copies but nothing clamps the anchors of
    an erasure path, which leave [0, 1]; part of the difference between the two would then be the clamp
    instead of the colours.

    Args:
        images: Float32 tensor of shape (images, height, width, channels), not normalised.
        coefficients: Float32 array of shape (images, num_copies, 3).

    Returns:
        Float32 tensor of shape (images, num_copies, height, width, channels).

    Raises:
        ValueError: If there are neither 1 nor 3 channels.
    """
    weights = tf.constant(luma_weights(images.shape[-1]), images.dtype)
    luma = tf.reduce_sum(images * weights, axis=-1, keepdims=True)
    mean_luma = tf.reduce_mean(luma, axis=(1, 2, 3), keepdims=True)
    of_image, of_luma, of_mean = tf.unstack(coefficients[..., tf.newaxis, tf.newaxis, tf.newaxis, :], axis=-1)
    images, luma, mean_luma = (tensor[:, tf.newaxis] for tensor in (images, luma, mean_luma))
    return of_image * images + (of_luma * luma + of_mean * mean_luma)
