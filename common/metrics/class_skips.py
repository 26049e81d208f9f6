"""Class skips: how often a network's predicted class changes between two images."""

import numpy as np

from ..arrays import floating_type
from .classifier import Classifier, Rays, as_classifier, num_images_per_block
from .logits import Network


def class_skips(
    model: Network | Classifier,
    first_images: np.ndarray,
    second_images: np.ndarray,
    num_points: int,
    batch_size: int = 512,
) -> np.ndarray:
    """Number of label changes along the straight segment between two images.

    The segment is probed at equally spaced points, both ends included: changes that lie between two points
    and undo each other are not seen. The released code draws pairs of one class.

    Args:
        model: Gives logits of shape (batch, classes).
        first_images: Array of shape (pairs, ...), where segments begin.
        second_images: Array of the same shape, where they end.
        num_points: Number of points on a segment, at least 2; the released code's default is 10.
        batch_size: Number of points in a call of the network.

    Returns:
        Integer array of shape (pairs,), from 0 to `num_points - 1`.

    Raises:
        ValueError: If shapes differ, there are too few points, or a logit is nan or +inf.

    Reference:

    - somepago/dbViz, double-descent/dd_clskips.py and db_quant_utils.py (count_skips)
    """
    first_images, second_images = np.asarray(first_images), np.asarray(second_images)
    if first_images.shape != second_images.shape or first_images.ndim < 2 or first_images.size == 0:
        raise ValueError(
            "`first_images` and `second_images` must have one shape (pairs, ...), with pixels. Received: "
            f"first_images of shape {first_images.shape}, second_images of shape {second_images.shape}"
        )
    if num_points < 2:
        raise ValueError(f"`num_points` must be at least 2. Received: num_points={num_points}")
    classifier = as_classifier(model)
    dtype = np.result_type(floating_type(first_images), floating_type(second_images))
    block = num_images_per_block(first_images[0], images_each=2)
    skips = []
    for start in range(0, len(first_images), block):
        first = first_images[start : start + block].astype(dtype)
        second = second_images[start : start + block].astype(dtype)
        rays = Rays(classifier, first, (second - first)[:, None], batch_size)
        pairs = np.repeat(np.arange(len(first)), num_points)
        fractions = np.tile(np.linspace(0.0, 1.0, num_points), len(first))
        classes = rays.classes(pairs, fractions).reshape(-1, num_points)
        skips.append(np.count_nonzero(classes[:, 1:] != classes[:, :-1], axis=1))
    return np.concatenate(skips)
