"""Fragmentation score: into how many connected regions a network's classes fall on a plane."""

import numpy as np
from scipy import ndimage

_NEIGHBOURS = np.ones((3, 3))


def fragmentation_score(label_map: np.ndarray) -> int:
    """Number of connected regions of one class on a grid, summed over the classes.

    Two points of a class are connected if they touch along a side or at a corner (8-connectivity). The paper
    counts on 50 x 50 points of the plane through three images and averages over planes.

    Example:
    >>> fragmentation_score([[0, 1], [1, 0]])  # both classes connected across the corner
    2
    >>> fragmentation_score([[0, 1, 0]])
    3

    Args:
        label_map: Integer array of shape (rows, columns), the predicted class at each point.

    Returns:
        Integer, at least the number of classes present.

    Raises:
        ValueError: If `label_map` is not a non-empty array of integers with two axes.

    Reference:

    - [Somepalli et al. 2022, "Fragmentation Score"](https://arxiv.org/abs/2203.08124)
    - somepago/dbViz, db_quant_utils.py (connected_components)
    """
    label_map = np.asarray(label_map)
    if label_map.ndim != 2 or label_map.size == 0 or not np.issubdtype(label_map.dtype, np.integer):
        raise ValueError(
            "`label_map` must be a non-empty integer array of shape (rows, columns). Received: "
            f"label_map of shape {label_map.shape} and type {label_map.dtype}"
        )
    return sum(ndimage.label(label_map == label, _NEIGHBOURS)[1] for label in np.unique(label_map))


def fragmentation_scores(label_maps: np.ndarray) -> np.ndarray:
    """Fragmentation scores of many label maps.

    Args:
        label_maps: Integer array of shape (..., rows, columns).

    Returns:
        Integer array of shape (...).

    Raises:
        ValueError: If `label_maps` has fewer than two axes, no points, or values that are not integers.

    Reference:

    - [Somepalli et al. 2022, "Fragmentation Score"](https://arxiv.org/abs/2203.08124)
    """
    label_maps = np.asarray(label_maps)
    if label_maps.ndim < 2 or label_maps.size == 0:
        raise ValueError(
            "`label_maps` must have shape (..., rows, columns), with points. "
            f"Received: label_maps of shape {label_maps.shape}"
        )
    maps = label_maps.reshape((-1, *label_maps.shape[-2:]))
    scores = [fragmentation_score(label_map) for label_map in maps]
    return np.array(scores, np.int64).reshape(label_maps.shape[:-2])
