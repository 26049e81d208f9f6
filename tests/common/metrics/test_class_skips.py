import numpy as np
import pytest
import tensorflow as tf

from common.metrics import classifier
from common.metrics.class_skips import class_skips


def stripes(x):
    """Class floor(x0) modulo 3, as logits."""
    return tf.one_hot(tf.cast(tf.floor(x[:, 0]), tf.int32) % 3, 3)


def test_stripes_crossed_by_a_segment():
    first = np.array([[0.5, 0.0], [0.5, 0.0], [4.5, 1.0], [0.5, 7.0]])
    second = np.array([[0.6, 9.0], [3.5, 0.0], [0.5, 2.0], [6.5, 7.0]])
    np.testing.assert_array_equal(class_skips(stripes, first, second, num_points=50), [0, 3, 4, 6])


def test_changes_between_two_points_are_not_seen():
    # Points at 0.5, 3.5 and 6.5: all of class 0.
    assert class_skips(stripes, [[0.5]], [[6.5]], num_points=3) == 0
    # Both ends are probed: 0.5 and 1.5.
    assert class_skips(stripes, [[0.5]], [[1.5]], num_points=2) == 1


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batches_and_blocks_do_not_change_the_counts(batch_size, monkeypatch):
    rng = np.random.default_rng(0)
    first, second = rng.uniform(0, 9, (2, 23, 4)).astype("float32")
    whole = class_skips(stripes, first, second, 30)
    floors = np.floor(first[:, :1] + np.linspace(0, 1, 30) * (second - first)[:, :1])
    np.testing.assert_array_equal(whole, (np.diff(floors, axis=1) != 0).sum(axis=1))
    monkeypatch.setattr(classifier, "_BLOCK_BYTES", 5 * 2 * 4 * 4)
    np.testing.assert_array_equal(class_skips(stripes, first, second, 30, batch_size), whole)


def test_invalid_arguments():
    with pytest.raises(ValueError, match=r"Received: first_images of shape \(1, 2\), second_images of shape"):
        class_skips(stripes, np.zeros((1, 2)), np.zeros((2, 2)), 5)
    with pytest.raises(ValueError, match=r"Received: num_points=1$"):
        class_skips(stripes, np.zeros((1, 2)), np.zeros((1, 2)), 1)
    with pytest.raises(ValueError, match="logits must be finite"):
        class_skips(lambda x: x * np.nan, np.zeros((1, 2)), np.ones((1, 2)), 5)
