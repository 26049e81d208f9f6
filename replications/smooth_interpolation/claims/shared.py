"""What the checks of Gamba et al. 2022 share: sweeps over width, and how the paper's words are read.

The seeds of a sweep share images and labels, so values are compared seed by seed.
"""

import dataclasses
import functools

import numpy as np

from common.study.decisions import together
from common.study.verdicts import NOT_JUDGED, Bounds, Outcome, Sample, compare, near_published
from common.study.widths import WidthSweep, with_common_seeds
from replications.smooth_interpolation.results import interpolation_threshold, train_error

# "Near" the threshold is within three widths of it.
NEAR = Bounds(-3.01, 3.01)


def sweep_of(evidence, **coordinates):
    """Gathers the runs of a figure and their further seeds from a `claims.Evidence`.

    Returns:
        `WidthSweep`; and, in words, the runs that have diverged, empty if none has.
    """
    found = {}
    for width in evidence.values("width", **coordinates):
        runs = evidence.seeds(width=width, seed=0, **coordinates)
        found[width] = {run.seed: run for run in runs}
    runs = [run for members in found.values() for run in members.values()]
    kept = with_common_seeds(found)
    text = ""
    if diverged := sorted({run.seed for run in runs if run.diverged}):
        text = f"{sum(run.diverged for run in runs)} of {len(runs)} runs diverged"
        if diverged[0] not in kept[min(kept)]:
            text += f" (seed {' and '.join(map(str, diverged))} left out)"
    return WidthSweep(kept, interpolation_threshold(kept)), text


def from_threshold(check):
    """Makes a check of a `WidthSweep` one of an `Evidence`; without a threshold it is open."""

    @functools.wraps(check)
    def checked(evidence):
        sweep, text = sweep_of(evidence)
        diverged = [Outcome(NOT_JUDGED, text)] if text else []
        if sweep.threshold is None:
            text = f"no width up to {sweep.widths[-1]} has a training error of 0 in all seeds, "
            return together(*diverged, Outcome(NOT_JUDGED, f"{text}so there is no threshold"))
        return together(*diverged, *check(sweep))

    return checked


def on_stand_in(check):
    """Leaves a claim on CIFAR-100 open, whatever the check says, where other images stand in for it."""

    @functools.wraps(check)
    def checked(evidence):
        outcome = check(evidence)
        if evidence.scale == "paper":
            return outcome
        noted = outcome.noting("Left open: CIFAR-10 stands in for CIFAR-100.")
        return dataclasses.replace(noted, verdict="open")

    return checked


def threshold_is(evidence, width):
    """The Outcome that the threshold is a published width, within three; judged at paper scale only."""
    sweep, _ = sweep_of(evidence)
    fitted = sweep.curve(train_error) == 0
    thresholds = np.where(fitted.any(axis=1), np.array(sweep.widths, float)[fitted.argmax(axis=1)], np.nan)
    quantity = "smallest width with a training error of 0"
    found = Sample("one a seed", tuple(thresholds))
    return together(near_published(evidence.scale, quantity, found, width, NEAR.high))


def places(sweep, curves, origin=None, what="the threshold"):
    """The Outcome that the peaks of curves lie within three widths of the threshold, or of other widths."""
    samples = [sweep.peak_distance(label, curve, origin) for label, curve in curves.items()]
    return compare(f"place of the peak, widths above {what}", samples, NEAR)
