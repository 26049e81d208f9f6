"""Tensors of images, as all public functions take them."""

import tensorflow as tf


def floating(images: tf.Tensor) -> tf.Tensor:
    """Returns images in the type in which they are computed, whatever they are stored in: float32 at least.

    Args:
        images: Tensor or array of any type of numbers.

    Returns:
        Tensor, float64 if it was, else float32.
    """
    images = tf.convert_to_tensor(images)
    return images if images.dtype in (tf.float32, tf.float64) else tf.cast(images, tf.float32)
