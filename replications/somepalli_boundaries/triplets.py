"""The triplets of images whose planes give the reproducibility score: ours, the released, or the text's."""

import numpy as np

from common.errors import UserError
from common.metrics.plane import draw_released_triplets, draw_triplets
from common.streams import Streams
from replications.somepalli_boundaries.published import NUM_TEST


def check_triplets(triplets: str, num_test: int) -> None:
    """Refuses the released triplets where they do not exist.

    Raises:
        UserError: They are asked for, and there are not all test images.
    """
    if triplets == "released" and num_test != NUM_TEST:
        raise UserError(
            f"--triplets=released: is drawn from all {NUM_TEST:,} test images; the data set has {num_test:,}"
        )


def score_triplets(triplets: str, labels: np.ndarray, num_triplets: int, data_seed: int) -> np.ndarray:
    """The triplets of images whose planes give the reproducibility score.

    Args:
        triplets: "ours", test images of three classes; "released" for those of the official code; "train",
            any three different training images ("from the training distribution", section 3.2).
        labels: Integer array (n,), the labels of the test images, or of the training images for "train".
        num_triplets: Number of triplets.
        data_seed: Seed of the draws.

    Returns:
        Integer array (num_triplets, 3), positions in `labels`.

    Raises:
        UserError: As `check_triplets` does.
    """
    check_triplets(triplets, len(labels))
    if triplets == "released":
        return draw_released_triplets(labels, num_triplets, data_seed)
    rng = Streams(data_seed).generator("score_triplets")
    return draw_triplets(labels, num_triplets, rng, distinct_classes=triplets == "ours")
