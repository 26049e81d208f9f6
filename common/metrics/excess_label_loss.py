"""Excess label loss: what a model's predictions cost above the true probabilities, in nats."""

from typing import TYPE_CHECKING

import numpy as np
from keras import ops

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


_NUM_NODES = 8


def _bernoulli_divergence(a, b, xp):
    """KL(Bernoulli(sigmoid(a)) || Bernoulli(sigmoid(b))) for each element, in nats.

    The divergence is the Bregman divergence of softplus,

        softplus(b) - softplus(a) - sigmoid(a) * (b - a),

    which loses its digits where b is close to a. There the remainder of the expansion is integrated
    instead, a sum of positive terms, so that the relative error stays small:

        (b - a)^2 * integral over t in [0, 1] of (1 - t) * sigmoid'(a + t * (b - a)).

    Args:
        a: Floating-point array of logits; infinite ones are certain labels.
        b: Array of the shape and type of `a`.
        xp: The module of the arrays: `numpy` or `keras.ops`.
    """
    # The divergence stays the same when the labels swap: a <= 0 keeps sigmoid(a) away from 1, where
    # the first formula would cancel, and exp from overflow.
    a, b = -xp.abs(a), xp.where(a > 0, -b, b)
    odds = xp.exp(a)
    # Of a certain label (odds 0) the slope is 0, also where b - a is infinite; a model that is sure of what
    # may be wrong costs infinity, which the terms would give as inf - inf.
    slope = xp.where(odds == 0, 0.0, odds / (1.0 + odds) * (b - a))
    far = xp.where(b == np.inf, b + odds, xp.logaddexp(b, 0.0) - xp.log1p(odds) - slope)

    # Eight nodes integrate sigmoid', whose poles are pi away from the real axis, to float64
    # precision over steps of length 1; beyond it `far` loses no more than one digit.
    step = xp.clip(b - a, -1.0, 1.0)
    integral = 0.0
    for node, weight in zip(*np.polynomial.legendre.leggauss(_NUM_NODES), strict=True):
        t = float(1.0 + node) / 2
        odds = xp.exp(-xp.abs(a + t * step))
        integral = integral + float(weight) / 2 * (1.0 - t) * odds / xp.square(1.0 + odds)
    near = xp.square(step) * integral
    return xp.maximum(xp.where(xp.abs(b - a) <= 1.0, near, far), 0.0)


def excess_label_loss(
    true_logits: np.ndarray, logits: np.ndarray, sample_weight: np.ndarray | None = None
) -> np.float64 | np.ndarray:
    """Mean KL divergence from the true label probabilities to a model's, in float64.

    This is the average excess label loss of Snapp & Shamir 2021 (eq. 2): the cross-entropy of the
    model minus the entropy of the labels, in nats, with the expectation over labels taken exactly.
    Computed from logits, it does not overflow, and its relative error stays near float64 precision
    also for logits that differ by 1e-6 or less.

    Formula:

    ```
    L = mean over examples of p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
    p = sigmoid(true_logits)
    q = sigmoid(logits)
    ```

    Example:
    >>> excess_label_loss([0.0], [np.log(3.0)])  # p = 1/2, q = 3/4: log(4 / 3) / 2
    0.14384103622589062

    Args:
        true_logits: Finite array of shape (examples,) or (examples, 1), the log-odds of the positive label.
        logits: Finite array of one of these shapes, the model's; or of shape (..., examples), those of
            several models on leading axes, which are kept. Of one example, (models, 1) is of several
            models, and (1, 1) of one.
        sample_weight: Non-negative array of shape (examples,) or (examples, 1), such as the
            count of each distinct example: the mean over examples is then weighted.

    Returns:
        Float64 number or array of shape (...), in nats. Never negative; 0 if the logits are equal.

    Raises:
        ValueError: If shapes do not fit, a logit is not finite, a weight is negative or not finite,
            or all weights are 0.

    Reference:

    - [Snapp & Shamir 2021, eq. 2](https://arxiv.org/abs/2102.10696)
    """
    logits = np.asarray(logits, np.float64)
    if logits.shape == (np.size(true_logits), 1):
        logits = logits[:, 0]
    a, b, weights = example_arrays(
        true_logits=column("true_logits", true_logits),
        logits=logits,
        sample_weight=column("sample_weight", sample_weight),
    )
    for name, array in (("true_logits", a), ("logits", b)):
        check_values(name, array, np.isfinite(array), "finite")
    return mean_over_examples(_bernoulli_divergence(a, b, np), weights)


@registered
class ExcessLabelLoss(MeanOverExamples):
    """Mean KL divergence from the true label probabilities to a model's, in nats.

    The average excess label loss of Snapp & Shamir 2021 (eq. 2), gathered over batches: `y_true`
    holds the true logits and `y_pred` the model's, each with shape (batch,) or (batch, 1).

    Formula:

    ```
    L = mean over examples of p * log(p / q) + (1 - p) * log((1 - p) / (1 - q))
    p = sigmoid(y_true)
    q = sigmoid(y_pred)
    ```

    Example:
    >>> metric = ExcessLabelLoss()
    >>> metric.update_state(y_true=[0.0], y_pred=[1.0986123])  # p = 1/2, q = 3/4
    >>> metric.result()
    0.14384103

    Args:
        name: Name of the metric instance.
        dtype: Type of the result; values are computed in float32 at least.

    Reference:

    - [Snapp & Shamir 2021, eq. 2](https://arxiv.org/abs/2102.10696)
    """

    def __init__(self, name: str = "excess_label_loss", dtype: str | None = None) -> None:
        super().__init__(name=name, dtype=dtype)

    def update_state(
        self,
        y_true: "tf.Tensor | np.ndarray",
        y_pred: "tf.Tensor | np.ndarray",
        sample_weight: "tf.Tensor | np.ndarray | float | None" = None,
    ) -> None:
        """Adds a batch of true logits and the model's logits.

        `sample_weight` has one of their shapes, or is the weight of every example.
        """
        true_logits = one_value_per_example("y_true", y_true, self.sum_dtype)
        logits = one_value_per_example("y_pred", y_pred, self.sum_dtype, true_logits.shape[0])
        self.add(_bernoulli_divergence(true_logits, logits, ops), sample_weight)
