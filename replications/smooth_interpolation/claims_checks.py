"""Checks of the claims of Gamba et al. 2022 on families of networks over width and epochs."""

import itertools

import numpy as np

from common.verdicts import NOT_JUDGED, Outcome, above, below, compare, together
from replications.smooth_interpolation import runs
from replications.smooth_interpolation.claims_curves import (
    Family,
    Sample,
    from_threshold,
    places,
    rise_and_fall,
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
_STILL, _ZERO_LOSS, _NO_ACCURACY = 1.0, 0.05, 15.0
# Over epochs a sharpness has a peak if a tenth of it rises and falls, and recovers if half of it falls.
_BUMP, _RECOVERS = 0.1, 0.5


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
        compare("change of the training accuracy (points)", steps, above(-_STILL)),
        compare("training accuracy (%) from the threshold on", fitted, above(100 - _STILL)),
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


def noisy_above_clean(evidence):
    """Peaks over all widths around noisy and around clean labels."""
    family = Family.of(evidence)
    ratios = []
    for metric, anchors in itertools.product(_LOSSES, _anchors(family)):
        noisy, clean = (
            family.curve(_volume(metric, subset, anchors)).max(axis=1) for subset in ("noisy", "clean")
        )
        ratios.append(Sample(f"{NAMES[metric]}, {anchors} anchors", tuple(noisy / clean)))
    return together(compare("peak around noisy over peak around clean labels", ratios, above(1)))


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
        outcomes.append(compare(f"change of the accuracy {around} ({_POINTS})", steps, above(-_STILL)))
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


def _over_epochs(metric):
    """Returns the function run -> a metric at its checkpoints and at the end; the test error in percent."""

    def values(run):
        if metric == "test_error":
            return 100 * (1 - runs.history(run, "test_accuracy")[1])
        return runs.history(run, metric, subset="all", anchors=1)[1]

    return values


def _bump(metric, relative=False):
    """Returns the function run -> rise over epochs with a fall after it: the smaller one, at its largest.

    0 for a metric that only falls or only rises; `relative` to its maximum.
    """

    def value(run):
        values = _over_epochs(metric)(run)
        above_earlier = values - np.minimum.accumulate(values)
        above_later = values - np.minimum.accumulate(values[::-1])[::-1]
        return float(np.max(np.minimum(above_earlier, above_later))) / (values.max() if relative else 1)

    return value


def _final_fall(metric, relative=False):
    """Returns the function run -> fall to the end from where a metric is highest above earlier values."""

    def value(run):
        values = _over_epochs(metric)(run)
        peak = values[np.argmax(values - np.minimum.accumulate(values))]
        return float(peak - values[-1]) / (peak if relative else 1)

    return value


_EPOCHWISE = {
    "test error (points)": ("test_error", False, _STILL),
    "cross-entropy (nats)": ("cross_entropy", False, _ZERO_LOSS),
    "Jacobian norm (share of its maximum)": ("jacobian_norm", True, _BUMP),
}


@from_threshold
def wide_recover(family):
    """Rise and fall over epochs of the networks from the threshold on."""
    wide = [(i, width) for i, width in enumerate(family.widths) if width >= family.threshold]
    outcomes = []
    for name, (metric, relative, least) in _EPOCHWISE.items():
        curve = family.curve(_bump(metric, relative))
        samples = [Sample(f"width {width}", tuple(curve[:, i])) for i, width in wide]
        outcomes.append(compare(f"rise and fall over epochs, {name}", samples, above(least)))
    return outcomes


@from_threshold
def narrow_do_not(family):
    """Fall at the end of training of the networks below the threshold."""
    narrow = [(i, width) for i, width in enumerate(family.widths) if width < family.threshold]
    if not narrow:
        return [Outcome(NOT_JUDGED, "the smallest width is the threshold")]
    outcomes = []
    for name, metric, relative, most in (
        ("test error (points)", "test_error", False, _STILL),
        ("Jacobian norm (share of its peak)", "jacobian_norm", True, _RECOVERS),
    ):
        curve = family.curve(_final_fall(metric, relative))
        samples = [Sample(f"width {width}", tuple(curve[:, i])) for i, width in narrow]
        outcomes.append(compare(f"fall from the peak over epochs, {name}", samples, below(most)))
    return outcomes


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
        Sample(
            f"{NAMES[metric]}, {width}",
            tuple((family.curve(_volume(metric, "all", last)) / family.curve(_volume(metric)))[:, -1]),
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
        peak = int(np.argmax(curve.mean(axis=0)))
        ratios.append(Sample(f"{NAMES[metric]}, {subset} labels", tuple(curve[:, peak] / curve[:, -1])))
    return together(compare("peak over largest width (ratio)", ratios, above(1)))


@from_threshold
def only_unperturbed_descend(family):
    """Test error of the classes with true and with wrong training labels."""
    curves = {
        name: family.curve(lambda run, name=name: 100 * (1 - runs.last(run, f"test_accuracy_{name}")))
        for name in ("unperturbed", "perturbed")
    }
    falls = {}
    for name, curve in curves.items():
        peak = family.peak(curve)
        falls[name] = Sample(f"{name} classes", tuple(curve[:, peak] - curve[:, -1]))
    return [
        *rise_and_fall(family, {"test error": curves["unperturbed"]}, _POINTS),
        compare("peak minus largest width (points)", [falls["perturbed"]], below(_STILL)),
    ]


def _scalar(evidence, metric, **coordinates):
    """{seed: value} of a metric of the scalar fits with these settings."""
    return {run.record["settings"]["seed"]: runs.last(run, metric) for run in evidence.seeds(**coordinates)}


def _ratio(evidence, label, metric, top, bottom):
    high, low = (_scalar(evidence, metric, **place) for place in (top, bottom))
    seeds = sorted(set(high) & set(low))
    return Sample(label, tuple(high[seed] / low[seed] for seed in seeds))


_LARGE, _CRITICAL, _TRUE = ({"degree": degree} for degree in (1000, 20, 3))


def polynomial_is_spiky(evidence):
    """The large polynomial against the one at the threshold and the cubic."""
    largest = {"degree": evidence.values("degree")[-1]}
    residual = Sample(
        f"degree {largest['degree']:,}", tuple(_scalar(evidence, "train_loss", **largest).values())
    )
    error = _ratio(evidence, "degree 20 over the largest", "test_loss", _CRITICAL, largest)
    slope = _ratio(evidence, "largest degree over degree 3", "slope", largest, _TRUE)
    return together(
        compare("mean squared error on the noisy points", [residual], below(1e-6)),
        compare("squared distance from the noise-free function", [error], above(1)),
        compare("slope near the points", [slope], above(1)),
    )


def network_is_smooth(evidence):
    """The widest network against the polynomial of the highest degree, on the same points."""
    degrees = [degree for degree in evidence.values("degree", network="polynomial")]
    widths = evidence.values("width", network="mlp")
    polynomial = {"network": "polynomial", "degree": degrees[-1]}
    network = {"network": "mlp", "width": widths[-1]}
    slope = _ratio(evidence, "polynomial over network", "slope", polynomial, network)
    kept = [_scalar(evidence, "noise_kept", **place) for place in (network, polynomial)]
    seeds = sorted(set(kept[0]) & set(kept[1]))
    share = Sample("network minus polynomial", tuple(kept[0][seed] - kept[1][seed] for seed in seeds))
    return together(
        compare("slope near the points", [slope], above(1)),
        compare("share of the noise kept at a distance of 0.01", [share], above(0)),
    )


@from_threshold
def seeds_differ_most_at_threshold(family):
    """Beyond the paper: prediction difference and disagreement between seeds that share images and labels."""
    curves = {}
    for name, measure in (("PD", runs.prediction_difference), ("disagreement", runs.disagreement)):
        pairs = [runs.over_pairs(measure, family.members[width]) for width in family.widths]
        curves[name] = np.array(pairs).T
    if not min(len(curve) for curve in curves.values()):
        return [Outcome(NOT_JUDGED, "needs two seeds")]
    return [*rise_and_fall(family, curves), places(family, curves)]
