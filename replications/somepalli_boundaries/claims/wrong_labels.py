"""Checks of the claims on wrong labels and margins over the width of ResNet18k."""

import functools

import numpy as np

from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, ordering, together
from common.study.records import last
from replications.somepalli_boundaries.claims.shared import (
    FIRST,
    SWEEP,
    Sweeps,
    at_end,
    effect_of,
    with_threshold,
)
from replications.somepalli_boundaries.results import accuracy, fragmentation, median_margin

_POINTS = MARGINS["points"]
_clean_fragmentation = functools.partial(fragmentation, subset="clean")
_noisy_margin = functools.partial(median_margin, subset="noisy")


@claim(
    17,
    "With label noise margins are smallest at the threshold; from there on they grow with the width, with "
    "noise and without.",
    "figure 12 and, for the growth, section 4.4",
    ("12",),
    quote="Both with and without label noise, the margins are increasing for k >= 10 (the over-parameterized "
    "regime).",
    tests="three parts: with noise the median margin at its smallest width near the threshold, chosen by the "
    "exploratory seeds, is below the largest before it; and below the widest network's; without noise that "
    "at the threshold is below the widest network's",
    confirmatory_from=FIRST,
)
@with_threshold
def margins_are_smallest_at_the_threshold(sweeps):
    table, count = sweeps.noisy_and_clean(median_margin), len(sweeps.widths)
    noisy = table.values[:, :count]
    low, before, values = sweeps.extreme(1 / table.pilot[:, :count], 1 / noisy)
    quantity = "median margin with noise"
    smallest, place = at_end(quantity), f"over k = {sweeps.widths[low]}"
    if before is not None:
        label = f"the largest before it, k = {sweeps.widths[before]}, {place}"
        smallest = ordering(quantity, effect_of(label, values, {low: 1.0, before: -1.0}, factor=True))
    recovery = {low: 1.0, count - 1: -1.0}
    return together(
        smallest,
        ordering(quantity, effect_of(f"k = {sweeps.widths[-1]} {place}", values, recovery, factor=True)),
        ordering("median margin without noise", _growth(sweeps, table.values[:, count:])),
        described("median margins with noise", sweeps.by_width(noisy)),
    )


def _growth(sweeps, values):
    """The Effect of a curve's last width over the one at the threshold."""
    last, place = len(sweeps.widths) - 1, sweeps.at_threshold
    label = f"k = {sweeps.widths[last]} over k = {sweeps.widths[place]}"
    return effect_of(label, values, {last: 1.0, place: -1.0}, factor=True)


@claim(
    25,
    "From the threshold on the margins of images with wrong labels grow too.",
    "section 4.4, figure 12",
    ("12",),
    quote="when we computed margins of only the mislabeled points, they go up too!",
    tests="with noise the median margin of training images with wrong labels is larger in the widest network "
    "than at the threshold of the exploratory seeds",
    confirmatory_from=FIRST,
)
@with_threshold
def wrong_labels_gain_margin(sweeps):
    values = sweeps.noisy(_noisy_margin).values
    found = ordering("median margin of wrong labels", _growth(sweeps, values))
    return together(found, described("median margins of wrong labels", sweeps.by_width(values)))


@claim(
    18,
    "Label noise lowers margins, in the mean over the widths.",
    "figure 12",
    ("12",),
    tests="the geometric mean over the widths of the median margin without noise over that with noise is "
    "above 1",
    confirmatory_from=FIRST,
)
def noise_lowers_margins(evidence):
    sweeps = Sweeps(evidence)
    table, count = sweeps.noisy_and_clean(median_margin), len(sweeps.widths)
    noisy, clean = table.values[:, :count], table.values[:, count:]
    gain = effects.mean_difference("mean over widths", clean, noisy, factor=True)
    each = described("by width", sweeps.by_width(clean / noisy))
    return together(ordering("median margin, without noise over with", gain), each)


def depth_of_wrong_label(run, name):
    """How far the noisy image of a picture lies from the edge of its region, along the plane.

    Args:
        run: `run_folders.Run` with pictures.
        name: Picture whose third image is noisy.

    Returns:
        Distance to the nearest point of another class, over the distance between the first two images; 0 if
        the network does not give the image the label that it had in training, and of a plane of one class
        that to the nearest corner.
    """
    arrays = run.arrays
    (place,) = np.flatnonzero(arrays["picture_names"] == name)
    classes, window = arrays["picture_classes"][place], arrays["picture_windows"][place]
    coordinates, label = arrays["picture_coordinates"][place], arrays["picture_labels"][place][2]
    steps = np.array([window[1] - window[0], window[3] - window[2]]) / (np.array(classes.shape) - 1)
    image = coordinates[2] - [window[0], window[2]]
    i, j = np.round(image / steps).astype(int)
    if classes[i, j] != label:
        return 0.0
    others = np.argwhere(classes != label)
    if not len(others):
        others = np.array([[0, 0], [0, -1], [-1, 0], [-1, -1]]) % classes.shape
    nearest = np.min(np.linalg.norm(others * steps - image, axis=1))
    return float(nearest / np.linalg.norm(coordinates[1] - coordinates[0]))


def _mean_depth(run):
    """Mean of `depth_of_wrong_label` over the planes of figure 9."""
    names = [name for name in run.arrays["picture_names"] if name.startswith("9")]
    return float(np.mean([depth_of_wrong_label(run, name) for name in names]))


@claim(
    20,
    "At the threshold an image with a wrong label lies near a boundary; in wide networks it lies in the "
    "middle of its region, and boundaries are much smoother.",
    "section 4.1, figure 9",
    ("9",),
    quote="For k = 64, the boundaries are seemingly regularized by inductive bias; the mislabeled points lie "
    "in the center of their respective regions, and boundaries are much more smooth.",
    tests="two parts, the widest network against that at the threshold: on figure 9's planes a wrong label "
    "lies farther from the nearest other class; there are fewer regions on planes through right labels of "
    "one class",
    confirmatory_from=FIRST,
)
def wrong_labels_move_to_the_middle(evidence):
    noise, (narrow, wide) = evidence.values("label_noise")[-1], evidence.values("width")
    cells = [{"label_noise": noise, "width": width} for width in (narrow, wide)]
    depths = evidence.table(cells, _mean_depth).values.T
    deeper = effects.difference(f"k = {wide} minus k = {narrow}", *depths[::-1])
    regions = evidence.table(cells, _clean_fragmentation).values.T
    fewer = effects.difference(f"k = {narrow} over k = {wide}", *regions, factor=True)
    return together(
        ordering("distance of a wrong label from another class, over that of two images", deeper),
        ordering("regions on a plane through right labels of one class", fewer),
    )


def _training_accuracy(run):
    return 100 * accuracy(run, "train")


def _below_threshold(sweeps, label, first, second):
    """The Outcome that an accuracy (%) is above another, in the mean over the widths below the threshold."""
    narrow = slice(sweeps.at_threshold)
    gain = effects.mean_difference(label, first[:, narrow], second[:, narrow])
    each = sweeps.by_width(first - second)
    found = ordering("training accuracy (points), mean over widths below the threshold", gain, margin=_POINTS)
    return together(found, described("by width", each))


@claim(
    28,
    "Right labels are fitted by narrower networks than wrong ones.",
    "appendix D, figure 17",
    SWEEP,
    quote="at k = 10 most of the correctly labeled points are fit while some of the mislabeled points are "
    "still not fit to their assigned class",
    tests="with noise the training accuracy on right labels is above that on wrong ones, as given, in the "
    "mean over the widths below the threshold of the exploratory seeds; a tie within a point",
    confirmatory_from=FIRST,
)
@with_threshold
def right_labels_are_fitted_first(sweeps):
    right, wrong = (
        sweeps.noisy(lambda run, s=subset: 100 * last(run, "accuracy", subset=s)).values
        for subset in ("clean", "noisy")
    )
    return _below_threshold(sweeps, "right labels minus wrong ones", right, wrong)


@claim(
    29,
    "Label noise leaves more training labels of narrow networks unfitted.",
    "appendix D, figure 16",
    SWEEP,
    quote="the train error reaches 0 at much higher k with label noise than without",
    tests="the training accuracy without noise is above that with noise, in the mean over the widths below "
    "the threshold of the exploratory seeds; a tie within a point",
    confirmatory_from=FIRST,
)
@with_threshold
def narrower_networks_fit_without_noise(sweeps):
    table, count = sweeps.noisy_and_clean(_training_accuracy), len(sweeps.widths)
    noisy, clean = table.values[:, :count], table.values[:, count:]
    return _below_threshold(sweeps, "without noise minus with", clean, noisy)
