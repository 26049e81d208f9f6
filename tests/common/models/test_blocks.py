import keras
import numpy as np
import pytest

from common.models.blocks import convolution, logits


def apply(x, **arguments):
    """Convolves one channel with a kernel of ones."""
    inputs = keras.Input(x.shape)
    ones = keras.initializers.Ones()
    outputs = convolution(inputs, 1, name="conv", initialization=ones, **arguments)
    return np.asarray(keras.Model(inputs, outputs)(x[None]))[0, :, :, 0]


@pytest.mark.parametrize(("padding", "rows"), [("symmetric", [3, 9]), ("same", [6, 7])])
def test_padding_of_stride_2(padding, rows):
    # Rows of value 1, 2, 3, 4 / 3 so that a window's three columns add up to the row numbers. Symmetric
    # padding sums the rows (-, 1, 2) and (2, 3, 4), "same" (1, 2, 3) and (3, 4, -).
    x = np.repeat(np.arange(1, 5, dtype="float32")[:, None, None] / 3, 4, axis=1)
    y = apply(x, size=3, strides=2, padding=padding)
    assert y.shape == (2, 2)
    whole_column = 1 if padding == "symmetric" else 0
    np.testing.assert_allclose(y[:, whole_column], rows, rtol=1e-6)


@pytest.mark.parametrize(("size", "strides"), [(1, 1), (1, 2), (3, 1), (3, 2), (5, 2)])
@pytest.mark.parametrize("side", [7, 8])
def test_symmetric_padding_samples_every_stride_th_position(size, strides, side):
    x = np.random.default_rng(0).normal(size=(side, side, 1)).astype("float32")
    dense = apply(x, size=size)
    np.testing.assert_allclose(
        apply(x, size=size, strides=strides), dense[::strides, ::strides], rtol=1e-4, atol=1e-5
    )


def test_logits_are_float32_whatever_the_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((2, 2, 3))
        model = keras.Model(inputs, logits(keras.layers.ReLU()(inputs), 5))
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = model(np.ones((1, 2, 2, 3)))
    assert (outputs.dtype, outputs.shape) == ("float32", (1, 5))
