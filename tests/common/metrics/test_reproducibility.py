import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from common.metrics.reproducibility import (
    group_reproducibility,
    reproducibility_matrix,
    reproducibility_score,
    triplet_agreement,
)

label_maps = arrays(np.uint8, (3, 4, 4), elements=st.integers(0, 2))


def networks(num_networks, error, seed, num_triplets=40):
    """Label maps that differ from a common one at a random fraction `error` of the points."""
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(99).integers(0, 10, (num_triplets, 10, 10))
    wrong = rng.random((num_networks, *common.shape)) < error
    return np.where(wrong, rng.integers(0, 10, wrong.shape), common).astype(np.uint8)


def test_agreement_by_hand():
    a = np.array([[[0, 1], [2, 3]], [[5, 5], [5, 5]]])
    b = np.array([[[0, 1], [2, 9]], [[5, 5], [0, 0]]])
    np.testing.assert_array_equal(triplet_agreement(a, b), [0.75, 0.5])
    assert reproducibility_score(a, b) == 0.625


def test_agreement_of_unsigned_labels_does_not_wrap():
    assert reproducibility_score(np.zeros((1, 4), np.uint8), np.full((1, 4), 256, np.int16)) == 0


@given(label_maps, label_maps)
def test_properties(a, b):
    score = reproducibility_score(a, b)
    assert 0 <= score <= 1
    assert score == reproducibility_score(b, a)
    assert reproducibility_score(a, a) == 1
    equal = sum(x == y for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    assert score == pytest.approx(equal / 48, abs=1e-15)


def on_logits(score, reach):
    """Student's interval of a score, with its reach on the scale of logits."""
    factor = np.exp(reach / (score * (1 - score)))
    odds = score / (1 - score)
    return odds / (factor + odds), odds * factor / (1 + odds * factor)


def test_a_group_against_itself_leaves_out_the_identical_network():
    group = networks(3, 0.3, seed=0)
    cell = group_reproducibility(group)
    ordered = [reproducibility_score(group[i], group[j]) for i, j in itertools.permutations(range(3), 2)]
    assert cell.value == pytest.approx(np.mean(ordered), rel=1e-14)
    assert (cell.num_models, cell.num_pairs) == ((3, 3), 3)
    # Without one of three networks one pair is left; Student's t for two degrees of freedom is 4.303.
    pairs = [reproducibility_score(group[i], group[j]) for i, j in itertools.combinations(range(3), 2)]
    reach = 4.3027 * np.sqrt(2 / 3 * np.sum((pairs - np.mean(pairs)) ** 2))
    assert (cell.low, cell.high) == pytest.approx(on_logits(cell.value, reach), rel=1e-4)


def test_two_groups_use_every_pair():
    a, b = networks(3, 0.3, seed=0), networks(2, 0.1, seed=1)
    cell = group_reproducibility(a, b)
    scores = [reproducibility_score(x, y) for x in a for y in b]
    assert cell.value == pytest.approx(np.mean(scores), rel=1e-14)
    assert (cell.num_models, cell.num_pairs) == ((3, 2), 6)
    assert cell.low < cell.value < cell.high


def test_a_network_in_both_groups_is_refused():
    maps = networks(4, 0.2, seed=0)
    for first, second in ((maps[:3], maps[2:]), (list(maps[:3]), list(maps[2:]))):
        with pytest.raises(ValueError, match="in both groups"):
            group_reproducibility(first, second)
    assert group_reproducibility(maps[:2], maps[2:]).num_pairs == 4


def test_the_interval_between_groups_adds_the_variances_of_both():
    a, b = networks(3, 0.3, seed=0), networks(4, 0.1, seed=1)
    scores = np.array([[reproducibility_score(x, y) for y in b] for x in a])
    # A mean over rows and columns: what one network changes is its row's or its column's mean.
    variances = scores.mean(axis=1).var(ddof=1) / 3, scores.mean(axis=0).var(ddof=1) / 4
    freedom = sum(variances) ** 2 / (variances[0] ** 2 / 2 + variances[1] ** 2 / 3)
    reach = stats.t.ppf(0.9, freedom) * np.sqrt(sum(variances))
    cell = group_reproducibility(a, b, confidence=0.8)
    assert (cell.low, cell.high) == pytest.approx(on_logits(scores.mean(), reach), rel=1e-12)


def test_the_interval_does_not_shrink_with_more_triplets():
    # The networks differ in quality: more triplets of the same three say nothing about a fourth.
    def width(num_triplets):
        errors = (0.05, 0.2, 0.5)
        group = [networks(1, error, seed, num_triplets)[0] for seed, error in enumerate(errors)]
        cell = group_reproducibility(group)
        return cell.high - cell.low

    assert width(160) == pytest.approx(width(20), rel=0.1)


def test_intervals_are_undefined_for_too_few_networks():
    one, two, three = (networks(number, 0.2, seed=number) for number in (1, 2, 3))
    alone = group_reproducibility(one)
    assert np.isnan([alone.value, alone.low, alone.high]).all()
    assert alone.num_pairs == 0
    for cell, num_pairs in (
        (group_reproducibility(one, three), 3),
        (group_reproducibility(three, one), 3),
        (group_reproducibility(two), 1),  # a single pair has no spread
    ):
        assert 0 < cell.value < 1
        assert np.isnan([cell.low, cell.high]).all()
        assert cell.num_pairs == num_pairs


def test_the_matrix_holds_every_ordered_pair_of_groups():
    groups = {"wide": networks(3, 0.1, 0), "plain": networks(2, 0.3, 1), "other": networks(1, 0.5, 2)}
    matrix = reproducibility_matrix(groups)
    assert set(matrix) == set(itertools.product(groups, repeat=2))
    for a, b in matrix:
        assert matrix[a, b].num_models == (len(groups[a]), len(groups[b]))
        assert matrix[a, b].num_pairs == matrix[b, a].num_pairs
        np.testing.assert_equal(matrix[a, b].value, matrix[b, a].value)
    assert matrix["wide", "wide"] == group_reproducibility(groups["wide"])
    assert matrix["wide", "plain"] == group_reproducibility(groups["wide"], groups["plain"])
    assert matrix["wide", "wide"].value > matrix["wide", "plain"].value > matrix["plain", "plain"].value


def test_invalid_arguments():
    with pytest.raises(
        ValueError, match=r"Received: labels_a of shape \(1, 4\), labels_b of shape \(2, 4\)$"
    ):
        reproducibility_score(np.zeros((1, 4)), np.zeros((2, 4)))
    for shape in ((0, 4), (4,), (2, 0)):
        with pytest.raises(ValueError, match="with points"):
            triplet_agreement(np.zeros(shape), np.zeros(shape))
    with pytest.raises(ValueError, match="Received: 0 and 0 networks$"):
        group_reproducibility([])
