import types

import numpy as np
import pytest

from common.metrics.reproducibility import group_reproducibility
from common.statistics import around
from replications.somepalli_boundaries.results import (
    PairScores,
    accuracy,
    diverged_names,
    matrix,
    not_diverged,
    score_and_error,
    threshold,
)
from replications.somepalli_boundaries.settings import Settings
from tests.made_rows import made_rows, made_run


@pytest.fixture
def runs(run_of):
    rng = np.random.default_rng(0)
    return {name: [run_of(rng.integers(0, 2, (4, 5, 5))) for _ in range(3)] for name in "ab"}


def maps(members):
    return [run.arrays["score_classes"] for run in members]


@pytest.mark.parametrize("cell", [("a", "a"), ("a", "b")])
def test_one_cell_is_the_score_of_the_group(runs, cell):
    other = None if cell == ("a", "a") else maps(runs["b"])
    expected = group_reproducibility(maps(runs["a"]), other)
    found = PairScores(runs).estimate(((1.0, cell),))
    assert found.value == pytest.approx(expected.value, rel=1e-12)
    inside = around(found.value, (found.high - found.low) / 2, "fraction")  # as scores are shown
    assert inside == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert matrix(runs)[cell].value == pytest.approx(expected.value, rel=1e-12)


def test_a_difference_of_a_cell_with_itself_is_zero(runs):
    found = PairScores(runs).estimate(((1.0, ("a", "a")), (-1.0, ("a", "a"))))
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_two_seeds_have_one_pair_and_no_interval(runs):
    pairs = PairScores({"a": runs["a"][:2]})
    found = pairs.estimate(((1.0, ("a", "a")),))
    first, second = maps(runs["a"][:2])
    assert found.value == pytest.approx(np.mean(first == second))
    assert np.isnan(found.low)
    alone = PairScores({"a": runs["a"][:1]}).estimate(((1.0, ("a", "a")),))
    assert np.isnan(alone.value)


def test_the_interval_narrows_with_the_confidence(runs):
    wide, narrow = (PairScores(runs).estimate(((1.0, ("a", "b")),), confidence) for confidence in (0.99, 0.5))
    assert wide.low <= narrow.low <= narrow.value <= narrow.high <= wide.high


@pytest.fixture
def run_with_ones(run_of):
    """A run with one plane of 20 points, of the second class at some of them."""

    def make(places):
        classes = np.zeros((1, 20, 1))
        classes[0, list(places)] = 1
        return run_of(classes)

    return make


def test_the_lowest_mean_score_by_resampling_networks(run_with_ones):
    """Scores of "narrow" are 0.6 in every pair; those of "wide" 0.5, 0.75, 0.75, so one pair is below."""
    narrow = [run_with_ones(places) for places in ((), range(8), range(4, 12))]
    wide = [run_with_ones(places) for places in ((), range(10), range(5))]
    pairs = PairScores({"narrow": narrow, "wide": wide})
    # The pair below is all of one resample in four.
    found = pairs.lowest({"narrow": 1, "wide": 2})
    assert (found.value, found.low, found.high, found.n) == (1, 1, 2, 3)
    found = pairs.lowest({"narrow": 1, "wide": 2}, confidence=0.4)
    assert (found.low, found.high) == (1, 1)
    certain = PairScores({"narrow": [run_with_ones(())] * 3, "wide": wide}).lowest({"narrow": 1, "wide": 2})
    assert (certain.value, certain.low, certain.high) == (2, 2, 2)


def test_the_lowest_mean_score_of_two_seeds_has_no_interval(runs):
    pairs = PairScores({name: members[:2] for name, members in runs.items()})
    scores = [np.mean(np.equal(*maps(runs[name][:2]))) for name in "ab"]
    found = pairs.lowest({"a": 1, "b": 2})
    assert found.value == 1 + int(np.argmin(scores))
    assert np.isnan(found.low)
    alone = PairScores({name: members[:1] for name, members in runs.items()})
    assert np.isnan(alone.lowest({"a": 1, "b": 2}).value)


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
