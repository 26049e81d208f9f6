"""Checks of the claims of Gamba et al. 2022 on families of networks over width and epochs."""

import itertools

import numpy as np

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import Sample, above, below, compare, geometric_mean
from common.study.widths import rise_and_fall, selected
from replications.smooth_interpolation import results
from replications.smooth_interpolation.claims.shared import (
    from_threshold,
    on_stand_in,
    places,
    sweep_of,
    threshold_is,
)

NAMES = {
    "accuracy": "accuracy",
    "cross_entropy": "cross-entropy",
    "jacobian_norm": "Jacobian norm",
    "tangent_hessian_norm": "tangent Hessian norm",
}
SHARPNESS = ("jacobian_norm", "tangent_hessian_norm")
_LOSSES = ("cross_entropy", *SHARPNESS)
_POINTS = "points"
# How the paper's words are read: a rise or fall of the accuracy is one of more than a point; "zero" loss is
# below 0.05 nats, "close to zero" accuracy below 15 %, which 10 % is by chance.
STILL, _ZERO_LOSS, _NO_ACCURACY = 1.0, 0.05, 15.0


def _volume(metric, subset="all", anchors=1):
    percent = 100 if metric == "accuracy" else 1
    return lambda run: percent * results.volume(run, metric, subset, anchors)


def _anchors(sweep):
    return range(1, 1 + results.num_anchors(next(iter(sweep.members[sweep.widths[0]].values()))))


def _volume_curves(sweep, metrics, subset="all", anchors=(1,)):
    """{label: curve} of measures over volumes."""
    return {
        NAMES[metric] + (f", {a} anchors" if a > 1 else ""): sweep.curve(_volume(metric, subset, a))
        for metric in metrics
        for a in anchors
    }


def _test_error_outcomes(sweep):
    curves = {"test error": sweep.curve(results.test_error)}
    return [
        *rise_and_fall(sweep, curves, _POINTS),
        places(sweep, curves),
    ]


def _sharpness_outcomes(sweep):
    curves = _volume_curves(sweep, SHARPNESS)
    return [
        *rise_and_fall(sweep, curves),
        places(sweep, curves),
    ]


@claim(
    4,
    "The test error of the ConvNets peaks near the interpolation threshold and falls again behind it.",
    "Section 4, figure 1c",
    ("1c",),
)
@from_threshold
def double_descent(sweep):
    return _test_error_outcomes(sweep)


@claim(
    7,
    "Jacobian and Hessian norm peak at the threshold and fall behind it.",
    "Section 4.1, figure 2",
    ("2",),
)
@claim(
    17,
    "Jacobian and Hessian norm of the ResNets peak near the threshold as well.",
    "Section 4.4, figure 6b",
    ("6",),
)
@from_threshold
def sharpness_peaks(sweep):
    return _sharpness_outcomes(sweep)


@claim(
    13,
    "On CIFAR-100 test error and sharpness peak at the threshold without any label noise.",
    "Section 4.2, figures 1d and 4",
    ("1d", "4"),
)
@on_stand_in
@from_threshold
def both_peak(sweep):
    """Test error and sharpness without label noise."""
    return _test_error_outcomes(sweep) + _sharpness_outcomes(sweep)


@claim(
    5,
    "Training accuracy grows monotonically with the width and stays at 100 % from the threshold on.",
    "Section 4.1, figure 2",
    ("2",),
)
@from_threshold
def training_accuracy_is_monotone(sweep):
    """From width to width, and 100 % from the threshold on."""
    curve = 100 - sweep.curve(results.train_error)
    steps = [
        Sample(f"{low} to {high}", tuple(curve[:, i + 1] - curve[:, i]))
        for i, (low, high) in enumerate(itertools.pairwise(sweep.widths))
    ]
    fitted = [
        Sample(f"width {width}", tuple(curve[:, i]))
        for i, width in enumerate(sweep.widths)
        if width >= sweep.threshold
    ]
    return [
        compare("change of the training accuracy (points)", steps, above(-STILL)),
        compare("training accuracy (%) from the threshold on", fitted, above(100 - STILL)),
    ]


@claim(
    6,
    "The training loss at the images themselves peaks near the threshold and then tends to 0.",
    "Section 4.1, figure 2",
    ("2",),
)
@from_threshold
def loss_peaks(sweep):
    """Cross-entropy at the training images themselves."""
    curves = _volume_curves(sweep, ("cross_entropy",))
    (curve,) = curves.values()
    largest = Sample(f"width {sweep.widths[-1]}", tuple(curve[:, -1]))
    return [
        *rise_and_fall(sweep, curves, "nats"),
        places(sweep, curves),
        compare("cross-entropy (nats) at the largest width", [largest], below(_ZERO_LOSS)),
    ]


@claim(
    8,
    "Sharpness peaks where the test error does.",
    "Section 4.1, figures 1c and 2",
    ("2",),
)
@from_threshold
def peaks_coincide(sweep):
    """Peaks of sharpness and of the test error."""
    error = sweep.curve(results.test_error)
    origin = np.array(sweep.peak_distance("", error).values) + sweep.threshold
    return [places(sweep, _volume_curves(sweep, SHARPNESS), origin, "that of the test error")]


@claim(
    9,
    "Loss and sharpness have the same peak over volumes of every size.",
    "Section 4.1, figure 2",
    ("2",),
)
@from_threshold
def volumes_peak(sweep):
    """All measures over all volumes."""
    curves = _volume_curves(sweep, _LOSSES, anchors=_anchors(sweep)[1:])
    return [
        *rise_and_fall(sweep, curves),
        places(sweep, curves),
    ]


@claim(
    10,
    "The peaks are higher around wrong labels than around true ones.",
    "Section 4.2, figure 3",
    ("3",),
)
@from_threshold
def noisy_above_clean(sweep):
    """Peaks near the threshold around noisy and around clean labels."""
    ratios = []
    for metric, anchors in itertools.product(_LOSSES, _anchors(sweep)):
        noisy, clean = (
            sweep.at_peak(sweep.curve(_volume(metric, subset, anchors))) for subset in ("noisy", "clean")
        )
        ratios.append(geometric_mean(f"{NAMES[metric]}, {anchors} anchors", noisy / clean, cross_fitted=True))
    return [compare("peak around noisy over peak around clean labels", ratios, above(1))]


@claim(
    11,
    "Accuracy over volumes grows with the width, around wrong labels too: wide networks predict them.",
    "Sections 4.1 and 4.2, figures 2 and 3",
    ("3",),
)
def accuracy_grows(evidence):
    """Accuracy over volumes from each width to its double, around noisy labels as well."""
    sweep, _ = sweep_of(evidence)
    outcomes = []
    for subset in ("all", "noisy"):
        steps = []
        for anchors in _anchors(sweep):
            curve = sweep.curve(_volume("accuracy", subset, anchors))
            for i, width in enumerate(sweep.widths):
                if 2 * width in sweep.widths:
                    change = curve[:, sweep.widths.index(2 * width)] - curve[:, i]
                    steps.append(Sample(f"{width} to {2 * width}, {anchors} anchors", tuple(change)))
        around = "around all labels" if subset == "all" else "around noisy labels"
        outcomes.append(compare(f"change of the accuracy {around} ({_POINTS})", steps, above(-STILL)))
    return together(*outcomes)


@claim(
    12,
    "Small networks fit true labels and have nearly no accuracy on wrong ones.",
    "Section 4.2, figure 3",
    ("3",),
)
def small_fit_clean(evidence):
    """The smallest width, at the training images themselves."""
    sweep, _ = sweep_of(evidence)
    clean, noisy = (sweep.curve(_volume("accuracy", subset))[:, 0] for subset in ("clean", "noisy"))
    width = f"width {sweep.widths[0]}"
    return together(
        compare("accuracy (%) on noisy labels", [Sample(width, tuple(noisy))], below(_NO_ACCURACY)),
        compare(f"clean minus noisy ({_POINTS})", [Sample(width, tuple(clean - noisy))], above(0)),
    )


@claim(
    18,
    "With data augmentation the test error peaks before the interpolation threshold.",
    "Section 4.4, figure 6a",
    ("6",),
)
@from_threshold
def peaks_before_threshold(sweep):
    """The test error under data augmentation."""
    distance = sweep.peak_distance("test error", sweep.curve(results.test_error))
    return [compare("place of the peak, widths above the threshold", [distance], below(0))]


@claim(
    19,
    "Over the largest volume ResNets are less accurate and sharper, still with a peak near the threshold.",
    "Section 4.4, figure 6b",
    ("6",),
)
@from_threshold
def largest_volume_is_sharper(sweep):
    """The largest volume against the training images themselves, at the largest width."""
    last = _anchors(sweep)[-1]
    drop = sweep.curve(_volume("accuracy", "all", last)) - sweep.curve(_volume("accuracy"))
    width = f"width {sweep.widths[-1]}"
    ratios = [
        geometric_mean(
            f"{NAMES[metric]}, {width}",
            (sweep.curve(_volume(metric, "all", last)) / sweep.curve(_volume(metric)))[:, -1],
        )
        for metric in SHARPNESS
    ]
    curves = _volume_curves(sweep, _LOSSES, anchors=(last,))
    return [
        compare(
            f"accuracy over the volume minus at the image ({_POINTS})",
            [Sample(width, tuple(drop[:, -1]))],
            below(0),
        ),
        compare("over the volume against at the image (ratio)", ratios, above(1)),
        *rise_and_fall(sweep, curves),
    ]


@claim(
    21,
    "Under asymmetric noise the loss becomes flat with the width around true and wrong labels.",
    "Section 4.5, figure 7a",
    ("7",),
)
@on_stand_in
def sharpness_falls_around_both(evidence):
    """Sharpness at the largest width against its peak, around clean and around noisy labels."""
    sweep, _ = sweep_of(evidence)
    ratios = []
    for metric, subset in itertools.product(SHARPNESS, ("clean", "noisy")):
        curve = sweep.curve(_volume(metric, subset))
        label = f"{NAMES[metric]}, {subset} labels"
        ratios.append(
            selected(geometric_mean, label, curve, np.argmax, lambda own, peak: own[peak] / own[-1])
        )
    return together(compare("peak over largest width (ratio)", ratios, above(1)))


@claim(
    22,
    "The test error of unperturbed classes shows double descent, that of perturbed classes does not.",
    "Section 4.5, figure 7b",
    ("7",),
)
@on_stand_in
@from_threshold
def only_unperturbed_descend(sweep):
    """Test error of the classes with true and with wrong training labels."""
    curves = {
        name: sweep.curve(
            lambda run, name=name: 100 * (1 - results.last(run, "accuracy", subset=f"test_{name}"))
        )
        for name in ("unperturbed", "perturbed")
    }
    fall = selected(
        Sample, "perturbed classes", curves["perturbed"], sweep.peak, lambda own, peak: own[peak] - own[-1]
    )
    return [
        *rise_and_fall(sweep, {"test error": curves["unperturbed"]}, _POINTS),
        compare("peak minus largest width (points)", [fall], below(STILL)),
    ]


@claim(
    3,
    "The smallest ConvNet with zero training error has base width 15.",
    "Section 4.3, figure 5",
    ("1c",),
)
def threshold_is_15(evidence):
    return threshold_is(evidence, 15)


@claim(
    16,
    "The smallest ResNet18 with zero training error has base width 18.",
    "Section 4.4, figure 6",
    ("6",),
)
def threshold_is_18(evidence):
    return threshold_is(evidence, 18)
