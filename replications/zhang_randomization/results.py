"""What the claims of Zhang et al. 2017 read from runs: one value a seed, and comparisons between settings.

Runs of one seed share their images and initial weights, so settings are compared seed by seed. A run that
reached its cap without fitting the training set has no time to fit; a comparison with one is left open.
"""

import math

import numpy as np

from common.study.records import last, rows_of
from common.study.verdicts import Sample, ratio

# A training accuracy that counts as fitted where only accuracies are compared: table 1 has 99.34 to 100 %.
_FITTED_ACCURACY = 0.99
# A mean training loss that counts as zero in figure 1a: the threshold of a public rerun of it, which EE-411
# tried as well (section IV.B).
_LOW_LOSS = 0.1


def is_capped(run):
    """Whether the run ended at its cap, or diverged, before its training set was fitted."""
    return last(run, "fit") == 0


def first_epoch(run, metric, reached):
    """The first epoch at whose end `reached` holds of a metric's value; nan if it never does."""
    rows = rows_of(run, metric)
    epochs = rows.epoch[reached(rows.value)]
    return float(epochs.min()) if len(epochs) else math.nan


def epochs_to_fit(run):
    """Epochs until the target on the training set was reached; nan for a run that ended before."""
    return first_epoch(run, "fit", lambda value: value == 1)


def epochs_to_low_loss(run):
    """Epochs until the mean loss of one, as it was trained, is at most 0.1 nats; nan if it never is."""
    return first_epoch(run, "batch_loss", lambda value: value <= _LOW_LOSS)


def accuracy(name):
    """Returns the function run -> last accuracy on `name`, "train" or "test", in percent; nan if diverged."""

    def value(run):
        return math.nan if "diverged" in set(run.rows.metric) else 100 * last(run, f"{name}_accuracy")

    return value


def fitted_test_accuracy(run):
    """The test accuracy, in percent, of a run that fits its training set to 99 %; else nan."""
    return accuracy("test")(run) if last(run, "train_accuracy") >= _FITTED_ACCURACY else math.nan


def final_training_accuracy(run):
    """The training accuracy, in percent; nan if the cap came before 99 %, since it says nothing of later."""
    value = accuracy("train")(run)
    return math.nan if is_capped(run) and value < 100 * _FITTED_ACCURACY else value


def by_seed(evidence, measure, place):
    """Returns {seed: measure(run)} of the runs with the settings `place`."""
    return {run.seed: measure(run) for run in evidence.seeds(**place)}


def paired(evidence, label, measure, *places):
    """Values of the seeds that all places have, and a label that says if some are missing.

    Returns:
        The label and one tuple of values a place; empty tuples if one of the values is nan, since the runs
        that remain are not a fair sample.
    """
    found = [by_seed(evidence, measure, place) for place in places]
    seeds = sorted(set.intersection(*map(set, found)))
    samples = [tuple(values[seed] for seed in seeds) for values in found]
    missing = int(np.isnan(samples).sum())
    if not missing:
        return label, samples
    return f"{label} ({missing} of {np.size(samples)} runs not fitted)", [()] * len(places)


def sample(evidence, label, measure, place):
    """The Sample of a measured value."""
    label, (values,) = paired(evidence, label, measure, place)
    return Sample(label, values)


def difference(evidence, label, measure, top, bottom):
    """The Sample of a measured value with settings `top` minus that with settings `bottom`."""
    label, (first, second) = paired(evidence, label, measure, top, bottom)
    return Sample(label, tuple(np.subtract(first, second)))


def time_ratio(evidence, label, top, bottom, measure=epochs_to_fit):
    """The Contrast of the epochs to fit: settings `top` over settings `bottom`."""
    label, samples = paired(evidence, label, measure, top, bottom)
    return ratio(label, *samples)
