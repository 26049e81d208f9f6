"""Scores between trained networks, from records alone: every run has its class maps on the same planes."""

import dataclasses
import math

import numpy as np

from common.metrics.reproducibility import reproducibility_matrix, triplet_agreement
from common.study.records import last
from common.study.runs import describe
from replications.somepalli_boundaries.published import RANDOM_KINDS

# A training accuracy that counts as interpolation.
# A constant rate never settles: from epoch to epoch the accuracy of networks that have fitted every label
# varies by a few percent at laptop scale.
FITTED = 0.95
_NAMED = 3  # diverged runs that a text names


def not_diverged(runs):
    """Returns those of (settings, Run) that did not diverge."""
    return [(settings, run) for settings, run in runs if not run.diverged]


def _without_derived(settings):
    """Settings without those that follow from others in every figure."""
    names = ("learning_rate", "epochs", "weight_decay", "schedule", "depth", "pictures", "distillation")
    names += ("teacher_width", "teacher_seed", "temperature", *["width"] * (settings.network != "resnet18k"))
    return dataclasses.replace(settings, **dict.fromkeys(names))


def diverged_names(runs):
    """Names those of (settings, Run) that diverged, such as "seed=1; seed=2"; a few of many."""
    everything = [_without_derived(settings) for settings, _ in runs]
    names = [describe(s, everything) for s, (_, run) in zip(everything, runs, strict=True) if run.diverged]
    more = [f"and {len(names) - _NAMED} more"] * (len(names) > _NAMED)
    return "; ".join(names[:_NAMED] + more)


def class_maps(run):
    """Classes on the planes through test images: uint8 (triplets, resolution, resolution)."""
    return run.arrays["score_classes"]


def accuracy(run, part):
    """Accuracy of the measured network on "train" or "test"; where it has none, that after the last epoch.

    The two part with `--checkpoint=best_test`. Training labels count as given, wrong ones included.
    """
    found = last(run, "accuracy", subset={"train": "all", "test": "test"}[part])
    return last(run, f"{part}_accuracy") if math.isnan(found) else found


def fragmentation(run, subset="all"):
    """Mean number of regions on planes through training images, "test" images or "clean" ones of a class."""
    return last(run, "fragmentation", subset=subset, statistic="run")


def median_margin(run, subset="all"):
    """Median margin of training images, or of "clean" or "noisy" ones; nan if none kept a margin."""
    return last(run, "margin", subset=subset, statistic="median")


def groups(runs, key):
    """Gathers runs under a key.

    Args:
        runs: List of (settings, `run_folders.Run`), finished ones, each once.
        key: Function of settings; None leaves a run out.

    Returns:
        Dictionary key -> list of Run, in the order of the seeds.
    """
    found = {}
    for settings, run in sorted(runs, key=lambda pair: tuple(pair[0].seeds.values())):
        if (name := key(settings)) is not None:
            found.setdefault(name, []).append(run)
    return found


def matrix(runs_by_group):
    """`Reproducibility` of every ordered pair of groups; a network is never compared with itself."""
    return reproducibility_matrix({name: list(map(class_maps, runs)) for name, runs in runs_by_group.items()})


def agreement(first, second):
    """Mean agreement of two runs over the planes."""
    return float(np.mean(class_maps(first) == class_maps(second)))


def plane_winners(run, kind):
    """The class with most points on each plane through images that are no data: (planes,).

    Args:
        run: `run_folders.Run`.
        kind: One of `published.RANDOM_KINDS`.
    """
    return np.array([np.bincount(plane.ravel()).argmax() for plane in random_classes(run, kind)])


def random_classes(run, kind):
    """Classes on the planes through images that are no data: uint8 (planes, resolution, resolution)."""
    return run.arrays["random_classes"][RANDOM_KINDS.index(kind)]


def late_test_error(run):
    """Test error (%), the median over the last tenth of the epochs if it was measured there."""
    rows = run.rows[run.rows.metric == "test_accuracy"].drop_duplicates("epoch", keep="last")
    return float(100 * (1 - np.median(rows.value[rows.epoch > 0.9 * rows.epoch.max()])))


def score_and_error(first, second):
    """Mean agreement of two runs over the planes, and its standard error over the planes."""
    agreement = triplet_agreement(class_maps(first), class_maps(second))
    return float(agreement.mean()), float(agreement.std(ddof=1) / math.sqrt(len(agreement)))


def threshold(runs):
    """The interpolation threshold: the narrowest width that fits its training labels, noise included.

    Args:
        runs: List of (settings, Run) of one label noise.

    Returns:
        The smallest width from which on the mean training accuracy over seeds is at least 95 %; None if the
        widest network does not reach it.
    """
    by_width = groups(runs, lambda settings: settings.width)
    fitted = None
    for width in sorted(by_width, reverse=True):
        fits = np.mean([accuracy(run, "train") for run in by_width[width]]) >= FITTED
        if not fits:  # nan does not
            break
        fitted = width
    return fitted
