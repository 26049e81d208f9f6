"""Sharpness, loss and accuracy over volumes: scores integrated along paths of growing erasure.

Each sample has one base point, which all its paths start from, and an anchor for each path and strength. A
score at these points becomes one value for each volume: the integral along a path up to its first, second,
... anchor, divided by the path's length so far, averaged over the paths.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ..compilation import compiled
from ..data.colour_jitter import check_clip, jitter_coefficients
from ..data.svd_paths import (
    STRENGTHS,
    decompose,
    erase,
    erasure_masks,
    erasure_windows,
    segment_lengths,
)
from .logits import Network, padded_batches
from .sharpness import (
    BATCH_SIZE,
    NUM_COPIES,
    check_examples,
    check_images,
    check_num_copies,
    check_step,
    point_scores,
    samples_in,
    tangent_hessian_prefactor,
)

NUM_PATHS = 4


def integrate_paths(scores: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Cumulative line integrals by the trapezoidal rule, normalised by length, averaged over paths.

    Formula, for the volume that ends at anchor `a`, whose segments `j` join anchors `j - 1` and `j`:

    ```
    value_a = mean over paths of sum_{j <= a} (s_{j-1} + s_j) / 2 * d_j / sum_{j <= a} d_j
    value_0 = s_0
    ```

    A path of length zero (an image that has lost nothing yet) has the value of its first anchor.

    Example:
    >>> integrate_paths(scores=[[[0.0, 1.0, 3.0]]], lengths=[[[1.0, 3.0]]])
    [[0.0, 0.5, 1.625]]

    Args:
        scores: Array of shape (..., paths, anchors), any score at each anchor.
        lengths: Non-negative array of shape (..., paths, anchors - 1), the lengths of the segments.

    Returns:
        Float64 array of shape (..., anchors).

    Raises:
        ValueError: If scores and lengths do not fit together, or a length is negative.

    Reference:

    - [Gamba et al. 2022, eq. 6 and 7](https://arxiv.org/abs/2209.10080)
    - magamba/double_descent, core/metric_helpers.py, integrate_line_cumulative
    """
    scores, lengths = np.asarray(scores, dtype="float64"), np.asarray(lengths, dtype="float64")
    if lengths.shape[-2:] != (*scores.shape[-2:-1], scores.shape[-1] - 1) or (lengths < 0).any():
        raise ValueError(
            "`lengths` must be those of the segments between scores, none negative. Received: shapes "
            f"{scores.shape} and {lengths.shape}"
        )
    first = scores[..., :1]
    integrals = np.cumsum((scores[..., :-1] + scores[..., 1:]) / 2 * lengths, axis=-1)
    totals = np.cumsum(lengths, axis=-1)
    positive = totals > 0
    values = np.where(positive, integrals / np.where(positive, totals, 1), first)
    return np.mean(np.concatenate([first, values], axis=-1), axis=-2)


class VolumeMeter:
    """Measures many models of one architecture: compiled at the first measurement, then reused.

    After `model.set_weights` or more training the same meter measures the new weights. A compiled call takes
    one anchor of a batch of samples after the other, so that beside the samples and the results memory
    depends on `batch_size` alone, not on the numbers of samples, paths or strengths. The base point of a
    sample is visited once for all its paths, and its gradient serves both the Jacobian and the tangent
    Hessian norm: `samples * (1 + num_paths * strengths) * (1 + num_copies)` input gradients in all.

    The finite differences want full float32 products: on a GPU that rounds them to TensorFloat-32, call
    `tf.config.experimental.enable_tensor_float_32_execution(False)` first.

    With `strengths=()` only the base points are measured, with `num_copies=0` no tangent Hessian norm.

    Example:
    >>> meter = VolumeMeter(model, mean=(0.4914, 0.4822, 0.4465), std=(0.2023, 0.1994, 0.2010))
    >>> volumes = meter.measure(images, labels)
    >>> volumes["jacobian_norm"][is_noisy].mean(axis=0)  # of the noisy subset, for each volume

    Args:
        model: Keras model from normalised images to logits of shape (batch, classes).
        mean: Means of the channels, with which the model's inputs are normalised.
        std: Standard deviations likewise.
        num_paths: Number of paths of each sample. Defaults to 4, the example of the authors' README; the
            default of their program is 8.
        strengths: Strictly increasing numbers of erased singular values, one for each anchor after the base.
        num_copies: Number of transformed copies of each point for the tangent Hessian norm.
        batch_size: Number of points, copies included, in a forward and backward pass.
        seed: Root seed of the colour transformations. A sample's copies are transformed alike at all its
            anchors, as in the authors' code.
        colour_clip: `"none"`, or `"code"` to clip copies to [0, 1] after each operation, as the authors' code
            does; see `apply_jitter`.
        step: `"code"`, or `"paper"` to go a tenth of the way to a copy; see `tangent_hessian_sums`.

    Raises:
        ValueError: If `num_copies` is negative, or `colour_clip` or `step` is none of the two.

    Reference:

    - [Gamba et al. 2022, section 3](https://arxiv.org/abs/2209.10080)
    """

    def __init__(
        self,
        model: Network,
        mean: Sequence[float] | np.ndarray,
        std: Sequence[float] | np.ndarray,
        num_paths: int = NUM_PATHS,
        strengths: Sequence[int] = STRENGTHS,
        num_copies: int = NUM_COPIES,
        batch_size: int = BATCH_SIZE,
        seed: int = 0,
        colour_clip: str = "none",
        step: str = "code",
    ) -> None:
        check_num_copies(num_copies, minimum=0)
        check_clip(colour_clip)
        check_step(step)
        self.model = model
        self.mean, self.std = (np.asarray(values, "float32") for values in (mean, std))
        self.num_paths, self.strengths = num_paths, tuple(strengths)
        self.num_copies, self.batch_size, self.seed = num_copies, batch_size, seed
        self.colour_clip, self.step = colour_clip, step
        self._scores = compiled(self._anchor_scores)

    def _anchor_scores(self, images, labels, scaled_left, right, coefficients, masks):
        """Scores at all anchors of a batch of samples: tensor of shape (masks, samples, 4)."""
        # Not tf.map_fn: when tracing fails it leaves a caching device behind, which breaks later strategies.
        num_anchors = masks.shape[0]
        empty = tf.TensorArray(tf.float32, num_anchors, element_shape=(images.shape[0], 4))

        def next_anchor(i, scores):
            anchors = erase(images, scaled_left, right, masks[i])
            options = self.mean, self.std, self.colour_clip, self.step
            found = point_scores(self.model, anchors, labels, coefficients, *options)
            return i + 1, scores.write(i, found)

        _, scores = tf.while_loop(
            lambda i, scores: i < num_anchors, next_anchor, (0, empty), parallel_iterations=1
        )
        return scores.stack()

    def measure(self, images: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
        """Measures the model's present weights over the volumes around some samples.

        Args:
            images: Float array of shape (samples, height, width, channels) in [0, 1], 1 or 3 channels.
            labels: Integer array of shape (samples,) or (samples, 1), the training labels.

        Returns:
            Float64 arrays of shape (samples, anchors), anchors = 1 + number of strengths; column `a`
            is the value over the volume of the first `a + 1` anchors of each path, column 0 that at the
            sample itself: `accuracy`, `cross_entropy` in nats, `jacobian_norm`, and with `num_copies > 0`
            `tangent_hessian_norm` and `tangent_hessian_norm_paper`, with the prefactors of the code and of
            the paper.

        Raises:
            UserError: If the images have too few singular values for the paths.
            ValueError: If a label is not among the classes, the model does not give logits, they have no
                gradient by the input, or an argument is not as described.
        """
        check_images(images, self.mean, self.std)
        images, labels = check_examples(self.model, images, labels, self.batch_size)
        rank = min(images.shape[1:3])
        windows = erasure_windows(rank, self.num_paths, self.strengths)
        masks = np.concatenate([np.zeros((1, rank), "float32"), erasure_masks(windows, rank)])
        values = np.empty((4, len(images), 1 + len(self.strengths)))
        for rows, inputs, targets, samples in padded_batches(
            samples_in(self.batch_size, self.num_copies), images, labels, np.arange(len(images))
        ):
            integrals = self._integrate(inputs, targets, samples, windows, masks)
            values[:, rows] = integrals[:, : rows.stop - rows.start]
        return self._metrics(*values)

    def _integrate(self, images, labels, samples, windows, masks):
        """Cumulative integrals of the four scores for a batch: array of shape (4, samples, anchors)."""
        scaled_left, singular_values, right = decompose(images)
        coefficients = jitter_coefficients(
            self.seed, samples, self.num_copies, images.shape[-1], self.colour_clip
        )
        batch = (images, labels, scaled_left, right, coefficients, masks)
        scores = self._scores(*map(tf.constant, batch)).numpy().transpose(2, 1, 0)
        paths_shape = (*scores.shape[:2], self.num_paths)
        base = np.broadcast_to(scores[:, :, np.newaxis, :1], (*paths_shape, 1))
        anchors = scores[:, :, 1:].reshape(*paths_shape, len(self.strengths))
        lengths = segment_lengths(singular_values, windows, self.std)
        return integrate_paths(np.concatenate([base, anchors], axis=-1), lengths)

    def _metrics(self, accuracy, cross_entropy, jacobian_norm, root_sum):
        """Names the integrals; `root_sum` is the tangent Hessian norm before its prefactor."""
        metrics = {"accuracy": accuracy, "cross_entropy": cross_entropy, "jacobian_norm": jacobian_norm}
        if self.num_copies:
            of_code, of_paper = (
                tangent_hessian_prefactor(self.num_copies, source) for source in ("code", "paper")
            )
            metrics["tangent_hessian_norm"] = of_code * root_sum
            metrics["tangent_hessian_norm_paper"] = of_paper * root_sum
        return metrics


def measure_volumes(
    model: Network,
    images: np.ndarray,
    labels: np.ndarray,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    num_paths: int = NUM_PATHS,
    strengths: Sequence[int] = STRENGTHS,
    num_copies: int = NUM_COPIES,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    colour_clip: str = "none",
    step: str = "code",
) -> dict[str, np.ndarray]:
    """Measures one model over the volumes around some samples.

    Each call compiles the model anew; `VolumeMeter` keeps the compiled program for further weights, and its
    documentation holds for all arguments and results.

    Args:
        model: See `VolumeMeter`, as for `mean`, `std` and all options.
        images: See `VolumeMeter.measure`.
        labels: See `VolumeMeter.measure`.
        mean: Means of the channels.
        std: Standard deviations of the channels.
        num_paths: Number of paths of each sample.
        strengths: Numbers of erased singular values.
        num_copies: Number of transformed copies of each point.
        batch_size: Number of points, copies included, in a forward and backward pass.
        seed: Root seed of the colour transformations.
        colour_clip: `"none"` or `"code"`.
        step: `"code"` or `"paper"`.

    Returns:
        Float64 arrays of shape (samples, anchors).

    Raises:
        UserError: As `VolumeMeter.measure` does.
        ValueError: As `VolumeMeter.measure` does.

    Reference:

    - [Gamba et al. 2022, section 3](https://arxiv.org/abs/2209.10080)
    """
    options = (num_copies, batch_size, seed, colour_clip, step)
    return VolumeMeter(model, mean, std, num_paths, strengths, *options).measure(images, labels)
