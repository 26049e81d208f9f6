"""What a run costs: the epochs after which it is measured, and its seconds. Loads no TensorFlow."""

from common.data.datasets import NUM_TEST, NUM_TRAIN


def checkpoint_epochs(settings):
    """Returns the epochs, in order and without the last, after which a run is also measured.

    Args:
        settings: Resolved Settings of a run on images.
    """
    count, last = settings.num_checkpoints, settings.epochs
    chosen = set(range(0, last, settings.evaluate_every)) if settings.evaluate_every else set()
    if count:
        chosen |= {round(last ** (i / count)) for i in range(count)}
    return sorted(chosen - {0, last})


# Microseconds of one core for a training step's image, of a constant, the width and its square; a gradient by
# the input costs about the same, an evaluation a third.
_MICROSECONDS = {"convnet": (90, 12, 3), "resnet18w": (400, 60, 8)}


def estimate(settings):
    """Seconds that a run takes on two cores, both in use; an estimate."""
    if settings.dataset == "scalar":
        return 2 if settings.network == "polynomial" else 3 + settings.width**2 * settings.epochs / 2e8
    num_train = (settings.num_train or NUM_TRAIN) - settings.num_validation
    num_test, num_samples = settings.num_test or NUM_TEST, settings.num_samples or num_train
    checkpoints, points = len(checkpoint_epochs(settings)), 1 + settings.num_copies
    anchors = 1 + settings.num_paths * len(settings.erased)
    images = num_train * (settings.epochs + 1 / 3) + num_test * (checkpoints + 2) / 3
    images += num_samples * points * (anchors + checkpoints)
    cost = sum(c * settings.width**i for i, c in enumerate(_MICROSECONDS[settings.network]))
    return 10 + images * cost / 2e6
