import keras
import numpy as np
import pytest
import tensorflow as tf

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


@pytest.mark.parametrize(("size", "strides"), [(1, 1), (1, 2), (1, 3), (3, 1), (3, 2)])
@pytest.mark.parametrize("batch", [2, 3])
def test_gradients_are_those_of_numpy(size, strides, batch):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, 7, 8, 5)).astype("float32")
    inputs = keras.Input(x.shape[1:])
    model = keras.Model(inputs, convolution(inputs, 3, size, strides, name="conv"))
    kernel = model.get_layer("conv").kernel
    images = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = model(images)
        weights = rng.normal(size=outputs.shape)
        total = tf.reduce_sum(outputs * weights.astype("float32"))
    of_images, of_kernel = tape.gradient(total, [images, kernel.value])

    margin = [(size // 2, size // 2)] * 2
    padded = np.pad(x.astype("float64"), [(0, 0), *margin, (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    windows = windows[:, ::strides, ::strides]
    expected = np.einsum("nhwcij,nhwd->ijcd", windows, weights)
    np.testing.assert_allclose(of_kernel, expected, rtol=1e-4, atol=1e-4)
    expected = np.zeros_like(padded)
    for n, h, w in np.ndindex(*outputs.shape[:3]):
        rows, columns = (slice(strides * start, strides * start + size) for start in (h, w))
        expected[n, rows, columns] += np.asarray(kernel) @ weights[n, h, w]
    height, width = x.shape[1:3]
    expected = expected[:, size // 2 :, size // 2 :][:, :height, :width]
    np.testing.assert_allclose(of_images, expected, rtol=1e-4, atol=1e-4)


def test_weights_of_a_strided_convolution_are_kept(tmp_path):
    """A file written by a model whose layer had the stride itself goes into one of `convolution`."""
    inputs = keras.Input((6, 6, 5))
    x = keras.layers.Conv2D(4, 1, 2, use_bias=False, name="shortcut")(inputs)
    strided = keras.Model(inputs, logits(x, 3))
    x = convolution(inputs, 4, 1, 2, name="shortcut")
    model = keras.Model(inputs, logits(x, 3))
    assert [v.path for v in model.variables] == [v.path for v in strided.variables]
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 5)).astype("float32")
    for name in ("all.keras", "some.weights.h5"):
        (strided.save if name.endswith(".keras") else strided.save_weights)(tmp_path / name)
        for variable in model.variables:
            variable.assign(variable + 1)
        model.load_weights(tmp_path / name)
        np.testing.assert_allclose(model(x), strided(x), rtol=1e-5, atol=1e-6)


def test_a_model_with_a_strided_convolution_survives_saving(tmp_path):
    inputs = keras.Input((7, 8, 5))
    model = keras.Model(inputs, logits(convolution(inputs, 4, 1, 2, name="shortcut"), 3))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 5)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_logits_are_float32_whatever_the_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        inputs = keras.Input((2, 2, 3))
        model = keras.Model(inputs, logits(keras.layers.ReLU()(inputs), 5))
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = model(np.ones((1, 2, 2, 3)))
    assert (outputs.dtype, outputs.shape) == ("float32", (1, 5))
