"""Concentration of a network's outputs on uniform random images: the bound of Lemma 2.1 and its constants."""

import functools
from collections.abc import Iterable

import numpy as np
import tensorflow as tf
from scipy.special import lambertw

from ..compilation import compiled
from .logits import Network, check_logits, logits_of


def _positive(**values: float | np.ndarray) -> Iterable[np.ndarray]:
    """Returns float64 arrays, all greater than 0."""
    arrays = {name: np.asarray(value, np.float64) for name, value in values.items()}
    for name, array in arrays.items():
        if not np.all((array > 0) & np.isfinite(array)):
            raise ValueError(f"`{name}` must be finite and greater than 0. Received: {name}={values[name]}")
    return arrays.values()


def concentration_bound(
    t: float | np.ndarray, lipschitz: float | np.ndarray, num_pixels: int
) -> float | np.ndarray:
    """Lower bound of the probability that a random image's output is within `t` of the median.

    Lemma 2.1: f maps [0, 1]^n to [0, 1] with |f(x) - f(y)| <= L / sqrt(n) * |x - y|, and the n pixels of x
    are independent and uniform.

    Formula:

    ```
    P(|f(x) - median| <= t) >= 1 - L * exp(-2 * pi * n * t^2 / L^2) / (pi * t * sqrt(n))
    ```

    Example:
    >>> concentration_bound(t=0.1, lipschitz=10.0, num_pixels=3072)
    0.9166574681234131

    Args:
        t: Distance from the median, greater than 0.
        lipschitz: L of the lemma, greater than 0; broadcasts with `t`.
        num_pixels: n, the number of pixels times channels: 3,072 for CIFAR-10.

    Returns:
        Float64 number or array, below 1. Negative values are as the lemma gives them, and say nothing.

    Raises:
        ValueError: If an argument is not greater than 0.

    Reference:

    - [Somepalli et al. 2022, Lemma 2.1](https://arxiv.org/abs/2203.08124)
    """
    t, lipschitz, n = _positive(t=t, lipschitz=lipschitz, num_pixels=num_pixels)
    exponent = -2 * np.pi * n * (t / lipschitz) ** 2
    return 1 - lipschitz * np.exp(exponent) / (np.pi * t * np.sqrt(n))


def smallest_lipschitz(values: np.ndarray, t: float | np.ndarray, num_pixels: int) -> float | np.ndarray:
    """Smallest L with which the bound of Lemma 2.1 holds on a sample of outputs, for each `t`.

    With m the fraction of the sample farther than `t` from its median, the bound holds for every
    L at or above the value below (the inverse of the bound, by Lambert's W). A network whose L is smaller
    contradicts the lemma, up to the sample's error; the largest value over `t` is the one that all need.

    Formula:

    ```
    L(t) = 2 * t * sqrt(pi * n / W(4 / (pi * m^2))),  0 if m = 0
    ```

    Args:
        values: Array of shape (images,) in [0, 1], a network's outputs at uniform random images.
        t: Distances from the median, greater than 0.
        num_pixels: n, the number of pixels times channels.

    Returns:
        Float64 number or array of the shape of `t`.

    Raises:
        ValueError: If `values` is empty or outside [0, 1], or another argument is not greater than 0.

    Reference:

    - [Somepalli et al. 2022, Lemma 2.1](https://arxiv.org/abs/2203.08124)
    """
    values = np.asarray(values, np.float64)
    if values.ndim != 1 or values.size == 0 or not np.all((values >= 0) & (values <= 1)):
        raise ValueError(
            f"`values` must be a non-empty 1-D array with values in [0, 1]. Received: shape {values.shape}"
        )
    t, n = _positive(t=t, num_pixels=num_pixels)
    outside = np.mean(np.abs(values - np.median(values)) > t[..., None], axis=-1)
    some = np.where(outside > 0, outside, 1.0)
    needed = 2 * t * np.sqrt(np.pi * n / lambertw(4 / (np.pi * some**2)).real)
    return np.where(outside > 0, needed, 0.0)[()]


def outputs_and_slopes(
    model: Network,
    image_shape: tuple[int, ...],
    num_images: int,
    rng: np.random.Generator,
    batch_size: int = 256,
) -> tuple[np.ndarray, np.ndarray]:
    """A network's class probabilities at uniform random images, and the slopes of these functions there.

    The slope sqrt(n) * |gradient| at a point is a lower bound of the function's L: the largest over images is
    what Lemma 2.1's L can be at least. No finite sample bounds L from above.

    Args:
        model: Maps images in [0, 1] to logits of
            shape (batch, classes). A network that takes normalised images needs the normalisation put before.
        image_shape: Shape of an image.
        num_images: Number of random images.
        rng: Draws them.
        batch_size: Number of images in a call of the network; the last call is padded.

    Returns:
        Two float32 arrays of shape (num_images, classes): the softmax probabilities, functions from
        [0, 1]^n to [0, 1], and their slopes, in the unit of L.

    Raises:
        ValueError: If `num_images` is below 1, or the model gives no logits.

    Reference:

    - [Somepalli et al. 2022, Lemma 2.1](https://arxiv.org/abs/2203.08124)
    """
    if num_images < 1:
        raise ValueError(f"`num_images` must be at least 1. Received: num_images={num_images}")
    scale = float(np.sqrt(np.prod(image_shape)))

    @functools.partial(compiled, autograph=True)
    def measure(images):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(images)
            probabilities = tf.nn.softmax(tf.cast(logits_of(model, images), tf.float32))
            # In inference an image's outputs depend on that image alone: one gradient of the sum holds all.
            sums = tf.unstack(tf.reduce_sum(probabilities, axis=0))
        gradients = [tf.reshape(tape.gradient(total, images), (len(images), -1)) for total in sums]
        return probabilities, scale * tf.stack([tf.norm(gradient, axis=1) for gradient in gradients], axis=1)

    batches: list[list[np.ndarray]] = []
    for _ in range(0, num_images, batch_size):
        images = rng.random((min(batch_size, num_images), *image_shape), dtype=np.float32)
        if not batches:
            check_logits(model, images[:8])
        batches.append([result.numpy() for result in measure(tf.constant(images))])
    probabilities, slopes = (np.concatenate(part)[:num_images] for part in zip(*batches, strict=True))
    return probabilities, slopes
