import keras
import pytest

from common.training.operations import training_operations


def test_operations_by_hand():
    """A convolution, and a dense layer with its bias; three times the forward pass."""
    layers = keras.layers
    model = keras.Sequential(
        [keras.Input((6, 6, 3)), layers.Conv2D(4, 3, use_bias=False), layers.Flatten(), layers.Dense(5)]
    )
    convolution = 2 * 4 * 4 * 4 * 3 * 3 * 3
    dense = 2 * 64 * 5 + 5
    assert training_operations(model) == pytest.approx(3 * (convolution + dense))
