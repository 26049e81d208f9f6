import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.svd_paths import (
    STRENGTHS,
    decompose,
    erase,
    erasure_masks,
    erasure_windows,
    segment_lengths,
    svd_paths,
)
from common.errors import UserError


def random_images(shape=(3, 32, 32, 3), seed=0):
    return np.random.default_rng(seed).random(shape, dtype="float32")


def erase_directly(channel, indices):
    """One channel without the singular values of the stated 0-based indices."""
    left, singular_values, right = np.linalg.svd(channel.astype("float64"))
    singular_values[list(indices)] = 0
    return left @ np.diag(singular_values) @ right


def test_windows_of_the_paper_by_hand():
    windows = erasure_windows(32, num_paths=4)
    assert windows.shape == (4, 6, 2)
    # Path 0 erases the k smallest of 32 values, path 3 skips the three smallest.
    assert windows[0].tolist() == [[27, 32], [22, 32], [17, 32], [12, 32], [10, 32], [7, 32]]
    assert windows[3].tolist() == [[24, 29], [19, 29], [14, 29], [9, 29], [7, 29], [4, 29]]


def test_eight_paths_end_at_the_largest_singular_value():
    assert erasure_windows(32, num_paths=8)[7, 5].tolist() == [0, 25]
    with pytest.raises(UserError, match="9 paths of strength 25 need 33 singular values.*have 32"):
        erasure_windows(32, num_paths=9)


@given(st.integers(1, 8), st.sets(st.integers(1, 25), min_size=1))
def test_masks_hold_as_many_ones_as_the_strength(num_paths, strengths):
    strengths = sorted(strengths)
    masks = erasure_masks(erasure_windows(32, num_paths, strengths), 32)
    np.testing.assert_array_equal(masks.sum(axis=1), strengths * num_paths)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((32, 0), "number of paths must be at least 1, not 0"),
        ((32, 4, (5, 5)), r"positive and increasing, not \(5, 5\)"),
        ((32, 4, (0, 5)), r"positive and increasing, not \(0, 5\)"),
        ((28, 5), "have 28: lower the strengths or the number of paths$"),
    ],
)
def test_impossible_windows(arguments, message):
    with pytest.raises(UserError, match=message) as error:
        erasure_windows(*arguments)
    assert "\n" not in str(error.value)


def test_a_diagonal_image_loses_its_smallest_entries():
    # The singular values of a diagonal matrix are its entries: here 4, 3, 2, 1 in this order.
    image = np.diag([4.0, 3.0, 2.0, 1.0])[np.newaxis, :, :, np.newaxis]
    paths = svd_paths(image, num_paths=2, strengths=(1, 2))[0, ..., 0]
    expected = [[[4, 3, 2, 0], [4, 3, 0, 0]], [[4, 3, 0, 1], [4, 0, 0, 1]]]
    np.testing.assert_allclose(np.diagonal(paths, axis1=2, axis2=3), expected, atol=1e-6)
    off_diagonal = paths * (1 - np.eye(4))
    np.testing.assert_allclose(off_diagonal, 0, atol=1e-6)


@pytest.mark.parametrize("num_paths", [4, 8])
def test_paths_equal_decompositions_made_for_each_erasure(num_paths):
    images = random_images()
    paths = svd_paths(images, num_paths)
    assert paths.shape == (3, num_paths, 6, 32, 32, 3)
    assert paths.dtype == np.float32
    for path in range(num_paths):
        for anchor, strength in enumerate(STRENGTHS):
            indices = range(32 - strength - path, 32 - path)
            for image, result in zip(images, paths[:, path, anchor], strict=True):
                for channel in range(3):
                    expected = erase_directly(image[..., channel], indices)
                    np.testing.assert_allclose(result[..., channel], expected, atol=2e-6)


def test_nothing_is_clipped():
    image = np.zeros((1, 8, 8, 1), "float32")
    image[0, :4, :4] = image[0, 4:, 4:] = 1
    image[0, 0, 7] = 1
    paths = svd_paths(image, 1, (1, 6, 7))
    assert paths.min() < -0.01
    assert paths.max() > 1.001


@pytest.mark.parametrize("shape", [(2, 32, 32, 3), (2, 12, 20, 1), (2, 20, 12, 3)])
def test_one_erasure_is_the_same_in_a_compiled_program(shape):
    images = random_images(shape)
    rank = min(shape[1:3])
    windows = erasure_windows(rank, 2, (3, 7))
    paths = svd_paths(images, 2, (3, 7)).reshape(2, 4, *shape[1:])
    scaled_left, _, right = decompose(images)
    for anchor, mask in enumerate(erasure_masks(windows, rank)):
        np.testing.assert_allclose(erase(images, scaled_left, right, mask), paths[:, anchor], atol=1e-6)


def test_an_empty_window_returns_the_image_exactly():
    images = random_images()
    scaled_left, _, right = decompose(images)
    np.testing.assert_array_equal(erase(images, scaled_left, right, np.zeros(32, "float32")), images)


@pytest.mark.parametrize("num_paths", [1, 4, 8])
def test_segment_lengths_are_distances_of_normalised_images(num_paths):
    images = random_images()
    mean, std = np.array([0.49, 0.48, 0.45]), np.array([0.2023, 0.1994, 0.2010])
    base = np.broadcast_to(images[:, None, None], (3, num_paths, 1, 32, 32, 3))
    anchors = np.concatenate([base, svd_paths(images, num_paths)], axis=2).astype("float64")
    steps = np.diff((anchors - mean) / std, axis=2)
    expected = np.sqrt(np.sum(steps**2, axis=(3, 4, 5)))
    lengths = segment_lengths(decompose(images)[1], erasure_windows(32, num_paths), std)
    np.testing.assert_allclose(lengths, expected, rtol=1e-5)


def test_lengths_of_tiny_singular_values_keep_their_precision():
    singular_values = np.array([[[1e3, 1e-6, 1e-7]]])
    lengths = segment_lengths(singular_values, erasure_windows(3, 1, (1, 2)), std=[0.5])
    np.testing.assert_allclose(lengths, [[[2e-7, 2e-6]]], rtol=1e-12)


def test_no_strengths_give_no_anchors():
    windows = erasure_windows(32, 4, ())
    assert windows.shape == (4, 0, 2)
    assert segment_lengths(np.ones((2, 3, 32)), windows, np.ones(3)).shape == (2, 4, 0)
