"""What classifiers do between and around examples: planes through three of them, margins, input gradients.

The part of `comparison` that needs inputs which can be moved: each measure of each model is made or, where
that fails, left out with a line that says why.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
import tensorflow as tf

from .arrays import floating
from .disagreement import MEASURES, Measured, mean_over_examples, mean_over_planes, pairs_of
from .errors import in_one_line
from .metrics.classifier import Classifier
from .metrics.fragmentation import fragmentation_scores
from .metrics.logits import Network
from .metrics.margin import margins
from .metrics.plane import (
    PICTURE_OVERHANG,
    SCORE_OVERHANG,
    Plane,
    draw_triplets,
    plane_through,
    predict_planes,
)
from .metrics.reproducibility import triplet_agreement
from .metrics.sharpness import BATCH_SIZE, jacobian_norm
from .statistics import interval
from .streams import Streams
from .tensors import floating as floating_tensor

if TYPE_CHECKING:
    from .comparison import Options

_BLOCK = 10  # examples whose margins are measured between two looks at the clock
# Margins are searched from a ten-thousandth of the median distance between examples to 22.5 times of it.
_UNITS_OF_DISTANCE, _BISECTIONS = 100, 8


def reason(error: Exception) -> str:
    """Returns why something could not be measured, in one line."""
    if isinstance(error, tf.errors.ResourceExhaustedError):
        return "out of memory; fewer examples at a time (`batch_size`) take less"
    return in_one_line(error)


class Silent:
    """Progress that nobody looks at; takes what `study.progress.Progress` takes."""

    def __init__(self, label: str, total: int, unit: str | None = None) -> None:
        pass

    def add(self, amount: int) -> None:
        """Counts finished work."""

    def close(self) -> None:
        """Ends it."""


class Shown(Protocol):
    """Progress of a piece of work."""

    def add(self, amount: int) -> None:
        """Counts finished work."""

    def close(self) -> None:
        """Ends it."""


Watch = Callable[[str, int, str], Shown]


@dataclasses.dataclass(frozen=True, eq=False)
class Picture:
    """What models say on a plane through three examples.

    Args:
        plane: The plane.
        positions: Integer array (3,), the positions of the examples.
        models: Numbers of the models that say something.
        classes: Array (models, resolution, resolution), the predicted classes.
        confidences: Float array of this shape, the probabilities of these classes.
    """

    plane: Plane
    positions: np.ndarray
    models: tuple[int, ...]
    classes: np.ndarray
    confidences: np.ndarray


class Boundaries:
    """Measures models around examples; what was found is in the attributes after `measured`.

    Args:
        networks: Functions from examples to logits.
        x: Array of shape (examples, ...).
        y: Integer array (examples,), or None.
        names: A name for each model.
        options: `comparison.Options`.
        watch: Makes something that shows how far the work is.

    Attributes:
        of_models: For each model the measures that it has: "fragmentation", "margin", "jacobian_norm".
        agreement: For each pair of models float64 (planes,), the share of the points that both class alike.
        picture: `Picture`, or None.
        left_out: What was not measured, and why.
    """

    def __init__(
        self,
        networks: Sequence[Network],
        x: np.ndarray,
        y: np.ndarray | None,
        names: Sequence[str],
        options: "Options",
        watch: Watch,
    ) -> None:
        self.networks, self.x, self.y, self.names = networks, floating(x), y, names
        self.options, self.watch = options, watch
        x = np.asarray(x)
        are_images = x.ndim > 3 or (x.ndim == 3 and x.dtype == np.uint8)
        self.whole_numbers = x.dtype.kind in "iub" and not are_images
        self.classifiers = [Classifier(network) for network in networks]
        self.of_models: list[dict[str, Measured]] = [{} for _ in networks]
        self.agreement: dict[tuple[int, int], np.ndarray] = {}
        self.picture: Picture | None = None
        self.left_out: list[str] = []

    def measured(self) -> "Boundaries":
        """Measures everything, and returns itself."""
        if self.whole_numbers and any(self._has_no_gradient(network) for network in self.networks):
            self.left_out.append(
                "planes, margins and Jacobian norms: the examples are whole numbers which a model looks up, "
                "and between them there are none"
            )
            return self
        found = self._measure_planes() if self.options.num_planes else None
        triplets, numbers = found or (None, tuple(range(len(self.names))))
        if numbers and (triplets is not None or self.options.picture is not None):
            self._draw_plane(triplets, numbers)
        if self.options.num_margins:
            self._of_each("margin", self._margin)
        if self.options.num_gradients and self.y is not None:
            self._of_each("jacobian_norm", self._jacobian_norm)
        elif self.options.num_gradients:
            self.left_out.append("Jacobian norm: there are no labels")
        return self

    def _stream(self, name):
        return Streams(self.options.seed).generator(name)

    def _has_no_gradient(self, network):
        inputs = floating_tensor(self.x[:1])
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            total = tf.reduce_sum(network(inputs))
        return tape.gradient(total, inputs) is None

    def _of_each(self, name, measure):
        """Measures every model by a function of its number."""
        for number, model in enumerate(self.names):
            try:
                self.of_models[number][name] = measure(number)
            except (ValueError, tf.errors.OpError) as error:
                self._leave_out(f"{MEASURES[name].title} of {model}", error)

    def _leave_out(self, what, error):
        self.left_out.append(f"{what}: {reason(error)}")

    def _triplets(self):
        """Positions of the examples of the planes, as many as determine one, and these planes."""
        options = self.options
        triplets = options.triplets
        if triplets is None:
            distinct = self.y is not None and len(np.unique(self.y)) >= 3
            labels = self.y if distinct else np.arange(len(self.x))
            triplets = draw_triplets(labels, options.num_planes, self._stream("score_triplets"), distinct)
        found, planes, why = [], [], "two are needed"
        for triplet in triplets:
            try:
                planes.append(plane_through(self.x[triplet], options.resolution, SCORE_OVERHANG))
                found.append(triplet)
            except ValueError as error:
                why = str(error)
        if len(planes) < 2:
            raise ValueError(f"too few of {len(triplets)} planes through three examples ({why})")
        return np.array(found), planes

    def _measure_planes(self):
        """Returns the positions of the planes' examples and the models left; None if there are too few."""
        try:
            triplets, planes = self._triplets()
        except ValueError as error:
            self._leave_out("planes", error)
            return None
        maps = {}
        for number, name in enumerate(self.names):
            try:
                maps[number] = self._maps(number, planes)
            except (ValueError, tf.errors.OpError) as error:
                self._leave_out(f"planes of {name}", error)
                continue
            scores = fragmentation_scores(maps[number])
            self.of_models[number]["fragmentation"] = mean_over_planes(scores, "positive")
        self.agreement = {(i, j): triplet_agreement(maps[i], maps[j]) for i, j in pairs_of(list(maps))}
        return triplets, tuple(maps)

    def _maps(self, number, planes):
        """The classes of one model at the points of all planes: (planes, resolution, resolution)."""
        found, words = [], f"{self.names[number]}: planes"
        with contextlib.closing(self.watch(words, len(planes), "planes")) as progress:
            for plane in planes:
                classes = predict_planes([self.classifiers[number]], [plane], self.options.batch_size)
                found.append(classes[0, 0])
                progress.add(1)
        return np.stack(found)

    def _draw_plane(self, triplets, numbers):
        """Draws the plane that was asked for, else that of the triplet in the middle of the agreement."""
        positions = self.options.picture
        if positions is None:
            order = [0]
            if self.agreement:
                order = np.argsort(np.mean(list(self.agreement.values()), axis=0), kind="stable")
            positions = triplets[order[len(order) // 2]]
        try:
            plane = plane_through(self.x[list(positions)], self.options.picture_resolution, PICTURE_OVERHANG)
            classifiers = [self.classifiers[number] for number in numbers]
            classes, confidences = predict_planes(
                classifiers, [plane], self.options.batch_size, confidences=True
            )
        except (ValueError, tf.errors.OpError) as error:
            self._leave_out("picture of a plane", error)
            return
        self.picture = Picture(plane, np.array(positions), numbers, classes[:, 0], confidences[:, 0])

    def _margin(self, number):
        rng = self._stream("margins")
        count = min(self.options.num_margins, len(self.x))
        bases = rng.choice(len(self.x), count, replace=False)
        parts, unit = [], self._distance / _UNITS_OF_DISTANCE
        targets, words = np.arange(len(self.x)), f"{self.names[number]}: margins"
        with contextlib.closing(self.watch(words, count, "examples")) as progress:
            for start in range(0, count, _BLOCK):
                block = bases[start : start + _BLOCK]
                found = margins(
                    self.classifiers[number],
                    self.x,
                    block,
                    targets,
                    rng,
                    num_bisections=_BISECTIONS,
                    batch_size=self.options.batch_size,
                    unit=unit,
                )
                parts.append(found.kept())
                progress.add(len(block))
        kept = np.concatenate(parts)
        if 2 * kept.size < count:  # the median of the others would be that of the nearest alone
            raise ValueError(f"a change of class was met around {kept.size} of {count} examples alone")
        low, high = interval(kept, statistic=np.median, quantity="positive")
        return Measured(float(np.median(kept)), low, high, len(kept))

    @functools.cached_property
    def _distance(self):
        """The median distance between two examples, of a thousand pairs."""
        pairs = self._stream("distances").integers(len(self.x), size=(2, 1000)).T
        lengths = np.array([np.linalg.norm((self.x[i] - self.x[j]).ravel()) for i, j in pairs])
        if not lengths.any():
            raise ValueError("all examples are the same")
        return float(np.median(lengths[lengths > 0]))

    def _check_slopes(self, number, flat):
        """Refuses wrong examples whose loss is flat: their probability was rounded to 0."""
        if not len(flat):
            return
        classes = self.classifiers[number](tf.constant(self.x[flat]))[0].numpy()
        if (wrong := np.sum(classes != self.y[flat])) > 0:
            raise ValueError(
                f"the loss of {wrong} wrong examples has no slope: their probability is rounded to 0 (save "
                "the model without its softmax or sigmoid), or the model is dead around them"
            )

    def _jacobian_norm(self, number):
        count = min(self.options.num_gradients, len(self.x))
        chosen = self._stream("gradients").choice(len(self.x), count, replace=False)
        size = min(BATCH_SIZE, self.options.batch_size)  # a backward pass keeps what lies between the layers
        words = f"{self.names[number]}: gradients"
        with contextlib.closing(self.watch(words, count, "examples")) as progress:
            found = jacobian_norm(self.networks[number], self.x[chosen], self.y[chosen], size)
            progress.add(count)
        if not np.isfinite(found).all():
            raise ValueError(f"{(~np.isfinite(found)).sum()} of {count} gradients are not finite")
        self._check_slopes(number, chosen[found == 0])
        return mean_over_examples(found, "positive")
