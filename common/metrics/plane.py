"""The plane through three images: its geometry, its grid of points, and what networks predict on it."""

import dataclasses
import math
import random
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from ..arrays import class_labels, floating_type
from .classifier import Classifier, as_classifier, check_defined
from .logits import Network

WINDOWS = ("code", "paper")
# How far the planes of Somepalli et al. 2022 go beyond their images: those of scores, and those of pictures.
SCORE_OVERHANG, PICTURE_OVERHANG = 0.1, 0.5
# Relative to the images' distance: above the float32 rounding of images on one line, far below any others.
_COLLINEAR = 1e-6


@dataclasses.dataclass(frozen=True, eq=False)
class Plane:
    """The plane through three images x1, x2, x3, with a grid of points on it.

    The point at coordinates (c1, c2) is the input `base + c1 * u + c2 * v`. Distances are in the unit of the
    images' pixels, normalised ones in Somepalli et al. 2022.

    Args:
        base: Floating-point array of the shape of an image: x1.
        u: Array of that shape, the unit vector from x1 toward x2.
        v: Array of that shape, the unit vector orthogonal to `u` on the side of x3.
        coordinates: Float64 array of shape (3, 2), where the images are: (0, 0), (|x2 - x1|, 0), (p, q).
        axis_u: Float64 array of shape (resolution,), the grid's values of c1, ascending.
        axis_v: Float64 array of shape (resolution,), the grid's values of c2, ascending.
    """

    base: np.ndarray
    u: np.ndarray
    v: np.ndarray
    coordinates: np.ndarray
    axis_u: np.ndarray
    axis_v: np.ndarray

    @property
    def resolution(self) -> int:
        """Number of points along an axis."""
        return len(self.axis_u)

    @property
    def num_points(self) -> int:
        """Number of points of the grid."""
        return self.resolution**2

    def grid(self) -> np.ndarray:
        """Returns the coordinates of the points, a float64 array of shape (num_points, 2) in ij order."""
        return np.stack(np.meshgrid(self.axis_u, self.axis_v, indexing="ij"), axis=-1).reshape(-1, 2)

    def points(self, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Returns the inputs at the points `start` to `stop`: an array of shape (points, ...)."""
        grid = self.grid()[start:stop].astype(self.base.dtype)
        c1, c2 = grid.T.reshape((2, -1) + (1,) * self.base.ndim)
        return self.base + c1 * self.u + c2 * self.v


def _axes(length, p, q, resolution, overhang, window):
    """Returns the grid's values on both axes; `length` is |x2 - x1|."""
    if window == "code":
        low, high = min(0.0, p), max(length, p)
    else:
        low, high = 0.0, max(length, abs(p))
    extent = np.array([[low, high], [0.0, q]])
    margin = overhang * (extent[:, 1] - extent[:, 0])
    return np.linspace(extent[:, 0] - margin, extent[:, 1] + margin, resolution).T


def plane_through(images: np.ndarray, resolution: int, overhang: float, window: str = "code") -> Plane:
    """Constructs the plane through three images and a grid on it.

    With a = x2 - x1 and b = x3 - x1: u = a / |a|, p = <u, b>, v = (b - p * u) / |b - p * u|, q = <v, b>. The
    second axis runs over [0, q] in both windows. The first runs over the images' coordinates 0, |a| and p
    with `window="code"`, as in the released code, and over [0, max(|a|, |p|)] with `window="paper"`, as in
    the paper's formula, which leaves out x3 where p < 0; elsewhere the two agree. Each axis is extended by
    `overhang` of its length on both sides. The geometry is computed in float64.

    Example:
    >>> plane = plane_through([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0]], resolution=3, overhang=0.5)
    >>> plane.axis_u, plane.axis_v
    (array([-1.,  1.,  3.]), array([-0.5,  0.5,  1.5]))

    Args:
        images: Array of shape (3, ...): x1, x2, x3, in the space where the network takes them.
        resolution: Number of points along each axis, at least 2: 50 for scores, 500 for pictures.
        overhang: Not negative, the extension as a fraction: 0.1 for scores, 0.5 for pictures.
        window: `"code"` or `"paper"`.

    Returns:
        Its arrays of inputs are float64 if `images` are, else float32.

    Raises:
        ValueError: If two images are equal or the three lie on one line (no plane is determined), their
            values are not finite, or another argument is outside its range.

    Reference:

    - [Somepalli et al. 2022, "Decision Boundary"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, data.py
    """
    images = np.asarray(images)
    if images.ndim < 2 or len(images) != 3 or not np.isfinite(images).all():
        raise ValueError(f"`images` must be three arrays of finite numbers. Received: shape {images.shape}")
    if resolution < 2 or not 0 <= overhang < math.inf or window not in WINDOWS:
        raise ValueError(
            "`resolution` must be at least 2, `overhang` finite and non-negative, `window` "
            f'"code" or "paper". Received: resolution={resolution}, overhang={overhang}, window={window!r}'
        )
    x1, x2, x3 = images.reshape(3, -1).astype(np.float64)
    a, b = x2 - x1, x3 - x1
    length, length_b = np.linalg.norm(a), np.linalg.norm(b)
    if length == 0 or length_b == 0 or np.array_equal(x2, x3):
        raise ValueError(
            "`images` must be three different images to determine a plane. Received: two equal ones"
        )
    u = a / length
    p = float(u @ b)
    orthogonal = b - p * u
    if np.linalg.norm(orthogonal) <= _COLLINEAR * max(length, length_b):
        raise ValueError("`images` must not lie on one line to determine a plane. Received: three that do")
    v = orthogonal / np.linalg.norm(orthogonal)
    q = float(v @ b)
    axis_u, axis_v = _axes(float(length), p, q, resolution, overhang, window)
    base, u, v = (x.reshape(images.shape[1:]).astype(floating_type(images)) for x in (x1, u, v))
    return Plane(base, u, v, np.array([[0.0, 0.0], [length, 0.0], [p, q]]), axis_u, axis_v)


def draw_triplets(
    labels: np.ndarray, num_triplets: int, rng: np.random.Generator, distinct_classes: bool = True
) -> np.ndarray:
    """Draws triplets of images uniformly, with replacement between triplets.

    With `distinct_classes`, an image whose class the triplet already has is drawn again, as for the
    reproducibility score; without, only an image that the triplet already has, since equal images determine
    no plane (the released code for fragmentation keeps them and predicts on undefined inputs).

    Args:
        labels: Integer array of shape (images,) or (images, 1), the class of each image.
        num_triplets: Number of triplets.
        rng: Source of the draws. Equal generators give equal triplets: use one for all networks.
        distinct_classes: Whether the three images must be of three classes.

    Returns:
        Integer array of shape (num_triplets, 3), positions in `labels`.

    Raises:
        ValueError: If `labels` are not integers, one an image, or there are fewer than three images, or
            classes where these must differ.

    Reference:

    - somepago/dbViz, utils.py (get_random_images) and double-descent/dd_fragmentation.py
    """
    labels = class_labels(labels)
    kinds = labels if distinct_classes else np.arange(len(labels))
    if len(np.unique(kinds)) < 3:
        noun = "classes" if distinct_classes else "images"
        raise ValueError(f"Triplets need at least 3 {noun}. Received: {len(np.unique(kinds))} {noun}")
    triplets = np.empty((num_triplets, 3), np.int64)
    for place in range(3):
        redrawn = np.arange(num_triplets)
        while redrawn.size:
            triplets[redrawn, place] = rng.integers(len(labels), size=redrawn.size)
            taken = kinds[triplets[redrawn, :place]] == kinds[triplets[redrawn, place]][:, None]
            redrawn = redrawn[taken.any(axis=1)]
    return triplets


def draw_released_triplets(labels: np.ndarray, num_triplets: int, data_seed: int) -> np.ndarray:
    """Draws triplets of three classes as the released code does.

    Each triplet has a generator of its own, Python's `random` seeded with `data_seed` plus its number, and
    takes images one after the other unless it has their class already. With the true labels of CIFAR-10's
    10,000 test images in the order of the original files these are the released triplets.

    Args:
        labels: Integer array of shape (images,) or (images, 1), the true class of each image.
        num_triplets: Number of triplets.
        data_seed: Integer; the released code's default is 1.

    Returns:
        Integer array of shape (num_triplets, 3), positions in `labels`, in the order drawn.

    Raises:
        ValueError: If `labels` are not integers, one an image, or of fewer than three classes.

    Reference:

    - somepago/dbViz, utils.py (get_random_images) and save_preds.py
    """
    labels = class_labels(labels)
    num_classes = len(np.unique(labels))
    if num_classes < 3:
        raise ValueError(f"Triplets need at least 3 classes. Received: {num_classes} classes")
    triplets = np.empty((num_triplets, 3), np.int64)
    for number in range(num_triplets):
        generator = random.Random(data_seed + number)
        images: dict[int, int] = {}
        while len(images) < 3:
            image = generator.randint(0, len(labels) - 1)
            images.setdefault(labels[image], image)
        triplets[number] = list(images.values())
    return triplets


def draw_same_class_triplets(
    labels: np.ndarray,
    num_triplets_per_class: int,
    rng: np.random.Generator,
    eligible: np.ndarray | None = None,
) -> np.ndarray:
    """Draws triplets of different images of one class, the same number for each class.

    This is the variant "correct" of the fragmentation score, with the labels that a network is trained on and
    `eligible = labels == true_labels`.

    Args:
        labels: Integer array of shape (images,) or (images, 1), the class of each image.
        num_triplets_per_class: Number of triplets of each class.
        rng: Source of the draws.
        eligible: Boolean array of shape (images,), the images that may be drawn; None: all.

    Returns:
        Integer array of shape (classes * num_triplets_per_class, 3), positions in `labels`, by class.

    Raises:
        ValueError: If arguments are not of shape (images,), or a class has fewer than three eligible images.

    Reference:

    - somepago/dbViz, double-descent/dd_fragmentation.py
    """
    labels = class_labels(labels)
    eligible = np.ones(len(labels), bool) if eligible is None else np.asarray(eligible, bool)
    if eligible.shape != labels.shape:
        raise ValueError(f"`eligible` must have the shape of `labels`. Received: shape {eligible.shape}")
    triplets = []
    for label in np.unique(labels):
        members = np.flatnonzero((labels == label) & eligible)
        if len(members) < 3:
            raise ValueError(
                "Triplets need at least 3 eligible images of a class. "
                f"Received: {len(members)} of class {label}"
            )
        triplets.append(members[draw_triplets(members, num_triplets_per_class, rng, distinct_classes=False)])
    return np.concatenate(triplets)


@tf.function(jit_compile=True, reduce_retracing=True)
def _inputs(base, u, v, grid):
    # Of flat arrays: retracing is reduced to shapes of unknown rank once images of two ranks were seen.
    c1, c2 = tf.unstack(tf.transpose(grid)[..., tf.newaxis])
    return base + c1 * u + c2 * v


def predict_planes(
    models: Iterable[Network | Classifier],
    planes: Iterable[Plane],
    batch_size: int = 512,
    confidences: bool = False,
) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
    """Predicts the class at every point of many planes with many networks.

    The inputs are made on the device from the three arrays of a plane, once for all networks, and a batch of
    them is all that exists at a time: memory does not depend on the number of points. The points of a plane
    are cut into equal batches, none above `batch_size`, so that no batch is nearly empty.

    Args:
        models: Networks, or their `Classifier`s, which are not traced again in later calls.
            Each gives logits of shape (batch, classes).
        planes: Planes of one resolution and one shape of images.
        batch_size: Largest number of points in a call of a network.
        confidences: Whether to return the softmax probability of the predicted class too, for pictures.

    Returns:
        Unsigned integer array of shape (models, planes, resolution, resolution), the classes, the first grid
        axis along `u`; with `confidences`, also a float32 array of that shape.

    Raises:
        ValueError: If there is nothing to predict, the planes differ in resolution, or a logit is nan or
            +inf; with `confidences`, also if a model gives probabilities.

    Reference:

    - [Somepalli et al. 2022, "Decision Boundary"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, evaluation.py (decision_boundary)
    """
    for name, given, one in (("models", models, Classifier), ("planes", planes, Plane)):
        if isinstance(given, one) or callable(given):
            raise ValueError(f"`{name}` must be a list, also of one. Received: {type(given).__name__}")
    classifiers = [as_classifier(model) for model in models]
    planes = list(planes)
    resolutions = sorted({plane.resolution for plane in planes})
    if not classifiers or len(resolutions) != 1 or batch_size < 1:
        raise ValueError(
            "`models` and `planes` must not be empty, all planes of one resolution, `batch_size` at least 1. "
            f"Received: {len(classifiers)} models, planes of resolution {resolutions}, {batch_size=}"
        )
    if confidences:
        for classifier in classifiers:
            classifier.check_confidences(planes[0].points(0, 8), batch_size)
    classes, winners = [], []
    for plane in planes:
        labels, values = _predict_plane(classifiers, plane, batch_size)
        classes.append(labels)
        if confidences:
            winners.append(values)
    if confidences:
        return np.stack(classes, axis=1), np.stack(winners, axis=1)
    return np.stack(classes, axis=1)


def _predict_plane(classifiers, plane, batch_size):
    """Returns classes and confidences, two arrays of shape (classifiers, resolution, resolution)."""
    num_batches = math.ceil(plane.num_points / batch_size)
    batch = math.ceil(plane.num_points / num_batches)
    padding = ((0, num_batches * batch - plane.num_points), (0, 0))
    grid = np.pad(plane.grid(), padding, mode="edge").astype(plane.base.dtype)
    vectors = [tf.constant(array.ravel()) for array in (plane.base, plane.u, plane.v)]
    results = [[] for _ in classifiers]
    for start in range(0, len(grid), batch):
        inputs = _inputs(*vectors, tf.constant(grid[start : start + batch]))
        inputs = tf.reshape(inputs, (-1, *plane.base.shape))
        for result, classifier in zip(results, classifiers, strict=True):
            result.append(classifier(inputs))
    shape = (len(classifiers), plane.resolution, plane.resolution)
    classes, confidences = (
        np.stack([np.concatenate([batch[kind].numpy() for batch in result]) for result in results])
        for kind in range(2)
    )
    check_defined(confidences)
    return tuple(rows[:, : plane.num_points].reshape(shape) for rows in (classes, confidences))
