"""Zhang et al. 2017, theorem 1: a network of 2n + d weights that represents any function on n points.

The network is c(x) = sum_j w_j max(<a, x> - b_j, 0): all hidden units share one direction a. With a such that
the points lie apart along it, and thresholds b between them, the values of the units at the points are a
triangular matrix with a positive diagonal, so that weights w exist for any targets. Along the direction the
network is a line whose slope changes at every threshold, which gives the weights one after the other.
"""

import keras
import numpy as np
from keras import ops

# Where a threshold lies between two points, from the lower one. In the middle each slope would have to undo
# all of the one before; near the lower point next to nothing of it.
_SHARE = 0.1


@keras.saving.register_keras_serializable("zhang_randomization")
class SharedDirectionReLU(keras.layers.Layer):
    """Units that differ in their threshold alone.

    Formula:
    ```
    y_j = max(<direction, x> - threshold_j, 0)
    ```

    Example:
    >>> SharedDirectionReLU(3)(keras.ops.ones((2, 5))).shape
    TensorShape([2, 3])

    Args:
        units: Number of units.
        **options: Arguments of a Keras layer.

    Raises:
        ValueError: `units` is not a positive number.
    """

    def __init__(self, units: int, **options) -> None:
        super().__init__(**options)
        if units < 1:
            raise ValueError(f"A layer has one unit or more. Received: units={units}")
        self.units = units

    def build(self, input_shape: tuple) -> None:
        """Makes the direction, of the inputs' size, and a threshold for each unit."""
        self.direction = self.add_weight(shape=(input_shape[-1],), name="direction")
        self.thresholds = self.add_weight(shape=(self.units,), initializer="zeros", name="thresholds")

    def call(self, inputs):
        """Returns the units' values, [batch, units]."""
        return ops.relu(ops.matmul(inputs, self.direction)[:, None] - self.thresholds)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """[batch, units]."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict:
        """The arguments that make the layer again."""
        return super().get_config() | {"units": self.units}


def exact_network(points: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> keras.Model:
    """Returns the float64 network of theorem 1 that has given values at given points.

    Args:
        points: Array [n, d].
        targets: Array [n] of numbers.
        rng: Draws the direction.

    Raises:
        ValueError: Two points are equal.
    """
    points, targets = np.asarray(points, np.float64), np.asarray(targets, np.float64)
    direction = rng.standard_normal(points.shape[1])
    direction /= np.linalg.norm(direction)
    along = points @ direction
    order = np.argsort(along)
    along, gaps = along[order], np.diff(along[order])
    if (gaps <= 0).any():
        i, j = sorted(int(k) for k in order[np.argmin(gaps) :][:2])
        raise ValueError(f"Points have to differ from each other. Received: equal points {i} and {j}")
    thresholds = np.concatenate([along[:1] - 1, along[:-1] + _SHARE * gaps])
    slopes, height = [], 0.0
    for j, target in enumerate(targets[order]):
        slopes.append((target - height) / (along[j] - thresholds[j]))
        if j < len(gaps):
            height = target + slopes[j] * (thresholds[j + 1] - along[j])
    weights = np.diff(slopes, prepend=0.0)
    inputs = keras.Input(points.shape[1:], dtype="float64")
    units = SharedDirectionReLU(len(points), dtype="float64")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(1, use_bias=False, dtype="float64")(units))
    model.set_weights([direction, thresholds, weights[:, None]])
    return model
