"""Checks of the claims of Gamba et al. 2022 on families of networks over width and epochs."""

import itertools

import numpy as np

from common.verdicts import Contrast, Outcome, Sample, above, below, compare, factor, together
from replications.smooth_interpolation import runs
from replications.smooth_interpolation.claims_runs import (
    Family,
    from_threshold,
    places,
    rise_and_fall,
    selected,
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
# A network interpolates scalar data if less than a twentieth of their noise is left, a polynomial fits them
# exactly.
_INTERPOLATED, _EXACT = 0.05, 1e-6


def _volume(metric, subset="all", anchors=1):
    factor = 100 if metric == "accuracy" else 1
    return lambda run: factor * runs.volume(run, metric, subset, anchors)


def _anchors(family):
    return range(1, 1 + runs.num_anchors(next(iter(family.members[family.widths[0]].values()))))


def _volume_curves(family, metrics, subset="all", anchors=(1,)):
    """{label: curve} of measures over volumes."""
    return {
        NAMES[metric] + (f", {a} anchors" if a > 1 else ""): family.curve(_volume(metric, subset, a))
        for metric in metrics
        for a in anchors
    }


def _test_error_outcomes(family):
    curves = {"test error": family.curve(runs.test_error)}
    return [
        *rise_and_fall(family, curves, _POINTS),
        places(family, curves),
    ]


def _sharpness_outcomes(family):
    curves = _volume_curves(family, SHARPNESS)
    return [
        *rise_and_fall(family, curves),
        places(family, curves),
    ]


double_descent = from_threshold(_test_error_outcomes)
sharpness_peaks = from_threshold(_sharpness_outcomes)


@from_threshold
def both_peak(family):
    """Test error and sharpness without label noise."""
    return _test_error_outcomes(family) + _sharpness_outcomes(family)


@from_threshold
def training_accuracy_is_monotone(family):
    """From width to width, and 100 % from the threshold on."""
    curve = 100 - family.curve(runs.train_error)
    steps = [
        Sample(f"{low} to {high}", tuple(curve[:, i + 1] - curve[:, i]))
        for i, (low, high) in enumerate(itertools.pairwise(family.widths))
    ]
    fitted = [
        Sample(f"width {width}", tuple(curve[:, i]))
        for i, width in enumerate(family.widths)
        if width >= family.threshold
    ]
    return [
        compare("change of the training accuracy (points)", steps, above(-STILL)),
        compare("training accuracy (%) from the threshold on", fitted, above(100 - STILL)),
    ]


@from_threshold
def loss_peaks(family):
    """Cross-entropy at the training images themselves."""
    curves = _volume_curves(family, ("cross_entropy",))
    (curve,) = curves.values()
    largest = Sample(f"width {family.widths[-1]}", tuple(curve[:, -1]))
    return [
        *rise_and_fall(family, curves, "nats"),
        places(family, curves),
        compare("cross-entropy (nats) at the largest width", [largest], below(_ZERO_LOSS)),
    ]


@from_threshold
def peaks_coincide(family):
    """Peaks of sharpness and of the test error."""
    error = family.curve(runs.test_error)
    origin = np.array(family.peak_distance("", error).values) + family.threshold
    return [places(family, _volume_curves(family, SHARPNESS), origin, "that of the test error")]


@from_threshold
def volumes_peak(family):
    """All measures over all volumes."""
    curves = _volume_curves(family, _LOSSES, anchors=_anchors(family)[1:])
    return [
        *rise_and_fall(family, curves),
        places(family, curves),
    ]


@from_threshold
def noisy_above_clean(family):
    """Peaks near the threshold around noisy and around clean labels."""
    ratios = []
    for metric, anchors in itertools.product(_LOSSES, _anchors(family)):
        noisy, clean = (
            family.at_peak(family.curve(_volume(metric, subset, anchors))) for subset in ("noisy", "clean")
        )
        ratios.append(factor(f"{NAMES[metric]}, {anchors} anchors", noisy / clean, cross_fitted=True))
    return [compare("peak around noisy over peak around clean labels", ratios, above(1))]


def accuracy_grows(evidence):
    """Accuracy over volumes from each width to its double, around noisy labels as well."""
    family = Family.of(evidence)
    outcomes = []
    for subset in ("all", "noisy"):
        steps = []
        for anchors in _anchors(family):
            curve = family.curve(_volume("accuracy", subset, anchors))
            for i, width in enumerate(family.widths):
                if 2 * width in family.widths:
                    change = curve[:, family.widths.index(2 * width)] - curve[:, i]
                    steps.append(Sample(f"{width} to {2 * width}, {anchors} anchors", tuple(change)))
        around = "around all labels" if subset == "all" else "around noisy labels"
        outcomes.append(compare(f"change of the accuracy {around} ({_POINTS})", steps, above(-STILL)))
    return together(*outcomes)


def small_fit_clean(evidence):
    """The smallest width, at the training images themselves."""
    family = Family.of(evidence)
    clean, noisy = (family.curve(_volume("accuracy", subset))[:, 0] for subset in ("clean", "noisy"))
    width = f"width {family.widths[0]}"
    return together(
        compare("accuracy (%) on noisy labels", [Sample(width, tuple(noisy))], below(_NO_ACCURACY)),
        compare(f"clean minus noisy ({_POINTS})", [Sample(width, tuple(clean - noisy))], above(0)),
    )


@from_threshold
def peaks_before_threshold(family):
    """The test error under data augmentation."""
    distance = family.peak_distance("test error", family.curve(runs.test_error))
    return [compare("place of the peak, widths above the threshold", [distance], below(0))]


@from_threshold
def largest_volume_is_sharper(family):
    """The largest volume against the training images themselves, at the largest width."""
    last = _anchors(family)[-1]
    drop = family.curve(_volume("accuracy", "all", last)) - family.curve(_volume("accuracy"))
    width = f"width {family.widths[-1]}"
    ratios = [
        factor(
            f"{NAMES[metric]}, {width}",
            (family.curve(_volume(metric, "all", last)) / family.curve(_volume(metric)))[:, -1],
        )
        for metric in SHARPNESS
    ]
    curves = _volume_curves(family, _LOSSES, anchors=(last,))
    return [
        compare(
            f"accuracy over the volume minus at the image ({_POINTS})",
            [Sample(width, tuple(drop[:, -1]))],
            below(0),
        ),
        compare("over the volume against at the image (ratio)", ratios, above(1)),
        *rise_and_fall(family, curves),
    ]


def sharpness_falls_around_both(evidence):
    """Sharpness at the largest width against its peak, around clean and around noisy labels."""
    family = Family.of(evidence)
    ratios = []
    for metric, subset in itertools.product(SHARPNESS, ("clean", "noisy")):
        curve = family.curve(_volume(metric, subset))
        label = f"{NAMES[metric]}, {subset} labels"
        ratios.append(selected(factor, label, curve, np.argmax, lambda own, peak: own[peak] / own[-1]))
    return together(compare("peak over largest width (ratio)", ratios, above(1)))


@from_threshold
def only_unperturbed_descend(family):
    """Test error of the classes with true and with wrong training labels."""
    curves = {
        name: family.curve(lambda run, name=name: 100 * (1 - runs.last(run, f"test_accuracy_{name}")))
        for name in ("unperturbed", "perturbed")
    }
    fall = selected(
        Sample, "perturbed classes", curves["perturbed"], family.peak, lambda own, peak: own[peak] - own[-1]
    )
    return [
        *rise_and_fall(family, {"test error": curves["unperturbed"]}, _POINTS),
        compare("peak minus largest width (points)", [fall], below(STILL)),
    ]


def _scalar(evidence, metric, **coordinates):
    """{seed: value} of a metric of the scalar fits with these settings."""
    return {run.seed: runs.last(run, metric) for run in evidence.seeds(**coordinates)}


def _ratio(evidence, label, metric, top, bottom):
    high, low = (_scalar(evidence, metric, **place) for place in (top, bottom))
    seeds = sorted(set(high) & set(low))
    return factor(label, [high[seed] / low[seed] for seed in seeds])


def _share_of_noise(evidence, metric, **place):
    """A metric of the scalar fits with these settings over the variance of the points' noise, by seed."""
    fits = evidence.seeds(**place)
    return tuple(runs.last(run, metric) / run.record["settings"]["target_noise"] ** 2 for run in fits)


def _less_noise_kept(evidence, label, smooth, spiky):
    """Sample of the noise that one fit keeps at a distance of 0.01 and another one does not."""
    more, less = (_scalar(evidence, "noise_kept", **place) for place in (smooth, spiky))
    return Sample(label, tuple(more[seed] - less[seed] for seed in sorted(set(more) & set(less))))


def _interpolates(evidence, degree):
    return max(_share_of_noise(evidence, "train_loss", degree=degree)) < _EXACT


def polynomial_is_spiky(evidence):
    """The largest polynomial against the signal, degree 20, and the smallest that interpolates as well."""
    degrees = evidence.values("degree")
    largest, critical = {"degree": degrees[-1]}, {"degree": 20}
    label = f"degree {degrees[-1]:,}"
    residual = Sample(label, _share_of_noise(evidence, "train_loss", **largest))
    distance = Sample(label, _share_of_noise(evidence, "test_loss", **largest))
    error = _ratio(evidence, "degree 20 over the largest", "test_loss", critical, largest)
    outcomes = [
        compare(
            "mean squared error on the noisy points over the variance of noise", [residual], below(_EXACT)
        ),
        compare("squared distance from the signal over the variance of noise", [distance], below(1)),
        compare("squared distance from the signal", [error], above(1)),
    ]
    smaller = next((degree for degree in degrees[:-1] if _interpolates(evidence, degree)), None)
    if smaller is None:
        text = "no smaller degree interpolates in all seeds, so there is nothing to compare its spikes with"
        return together(*outcomes, Outcome("unclear", text))
    gap = _less_noise_kept(evidence, f"degree {smaller:,} minus {label}", {"degree": smaller}, largest)
    return together(*outcomes, compare("share of the noise kept at a distance of 0.01", [gap], above(0)))


def network_is_smooth(evidence):
    """The widest network against the polynomial of the highest degree, on the same points."""
    degrees = [degree for degree in evidence.values("degree", network="polynomial")]
    widths = evidence.values("width", network="mlp")
    polynomial = {"network": "polynomial", "degree": degrees[-1]}
    network = {"network": "mlp", "width": widths[-1]}
    slope = _ratio(evidence, "polynomial over network", "slope", polynomial, network)
    share = _less_noise_kept(evidence, "network minus polynomial", network, polynomial)
    residual = Sample(f"width {widths[-1]}", _share_of_noise(evidence, "train_loss", **network))
    return together(
        compare(
            "mean squared error on the noisy points over the variance of noise",
            [residual],
            below(_INTERPOLATED),
        ),
        compare("slope near the points", [slope], above(1)),
        compare("share of the noise kept at a distance of 0.01", [share], above(0)),
    )


@from_threshold
def _differ_most_at_threshold(family):
    ends = family.widths[0], family.widths[-1]
    if family.threshold in ends:
        return [Outcome("unclear", f"the threshold, width {family.threshold}, is at an end of the widths")]
    seeds = family.members[family.threshold]
    pairs = tuple(itertools.combinations(seeds, 2))
    ratios = []
    for name, measure in (("PD", runs.prediction_difference), ("disagreement", runs.disagreement)):
        at_threshold = runs.over_pairs(measure, seeds)
        for end in ends:
            there = runs.over_pairs(measure, family.members[end])
            ratios.append(
                Contrast(f"{name}, width {end}", (at_threshold, there), (1.0, -1.0), groups=(pairs,))
            )
    return [compare(f"at the threshold, width {family.threshold}, over another width", ratios, above())]


def seeds_differ_most_at_threshold(evidence):
    """Beyond the papers: prediction difference and disagreement between seeds that share images and labels.

    The threshold, which training errors choose, against the narrowest and the widest network: a peak that
    pairs choose would be biased, since pairs share seeds.
    """
    evidence.runs()  # both seeds, or it is not run
    return _differ_most_at_threshold(evidence)
