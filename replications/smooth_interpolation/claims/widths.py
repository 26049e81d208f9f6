"""Checks of the claims of Gamba et al. 2022 on errors and sharpness at the training images, over width."""

import numpy as np

from common.study import decisions, effects
from common.study.claims import claim
from common.study.verdicts import Outcome
from replications.smooth_interpolation import results
from replications.smooth_interpolation.claims.shared import (
    ACCURACY,
    ERROR,
    NAMES,
    POINT,
    SHARPNESS,
    Sweep,
    at,
    from_threshold,
    peaks,
    peaks_near,
    peaks_there,
    threshold_is,
)

# The seeds before were looked at when the checks were written.
NOISY, OTHERS = 3, 1
# Seeds 3 to 7 too, when the test of a peak stopped counting the spread of cells that it does not compare.
NOISY_PEAK = 8
# Seeds 8 to 12 too, when the peaks around true and around wrong labels became a claim.
SUBSETS_PEAK = 13
# "Zero" loss is below 0.05 nats; "much smaller" is by more than a factor of ten.
_ZERO_LOSS, _MUCH = 0.05, 10.0
# With augmentation the test error peaks before the threshold (claim 18).
_EARLY = 4.0
RESNET_PEAK = (
    "where the exploratory seed is highest from a quarter of to twice the threshold, a training accuracy of "
    "98 %, it is above the least value before it and above the widest network's"
)
PEAK = (
    "where the exploratory seeds are highest from half to twice the threshold, it is above the least value "
    "before it and above the widest network's, and between that least value and that range nothing is higher "
    "by more than a point (loss and norms: a factor of 1.5)"
)
PEAK_NEAR = f"{PEAK}; open where these seeds are higher at another width behind the least value"


@claim(
    3,
    "The smallest ConvNet with zero training error has base width 15.",
    "Section 4.3, figure 5",
    ("1c",),
    quote="the interpolation threshold (base width w=15)",
    tests="The seeds' smallest widths with a training error of 0 are 15 in the mean, within three.",
    out_of_reach={"laptop": "the threshold grows with the number of images, here 2,000 of 50,000"},
)
def threshold_is_15(evidence):
    return threshold_is(evidence, 15)


@claim(
    16,
    "The smallest ResNet18 with zero training error has base width 18.",
    "Section 4.4, figure 6",
    ("6",),
    quote="with the interpolation threshold occurring at base width w=18",
    tests="The seeds' smallest widths with a training error of 0 are 18 in the mean, within three.",
    out_of_reach={"laptop": "the threshold grows with the number of images, here 500 of 50,000"},
)
def threshold_is_18(evidence):
    return threshold_is(evidence, 18)


@claim(
    4,
    "The test error of the ConvNets peaks near the interpolation threshold and falls again behind it.",
    "Section 4, figure 1c",
    ("1c",),
    quote="Near said threshold, the test error peaks.",
    tests=f"Test error: {PEAK}.",
    confirmatory_from=NOISY_PEAK,
)
@from_threshold
def double_descent(sweep):
    return decisions.together(peaks(ERROR, sweep, sweep.curve(results.test_error), False))


@claim(
    5,
    "Training accuracy grows monotonically with the width and stays at 100 % from the threshold on.",
    "Section 4.1, figure 2",
    ("2",),
    quote="training accuracy at convergence monotonically increases with model size, with 100% accuracy "
    "reached at the interpolation threshold and maintained therefrom",
    tests="Page's trend of the accuracy over widths; and its mean over the widths beyond each seed's own "
    "threshold is above 99 %.",
    confirmatory_from=NOISY,
)
def training_accuracy_is_monotone(evidence):
    sweep = Sweep(evidence)
    accuracy = 100 - sweep.curve(results.train_error).confirmatory
    beyond = []
    for own, values in zip(sweep.own_thresholds(), accuracy, strict=True):
        wider = values[[own is not None and width > own for width in sweep.widths]]
        beyond.append(wider.mean() if len(wider) else np.nan)
    return decisions.together(
        decisions.trend(ACCURACY, "widths", accuracy),
        decisions.ordering(
            ACCURACY, effects.level("mean beyond each seed's own threshold", beyond), 100 - POINT
        ),
    )


@claim(
    6,
    "The training loss at the images themselves peaks near the threshold and then tends to 0.",
    "Section 4.1 and 4.2, figure 2",
    ("2",),
    quote="showing a peak near the interpolation threshold, and then decreasing as model size grows",
    tests=f"Cross-entropy at the images: {PEAK}; and it is below 0.05 nats for the widest network.",
    confirmatory_from=NOISY_PEAK,
)
@from_threshold
def loss_peaks(sweep):
    curve = sweep.curve(at("cross_entropy"))
    widest = effects.level(f"width {sweep.widths[-1]}", _ZERO_LOSS / curve.deciding[:, -1], factor=True)
    return decisions.together(
        decisions.every(
            peaks(NAMES["cross_entropy"], sweep, curve, True),
            decisions.ordering("0.05 nats over the cross-entropy", widest),
        )
    )


@claim(
    7,
    "Jacobian and Hessian norm peak at the threshold and fall behind it.",
    "Section 4.1, figure 2",
    ("2",),
    quote="the Jacobian and Hessian norms peak at the interpolation threshold and then rapidly decrease",
    tests=f"Each of the two norms: {PEAK}.",
    confirmatory_from=NOISY_PEAK,
)
@from_threshold
def sharpness_peaks(sweep):
    return decisions.together(*_sharpness(sweep))


def _sharpness(sweep):
    return [peaks(NAMES[metric], sweep, sweep.curve(at(metric)), True) for metric in SHARPNESS]


@claim(
    17,
    "Jacobian and Hessian norm of the ResNets peak over the width as well.",
    "Section 4.4, figure 6b",
    ("6",),
    quote="Both model-wise and epoch-wise trends reported for the ConvNets also hold for this setup",
    tests=f"Each of the two norms: {RESNET_PEAK}.",
    confirmatory_from=OTHERS,
)
@from_threshold
def resnet_sharpness_peaks(sweep):
    return decisions.together(
        *(resnet_peaks(NAMES[metric], sweep, sweep.curve(at(metric))) for metric in SHARPNESS)
    )


def resnet_peaks(question, sweep, curve):
    """The Outcome that a measure of the ResNets has a peak around or before the threshold."""
    chooser, widths = curve.chooser(True), np.array(sweep.widths)
    if not np.isfinite(chooser).all():
        return Outcome("open", f"{question}: a run of the seeds that choose has diverged")
    around = (widths >= sweep.threshold / _EARLY) & (widths <= 2 * sweep.threshold)
    top = int(np.argmax(np.where(around, chooser, -np.inf)))
    return peaks_there(question, sweep, curve, True, top)


@claim(
    13,
    "On CIFAR-100 test error and sharpness peak at the threshold without any label noise.",
    "Section 4.2, figures 1d and 4",
    ("1d", "4"),
    quote="model-wise double descent is observed even on the standard dataset without artificially corrupted "
    "labels",
    tests=f"Test error, and each of the two norms: {PEAK_NEAR}.",
    confirmatory_from=OTHERS,
)
@from_threshold
def both_peak(sweep):
    norms = [peaks_near(NAMES[metric], sweep, sweep.curve(at(metric)), True) for metric in SHARPNESS]
    return decisions.together(peaks_near(ERROR, sweep, sweep.curve(results.test_error), False), *norms)


@claim(
    8,
    "Sharpness peaks where the test error does.",
    "Section 4.1, figures 1c and 2",
    ("2",),
    quote="establishes a clear correlation with the test error peak in double descent",
    tests="At the width near the threshold where the exploratory seeds have their highest test error, each "
    "norm is above its least value before it and above the widest network's.",
    confirmatory_from=NOISY_PEAK,
)
@from_threshold
def peaks_coincide(sweep):
    error = sweep.curve(results.test_error).chooser(False)
    top = int(np.argmax(np.where(sweep.near, error, -np.inf)))
    outcomes = [peaks_there(NAMES[m], sweep, sweep.curve(at(m)), True, top) for m in SHARPNESS]
    return decisions.together(*outcomes)


@claim(
    24,
    "Test error and sharpness go together over the width.",
    "Section 4.1, figures 1c and 2",
    ("2",),
    quote="we establish a strong correlation between double descent of the test error and smooth "
    "interpolation",
    tests="The seeds' mean rank correlation over widths of the test error with each of the two norms is "
    "above 0.",
    confirmatory_from=NOISY,
)
def error_goes_with_sharpness(evidence):
    sweep = Sweep(evidence)
    error = sweep.curve(results.test_error).confirmatory
    return decisions.together(
        *(
            decisions.correlation(
                f"test error and {NAMES[metric]}", "widths", error, sweep.curve(at(metric)).confirmatory
            )
            for metric in SHARPNESS
        )
    )


@claim(
    26,
    "The sensitivity peaks for networks that are much smaller than the number of images times pixels, which "
    "Bubeck and Sellke's law of robustness asks for.",
    "Section 4.1, figure 2",
    ("2",),
    quote="the peak in input-space sensitivity is observed for much smaller models than what predicted by "
    "Bubeck & Sellke (2021)",
    tests="Among the networks with at most a tenth as many weights as there are values in the training "
    "images, the Jacobian norm falls from its highest, where the exploratory seeds have it, to the widest "
    "one.",
    confirmatory_from=NOISY,
)
def peaks_below_the_law_of_robustness(evidence):
    sweep = Sweep(evidence)
    curve = sweep.curve(at("jacobian_norm"))
    num_values = 3 * 32 * 32 * sweep.num_images
    small = [w for w in sweep.widths if _MUCH * results.num_weights(w) <= num_values]
    if len(small) < 2 or not np.isfinite(curve.chooser(True)).all():
        return Outcome("open", "Fewer than two widths are so small, or a run that chooses has diverged.")
    last = len(small) - 1
    top = int(np.argmax(curve.chooser(True)[:last]))
    times = num_values / results.num_weights(small[-1])
    label = f"width {small[top]} against {small[-1]}, which has {times:.0f} times fewer weights than values"
    effect = effects.difference(label, curve.deciding[:, top], curve.deciding[:, last], factor=True)
    return decisions.together(decisions.ordering(NAMES["jacobian_norm"], effect))


@claim(
    18,
    "With data augmentation the test error peaks before the interpolation threshold.",
    "Section 4.4, figure 6a",
    ("6",),
    quote="data augmentation causes the peak in test error to occur earlier than the interpolation threshold",
    tests="At the width below the threshold (a training accuracy of 98 %) where the exploratory seed has the "
    "largest rise and fall, the test error is above the least before it, above the widest network's and "
    "above the highest from the threshold on.",
    confirmatory_from=OTHERS,
)
@from_threshold
def peaks_before_threshold(sweep):
    curve = sweep.curve(results.test_error)
    chooser, num_before = curve.chooser(False), int(np.sum(~sweep.wide))
    if num_before < 2 or not np.isfinite(chooser).all():
        return Outcome("open", f"Below the threshold, width {sweep.threshold}, is no width but the smallest.")
    # The smallest networks err more than those that follow for another reason, which is no peak.
    sizes = [min(chooser[i] - chooser[:i].min(), chooser[i] - chooser[-1]) for i in range(1, num_before)]
    top = 1 + int(np.argmax(sizes))
    other = int(np.argmax(np.where(sweep.wide, chooser, -np.inf)))
    label = f"{sweep.widths[top]} against the highest from the threshold on, {sweep.widths[other]}"
    effect = effects.difference(label, curve.deciding[:, top], curve.deciding[:, other])
    peak = peaks_there(ERROR, sweep, curve, False, top)
    return decisions.together(decisions.every(peak, decisions.ordering(ERROR, effect)))


@claim(
    22,
    "The test error of unperturbed classes shows double descent, that of perturbed classes does not.",
    "Section 4.5, figure 7b",
    ("7",),
    quote="double descent is still observed for test samples belonging to unperturbed classes, while the "
    "trend disappears for the corrupted classes",
    tests=f"Unperturbed classes: {PEAK_NEAR}. And of perturbed ones, from the width near the threshold where "
    "the exploratory seed has their highest error to the widest, it does not fall by more than a point.",
    confirmatory_from=OTHERS,
)
@from_threshold
def only_unperturbed_descend(sweep):
    unperturbed, perturbed = (
        sweep.curve(lambda run, name=name: 100 * (1 - results.last(run, "accuracy", subset=f"test_{name}")))
        for name in ("unperturbed", "perturbed")
    )
    chooser = perturbed.chooser(False)
    if not np.isfinite(chooser).all():
        return Outcome("open", "A run of the seeds that choose has diverged.")
    top = int(np.argmax(np.where(sweep.near, chooser, -np.inf)))
    label = f"width {sweep.widths[-1]} minus {sweep.widths[top]}"
    change = effects.difference(label, perturbed.deciding[:, -1], perturbed.deciding[:, top])
    # Where nothing descends, perturbed classes do not either: half of the sentence is none of it.
    return decisions.together(
        decisions.every(
            peaks_near(f"{ERROR} of unperturbed classes", sweep, unperturbed, False),
            decisions.ordering(f"{ERROR} of perturbed classes", change, -POINT),
        )
    )
