"""What figures and claims read from the records of runs; loads no TensorFlow."""

import itertools
import math

import numpy as np

from common.data.datasets import DATASETS
from common.study.records import last, rows_of

# Measures over volumes, in the order of the paper's figures.
VOLUME_METRICS = ("accuracy", "cross_entropy", "jacobian_norm", "tangent_hessian_norm")
# What is recorded in the course of training is read as the median over the last tenth of the epochs.
_LATE = 0.9
# The training accuracy at which a network interpolates; of a few hundred augmented images some stay out.
FITTED = {"convnet": 1.0, "resnet18w": 0.98}


def late(run, metric, **coordinates):
    """Median of a metric over the last tenth of the epochs: a network that leaps at the end is no outlier.

    Records that were made before there were such epochs have the end alone.
    """
    rows = rows_of(run, metric, **coordinates)
    if not len(rows):
        return math.nan
    epochs = rows["epoch"].to_numpy(float)
    return float(np.median(rows["value"].to_numpy(float)[epochs >= _LATE * epochs[-1]]))


def has_late(run):
    """Whether a run has epochs for the median of `late`, beside its end."""
    epochs = rows_of(run, "test_accuracy")["epoch"].to_numpy(float)
    return int(np.sum(epochs >= _LATE * epochs.max(initial=0))) > 1


def volume(run, metric, subset="all", anchors=1):
    """A measure over the volumes of the first `anchors` anchors, at the end, where alone it is recorded.

    With one anchor there is no volume: it is the median over the last tenth of the epochs at the images.
    """
    read = late if anchors == 1 else last
    return read(run, metric, subset=subset, anchors=anchors)


def num_anchors(run):
    """Number of anchors of the largest volume."""
    strengths = run.record["settings"]["strengths"]
    return 1 + len(strengths.split("-") if strengths else ())


def test_error(run):
    """Test error in percent, the median over the last tenth of the epochs."""
    return 100 * (1 - late(run, "test_accuracy"))


def train_error(run):
    """Training error in percent of all training images, the median over the last tenth of the epochs."""
    return 100 * (1 - late(run, "train_accuracy"))


def history(run, metric, **coordinates):
    """A metric in the course of training, at the checkpoints and at the end.

    Returns:
        Epochs and values: two arrays.
    """
    rows = rows_of(run, metric, statistic="run", **coordinates)
    return rows.epoch.to_numpy(float), rows.value.to_numpy(float)


def own_threshold(runs, share=None):
    """The smallest width at which a seed's network interpolates.

    Args:
        runs: {width: Run} of one seed.
        share: The training accuracy that counts; by default that of `FITTED`.

    Returns:
        The width; None if there is none, or if a smaller one has a diverged run.

    Reference: Gamba et al. 2022, section 1: the smallest model size with zero training error.
    """
    for width, run in sorted(runs.items()):
        least = FITTED[run.record["settings"]["network"]] if share is None else share
        if run.diverged:
            return None
        if train_error(run) <= 100 * (1 - least) + 1e-4:  # an accuracy is a float32
            return width
    return None


def interpolation_threshold(groups):
    """The median over the seeds of their own thresholds, of two middle ones the smaller; or None.

    Args:
        groups: {width: {seed: Run}}.
    """
    seeds = sorted(set.intersection(*(set(members) for members in groups.values())))
    found = [own_threshold({width: members[seed] for width, members in groups.items()}) for seed in seeds]
    return median_threshold(found)


def median_threshold(thresholds):
    """The lower median of thresholds, of which None is the largest."""
    ordered = sorted(thresholds, key=lambda width: math.inf if width is None else width)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def num_images(run):
    """Number of training images of a run."""
    settings = run.record["settings"]
    whole = settings["num_train"] or DATASETS[settings["dataset"]].num_train
    return whole - (settings["num_validation"] or 0)


def num_weights(width, num_classes=10):
    """Number of the weights of a ConvNet: 3 x 3 convolutions of w, 2w, 4w and 8w channels, and a layer."""
    channels = [3, *(width * 2**i for i in range(4))]
    convolutions = sum((9 * fan_in + 1) * out for fan_in, out in itertools.pairwise(channels))
    return convolutions + (channels[-1] + 1) * num_classes


def prediction_difference(first, second):
    """Relative prediction difference of two runs on the labels of the kept test images.

    The measure of Snapp & Shamir 2021 (eq. 3) relative to the mean of the two predictions, as
    `common.metrics.prediction_difference` has it; the positive label is the image's.

    Args:
        first: Run.
        second: Run with the same kept test images.

    Returns:
        Number from 0 to 2; nan if one has diverged.
    """
    if first.diverged or second.diverged:
        return math.nan
    a, b = (_label_probabilities(run) for run in (first, second))
    return float(np.mean(np.abs(a - b) / ((a + b) / 2)))


def _label_probabilities(run):
    labels = run.arrays["test_labels"].astype(int)
    logarithms = run.arrays["test_log_probabilities"].astype(np.float64)
    return np.exp(logarithms[np.arange(len(labels)), labels])


def disagreement(first, second):
    """Part of the kept test images, in percent, for which two runs predict different classes; or nan."""
    if first.diverged or second.diverged:
        return math.nan
    a, b = (run.arrays["test_log_probabilities"].argmax(axis=1) for run in (first, second))
    return 100 * float(np.mean(a != b))


def over_pairs(measure, members):
    """Applies a measure to all pairs of seeds: a list.

    Args:
        measure: Function of two runs.
        members: {seed: Run}.
    """
    return [measure(*pair) for pair in itertools.combinations(members.values(), 2)]
