"""A network's logits, as all measures take them, and how their programs are fed."""

from collections.abc import Callable, Iterator
from typing import TypeAlias

import keras
import numpy as np
import tensorflow as tf

from ..arguments import whole_number
from ..arrays import OUTPUTS
from ..tensors import floating

# A Keras model or layer, or a function made of TensorFlow operations: a batch of inputs to logits.
Network: TypeAlias = keras.Layer | Callable[[tf.Tensor], tf.Tensor]

# The logarithm of a smaller probability says nothing: float32 has none far below. In float16 it may have been
# up to 2^-25, half the least number above 0.
_LEAST_PROBABILITY, _LEAST_IN_HALF = 1e-30, 2.0**-25

_HALF_STEP_BELOW_1 = {tf.float16: 2.0**-12, tf.bfloat16: 2.0**-9, tf.float64: 2.0**-54}  # else float32

# Half precision computes each probability to within 2^-9 (bfloat16) of itself; a cast to float32 hides that.
_HALF_PRECISION = 2.0**-7


def logits_of(model: Network, inputs: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Returns what a network gives in inference mode, a tensor of shape (batch, classes).

    Args:
        model: The network; a Keras layer is called with `training=False`.
        inputs: A batch of its inputs; a model of whole numbers gets the nearest that its type holds, every
            other one numbers in float32 at least.

    Raises:
        ValueError: If it gives several outputs, or not at least two logits for each input.
    """
    logits = _outputs_of(model, inputs)
    if logits.shape.rank != 2 or logits.shape[-1] < 2:
        raise ValueError(
            "The model must give logits of shape (batch, classes), at least two classes; of one logit z an "
            f"example `as_logits` makes 0 and z. Received: logits of shape {logits.shape}"
        )
    return logits


def _outputs_of(model, inputs):
    """What a network gives in inference mode, whatever its shape."""
    inputs = _as_taken(model, tf.convert_to_tensor(inputs))
    outputs = model(inputs, training=False) if isinstance(model, keras.Layer) else model(inputs)
    if isinstance(outputs, list | tuple | dict):
        raise ValueError(
            f"The model must give one tensor of logits; make a model of one of its outputs. Received: "
            f"{type(outputs).__name__} of {len(outputs)} outputs"
        )
    return tf.convert_to_tensor(outputs)


def _as_taken(model, inputs):
    """Inputs in the type in which a network computes on them: whole numbers for a model that takes them."""
    declared = getattr(model, "inputs", None) if isinstance(model, keras.Model) else None
    dtype = tf.as_dtype(declared[0].dtype) if declared else tf.float32
    if not dtype.is_integer:
        return floating(inputs)
    if not inputs.dtype.is_integer:
        inputs = tf.round(floating(inputs))
    if inputs.dtype != dtype:  # `tf.saturate_cast` is wrong between int64 and itself
        low, high = max(dtype.min, inputs.dtype.min), min(dtype.max, inputs.dtype.max)
        inputs = tf.clip_by_value(inputs, tf.cast(low, inputs.dtype), tf.cast(high, inputs.dtype))
    return tf.cast(inputs, dtype)


def _in_batches(function, inputs, batch_size):
    """What a function of a batch gives for all inputs, `batch_size` of them at a time; None: all at once."""
    if batch_size is None or len(inputs) <= batch_size:
        return function(inputs)
    parts = [function(inputs[start : start + batch_size]) for start in range(0, len(inputs), batch_size)]
    return tf.concat(parts, axis=0)


def as_logits(
    model: Network,
    examples: np.ndarray | tf.Tensor,
    outputs: str = "auto",
    batch_size: int | None = None,
) -> Network:
    """Returns the logits of a network, also where it gives probabilities or one number an example.

    The logits of probabilities are their logarithms. One number z an example is the logit of class 1 against
    class 0, whose logits are then 0 and z; one probability p is that of class 1, and they are those of
    1 - p and p. Where p is rounded to 1, 1 - p is taken to be half the step below 1 of the model's type,
    2^-25 in float32: a loss of 17.3, the least that it may be. A probability that is rounded to 0 is taken to
    be 1e-30 (2^-25 in float16), and there the loss is flat: its gradient is 0 where the model's is large.

    Args:
        model: Gives numbers of shape (batch, classes), or (batch, 1) for two classes.
        examples: A few inputs, on which is seen what it gives: probabilities if no number is negative and
            each row sums to 1, or, of one number an example, if all are in [0, 1]. The more, the surer.
        outputs: `"logits"` or `"probabilities"`, where it is known; else `"auto"`.
        batch_size: Largest number of examples in a call of the model; None: all of them.

    Returns:
        Function from a batch of inputs to logits of shape (batch, classes), in float32 at least.

    Raises:
        ValueError: The model gives several outputs, or numbers of another shape, or not what it is said to
            give; or `outputs` is none of OUTPUTS.
    """
    kind = kind_of_outputs(_in_batches(lambda batch: array_of(model, batch), examples, batch_size), outputs)
    return logits_by_kind(model, kind)


def logits_by_kind(model: Network, kind: str) -> Network:
    """Returns the logits of a network whose outputs are known, see `as_logits`.

    Args:
        model: Gives numbers of shape (batch, classes), or (batch, 1) for two classes.
        kind: What they are, from `kind_of_outputs`.

    Returns:
        Function from a batch of inputs to logits of shape (batch, classes), in float32 at least.
    """
    return lambda inputs: logits_from(array_of(model, inputs), kind)


def kind_of_outputs(given: tf.Tensor, outputs: str = "auto") -> str:
    """Returns what the outputs of a classifier are: "logits" or "probabilities".

    Args:
        given: All outputs that are known, of shape (examples, classes), or (examples, 1) for two classes.
        outputs: What they are said to be, one of OUTPUTS.

    Raises:
        ValueError: They are none of the probabilities that they are said to be; of several classes and not
            said to be logits, they are all from 0 to 1 without rows that sum to 1; or `outputs` is none of
            OUTPUTS.
    """
    if outputs not in OUTPUTS:
        raise ValueError(f"`outputs` must be one of {', '.join(OUTPUTS)}. Received: outputs={outputs!r}")
    if outputs != "logits" and _may_be_probabilities(given):
        return "probabilities"
    if outputs == "probabilities":
        raise ValueError("The model must give probabilities: numbers from 0 to 1, whose rows sum to 1")
    if outputs == "auto" and _are_shares(given) and tf.math.count_nonzero(given) > 0:
        raise ValueError(
            "The model must give logits, or probabilities whose rows sum to 1; it gives numbers from 0 to 1, "
            "as a sigmoid for each class does. If they are logits, say so (`outputs`)"
        )
    return "logits"


def logits_from(given: tf.Tensor, kind: str) -> tf.Tensor:
    """Returns the logits behind outputs of a classifier, as `as_logits` describes them.

    Args:
        given: Its outputs, of shape (batch, classes) or (batch, 1).
        kind: What they are, from `kind_of_outputs`.

    Returns:
        Tensor of shape (batch, classes), in float32 at least.
    """
    one, probabilities = given.shape[-1] == 1, kind == "probabilities"
    values = floating(given)
    if one and probabilities:
        half_step = tf.cast(_HALF_STEP_BELOW_1.get(given.dtype, 2.0**-25), values.dtype)
        values = tf.concat([tf.where(values == 1, half_step, 1 - values), values], axis=-1)
    elif one:
        values = tf.concat([tf.zeros_like(values), values], axis=-1)
    if not probabilities:
        return values
    least = _LEAST_IN_HALF if given.dtype == tf.float16 else _LEAST_PROBABILITY
    return tf.math.log(tf.where(values < least, least, values))  # unlike a maximum it keeps nan


def _may_be_probabilities(given):
    """Whether outputs look like probabilities, of all classes or of class 1."""
    return are_probabilities(given) if given.shape[-1] > 1 else _are_shares(given)


def _are_shares(given):
    """Whether all numbers that are finite are from 0 to 1."""
    known = given.numpy()[np.isfinite(given.numpy())]
    return len(known) > 0 and bool(np.all((known >= 0) & (known <= 1)))


def array_of(model: Network, inputs: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Returns what a network gives in inference mode, of shape (batch, classes) with one class or more.

    Raises:
        ValueError: If it gives something else.
    """
    given = _outputs_of(model, inputs)
    if given.shape.rank != 2 or given.shape[-1] < 1:
        raise ValueError(f"The model must give an array of (batch, classes). Received: shape {given.shape}")
    return given


def are_probabilities(outputs: tf.Tensor) -> bool:
    """Whether outputs are probabilities: no number is negative, and each row sums to 1.

    The sums may miss 1 by the rounding of half precision, whatever the type of the outputs: a softmax
    computed in it is often cast to float32, and the type no longer says so. Rows that are not finite are left
    out.

    Args:
        outputs: Tensor of shape (batch, classes). The more rows, the surer the answer: logits that pass in
            all of several rows are not to be feared.
    """
    values = tf.cast(outputs, tf.float64).numpy()
    values = values[np.isfinite(values).all(axis=1)]
    near = np.abs(values.sum(axis=1) - 1) <= _HALF_PRECISION
    return len(values) > 0 and bool(np.all(values >= 0) and np.all(near))


def check_logits(model: Network, inputs: np.ndarray | tf.Tensor, batch_size: int | None = None) -> int:
    """Checks that a network gives logits for a few inputs, not their softmax.

    Args:
        model: The network.
        inputs: A few of its inputs.
        batch_size: Largest number of them in a call of the network; None: all.

    Returns:
        Number of classes.

    Raises:
        ValueError: If not.
    """
    logits = _in_batches(lambda batch: logits_of(model, batch), inputs, batch_size)
    if are_probabilities(logits):
        raise ValueError("The model must give logits, not their softmax. Received: rows that sum to 1")
    return logits.shape[-1]


def padded_batches(batch_size: int, *arrays: np.ndarray) -> Iterator[tuple]:
    """Cuts arrays into batches of one shape: the last repeats its last row, and says how many are real.

    Args:
        batch_size: Rows of a batch; fewer if there are fewer rows in all.
        *arrays: Arrays with the same number of rows, at least one.

    Yields:
        Slice of the rows that the batch holds, and the batch of each array.
    """
    num_rows = len(arrays[0])
    batch_size = min(whole_number("batch_size", batch_size), num_rows)
    for start in range(0, num_rows, batch_size):
        stop = min(start + batch_size, num_rows)
        rows = np.minimum(np.arange(start, start + batch_size), num_rows - 1)
        yield slice(start, stop), *(array[rows] for array in arrays)
