"""Saved Keras models that classify, as programs take them: read safely, or refused.

Every refusal is a `UserError` of one line. Files are looked at before TensorFlow is imported, which importing
this module does not do.
"""

import json
import pathlib
import stat
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from .errors import UserError

if TYPE_CHECKING:
    import keras

_FORMATS = {b"PK\x03\x04": (".keras",), b"\x89HDF": (".h5", ".hdf5")}


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
    config = _archive_config(path) if head.startswith(b"PK") else _hdf5_config(path)
    if file.suffix not in _FORMATS[head]:
        raise _refusal(path, f"by its content its name should end in {_FORMATS[head][0]}")
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


def read(path: str, images: bool = True) -> "keras.Model":
    """Reads a model that maps examples to classes; nothing that its file holds is run.

    Args:
        path: File, `.keras` or HDF5.
        images: Whether the examples must be images, and several classes told apart by a number each.

    Returns:
        Model with one input, for images of shape (batch, height, width, channels) or (batch, channels,
        height, width), and one output of shape (batch, classes), of finite weights; if `images` is false the
        output may be of shape (batch, 1), for two classes.

    Raises:
        UserError: As `check_file`; or the file asks for a class that Keras and this package do not have,
            lacks weights, or was saved before the model was built; or the model does not map such examples
            to classes; or a weight is not finite.
    """
    check_file(path)
    model = _loaded(path)
    shapes = model.input_shape, model.output_shape
    fits = all(map(_is_shape, shapes)) and len(shapes[1]) == 2 and shapes[1][1]
    if not fits or (images and len(shapes[0]) != 4):
        examples = "images" if images else "one array of examples"
        raise UserError(f"--models: {path} maps {shapes[0]} to {shapes[1]}, not {examples} to classes")
    import keras

    # A Sequential has one input, which Keras does not know before it has been called.
    if not isinstance(model, keras.Sequential) and isinstance(model.input, dict):
        model = keras.Model(model.inputs[0], model.output)
    given = model.compute_output_spec(model.inputs[0])
    if not isinstance(given, keras.KerasTensor):
        raise UserError(f"--models: {path} gives its output in a {type(given).__name__}, not as one tensor")
    if images and shapes[1][1] < 2:
        raise UserError(f"--models: {path} gives one number an image, not one for each of several classes")
    broken = [w.path for w in model.weights if not np.isfinite(keras.ops.convert_to_numpy(w)).all()]
    if broken:
        raise UserError(
            f"--models: {path} has weights that are not finite in {len(broken)} of {len(model.weights)} "
            f"arrays, such as {broken[0]}; has its training diverged?"
        )
    return model


def _loaded(path):
    import keras

    from . import layers  # noqa: F401  (registers what the file may ask for)

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            model = keras.models.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras, h5py and zipfile have a dozen types for files that are none.
            raise _refusal(path, error) from error
    if any("freshly-initialized" in str(warning.message) for warning in warned):
        raise _refusal(path, "some of its weights are not in the file")
    if not getattr(model, "inputs", None):
        raise _refusal(path, "it has no input shape; call the model once on examples, then save it again")
    return model


def _is_shape(shape):
    return isinstance(shape, tuple) and all(n is None or isinstance(n, int) for n in shape)


def check_alike(models: list["keras.Model"], paths: list[str]) -> None:
    """Refuses models that cannot be compared.

    Raises:
        UserError: Two differ in their inputs or in their number of classes.
    """
    for what, attribute in (
        ("take different inputs", "input_shape"),
        ("have different classes", "output_shape"),
    ):
        # Of an example: a model that was first called on a batch of 7 keeps the 7, and takes any number.
        shapes = [getattr(model, attribute)[1:] for model in models]
        for path, shape in zip(paths, shapes, strict=True):
            # None takes any number; what a model gives is a number of classes.
            if len(shape) != len(shapes[0]) or any(
                None not in (n, m) and n != m for n, m in zip(shape, shapes[0], strict=True)
            ):
                raise UserError(f"--models: {paths[0]} and {path} {what}, {shapes[0]} and {shape}")


def check_fits(
    model: "keras.Model", data: str, shape: tuple[int, ...], num_classes: int | None = None
) -> None:
    """Refuses a model that does not take the examples of a data set, or does not tell its classes apart.

    Args:
        model: One that `read` returned.
        data: How the user named the data set.
        shape: Shape of an example.
        num_classes: Number of classes; None if it is not known.

    Raises:
        UserError: If not.
    """
    taken = model.input_shape[1:]
    if len(taken) != len(shape) or any(n not in (None, m) for n, m in zip(taken, shape, strict=True)):
        order = "; the channels must be the last axis" if len(shape) == 3 and shape[-1] == taken[0] else ""
        what = "images" if len(shape) == 3 else "examples"
        raise UserError(f"--data={data}: has {what} of {shape}, the models take {taken}{order}")
    if num_classes is not None and model.output_shape[-1] != num_classes:
        raise UserError(f"--data={data}: has {num_classes} classes, the models {model.output_shape[-1]}")
