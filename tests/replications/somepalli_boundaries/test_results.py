import types

import numpy as np
import pytest

from replications.somepalli_boundaries.results import (
    accuracy,
    agreement,
    diverged_names,
    not_diverged,
    plane_winners,
    score_and_error,
    threshold,
)
from replications.somepalli_boundaries.settings import Settings
from tests.made_rows import made_rows, made_run


def test_agreement_of_two_runs_by_hand(run_of):
    first, second = run_of([[[0, 1], [2, 3]], [[0, 0], [0, 0]]]), run_of([[[0, 1], [2, 2]], [[0, 0], [1, 1]]])
    assert agreement(first, second) == 5 / 8


def test_the_winner_of_a_plane_has_most_points():
    maps = np.array([[[[3, 3], [1, 3]], [[0, 2], [2, 2]]], [[[1, 1], [1, 1]], [[5, 5], [5, 4]]]], np.uint8)
    run = types.SimpleNamespace(arrays={"random_classes": maps})
    assert plane_winners(run, "uniform").tolist() == [3, 2]
    assert plane_winners(run, "shuffled").tolist() == [1, 5]


def test_score_and_its_error_over_planes(run_of):
    first = run_of([[[0, 1], [2, 3]], [[0, 0], [0, 0]]])
    second = run_of([[[0, 1], [2, 2]], [[0, 0], [1, 1]]])
    # 3/4 and 1/2 of the points.
    score, error = score_and_error(first, second)
    assert score == 0.625
    assert error == pytest.approx(np.std([0.75, 0.5], ddof=1) / np.sqrt(2))


def sweep(accuracies):
    found = []
    for width, values in accuracies.items():
        for seed, value in enumerate(values):
            settings = types.SimpleNamespace(width=width, seeds={"init_seed": seed})
            found.append((settings, made_run([{"metric": "train_accuracy", "value": value}])))
    return found


@pytest.mark.parametrize(
    "accuracies,expected",
    [
        ({1: [0.3, 0.2], 2: [0.94, 0.98], 4: [1.0, 1.0]}, 2),
        ({1: [0.3, 0.2], 2: [0.94, 0.95], 4: [1.0, 1.0]}, 4),
        ({1: [1.0, 1.0], 2: [0.5, 0.5], 4: [1.0, 1.0]}, 4),
        ({1: [0.3, 0.2], 2: [0.9, 0.9]}, None),
        ({1: [0.3, 0.2], 2: [0.9, np.nan], 4: [1.0, 1.0]}, 4),
    ],
)
def test_the_threshold_is_the_narrowest_width_from_which_all_fit(accuracies, expected):
    assert threshold(sweep(accuracies)) == expected


def run_with(values, status="done"):
    return made_run(made_rows(values), diverged=status == "diverged")


def test_accuracies_are_those_of_the_measured_network():
    """With --checkpoint=best_test they differ from those after the last epoch."""
    last = {"train_accuracy": 0.9, "test_accuracy": 0.5}
    run = run_with(last | {("accuracy", "all"): 0.8, ("accuracy", "test"): 0.6})
    assert (accuracy(run, "train"), accuracy(run, "test")) == (0.8, 0.6)
    run = run_with(last)
    assert (accuracy(run, "train"), accuracy(run, "test")) == (0.9, 0.5)


def test_diverged_runs_are_named():
    runs = [(Settings(seed=seed), run_with({}, "diverged" if seed else "done")) for seed in range(5)]
    assert [settings.seed for settings, _ in not_diverged(runs)] == [0]
    assert diverged_names(runs[:3]) == "seed=1; seed=2"
    assert diverged_names(runs) == "seed=1; seed=2; seed=3; and 1 more"
