"""Batch normalization that trains by one operation of TensorFlow's."""

import keras
import tensorflow as tf

from ..registration import registered


@registered
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` that takes images through `FusedBatchNormV3` in training.

    Keras normalizes by about ten elementwise operations, and twice as many for the gradient, each of which
    reads and writes all images. The numbers are the same within rounding, and so are the moving statistics:
    the variance is the batch's own, without the factor n / (n - 1) of TensorFlow's operation. All that the
    operation cannot do, Keras does: inference, masks, other axes than the last, inputs that are no images,
    float64, renormalization, and statistics over several replicas (`synchronized=True`).

    Formula:

    ```
    output = gamma * (input - mean) / sqrt(variance + epsilon) + beta
    ```

    with mean and variance of a channel over batch, height and width in training, the moving ones else.

    Args:
        **kwargs: As for `keras.layers.BatchNormalization`.

    Reference:

    - [Ioffe & Szegedy 2015](https://arxiv.org/abs/1502.03167), algorithm 1
    """

    def call(
        self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Returns the normalized inputs; in training it moves the statistics."""
        if not (training and self.trainable and mask is None and self._is_fusible(inputs)):
            return super().call(inputs, training=training, mask=mask)
        num_channels = inputs.shape[-1]
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=keras.ops.cast(inputs, "float32"),
            scale=keras.ops.cast(self.gamma, "float32") if self.scale else tf.ones(num_channels),
            offset=keras.ops.cast(self.beta, "float32") if self.center else tf.zeros(num_channels),
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        num_values = tf.cast(tf.reduce_prod(tf.shape(inputs)[:-1]), "float32")
        found = (mean, variance * (num_values - 1) / num_values)
        for moving, of_batch in zip((self.moving_mean, self.moving_variance), found, strict=True):
            old = keras.ops.cast(moving, "float32")
            moving.assign(old * self.momentum + of_batch * (1 - self.momentum))
        return keras.ops.cast(outputs, self.compute_dtype)

    def _is_fusible(self, inputs):
        is_images = len(inputs.shape) == 4 and self.axis in (-1, 3)
        return is_images and inputs.dtype != "float64" and not (self.synchronized or self.renorm)
