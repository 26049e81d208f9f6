"""What figures and claims read from the records of runs; loads no TensorFlow."""

import itertools
import math

import numpy as np

from common.study.records import last, rows_of

# Measures over volumes, in the order of the paper's figures.
VOLUME_METRICS = ("accuracy", "cross_entropy", "jacobian_norm", "tangent_hessian_norm")


def volume(run, metric, subset="all", anchors=1):
    """A measure at the end of a run over the volumes of the first `anchors` anchors, 1 of them: no volume."""
    return last(run, metric, subset=subset, anchors=anchors)


def num_anchors(run):
    """Number of anchors of the largest volume."""
    strengths = run.record["settings"]["strengths"]
    return 1 + len(strengths.split("-") if strengths else ())


def test_error(run):
    """Test error at the end of a run, in percent."""
    return 100 * (1 - last(run, "test_accuracy"))


def train_error(run):
    """Training error at the end of a run, in percent of all its training images."""
    return 100 * (1 - last(run, "train_accuracy"))


def history(run, metric, **coordinates):
    """A metric in the course of training.

    Returns:
        Epochs and values: two arrays.
    """
    rows = rows_of(run, metric, **coordinates)
    return rows.epoch.to_numpy(float), rows.value.to_numpy(float)


def interpolation_threshold(groups):
    """The smallest width at which every seed classifies all its training images as they are labelled.

    Args:
        groups: {width: {seed: Run}}.

    Returns:
        The width, or None if there is none, or if a smaller one has a diverged run.

    Reference: Gamba et al. 2022, section 1: the smallest model size with zero training error.
    """
    for width, members in sorted(groups.items()):
        if any(run.diverged for run in members.values()):
            return None
        if all(train_error(run) == 0 for run in members.values()):
            return width
    return None


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
