"""Saved Keras models of images, as programs take them: reading them safely, and the pixels that they expect.

Every refusal is a `UserError` of one line. Files are looked at before TensorFlow is imported, which importing
this module does not do.
"""

import json
import pathlib
import stat
import typing
import warnings
import zipfile
import zlib

import numpy as np

from common.arrays import class_labels
from common.errors import UserError

if typing.TYPE_CHECKING:
    import keras
    import tensorflow as tf

SCALINGS = ("0-255", "0-1", "standardized")
_FORMATS = {b"PK\x03\x04": (".keras",), b"\x89HDF": (".h5", ".hdf5")}
# Layers that leave pixels as they are when a model predicts, beside those whose name begins with Random.
_PASSING = ("Resizing", "CenterCrop", "Dropout", "SpatialDropout2D", "GaussianNoise", "Identity")
# How far apart black and white are for a network's weights: 1 of 0-1, 2 of -1 to 1, 4 to 5 standardized.
_SPREADS = (0.5, 16.0)


def _refusal(path, reason):
    # Keras puts the cause last, after pages of configuration, and before that of the one object.
    reason = str(reason).rpartition("Exception encountered: ")[2].partition("Full object config")[0]
    reason = " ".join(reason.split())[:200]
    return UserError(f"--models: {path} is not a Keras model that can be loaded: {reason}")


def check_file(path: str) -> None:
    """Refuses what is no file of a whole Keras model, or could do something when it is read.

    Raises:
        UserError: There is no such file; it is a folder, empty, damaged, of another format or of weights
            alone; it would write outside its own folder; or it has a Lambda layer, which may hold any code.
    """
    file = pathlib.Path(path)
    try:
        if stat.S_ISDIR(file.stat().st_mode):
            raise _refusal(path, "it is a folder; model.save('name.keras') makes a file")
        with open(file, "rb") as opened:
            head = opened.read(4)
    except FileNotFoundError:
        raise UserError(f"--models: no file {path}") from None
    except OSError as error:
        raise UserError(f"--models: cannot read {path}: {error.strerror}") from None
    if not head:
        raise _refusal(path, "it is empty")
    if head not in _FORMATS:
        raise _refusal(path, "it is neither a .keras archive nor HDF5")
    if file.suffix not in _FORMATS[head]:
        raise _refusal(path, f"by its content its name should end in {_FORMATS[head][0]}")
    config = _archive_config(path) if head.startswith(b"PK") else _hdf5_config(path)
    if {"Lambda", "__lambda__"} & _class_names(config):
        raise _refusal(path, "it has a Lambda layer or function, which may hold any code")


def _archive_config(path):
    """The configuration in a .keras archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            names = archive.namelist()
            text = archive.read("config.json") if "config.json" in names else None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
        raise _refusal(path, f"the archive is damaged ({error})") from error
    if damaged:
        raise _refusal(path, f"the archive is damaged in {damaged}")
    for name in names:
        if pathlib.PurePosixPath(name).is_absolute() or ".." in name.replace("\\", "/").split("/"):
            raise _refusal(path, f"its part {name} would be written outside its folder")
    if text is None:
        raise _refusal(path, "it holds no config.json: weights alone, or an archive of something else")
    return _parsed(path, text)


def _hdf5_config(path):
    """The configuration in an HDF5 file."""
    import h5py

    try:
        with h5py.File(path) as file:
            text = file.attrs.get("model_config")
    except (OSError, RuntimeError, KeyError) as error:
        raise _refusal(path, f"the file is damaged ({error})") from error
    if text is None:
        raise _refusal(path, "it holds no model_config: weights alone, or HDF5 of something else")
    return _parsed(path, text)


def _parsed(path, text):
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"its configuration is no JSON ({error})") from error


def _class_names(config):
    """The names of all classes that a configuration asks for."""
    names, pending = set(), [config]
    while pending:
        item = pending.pop()
        if isinstance(item, dict):
            names.add(str(item.get("class_name")))
            pending += item.values()
        elif isinstance(item, list):
            pending += item
    return names


def read(path: str) -> "keras.Model":
    """Reads a model that maps images to classes; nothing that its file holds is run.

    Args:
        path: File, `.keras` or HDF5.

    Returns:
        Keras model with one input of shape (batch, height, width, channels) or (batch, channels, height,
        width) and one output of shape (batch, classes), of finite weights.

    Raises:
        UserError: As `check_file`; or the file asks for a class that Keras and this package do not have,
            lacks weights, or was saved before the model was built; or the model does not map images to
            classes; or a weight is not finite.
    """
    check_file(path)
    import keras

    import common.layers
    import common.models.vit  # noqa: F401  (registers its layers)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras, h5py and zipfile have a dozen types for files that are none.
            raise _refusal(path, error) from error
    if any("freshly-initialized" in str(warning.message) for warning in warned):
        raise _refusal(path, "some of its weights are not in the file")
    if not getattr(model, "inputs", None):
        raise _refusal(path, "it has no input shape; call the model once on images, then save it again")
    shapes = model.input_shape, model.output_shape
    if not all(map(_is_shape, shapes)) or len(shapes[0]) != 4 or len(shapes[1]) != 2 or not shapes[1][1]:
        raise UserError(f"--models: {path} maps {shapes[0]} to {shapes[1]}, not images to classes")
    if isinstance(model.input, dict):
        model = keras.Model(model.inputs[0], model.output)
    given = model.compute_output_spec(model.inputs[0])
    if not isinstance(given, keras.KerasTensor):
        raise UserError(f"--models: {path} gives its output in a {type(given).__name__}, not as one tensor")
    if shapes[1][1] < 2:
        raise UserError(f"--models: {path} gives one number an image, not one for each of several classes")
    broken = [w.path for w in model.weights if not np.isfinite(keras.ops.convert_to_numpy(w)).all()]
    if broken:
        raise UserError(
            f"--models: {path} has weights that are not finite in {len(broken)} of {len(model.weights)} "
            f"arrays, such as {broken[0]}; has its training diverged?"
        )
    return model


def _is_shape(shape):
    return isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape)


def check_alike(models: list, paths: list[str]) -> None:
    """Refuses models that cannot be compared.

    Raises:
        UserError: Two differ in their inputs or in their number of classes.
    """
    for what, attribute in (
        ("take different inputs", "input_shape"),
        ("have different classes", "output_shape"),
    ):
        shapes = [getattr(model, attribute) for model in models]
        for path, shape in zip(paths, shapes, strict=True):
            if shape != shapes[0]:
                raise UserError(f"--models: {paths[0]} and {path} {what}, {shapes[0]} and {shape}")


def check_fits(model: "keras.Model", dataset: str, shape: tuple[int, ...], num_classes: int) -> None:
    """Refuses a model that does not take the images of a data set, or does not tell its classes apart.

    Args:
        model: Keras model.
        dataset: Name of the data set.
        shape: Shape of an image.
        num_classes: Number of classes.

    Raises:
        UserError: If not.
    """
    taken = model.input_shape[1:]
    if any(n is not None and n != m for n, m in zip(taken, shape, strict=True)):
        order = "; the channels must be the last axis" if taken[0] == shape[-1] else ""
        raise UserError(f"--dataset={dataset}: has images of {shape}, the models take {taken}{order}")
    if model.output_shape[-1] != num_classes:
        raise UserError(
            f"--dataset={dataset}: has {num_classes} classes, the models {model.output_shape[-1]}"
        )


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
        model: Keras model.
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


def on_standardized(
    model: "keras.Model", scaling: str, mean: typing.Sequence, std: typing.Sequence, examples: "tf.Tensor"
) -> typing.Callable:
    """Returns the function from standardized images to logits, made of TensorFlow operations.

    The logarithm stands for the logits of a model that gives probabilities. Whole numbers as input are the
    nearest of 0 to 255.

    Args:
        model: Keras model of logits or of probabilities.
        scaling: One of SCALINGS, the pixels that it takes.
        mean: Mean of each channel that standardizes pixels in [0, 1].
        std: Standard deviation of each channel.
        examples: A few standardized images, on which is seen what the model gives.
    """
    import tensorflow as tf

    from common.metrics.logits import are_probabilities, logits_of
    from common.tensors import floating

    dtype = tf.as_dtype(model.inputs[0].dtype)

    def outputs(images):
        if scaling != "standardized":
            images = images * tf.constant(std, images.dtype) + tf.constant(mean, images.dtype)
        if scaling == "0-255":
            images = 255 * images
        if dtype.is_integer:
            images = tf.cast(tf.round(tf.clip_by_value(images, 0, 255)), dtype)
        return floating(model(images, training=False))

    if not are_probabilities(logits_of(outputs, examples)):
        return outputs
    return lambda images: tf.math.log(tf.maximum(outputs(images), 1e-30))


def predicted_classes(
    model: "keras.Model", images: np.ndarray, scaling: str, mean: typing.Sequence, std: typing.Sequence
) -> np.ndarray:
    """The classes that `model.predict` gives, as `model.evaluate` would count them.

    It shares nothing with `on_standardized`: where the two part, one of them is wrong.

    Args:
        model: Keras model of logits or of probabilities.
        images: Array of shape (images, height, width, channels) in [0, 1].
        scaling: One of SCALINGS.
        mean: Mean of each channel.
        std: Standard deviation of each channel.

    Returns:
        Integer array of shape (images,).
    """
    pixels = np.asarray(images, np.float32)
    if scaling == "0-255":
        pixels = pixels * np.float32(255)
    elif scaling == "standardized":
        pixels = (pixels - np.asarray(mean, np.float32)) / np.asarray(std, np.float32)
    if "int" in str(model.inputs[0].dtype):
        pixels = np.clip(np.rint(pixels), 0, 255).astype(model.inputs[0].dtype)
    return model.predict(pixels, batch_size=500, verbose=0).astype(np.float32).argmax(axis=1)


def better_scaling(
    model: "keras.Model",
    images: np.ndarray,
    labels: np.ndarray,
    scaling: str,
    mean: typing.Sequence,
    std: typing.Sequence,
) -> tuple[str, float, float] | None:
    """Another scaling with which a model is right about clearly more images; a sign that `scaling` is wrong.

    Args as of `predicted_classes`, and `labels`, an integer array of shape (images,) or (images, 1).

    Returns:
        The best other scaling, its accuracy and that of `scaling`, if they are three standard errors apart;
        else None.
    """
    if "int" in str(model.inputs[0].dtype):
        return None
    labels = class_labels(labels)
    accuracies = {
        name: float(np.mean(predicted_classes(model, images, name, mean, std) == labels)) for name in SCALINGS
    }
    best = max(accuracies, key=accuracies.get)
    error = np.sqrt(sum(a * (1 - a) for a in (accuracies[best], accuracies[scaling])) / len(labels))
    apart = accuracies[best] - accuracies[scaling] > 3 * error
    return (best, accuracies[best], accuracies[scaling]) if apart else None
