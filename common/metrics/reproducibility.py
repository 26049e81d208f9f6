"""Reproducibility score: how much of the planes through images two networks label alike."""

import dataclasses
import itertools

import numpy as np

_RESAMPLES = 9999


def triplet_agreement(labels_a, labels_b):
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


def reproducibility_score(labels_a, labels_b):
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
        Number in [0, 1]; 1 if the networks agree everywhere.

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


def _interval(scores, same_group, confidence):
    """Percentile bootstrap interval of the mean score, resampling the networks of each group.

    A resample gives each network a count; a pair counts as often as the product of its networks' counts.
    """
    if min(scores.shape) < (3 if same_group else 2):
        return float("nan"), float("nan")
    rng = np.random.default_rng(0)
    counts = [rng.multinomial(n, np.full(n, 1 / n), size=_RESAMPLES).astype(np.float64) for n in scores.shape]
    first, second = (counts[0], counts[0]) if same_group else counts
    pairs = 1.0 - np.eye(len(scores)) if same_group else np.ones(scores.shape)
    total = np.einsum("ri,ij,rj->r", first, pairs * scores, second, optimize=True)
    num_pairs = np.einsum("ri,ij,rj->r", first, pairs, second, optimize=True)
    # A resample of one network alone holds no pair.
    means = total[num_pairs > 0] / num_pairs[num_pairs > 0]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def group_reproducibility(group_a, group_b=None, confidence=0.95):
    """Mean score over the pairs of two groups of networks, with an interval over networks.

    Within one group (`group_b=None`) a network is never compared with itself: 3 networks give 3 distinct
    pairs, two groups of 3 give 9. The interval resamples networks within each group, never triplets or
    points: it says how the value would vary with other trainings. It is a seeded percentile bootstrap,
    undefined (nan) where a group has fewer than 2 networks and, within one group, fewer than 3, which give a
    single pair.

    Args:
        group_a: Sequence of arrays of shape (triplets, ...), each network's labels on the same planes.
        group_b: Sequence of such arrays, or None for the pairs within `group_a`.
        confidence: Level in (0, 1).

    Returns:
        `Reproducibility`; its value is nan where there is no pair.

    Raises:
        ValueError: If a group is empty or shapes differ.

    Reference:

    - [Somepalli et al. 2022, "Reproducibility Score"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, calculate_iou.py (pairs of a matrix cell)
    """
    same_group = group_b is None
    group_b = group_a if same_group else group_b
    if len(group_a) == 0 or len(group_b) == 0:
        raise ValueError(f"Groups must not be empty. Received: {len(group_a)} and {len(group_b)} networks")
    num_models = (len(group_a), len(group_b))
    scores = np.zeros(num_models)
    if same_group:
        pairs = list(itertools.combinations(range(len(group_a)), 2))
    else:
        pairs = list(itertools.product(range(len(group_a)), range(len(group_b))))
    for i, j in pairs:
        scores[i, j] = reproducibility_score(group_a[i], group_b[j])
    value = scores.sum() / len(pairs) if pairs else float("nan")
    if same_group:
        scores += scores.T
    return Reproducibility(float(value), *_interval(scores, same_group, confidence), num_models, len(pairs))


def reproducibility_matrix(label_maps_by_group, confidence=0.95):
    """Scores between and within all groups of networks, such as the seeds of each architecture.

    Args:
        label_maps_by_group: Mapping of a group's name to a sequence of arrays of shape (triplets, ...), the
            labels of each of its networks on the same planes.
        confidence: Level of the intervals, in (0, 1).

    Returns:
        Dictionary of `Reproducibility` for every ordered pair of names; symmetric.

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
