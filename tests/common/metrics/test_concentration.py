import math

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy import optimize

from common.metrics.concentration import concentration_bound, outputs_and_slopes, smallest_lipschitz


def test_bound_by_hand():
    # With t = 1 / (pi * sqrt(n)) and L = 1 the fraction is exp(-2 / pi).
    for num_pixels in (4, 3072):
        t = 1 / (math.pi * math.sqrt(num_pixels))
        assert concentration_bound(t, 1.0, num_pixels) == pytest.approx(1 - math.exp(-2 / math.pi), rel=1e-13)
    # n = 3072, t = 0.1, L = 10: 1 - 10 * exp(-0.6144 * pi) / (0.1 * pi * sqrt(3072)).
    expected = 1 - 10 * math.exp(-0.6144 * math.pi) / (0.1 * math.pi * math.sqrt(3072))
    assert concentration_bound(0.1, 10.0, 3072) == pytest.approx(expected, rel=1e-13)
    assert concentration_bound(0.1, 1.0, 3072) == 1.0


def test_bound_falls_with_lipschitz_and_rises_with_distance():
    lipschitz = np.geomspace(0.1, 1000, 50)
    bounds = concentration_bound(np.array([[0.1], [0.2]]), lipschitz, 3072)
    assert bounds.shape == (2, 50)
    assert np.all(np.diff(bounds, axis=1) <= 0) and np.all(bounds[1] >= bounds[0])
    assert bounds[0, -1] < 0


def test_smallest_lipschitz_inverts_the_bound():
    values = np.random.default_rng(0).beta(2, 5, size=501)
    t = np.array([0.01, 0.05, 0.2, 0.4])
    found = smallest_lipschitz(values, t, 3072)
    for distance, lipschitz in zip(t, found, strict=True):
        inside = np.mean(np.abs(values - np.median(values)) <= distance)
        root = optimize.brentq(
            lambda x, d=distance, p=inside: concentration_bound(d, x, 3072) - p, 1e-3, 1e5, xtol=1e-12
        )
        assert lipschitz == pytest.approx(root, rel=1e-9)


def test_smallest_lipschitz_where_all_values_lie_inside():
    assert smallest_lipschitz([0.4, 0.5, 0.6], 0.2, 3072) == 0
    # The extremes lie outside 0.05: two thirds of the sample.
    assert smallest_lipschitz([0.4, 0.5, 0.6], 0.05, 3072) > 0


def test_the_mean_of_the_pixels_obeys_the_lemma():
    # |mean(x) - mean(y)| <= |x - y| / sqrt(n): L = 1.
    values = np.random.default_rng(0).random((20_000, 48)).mean(axis=1)
    t = np.linspace(0.005, 0.2, 40)
    inside = np.mean(np.abs(values - np.median(values))[:, None] <= t, axis=0)
    assert np.all(inside >= concentration_bound(t, 1.0, 48))
    assert 0.3 < smallest_lipschitz(values, t, 48).max() <= 1


@pytest.mark.parametrize("batch_size", [4, 10, 64])
def test_outputs_and_slopes_of_a_logistic_model(batch_size):
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(2, 3, 2))
    model = keras.Sequential([keras.Input((2, 3, 2)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.set_weights([np.stack([np.zeros(12), kernel.ravel()], axis=1), np.array([0.0, 0.3])])
    probabilities, slopes = outputs_and_slopes(model, (2, 3, 2), 10, np.random.default_rng(5), batch_size)
    assert probabilities.shape == slopes.shape == (10, 2)
    # sigmoid(w . x + b) has the gradient sigmoid * (1 - sigmoid) * w; sqrt(n) = sqrt(12).
    positive = probabilities[:, 1].astype("float64")
    expected = math.sqrt(12) * positive * (1 - positive) * np.linalg.norm(kernel)
    np.testing.assert_allclose(slopes, np.stack([expected, expected], axis=1), rtol=1e-4)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    first = np.random.default_rng(5).random((min(batch_size, 10), 2, 3, 2), dtype=np.float32)[0]
    odds = math.exp(float((first * kernel).sum()) + 0.3)
    assert positive[0] == pytest.approx(odds / (1 + odds), rel=1e-5)


def test_slopes_are_those_in_inference_mode():
    model = keras.Sequential([keras.Input((8,)), keras.layers.BatchNormalization(), keras.layers.Dense(3)])
    _, slopes = outputs_and_slopes(model, (8,), 6, np.random.default_rng(0))
    images = np.random.default_rng(0).random((6, 8), dtype=np.float32)
    step = 1e-3 * np.random.default_rng(1).normal(size=images.shape).astype("float32")
    outputs = [tf.nn.softmax(model(x, training=False)).numpy() for x in (images - step, images + step)]
    observed = np.sqrt(8) * np.abs(outputs[1] - outputs[0])
    assert np.all(observed <= slopes * 2 * np.linalg.norm(step, axis=1, keepdims=True) * 1.01 + 1e-6)


def test_invalid_arguments():
    with pytest.raises(ValueError, match=r"`t` must be finite and greater than 0. Received: t=0$"):
        concentration_bound(0, 1, 3072)
    with pytest.raises(ValueError, match=r"Received: lipschitz=-1$"):
        concentration_bound(0.1, -1, 3072)
    with pytest.raises(ValueError, match=r"values in \[0, 1\]"):
        smallest_lipschitz([0.5, 1.5], 0.1, 3072)
    with pytest.raises(ValueError, match=r"Received: num_images=0$"):
        outputs_and_slopes(tf.identity, (2,), 0, np.random.default_rng(0))
