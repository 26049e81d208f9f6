"""Augmentation of image batches inside compiled programs, from stateless randomness.

Drawing is apart from applying: every replica draws for the whole global batch and applies its own share, so
the number of replicas changes nothing. An augmentation is a sequence of operations; each reads its own
column of uniform numbers, one row for each image.
"""

import collections
import dataclasses
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

import numpy as np
import tensorflow as tf

from ..errors import UserError
from ..streams import uniform_numbers
from ..tensors import floating
from .colour_jitter import luma_weights


def normalize(
    images: tf.Tensor, mean: Sequence[float] | np.ndarray, std: Sequence[float] | np.ndarray
) -> tf.Tensor:
    """Subtracts the mean of each channel and divides by its standard deviation.

    Args:
        images: Tensor of shape (..., channels) in [0, 1].
        mean: One number for each channel, such as `CIFAR10_MEAN`.
        std: One number for each channel, such as `CIFAR10_STD`.

    Returns:
        Tensor of the shape of `images`, float64 if they are, else float32.
    """
    images = floating(images)
    return (images - tf.constant(mean, images.dtype)) / tf.constant(std, images.dtype)


def per_image_standardization(images: tf.Tensor) -> tf.Tensor:
    """Scales each image to mean 0 and variance 1 over all its values.

    Formula:

    ```
    (x - mean) / max(std, 1 / sqrt(n))
    ```

    where n is the number of values of an image: the guard of `tf.image.per_image_standardization`, which
    keeps an image of a single value finite.

    Args:
        images: Tensor of shape (batch, height, width, channels), of any range.

    Returns:
        Tensor of the shape of `images`, float64 if they are, else float32.

    Reference: Zhang et al. 2017, appendix A; TensorFlow, `tf.image.per_image_standardization`.
    """
    images = floating(images)
    num_values = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), images.dtype)
    centred = images - tf.reduce_mean(images, axis=(1, 2, 3), keepdims=True)
    std = tf.sqrt(tf.reduce_mean(tf.square(centred), axis=(1, 2, 3), keepdims=True))
    return centred / tf.maximum(std, tf.math.rsqrt(num_values))


def grey(images: tf.Tensor) -> tf.Tensor:
    """Returns the grey values of images, of shape (batch, height, width, 1), by `luma_weights`."""
    images = floating(images)
    weights = tf.constant(luma_weights(images.shape[-1]), images.dtype)
    return tf.reduce_sum(images * weights, axis=-1, keepdims=True)


def brightness(images: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
    """Returns `factor * images`, not clipped. `factor` broadcasts."""
    return factor * floating(images)


def saturation(images: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
    """Returns `factor * images + (1 - factor) * grey(images)`, not clipped. `factor` broadcasts."""
    images = floating(images)
    return factor * images + (1 - factor) * grey(images)


def contrast(images: tf.Tensor, factor: float | tf.Tensor) -> tf.Tensor:
    """Returns `factor * images + (1 - factor) * mean grey value of the image`, not clipped."""
    images = floating(images)
    return factor * images + (1 - factor) * tf.reduce_mean(grey(images), axis=(1, 2), keepdims=True)


def _crop_size(input_size, size, padding=0):
    """Returns `size` if such a crop fits into the padded image."""
    if size > input_size + 2 * padding:
        raise ValueError(
            "`size` must be at most that of the padded image. "
            f"Received: size={size}, input_size={input_size}, padding={padding}"
        )
    return size


@dataclasses.dataclass(frozen=True)
class CentralCrop:
    """The square of `size` pixels in the middle of the image."""

    size: int
    name: ClassVar[str] = "central_crop"
    num_uniforms: ClassVar[int] = 0

    def output_size(self, input_size: int) -> int:
        """Returns the side of the crop."""
        return _crop_size(input_size, self.size)

    def __call__(self, images: tf.Tensor, uniforms: tf.Tensor | None) -> tf.Tensor:
        """Returns the crops; there is nothing random."""
        top, left = ((side - self.output_size(side)) // 2 for side in images.shape[1:3])
        return images[:, top : top + self.size, left : left + self.size]


@dataclasses.dataclass(frozen=True)
class RandomCrop:
    """A square of `size` pixels anywhere in the image with `padding` zeros around it.

    The place is uniform over all that fit, as in torchvision's RandomCrop. The zeros are black pixels: crop
    before normalizing.
    """

    size: int
    padding: int = 0
    name: ClassVar[str] = "crop"
    num_uniforms: ClassVar[int] = 2

    def output_size(self, input_size: int) -> int:
        """Returns the side of the crop."""
        return _crop_size(input_size, self.size, self.padding)

    def __call__(self, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Returns the crops whose row and column are given by two numbers for each image."""
        for axis in (1, 2):
            padded_size = images.shape[axis] + 2 * self.padding
            num_offsets = padded_size - self.output_size(images.shape[axis]) + 1
            offsets = tf.cast(uniforms[:, axis - 1] * num_offsets, tf.int32)
            margins = [[self.padding] * 2 if i == axis else [0, 0] for i in range(4)]
            images = tf.pad(images, margins)
            images = tf.gather(images, offsets[:, None] + tf.range(self.size), axis=axis, batch_dims=1)
        return images


@dataclasses.dataclass(frozen=True)
class RandomFlip:
    """Left and right exchanged in half of the images."""

    name: ClassVar[str] = "flip"
    num_uniforms: ClassVar[int] = 1

    def output_size(self, input_size: int) -> int:
        """Returns the side of the image."""
        return input_size

    def __call__(self, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Returns the images, flipped where their number is below one half."""
        # A gather, since reversing an axis is several times slower on CPU.
        columns = tf.range(images.shape[2])
        columns = tf.where(uniforms < 0.5, columns[::-1], columns)
        return tf.gather(images, columns, axis=2, batch_dims=1)


@dataclasses.dataclass(frozen=True)
class RandomColour:
    """A colour operation with a factor that is uniform in [low, high) for each image."""

    operation: Callable[[tf.Tensor, float | tf.Tensor], tf.Tensor]
    low: float
    high: float
    num_uniforms: ClassVar[int] = 1

    @property
    def name(self) -> str:
        """The name of the operation."""
        return self.operation.__name__

    def output_size(self, input_size: int) -> int:
        """Returns the side of the image."""
        return input_size

    def __call__(self, images: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
        """Returns the images with their factors applied, clipped to [0, 1] as torchvision does.

        Without the clipping, standardization would undo a change of brightness or contrast.
        """
        images = floating(images)
        factor = tf.cast(self.low + (self.high - self.low) * uniforms, images.dtype)
        return tf.clip_by_value(self.operation(images, factor[:, :, None, None]), 0.0, 1.0)


Operation: TypeAlias = CentralCrop | RandomCrop | RandomFlip | RandomColour


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """A sequence of operations on a batch of images.

    Example:
    >>> augment = augmentation("pad_crop_flip")
    >>> draws = augment.draw(seed, 128)                             # for the whole batch
    >>> share = {name: draw[64:] for name, draw in draws.items()}
    >>> augment(images[64:], share)                                 # is augment(images, draws)[64:]

    Args:
        operations: The operations, in the order in which they are applied.
    """

    operations: tuple[Operation, ...] = ()

    @property
    def random(self) -> bool:
        """Whether there is anything to draw."""
        return any(operation.num_uniforms for operation in self.operations)

    def output_size(self, input_size: int) -> int:
        """Returns the side of the images that come out.

        Raises:
            ValueError: If the images are too small for a crop.
        """
        for operation in self.operations:
            input_size = operation.output_size(input_size)
        return input_size

    def draw(self, seed: tf.Tensor, batch_size: int) -> dict[str, tf.Tensor]:
        """Draws the random numbers of a batch.

        They depend on the seed and on the place in the batch, not on the size of the batch, nor on whether
        and for which device the program is compiled.

        Args:
            seed: int32 or uint32 tensor of shape (2,).
            batch_size: Number of images in the global batch.

        Returns:
            For each random operation a float32 tensor of shape (batch, numbers of the operation), uniform in
            [0, 1), under its name; a second operation of one name has its own, under that and " 2".
        """
        if not self.random:
            return {}
        widths = {key: operation.num_uniforms for key, operation in self._keyed() if operation.num_uniforms}
        numbers = uniform_numbers(seed, batch_size, sum(widths.values()))
        return dict(zip(widths, tf.split(numbers, list(widths.values()), axis=1), strict=True))

    def _keyed(self):
        """Yields the operations with the keys of their draws."""
        seen = collections.Counter()
        for operation in self.operations:
            seen[operation.name] += 1
            number = seen[operation.name]
            yield operation.name if number == 1 else f"{operation.name} {number}", operation

    def __call__(self, images: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
        """Applies the operations.

        Args:
            images: float32 tensor of shape (batch, height, width, 3) in [0, 1].
            draws: What `draw` returned, or the same rows of each of its tensors.

        Returns:
            float32 tensor of shape (batch, output size, output size, 3) in [0, 1].
        """
        for key, operation in self._keyed():
            images = operation(images, draws.get(key))
        return images


_COLOURS = tuple(RandomColour(operation, 0.9, 1.1) for operation in (brightness, saturation, contrast))

_AUGMENTATIONS = {
    "none": Augmentation(),
    # Zhang et al. 2017: 28 of 32 pixels, for the randomization tests and for all evaluations.
    "central_crop": Augmentation((CentralCrop(28),)),
    # Zhang et al. 2017, Table 1, "random crop".
    "random_crop": Augmentation((RandomCrop(28),)),
    # EE-411 reproduction 2024, Figure 2a, model 3: random crop, flip and colour factors, no hue.
    "ee411": Augmentation((RandomCrop(28), RandomFlip(), *_COLOURS)),
    # Somepalli et al. 2022 (somepago/dbViz, data.py) and the ResNets of Gamba et al. 2022.
    "pad_crop_flip": Augmentation((RandomCrop(32, padding=4), RandomFlip())),
}

NAMES = tuple(_AUGMENTATIONS)


def augmentation(name: str) -> Augmentation:
    """Returns the augmentation of that name.

    Raises:
        UserError: If the name is not in `NAMES`.
    """
    if name not in _AUGMENTATIONS:
        raise UserError(f"--augmentation={name}: must be one of {', '.join(NAMES)}")
    return _AUGMENTATIONS[name]
