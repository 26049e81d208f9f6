import dataclasses
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common.metrics.prediction_difference import relative_prediction_difference
from common.models.convnet import convnet
from common.study.rows import by_metric
from common.study.runs import find_runs
from common.study.widths import by_width
from replications.smooth_interpolation import results as read
from replications.smooth_interpolation.presets import STUDY, runs_of_figure


def found(records, name="2", seeds=1):
    settings = [s for s in runs_of_figure(name, "smoke") for _ in range(seeds)]
    return [(s, run) for s, run in find_runs(STUDY, settings, records) if run]


def values(metric, subset, anchors, share):
    """A number that says where it stands."""
    order = {"all": 0, "clean": 1, "noisy": 2}
    if metric == "test_error":
        return 0.5 + 0.1 * share
    return 100 * order[subset] + anchors + share


def test_measures_are_found_by_subset_volume_and_epoch(write):
    (settings, *_) = runs_of_figure("2", "smoke")
    records = write(settings, values, {"train_accuracy": 0.75})
    (run,) = [run for _, run in found(records)]
    assert read.volume(run, "jacobian_norm") == 2
    assert read.volume(run, "jacobian_norm", "noisy", 7) == 208
    assert read.num_anchors(run) == 7
    assert read.test_error(run) == pytest.approx(60)
    assert read.train_error(run) == 25
    assert np.isnan(read.last(run, "validation_accuracy"))
    epochs, norms = read.history(run, "jacobian_norm", subset="clean", anchors=1)
    # 40^(i/6), and the end.
    np.testing.assert_array_equal(epochs, [1, 2, 3, 6, 12, 22, 40])
    np.testing.assert_allclose(norms, 101 + epochs / 40)


def family(write, accuracies):
    """Runs of figure 2 with the training accuracies of each seed, one a width."""
    for seed, column in enumerate(accuracies):
        for settings, accuracy in zip(runs_of_figure("2", "smoke"), column, strict=True):
            records = write(settings, values, {"train_accuracy": accuracy}, seed)
    wanted = [dataclasses.replace(s, seed=seed) for seed in range(3) for s in runs_of_figure("2", "smoke")]
    return by_width([(s, run) for s, run in find_runs(STUDY, wanted, records) if run])


@pytest.mark.parametrize(
    ("accuracies", "threshold"),
    [
        ([(0.5, 1.0, 1.0)], 2),
        ([(0.5, 0.999, 1.0)], 4),
        ([(0.5, 0.6, 0.7)], None),
        # Of two seeds the smaller of their own, of three the middle one; what never fits is the largest.
        ([(0.5, 1.0, 1.0), (0.5, 0.9, 1.0)], 2),
        ([(0.5, 1.0, 1.0), (0.5, 0.9, 1.0), (0.5, 0.9, 1.0)], 4),
        ([(0.5, 1.0, 1.0), (0.5, 0.9, 0.9), (0.5, 0.9, 0.9)], None),
        # A leap back at a larger width is none of the threshold's business.
        ([(0.5, 1.0, 0.4)], 2),
    ],
)
def test_the_threshold_is_the_median_of_the_smallest_widths_without_training_errors(
    write, accuracies, threshold
):
    groups = family(write, accuracies)
    assert list(groups) == [1, 2, 4]
    assert read.interpolation_threshold(groups) == threshold


def test_resnets_interpolate_at_98_percent():
    def run(accuracy):
        place = {"metric": "train_accuracy", "value": accuracy, "statistic": "run", "epoch": 9}
        record = {"settings": {"network": "resnet18w"}}
        return SimpleNamespace(record=record, diverged=False, by_metric=by_metric(pd.DataFrame([place])))

    runs = {1: run(0.5), 2: run(np.float32(0.98)), 4: run(1.0)}
    assert read.own_threshold(runs) == 2
    assert read.own_threshold(runs, share=1.0) == 4
    runs[1].diverged = True
    assert read.own_threshold(runs) is None


def test_a_leap_in_the_last_epoch_is_no_outlier():
    late = [(4, 9.0), (89, 8.0), (90, 9.0), (92, 1.0), (94, 3.0), (96, 2.0), (98, 4.0), (100, 50.0)]
    rows = [
        {"metric": metric, "value": value, "epoch": epoch, "subset": "all", "anchors": anchors}
        | {"statistic": "late" if 90 < epoch < 100 else "run"}
        for metric in ("test_accuracy", "jacobian_norm")
        for epoch, value in late
        for anchors in (1, 2)
        if anchors == 1 or epoch == 100
    ]
    run = SimpleNamespace(by_metric=by_metric(pd.DataFrame(rows)), rows=pd.DataFrame(rows))
    assert read.late(run, "jacobian_norm", subset="all", anchors=1) == 3.5  # of six, from epoch 90 on
    assert read.volume(run, "jacobian_norm") == 3.5
    assert read.volume(run, "jacobian_norm", anchors=2) == 50.0  # volumes are measured at the end alone
    assert np.isnan(read.late(run, "no such metric"))
    np.testing.assert_array_equal(read.history(run, "jacobian_norm", anchors=1)[0], [4, 89, 90, 100])


@pytest.mark.parametrize(("width", "number"), [(1, 510), (10, 39_030), (15, 86_890), (64, 1_556_106)])
def test_weights_of_the_convnet(width, number):
    assert read.num_weights(width) == number
    assert convnet(width, num_classes=10).count_params() == number


def test_only_seeds_that_all_widths_have_are_shown(write):
    groups = family(write, [(0.5, 1.0, 1.0)])
    (narrow, *_) = runs_of_figure("2", "smoke")
    records = write(narrow, values, {"train_accuracy": 0.5}, seed=1)
    pairs = found(records) + [(s, run) for s, run in find_runs(STUDY, [narrow], records)]
    groups = by_width(pairs)
    assert {width: list(members) for width, members in groups.items()} == {1: [0], 2: [0], 4: [0]}


def predictions(seed):
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(50, 10))
    logarithms = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = np.arange(50) % 10
    return {"test_log_probabilities": logarithms.astype(np.float16), "test_labels": labels.astype(np.uint8)}


def test_prediction_difference_is_that_of_the_metric(write):
    settings = runs_of_figure("2", "smoke")[0]
    for seed in (0, 1):
        records = write(settings, values, {"train_accuracy": 1.0}, seed, predictions(seed))
    first, second = (
        run
        for s in runs_of_figure("pd", "smoke")
        if s.width == 1
        for _, run in find_runs(STUDY, [s], records)
    )
    of_labels = [
        np.exp(predictions(seed)["test_log_probabilities"].astype(np.float64))[
            np.arange(50), np.arange(50) % 10
        ]
        for seed in (0, 1)
    ]
    expected = relative_prediction_difference(*of_labels)
    assert read.prediction_difference(first, second) == pytest.approx(expected, rel=1e-12)
    assert read.prediction_difference(first, first) == 0
    classes = [predictions(seed)["test_log_probabilities"].argmax(axis=1) for seed in (0, 1)]
    assert read.disagreement(first, second) == 100 * np.mean(classes[0] != classes[1])
    assert read.over_pairs(read.disagreement, {0: first, 1: second, 2: first}) == [
        read.disagreement(first, second),
        0,
        read.disagreement(second, first),
    ]
