"""Reproducibility score: how much of the planes through images two networks label alike."""

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from ..statistics import interval_over_units


def triplet_agreement(labels_a: np.ndarray, labels_b: np.ndarray) -> np.ndarray:
    """Fraction of each plane's points that two networks label alike.

    Args:
        labels_a: Array of shape (triplets, ...), the first network's class at each point of each plane.
        labels_b: Array of the same shape, the second network's on the same planes.

    Returns:
        Float64 array of shape (triplets,), in [0, 1].

    Raises:
        ValueError: If shapes differ or there are no points.

    Reference:

    - [Somepalli et al. 2022, "Reproducibility Score"](https://arxiv.org/abs/2203.08124)
    """
    labels_a, labels_b = np.asarray(labels_a), np.asarray(labels_b)
    if labels_a.shape != labels_b.shape or labels_a.ndim < 2 or labels_a.size == 0:
        raise ValueError(
            "`labels_a` and `labels_b` must have one shape (triplets, ...), with points. Received: "
            f"labels_a of shape {labels_a.shape}, labels_b of shape {labels_b.shape}"
        )
    return np.mean(labels_a == labels_b, axis=tuple(range(1, labels_a.ndim)))


def reproducibility_score(labels_a: np.ndarray, labels_b: np.ndarray) -> float:
    """Mean over triplets of the fraction of a plane that two networks label alike.

    Plain agreement of predicted classes, which the released code calls IoU. The spread between triplets is in
    `triplet_agreement`.

    Formula:

    ```
    R = mean over triplets of (number of points where argmax f1 = argmax f2) / number of points
    ```

    Example:
    >>> reproducibility_score([[[0, 1], [2, 2]]], [[[0, 1], [2, 3]]])
    0.75

    Args:
        labels_a: Array of shape (triplets, ...), the first network's class at each point of each plane.
        labels_b: Array of the same shape, the second network's on the same planes.

    Returns:
        In [0, 1]; 1 if the networks agree everywhere.

    Raises:
        ValueError: If shapes differ or there are no points.

    Reference:

    - [Somepalli et al. 2022, "Reproducibility Score"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, calculate_iou.py
    """
    return float(np.mean(triplet_agreement(labels_a, labels_b)))


@dataclasses.dataclass(frozen=True)
class Reproducibility:
    """The score between two groups of trained networks, or within one.

    Args:
        value: Mean score over the pairs.
        low: Lower end of the 95 % interval of `value`, nan where it is undefined.
        high: Upper end.
        num_models: Numbers of networks in the two groups.
        num_pairs: Number of distinct pairs.
    """

    value: float
    low: float
    high: float
    num_models: tuple[int, int]
    num_pairs: int


def group_reproducibility(
    group_a: Sequence[np.ndarray], group_b: Sequence[np.ndarray] | None = None, confidence: float = 0.95
) -> Reproducibility:
    """Mean score over the pairs of two groups of networks, with an interval over networks.

    A network is never compared with itself: within one group (`group_b=None`) 3 networks give 3 distinct
    pairs, two groups of 3 give 9, and no network may be in both. The interval leaves out networks of each
    group, never triplets or points: it says how the value would vary with other trainings. It is the
    jackknife's, on a scale on which it stays in [0, 1], and undefined (nan) where a group has fewer than 2
    networks and, within one group, fewer than 3, which give a single pair.

    Args:
        group_a: Sequence of arrays of shape (triplets, ...), each network's labels on the same planes.
        group_b: Sequence of such arrays, or None for the pairs within `group_a`.
        confidence: Level in (0, 1).

    Returns:
        Its value is nan where there is no pair.

    Raises:
        ValueError: If a group is empty, shapes differ, or an array is in both groups.

    Reference:

    - [Somepalli et al. 2022, "Reproducibility Score"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, calculate_iou.py (pairs of a matrix cell)
    """
    within = group_b is None
    group_b = group_a if group_b is None else group_b
    if len(group_a) == 0 or len(group_b) == 0:
        raise ValueError(f"Groups must not be empty. Received: {len(group_a)} and {len(group_b)} networks")
    group_a, group_b = (list(map(np.asarray, group)) for group in (group_a, group_b))
    if not within and any(np.shares_memory(a, b) for a, b in itertools.product(group_a, group_b)):
        raise ValueError("A network is in both groups; it would be compared with itself.")
    num_models = (len(group_a), len(group_b))
    everyone = itertools.product(*map(range, num_models))
    pairs = np.array([(i, j) for i, j in everyone if not within or i < j]).reshape(-1, 2)
    if len(pairs) == 0:
        return Reproducibility(math.nan, math.nan, math.nan, num_models, 0)
    scores = [reproducibility_score(group_a[i], group_b[j]) for i, j in pairs]
    units = [pairs] if within else pairs.T
    low, high = interval_over_units(scores, units, confidence=confidence, quantity="fraction")
    return Reproducibility(float(np.mean(scores)), low, high, num_models, len(pairs))


def reproducibility_matrix(
    label_maps_by_group: Mapping[str, Sequence[np.ndarray]], confidence: float = 0.95
) -> dict[tuple[str, str], Reproducibility]:
    """Scores between and within all groups of networks, such as the seeds of each architecture.

    Args:
        label_maps_by_group: Mapping of a group's name to a sequence of arrays of shape (triplets, ...), the
            labels of each of its networks on the same planes.
        confidence: Level of the intervals, in (0, 1).

    Returns:
        The score of every ordered pair of names; symmetric.

    Raises:
        ValueError: If a group is empty or shapes differ.

    Reference:

    - [Somepalli et al. 2022, "Reproducibility"](https://arxiv.org/abs/2203.08124)
    """
    matrix = {}
    for a, b in itertools.combinations_with_replacement(label_maps_by_group, 2):
        other = None if a == b else label_maps_by_group[b]
        cell = group_reproducibility(label_maps_by_group[a], other, confidence)
        matrix[a, b] = cell
        matrix[b, a] = dataclasses.replace(cell, num_models=cell.num_models[::-1])
    return matrix
