"""Checks of the claims on randomized labels and pixels (figure 1 of Zhang et al. 2017 and of EE-411)."""

import dataclasses
import itertools

import numpy as np

from common.study.claims import claim
from common.study.decisions import MARGINS, described, equality, ordering, rate, together, trend
from common.study.effects import Effect, level, slope
from replications.zhang_randomization.claims.regularizers import chance_band
from replications.zhang_randomization.published import CHANCE, NETWORK_NAMES
from replications.zhang_randomization.results import (
    accuracy,
    all_fit,
    at_least,
    epochs_to_accuracy,
    epochs_to_fit,
    epochs_to_low_loss,
    fits,
    fitted_test_error,
    longer,
    shorter,
)

_ZHANG_1 = "Zhang et al., section 2.1, figure 1{}"
_SMALL_FACTOR = 4.0  # the axis of figure 1b ends near 4

_CONDITION_NAMES = {
    "true_labels": "true labels",
    "random_labels": "random labels",
    "shuffled_pixels": "shuffled pixels",
    "random_pixels": "random pixels",
    "gaussian_pixels": "Gaussian pixels",
}
_PIXELS = ("shuffled_pixels", "random_pixels", "gaussian_pixels")
_TIME = "epochs to a training loss of 0.1"
_STARTED = 0.2  # of ten classes, twice chance


def _conditions(names):
    return [{"condition": name} for name in names]


def _accuracies(evidence, quantity, measure, named):
    """A part that lists the mean of a measure for (name, settings), and is not judged."""
    return described(quantity, [(name, level("", evidence.table([p], measure).values)) for name, p in named])


def _all_fit(evidence, what, places):
    """As `all_fit`; but single runs that ended at their cap, which might fit later, contradict nothing.

    As many as one setting has do.
    """
    outcome = all_fit(evidence, what, places)
    fitted = evidence.table(places, lambda run: float(fits(run))).values
    few = np.sum(fitted == 1) > fitted.size * (len(places) - 1) / len(places)
    if outcome.verdict == "contradicted" and few:
        outcome = dataclasses.replace(outcome, verdict="open", p=np.nan)
    return outcome


@claim(
    1,
    "Inception fits the training set under all five conditions, even random labels and random pixels.",
    _ZHANG_1.format("a"),
    ("1a",),
    quote="But the networks we tested are still able to fit.",
    tests="In more than four of five runs of the five conditions 99 % of the training images are right at "
    "the end: more than all conditions but one could give. "
    "Contradicted where at least as many do not as one of them has runs, and so few fit that 99 % of all "
    "runs cannot.",
    confirmatory_from=1,
)
def all_conditions_fit(evidence):
    places = _conditions(_CONDITION_NAMES)
    named = zip(_CONDITION_NAMES.values(), places, strict=True)
    return together(
        _all_fit(evidence, "runs of the five conditions", places),
        _accuracies(evidence, "training accuracy (%)", accuracy("train"), named),
    )


def _slower(evidence, label, places, coefficients):
    return longer(evidence, _TIME, label, epochs_to_low_loss, places, coefficients, MARGINS["factor"])


def _times(evidence):
    """A part that lists the epochs of all conditions."""
    return _accuracies(
        evidence,
        f"{_TIME}, or all that a run had",
        at_least(epochs_to_low_loss),
        [(name, {"condition": condition}) for condition, name in _CONDITION_NAMES.items()],
    )


@claim(
    2,
    "Random labels take longer to start being fitted than true labels, and are fitted later.",
    _ZHANG_1.format("a"),
    ("1a",),
    quote="We expect the objective function to take longer to start decreasing on random labels",
    tests="Two parts: random labels take more epochs than true labels until a fifth of the training images, "
    "twice chance, is right as they are trained, and to a training loss of 0.1 (a tie: within a factor of "
    "1.5).",
    confirmatory_from=1,
)
def random_labels_after_true_labels(evidence):
    places, label = _conditions(["random_labels", "true_labels"]), "random over true labels"
    question, started = "epochs to 20 % of the training images", epochs_to_accuracy(_STARTED)
    return together(
        longer(evidence, question, label, started, places, [1, -1], MARGINS["factor"]),
        _slower(evidence, label, places, [1, -1]),
    )


@claim(
    3,
    "True labels are fitted first, then shuffled pixels, then random and Gaussian pixels, and random "
    "labels last.",
    _ZHANG_1.format("a"),
    ("1a",),
    quote='Also note that "random pixels" and "Gaussian" start converging faster than "random labels"',
    tests="Three steps of the order, each a ratio of epochs to a training loss of 0.1 above 1 (a tie: within "
    "a factor of 1.5): the three kinds of pixels after true labels, random and Gaussian pixels after "
    "shuffled ones, random labels after the three kinds of pixels.",
    confirmatory_from=1,
)
def order_of_conditions(evidence):
    third, half = 1 / 3, 1 / 2
    return together(
        _slower(
            evidence,
            "randomized pixels over true labels",
            _conditions([*_PIXELS, "true_labels"]),
            [third, third, third, -1],
        ),
        _slower(
            evidence,
            "random and Gaussian over shuffled pixels",
            _conditions([*_PIXELS[1:], _PIXELS[0]]),
            [half, half, -1],
        ),
        _slower(
            evidence,
            "random labels over randomized pixels",
            _conditions(["random_labels", *_PIXELS]),
            [1, -third, -third, -third],
        ),
        _times(evidence),
    )


@claim(
    4,
    "True and random labels reach zero loss; randomized pixels take longer or do not converge.",
    "EE-411, sections IV.A and VI, figure 2",
    ("1a_ee411",),
    quote="a rapid convergence to zero training loss, for the true labels and random labels case",
    tests="Three parts: runs of true and of random labels fit 99 % of the training images, more than one of "
    "the two could give; randomized pixels take more epochs to a training loss of 0.1 than true labels, and "
    "than random labels, each a ratio of geometric means above 1 (a tie: within a factor of 1.5).",
    confirmatory_from=1,
)
def pixels_after_labels(evidence):
    third, labels = 1 / 3, ("true_labels", "random_labels")
    parts = [
        _slower(
            evidence,
            f"randomized pixels over {_CONDITION_NAMES[condition]}",
            _conditions([*_PIXELS, condition]),
            [third, third, third, -1],
        )
        for condition in labels
    ]
    fitted = _all_fit(evidence, "runs of true and of random labels", _conditions(labels))
    return together(fitted, *parts, _times(evidence))


def _networks(evidence):
    """(network, name, its values of p) for every network of figure 1b."""
    for network in evidence.values("network"):
        yield network, NETWORK_NAMES[network], evidence.values("label_noise", network=network)


def _place(network, noise):
    return {"network": network, "label_noise": noise}


def _random_labels(evidence):
    return [(name, _place(network, noises[-1])) for network, name, noises in _networks(evidence)]


@claim(
    5,
    "Every network fits random labels.",
    _ZHANG_1.format("b"),
    ("1b",),
    quote="On the CIFAR10 dataset, Alexnet and MLPs all converge to zero loss on the training set.",
    tests="In more than two of three runs of the three networks at p = 1 99 % of the training images are "
    "right at the end: more than all networks but one could give. "
    "Contradicted where at least as many do not as one of them has runs, and so few fit that 99 % of all "
    "runs cannot.",
    confirmatory_from=1,
)
def random_labels_are_fitted(evidence):
    named = _random_labels(evidence)
    return together(
        _all_fit(evidence, "runs of all networks at p = 1", [place for _, place in named]),
        _accuracies(evidence, "training accuracy (%) at p = 1", accuracy("train"), named),
    )


@claim(
    6,
    "Fitting takes longer the more labels are corrupted.",
    _ZHANG_1.format("b"),
    ("1b",),
    quote="Figure 1b shows the slowdown of the convergence time with increasing level of label noises.",
    tests="For each network the slope over p of the logarithm of the epochs to fit is above 0 (a tie: a "
    "factor within 1.5 from p = 0 to 1).",
    confirmatory_from=1,
)
def slower_with_noise(evidence):
    question = "change of the epochs to fit from p = 0 to 1"
    parts = []
    for network, name, noises in _networks(evidence):
        places = [_place(network, noise) for noise in noises]
        coefficients = slope("", np.zeros((1, len(noises))), noises).coefficients
        parts.append(longer(evidence, question, name, epochs_to_fit, places, coefficients, MARGINS["factor"]))
    return together(*parts)


@claim(
    7,
    "Random labels slow fitting down by a small constant factor, at most about 4.",
    _ZHANG_1.format("b") + "; the words: section 1.1",
    ("1b",),
    quote="training time increases only by a small constant factor compared with training on the true labels",
    tests="For each network the epochs to fit at p = 1 are less than 4 times those at p = 0. A run at p = 1 "
    "that did not fit counts with all its epochs where these are more; else the part is open.",
    confirmatory_from=1,
)
def slowdown_is_small(evidence):
    parts = []
    for network, name, noises in _networks(evidence):
        question = "four times the epochs to fit at p = 0 over those at p = 1"
        clean, random = _place(network, noises[0]), _place(network, noises[-1])
        fit = epochs_to_fit
        parts.append(shorter(evidence, question, name, fit, random, fit, clean, _SMALL_FACTOR))
    return together(*parts)


@claim(
    8,
    "With any corrupted labels no network reaches 98 % training accuracy within 40 epochs.",
    "EE-411, section IV.B, figure 3",
    ("1b_ee411",),
    quote="the curves reach the maximum epochs for all p > 0",
    tests="Of the runs of all networks at all p > 0 those that hit the cap of 40 epochs before 98 % of the "
    "training images are right are more than all settings but one could give.",
    confirmatory_from=1,
    out_of_reach=dict.fromkeys(
        ("laptop", "smoke"),
        "40 epochs of 50,000 images are the statement, and epochs of fewer images are shorter",
    ),
)
def nothing_fits_in_40_epochs(evidence):
    if evidence.scale != "paper":
        return together(described("98 % training accuracy within 40 epochs", [("judged", "at paper scale")]))
    places = [_place(network, p) for network, _, noises in _networks(evidence) for p in noises[1:]]
    capped = np.isnan(evidence.table(places, epochs_to_fit).values)
    bound = (len(places) - 1) / len(places)
    return together(rate("runs at p > 0 hit the cap of 40 epochs", int(capped.sum()), capped.size, bound))


@claim(
    9,
    "With random labels the test error is 90 %, chance, for every network.",
    _ZHANG_1.format("c"),
    ("1c",),
    quote="As the noise level approaches 1, the generalization errors converge to 90%",
    tests="For each network that fits at p = 1 the test error is 90 % within 1 point (2 at laptop scale, "
    "whose test set is smaller).",
    confirmatory_from=1,
)
def error_at_random_labels(evidence):
    margin = chance_band(evidence.scale)
    return together(
        *(
            equality(
                "test error (%) at p = 1",
                level(name, evidence.table([place], fitted_test_error).values),
                margin,
                100 - CHANCE,
            )
            for name, place in _random_labels(evidence)
        )
    )


@claim(
    10,
    "The test error of each network rises with the part of the labels that is corrupted.",
    _ZHANG_1.format("c") + "; the words: section 1.1",
    ("1c",),
    quote="We observe a steady deterioration of the generalization error as we increase the noise level.",
    tests="For each network Page's trend test of the test error over p, of runs that fit.",
    confirmatory_from=1,
)
def error_grows_with_noise(evidence):
    return together(
        *(
            trend(
                f"test error of {name}",
                "p",
                evidence.table([_place(network, noise) for noise in noises], fitted_test_error).values,
            )
            for network, name, noises in _networks(evidence)
        )
    )


@claim(
    11,
    "At every corruption below 1 the MLP has the highest test error, then AlexNet, then Inception.",
    "Zhang et al., figure 1c; the words: EE-411, section IV.C",
    ("1c",),
    quote="the order of relative test error between the three models is the same as in the paper (MLP > "
    "AlexNet > Inception)",
    tests="The test error of fitted runs on equal images, averaged over the values of p below 1 that all "
    "networks have: MLP above AlexNet, and AlexNet above Inception (a tie: within 1 point).",
    confirmatory_from=1,
)
def order_of_networks(evidence):
    order = ("mlp_1x512", "alexnet", "inception")
    noises = sorted(set.intersection(*(set(noises) for _, _, noises in _networks(evidence))) - {1.0})
    parts = []
    for worse, better in itertools.pairwise(order):
        places = [_place(network, noise) for network in (worse, better) for noise in noises]
        values = evidence.table(places, fitted_test_error).values
        label = f"{NETWORK_NAMES[worse]} minus {NETWORK_NAMES[better]}"
        signs = np.repeat([1.0, -1.0], len(noises)) / len(noises)
        effect = Effect(label, values, signs)
        parts.append(ordering("test error (points) below p = 1", effect, margin=MARGINS["points"]))
    return together(*parts)


_MOST, _ALL = 0.9, 0.99


@claim(
    26,
    "Once the fitting of random labels starts, it converges quickly.",
    "Zhang et al., section 2.1, figure 1a",
    ("1b",),
    quote="once the fitting starts, it converges quickly",
    tests="For each network at p = 1 the last tenth is short: from 90 to 99 % of the training images, as "
    "they are trained, it takes fewer epochs than to 90 %. A run that does not get there counts with all its "
    "epochs where these are more; else the part is open.",
    confirmatory_from=1,
)
def fitting_is_quick_once_it_starts(evidence):
    parts = []
    for name, place in _random_labels(evidence):
        question = "twice the epochs to 90 % over those to 99 %"
        most, every = epochs_to_accuracy(_MOST), epochs_to_accuracy(_ALL)
        parts.append(shorter(evidence, question, name, every, place, most, place, 2.0))
    return together(*parts)


@claim(
    27,
    "All levels of corruption are fitted, not only p = 0 and 1.",
    _ZHANG_1.format("b"),
    ("1b",),
    quote="The networks fit the corrupted training set perfectly for all the cases.",
    tests="Of the runs of all networks at all values of p those with 99 % of the training images right at "
    "the end are more than all settings but one could give. "
    "Contradicted where at least as many do not as one of them has runs, and so few fit that 99 % of all "
    "runs cannot.",
    confirmatory_from=1,
)
def every_noise_is_fitted(evidence):
    places = [_place(network, p) for network, _, noises in _networks(evidence) for p in noises]
    return together(_all_fit(evidence, "runs of all networks at all p", places))
