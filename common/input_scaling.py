"""The pixels that a saved model takes: what its first layers say, what a flag says, and what is given to it.

Importing this module loads no TensorFlow.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .arrays import class_labels, examples_at_once
from .errors import UserError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

SCALINGS = ("0-255", "0-1", "standardized")
# Layers that leave pixels as they are when a model predicts, beside those whose name begins with Random.
_PASSING = ("Resizing", "CenterCrop", "Dropout", "SpatialDropout2D", "GaussianNoise", "Identity")
# How far apart black and white are for a network's weights: 1 of 0-1, 2 of -1 to 1, 4 to 5 standardized.
_SPREADS = (0.5, 16.0)
_BATCHES_AT_ONCE = 20


def expected_scaling(model: "keras.Model") -> str | None:
    """The pixels that a model takes, guessed from the layers that images pass first.

    Only layers that scale are read, in the order of the graph, nested models included, up to the first layer
    that does something else. What they do together decides: whether it brings the pixels 0 to 255, or 0 to 1,
    to the range that networks compute in. Whole numbers as input are from 0 to 255.

    Returns:
        "0-255" or "0-1"; None if the layers do not say it.
    """
    import keras

    if "int" in keras.backend.standardize_dtype(model.inputs[0].dtype):
        return "0-255"
    scale, offset = np.array(1.0), np.array(0.0)
    for layer in _first_operations(model):
        if _passes(layer):
            continue
        step = _affine(layer)
        if step is None:
            # Arithmetic on tensors, such as x / 255, may be part of the scaling.
            if layer is not None and not isinstance(layer, keras.Layer):
                return None
            break
        scale, offset = scale * step[0], offset * step[0] + step[1]
    if np.all(scale == 1) and np.all(offset == 0):
        return None
    for scaling, white in (("0-255", 255.0), ("0-1", 1.0)):
        spread, centre = np.abs(scale) * white, scale * white / 2 + offset
        if np.all((_SPREADS[0] <= spread) & (spread <= _SPREADS[1])) and np.all(np.abs(centre) <= spread):
            return scaling
    return None


def _first_operations(model):
    """Yields the operations that the input passes, one after the other; None where the chain ends."""
    graph = getattr(model, "_functional", None) or model
    if not hasattr(graph, "_nodes_by_depth"):
        yield None
        return
    nodes = [node for depth in graph._nodes_by_depth.values() for node in depth]
    tensor = graph.inputs[0]
    while not any(tensor is output for output in graph.outputs):
        following = [node for node in nodes if any(tensor is given for given in node.input_tensors)]
        if len(following) != 1 or len(following[0].output_tensors) != 1:
            yield None
            return
        (node,) = following
        if hasattr(node.operation, "_nodes_by_depth") or hasattr(node.operation, "_functional"):
            yield from _first_operations(node.operation)
        else:
            yield node.operation
        tensor = node.output_tensors[0]


def _passes(layer):
    name = type(layer).__name__
    return type(layer).__module__.startswith("keras.") and (name in _PASSING or name.startswith("Random"))


def _affine(layer):
    """Scale and offset of a layer that scales, arrays that broadcast with an image; None of another."""
    import keras

    if isinstance(layer, keras.layers.Rescaling):
        return np.asarray(layer.scale, np.float64), np.asarray(layer.offset, np.float64)
    if isinstance(layer, keras.layers.Normalization) and layer.mean is not None:
        mean = np.asarray(layer.mean, np.float64)
        deviation = np.maximum(np.sqrt(np.asarray(layer.variance, np.float64)), 1e-7)
        return (deviation, mean) if layer.invert else (1 / deviation, -mean / deviation)
    return None


def decide_scaling(model: "keras.Model", path: str, given: str | None) -> str:
    """The scaling of the pixels for a model: what is given decides, else what its first layers say.

    Args:
        model: Whose pixels are asked for.
        path: Its file.
        given: One of SCALINGS, or None.

    Returns:
        One of SCALINGS.

    Raises:
        UserError: Nothing is given and the layers do not say it; or the model takes whole numbers, which
            hold no other pixels than 0 to 255.
    """
    dtype = model.inputs[0].dtype
    if given and given != "0-255" and "int" in str(dtype):
        raise UserError(f"--input_scaling={given}: {path} takes whole numbers ({dtype}), pixels of 0-255")
    scaling = given or expected_scaling(model)
    if scaling is None:
        raise UserError(
            f"--input_scaling: {path} does not begin with layers that say the pixels that it takes; say "
            f"{', '.join(SCALINGS[:2])} or {SCALINGS[2]}"
        )
    return scaling


def outputs_on_standardized(
    model: "keras.Model", scaling: str, mean: Sequence[float], std: Sequence[float]
) -> "Callable[[tf.Tensor], tf.Tensor]":
    """Returns the function from standardized images to what a model gives, made of TensorFlow operations.

    Whole numbers as input are the nearest of 0 to 255.

    Args:
        model: Of images.
        scaling: One of SCALINGS, the pixels that it takes.
        mean: Mean of each channel that standardizes pixels in [0, 1].
        std: Standard deviation of each channel.
    """
    import tensorflow as tf

    from .tensors import floating

    dtype = tf.as_dtype(model.inputs[0].dtype)

    def outputs(images):
        if scaling != "standardized":
            images = images * tf.constant(std, images.dtype) + tf.constant(mean, images.dtype)
        if scaling == "0-255":
            images = 255 * images
        if dtype.is_integer:
            images = tf.cast(tf.round(tf.clip_by_value(images, 0, 255)), dtype)
        return floating(model(images, training=False))

    return outputs


def predicted_classes(
    model: "keras.Model",
    images: np.ndarray,
    scaling: str,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int | None = None,
) -> np.ndarray:
    """The classes that `model.predict` gives, as `model.evaluate` would count them.

    It shares nothing with `outputs_on_standardized`: where the two part, one of them is wrong.

    Args:
        model: Of logits or of probabilities.
        images: Array of shape (images, height, width, channels) in [0, 1].
        scaling: One of SCALINGS.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        batch_size: The most images in a call of the model; None: `arrays.examples_at_once`.

    Returns:
        Integer array of shape (images,).
    """
    size = batch_size or examples_at_once(images.shape[1:])
    block = _BATCHES_AT_ONCE * size  # scaled images are a second copy
    return np.concatenate(
        [
            _predicted_block(model, images[start : start + block], scaling, mean, std, size)
            for start in range(0, len(images), block)
        ]
    )


def _predicted_block(model, images, scaling, mean, std, batch_size):
    pixels: np.ndarray = np.asarray(images, np.float32)
    if scaling == "0-255":
        pixels = pixels * np.float32(255)
    elif scaling == "standardized":
        pixels = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    if "int" in str(model.inputs[0].dtype):
        pixels = np.clip(np.rint(pixels), 0, 255).astype(model.inputs[0].dtype)
    return model.predict(pixels, batch_size=batch_size, verbose=0).astype(np.float32).argmax(axis=1)


def better_scaling(
    model: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
    scaling: str,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int | None = None,
) -> tuple[str, float, float] | None:
    """Another scaling with which a model is right about clearly more images; a sign that `scaling` is wrong.

    Args:
        model: Of logits or of probabilities.
        images: Array of shape (images, height, width, channels) in [0, 1], images that it was not trained on.
        labels: Integer array of shape (images,) or (images, 1).
        scaling: The one of SCALINGS that was decided on.
        mean: Mean of each channel.
        std: Standard deviation of each channel.
        batch_size: The most images in a call of the model; None: `arrays.examples_at_once`.

    Returns:
        The best other scaling, its accuracy and that of `scaling`, if they are three standard errors apart;
        else None.
    """
    if "int" in str(model.inputs[0].dtype):
        return None
    labels = class_labels(labels)
    accuracies = {
        name: float(np.mean(predicted_classes(model, images, name, mean, std, batch_size) == labels))
        for name in SCALINGS
    }
    best = max(accuracies, key=lambda name: accuracies[name])
    error = np.sqrt(sum(a * (1 - a) for a in (accuracies[best], accuracies[scaling])) / len(labels))
    apart = accuracies[best] - accuracies[scaling] > 3 * error
    return (best, accuracies[best], accuracies[scaling]) if apart else None
