"""Relative prediction difference: how far two trainings of a model disagree on an example."""

import keras
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
    if not fits or any(0 in (shape or (0,)) for shape in shapes.values()):
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
        raise ValueError(
            f"All values of `{name}` must be {allowed}. Received: {name}={array[index]} at index {index}"
        )


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


def relative_prediction_difference(
    probabilities_a, probabilities_b, true_probabilities=None, sample_weight=None
):
    """Mean relative difference of two models' predictions, in float64.

    This is the relative PD on the positive label of Snapp & Shamir 2021 (eq. 3) for one pair of
    models; the mean over pairs is left to the caller, who also wants their spread. Where the true
    probability is unknown, the difference is relative to the mean prediction of the two models, as
    in Shamir et al. 2020. Float32 probabilities lose differences near 1e-7: take the sigmoid of the
    logits in float64.

    Formula:

    ```
    PD = mean over examples of |a - b| / p
    p  = true probability, or (a + b) / 2 if it is unknown
    ```

    Example:
    >>> relative_prediction_difference([0.2, 0.5], [0.3, 0.5], true_probabilities=[0.2, 0.5])
    0.25
    >>> relative_prediction_difference([0.2, 0.5], [0.3, 0.5])
    0.2

    Args:
        probabilities_a: Array of shape (..., examples) in [0, 1], the first model's probabilities
            of the positive label. Leading axes, such as pairs, are kept; they broadcast between
            arguments.
        probabilities_b: Array of shape (..., examples) in [0, 1], the second model's.
        true_probabilities: None, or array of shape (..., examples) in (0, 1].
        sample_weight: None, or non-negative array of shape (..., examples), such as the count of
            each distinct example: the mean over examples is then weighted.

    Returns:
        Float64 number or array of shape (...). No unit; 0 if the models agree.

    Raises:
        ValueError: If shapes do not fit, a probability lies outside [0, 1] or is NaN, the reference
            `p` of an example is 0, a weight is negative or not finite, or all weights are 0.

    Reference:

    - [Snapp & Shamir 2021, eq. 3](https://arxiv.org/abs/2102.10696)
    - [Shamir et al. 2020](https://arxiv.org/abs/2010.09931)
    """
    a, b, reference, weights = example_arrays(
        probabilities_a=probabilities_a,
        probabilities_b=probabilities_b,
        true_probabilities=true_probabilities,
        sample_weight=sample_weight,
    )
    for name, array in (("probabilities_a", a), ("probabilities_b", b)):
        check_values(name, array, (array >= 0) & (array <= 1), "in [0, 1]")
    if reference is None:
        reference = (a + b) / 2
        check_values("mean of the two predictions", reference, reference > 0, "greater than 0")
    else:
        valid = (reference > 0) & (reference <= 1)
        check_values("true_probabilities", reference, valid, "in (0, 1]")
    return mean_over_examples(np.abs(a - b) / reference, weights)


@keras.saving.register_keras_serializable(package="replications")
class RelativePredictionDifference(keras.metrics.Mean):
    """Mean relative difference of the predictions of two models.

    The relative PD of Snapp & Shamir 2021 (eq. 3) for one pair, gathered over batches. `y_pred` has
    one column of probabilities of the positive label for each of the two models.

    Formula:

    ```
    PD = mean over examples of |y_pred[:, 0] - y_pred[:, 1]| / p
    p  = y_true if reference="true", mean of y_pred over its columns if reference="mean"
    ```

    With `reference="mean"`, an example for which both predictions are 0 has difference 0. A true
    probability of 0 gives an infinite or undefined result.

    Example:
    >>> metric = RelativePredictionDifference()
    >>> metric.update_state(y_true=[0.2, 0.5], y_pred=[[0.2, 0.3], [0.5, 0.5]])
    >>> metric.result()
    0.25

    Args:
        reference: `"true"` if `y_true` holds the true probabilities of the positive label, with
            shape (batch,) or (batch, 1); `"mean"` if they are unknown: `y_true` is then ignored.
            Defaults to `"true"`.
        name: Name of the metric instance.
        dtype: Type of the result. Differences near 1e-7 need `"float64"` and predictions of that
            type.

    Raises:
        ValueError: If `reference` is neither `"true"` nor `"mean"`.

    Reference:

    - [Snapp & Shamir 2021, eq. 3](https://arxiv.org/abs/2102.10696)
    """

    def __init__(self, reference="true", name="relative_prediction_difference", dtype=None):
        super().__init__(name=name, dtype=dtype)
        if reference not in ("true", "mean"):
            raise ValueError(f'`reference` must be "true" or "mean". Received: reference={reference!r}')
        self.reference = reference
        # Read by the callbacks with mode="auto", such as EarlyStopping, as for Keras's own metrics.
        self._direction = "down"

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Adds a batch: `y_pred` has shape (batch, 2), `y_true` (batch,) or (batch, 1)."""
        y_pred = ops.cast(y_pred, self.dtype)
        if len(y_pred.shape) != 2 or y_pred.shape[1] != 2:
            raise ValueError(
                "`y_pred` must have shape (batch, 2), the predictions of the two models. "
                f"Received: y_pred of shape {tuple(y_pred.shape)}"
            )
        difference = ops.abs(y_pred[:, 0] - y_pred[:, 1])
        if self.reference == "mean":
            values = ops.divide_no_nan(difference, ops.mean(y_pred, axis=1))
        else:
            values = difference / one_value_per_example("y_true", y_true, self.dtype)
        super().update_state(values, sample_weight=sample_weight)

    def get_config(self):
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "reference": self.reference}
