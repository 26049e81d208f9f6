"""Batch normalization whose statistics are those of the global batch, also over several replicas."""

import keras
import tensorflow as tf

from ..layers import FusedBatchNormalization

# PyTorch's defaults; its running-statistics momentum of 0.1 is 0.9 in Keras's convention.
PYTORCH_MOMENTUM = 0.9
PYTORCH_EPSILON = 1e-5


def batch_normalization(
    name: str, momentum: float = PYTORCH_MOMENTUM, epsilon: float = PYTORCH_EPSILON, scale: bool = True
) -> FusedBatchNormalization:
    """Returns a `FusedBatchNormalization` layer, synchronized if it is built for several replicas.

    Without synchronization each replica of a `tf.distribute` strategy would normalize by its own share of
    the batch, and results would depend on the number of devices. The moving variance is the batch's own;
    PyTorch's is larger by n / (n - 1), with n values a channel (at most 1 / 2,000 for 128 images of 4x4).

    Args:
        name: Name of the layer.
        momentum: Share of the old value that the moving statistics keep. Default: PyTorch's.
        epsilon: Number added to the variance. Default: PyTorch's.
        scale: Whether there is a gamma besides beta.
    """
    return FusedBatchNormalization(
        momentum=momentum,
        epsilon=epsilon,
        scale=scale,
        synchronized=tf.distribute.get_strategy().num_replicas_in_sync > 1,
        name=name,
    )


def layer_normalization(name: str) -> keras.layers.LayerNormalization:
    """Returns a `LayerNormalization` layer with PyTorch's epsilon, 1e-5."""
    return keras.layers.LayerNormalization(epsilon=1e-5, name=name)
