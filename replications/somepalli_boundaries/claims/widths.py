"""Checks of the claims on double descent: what happens over the width of ResNet18k."""

import functools

from common.study import effects
from common.study.claims import claim
from common.study.decisions import MARGINS, described, ordering, peak, together, trend
from common.study.verdicts import Outcome
from replications.somepalli_boundaries.claims.shared import (
    FIRST,
    SWEEP,
    at_end,
    effect_of,
    near_published,
    with_threshold,
)
from replications.somepalli_boundaries.published import FIGURE_8_WIDTH
from replications.somepalli_boundaries.results import (
    FITTED,
    accuracy,
    fragmentation,
    late_test_error,
)

_FACTOR = MARGINS["factor"]
_SCORE = MARGINS["score"]
_clean_fragmentation = functools.partial(fragmentation, subset="clean")


@claim(
    13,
    "With 20 % label noise fragmentation rises with the width to a peak at the interpolation threshold "
    "(k near 10), then falls.",
    "section 4.2, figure 10",
    SWEEP,
    quote="With label noise, we see a sharp peak in fragmentation score as the model capacity crosses the "
    "interpolation threshold",
    tests="with noise the number of regions at its highest width near the threshold (from half to twice it), "
    "chosen by the exploratory seeds, is above the least before it and above the widest network's",
    confirmatory_from=FIRST,
)
@with_threshold
def fragmentation_peaks_at_the_threshold(sweeps):
    table = sweeps.noisy(fragmentation)
    found = peak("regions with noise", table.pilot, table.values, sweeps.names, sweeps.near, factor=True)
    curve = described("regions", sweeps.by_width(table.values))
    return together(found, near_published(sweeps, FIGURE_8_WIDTH), curve)


@claim(
    14,
    "Without label noise fragmentation is lower and its curve flatter.",
    "section 4.2, figure 10",
    SWEEP,
    tests="two parts: the geometric mean over the widths of the regions with noise over those without is "
    "above 1; so is, with noise over without, the ratio of the regions at the highest width near the"
    " threshold to the widest network's; ties within a factor of 1.5",
    confirmatory_from=FIRST,
)
@with_threshold
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
        ordering("regions", effect_of(label, both, signs, factor=True), margin=_FACTOR),
    )


@claim(
    15,
    "With label noise reproducibility is lowest near the threshold; very narrow and very wide networks "
    "are highly reproducible.",
    "section 4.3, figure 11",
    ("11",),
    quote="reproducibility across training runs is high in the under- and over-parameterized regimes, but "
    "breaks down at the interpolation threshold",
    tests="with noise the score between seeds at its lowest width near the threshold, chosen by the "
    "exploratory seeds, is below the highest before it and below the widest network's",
    confirmatory_from=FIRST,
)
@with_threshold
def reproducibility_dips_at_the_threshold(sweeps):
    return _dip(sweeps, sweeps.noise, "minus the score between seeds")


def _dip(sweeps, noise, question):
    """The Outcome that the score between seeds has its lowest value near the threshold."""
    pilot, values = sweeps.scores(noise)
    if not len(pilot):
        return Outcome("open", "Two exploratory seeds have to choose the width.")
    found = peak(question, -pilot, -values, sweeps.names, sweeps.near, factor=False)
    return together(found, described("scores", sweeps.by_width(values)))


@claim(
    16,
    "At the threshold label noise lowers reproducibility.",
    "section 4.3, figure 11",
    ("11",),
    tests="at the threshold of the exploratory seeds the score between seeds is higher without noise; a tie "
    "within 0.02",
    confirmatory_from=FIRST,
)
@with_threshold
def noise_lowers_reproducibility(sweeps):
    width = sweeps.widths[sweeps.at_threshold]
    gap = effects.level(f"k = {width}", sweeps.gap_of_scores(width))
    return together(ordering("score between seeds without noise minus with", gap, margin=_SCORE))


@claim(
    19,
    "At the threshold label noise leaves many islands between images with right labels.",
    "section 4.1, figure 8",
    SWEEP,
    quote="in the label noise case, where double descent is observed, there is a clear instability in the "
    "classification behavior at the interpolation threshold",
    tests="at the threshold of the exploratory seeds there are more regions with noise than without on "
    "planes through images of one class with right labels; a tie within a factor of 1.5",
    confirmatory_from=FIRST,
)
@with_threshold
def islands_near_right_labels(sweeps):
    table, place = sweeps.noisy_and_clean(_clean_fragmentation), sweeps.at_threshold
    signs = {place: 1.0, len(sweeps.widths) + place: -1.0}
    gain = effect_of(f"k = {sweeps.widths[place]}, with noise over without", table.values, signs, factor=True)
    return together(ordering("regions between right labels of one class", gain, margin=_FACTOR))


def _test_error(run):
    return 100 * (1 - accuracy(run, "test"))


@claim(
    21,
    "With label noise the test error descends twice, with a peak at the threshold; without noise mildly "
    "or not.",
    "section 4, figure 6",
    SWEEP,
    quote="We observe a pronounced double-descent when label noise is present.",
    tests="two parts: with noise the test error at its highest width near the threshold, chosen by the "
    "exploratory seeds, is above the least before it and above the widest network's; that rise is "
    "larger with noise than without",
    confirmatory_from=FIRST,
)
@with_threshold
def error_descends_twice(sweeps):
    table, count = sweeps.noisy_and_clean(_test_error), len(sweeps.widths)
    pilot, noisy = table.pilot[:, :count], table.values[:, :count]
    quantity = "test error with noise (points)"
    found = peak(quantity, pilot, noisy, sweeps.names, sweeps.near, factor=False)
    top, trough, values = sweeps.extreme(pilot, noisy)
    milder = at_end(quantity)
    if trough is not None:
        both = table.values[len(table.values) - len(values) :]
        signs = {top: 1.0, trough: -1.0, count + top: -1.0, count + trough: 1.0}
        label = f"k = {sweeps.widths[top]} minus k = {sweeps.widths[trough]}"
        quantity = "rise of the test error, with noise minus without (points)"
        milder = ordering(quantity, effect_of(label, both, signs))
    return together(found, milder, described("test errors with noise (%)", sweeps.by_width(noisy)))


@claim(
    30,
    "The test error has its peak at a narrower network than the first that fits all labels.",
    "appendix D, figure 17",
    SWEEP,
    quote="This trend diverges from what is seen in simple model families where the second peak of test "
    "error coincides with the model capacity with 0 training error.",
    tests="with noise, at the width near the threshold at which the exploratory seeds have the highest test "
    "error, less than 95 % of the training labels are fitted",
    confirmatory_from=FIRST,
)
@with_threshold
def error_peaks_before_all_labels_are_fitted(sweeps):
    errors = sweeps.noisy(_test_error)
    top, _, _ = sweeps.extreme(errors.pilot, errors.values)
    fitted = sweeps.noisy(lambda run: 100 * accuracy(run, "train")).values
    missing = effects.level(sweeps.names[top], 100 * FITTED - fitted[:, top])
    found = ordering("95 minus the training labels that are fitted (%)", missing)
    return together(found, described("labels fitted (%)", sweeps.by_width(fitted)))


@claim(
    26,
    "Without label noise fragmentation has a peak as well, near k = 7.",
    "section 4.2, figure 10",
    SWEEP,
    quote="this highly sensitive analysis is also able to detect a peak (around k = 7) in the fragmentation "
    "score for models trained without label noise",
    tests="without noise the number of regions at its highest width near the threshold with noise (from half "
    "to twice it), chosen by the exploratory seeds, is above the least before it and above the widest "
    "network's",
    confirmatory_from=FIRST,
)
@with_threshold
def fragmentation_peaks_without_noise(sweeps):
    table = sweeps.clean(fragmentation)
    found = peak("regions without noise", table.pilot, table.values, sweeps.names, sweeps.near, factor=True)
    return together(found, described("regions", sweeps.by_width(table.values)))


@claim(
    31,
    "With label noise fragmentation between images of one class, with right labels, has that peak as well.",
    "section 4.2, figure 10, bottom",
    SWEEP,
    quote="quantifies the fragmentation trend for the decision regions spanned by triplets of the same class",
    tests="with noise the number of regions on planes through right labels of one class, at its highest "
    "width near the threshold, chosen by the exploratory seeds, is above the least before it and above the "
    "widest network's",
    confirmatory_from=FIRST,
)
@with_threshold
def fragmentation_of_one_class_peaks(sweeps):
    table, quantity = sweeps.noisy(_clean_fragmentation), "regions between right labels of one class"
    found = peak(quantity, table.pilot, table.values, sweeps.names, sweeps.near, factor=True)
    return together(found, described("regions", sweeps.by_width(table.values)))


@claim(
    27,
    "Without label noise reproducibility dips at the threshold as well.",
    "section 4.3, figure 11",
    ("11",),
    quote="our quantifications are sensitive enough to detect a dip in reproducibility even without label "
    "noise, although the variance introduced by this effect is not strong enough to cause double descent",
    tests="without noise the score between seeds at its lowest width near the threshold with noise, chosen "
    "by the exploratory seeds, is below the highest before it and below the widest network's",
    confirmatory_from=FIRST,
)
@with_threshold
def reproducibility_dips_without_noise(sweeps):
    return _dip(sweeps, 0.0, "minus the score between seeds without noise")


def _minus_training_error(run):
    return 100 * (accuracy(run, "train") - 1)


@claim(
    22,
    "With 15 % label noise the training error falls with the width; the test error descends twice.",
    "Nakkiran et al. 2020, figure 1",
    ("nakkiran_1",),
    quote="Train and test error as a function of model size, for ResNet18s of varying width on CIFAR-10 "
    "with 15% label noise",
    tests="two parts: the training error falls over the widths (Page's test); the test error, the median "
    "over the last tenth of the epochs, at its highest width near the threshold, chosen by the "
    "exploratory seeds, is above the least before it and above the widest network's",
    confirmatory_from=FIRST,
)
@with_threshold
def nakkiran_descends_twice(sweeps):
    errors, trained = sweeps.noisy(late_test_error), sweeps.noisy(_minus_training_error).values
    quantity = "test error with noise (points)"
    return together(
        trend("minus the training error (points)", "the widths", trained),
        peak(quantity, errors.pilot, errors.values, sweeps.names, sweeps.near, factor=False),
        described("test errors (%)", sweeps.by_width(errors.values)),
    )
