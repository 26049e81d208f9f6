"""Checks of the claims on regularizers: figure 2 and table 1 of Zhang et al. 2017, EE-411, section V."""

import itertools
import math

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import NOT_JUDGED, Outcome, Sample, above, below, compare, near_published
from replications.zhang_randomization.claims.fitting import FITTED, chance, on_equal_images
from replications.zhang_randomization.published import (
    EE411_BATCH_NORM_GAIN,
    EE411_NO_REGULARIZER,
    EE411_WEIGHT_DECAY,
    TABLE_1,
    table_row,
)
from replications.zhang_randomization.results import (
    accuracy,
    difference,
    final_training_accuracy,
    first_epoch,
    fitted_test_accuracy,
    paired,
    rows_of,
    sample,
    time_ratio,
)

_TABLE_1 = "Zhang et al., table 1"


# Batch size, weight decay and initial weights are not published: an accuracy counts as replicated within two
# points, a difference of accuracies, in which most of that cancels, within one.
_TOLERANCE, _GAIN_TOLERANCE = 2.0, 1.0
_CONVERGED = 0.99
# A network that generalizes without regularizers has at least twice the accuracy of chance.
_GENERALIZES = above(20)

_NO_REGULARIZER = {"decay_weights": False}
_WEIGHT_DECAY = {"decay_weights": True, "dropout": 0.0}
_ALL_REGULARIZERS = {"decay_weights": True, "dropout": 0.05}
_WITH_BN, _DOWNSAMPLE_BN = {"batch_norm": "all"}, {"batch_norm": "downsample"}


def _test_accuracy_halfway(run):
    """Test accuracy, in percent, after half of the epochs: EE-411 compares after 50 of 100."""
    rows = rows_of(run, "test_accuracy")
    rows = rows[rows.epoch <= run.record["settings"]["epochs"] / 2]
    return 100 * float(rows.value.iloc[-1]) if len(rows) else math.nan


@claim(
    12,
    "Weight decay is slightly better: 88.9 % test accuracy after 50 epochs against 87.2 % without.",
    "EE-411, section V.A, figure 5",
    ("2a",),
)
def weight_decay_gain(evidence):
    half, quantity = _test_accuracy_halfway, "test accuracy (%) after half of the epochs"
    gain = difference(evidence, "with weight decay minus without", half, _WEIGHT_DECAY, _NO_REGULARIZER)
    levels = [
        near_published(evidence.scale, quantity, sample(evidence, name, half, place), number, _TOLERANCE)
        for name, place, number in (
            ("without regularizers", _NO_REGULARIZER, EE411_NO_REGULARIZER),
            ("with weight decay", _WEIGHT_DECAY, EE411_WEIGHT_DECAY),
        )
    ]
    return together(compare(quantity, [gain], above(0)), *levels)


@claim(
    13,
    "With weight decay training takes longer to converge.",
    "EE-411, section V.A, figure 5",
    ("2a",),
)
def weight_decay_is_slower(evidence):

    def converged(run):
        return first_epoch(run, "batch_accuracy", lambda value: value >= _CONVERGED)

    slower = time_ratio(evidence, "with weight decay over without", _WEIGHT_DECAY, _NO_REGULARIZER, converged)
    return together(compare("epochs until 99 % of the training images are right", [slower], above()))


@claim(
    14,
    "With weight decay, dropout and augmentation training has not converged after 100 epochs.",
    "EE-411, section V.A, figure 5",
    ("2a",),
)
def all_regularizers_do_not_converge(evidence):
    found = sample(evidence, "with all three regularizers", accuracy("train"), _ALL_REGULARIZERS)
    quantity = "training accuracy (%) at the end"
    if evidence.scale != "paper":
        text = f"{quantity}, {found.label}, is {found.estimate()}, judged after 100 epochs only"
        return together(Outcome(NOT_JUDGED, text))
    return together(compare(quantity, [found], below(100 * _CONVERGED)))


def _without_bn(evidence):
    """Settings of Inception without batch normalization: at a small rate, and at the published one."""
    rates = evidence.values("learning_rate", batch_norm="none")
    return [{"batch_norm": "none", "learning_rate": rate} for rate in (rates[0], rates[-1])]


@claim(
    15,
    "Batch normalization improves the test accuracy of Inception.",
    "Zhang et al., figure 2b",
    ("2b",),
)
def batch_norm_helps(evidence):
    small, _ = _without_bn(evidence)
    label = f"with minus without batch normalization (rate {small['learning_rate']:g})"
    gain = difference(evidence, label, fitted_test_accuracy, _WITH_BN, small)
    return together(compare("test accuracy (points)", [gain], above(0)))


@claim(
    16,
    "Without batch normalization Inception stays at 10 % training and test accuracy.",
    "EE-411, section V.B, figure 6",
    ("2b",),
)
def no_batch_norm_stays_at_chance(evidence):
    _, large = _without_bn(evidence)
    rate, outcomes = f"rate {large['learning_rate']:g}", []
    for part in ("train", "test"):
        label, (values,) = paired(evidence, rate, _raw_accuracy(part), large)
        quantity, found = f"{part} accuracy (%) without batch normalization", Sample(label, values)
        if evidence.scale == "paper":
            outcomes.append(compare(quantity, [found], chance(evidence, 1.0)))
        else:
            text = f"{quantity}, {label}, is {found.estimate()}, judged at the published rate only"
            outcomes.append(Outcome(NOT_JUDGED, text))
    return together(*outcomes)


def _raw_accuracy(part):
    """Accuracy in percent, also of a run that diverged: it predicts one class."""

    def value(run):
        return 100 * float(rows_of(run, f"{part}_accuracy").value.iloc[-1])

    return value


@claim(
    17,
    "With batch normalization in the two downsample modules only Inception trains, and is 2 points worse "
    "than with all of it.",
    "EE-411, section V.B, figure 6",
    ("2b",),
)
def downsample_batch_norm(evidence):
    places = _WITH_BN, _DOWNSAMPLE_BN
    gain = difference(evidence, "in all modules minus in two", fitted_test_accuracy, *places)
    trained = sample(evidence, "in two modules", accuracy("test"), _DOWNSAMPLE_BN)
    quantity = "test accuracy with batch normalization"
    return together(
        compare(f"{quantity} (%)", [trained], _GENERALIZES),
        compare(f"{quantity} (points)", [gain], above(0)),
        near_published(evidence.scale, f"{quantity} (points)", gain, EE411_BATCH_NORM_GAIN, _GAIN_TOLERANCE),
    )


@claim(
    18,
    "In every row of the table the training set is fitted (99.3 to 100 %), and with random labels the "
    "test accuracy is chance (9.8 to 10.6 %).",
    _TABLE_1,
    ("table1",),
)
def every_row_is_fitted(evidence):
    train = [sample(evidence, row.name, final_training_accuracy, row.settings) for row in TABLE_1]
    test = [
        sample(evidence, row.name, accuracy("test"), row.settings) for row in TABLE_1 if row.random_labels
    ]
    return together(
        compare("training accuracy (%)", train, FITTED),
        compare("test accuracy (%)", test, chance(evidence)),
    )


@claim(
    19,
    "Test accuracies with true labels, from 89.31 % (Inception with crop) to 50.39 % (MLP 1x512).",
    _TABLE_1,
    ("table1",),
)
def accuracies_of_table_1(evidence):
    return together(
        *(
            near_published(
                evidence.scale,
                "test accuracy (%)",
                sample(evidence, row.name, accuracy("test"), row.settings),
                row.test,
                _TOLERANCE,
            )
            for row in TABLE_1
            if not row.random_labels
        )
    )


def _row(network, crop=False, decay=False, batch_norm=True):
    return table_row(network=network, batch_norm=batch_norm, crop=crop, decay=decay, random_labels=False)


def _gain(evidence, label, top, bottom):
    """Sample of a gain in test accuracy between two rows, and the published one."""
    found = difference(evidence, label, fitted_test_accuracy, top.settings, bottom.settings)
    return found, top.test - bottom.test


def _published_gains(evidence, gains):
    return [
        near_published(evidence.scale, "test accuracy (points)", found, round(number, 2), _GAIN_TOLERANCE)
        for found, number in gains
    ]


@claim(
    20,
    "Random crops regularize more than weight decay: Inception gains 3.56 points against 0.28, AlexNet "
    "3.59 against 1.29.",
    _TABLE_1,
    ("table1",),
)
def crop_beats_weight_decay(evidence):
    advantages, gains = [], []
    for network in ("inception", "alexnet"):
        plain, crop, decay = _row(network), _row(network, crop=True), _row(network, decay=True)
        advantages.append(_gain(evidence, f"{plain.group}, crop minus weight decay", crop, decay)[0])
        gains += [
            _gain(evidence, f"{plain.group}, {row.variant} minus none", row, plain) for row in (crop, decay)
        ]
    return together(
        compare("test accuracy (points)", advantages, above(0)), *_published_gains(evidence, gains)
    )


@claim(
    21,
    "Batch normalization is worth 3.75 points to Inception, and 3.03 with weight decay.",
    _TABLE_1,
    ("table1",),
)
def batch_norm_gain(evidence):
    gains = [
        _gain(
            evidence,
            f"with minus without batch normalization, {words} weight decay",
            _row("inception", decay=decay),
            _row("inception", decay=decay, batch_norm=False),
        )
        for decay, words in ((False, "without"), (True, "with"))
    ]
    signs = compare("test accuracy (points)", [found for found, _ in gains], above(0))
    return together(signs, *_published_gains(evidence, gains))


@claim(
    22,
    "Without regularizers Inception is best, then AlexNet, then the MLP 3x512.",
    _TABLE_1,
    ("table1",),
)
def order_of_table_1(evidence):
    order = ("inception", "alexnet", "mlp_3x512")
    gaps = [
        _gain(evidence, f"{_row(a).group} minus {_row(b).group}", _row(a), _row(b))[0]
        for a, b in itertools.pairwise(order)
    ]
    return together(on_equal_images(evidence, order, compare("test accuracy (points)", gaps, above(0))))


@claim(
    23,
    "The MLP 3x512 is better than the MLP 1x512 (1.88 points, and 2.96 with weight decay).",
    _TABLE_1,
    ("table1",),
)
def deeper_mlp_is_better(evidence):
    gains = [
        _gain(
            evidence,
            f"MLP 3x512 minus 1x512, {words} weight decay",
            _row("mlp_3x512", decay=decay),
            _row("mlp_1x512", decay=decay),
        )
        for decay, words in ((False, "without"), (True, "with"))
    ]
    signs = compare("test accuracy (points)", [found for found, _ in gains], above(0))
    return together(signs, *_published_gains(evidence, gains))


@claim(
    24,
    "Weight decay slightly hurts Inception with crop (-0.26 points) and the MLP 1x512 (-0.12).",
    _TABLE_1,
    ("table1",),
)
def weight_decay_hurts(evidence):
    gains = []
    for network, crop in (("inception", True), ("mlp_1x512", False)):
        plain, decay = (_row(network, crop=crop, decay=decay) for decay in (False, True))
        gains.append(_gain(evidence, f"{plain.name}, with weight decay minus without", decay, plain))
    signs = compare("test accuracy (points)", [found for found, _ in gains], below(0))
    return together(signs, *_published_gains(evidence, gains))


@claim(
    25,
    "Without any explicit regularizer every network still generalizes, far above chance.",
    _TABLE_1,
    ("table1",),
)
def generalizes_without_regularizers(evidence):
    rows = [row for row in TABLE_1 if row.variant == "no regularizer"]
    samples = [sample(evidence, row.group, fitted_test_accuracy, row.settings) for row in rows]
    return together(compare("test accuracy (%) without regularizers", samples, _GENERALIZES))
