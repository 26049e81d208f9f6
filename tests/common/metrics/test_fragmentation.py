import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from common.metrics.fragmentation import fragmentation_score, fragmentation_scores


def drawn(*rows):
    return np.array([[int(character) for character in row] for row in rows])


def flood_fill_count(label_map):
    """Regions counted by walking from each point that was not yet reached."""
    unseen = {(i, j) for i in range(label_map.shape[0]) for j in range(label_map.shape[1])}
    count = 0
    while unseen:
        count += 1
        stack = [unseen.pop()]
        while stack:
            i, j = stack.pop()
            for neighbour in [(i + di, j + dj) for di in (-1, 0, 1) for dj in (-1, 0, 1)]:
                if neighbour in unseen and label_map[neighbour] == label_map[i, j]:
                    unseen.remove(neighbour)
                    stack.append(neighbour)
    return count


@pytest.mark.parametrize(
    ("label_map", "expected"),
    [
        (drawn("0000", "0000"), 1),
        (drawn("7777", "7777"), 1),
        (drawn("0101", "1010"), 2),  # checkers touch at their corners
        (drawn("010", "010", "010"), 3),
        (drawn("000", "010", "000"), 2),  # an island in a ring
        (drawn("1000", "0000", "0001"), 3),
        (drawn("3300", "3300", "0033", "0033"), 2),
        (drawn("33000", "33000", "00000", "00033"), 3),
        (drawn("12221", "21112", "22222"), 2),  # two lines that cross at corners
        (drawn("122221", "211112", "200002", "222222"), 3),
    ],
)
def test_regions_drawn_by_hand(label_map, expected):
    assert fragmentation_score(label_map) == expected


@given(arrays(np.uint8, (6, 7), elements=st.integers(0, 2)))
def test_score_by_flood_fill(label_map):
    assert fragmentation_score(label_map) == flood_fill_count(label_map)
    assert fragmentation_score(label_map.T) == fragmentation_score(label_map)
    assert fragmentation_score(label_map) >= len(np.unique(label_map))


def test_many_maps_keep_their_axes():
    maps = np.random.default_rng(0).integers(0, 4, (2, 3, 8, 8)).astype(np.uint8)
    scores = fragmentation_scores(maps)
    assert scores.shape == (2, 3)
    for index in np.ndindex(2, 3):
        assert scores[index] == flood_fill_count(maps[index])
    assert fragmentation_scores(maps[0, 0]) == scores[0, 0]


def test_invalid_arguments():
    with pytest.raises(ValueError, match=r"Received: label_map of shape \(4,\) and type int64$"):
        fragmentation_score(np.zeros(4, np.int64))
    with pytest.raises(ValueError, match="type float64$"):
        fragmentation_score(np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"Received: label_maps of shape \(4,\)$"):
        fragmentation_scores(np.zeros(4, int))
    with pytest.raises(ValueError, match="with points"):
        fragmentation_scores(np.zeros((0, 4, 4), int))
