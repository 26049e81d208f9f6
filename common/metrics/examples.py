"""Arrays of examples, as all metrics take them: shapes, values, weighted means."""

from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

if TYPE_CHECKING:
    import tensorflow as tf


def example_arrays(**arrays: np.ndarray | None) -> list[Any]:
    """Returns the named values as float64 arrays whose shapes fit together; None stays None.

    Args:
        **arrays: None, or values of shape (..., examples).

    Returns:
        Float64 arrays and None, in the order of the arguments.

    Raises:
        ValueError: If an array holds no examples, the numbers of examples differ, or leading axes
            do not broadcast.
    """
    arrays = {
        name: None if values is None else np.asarray(values, dtype=np.float64)
        for name, values in arrays.items()
    }
    shapes = {name: array.shape for name, array in arrays.items() if array is not None}
    try:
        np.broadcast_shapes(*shapes.values())
        fits = len({shape[-1:] for shape in shapes.values()}) == 1
    except ValueError:
        fits = False
    if not fits or any(shape == () or 0 in shape for shape in shapes.values()):
        names = ", ".join(f"`{name}`" for name in shapes)
        received = ", ".join(f"{name}=array of shape {shape}" for name, shape in shapes.items())
        raise ValueError(
            f"{names} must have the same number of examples, at least one, on their last axis, and "
            f"leading axes that broadcast. Received: {received}"
        )
    return list(arrays.values())


def check_values(name: str, array: np.ndarray, valid: np.ndarray, allowed: str) -> None:
    """Raises a ValueError that shows the first element of `array` that is not `valid`."""
    if not np.all(valid):
        index = tuple(int(i) for i in np.argwhere(~valid)[0])
        place = f" at index {index}" if index else ""
        raise ValueError(f"All values of `{name}` must be {allowed}. Received: {name}={array[index]}{place}")


def mean_over_examples(
    values: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.float64 | np.ndarray:
    """Means over the last axis, weighted if weights are given.

    Args:
        values: Float64 array of shape (..., examples).
        sample_weight: Float64 array of shape (..., examples), non-negative.

    Returns:
        Float64 array of shape (...).

    Raises:
        ValueError: If a weight is negative or not finite, or all weights of a mean are 0.
    """
    if sample_weight is None:
        return np.mean(values, axis=-1)
    valid = (sample_weight >= 0) & np.isfinite(sample_weight)
    check_values("sample_weight", sample_weight, valid, "finite and non-negative")
    totals = np.sum(sample_weight, axis=-1)
    check_values("sum of sample_weight", totals, totals > 0, "greater than 0")
    return np.sum(values * sample_weight, axis=-1) / totals


def column(name: str, values: np.ndarray | None) -> np.ndarray | None:
    """Returns one number an example, float64 of shape (examples,), from that shape or (examples, 1).

    A model of one unit predicts the latter. None stays None.

    Raises:
        ValueError: If there are several numbers an example: their mean would be no measure of anything.
    """
    if values is None:
        return None
    values = np.asarray(values, np.float64)
    if values.ndim == 2 and values.shape[1] == 1:
        return values[:, 0]
    if values.ndim > 1:
        raise ValueError(
            f"`{name}` must hold one number an example, of shape (examples,) or (examples, 1). Received: "
            f"{name} of shape {values.shape}"
        )
    return values


def one_value_per_example(
    name: str, values: "tf.Tensor | np.ndarray", dtype: str, batch: int | None = None
) -> "tf.Tensor":
    """Returns a tensor of shape (batch,) from one of shape (batch,) or (batch, 1).

    Args:
        name: How the caller calls the values.
        values: The values.
        dtype: Type of the result.
        batch: Their number, where it is known.

    Raises:
        ValueError: If they have another shape.
    """
    values = ops.cast(values, dtype)
    shape = tuple(values.shape)
    if shape[1:] not in ((), (1,)) or not shape or (None not in (batch, shape[0]) and batch != shape[0]):
        expected = "batch" if batch is None else batch
        raise ValueError(
            f"`{name}` must have shape ({expected},) or ({expected}, 1). Received: {name} of shape {shape}"
        )
    return ops.reshape(values, (-1,))


class MeanOverExamples(keras.metrics.Metric):
    """Weighted mean of one value an example, gathered over batches; what our Keras metrics share.

    Values are computed and summed in float32 at least, whatever the type of the result: in float16 a count
    stays at 2,048 for ever. An example of weight 0 has no part in the mean, even if its value is undefined.

    Args:
        name: Name of the metric instance.
        dtype: Type of the result.
    """

    def __init__(self, name: str, dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)
        self.sum_dtype = "float64" if self.dtype == "float64" else "float32"
        self.total, self.count = (
            self.add_variable(shape=(), initializer="zeros", dtype=self.sum_dtype, name=part)
            for part in ("total", "count")
        )
        # Read by the callbacks with mode="auto", such as EarlyStopping, as for Keras's own metrics.
        self._direction = "down"

    def add(self, values: "tf.Tensor", sample_weight: "tf.Tensor | np.ndarray | float | None" = None) -> None:
        """Adds the values of a batch.

        Args:
            values: Tensor of shape (batch,) and of type `sum_dtype`.
            sample_weight: Weights of shape (batch,) or (batch, 1), or the weight of every example.

        Raises:
            ValueError: If the weights have another shape.
        """
        weights = ops.ones_like(values)
        if sample_weight is not None:
            given = ops.cast(sample_weight, self.sum_dtype)
            if tuple(given.shape) not in ((), (1,), (1, 1)):  # one is the weight of every example
                given = one_value_per_example("sample_weight", given, self.sum_dtype, values.shape[0])
            given = ops.reshape(given, (-1,))
            weights = weights * given
        values = ops.where(weights == 0, 0.0, values)
        self.total.assign_add(ops.sum(values * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self) -> "tf.Tensor":
        """Returns the mean; 0 if nothing has been added."""
        return ops.cast(ops.divide_no_nan(self.total, self.count), self.dtype)
