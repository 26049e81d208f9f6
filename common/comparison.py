"""How far trained classifiers agree: on examples, between them, and how sharply each of them bends there.

For two trainings of a network before the second takes the place of the first, or for several seeds. Keras
models of any inputs will do, also functions made of TensorFlow operations.
"""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

from .arguments import whole_number
from .arrays import class_labels, examples_at_once
from .boundaries import Boundaries, Picture, Silent, Watch, reason
from .compilation import compiled
from .disagreement import (
    MEASURES,
    Measured,
    Predictions,
    mean_over_examples,
    mean_over_models,
    mean_over_pairs,
    pair_of_examples,
    pairs_of,
)
from .metrics.logits import (
    Network,
    are_probabilities,
    array_of,
    kind_of_outputs,
    logits_by_kind,
    logits_from,
    padded_batches,
)

Pair: TypeAlias = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Options:
    """How much is measured, and on what.

    Args:
        outputs: What the models give, one of `arrays.OUTPUTS`.
        num_planes: Planes for reproducibility and fragmentation, at least 2; 0 leaves them out.
        resolution: Points along each axis of these planes.
        num_margins: Examples whose margins are measured; 0 leaves them out.
        num_gradients: Examples whose Jacobian norms are measured; 0 leaves them out.
        picture_resolution: Points along each axis of the plane that is for a picture.
        picture: Positions of the three examples of this plane; None for the one of the planes on which the
            models' agreement is the median.
        triplets: Integer array (planes, 3), positions of the examples of each plane; None to draw them, of
            three classes where there are labels of three.
        seed: Seed of the draws.
        batch_size: At least 1, the most examples in a call of a model; None: `arrays.examples_at_once`.
    """

    outputs: str = "auto"
    num_planes: int = 100
    resolution: int = 50
    num_margins: int = 100
    num_gradients: int = 1000
    picture_resolution: int = 200
    picture: tuple[int, int, int] | None = None
    triplets: np.ndarray | None = None
    seed: int = 1
    batch_size: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Comparison:
    """What was found; names of measures are those of `disagreement.MEASURES`.

    Args:
        names: The models' names.
        outputs: What each model's outputs were taken for, "logits" or "probabilities".
        num_examples: Number of examples.
        num_classes: Number of classes.
        of_models: For each model its measures.
        of_pairs: For each pair of models, the earlier one first, its measures.
        means_of_models: Of three models or more, the means of the models' measures.
        agreement: The means of the pairs' measures; of two models, those of their pair.
        classes: Integer array (models, examples), the predicted classes.
        confidences: Float array of this shape, the probabilities of these classes.
        differences: Float array (examples,), the prediction difference of each example, mean over pairs.
        picture: A plane through three examples and what each model says there, or None.
        left_out: What was not measured, and why, a line each.
    """

    names: tuple[str, ...]
    outputs: tuple[str, ...]
    num_examples: int
    num_classes: int
    of_models: tuple[dict[str, Measured], ...]
    of_pairs: dict[Pair, dict[str, Measured]]
    means_of_models: dict[str, Measured]
    agreement: dict[str, Measured]
    classes: np.ndarray
    confidences: np.ndarray
    differences: np.ndarray
    picture: Picture | None
    left_out: tuple[str, ...]

    def most_different(self, number: int = 20) -> np.ndarray:
        """Positions of the examples on which the models differ most, the largest difference first."""
        order = np.argsort(-self.differences, kind="stable")[:number]
        return order[self.differences[order] > 0]

    def values(self, name: str) -> dict[str, float]:
        """All values that a limit on a measure holds: what they are of -> value; none if not measured."""
        if MEASURES[name].of_pairs:
            return {"": self.agreement[name].value} if name in self.agreement else {}
        named = zip(self.names, self.of_models, strict=True)
        return {model: found[name].value for model, found in named if name in found}

    def as_dict(self) -> dict:
        """Returns what JSON can hold: the measures of pairs by name, of models below "models"."""
        models = [
            {"name": name, "outputs": kind} | {key: found.as_dict() for key, found in measures.items()}
            for name, kind, measures in zip(self.names, self.outputs, self.of_models, strict=True)
        ]
        pairs = [
            {"models": [self.names[i], self.names[j]]} | {key: m.as_dict() for key, m in found.items()}
            for (i, j), found in self.of_pairs.items()
        ]
        return {
            "num_examples": self.num_examples,
            "num_classes": self.num_classes,
            **{name: found.as_dict() for name, found in self.agreement.items()},
            "models": models,
            "means_of_models": {name: found.as_dict() for name, found in self.means_of_models.items()},
            "pairs": pairs,
            "left_out": list(self.left_out),
        }


def compare(
    models: Sequence[Network],
    x: np.ndarray,
    y: np.ndarray | None = None,
    names: Sequence[str] | None = None,
    options: Options | None = None,
    watch: Watch = Silent,
) -> Comparison:
    """Compares two or more trained classifiers on examples.

    What cannot be measured, such as planes of examples of one number or anything that needs labels without
    them, is left out and said in `Comparison.left_out`.

    Example:
    >>> found = compare([old, new], x_test, y_test)
    >>> found.agreement["churn"].value, found.agreement["changes_for_the_worse"].value

    Args:
        models: Keras models or functions made of TensorFlow operations, the one in use first. Each maps a
            batch of examples to logits or probabilities of shape (batch, classes), or of shape (batch, 1)
            for two classes.
        x: Array of shape (examples, ...), as the models take it. Distances and gradients are in its unit.
        y: Integer array of shape (examples,) or (examples, 1), the true classes.
        names: A name for each model, no two alike.
        options: How much is measured.
        watch: Makes something that is told how far the work is: a function of words, an amount and a unit
            whose result has `add(amount)` and `close()`, such as `study.progress.Progress`.

    Returns:
        The measures with intervals over examples or planes; of three models or more also over models.

    Raises:
        ValueError: There are fewer than two models or examples; two models have one name; x and y do not fit
            together; there is one plane; a model gives no finite logits of the same classes as the others.
    """
    options = options or Options()
    x = np.asarray(x)
    names = tuple(names or (f"model {i + 1}" for i in range(len(models))))
    y = _checked(models, x, y, names)
    if options.batch_size is None:
        options = dataclasses.replace(options, batch_size=examples_at_once(x.shape[1:]))
    _check_options(options, len(x))
    predictions, networks, kinds = _predictions(models, x, y, names, options, watch)
    pairs = pairs_of(range(len(models)))
    of_examples = {(i, j): pair_of_examples(predictions[i], predictions[j]) for i, j in pairs}
    boundaries = Boundaries(networks, x, y, names, options, watch).measured()
    of_models = [
        {
            name: mean_over_examples(values, MEASURES[name].quantity)
            for name, values in p.of_examples().items()
        }
        | found
        for p, found in zip(predictions, boundaries.of_models, strict=True)
    ]
    per_measure = _by_measure(of_examples)
    agreement = {name: mean_over_pairs(found, name) for name, found in per_measure.items()}
    of_pairs = {
        pair: {name: mean_over_pairs({pair: values}, name) for name, values in of_examples[pair].items()}
        for pair in pairs
    }
    if boundaries.agreement:
        name = "reproducibility_score"
        agreement[name] = mean_over_pairs(boundaries.agreement, name, "planes")
        for pair, values in boundaries.agreement.items():
            of_pairs[pair][name] = mean_over_pairs({pair: values}, name, "planes")
    missing = [] if y is not None else ["accuracy, loss and changes for the worse: there are no labels"]
    return Comparison(
        names=names,
        outputs=kinds,
        num_examples=len(x),
        num_classes=predictions[0].log_probabilities.shape[1],
        of_models=tuple(of_models),
        of_pairs=of_pairs,
        means_of_models=_means(of_models),
        agreement=agreement,
        classes=np.stack([p.classes for p in predictions]),
        confidences=np.stack([p.confidences for p in predictions]),
        differences=np.mean(list(per_measure["prediction_difference"].values()), axis=0),
        picture=boundaries.picture,
        left_out=(*missing, *boundaries.left_out),
    )


def _checked(models, x, y, names):
    """Returns the labels; refuses what cannot be compared."""
    if len(models) < 2 or len(names) != len(models):
        raise ValueError(f"Two or more models with a name each. Received: {len(models)}, {len(names)} names")
    for model, name in zip(models, names, strict=True):
        if not callable(model):
            advice = "; keras.models.load_model reads a file" if isinstance(model, str | os.PathLike) else ""
            raise ValueError(
                f"{name} must be a Keras model or a function made of TensorFlow operations{advice}. "
                f"Received: {type(model).__name__}"
            )
    if len(set(names)) < len(names):
        raise ValueError(f"`names` must differ. Received: names={names}")
    if x.ndim < 2 or len(x) < 2 or x.dtype.kind not in "fiub" or 0 in x.shape:
        raise ValueError(
            "`x` must be numbers of shape (examples, ...), two examples or more. Received: shape "
            f"{x.shape}, type {x.dtype}"
        )
    return None if y is None else class_labels(y, "y")


def _check_options(options, num_examples):
    """Refuses before the models are called what would fail after it."""
    for name in ("num_planes", "num_margins", "num_gradients", "batch_size"):
        whole_number(name, getattr(options, name), int(name == "batch_size"))
    for name in ("resolution", "picture_resolution"):
        if whole_number(name, getattr(options, name)) < 2:
            raise ValueError(f"`{name}` must be at least 2. Received: {name}=1")
    num_planes = options.num_planes if options.triplets is None else len(options.triplets)
    if options.num_planes and num_planes < 2:
        raise ValueError(f"Planes must be 0 or at least 2 (`num_planes`, `triplets`). Received: {num_planes}")
    for name, given, axes in (("triplets", options.triplets, 2), ("picture", options.picture, 1)):
        places = np.asarray([] if given is None else given)
        if given is None or (axes == 2 and not len(places)):
            continue
        is_whole = places.dtype.kind in "iu" and places.ndim == axes and places.shape[-1] == 3
        if not is_whole or places.min() < 0 or places.max() >= num_examples:
            raise ValueError(
                f"`{name}` must be positions of three examples from 0 to {num_examples - 1}. Received: "
                f"{name}={given}"
            )


def _predictions(models, x, y, names, options, watch):
    """The `Predictions` of each model, its function from examples to logits, and what its outputs are."""
    predictions: list[Predictions] = []
    networks, kinds, widths = [], [], set()
    for model, name in zip(models, names, strict=True):
        try:
            given = tf.constant(_outputs(model, x, name, options.batch_size, watch))
            kind = kind_of_outputs(given, options.outputs)
            if options.outputs == "logits" and given.shape[1] > 1 and are_probabilities(given):
                raise ValueError("The model must give logits, as `outputs` says; it gives probabilities")
            found = Predictions.of_logits(logits_from(given, kind).numpy(), y)
        except (ValueError, tf.errors.OpError) as error:
            raise ValueError(f"{name}: {reason(error)}") from error
        except (AttributeError, TypeError, NotImplementedError) as error:
            # What is no operation of TensorFlow's, such as `model.predict`, meets tensors without numbers.
            raise ValueError(
                f"{name} must be a Keras model, not its `predict`, or a function made of TensorFlow "
                f"operations: {reason(error)}"
            ) from error
        networks.append(logits_by_kind(model, kind))
        kinds.append(kind)
        widths.add(given.shape[1])
        predictions.append(found)
        shapes = [p.log_probabilities.shape[1] for p in (predictions[0], found)]
        if shapes[0] != shapes[1]:
            raise ValueError(f"{names[0]} has {shapes[0]} classes, {name} {shapes[1]}")
    if widths == {1} and len(set(kinds)) > 1:
        places = [kinds.index(kind) for kind in ("probabilities", "logits")]
        raise ValueError(
            f"{names[places[0]]} gives numbers from 0 to 1 alone, {names[places[1]]} does not; say whether "
            "they are logits or probabilities (`outputs`)"
        )
    return predictions, networks, tuple(kinds)


def _outputs(model, x, name, batch_size, watch):
    """All that a model gives: array (examples, classes), or (examples, 1)."""
    function = compiled(functools.partial(array_of, model))
    batches = []
    with contextlib.closing(watch(f"{name}: predictions", len(x), "examples")) as progress:
        for rows, batch in padded_batches(batch_size, x):
            batches.append(function(tf.constant(batch)).numpy()[: rows.stop - rows.start])
            progress.add(rows.stop - rows.start)
    return np.concatenate(batches)


def _by_measure(of_pairs: Mapping[Pair, Mapping[str, np.ndarray]]) -> dict[str, dict[Pair, np.ndarray]]:
    """Turns pairs of measures into measures of pairs."""
    names = next(iter(of_pairs.values()))
    return {name: {pair: found[name] for pair, found in of_pairs.items()} for name in names}


def _means(of_models: Sequence[Mapping[str, Measured]]) -> dict[str, Measured]:
    """The means over three models or more of what was measured of each."""
    if len(of_models) < 3:
        return {}
    shared = [name for name in MEASURES if all(name in found for found in of_models)]
    return {
        name: mean_over_models([found[name].value for found in of_models], MEASURES[name].quantity)
        for name in shared
    }
