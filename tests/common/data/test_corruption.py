import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from common.data.corruption import (
    channel_statistics,
    gamba_asymmetric_labels,
    gamba_symmetric_labels,
    gaussian_pixels,
    nakkiran_labels,
    permute_pixels,
    pixel_permutation,
    pluskid_labels,
    random_pixels,
    shuffled_pixels,
    somepalli_labels,
    zhang_labels,
)
from common.errors import UserError


@pytest.fixture
def legacy_random_state():
    """Puts NumPy's global generator back: the official programs seed it."""
    state = np.random.get_state()
    yield
    np.random.set_state(state)


def class_labels(num_per_class=5_000, num_classes=10, seed=0):
    labels = np.repeat(np.arange(num_classes, dtype=np.int32), num_per_class)
    return np.random.default_rng(seed).permutation(labels)


def some_images(num_images=6, seed=0):
    return np.random.default_rng(seed).random((num_images, 8, 8, 3), dtype=np.float32)


def uniform_pvalue(values, num_values):
    return stats.chisquare(np.bincount(values, minlength=num_values)).pvalue


# Every rule as a function (labels, rate, generator); 10 classes.
RULES = {
    "zhang": lambda labels, rate, rng: zhang_labels(labels, rate, 10, rng),
    "nakkiran": lambda labels, rate, rng: nakkiran_labels(labels, rate, 10, rng),
    "somepalli": lambda labels, rate, rng: somepalli_labels(labels, rate, 10),
    "gamba_symmetric": lambda labels, rate, rng: gamba_symmetric_labels(labels, rate, 10, rng),
    "gamba_asymmetric": lambda labels, rate, rng: gamba_asymmetric_labels(labels, 10, rate, 10, rng),
    "pluskid": lambda labels, rate, rng: pluskid_labels(labels, labels, rate, 10)[1],
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_returns_new_labels_of_the_same_kind(rule):
    labels = class_labels(50)
    before = labels.copy()
    for rate in (0, 0.2, 1):
        corrupted = RULES[rule](labels, rate, np.random.default_rng(0))
        assert corrupted is not labels
        assert corrupted.dtype == np.int32
        assert corrupted.shape == labels.shape
        assert corrupted.min() >= 0
        assert corrupted.max() <= 9
        assert np.array_equal(corrupted, labels) == (rate == 0)
    np.testing.assert_array_equal(labels, before)


@pytest.mark.parametrize("rate", [-0.1, 1.5, np.nan])
@pytest.mark.parametrize("rule", RULES)
def test_rate_outside_0_to_1(rule, rate):
    with pytest.raises(ValueError, match=rf"must be from 0 to 1. Received: \w+={rate}$"):
        RULES[rule](class_labels(2), rate, np.random.default_rng(0))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("labels", [[12, 3, 15, 9], [-1, 0, 1, 2]])
def test_labels_that_are_no_class(rule, labels):
    with pytest.raises(ValueError, match="must be from 0 to 9"):
        RULES[rule](np.array(labels), 0.0, np.random.default_rng(0))


@pytest.mark.parametrize("num_classes,labels", [(1, [0, 0]), (1000, np.array([250, 3], np.uint8))])
def test_numbers_of_classes_that_no_label_can_have(num_classes, labels):
    with pytest.raises(ValueError, match="`num_classes` must be at least 2 and no more than"):
        zhang_labels(np.array(labels), 0.5, num_classes, np.random.default_rng(0))


@pytest.mark.parametrize("rule", ["nakkiran", "somepalli", "gamba_symmetric", "gamba_asymmetric"])
def test_no_label_stays_true_at_rate_1(rule):
    labels = class_labels(500)
    corrupted = RULES[rule](labels, 1.0, np.random.default_rng(0))
    assert np.all(corrupted != labels)
    assert uniform_pvalue((corrupted - labels) % 10 - 1, 9) > 1e-4


@pytest.mark.parametrize(("rule", "wrong_at_1"), [("zhang", 0.9), ("nakkiran", 1.0), ("pluskid", 0.9)])
@pytest.mark.parametrize("probability", [0.2, 0.5])
def test_independent_rules_corrupt_the_expected_fraction(rule, wrong_at_1, probability):
    labels = class_labels()
    corrupted = RULES[rule](labels, probability, np.random.default_rng(1))
    num_wrong = np.count_nonzero(corrupted != labels)
    assert stats.binomtest(num_wrong, 50_000, wrong_at_1 * probability).pvalue > 1e-4
    # Not an exact count: the draws are independent.
    assert num_wrong != round(wrong_at_1 * probability * 50_000)


def test_zhang_random_labels_are_uniform_whatever_the_true_label():
    labels = class_labels()
    corrupted = zhang_labels(labels, 1.0, 10, np.random.default_rng(2))
    for label in range(10):
        assert uniform_pvalue(corrupted[labels == label], 10) > 1e-4


@pytest.mark.parametrize("rule", ["zhang", "nakkiran"])
def test_a_larger_probability_replaces_more_of_the_same(rule):
    labels = class_labels(500)
    fewer, more = (RULES[rule](labels, rate, np.random.default_rng(3)) for rate in (0.2, 0.6))
    wrong = fewer != labels
    np.testing.assert_array_equal(more[wrong], fewer[wrong])


def official_somepalli(labels, rate):
    """The rule of somepago/dbViz, call for call, with NumPy's global generator as there."""
    targets = [int(label) for label in labels]
    members = [[i for i, target in enumerate(targets) if target == label] for label in range(10)]
    total = int(rate * len(targets))
    chosen = []
    for label in range(10):
        np.random.seed(42)
        chosen += list(np.random.choice(np.array(members[label]), int(total / 10), replace=False))
    for i in chosen:
        others = [label for label in range(10) if label != targets[i]]
        targets[i] = np.random.choice(others)
    return np.array(targets)


@pytest.mark.parametrize(("num_per_class", "rate"), [(5_000, 0.2), (5_000, 0.29), (37, 0.4)])
def test_somepalli_is_the_official_assignment(num_per_class, rate, legacy_random_state):
    labels = class_labels(num_per_class)
    np.testing.assert_array_equal(somepalli_labels(labels, rate, 10), official_somepalli(labels, rate))


def test_somepalli_leaves_the_global_generator_alone(legacy_random_state):
    np.random.seed(7)
    expected = np.random.rand()
    np.random.seed(7)
    somepalli_labels(class_labels(10), 0.2, 10)
    assert np.random.rand() == expected


def test_somepalli_counts_are_exact_in_every_class():
    labels = class_labels()
    corrupted = somepalli_labels(labels, 0.2, 10)
    assert np.bincount(labels[corrupted != labels]).tolist() == [1_000] * 10
    # int(0.29 * 50,000) = 14,499 in floating point, as in the official code.
    corrupted = somepalli_labels(labels, 0.29, 10)
    assert np.bincount(labels[corrupted != labels]).tolist() == [1_449] * 10


def test_somepalli_with_a_class_too_small():
    labels = np.array([0] * 30 + [1] * 2)
    with pytest.raises(UserError, match=r"^--label_noise=0.5: class 1 has 2 images, fewer than the 8 to"):
        somepalli_labels(labels, 0.5, 2)


def official_gamba_symmetric(labels, rate, num_classes, seed):
    """`corrupt_labels` of magamba/double_descent, call for call."""
    rng = np.random.default_rng(seed)
    count = round(len(labels) * rate)
    noise = np.zeros(len(labels), int)
    noise[0:count] = rng.integers(1, num_classes, (count,))
    return (labels + noise[rng.permutation(len(labels))]) % num_classes


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 20), st.integers(1, 300), st.floats(0, 1), st.integers(0, 2**32), st.integers(0, 2**32))
def test_gamba_symmetric_counts_are_exact_and_the_official_assignment(
    num_classes, num_labels, rate, seed, label_seed
):
    labels = np.random.default_rng(seed).integers(0, num_classes, num_labels)
    corrupted = gamba_symmetric_labels(labels, rate, num_classes, np.random.default_rng(label_seed))
    assert np.count_nonzero(corrupted != labels) == round(rate * num_labels)
    expected = official_gamba_symmetric(labels, rate, num_classes, label_seed)
    np.testing.assert_array_equal(corrupted, expected)


def test_gamba_symmetric_on_the_49_000_of_the_paper():
    labels = class_labels()[:49_000]
    corrupted = gamba_symmetric_labels(labels, 0.2, 10, np.random.default_rng(0))
    counts = np.bincount(labels[corrupted != labels])
    assert counts.sum() == 9_800
    assert np.any(counts != 980)


def official_gamba_asymmetric(labels, rate, num_classes, seed):
    """`corrupt_labels_asymmetric` of magamba/double_descent, call for call; classes of equal size."""
    rng = np.random.default_rng(seed)
    per_class = len(labels) // num_classes
    targets = labels.copy()
    for label in range(round(len(labels) * rate) // int(0.8 * per_class)):
        shuffle = rng.permutation(per_class)
        noise = np.zeros(per_class, int)
        noise[: int(per_class * 0.8)] = rng.integers(1, num_classes, (int(per_class * 0.8),))
        targets[labels == label] = (targets[labels == label] + noise[shuffle]) % num_classes
    return targets


def test_gamba_asymmetric_first_classes_are_the_official_assignment():
    labels = class_labels(500, 100)
    corrupted = gamba_asymmetric_labels(labels, 25, 0.8, 100, np.random.default_rng(5), classes="first")
    np.testing.assert_array_equal(corrupted, official_gamba_asymmetric(labels, 0.2, 100, seed=5))
    assert np.bincount(labels[corrupted != labels], minlength=100).tolist() == [400] * 25 + [0] * 75


def test_gamba_asymmetric_random_classes_of_the_paper():
    labels = class_labels(500, 100)
    chosen = []
    for seed in range(2):
        corrupted = gamba_asymmetric_labels(labels, 20, 0.8, 100, np.random.default_rng(seed))
        wrong = corrupted != labels
        counts = np.bincount(labels[wrong], minlength=100)
        assert np.count_nonzero(wrong) == 8_000
        assert sorted(counts) == [0] * 80 + [400] * 20
        assert uniform_pvalue((corrupted[wrong] - labels[wrong]) % 100 - 1, 99) > 1e-4
        chosen.append(set(np.flatnonzero(counts)))
    assert chosen[0] != chosen[1]
    assert set(range(20)) not in chosen


def test_gamba_asymmetric_counts_in_classes_of_unequal_size():
    labels = np.array([0] * 5 + [1] * 9 + [2] * 1 + [3] * 20)
    corrupted = gamba_asymmetric_labels(labels, 3, 0.8, 4, np.random.default_rng(0), classes="first")
    # 0.8 of 5, 9 and 1, rounded down.
    assert np.bincount(labels[corrupted != labels], minlength=4).tolist() == [4, 7, 0, 0]


def test_gamba_asymmetric_invalid_arguments():
    labels, rng = class_labels(5), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"from 0 to 10. Received: num_corrupted_classes=11$"):
        gamba_asymmetric_labels(labels, 11, 0.8, 10, rng)
    with pytest.raises(ValueError, match=r"Received: classes='last'$"):
        gamba_asymmetric_labels(labels, 2, 0.8, 10, rng, classes="last")


def test_pluskid_is_the_official_assignment_on_both_sets(legacy_random_state):
    sets = class_labels(50, seed=1), class_labels(20, seed=2)
    for labels, corrupted in zip(sets, pluskid_labels(*sets, 0.3, 10), strict=True):
        expected = labels.copy()
        np.random.seed(12345)
        mask = np.random.rand(len(labels)) <= 0.3
        expected[mask] = np.random.choice(10, mask.sum())
        np.testing.assert_array_equal(corrupted, expected)
        assert np.any(corrupted != labels)


def test_shuffled_pixels_are_one_permutation_for_all_images_and_channels():
    images, test_images = some_images(6), some_images(4, seed=1)
    permutation = pixel_permutation((8, 8, 3), np.random.default_rng(3))
    assert sorted(permutation) == list(range(64))
    assert not np.array_equal(permutation, np.arange(64))
    for originals in (images, test_images):
        before = originals.copy()
        result = permute_pixels(originals, permutation)
        for image, permuted in zip(originals, result, strict=True):
            for place, source in enumerate(permutation):
                np.testing.assert_array_equal(permuted[place // 8, place % 8], image[source // 8, source % 8])
        np.testing.assert_array_equal(shuffled_pixels(originals, np.random.default_rng(3)), result)
        np.testing.assert_array_equal(originals, before)
        assert result.dtype == np.float32


def test_random_pixels_are_a_permutation_for_each_image():
    image = np.arange(64, dtype=np.float32)[:, None] + np.array([0, 100, 200], np.float32)
    images = np.tile(image.reshape(1, 8, 8, 3), (2_000, 1, 1, 1))
    result = random_pixels(images, np.random.default_rng(4)).reshape(2_000, 64, 3)
    sources = result[:, :, 0].astype(int)
    # The channels of a pixel stay together, and none is lost.
    np.testing.assert_array_equal(result[:, :, 1], result[:, :, 0] + 100)
    np.testing.assert_array_equal(result[:, :, 2], result[:, :, 0] + 200)
    np.testing.assert_array_equal(np.sort(sources, axis=1), np.tile(np.arange(64), (2_000, 1)))
    assert len(np.unique(sources, axis=0)) == 2_000
    for place in (0, 31, 63):
        assert uniform_pvalue(sources[:, place], 64) > 1e-4


def test_channel_statistics():
    images = some_images(50) * np.array([1, 0.5, 0.1], np.float32) + np.array([0, 0.2, 0.9], np.float32)
    mean, variance = channel_statistics(images)
    columns = images.reshape(-1, 3).astype(np.float64)
    np.testing.assert_allclose(mean, columns.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(variance, columns.var(axis=0), rtol=1e-5)


def normal_pvalue(values, mean, variance):
    return stats.kstest((np.ravel(values) - mean) / np.sqrt(variance), "norm").pvalue


def test_gaussian_pixels_of_the_whole_set():
    images = some_images(300) ** 4 * np.array([1, 0.5, 0.25], np.float32)
    test_images = some_images(200, seed=1)
    mean, variance = channel_statistics(images)
    train = gaussian_pixels(images, np.random.default_rng(5))
    test = gaussian_pixels(test_images, np.random.default_rng(6), statistics=(mean, variance))
    for original, result in ((images, train), (test_images, test)):
        assert result.shape == original.shape
        assert result.dtype == np.float32
        for channel in range(3):
            assert normal_pvalue(result[..., channel], mean[channel], variance[channel]) > 1e-4
        # Pixels of an image share nothing: image means vary as means of 64 independent values.
        image_means = result[..., 0].mean(axis=(1, 2))
        assert normal_pvalue(image_means, mean[0], variance[0] / 64) > 1e-4


def test_gaussian_pixels_of_each_image():
    contrast = np.linspace(0.1, 1, 100, dtype=np.float32)[:, None, None, None]
    images = some_images(100) * contrast + np.array([0, 0.2, 0.4], np.float32)
    result = gaussian_pixels(images, np.random.default_rng(7), statistics="image")
    mean, variance = images.mean(axis=(1, 2), dtype=np.float64), images.var(axis=(1, 2), dtype=np.float64)
    standardized = (result - mean[:, None, None]) / np.sqrt(variance)[:, None, None]
    assert normal_pvalue(standardized, 0, 1) > 1e-4
    # So are the first, dark images and the last, bright ones alone.
    assert normal_pvalue(standardized[:5], 0, 1) > 1e-4
    assert normal_pvalue(standardized[-5:], 0, 1) > 1e-4


def test_gaussian_pixels_unknown_statistics():
    with pytest.raises(ValueError, match=r"Received: statistics='batch'$"):
        gaussian_pixels(some_images(2), np.random.default_rng(0), statistics="batch")


def test_each_image_of_random_pixels_takes_its_permutation_from_the_generator():
    images = np.arange(2 * 8 * 8 * 3, dtype=np.float32).reshape(2, 8, 8, 3)
    first, other = (random_pixels(images, np.random.default_rng(seed)) for seed in (0, 1))
    assert not np.array_equal(first, other)
    alone = shuffled_pixels(images[:1], np.random.default_rng(0))
    np.testing.assert_array_equal(first[:1], alone)
