"""Arrays of examples, as all metrics take them: shapes, values, weighted means."""

import numpy as np
from keras import ops


def example_arrays(**arrays):
    """Returns the named values as float64 arrays whose shapes fit together; None stays None.

    Args:
        **arrays: None, or values of shape (..., examples).

    Returns:
        List of float64 arrays and None, in the order of the arguments.

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


def check_values(name, array, valid, allowed):
    """Raises a ValueError that shows the first element of `array` that is not `valid`."""
    if not np.all(valid):
        index = tuple(int(i) for i in np.argwhere(~valid)[0])
        place = f" at index {index}" if index else ""
        raise ValueError(f"All values of `{name}` must be {allowed}. Received: {name}={array[index]}{place}")


def mean_over_examples(values, sample_weight=None):
    """Means over the last axis, weighted if weights are given.

    Args:
        values: Float64 array of shape (..., examples).
        sample_weight: None, or float64 array of shape (..., examples), non-negative.

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


def one_value_per_example(name, values, dtype):
    """Returns a tensor of shape (batch,) from one of shape (batch,) or (batch, 1)."""
    values = ops.cast(values, dtype)
    shape = tuple(values.shape)
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return ops.reshape(values, (-1,))
    raise ValueError(f"`{name}` must have shape (batch,) or (batch, 1). Received: {name} of shape {shape}")
