"""Checks of the claims of Gamba et al. 2022 on volumes around true and wrong labels.

Volumes are measured at the end of training alone; a network that leaps in its last epochs is read as it is.
"""

import itertools

import numpy as np

from common.study import decisions, effects
from common.study.claims import claim
from common.study.records import last
from common.study.verdicts import Outcome
from replications.smooth_interpolation import results
from replications.smooth_interpolation.claims.shared import (
    FACTOR,
    LOSSES,
    NAMES,
    SHARPNESS,
    Sweep,
    at,
    from_threshold,
    over,
    peaks,
    peaks_near,
)
from replications.smooth_interpolation.claims.widths import (
    NOISY,
    NOISY_PEAK,
    OTHERS,
    PEAK,
    PEAK_NEAR,
    RESNET_PEAK,
    SUBSETS_PEAK,
    resnet_peaks,
)

# "Close to zero" accuracy is below 15 %: 10 % is chance. "Consistently" is in more than half.
_NO_ACCURACY, _HALF = 15.0, 50.0
_FEWEST_PLACES = 4


def _volumes(sweep):
    """The numbers of anchors of all volumes, without the images themselves."""
    return range(2, 1 + sweep.num_anchors)


def _at_the_end(metrics):
    """Like `over` at the images themselves, but of the last epoch, at which volumes are measured."""

    def measure(run):
        values = [last(run, metric, subset="all", anchors=1) for metric in metrics]
        return 100 * np.mean(values) if metrics == ("accuracy",) else np.exp(np.mean(np.log(values)))

    return measure


def _of_seeds(label, values, factor=False):
    """The Effect of the mean over widths, geometric for factors: values of shape (seeds, widths)."""
    means = np.exp(np.log(values).mean(axis=1)) if factor else values.mean(axis=1)
    return effects.level(label, means, factor)


@claim(
    9,
    "Loss and sharpness have the same peak over volumes of every size.",
    "Section 4.1 and 4.2, figure 2",
    ("2",),
    quote="crossentropy follows double descent ... Our sharpness measures follow double descent for all "
    "volumes considered",
    tests=f"Loss and each of the two norms, geometric mean over the volumes of all sizes: {PEAK}.",
    confirmatory_from=NOISY_PEAK,
)
@from_threshold
def volumes_peak(sweep):
    outcomes, places = [], []
    for metric in LOSSES:
        curve = sweep.curve(over((metric,), "all", _volumes(sweep)))
        outcomes.append(peaks(f"{NAMES[metric]} over volumes", sweep, curve, True))
        each = [sweep.curve(over((metric,), "all", (a,))).deciding.mean(axis=0) for a in _volumes(sweep)]
        places.append((NAMES[metric], " ".join(str(sweep.widths[int(np.argmax(mean))]) for mean in each)))
    highest = decisions.described(
        "widths of the highest mean, from the smallest volume to the largest", places
    )
    return decisions.together(*outcomes, highest)


@claim(
    30,
    "Around true labels and around wrong ones loss and sharpness have that peak as well.",
    "Section 4.2, figure 3",
    ("3",),
    quote="sharp interpolation is observed for both clean and noisy samples, with crossentropy, sensitivity "
    "(Jacobian norm) and curvature peaking over all volumes considered",
    tests="Loss and each of the two norms around true labels, and around wrong ones, geometric mean over the "
    f"volumes of all sizes, six parts: {PEAK_NEAR}.",
    confirmatory_from=SUBSETS_PEAK,
)
@from_threshold
def volumes_peak_in_both_subsets(sweep):
    parts = itertools.product((("clean", "true"), ("noisy", "wrong")), LOSSES)
    return decisions.together(
        *(
            peaks_near(
                f"{NAMES[metric]} over volumes around {words} labels",
                sweep,
                sweep.curve(over((metric,), subset, _volumes(sweep))),
                True,
            )
            for (subset, words), metric in parts
        )
    )


@claim(
    10,
    "The peaks are higher around wrong labels than around true ones.",
    "Section 4.2, figure 3",
    ("3",),
    quote="peaks at the interpolation threshold which are considerably more marked for noisy labels",
    tests="At equal width, loss and each norm around wrong labels are above those around true ones: "
    "geometric mean of the ratio over the widths near the threshold (half to twice), the images and all "
    "volumes.",
    confirmatory_from=NOISY,
)
@from_threshold
def noisy_above_clean(sweep):
    """At equal width: peaks that each curve chooses for itself lie at different ones."""
    outcomes = []
    for metric in LOSSES:
        noisy, clean = (
            sweep.curve(over((metric,), subset, (1, *_volumes(sweep)))).deciding[:, sweep.near]
            for subset in ("noisy", "clean")
        )
        ratio = _of_seeds("wrong over true labels", noisy / clean, factor=True)
        outcomes.append(decisions.ordering(NAMES[metric], ratio))
    return decisions.together(*outcomes)


@claim(
    11,
    "The accuracy over volumes grows with the width, around wrong labels too.",
    "Section 4.1 and 4.2, figures 2 and 3",
    ("2", "3"),
    quote="accuracy over volumes increases monotonically with model size",
    tests="Page's trend over widths of the mean accuracy over the volumes of all sizes, around all labels "
    "and around wrong ones.",
    confirmatory_from=NOISY,
)
def accuracy_over_volumes_grows(evidence):
    sweep = Sweep(evidence)
    return decisions.together(
        *(
            decisions.trend(
                f"accuracy around {words} labels",
                "widths",
                sweep.curve(over(("accuracy",), subset, _volumes(sweep))).confirmatory,
            )
            for subset, words in (("all", "all"), ("noisy", "wrong"))
        )
    )


@claim(
    12,
    "Small networks fit true labels and have nearly no accuracy on wrong ones.",
    "Section 4.2, figure 3",
    ("smallest",),
    quote="small models fit mostly the cleanly labeled data points, and show close to zero accuracy on the "
    "noisily labeled data points",
    tests="Training accuracy of the narrowest network: below 15 % on wrong labels, where 10 % is chance, and "
    "higher on true ones.",
    confirmatory_from=OTHERS,
)
def small_fit_clean(evidence):
    sweep = Sweep(evidence)
    clean, noisy = (sweep.curve(at("accuracy", s)).confirmatory[:, 0] for s in ("clean", "noisy"))
    width = f"width {sweep.widths[0]}"
    return decisions.together(
        decisions.ordering(
            "15 points minus the accuracy (%) on wrong labels", effects.level(width, _NO_ACCURACY - noisy)
        ),
        decisions.ordering("accuracy (%), true minus wrong labels", effects.difference(width, clean, noisy)),
    )


@claim(
    19,
    "Over the largest volume ResNets are less accurate and sharper, still with a peak over the width.",
    "Section 4.4, figure 6b",
    ("6",),
    quote="for large volumes around training points (7 augmentations per path), training accuracy degrades "
    "and loss sharpness increases. However, all sharpness metrics undergo double descent",
    tests="Largest volume against the images, mean over the widths from the threshold on (a training "
    "accuracy of 98 %): accuracy lower, and geometric mean of the two norms higher. That mean over the "
    f"largest volume: {RESNET_PEAK}.",
    confirmatory_from=OTHERS,
)
@from_threshold
def largest_volume_is_sharper(sweep):
    largest = (sweep.num_anchors,)
    accuracy, sharpness = (
        [sweep.curve(_at_the_end(metrics)), sweep.curve(over(metrics, "all", largest))]
        for metrics in (("accuracy",), SHARPNESS)
    )
    drop = accuracy[0].deciding - accuracy[1].deciding
    ratio = sharpness[1].deciding / sharpness[0].deciding
    widths = f"widths from {sweep.threshold} on"
    return decisions.together(
        decisions.every(
            decisions.ordering(
                "accuracy (%), images minus largest volume", _of_seeds(widths, drop[:, sweep.wide])
            ),
            decisions.ordering(
                "norms, largest volume over images", _of_seeds(widths, ratio[:, sweep.wide], factor=True)
            ),
        ),
        resnet_peaks("norms over the largest volume", sweep, sharpness[1]),
    )


@claim(
    21,
    "Under asymmetric noise the loss becomes flat with the width around true and wrong labels.",
    "Section 4.5, figure 7a",
    ("7",),
    quote="overparameterization promotes input-space smoothness over increasingly large volumes around "
    "both clean and noisy training samples",
    tests="Page's trend over widths: the geometric mean of the two norms over images and all volumes falls, "
    "around true labels and around wrong ones.",
    confirmatory_from=OTHERS,
)
def sharpness_falls_around_both(evidence):
    sweep = Sweep(evidence)
    return decisions.together(
        *(
            decisions.trend(
                f"flatness (one over the norms) around {words} labels",
                "widths",
                1 / sweep.curve(over(SHARPNESS, subset, (1, *_volumes(sweep)))).confirmatory,
            )
            for subset, words in (("clean", "true"), ("noisy", "wrong"))
        )
    )


@claim(
    27,
    "Behind the peak the test error falls as true labels are better fitted around the images.",
    "Section 4.2, figure 3",
    ("3",),
    quote="the second descent in test error corresponds to improved fitting of cleanly-labeled samples",
    tests="From the width near the threshold where the exploratory seeds' test error is highest to the "
    "widest: the seeds' mean rank correlation of test accuracy and of the accuracy over the largest "
    "volume around true labels is above 0.",
    confirmatory_from=NOISY,
)
@from_threshold
def true_labels_are_better_fitted(sweep):
    error = sweep.curve(results.test_error)
    top = int(np.argmax(np.where(sweep.near, error.chooser(False), -np.inf)))
    if len(sweep.widths) - top < _FEWEST_PLACES:
        return Outcome("open", f"Fewer than {_FEWEST_PLACES} widths from {sweep.widths[top]} on.")
    fitted = sweep.curve(over(("accuracy",), "clean", (sweep.num_anchors,)))
    question = "test accuracy and accuracy around true labels"
    widths = f"widths {sweep.widths[top]} to {sweep.widths[-1]}"
    return decisions.together(
        decisions.correlation(question, widths, -error.deciding[:, top:], fitted.deciding[:, top:])
    )


@claim(
    28,
    "Near the threshold the loss is much larger over large volumes than at the images.",
    "Section 4.2, figure 3",
    ("3",),
    quote="For models near the interpolation threshold, we observe a large increase in the loss for "
    "increasing neighborhood size.",
    tests="Cross-entropy over the largest volume over that at the images, geometric mean over the widths "
    "near the threshold (half to twice), is above 1.5.",
    confirmatory_from=NOISY,
)
@from_threshold
def loss_grows_with_the_volume(sweep):
    images, largest = (
        sweep.curve(over(("cross_entropy",), "all", (a,))).deciding[:, sweep.near]
        for a in (1, sweep.num_anchors)
    )
    ratio = _of_seeds("largest volume over images", largest / images, factor=True)
    return decisions.together(decisions.ordering(NAMES["cross_entropy"], ratio, FACTOR))


@claim(
    29,
    "Large networks predict wrong labels over large volumes around the images that have them.",
    "Abstract and section 4.2, figure 3",
    ("3",),
    quote="noisy targets are predicted over large volumes around training data points",
    tests="The widest network's accuracy on wrong labels over the largest volume is above 50 %.",
    confirmatory_from=NOISY,
)
def wrong_labels_are_predicted_over_volumes(evidence):
    sweep = Sweep(evidence)
    accuracy = sweep.curve(over(("accuracy",), "noisy", (sweep.num_anchors,))).confirmatory[:, -1]
    effect = effects.level(f"width {sweep.widths[-1]}", accuracy)
    return decisions.together(
        decisions.ordering("accuracy (%) on wrong labels over the largest volume", effect, _HALF)
    )
