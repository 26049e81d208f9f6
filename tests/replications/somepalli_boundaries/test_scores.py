import types

import numpy as np
import pandas as pd
import pytest

from common.metrics.reproducibility import group_reproducibility
from replications.somepalli_boundaries.scores import PairScores, matrix, score_and_error, threshold


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
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=0.01)
    assert matrix(runs)[cell].value == pytest.approx(expected.value, rel=1e-12)


def test_a_difference_of_a_cell_with_itself_is_zero_in_every_resample(runs):
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
            rows = pd.DataFrame([{"metric": "train_accuracy", "value": value}])
            found.append((settings, types.SimpleNamespace(rows=rows)))
    return found


@pytest.mark.parametrize(
    "accuracies,expected",
    [
        ({1: [0.3, 0.2], 2: [0.99, 1.0], 4: [1.0, 1.0]}, 2),
        ({1: [0.3, 0.2], 2: [0.96, 1.0], 4: [1.0, 1.0]}, 4),
        ({1: [1.0, 1.0], 2: [0.5, 0.5], 4: [1.0, 1.0]}, 4),
        ({1: [0.3, 0.2], 2: [0.9, 0.9]}, None),
    ],
)
def test_the_threshold_is_the_narrowest_width_from_which_all_fit(accuracies, expected):
    assert threshold(sweep(accuracies)) == expected
