"""Margins: how far an image is from a change of its predicted class, in random directions."""

import dataclasses

import numpy as np

from ..arguments import whole_number
from ..arrays import floating_type
from .classifier import Classifier, Rays, as_classifier, num_images_per_block
from .examples import check_values
from .logits import Network

# The steps between the probed distances: step, how often (somepago/dbViz, double-descent/dd_margin.py).
_STEPS = ((0.01, 11), (0.1, 9), (0.5, 31), (1.0, 25), (10.0, 25), (20.0, 98))
DISTANCES = np.cumsum([0.0, *np.repeat([step for step, _ in _STEPS], [count for _, count in _STEPS])])
DISTANCES.setflags(write=False)


@dataclasses.dataclass(frozen=True)
class Margins:
    """The margins of a sample of images.

    Args:
        values: Float64 array of shape (images,), the mean distance to a change of class over the directions
            in which there is one; nan where there were too few.
        num_crossings: Integer array of shape (images,), the number of these directions.
        num_directions: Integer array of shape (images,), the number of directions tried.
    """

    values: np.ndarray
    num_crossings: np.ndarray
    num_directions: np.ndarray

    def kept(self) -> np.ndarray:
        """Returns the margins that are defined; the paper shows their median over images."""
        return self.values[np.isfinite(self.values)]


@dataclasses.dataclass(frozen=True)
class _Search:
    """What a search for margins needs besides the rays."""

    num_crossings: int
    num_directions: int
    num_bisections: int
    batch_size: int
    distances: np.ndarray

    @classmethod
    def checked(
        cls, num_crossings: int, num_extra: int, num_bisections: int, batch_size: int, unit: float = 1.0
    ) -> "_Search":
        num_crossings = whole_number("num_crossings", num_crossings)
        num_directions = num_crossings + whole_number("num_extra", num_extra, 0)
        num_bisections = whole_number("num_bisections", num_bisections, 0)
        if not 0 < unit < np.inf:
            raise ValueError(f"`unit` must be a positive number. Received: unit={unit!r}")
        return cls(num_crossings, num_directions, num_bisections, batch_size, unit * DISTANCES)


def margins(
    model: Network | Classifier,
    images: np.ndarray,
    bases: np.ndarray,
    targets: np.ndarray,
    rng: np.random.Generator,
    num_crossings: int = 10,
    num_extra: int = 10,
    num_bisections: int = 0,
    batch_size: int = 512,
    unit: float = 1.0,
) -> Margins:
    """Mean distance from images to a change of predicted class, toward random other images.

    From each base image, unit vectors toward random targets are tried one after another, up to
    `num_crossings + num_extra`, until `num_crossings` of them have met a change of class at one of the 200
    `DISTANCES`. The margin in a direction is the last distance before the first change from the network's own
    prediction at distance 0, quantised to these distances. An image's margin is the mean over its crossings,
    kept if there are at least `num_crossings // 2`.

    Distances are probed in ascending order and a direction that has crossed is not probed further: the result
    is that of probing all 200, for a fraction of the work. An image is never its own target (the released
    code divides by zero there); a target with the same pixels has no direction and never crosses.

    Args:
        model: Gives logits of shape (batch, classes).
        images: Array of shape (images, ...), in the space where the network takes them.
        bases: Integer array of shape (bases,), positions of the images whose margins are wanted; the paper
            draws 5,000 with replacement.
        targets: Integer array, positions of the images that directions may point to; repeats are ignored.
        rng: Draws the directions.
        num_crossings: Number of crossings wanted for an image.
        num_extra: Number of directions that may fail before an image is given up.
        num_bisections: Number of times to halve the step that holds a direction's first change; the margin is
            then the last distance known to be before a change. 0 gives the published measure.
        batch_size: Number of points in each call of the network.
        unit: What `DISTANCES` are multiplied by. They suit standardized images; of other inputs they may all
            be too large or too small.

    Returns:
        Margins in the unit of the images' pixels, whatever `unit` is.

    Raises:
        ValueError: If bases or targets are not positions of images, a base has no other image as target, or
            a logit is nan or +inf; or if `unit` is no positive number.

    Reference:

    - [Somepalli et al. 2022, "Median Margins"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, double-descent/dd_margin.py (avg_margin)
    """
    images = np.asarray(images)
    bases, targets = _places("bases", bases, images), _places("targets", targets, images)
    search = _Search.checked(num_crossings, num_extra, num_bisections, batch_size, unit)
    drawn = _draw_targets(bases, targets, search.num_directions, rng)

    def directions(block, origins):
        vectors = images[drawn[block]].astype(origins.dtype) - origins[:, None]
        return _unit(vectors)

    return _margins(as_classifier(model), images, bases, directions, search)


def gaussian_margins(
    model: Network | Classifier,
    images: np.ndarray,
    bases: np.ndarray,
    rng: np.random.Generator,
    num_crossings: int = 10,
    num_extra: int = 10,
    num_bisections: int = 0,
    batch_size: int = 512,
    unit: float = 1.0,
) -> Margins:
    """Mean distance from images to a change of predicted class, in Gaussian directions.

    As `margins`, with directions uniform on the sphere in place of directions toward other images: the random
    direction that the paper's caption suggests, where its code has the other.

    Args:
        model: Gives logits of shape (batch, classes).
        images: Array of shape (images, ...).
        bases: Integer array of shape (bases,), positions of the images whose margins are wanted.
        rng: Draws the directions.
        num_crossings: Number of crossings wanted for an image.
        num_extra: Number of directions that may fail before an image is given up.
        num_bisections: Number of times to halve the step that holds a direction's first change.
        batch_size: Number of points in each call of the network.
        unit: What `DISTANCES` are multiplied by.

    Returns:
        Margins in the unit of the images' pixels, whatever `unit` is.

    Raises:
        ValueError: If bases are not positions of images, a logit is nan or +inf, or `unit` is no positive
            number.

    Reference:

    - [Somepalli et al. 2022, "Median Margins"](https://arxiv.org/abs/2203.08124)
    """
    images, bases = np.asarray(images), _places("bases", bases, images)
    search = _Search.checked(num_crossings, num_extra, num_bisections, batch_size, unit)

    def directions(_, origins):
        shape = (len(origins), search.num_directions, *origins.shape[1:])
        # Drawn in one type, so that images have the same directions in whatever they are stored.
        return _unit(rng.standard_normal(shape, dtype=np.float32).astype(origins.dtype))

    return _margins(as_classifier(model), images, bases, directions, search)


def _places(name, places, images):
    """Checks that values are positions of images: 1-D, integers, at least one."""
    places = np.asarray(places)
    if places.ndim != 1 or places.size == 0 or places.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be a non-empty 1-D array of integers. Received: {name} of shape {places.shape} "
            f"and type {places.dtype}"
        )
    check_values(name, places, (places >= 0) & (places < len(images)), f"from 0 to {len(images) - 1}")
    return places


def _draw_targets(bases, targets, num_directions, rng):
    """Draws targets uniformly, with replacement, from those other than the base: (bases, num_directions)."""
    targets = np.unique(targets)
    place = np.searchsorted(targets, bases)
    inside = np.isin(bases, targets)
    if np.any(len(targets) - inside < 1):
        raise ValueError(
            "`targets` must hold an image other than the base. Received: "
            f"targets={targets.tolist()} for the base {bases[len(targets) - inside < 1][0]}"
        )
    drawn = rng.integers(0, (len(targets) - inside)[:, None], size=(len(bases), num_directions))
    return targets[drawn + (inside[:, None] & (drawn >= place[:, None]))]


def _unit(vectors):
    """Scales vectors of shape (bases, directions, ...) to length 1; zero stays zero."""
    lengths = np.linalg.norm(vectors.reshape(*vectors.shape[:2], -1), axis=-1)
    lengths[lengths == 0] = 1
    return vectors / lengths.reshape(lengths.shape + (1,) * (vectors.ndim - 2))


def _margins(classifier, images, bases, directions, search):
    """Searches in blocks of base images; `directions` gives those of a block from its slice and origins."""
    size = num_images_per_block(images[0], search.num_directions)
    parts = []
    for start in range(0, len(bases), size):
        block = slice(start, start + size)
        origins = images[bases[block]].astype(floating_type(images))
        vectors = directions(block, origins)
        rays = Rays(classifier, origins, vectors, search.batch_size)
        parts.append(_search_block(rays, len(origins), search))
    return Margins(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def _search_block(rays, num_bases, search):
    """Returns values, numbers of crossings and numbers of directions tried, for a block of base images."""
    shape = (num_bases, search.num_directions)
    reference = rays.classes(np.arange(num_bases) * search.num_directions, np.zeros(num_bases))
    reference = np.repeat(reference, search.num_directions)
    crossing, tried = _first_crossings(rays, reference, shape, search)
    found = np.flatnonzero(crossing)
    low, high = search.distances[crossing[found] - 1], search.distances[crossing[found]]
    for _ in range(search.num_bisections if found.size else 0):
        middle = (low + high) / 2
        before = rays.classes(found, middle) == reference[found]
        low, high = np.where(before, middle, low), np.where(before, high, middle)
    base = found // search.num_directions
    num_crossings = np.bincount(base, minlength=num_bases)
    sums = np.bincount(base, weights=low, minlength=num_bases)
    values = np.full(num_bases, np.nan)
    enough = num_crossings >= max(1, search.num_crossings // 2)
    values[enough] = sums[enough] / num_crossings[enough]
    return values, num_crossings, tried


def _first_crossings(rays, reference, shape, search):
    """Finds on each ray the first distance with another class than the reference.

    A base image's rays are opened as the sequential search would: the first `num_crossings`, and one more for
    each that ends without a crossing. A batch takes the next distance of as many open rays as it holds; where
    fewer are open it takes several distances of each.

    Returns:
        Integer array of shape (rays,), positions in `DISTANCES`, 0 without a crossing; and the number of rays
        opened for each base image.
    """
    position = np.ones(shape[0] * shape[1], np.int64)
    crossing = np.zeros_like(position)
    while True:
        failed = (position == len(DISTANCES)) & (crossing == 0)
        limit = search.num_crossings + failed.reshape(shape).sum(axis=1)
        opened = (np.arange(shape[1]) < limit[:, None]).ravel()
        pending = np.flatnonzero(opened & (crossing == 0) & ~failed)[: search.batch_size]
        if pending.size == 0:
            return crossing, opened.reshape(shape).sum(axis=1)
        share, rest = divmod(search.batch_size, pending.size)
        counts = share + (np.arange(pending.size) < rest)
        starts = np.cumsum(counts) - counts
        probed = np.repeat(pending, counts)
        rungs = np.repeat(position[pending] - starts, counts) + np.arange(search.batch_size)
        rungs = np.minimum(rungs, len(DISTANCES) - 1)
        changed = rays.classes(probed, search.distances[rungs]) != reference[probed]
        first = np.minimum.reduceat(np.where(changed, rungs, len(DISTANCES)), starts)
        crossing[pending] = np.where(first < len(DISTANCES), first, 0)
        position[pending] = np.minimum(position[pending] + counts, len(DISTANCES))
