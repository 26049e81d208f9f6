"""Checks of the claims on randomized labels and pixels (figure 1 of Zhang et al. 2017 and of EE-411)."""

import itertools

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import NOT_JUDGED, Bounds, Outcome, above, below, compare, slope
from replications.zhang_randomization.published import CHANCE, NETWORK_NAMES
from replications.zhang_randomization.results import (
    accuracy,
    by_seed,
    difference,
    epochs_to_fit,
    epochs_to_low_loss,
    final_training_accuracy,
    first_epoch,
    fitted_test_accuracy,
    paired,
    sample,
    time_ratio,
)

_ZHANG_1 = "Zhang et al., section 2.1, figure 1{}"


# How the paper's words are read. "Fitted" is a training accuracy of 99 %; a test set of 10,000 images shows
# chance as 9 to 11 %, a smaller one as 8 to 12 %; the axis of figure 1b ends near 4.
FITTED = above(99)
_CHANCE_BAND = {"paper": 1.0, "laptop": 2.0, "smoke": 2.0}
_SMALL_FACTOR = 4.0
_EE411_CAP, _EE411_ACCURACY = 40, 0.98

_CONDITION_NAMES = {
    "true_labels": "true labels",
    "random_labels": "random labels",
    "shuffled_pixels": "shuffled pixels",
    "random_pixels": "random pixels",
    "gaussian_pixels": "Gaussian pixels",
}
_PIXELS = ("shuffled_pixels", "random_pixels", "gaussian_pixels")
_VALUES_OF_AN_IMAGE = 28 * 28 * 3
_TIME = "epochs to a training loss of 0.1"


def chance(evidence, tolerance=None):
    """The Bounds of a test accuracy, in percent, that is chance."""
    tolerance = tolerance or _CHANCE_BAND[evidence.scale]
    return Bounds(CHANCE - tolerance, CHANCE + tolerance)


@claim(
    1,
    "Inception fits the training set under all five conditions, even random labels and random pixels.",
    _ZHANG_1.format("a"),
    ("1a",),
)
def all_conditions_fit(evidence):
    samples = [
        sample(evidence, name, final_training_accuracy, {"condition": condition})
        for condition, name in _CONDITION_NAMES.items()
    ]
    return together(compare("training accuracy (%)", samples, FITTED))


def _slower(evidence, pairs):
    """Contrasts of the epochs to a low loss, first over second of each pair of conditions."""
    return [
        time_ratio(
            evidence,
            f"{_CONDITION_NAMES[first]} over {_CONDITION_NAMES[second]}",
            {"condition": first},
            {"condition": second},
            epochs_to_low_loss,
        )
        for first, second in pairs
    ]


@claim(
    2,
    "Random labels are fitted after true labels.",
    _ZHANG_1.format("a"),
    ("1a",),
)
def random_labels_after_true_labels(evidence):
    return together(compare(_TIME, _slower(evidence, [("random_labels", "true_labels")]), above()))


def _order_of_pixels(evidence, pairs):
    """The Outcome of an order that has pixels in it; not judged on fewer images than they have values."""
    outcome = compare(_TIME, _slower(evidence, pairs), above())
    (count,) = evidence.values("num_train")
    if count is None or count > _VALUES_OF_AN_IMAGE:
        return together(outcome)
    reason = (
        f"not judged, since {count:,} images, fewer than the {_VALUES_OF_AN_IMAGE:,} values of one, are "
        "separable under any labels when their pixels are random"
    )
    return together(Outcome(NOT_JUDGED, f"{outcome.seen}; {reason}"))


@claim(
    3,
    "True labels are fitted first, then shuffled pixels, then random and Gaussian pixels, and random "
    "labels last.",
    _ZHANG_1.format("a"),
    ("1a",),
)
def order_of_conditions(evidence):
    pairs = [(pixels, "true_labels") for pixels in _PIXELS]
    pairs += [(pixels, "shuffled_pixels") for pixels in _PIXELS[1:]]
    pairs += [("random_labels", pixels) for pixels in _PIXELS]
    return _order_of_pixels(evidence, pairs)


@claim(
    4,
    "True and random labels reach zero loss; randomized pixels take longer or do not converge.",
    "EE-411, section IV.A, figure 2",
    ("1a",),
)
def pixels_after_random_labels(evidence):
    return _order_of_pixels(evidence, [(pixels, "random_labels") for pixels in _PIXELS])


def _networks(evidence):
    """(network, name, its values of p) for every network of figure 1b."""
    for network in evidence.values("network"):
        yield network, NETWORK_NAMES[network], evidence.values("label_noise", network=network)


def _place(network, noise):
    return {"network": network, "label_noise": noise}


@claim(
    5,
    "Every network fits random labels, with a test accuracy of chance.",
    _ZHANG_1.format("b"),
    ("1b",),
)
def random_labels_are_fitted(evidence):
    train, test = (
        [
            sample(evidence, name, measure, _place(network, noises[-1]))
            for network, name, noises in _networks(evidence)
        ]
        for measure in (final_training_accuracy, accuracy("test"))
    )
    return together(
        compare("training accuracy (%) at p = 1", train, FITTED),
        compare("test accuracy (%) at p = 1", test, chance(evidence)),
    )


@claim(
    6,
    "Fitting takes longer the more labels are corrupted.",
    _ZHANG_1.format("b"),
    ("1b",),
)
def slower_with_noise(evidence):
    trends = []
    for network, name, noises in _networks(evidence):
        places = [_place(network, noise) for noise in noises]
        trends.append(slope(*paired(evidence, name, epochs_to_fit, *places), noises))
    return together(compare("change of the epochs to fit from p = 0 to 1, a factor", trends, above()))


@claim(
    7,
    "Random labels slow fitting down by a small constant factor, at most about 4.",
    _ZHANG_1.format("b"),
    ("1b",),
)
def slowdown_is_small(evidence):
    slowdowns = [
        time_ratio(evidence, name, _place(network, noises[-1]), _place(network, noises[0]))
        for network, name, noises in _networks(evidence)
    ]
    return together(compare("epochs to fit, p = 1 over p = 0", slowdowns, below(_SMALL_FACTOR)))


@claim(
    8,
    "With any corrupted labels no network reaches 98 % training accuracy within 40 epochs.",
    "EE-411, section IV.B, figure 3",
    ("1b",),
)
def nothing_fits_in_40_epochs(evidence):
    inside = {}
    for network, name, noises in _networks(evidence):
        for noise in noises[1:]:
            epochs = by_seed(evidence, _epoch_of_98_percent, _place(network, noise))
            inside[f"{name} at p = {noise:g}"] = [epoch <= _EE411_CAP for epoch in epochs.values()]
    always = [label for label, seeds in inside.items() if all(seeds)]
    text = f"training accuracy of 98 % within 40 epochs at {len(always)} of {len(inside)} settings with p > 0"
    text += f", such as {always[0]}" if always else ""
    if evidence.scale != "paper":
        return together(Outcome(NOT_JUDGED, f"{text}, judged at paper scale only: epochs are shorter below"))
    verdict = "contradicted" if always else "open" if any(map(any, inside.values())) else "reproduced"
    if min(map(len, inside.values())) < 2:
        verdict, text = "open", f"{text}, from one seed"
    return together(Outcome(verdict, text))


def _epoch_of_98_percent(run):
    return first_epoch(run, "train_accuracy", lambda value: value >= _EE411_ACCURACY)


def _test_error(run):
    """Test error in percent of a run that fits its training set to 99 %; else nan."""
    return 100 - fitted_test_accuracy(run)


@claim(
    9,
    "With random labels the test error is 90 %, chance, for every network.",
    _ZHANG_1.format("c"),
    ("1c",),
)
def error_at_random_labels(evidence):
    errors = [
        sample(evidence, name, _test_error, _place(network, noises[-1]))
        for network, name, noises in _networks(evidence)
    ]
    band = chance(evidence)
    return together(compare("test error (%) at p = 1", errors, Bounds(100 - band.high, 100 - band.low)))


@claim(
    10,
    "The test error of each network rises with the part of the labels that is corrupted.",
    _ZHANG_1.format("c"),
    ("1c",),
)
def error_grows_with_noise(evidence):
    steps = [
        difference(
            evidence,
            f"{name} from p = {low:g} to {high:g}",
            _test_error,
            _place(network, high),
            _place(network, low),
        )
        for network, name, noises in _networks(evidence)
        for low, high in itertools.pairwise(noises)
    ]
    return together(compare("change of the test error (points)", steps, above(0)))


@claim(
    11,
    "At every corruption below 1 the MLP has the highest test error, then AlexNet, then Inception.",
    "Zhang et al., figure 1c; EE-411, section IV.C, figure 4",
    ("1c",),
)
def order_of_networks(evidence):
    order = ("mlp_1x512", "alexnet", "inception")
    noises = set.intersection(*(set(noises) for _, _, noises in _networks(evidence))) - {1.0}
    gaps = [
        difference(
            evidence,
            f"{NETWORK_NAMES[worse]} minus {NETWORK_NAMES[better]} at p = {noise:g}",
            _test_error,
            _place(worse, noise),
            _place(better, noise),
        )
        for worse, better in itertools.pairwise(order)
        for noise in sorted(noises)
    ]
    return together(on_equal_images(evidence, order, compare("test error (points)", gaps, above(0))))


def on_equal_images(evidence, networks, outcome):
    """The outcome of a comparison of networks; not judged if their numbers of images differ."""
    counts = [evidence.values("num_train", network=network) for network in networks]
    if len(set(map(tuple, counts))) == 1:
        return outcome
    numbers = ", ".join(
        f"{NETWORK_NAMES[network]} {count:,}" for network, (count,) in zip(networks, counts, strict=True)
    )
    reason = f"not judged, since the networks were trained on different numbers of images ({numbers})"
    return Outcome(NOT_JUDGED, f"{outcome.seen}; {reason}")
