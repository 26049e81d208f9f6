"""Sharpness of the loss in input space at single points: Jacobian norm and tangent Hessian norm.

The tangent Hessian norm is a finite difference of input gradients along weak colour transformations. Its raw
sum of squares is kept, from which the prefactors of both the paper and its code follow.
"""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from ..arguments import whole_number
from ..arrays import class_labels
from ..compilation import compiled
from ..data.colour_jitter import apply_jitter, jitter_coefficients, luma_weights
from ..tensors import floating
from .examples import check_values
from .logits import Network, check_logits, logits_of, padded_batches

NUM_COPIES = 4
DELTA = 0.1  # of eq. 5
HESSIAN_STEPS = ("code", "paper")
# Points of one forward and backward pass: 64 samples with their four transformed copies.
BATCH_SIZE = 320


def check_examples(
    model: Network, examples: np.ndarray, labels: np.ndarray, batch_size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Checks that a model gives logits for the examples and that the labels are among its classes.

    Args:
        model: The network.
        examples: Array of shape (n, ...).
        labels: Integer array of shape (n,) or (n, 1).
        batch_size: Largest number of examples in a call of the model; None: no more than 8 are needed.

    Returns:
        The examples as float32, whatever they are stored in, and the labels as int32 of shape (n,).

    Raises:
        ValueError: If not, or if an example holds a number that is not finite.
    """
    examples, labels = np.asarray(examples), class_labels(labels)
    if len(examples) == 0 or len(labels) != len(examples):
        raise ValueError(
            "`labels` must be one integer for each of at least one example. Received: "
            f"{len(labels)} labels for {len(examples)} examples"
        )
    examples = examples.astype("float32", copy=False)
    check_values("examples", examples, np.isfinite(examples), "finite")
    if batch_size is not None:
        batch_size = whole_number("batch_size", batch_size)
    num_classes = check_logits(model, examples[:8], batch_size)
    check_values("labels", labels, (labels >= 0) & (labels < num_classes), f"from 0 to {num_classes - 1}")
    return examples, labels.astype("int32")


def check_images(
    images: np.ndarray, mean: Sequence[float] | np.ndarray, std: Sequence[float] | np.ndarray
) -> None:
    """Checks that images are in [0, 1] and that each channel has a mean and a standard deviation.

    Raises:
        ValueError: If not.
    """
    images = np.asarray(images)
    if images.ndim != 4 or images.dtype.kind != "f":
        raise ValueError(
            "`images` must be floats of shape (images, height, width, channels). "
            f"Received: images of shape {images.shape} and type {images.dtype}"
        )
    luma_weights(images.shape[-1])
    check_values("images", images, (images >= 0) & (images <= 1), "in [0, 1], not yet normalised")
    for name, values in (("mean", mean), ("std", std)):
        if np.shape(values) != images.shape[-1:]:
            raise ValueError(f"`{name}` must have one value for each channel. Received: {name}={values}")
    check_values("std", np.asarray(std), np.asarray(std) > 0, "greater than 0")


def _label_tensor(labels):
    labels = tf.convert_to_tensor(labels)
    if labels.shape.rank != 1:
        raise ValueError(f"`labels` must have shape (batch,). Received: labels of shape {labels.shape}")
    return labels


def input_gradients(
    model: Network, inputs: tf.Tensor, labels: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Loss, correctness and input gradient of each input, with the model in inference mode.

    Args:
        model: Keras model from inputs to logits.
        inputs: Tensor of shape (batch, ...), normalised as the model was trained; float32 at least is
            computed in.
        labels: Integer tensor of shape (batch,).

    Returns:
        Cross-entropies (batch,); 1 where the largest logit is the label's, else 0 (batch,); gradients of
        each cross-entropy by its own input, in the type that is computed in, of the shape of the inputs, nan
        where the cross-entropy is not finite.

    Raises:
        ValueError: If the logits do not depend differentiably on the inputs, or labels have another shape.
    """
    inputs, labels = floating(inputs), _label_tensor(labels)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(inputs)
        logits = tf.cast(logits_of(model, inputs), tf.float32)
        cross_entropies = _cross_entropies(labels, logits)
    gradients = tape.gradient(cross_entropies, inputs)
    if gradients is None:
        raise ValueError(
            f"`model` must have logits with a gradient by its input. "
            f"Received: model={getattr(model, 'name', model)}"
        )
    # Activations with masked gradients would pass 0 on: a diverged network is not flat.
    defined = tf.reshape(tf.math.is_finite(cross_entropies), (-1, *[1] * (inputs.shape.rank - 1)))
    gradients = tf.where(defined, gradients, np.nan)
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=labels.dtype) == labels, tf.float32)
    return cross_entropies, correct, gradients


def _cross_entropies(labels, logits):
    """Cross-entropies that keep their gradient where the label's probability is next to 1.

    TensorFlow's own gradient has this probability minus 1, which float32 rounds to a multiple of 6e-8. Here
    it is log(1 + sum of exp(z_k - z_y)) over the classes k other than y.
    """
    own = tf.gather(logits, labels, batch_dims=1)
    is_own = tf.one_hot(labels, logits.shape[-1], on_value=True, off_value=False, dtype=tf.bool)
    others = tf.where(is_own, -np.inf, logits - own[:, tf.newaxis])
    cross_entropies = tf.nn.softplus(tf.reduce_logsumexp(others, axis=-1))
    return tf.where(tf.math.is_inf(own), np.nan, cross_entropies)


def _norms(vectors):
    """Euclidean norms over the last axis, also of numbers whose squares float32 does not hold."""
    largest = tf.reduce_max(tf.abs(vectors), axis=-1, keepdims=True)
    unit = tf.where(largest > 0, largest, 1.0)
    return unit[..., 0] * tf.norm(vectors / unit, axis=-1)


def point_scores(
    model: Network,
    images: tf.Tensor,
    labels: tf.Tensor,
    coefficients: tf.Tensor,
    mean: tf.Tensor | np.ndarray,
    std: tf.Tensor | np.ndarray,
    colour_clip: str = "none",
    step: str = "code",
) -> tf.Tensor:
    """All scores at one point of each sample, from one forward and backward pass.

    Args:
        model: Keras model from normalised images to logits.
        images: Tensor of shape (batch, height, width, channels), before normalisation.
        labels: Integer tensor of shape (batch,).
        coefficients: Float32 tensor of shape (batch, num_copies, steps, 3), see `jitter_coefficients`.
        mean: Float32 tensor of shape (channels,).
        std: Float32 tensor of shape (channels,).
        colour_clip: See `apply_jitter`.
        step: One of `HESSIAN_STEPS`, how far the displaced points are on the way to the copies.

    Returns:
        Float32 tensor of shape (batch, 4): correctness, cross-entropy, Jacobian norm, and the root of the sum
        over the copies of the squared distance between the gradients at the point and at the displaced one.

    Raises:
        ValueError: As `input_gradients` does.
    """
    images, labels = tf.cast(images, tf.float32), _label_tensor(labels)
    num_points = 1 + coefficients.shape[1]
    copies, base = apply_jitter(images, coefficients, colour_clip), images[:, tf.newaxis]
    if step == "paper":
        copies = base + DELTA * (copies - base)
    points = tf.concat([base, copies], axis=1)
    inputs = tf.reshape((points - mean) / std, (-1, *images.shape[1:]))
    cross_entropies, correct, gradients = input_gradients(model, inputs, tf.repeat(labels, num_points))
    size = np.prod(images.shape[1:], dtype=int)
    gradients = tf.reshape(gradients, (-1, num_points, size))
    at_point, at_copies = gradients[:, 0], gradients[:, 1:]
    distances = tf.reshape(
        at_copies - at_point[:, tf.newaxis], (tf.shape(images)[0], (num_points - 1) * size)
    )
    return tf.stack(
        [
            correct[::num_points],
            cross_entropies[::num_points],
            _norms(at_point),
            _norms(distances),
        ],
        axis=-1,
    )


def jacobian_norm(
    model: Network, images: np.ndarray, labels: np.ndarray, batch_size: int = BATCH_SIZE
) -> np.ndarray:
    """Euclidean norm of the gradient of the cross-entropy by the input, for each sample.

    The model runs in inference mode. Each call compiles it anew: to measure many models of an architecture,
    or other scores too, use a `VolumeMeter`. In half precision gradients below 6e-8 are 0, which those of
    samples that are fitted well may be: measure a float32 copy.

    Formula:

    ```
    J(x, y) = || d CE(model(x), y) / dx ||_2
    ```

    Args:
        model: Keras model that gives logits of shape (batch, classes).
        images: Array of shape (samples, ...), normalised as for training; computed in float32. Samples may be
            single numbers, of shape (samples,), where the model takes them.
        labels: Integer array of shape (samples,) or (samples, 1), the training labels.
        batch_size: Number of samples in a forward and backward pass.

    Returns:
        Float64 array of shape (samples,), in nats by unit of normalised input.

    Raises:
        ValueError: If a label is not among the classes, the model does not give logits, or they have no
            gradient by the input.

    Reference:

    - [Gamba et al. 2022, eq. 1 and 2](https://arxiv.org/abs/2209.10080)
    """
    images, labels = check_examples(model, images, labels, batch_size)

    @compiled
    def norms(inputs, labels):
        gradients = input_gradients(model, inputs, labels)[2]
        return _norms(tf.reshape(gradients, (-1, np.prod(images.shape[1:], dtype=int))))

    result = np.empty(len(images))
    for rows, *batch in padded_batches(batch_size, images, labels):
        result[rows] = norms(*map(tf.constant, batch))[: rows.stop - rows.start]
    return result


def tangent_hessian_sums(
    model: Network,
    images: np.ndarray,
    labels: np.ndarray,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    num_copies: int = NUM_COPIES,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    colour_clip: str = "none",
    step: str = "code",
) -> np.ndarray:
    """Squared distances of input gradients to those at displaced points, summed over the points.

    Copies are made by factors of brightness, contrast and saturation, each uniform in [0.99, 1.01], applied
    in a random order to the image in [0, 1], which is normalised afterwards. The factors depend on the seed,
    the sample's position and the copy and on nothing else. The displaced points are the copies themselves, as
    in the official code, or `DELTA` of the way to them, as in the paper's equation.

    Args:
        model: Keras model that gives logits of shape (batch, classes).
        images: Float array of shape (samples, height, width, channels) in [0, 1], 1 or 3 channels.
        labels: Integer array of shape (samples,) or (samples, 1), the training labels.
        mean: Means of the channels, with which the model's inputs are normalised.
        std: Standard deviations likewise.
        num_copies: Number of transformed copies of each sample, at least 1.
        batch_size: Number of points, copies included, in a forward and backward pass.
        seed: Root seed of the colour transformations.
        colour_clip: `"none"`, or `"code"` to clip copies to [0, 1] after each operation, as the official code
            does: see `apply_jitter`.
        step: `"code"` or `"paper"`, see above.

    Returns:
        Float64 array of shape (samples,): the sum of eq. 5, before root and prefactor.

    Raises:
        ValueError: If a label is not among the classes, the model does not give logits, they have no
            gradient by the input, or an argument is not as described.

    Reference:

    - [Gamba et al. 2022, eq. 5](https://arxiv.org/abs/2209.10080)
    - magamba/double_descent, core/data.py, MultiColorJitter
    """
    check_num_copies(num_copies, minimum=1)
    check_step(step)
    check_images(images, mean, std)
    images, labels = check_examples(model, images, labels, batch_size)
    mean, std = (np.asarray(values, "float32") for values in (mean, std))
    scores = compiled(
        lambda inputs, labels, coefficients: point_scores(
            model, inputs, labels, coefficients, mean, std, colour_clip, step
        )
    )
    positions = np.arange(len(images))
    result = np.empty(len(images))
    for rows, *batch, samples in padded_batches(
        samples_in(batch_size, num_copies), images, labels, positions
    ):
        coefficients = jitter_coefficients(seed, samples, num_copies, images.shape[-1], colour_clip)
        roots = scores(*map(tf.constant, (*batch, coefficients)))[:, 3]
        result[rows] = roots[: rows.stop - rows.start]
    return result**2


def tangent_hessian_prefactor(
    num_copies: int = NUM_COPIES, source: str = "code", delta: float = DELTA
) -> float:
    """What the root of `tangent_hessian_sums` is multiplied by to give the tangent Hessian norm.

    The ratio paper / code is `1 / (delta * num_copies^1.5)`, 1.25 by default. The paper's equation also
    scales the displacement by `delta`, the code does not: that is the `step` of `tangent_hessian_sums`. The
    paper's whole equation is its prefactor with its step.

    Formula:

    ```
    code:  1 / (delta * sqrt(M))
    paper: 1 / (delta^2 * M^2)
    ```

    Args:
        num_copies: Number of transformed copies of each sample, M.
        source: `"code"` or `"paper"`.
        delta: Step of the finite difference.

    Raises:
        ValueError: If `source` is neither, or there are no copies.

    Reference:

    - [Gamba et al. 2022, eq. 5](https://arxiv.org/abs/2209.10080)
    - magamba/double_descent, core/metric_helpers.py, tangent_norm
    """
    check_num_copies(num_copies, minimum=1)
    if source == "code":
        return 1 / (delta * num_copies**0.5)
    if source == "paper":
        return 1 / (delta**2 * num_copies**2)
    raise ValueError(f'`source` must be "code" or "paper". Received: source={source!r}')


def tangent_hessian_norm(
    model: Network,
    images: np.ndarray,
    labels: np.ndarray,
    mean: Sequence[float] | np.ndarray,
    std: Sequence[float] | np.ndarray,
    num_copies: int = NUM_COPIES,
    batch_size: int = BATCH_SIZE,
    seed: int = 0,
    source: str = "code",
    colour_clip: str = "none",
    step: str = "code",
) -> np.ndarray:
    """Norm of the loss's Hessian by the input along weak colour transformations, for each sample.

    Formula, with the code's prefactor and `delta = 0.1`; `x_m` are the displaced points:

    ```
    H(x, y) = sqrt(mean over m of || (J(x, y) - J(x_m, y)) / delta ||^2)
    ```

    Args:
        model: This and the next arguments up to `seed` are those of `tangent_hessian_sums`.
        images: See there.
        labels: See there.
        mean: See there.
        std: See there.
        num_copies: See there.
        batch_size: See there.
        seed: See there.
        source: Whose prefactor, `"code"` or `"paper"`: see `tangent_hessian_prefactor`.
        colour_clip: See `tangent_hessian_sums`.
        step: Whose displaced points, `"code"` or `"paper"`: see `tangent_hessian_sums`.

    Returns:
        Float64 array of shape (samples,).

    Raises:
        ValueError: As `tangent_hessian_sums` and `tangent_hessian_prefactor` do.

    Reference:

    - [Gamba et al. 2022, eq. 5](https://arxiv.org/abs/2209.10080)
    - magamba/double_descent, core/metric_helpers.py, tangent_norm
    """
    prefactor = tangent_hessian_prefactor(num_copies, source)
    options = (num_copies, batch_size, seed, colour_clip, step)
    return prefactor * np.sqrt(tangent_hessian_sums(model, images, labels, mean, std, *options))


def check_num_copies(num_copies: int, minimum: int) -> None:
    """Raises a ValueError unless there are at least `minimum` copies."""
    if num_copies < minimum:
        raise ValueError(f"`num_copies` must be at least {minimum}. Received: num_copies={num_copies}")


def check_step(step: str) -> None:
    """Raises a ValueError unless it is one of `HESSIAN_STEPS`."""
    if step not in HESSIAN_STEPS:
        raise ValueError(f"The step of eq. 5 must be one of {HESSIAN_STEPS}. Received: {step!r}")


def samples_in(batch_size: int, num_copies: int) -> int:
    """Number of samples whose points, copies included, fill a batch of points."""
    return max(1, batch_size // (1 + num_copies))
