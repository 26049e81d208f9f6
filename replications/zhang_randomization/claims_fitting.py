"""Checks of the claims on randomized labels and pixels (figure 1 of Zhang et al. 2017 and of EE-411)."""

import itertools

from common.verdicts import NOT_JUDGED, Bounds, Outcome, above, below, compare, slope, together
from replications.zhang_randomization.claims_runs import (
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
from replications.zhang_randomization.published import CHANCE, NETWORK_NAMES

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


def all_conditions_fit(evidence):
    """Claim 1."""
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


def random_labels_after_true_labels(evidence):
    """Claim 2."""
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


def order_of_conditions(evidence):
    """Claim 3."""
    pairs = [(pixels, "true_labels") for pixels in _PIXELS]
    pairs += [(pixels, "shuffled_pixels") for pixels in _PIXELS[1:]]
    pairs += [("random_labels", pixels) for pixels in _PIXELS]
    return _order_of_pixels(evidence, pairs)


def pixels_after_random_labels(evidence):
    """Claim 4."""
    return _order_of_pixels(evidence, [(pixels, "random_labels") for pixels in _PIXELS])


def _networks(evidence):
    """(network, name, its values of p) for every network of figure 1b."""
    for network in evidence.values("network"):
        yield network, NETWORK_NAMES[network], evidence.values("label_noise", network=network)


def _place(network, noise):
    return {"network": network, "label_noise": noise}


def random_labels_are_fitted(evidence):
    """Claim 5."""
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


def slower_with_noise(evidence):
    """Claim 6."""
    trends = []
    for network, name, noises in _networks(evidence):
        places = [_place(network, noise) for noise in noises]
        trends.append(slope(*paired(evidence, name, epochs_to_fit, *places), noises))
    return together(compare("change of the epochs to fit from p = 0 to 1, a factor", trends, above()))


def slowdown_is_small(evidence):
    """Claim 7."""
    slowdowns = [
        time_ratio(evidence, name, _place(network, noises[-1]), _place(network, noises[0]))
        for network, name, noises in _networks(evidence)
    ]
    return together(compare("epochs to fit, p = 1 over p = 0", slowdowns, below(_SMALL_FACTOR)))


def nothing_fits_in_40_epochs(evidence):
    """Claim 8."""
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
    verdict = "contradicted" if always else "unclear" if any(map(any, inside.values())) else "reproduced"
    if min(map(len, inside.values())) < 2:
        verdict, text = "unclear", f"{text}, from one seed"
    return together(Outcome(verdict, text))


def _epoch_of_98_percent(run):
    return first_epoch(run, "train_accuracy", lambda value: value >= _EE411_ACCURACY)


def _test_error(run):
    """Test error in percent of a run that fits its training set to 99 %; else nan."""
    return 100 - fitted_test_accuracy(run)


def error_at_random_labels(evidence):
    """Claim 9."""
    errors = [
        sample(evidence, name, _test_error, _place(network, noises[-1]))
        for network, name, noises in _networks(evidence)
    ]
    band = chance(evidence)
    return together(compare("test error (%) at p = 1", errors, Bounds(100 - band.high, 100 - band.low)))


def error_grows_with_noise(evidence):
    """Claim 10."""
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


def order_of_networks(evidence):
    """Claim 11."""
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
