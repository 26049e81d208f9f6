"""Checks of the claims on double descent: what happens over the width of ResNet18k."""

import functools

import numpy as np
from scipy import ndimage

from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, ordering, peak, together, trend
from common.study.effects import Effect
from common.study.verdicts import Outcome
from replications.somepalli_boundaries.claims.shared import Sweeps, near_published
from replications.somepalli_boundaries.published import FIGURE_8_WIDTH
from replications.somepalli_boundaries.results import accuracy, fragmentation, late_test_error, median_margin

_SWEEP = ("10",)
_FIRST = 2  # seeds 0 and 1 were looked at
_FACTOR = MARGINS["factor"]
_SCORE = MARGINS["score"]
_clean_fragmentation = functools.partial(fragmentation, subset="clean")


def _at_threshold(check):
    """Makes a check of `Sweeps` with a threshold between their ends into one of an Evidence."""

    @functools.wraps(check)
    def checked(evidence):
        sweeps = Sweeps(evidence)
        return sweeps.no_threshold() or check(sweeps)

    return checked


def _at_end(what):
    return Outcome("open", f"{what}: the extreme of the seeds that choose is the narrowest width")


def _by_width(sweeps, values):
    """(width, value of the mean over the seeds) for a description."""
    means = values.mean(axis=0) if len(values) else []
    return [(f"k = {width}", f"{value:.3g}") for width, value in zip(sweeps.widths, means, strict=False)]


def _effect(label, values, signs, factor=False):
    """The Effect of some columns of a table: {index: coefficient}."""
    coefficients = np.zeros(np.shape(values)[1])
    coefficients[list(signs)] = list(signs.values())
    return Effect(label, values, coefficients, factor)


@claim(
    13,
    "With 20 % label noise fragmentation rises with the width to a peak at the interpolation threshold "
    "(k near 10), then falls.",
    "figure 10",
    _SWEEP,
    quote="Fragmentation scores as a function of model width",
    tests="with noise the number of regions at its highest width near the threshold (from half to twice it), "
    "chosen by the exploratory seeds, is above the least before it and above the widest network's",
    confirmatory_from=_FIRST,
)
@_at_threshold
def fragmentation_peaks_at_the_threshold(sweeps):
    table = sweeps.noisy(fragmentation)
    found = peak("regions with noise", table.pilot, table.values, _names(sweeps), sweeps.near, factor=True)
    curve = described("regions", _by_width(sweeps, table.values))
    return together(found, near_published(sweeps, FIGURE_8_WIDTH), curve)


def _names(sweeps):
    return [f"k = {width}" for width in sweeps.widths]


@claim(
    14,
    "Without label noise fragmentation is lower and its curve flatter.",
    "figure 10",
    _SWEEP,
    quote="models trained with and without label noise",
    tests="two parts: the geometric mean over the widths of the regions with noise over those without is "
    "above 1; so is, with noise over without, the ratio of the regions at the highest width near the"
    " threshold to the widest network's; ties within a factor of 1.5",
    confirmatory_from=_FIRST,
)
@_at_threshold
def fragmentation_without_noise(sweeps):
    table, count = sweeps.noisy_and_clean(fragmentation), len(sweeps.widths)
    noisy, clean = table.values[:, :count], table.values[:, count:]
    lower = effects.mean_difference("with noise over without, mean over widths", noisy, clean, factor=True)
    top, _, values = sweeps.extreme(table.pilot[:, :count], noisy)
    both = table.values[len(table.values) - len(values) :]
    last = count - 1
    label = f"k = {sweeps.widths[top]} over k = {sweeps.widths[-1]}, with noise over without"
    signs = {top: 1.0, last: -1.0, count + top: -1.0, count + last: 1.0}
    return together(
        ordering("regions", lower, margin=_FACTOR),
        ordering("regions", _effect(label, both, signs, factor=True), margin=_FACTOR),
    )


@claim(
    15,
    "With label noise reproducibility is lowest at the same width; very narrow and very wide networks "
    "are highly reproducible.",
    "figure 11",
    ("11",),
    quote="Reproducibility with respect to random initialization for models of different widths",
    tests="with noise the score between seeds at its lowest width near the threshold, chosen by the "
    "exploratory seeds, is below the highest before it and below the widest network's",
    confirmatory_from=_FIRST,
)
@_at_threshold
def reproducibility_dips_at_the_threshold(sweeps):
    pilot, values = sweeps.scores(sweeps.noise)
    if not len(pilot):
        return Outcome("open", "Two exploratory seeds have to choose the width.")
    found = peak("minus the score between seeds", -pilot, -values, _names(sweeps), sweeps.near, factor=False)
    return together(found, described("scores", _by_width(sweeps, values)))


@claim(
    16,
    "At the threshold label noise lowers reproducibility.",
    "figure 11",
    ("11",),
    quote="Reproducibility with respect to random initialization for models of different widths",
    tests="at the threshold of the exploratory seeds the score between seeds is higher without noise; a tie "
    "within 0.02",
    confirmatory_from=_FIRST,
)
@_at_threshold
def noise_lowers_reproducibility(sweeps):
    width = sweeps.widths[sweeps.at_threshold]
    gap = effects.level(f"k = {width}", sweeps.gap_of_scores(width))
    return together(ordering("score between seeds without noise minus with", gap, margin=_SCORE))


@claim(
    17,
    "With label noise margins are smallest at the threshold and recover for wide networks.",
    "figure 12",
    ("12",),
    quote="average perturbation size needed to reach decision boundary in a random direction",
    tests="two parts: with noise the median margin at its smallest width near the threshold, chosen by the "
    "exploratory seeds, is below the largest before it; and below the widest network's",
    confirmatory_from=_FIRST,
)
@_at_threshold
def margins_are_smallest_at_the_threshold(sweeps):
    table = sweeps.noisy(median_margin)
    low, before, values = sweeps.extreme(1 / table.pilot, 1 / table.values)
    last, place = len(sweeps.widths) - 1, f"over k = {sweeps.widths[low]}"
    quantity = "median margin with noise"
    smallest = _at_end(quantity)
    if before is not None:
        label = f"the largest before it, k = {sweeps.widths[before]}, {place}"
        smallest = ordering(quantity, _effect(label, values, {low: 1.0, before: -1.0}, factor=True))
    recovery = _effect(f"k = {sweeps.widths[-1]} {place}", values, {low: 1.0, last: -1.0}, factor=True)
    curve = described("median margins", _by_width(sweeps, table.values))
    return together(smallest, ordering(quantity, recovery), curve)


@claim(
    18,
    "Label noise lowers margins, in the mean over the widths.",
    "figure 12",
    ("12",),
    quote="Median Margins - models with and without label noise",
    tests="the geometric mean over the widths of the median margin without noise over that with noise is "
    "above 1",
    confirmatory_from=_FIRST,
)
def noise_lowers_margins(evidence):
    sweeps = Sweeps(evidence)
    table, count = sweeps.noisy_and_clean(median_margin), len(sweeps.widths)
    noisy, clean = table.values[:, :count], table.values[:, count:]
    gain = effects.mean_difference("mean over widths", clean, noisy, factor=True)
    each = described("by width", _by_width(sweeps, clean / noisy))
    return together(ordering("median margin, without noise over with", gain), each)


@claim(
    19,
    "At the threshold label noise leaves many islands between images with right labels.",
    "figure 8",
    _SWEEP,
    quote="Decision boundaries of 3 correctly labeled points at k = 10 on models with and without label "
    "noise",
    tests="at the threshold of the exploratory seeds there are more regions with noise than without on "
    "planes through images of one class with right labels; a tie within a factor of 1.5",
    confirmatory_from=_FIRST,
)
@_at_threshold
def islands_near_right_labels(sweeps):
    table, place = sweeps.noisy_and_clean(_clean_fragmentation), sweeps.at_threshold
    signs = {place: 1.0, len(sweeps.widths) + place: -1.0}
    gain = _effect(f"k = {sweeps.widths[place]}, with noise over without", table.values, signs, factor=True)
    return together(ordering("regions between right labels of one class", gain, margin=_FACTOR))


def region_share(run, name):
    """Part of a picture that belongs to the region around the noisy image with the label it was given.

    Args:
        run: `run_folders.Run` with pictures.
        name: Picture whose third image is noisy.

    Returns:
        Number in [0, 1]; 0 if the network gives the image another class.
    """
    arrays = run.arrays
    (place,) = np.flatnonzero(arrays["picture_names"] == name)
    classes, window = arrays["picture_classes"][place], arrays["picture_windows"][place]
    c1, c2 = arrays["picture_coordinates"][place][2]
    spans = window[1] - window[0], window[3] - window[2]
    sizes = np.array(classes.shape) - 1
    i, j = np.round(sizes * ((c1 - window[0]) / spans[0], (c2 - window[2]) / spans[1])).astype(int)
    label = arrays["picture_labels"][place][2]
    if classes[i, j] != label:
        return 0.0
    regions, _ = ndimage.label(classes == label, np.ones((3, 3)))
    return float(np.mean(regions == regions[i, j]))


def _mean_share(run):
    """Mean of `region_share` over the planes of figure 9."""
    names = [name for name in run.arrays["picture_names"] if name.startswith("9")]
    return float(np.mean([region_share(run, name) for name in names]))


@claim(
    20,
    "In wide networks the region around an image with a wrong label is small, and regions of a class are "
    "contiguous again.",
    "figure 9",
    ("9",),
    quote="Decision boundaries with 1 mislabeled automobile and 2 correctly labeled automobiles",
    tests="two parts, the network at the threshold against the widest: a wrong label's region takes a "
    "larger share of the plane; there are more regions on planes through right labels of one class",
    confirmatory_from=_FIRST,
)
def wrong_labels_are_absorbed(evidence):
    noise, (narrow, wide) = evidence.values("label_noise")[-1], evidence.values("width")
    cells = [{"label_noise": noise, "width": width} for width in (narrow, wide)]
    label = f"k = {narrow}"
    shares = effects.difference(f"{label} minus k = {wide}", *evidence.table(cells, _mean_share).values.T)
    regions = evidence.table(cells, _clean_fragmentation).values.T
    fewer = effects.difference(f"{label} over k = {wide}", *regions, factor=True)
    return together(
        ordering("share of a wrong label's region in the plane", shares),
        ordering("regions on a plane through right labels of one class", fewer),
    )


def _test_error(run):
    return 100 * (1 - accuracy(run, "test"))


@claim(
    21,
    "With label noise the test error descends twice, with a peak at the threshold; without noise mildly "
    "or not.",
    "section 4",
    _SWEEP,
    quote="Double Descent",
    tests="two parts: with noise the test error at its highest width near the threshold, chosen by the "
    "exploratory seeds, is above the least before it and above the widest network's; that rise is "
    "larger with noise than without",
    confirmatory_from=_FIRST,
)
@_at_threshold
def error_descends_twice(sweeps):
    table, count = sweeps.noisy_and_clean(_test_error), len(sweeps.widths)
    pilot, noisy = table.pilot[:, :count], table.values[:, :count]
    quantity = "test error with noise (points)"
    found = peak(quantity, pilot, noisy, _names(sweeps), sweeps.near, factor=False)
    top, trough, values = sweeps.extreme(pilot, noisy)
    milder = _at_end(quantity)
    if trough is not None:
        both = table.values[len(table.values) - len(values) :]
        signs = {top: 1.0, trough: -1.0, count + top: -1.0, count + trough: 1.0}
        label = f"k = {sweeps.widths[top]} minus k = {sweeps.widths[trough]}"
        quantity = "rise of the test error, with noise minus without (points)"
        milder = ordering(quantity, _effect(label, both, signs))
    return together(found, milder, described("test errors with noise (%)", _by_width(sweeps, noisy)))


def _minus_training_error(run):
    return 100 * (accuracy(run, "train") - 1)


@claim(
    22,
    "With 15 % label noise the training error falls with the width; the test error descends twice.",
    "Nakkiran et al. 2020, figure 1, as shown in section 4",
    ("nakkiran_1",),
    quote="Train and test error as a function of model size, for ResNet18s of varying width on CIFAR-10 "
    "with 15% label noise",
    tests="two parts: the training error falls over the widths (Page's test); the test error, the median "
    "over the last tenth of the epochs, at its highest width near the threshold, chosen by the "
    "exploratory seeds, is above the least before it and above the widest network's",
    confirmatory_from=_FIRST,
)
@_at_threshold
def nakkiran_descends_twice(sweeps):
    errors, trained = sweeps.noisy(late_test_error), sweeps.noisy(_minus_training_error).values
    quantity = "test error with noise (points)"
    return together(
        trend("minus the training error (points)", "the widths", trained),
        peak(quantity, errors.pilot, errors.values, _names(sweeps), sweeps.near, factor=False),
        described("test errors (%)", _by_width(sweeps, errors.values)),
    )
