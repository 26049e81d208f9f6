import itertools

import numpy as np
import pytest
import tensorflow as tf

from common.data.colour_jitter import (
    COLOUR_CLIPS,
    apply_jitter,
    compose,
    in_sequence,
    jitter_coefficients,
    jitter_parameters,
)

KEY = np.array([3, 4], "uint32")
WEIGHTS = np.array([0.2989, 0.587, 0.114])


def one_after_the_other(image, factors, order, clip="none"):
    """torchvision's three operations in the stated order, each result clipped or none."""
    brightness, contrast, saturation = factors
    for operation in order:
        grey = image @ WEIGHTS if image.shape[-1] == 3 else image[..., 0]
        if operation == 0:
            image = brightness * image
        elif operation == 1:
            image = contrast * image + (1 - contrast) * np.mean(grey)
        else:
            image = saturation * image + (1 - saturation) * grey[..., np.newaxis]
        if clip == "code":
            image = np.clip(image, 0, 1)
    return image


@pytest.mark.parametrize("clip", COLOUR_CLIPS)
@pytest.mark.parametrize("num_channels", [1, 3])
def test_coefficients_equal_the_operations_one_after_the_other(num_channels, clip):
    generator = np.random.default_rng(0)
    images = generator.random((2, 5, 4, num_channels))
    orders = np.array(list(itertools.permutations(range(3))))
    orders = np.broadcast_to(orders, (2, 6, 3))
    factors = generator.uniform(0.5, 1.5, (2, 6, 3))
    coefficients = compose(factors, orders, num_channels) if clip == "none" else in_sequence(factors, orders)
    results = apply_jitter(tf.constant(images, tf.float32), coefficients, clip).numpy()
    assert results.shape == (2, 6, 5, 4, num_channels)
    for sample, copy in itertools.product(range(2), range(6)):
        expected = one_after_the_other(images[sample], factors[sample, copy], orders[sample, copy], clip)
        np.testing.assert_allclose(results[sample, copy], expected, atol=1e-6)


def test_operations_by_hand():
    image = np.array([[[[0.0, 0.5, 1.0]]]], "float32")
    luma = 0.587 / 2 + 0.114
    factors = np.array([[[0.5, 1, 1], [1, 0.5, 1], [1, 1, 0.5], [1, 1, 1]]])
    coefficients = compose(factors, np.broadcast_to([0, 1, 2], factors.shape))
    # An image of one pixel: contrast and saturation both move it half way to its luma.
    toward_luma = [luma / 2, 0.25 + luma / 2, 0.5 + luma / 2]
    expected = [[0, 0.25, 0.5], toward_luma, toward_luma, [0, 0.5, 1]]
    np.testing.assert_allclose(
        apply_jitter(tf.constant(image), coefficients)[0, :, 0, 0], expected, atol=1e-6
    )


def test_each_operation_is_clipped_by_hand():
    image = tf.constant([[[[1.0, 0.5, -0.5]]]])
    factors, orders = np.full((1, 1, 3), [1.5, 0.5, 1]), np.array([[[0, 1, 2]]])
    copies = apply_jitter(image, in_sequence(factors, orders), clip="code")
    # Brightness: (1.5, 0.75, -0.75), clipped to (1, 0.75, 0); contrast: half way to the luma of that.
    luma = 0.2989 + 0.75 * 0.587
    expected = [0.5 + luma / 2, 0.375 + luma / 2, luma / 2]
    np.testing.assert_allclose(copies[0, 0, 0, 0], expected, rtol=1e-6)


def test_nothing_is_clipped_by_default():
    factors = np.full((1, 1, 3), [1.5, 1, 1])
    coefficients = compose(factors, np.array([[[0, 1, 2]]]))
    images = tf.constant([[[[1.0, -0.5, 0.5]]]])
    np.testing.assert_allclose(apply_jitter(images, coefficients)[0, 0], [[[1.5, -0.75, 0.75]]], rtol=1e-6)


def test_draws_depend_on_key_sample_and_copy_alone():
    factors, orders = jitter_parameters(KEY, np.arange(10), 4)
    some_factors, some_orders = jitter_parameters(KEY, [7, 2], 2)
    np.testing.assert_array_equal(some_factors, factors[[7, 2], :2])
    np.testing.assert_array_equal(some_orders, orders[[7, 2], :2])
    assert len(np.unique(factors)) == factors.size
    other_factors, _ = jitter_parameters(KEY + np.uint32(1), np.arange(10), 4)
    assert not np.any(other_factors == factors)


def test_distribution_of_factors_and_orders():
    factors, orders = jitter_parameters(KEY, np.arange(5000), 4)
    assert factors.min() >= 0.99
    assert factors.max() < 1.01
    # 20,000 draws of each factor: standard error of the mean 4.1e-5, of a sixth 0.0026.
    np.testing.assert_allclose(factors.mean(axis=(0, 1)), 1, atol=2e-4)
    np.testing.assert_allclose(factors.std(axis=(0, 1)), 0.01 / np.sqrt(3), rtol=0.03)
    np.testing.assert_allclose(np.corrcoef(factors.reshape(-1, 3).T), np.eye(3), atol=0.04)
    _, counts = np.unique(orders.reshape(-1, 3), axis=0, return_counts=True)
    np.testing.assert_allclose(counts / 20000, np.full(6, 1 / 6), atol=0.013)


def test_seeds_differ():
    a, b = (jitter_coefficients(seed, np.arange(3), 4) for seed in (0, 1))
    assert a.shape == (3, 4, 1, 3)
    assert a.dtype == np.float32
    assert not np.any(a[..., 0] == b[..., 0])


def test_clipped_copies_have_the_same_colours():
    clipped, composed = (jitter_coefficients(0, np.arange(3), 4, clip=clip) for clip in ("code", "none"))
    assert clipped.shape == (3, 4, 3, 3)
    images = tf.constant(np.random.default_rng(1).uniform(0.3, 0.7, (3, 5, 4, 3)), tf.float32)
    # In the middle of the range 1 % reaches no limit.
    np.testing.assert_allclose(
        apply_jitter(images, clipped, "code"), apply_jitter(images, composed), atol=1e-6
    )


def test_two_channels_have_no_luma():
    with pytest.raises(ValueError, match="1 or 3 channels. Received: num_channels=2$"):
        apply_jitter(tf.zeros((1, 2, 2, 2)), np.zeros((1, 4, 1, 3), "float32"))


def test_other_clips_are_refused():
    with pytest.raises(ValueError, match="one of .'none', 'code'.. Received: 'both'$"):
        apply_jitter(tf.zeros((1, 2, 2, 3)), np.zeros((1, 4, 1, 3), "float32"), "both")
