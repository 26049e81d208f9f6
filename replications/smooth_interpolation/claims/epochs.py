"""Checks of the claims of Gamba et al. 2022 on the course of training."""

import dataclasses

import numpy as np

from common.study.claims import claim
from common.study.verdicts import NOT_JUDGED, Outcome, Sample, above, below, compare
from common.study.widths import selected
from replications.smooth_interpolation import results
from replications.smooth_interpolation.claims.shared import from_threshold
from replications.smooth_interpolation.claims.widths import STILL

# Over epochs a loss rises or falls by more than 0.05 nats; a sharpness has a peak if a tenth of it rises and
# falls, and recovers if half of it falls.
_STILL_LOSS, _BUMP, _RECOVERS = 0.05, 0.1, 0.5


def _over_epochs(sweep, width, metric):
    """A metric at the checkpoints and at the end, the test error in percent: array (seeds, times).

    nan if a run has ended early.
    """
    values = []
    for run in sweep.members[width].values():
        if metric == "test_error":
            values.append(100 * (1 - results.history(run, "test_accuracy")[1]))
        else:
            values.append(results.history(run, metric, subset="all", anchors=1)[1])
    whole = len(set(map(len, values))) == 1
    return np.array(values) if whole else np.full((len(values), 1), np.nan)


def rise_and_recovery(label, values, relative=False, to_the_end=False):
    """How much a curve rises over epochs and falls again after it: the smaller one, at its largest.

    Args:
        label: Of the Sample.
        values: Array of shape (seeds, times); the other seeds choose where a seed is read.
        relative: Divides by the value at the top.
        to_the_end: Takes the fall to the last time, instead of the one to the lowest value after the top.

    Returns:
        Sample with a number for each seed; at most 0 for what only falls or only rises.
    """

    def places(mean):
        found = []
        for top in range(len(mean)):
            start = int(np.argmin(mean[: top + 1]))
            end = len(mean) - 1 if to_the_end else top + int(np.argmin(mean[top:]))
            found.append((min(mean[top] - mean[start], mean[top] - mean[end]), start, top, end))
        return max(found)[1:]

    def read(own, place):
        start, top, end = place
        size = min(own[top] - own[start], own[top] - own[end])
        return size / own[top] if relative else size

    return dataclasses.replace(selected(Sample, label, values, places, read), discrete=True)


_EPOCHWISE = {
    "test error (points)": ("test_error", False, STILL),
    "cross-entropy (nats)": ("cross_entropy", False, _STILL_LOSS),
    "Jacobian norm (share of its maximum)": ("jacobian_norm", True, _BUMP),
}


@claim(
    14,
    "From the threshold on, test error, training loss and Jacobian norm rise and fall over the epochs.",
    "Section 4.3, figure 5",
    ("5",),
)
@claim(
    20,
    "ResNets show the trend over the epochs as well.",
    "Section 4.4, figures 11 and 13",
    ("heatmaps",),
)
@from_threshold
def wide_recover(sweep):
    """Rise and fall over epochs of the networks from the threshold on."""
    wide = [width for width in sweep.widths if width >= sweep.threshold]
    outcomes = []
    for name, (metric, relative, least) in _EPOCHWISE.items():
        samples = [
            rise_and_recovery(f"width {width}", _over_epochs(sweep, width, metric), relative)
            for width in wide
        ]
        outcomes.append(compare(f"rise and fall over epochs, {name}", samples, above(least)))
    return outcomes


@claim(
    15,
    "Below the threshold neither test error nor loss nor Jacobian norm recovers by the end of training.",
    "Section 4.3, figure 5",
    ("5",),
)
@from_threshold
def narrow_do_not(sweep):
    """Rise over epochs and fall to the end of training of the networks below the threshold."""
    narrow = [width for width in sweep.widths if width < sweep.threshold]
    if not narrow:
        return [Outcome(NOT_JUDGED, "the smallest width is the threshold")]
    outcomes = []
    for name, metric, relative, most in (
        ("test error (points)", "test_error", False, STILL),
        ("cross-entropy (nats)", "cross_entropy", False, _STILL_LOSS),
        ("Jacobian norm (share of its peak)", "jacobian_norm", True, _RECOVERS),
    ):
        samples = [
            rise_and_recovery(f"width {width}", _over_epochs(sweep, width, metric), relative, to_the_end=True)
            for width in narrow
        ]
        outcomes.append(compare(f"rise over epochs and fall to the end, {name}", samples, below(most)))
    return outcomes
