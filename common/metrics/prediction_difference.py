"""Relative prediction difference: how far two trainings of a model disagree on an example."""

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops

from ..arrays import class_labels
from ..registration import registered
from .examples import (
    MeanOverExamples,
    check_values,
    column,
    example_arrays,
    mean_over_examples,
    one_value_per_example,
)

if TYPE_CHECKING:
    import tensorflow as tf


def relative_prediction_difference(
    probabilities_a: np.ndarray,
    probabilities_b: np.ndarray,
    true_probabilities: np.ndarray | None = None,
    sample_weight: np.ndarray | None = None,
    label: int | np.ndarray | None = None,
) -> np.float64:
    """Mean relative difference of two models' predictions, in float64.

    This is the relative PD on the positive label of Snapp & Shamir 2021 (eq. 3) for one pair of
    models; the mean over pairs is left to the caller, who also wants their spread. Where the true
    probability is unknown, the difference is relative to the mean of the two predictions, as the PD of
    Shamir et al. 2020. Float32 probabilities lose differences near 1e-7: take them in float64.

    Formula:

    ```
    PD = mean over examples of |a - b| / p
    p  = true probability, or (a + b) / 2 if it is unknown
    ```

    Example:
    >>> relative_prediction_difference([0.25, 0.5], [0.375, 0.5], true_probabilities=[0.25, 0.5])
    0.25
    >>> relative_prediction_difference([[0.75, 0.25]], [[0.625, 0.375]], label=1)
    0.4

    Args:
        probabilities_a: Array of shape (examples,) or (examples, 1) in [0, 1], the first model's
            probabilities of the positive label; or of shape (examples, classes), of which `label` says
            the positive one.
        probabilities_b: Array of the same shape, the second model's.
        true_probabilities: Array of shape (examples,) or (examples, 1) in (0, 1].
        sample_weight: Non-negative array of shape (examples,) or (examples, 1), such as the
            count of each distinct example: the mean over examples is then weighted.
        label: Of models of several classes the positive label: a class, or that of each example, of
            shape (examples,) or (examples, 1), such as its true one. Else None.

    Returns:
        No unit; 0 if the models agree.

    Raises:
        ValueError: If shapes do not fit, there are several classes and no `label` or the reverse, a
            probability lies outside [0, 1] or is NaN, the reference `p` of an example is 0, a weight is
            negative or not finite, or all weights are 0.

    Reference:

    - [Snapp & Shamir 2021, eq. 3](https://arxiv.org/abs/2102.10696)
    - [Shamir et al. 2020](https://arxiv.org/abs/2010.09931)
    """
    shapes = np.shape(probabilities_a), np.shape(probabilities_b)
    if label is not None and shapes[0] != shapes[1]:
        raise ValueError(
            f"The models must give the same classes. Received: shapes {shapes[0]} and {shapes[1]}"
        )
    a, b, reference, weights = example_arrays(
        probabilities_a=_of_label("probabilities_a", probabilities_a, label),
        probabilities_b=_of_label("probabilities_b", probabilities_b, label),
        true_probabilities=column("true_probabilities", true_probabilities),
        sample_weight=column("sample_weight", sample_weight),
    )
    for name, array in (("probabilities_a", a), ("probabilities_b", b)):
        check_values(name, array, (array >= 0) & (array <= 1), "in [0, 1]")
    return np.float64(mean_over_examples(np.abs(a - b) / _reference(a, b, reference), weights))


def _reference(a, b, true_probabilities):
    """What differences are relative to, checked."""
    if true_probabilities is None:
        mean = (a + b) / 2
        check_values("mean of the two predictions", mean, mean > 0, "greater than 0")
        return mean
    valid = (true_probabilities > 0) & (true_probabilities <= 1)
    check_values("true_probabilities", true_probabilities, valid, "in (0, 1]")
    return true_probabilities


def _of_label(name, probabilities, label):
    """Returns the probabilities of the positive label, float64 of shape (examples,)."""
    probabilities = np.asarray(probabilities, np.float64)
    several = probabilities.ndim == 2 and probabilities.shape[1] > 1
    if several == (label is None):
        raise ValueError(
            "`label` must say the class whose probabilities are compared if and only if the models give "
            "several: an integer, or one for each example. The relative prediction difference is of one "
            f"label; for several take its mean over them. Received: label={label}, {name} of shape "
            f"{probabilities.shape}"
        )
    if not several:
        return column(name, probabilities)
    num_examples, num_classes = probabilities.shape
    labels = np.broadcast_to(label, num_examples) if np.ndim(label) == 0 else label
    labels = class_labels(labels, "label")
    if len(labels) != num_examples:
        raise ValueError(
            f"`label` must be one class, or one for each of {num_examples} examples. Received: {len(labels)}"
        )
    check_values("label", labels, (labels >= 0) & (labels < num_classes), f"from 0 to {num_classes - 1}")
    return probabilities[np.arange(num_examples), labels]


@registered
class RelativePredictionDifference(MeanOverExamples):
    """Mean relative difference of the predictions of two models.

    The relative PD of Snapp & Shamir 2021 (eq. 3) for one pair, gathered over batches. `y_pred` has
    one column of probabilities of the positive label for each of the two models; it is not the two classes
    of one model.

    Formula:

    ```
    PD = mean over examples of |y_pred[:, 0] - y_pred[:, 1]| / p
    p  = y_true if reference="true", mean of y_pred over its columns if reference="mean"
    ```

    With `reference="mean"`, an example for which both predictions are 0 has difference 0. A true
    probability of 0 gives an infinite or undefined result, and a prediction outside [0, 1], such as a logit,
    nan, unless the example's weight is 0.

    Example:
    >>> metric = RelativePredictionDifference()
    >>> metric.update_state(y_true=[0.25, 0.5], y_pred=[[0.25, 0.375], [0.5, 0.5]])
    >>> metric.result()
    0.25

    Args:
        reference: `"true"` if `y_true` holds the true probabilities of the positive label, with
            shape (batch,) or (batch, 1); `"mean"` if they are unknown: `y_true` is then ignored.
            Defaults to `"true"`.
        name: Name of the metric instance.
        dtype: Type of the result; values are computed in float32 at least. Differences near 1e-7 need
            `"float64"` and predictions of that type.

    Raises:
        ValueError: If `reference` is neither `"true"` nor `"mean"`.

    Reference:

    - [Snapp & Shamir 2021, eq. 3](https://arxiv.org/abs/2102.10696)
    """

    def __init__(
        self, reference: str = "true", name: str = "relative_prediction_difference", dtype: str | None = None
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        if reference not in ("true", "mean"):
            raise ValueError(f'`reference` must be "true" or "mean". Received: reference={reference!r}')
        self.reference = reference

    def update_state(
        self,
        y_true: "tf.Tensor | np.ndarray",
        y_pred: "tf.Tensor | np.ndarray",
        sample_weight: "tf.Tensor | np.ndarray | float | None" = None,
    ) -> None:
        """Adds a batch: `y_pred` has shape (batch, 2), `y_true` (batch,) or (batch, 1), unchecked values.

        `sample_weight` has one of the shapes of `y_true`, or is the weight of every example.
        """
        y_pred = ops.cast(y_pred, self.sum_dtype)
        if len(y_pred.shape) != 2 or y_pred.shape[1] != 2:
            raise ValueError(
                "`y_pred` must have shape (batch, 2), the predictions of the two models. "
                f"Received: y_pred of shape {tuple(y_pred.shape)}"
            )
        difference = ops.abs(y_pred[:, 0] - y_pred[:, 1])
        if self.reference == "mean":
            values = ops.divide_no_nan(difference, ops.mean(y_pred, axis=1))
        else:
            values = difference / one_value_per_example("y_true", y_true, self.sum_dtype, y_pred.shape[0])
        are_probabilities = ops.all((y_pred >= 0) & (y_pred <= 1), axis=1)
        self.add(ops.where(are_probabilities, values, float("nan")), sample_weight)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "reference": self.reference}
