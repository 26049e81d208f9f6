"""Kinds of files that somebody may give as saved models, each tried: a right score, or one line of refusal.

The models are linear or nearly so, and NumPy says independently which classes they predict. `run_all` tries
all kinds, `counts` sums up.
"""

import collections
import dataclasses
import pathlib
import tempfile
import typing

import keras
import numpy as np

from common import input_scaling, saved_models
from common.data.augmentation import normalize
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.errors import UserError
from common.metrics.classifier import Classifier
from common.metrics.logits import as_logits
from common.metrics.plane import plane_through, predict_planes
from tests.chaos import model_files as files
from tests.chaos.model_files import IMAGES, NUM_CLASSES, SHAPE, STATISTICS, linear_model, normalization

RIGHT, REFUSED = "right score", "refused in one line"
layers = keras.layers


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        name: What it is.
        make: Function of a folder that writes the file and returns its path.
        refused: Part of the line that refuses it; None: it is scored.
        logits: NumPy's logits of pixels in [0, 1].
        given: The scaling that is given, or None.
        agreement: Part of the points of a plane that must be classified as NumPy does; the rest may be moved
            across a boundary by rounding.
    """

    name: str
    make: typing.Callable
    refused: str | None = None
    logits: typing.Callable = files.plain_logits
    given: str | None = "0-1"
    agreement: float = 0.99


def good(name, build, suffix=".keras", **options):
    """A model that is scored."""
    return Kind(name, files.saved(build, suffix), **options)


def bad(name, build, refused, **options):
    """A model that is refused."""
    return Kind(name, files.saved(build), refused, **options)


def whole_numbers():
    """A model whose input is of whole numbers."""
    return linear_model(layers.Rescaling(1 / 255), dtype="uint8")


def edited(**parts):
    """A good archive with some parts replaced; None takes a part away."""

    def edit(found, _):
        for name, content in parts.items():
            name = {"config": "config.json", "weights": "model.weights.h5"}[name]
            found[name] = content
            if content is None:
                del found[name]

    return files.archive(edit)


FORMATS = (
    good("a .keras file", linear_model),
    good("an HDF5 file", linear_model, ".h5"),
    Kind("no file", lambda folder: folder / "none.keras", "no file"),
    Kind("a SavedModel folder", files.folder_of("model", "saved_model.pb"), "is a folder"),
    Kind("a folder named .keras", files.folder_of("model.keras"), "is a folder"),
    Kind("weights alone", files.weights_alone, "weights alone"),
    Kind("HDF5 of something else", files.other_hdf5, "of something else"),
    Kind("an empty file", files.file("model.keras"), "is empty"),
    Kind("a text", files.file("model.keras", b"no model"), "neither a .keras archive nor HDF5"),
    Kind("a .keras file cut short", files.changed(lambda c: c[: len(c) // 2]), "is damaged"),
    Kind("HDF5 cut short", files.changed(lambda c: c[: len(c) // 2], ".h5"), "is damaged"),
    Kind("a .keras file with a flipped bit", files.changed(files.flipped), "is damaged"),
    Kind("a .keras file named .h5", files.renamed(".keras", ".h5"), "should end in .keras"),
    Kind("HDF5 named .keras", files.renamed(".h5", ".keras"), "should end in .h5"),
    Kind("an empty archive", files.archive(lambda parts, _: parts.clear()), "neither a .keras archive"),
    Kind("an archive of something else", edited(config=None), "of something else"),
    Kind("a configuration that is no JSON", edited(config=b"{"), "is no JSON"),
    Kind("a configuration without end", edited(config=b"[" * 10**5), "is no JSON"),
    Kind("a configuration of no model", edited(config=b"[]"), "can be loaded"),
    Kind("an archive without weights", edited(weights=None), "Expected a model.weights.h5"),
    Kind("a layer without weights", files.archive(files.without_dense), "expected 2 variables"),
)
OUTPUTS = (
    good("softmax", lambda: linear_model(last=[layers.Softmax()])),
    good("log softmax", lambda: linear_model(last=[layers.Activation("log_softmax")])),
    good("softmax in half precision, then float32", files.half_softmax, agreement=0.9),
    bad("a sigmoid of one unit", lambda: linear_model(dense=layers.Dense(1, "sigmoid")), "gives one number"),
    bad("one class", lambda: linear_model(dense=layers.Dense(1)), "gives one number an image"),
    bad("two outputs", lambda: linear_model(outputs=lambda x: [x, x + 1]), "not images to classes"),
    bad("a list of one output", lambda: linear_model(outputs=lambda x: [x]), "its output in a list"),
    bad("a dictionary", lambda: linear_model(outputs=lambda x: {"a": x}), "its output in a dict"),
    bad("maps of classes", lambda: linear_model(last=[layers.Reshape((1, 5))]), "not images to classes"),
    bad("other classes", lambda: linear_model(dense=layers.Dense(7)), "has 5 classes, the models 7"),
    bad("weights that are nan", lambda: files.with_weight(np.nan), "not finite in 1 of 2 arrays"),
    bad("weights that are infinite", lambda: files.with_weight(np.inf), "has its training diverged"),
    bad("logits that overflow", files.overflowing, "logits must be finite"),
)
_SCALED = {"logits": files.standardized_logits, "given": None}
INPUTS = (
    good("pixels of 0 to 255", lambda: linear_model(layers.Rescaling(1 / 255)), given="0-255"),
    good("standardized pixels", linear_model, **_SCALED | {"given": "standardized"}),
    bad("no word of the pixels", linear_model, "does not begin with layers that say", given=None),
    good("a Rescaling", lambda: linear_model(layers.Rescaling(1 / 255)), given=None),
    good("a Normalization", lambda: linear_model(normalization()), **_SCALED),
    good("a Normalization of 0 to 255", lambda: linear_model(normalization(255.0)), **_SCALED),
    good("a Rescaling, then a Normalization", files.rescaled_and_normalized, **_SCALED),
    good("a Normalization, then a Rescaling", files.normalized_and_rescaled, given=None),
    good("both in a nested model", files.nested_together, **_SCALED),
    good("both in nested models, HDF5", files.nested_apart, ".h5", **_SCALED),
    good("whole numbers", whole_numbers, logits=files.whole_logits, given=None),
    bad("whole numbers, of which pixels of 0 to 1 are asked", whole_numbers, "takes whole numbers"),
    good("float16 as input", lambda: linear_model(dtype="float16"), agreement=0.97),
    good("float64 as input", lambda: linear_model(dtype="float64")),
    good("images of any size", files.dynamic_model, logits=files.averaged_logits),
    good("a dictionary of one input", files.named_input),
    good("a Sequential", files.sequential),
    bad("channels first", lambda: linear_model(shape=(3, 6, 6)), "channels must be the last axis"),
    bad("images of another size", lambda: linear_model(shape=(8, 8, 3)), "has images of (6, 6, 3)"),
    bad("vectors", lambda: linear_model(shape=(108,)), "not images to classes"),
    bad("two inputs", files.two_inputs, "not images to classes"),
    bad("a model that was never built", files.unbuilt, "has no input shape; call the model once"),
)
TYPES = (
    good("float16", lambda: linear_model(policy="float16"), agreement=0.97),
    good("mixed_float16", lambda: linear_model(policy="mixed_float16"), agreement=0.97),
    good("bfloat16", lambda: linear_model(policy="bfloat16"), agreement=0.9),
    good("mixed_bfloat16", lambda: linear_model(policy="mixed_bfloat16"), agreement=0.9),
    good("float64", lambda: linear_model(policy="float64")),
)
PARTS = (
    good("our layers", files.smelu_model, logits=files.smelu_logits),
    good("compiled and trained", lambda: files.compiled("sparse_categorical_crossentropy")),
    good("compiled with a loss of one's own", lambda: files.compiled(files.custom_loss)),
    bad("a layer of one's own", lambda: linear_model(files.Unregistered()), "class 'Unregistered'"),
    Kind("a Lambda layer", files.lambda_file(".keras"), "may hold any code"),
    bad("a Lambda as activation", files.lambda_as_activation, "Could not interpret activation"),
)
HOSTILE = (
    Kind("a Lambda layer with code, in HDF5", files.lambda_file(".h5"), "may hold any code"),
    Kind("a pickle in the place of weights", files.archive(files.pickle_in_npz), "can be loaded"),
    Kind("a part that leaves its folder", files.archive(files.path_traversal), "outside its folder"),
    Kind("a configuration that names os.system", files.config_edited(files.os_system), "class 'system'"),
    Kind("a configuration that names get_file", files.config_edited(files.get_file), "not a modeling"),
)
KINDS = {
    "formats": FORMATS,
    "outputs": OUTPUTS,
    "inputs": INPUTS,
    "types": TYPES,
    "custom parts": PARTS,
    "hostile files": HOSTILE,
}


def try_kind(kind: Kind, folder: pathlib.Path) -> str:
    """Makes the file of a kind in an empty folder, and tries to score it.

    Returns:
        RIGHT, REFUSED, or what went wrong.
    """
    path = kind.make(folder)
    before = sorted(folder.parent.iterdir())
    try:
        found = agreement(str(path), kind)
    except UserError as error:
        line = str(error)
        if files.trap(folder).exists() or sorted(folder.parent.iterdir()) != before:
            return f"the file did something: {line}"
        if kind.refused is None or kind.refused not in line:
            return f"refused with other words: {line}"
        return REFUSED if "\n" not in line else f"several lines: {line}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if kind.refused is not None:
        return f"taken, not refused ({kind.refused})"
    return RIGHT if found >= kind.agreement else f"classified as NumPy does in {found:.1%} of the points"


def agreement(path: str, kind: Kind) -> float:
    """The least agreement with NumPy: on the plane through three images, and on images by `model.predict`.

    Raises:
        UserError: The model is refused.
    """
    model = saved_models.read(path)
    saved_models.check_fits(model, "tiny", SHAPE, NUM_CLASSES)
    scaling = input_scaling.decide_scaling(model, path, kind.given)
    images = normalize(IMAGES, CIFAR10_MEAN, CIFAR10_STD).numpy()
    outputs = input_scaling.outputs_on_standardized(model, scaling, CIFAR10_MEAN, CIFAR10_STD)
    function = as_logits(outputs, images[:8])
    plane = plane_through(images[:3], 20, 0.1)
    try:
        ((on_plane,),) = predict_planes([Classifier(function)], [plane])
    except ValueError as error:
        raise UserError(f"--models: {error}") from error
    pixels = plane.points() * STATISTICS[1] + STATISTICS[0]
    on_images = input_scaling.predicted_classes(model, IMAGES, scaling, CIFAR10_MEAN, CIFAR10_STD)
    found = ((on_plane.ravel(), pixels), (on_images, IMAGES))
    return float(min(np.mean(classes == kind.logits(x).argmax(axis=1)) for classes, x in found))


def run_all(groups: typing.Iterable[str] = tuple(KINDS)) -> list[tuple[Kind, str]]:
    """Tries kinds, each in a folder of its own: pairs of a kind and its outcome."""
    outcomes = []
    for kind in (kind for group in groups for kind in KINDS[group]):
        with tempfile.TemporaryDirectory() as folder:
            inner = pathlib.Path(folder, "inner")
            inner.mkdir()
            outcomes.append((kind, try_kind(kind, inner)))
    return outcomes


def counts(outcomes: list[tuple[Kind, str]]) -> dict[str, collections.Counter]:
    """Sums outcomes up: group -> how often each outcome."""
    found = dict(outcomes)
    return {
        group: collections.Counter(found[kind] for kind in kinds if kind in found)
        for group, kinds in KINDS.items()
    }
