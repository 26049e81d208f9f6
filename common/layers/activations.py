"""Smooth replacements of the ReLU: SmeLU and Swish, as functions and as layers.

A function is an activation with the default `beta`, as in `Dense(4, activation=smelu)`; a layer
carries its `beta` into saved models, as in `Dense(4, activation=SmeLU(0.5))`.
"""

import math
import numbers
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from ..registration import registered

if TYPE_CHECKING:
    import tensorflow as tf


def _check_beta(beta):
    """Returns `beta` as a Python float, which a saved config can hold."""
    if not isinstance(beta, numbers.Real) or isinstance(beta, bool) or not 0 < beta < math.inf:
        raise ValueError(f"`beta` must be a finite number greater than 0. Received: beta={beta!r}")
    return float(beta)


def _to_float(x):
    """Returns `x` as a tensor of its own floating-point type; integers become `floatx`."""
    x = ops.convert_to_tensor(x)
    return ops.cast(x, keras.backend.result_type(x.dtype, float))


def _holding(beta, x):
    """Returns `x`, as float64 where its own type would round `beta` to 0 or to infinity."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    limits = np.finfo("float32" if dtype == "bfloat16" else dtype)  # of one range
    return x if float(limits.tiny) <= beta <= float(limits.max) / 4 else ops.cast(x, "float64")


@registered
def smelu(x: "tf.Tensor", beta: float = 1.0) -> "tf.Tensor":
    """Smooth ReLU: zero and identity, joined by a parabola.

    Value and slope are continuous, and the second derivative is at most `1 / (2 * beta)`. SmeLU is
    smoother for larger `beta` (Swish: for smaller) and tends to the ReLU as `beta` goes to 0.

    Formula:

    ```
    smelu(x) = 0                          for x <= -beta
    smelu(x) = (x + beta)^2 / (4 * beta)  for -beta < x < beta
    smelu(x) = x                          for x >= beta
    ```

    Example:
    >>> smelu([-2.0, -1.0, 0.0, 1.0, 2.0], beta=1.0)
    [0.0, 0.0, 0.25, 1.0, 2.0]

    Args:
        x: Tensor of any shape; integers are taken as floats.
        beta: Finite number greater than 0, half the width of the parabola. Defaults to `1.0`.

    Returns:
        Tensor of the shape of `x`. Zero for `x <= -beta` and `x` itself for `x >= beta`, exactly.

    Raises:
        ValueError: If `beta` is not a finite number greater than 0.

    Reference:

    - [Shamir et al. 2020](https://arxiv.org/abs/2010.09931)
    - [Snapp & Shamir 2021, section 6](https://arxiv.org/abs/2102.10696)
    """
    beta = _check_beta(beta)
    x = _to_float(x)
    dtype, x = x.dtype, _holding(beta, x)
    # The parabola is evaluated on clipped inputs and divided before it is squared: the branch that
    # `where` drops has then finite values and gradients too (0 * inf would be NaN).
    shifted = ops.clip(x, -beta, beta) + beta
    return ops.cast(ops.where(x >= beta, x, 0.25 * shifted * (shifted / beta)), dtype)


@registered
def swish(x: "tf.Tensor", beta: float = 1.0) -> "tf.Tensor":
    """Swish: the input times its own sigmoid gate.

    Unlike SmeLU it is not monotonic. Swish is smoother for smaller `beta` (SmeLU: for larger): it
    tends to `x / 2` as `beta` goes to 0 and to the ReLU as `beta` grows. With `beta=1` it is
    `keras.activations.silu`.

    Formula:

    ```
    swish(x) = x * sigmoid(beta * x)
    ```

    Example:
    >>> swish([-2.0, 0.0, 2.0], beta=1.0)
    [-0.23840584, 0.0, 1.7615942]

    Args:
        x: Tensor of any shape; integers are taken as floats.
        beta: Finite number greater than 0, the steepness of the gate. Defaults to `1.0`.

    Returns:
        Tensor of the shape of `x`.

    Raises:
        ValueError: If `beta` is not a finite number greater than 0.

    Reference:

    - [Ramachandran et al. 2017](https://arxiv.org/abs/1710.05941)
    - [Snapp & Shamir 2021, section 6](https://arxiv.org/abs/2102.10696)
    """
    beta = _check_beta(beta)
    x = _to_float(x)
    dtype, x = x.dtype, _holding(beta, x)
    return ops.cast(x * ops.sigmoid(beta * x), dtype)


class _SmoothActivation(keras.layers.Layer):
    """A layer of an activation with a `beta`."""

    def __init__(self, beta: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.beta = _check_beta(beta)
        self.supports_masking = True

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns the input shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "beta": self.beta}


@registered
class SmeLU(_SmoothActivation):
    """Applies the smooth ReLU, SmeLU, to each element of its input.

    Smoother for larger `beta`; Snapp & Shamir 2021 (section 6) use it to make models agree more.

    Formula:

    ```
    f(x) = 0                          for x <= -beta
    f(x) = (x + beta)^2 / (4 * beta)  for -beta < x < beta
    f(x) = x                          for x >= beta
    ```

    Example:
    >>> SmeLU(beta=1.0)(np.array([-2.0, -1.0, 0.0, 1.0, 2.0]))
    [0.0, 0.0, 0.25, 1.0, 2.0]
    >>> layer = keras.layers.Dense(4, activation=SmeLU(beta=0.5))

    Args:
        beta: Finite number greater than 0, half the width of the parabola. Defaults to `1.0`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`. As with any layer in the place of
            an activation, its `dtype` is its own: in `Dense(4, activation=..., dtype="float64")` give it too.

    Raises:
        ValueError: If `beta` is not a finite number greater than 0.

    Reference:

    - [Shamir et al. 2020](https://arxiv.org/abs/2010.09931)
    - [Snapp & Shamir 2021, section 6](https://arxiv.org/abs/2102.10696)
    """

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Returns `smelu(inputs, beta)`."""
        return smelu(inputs, self.beta)


@registered
class Swish(_SmoothActivation):
    """Applies Swish to each element of its input.

    Smoother for smaller `beta`; Snapp & Shamir 2021 (section 6) use it to make models agree more.

    Formula:

    ```
    f(x) = x * sigmoid(beta * x)
    ```

    Example:
    >>> Swish(beta=1.0)(np.array([-2.0, 0.0, 2.0]))
    [-0.23840584, 0.0, 1.7615942]
    >>> layer = keras.layers.Dense(4, activation=Swish(beta=5.0))

    Args:
        beta: Finite number greater than 0, the steepness of the gate. Defaults to `1.0`.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`. As with any layer in the place of
            an activation, its `dtype` is its own: in `Dense(4, activation=..., dtype="float64")` give it too.

    Raises:
        ValueError: If `beta` is not a finite number greater than 0.

    Reference:

    - [Ramachandran et al. 2017](https://arxiv.org/abs/1710.05941)
    - [Snapp & Shamir 2021, section 6](https://arxiv.org/abs/2102.10696)
    """

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Returns `swish(inputs, beta)`."""
        return swish(inputs, self.beta)


LAYERS = {"smelu": SmeLU, "swish": Swish}  # by the names of their functions; each has a `beta`
