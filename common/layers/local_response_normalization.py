"""Local response normalization over neighbouring channels."""

import math
import numbers
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from ..arguments import whole_number
from ..registration import registered


@registered
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by the response of its neighbouring channels at the same position.

    The defaults and the constants' meaning are those of `tf.nn.local_response_normalization`: `alpha`
    multiplies the sum over the window, not its mean, and channels outside the input count as zero.

    Formula:

    ```
    s[c]      = sum of input[d]^2 over the channels d with |d - c| <= depth_radius
    output[c] = input[c] / (bias + alpha * s[c])^beta
    ```

    Example:
    >>> layer = LocalResponseNormalization(depth_radius=1, bias=1.0, alpha=1.0, beta=1.0)
    >>> layer(np.array([[[[1.0, 2.0, 3.0]]]]))  # 1 / (1 + 5), 2 / (1 + 14), 3 / (1 + 13)
    [[[[0.16666667, 0.13333334, 0.21428572]]]]

    Args:
        depth_radius: Non-negative integer, half the width of the window of channels. Defaults to `5`.
        bias: Finite number greater than 0. Defaults to `1.0`.
        alpha: Finite non-negative number. Defaults to `1.0`.
        beta: Finite non-negative number. Defaults to `0.5`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape: (batch, height, width, channels).

    Output shape: that of the input.

    Raises:
        ValueError: If an argument is not as said above.

    Reference:

    - [Krizhevsky et al. 2012, section 3.3](https://papers.nips.cc/paper/4824)
    """

    def __init__(
        self, depth_radius: int = 5, bias: float = 1.0, alpha: float = 1.0, beta: float = 0.5, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.depth_radius = whole_number("depth_radius", depth_radius, least=0)
        self.bias = _check_number("bias", bias)
        if self.bias == 0:
            raise ValueError(f"`bias` must be greater than 0. Received: bias={bias!r}")
        self.alpha = _check_number("alpha", alpha)
        self.beta = _check_number("beta", beta)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Returns the normalized inputs."""
        if self.compute_dtype != "float64":
            # Up to twice as fast on CPU as the matrix product below; float32 is all that it knows everywhere,
            # and float16 would not hold the sums.
            outputs = tf.nn.local_response_normalization(
                ops.cast(inputs, "float32"), self.depth_radius, self.bias, self.alpha, self.beta
            )
            return ops.cast(outputs, self.compute_dtype)
        inputs = ops.cast(inputs, self.compute_dtype)
        channels = np.arange(inputs.shape[-1])
        window = np.abs(channels[:, None] - channels) <= self.depth_radius
        sums = ops.matmul(ops.square(inputs), ops.cast(window, inputs.dtype))
        return inputs * ops.power(self.bias + self.alpha * sums, -self.beta)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "depth_radius": self.depth_radius,
            "bias": self.bias,
            "alpha": self.alpha,
            "beta": self.beta,
        }


def _check_number(name, value):
    """Returns `value` as a Python float, which a saved config can hold."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool) or not 0 <= value < math.inf:
        raise ValueError(f"`{name}` must be a finite non-negative number. Received: {name}={value!r}")
    return float(value)
