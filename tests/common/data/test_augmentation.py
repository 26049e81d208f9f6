import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

from common.data.augmentation import (
    NAMES,
    Augmentation,
    CentralCrop,
    RandomColour,
    RandomCrop,
    augmentation,
    brightness,
    normalize,
    per_image_standardization,
)
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.errors import UserError
from common.streams import uniform_numbers

RANDOM_NAMES = ["random_crop", "ee411", "pad_crop_flip"]


def some_images(num_images=12, size=32, seed=0):
    return np.random.default_rng(seed).random((num_images, size, size, 3), dtype=np.float32)


def seed_words(*words):
    return tf.constant(words, tf.uint32)


def rounding(name):
    """Crops and flips move numbers; colour operations round them, in an order that is the processor's."""
    return 1e-6 if name == "ee411" else 0


def draw(name, num_images, seed=(1, 2)):
    draws = augmentation(name).draw(seed_words(*seed), num_images)
    return {key: value.numpy() for key, value in draws.items()}


def cropped(image, uniforms, size, padding):
    image = np.pad(image, ((padding, padding), (padding, padding), (0, 0)))
    num_offsets = image.shape[0] - size + 1
    row, column = int(uniforms[0] * num_offsets), int(uniforms[1] * num_offsets)
    return image[row : row + size, column : column + size]


def grey_value(image):
    return image[..., 0] * 0.2989 + image[..., 1] * 0.587 + image[..., 2] * 0.114


def augmented_one_by_one(name, images, draws):
    """What an augmentation does, in NumPy, image by image."""
    results = []
    for i, image in enumerate(images.astype(np.float64)):
        if name == "central_crop":
            image = image[2:30, 2:30]
        elif name == "random_crop":
            image = cropped(image, draws["crop"][i], 28, 0)
        elif name == "pad_crop_flip":
            image = cropped(image, draws["crop"][i], 32, 4)
            image = image[:, ::-1] if draws["flip"][i, 0] < 0.5 else image
        elif name == "ee411":
            image = cropped(image, draws["crop"][i], 28, 0)
            image = image[:, ::-1] if draws["flip"][i, 0] < 0.5 else image
            image = np.clip(image * (0.9 + 0.2 * draws["brightness"][i, 0]), 0, 1)
            factor = 0.9 + 0.2 * draws["saturation"][i, 0]
            image = np.clip(factor * image + (1 - factor) * grey_value(image)[..., None], 0, 1)
            factor = 0.9 + 0.2 * draws["contrast"][i, 0]
            image = np.clip(factor * image + (1 - factor) * grey_value(image).mean(), 0, 1)
        results.append(image)
    return np.stack(results)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_what_a_loop_over_images_gives(name):
    images = some_images(40)
    draws = draw(name, 40)
    result = augmentation(name)(tf.constant(images), draws)
    expected = augmented_one_by_one(name, images, draws)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, expected, rtol=0, atol=rounding(name))


@pytest.mark.parametrize(("name", "size"), list(zip(NAMES, [32, 28, 28, 28, 32], strict=True)))
def test_output_size(name, size):
    augment = augmentation(name)
    assert augment.output_size(32) == size
    assert augment(tf.constant(some_images(3)), draw(name, 3)).shape == (3, size, size, 3)
    assert augment.random == (name in RANDOM_NAMES)
    assert bool(draw(name, 3)) == augment.random


@pytest.mark.parametrize("name", NAMES)
def test_shares_of_the_replicas_are_the_whole_batch(name):
    images = tf.constant(some_images(10))
    augment = augmentation(name)
    draws = draw(name, 10)
    whole = augment(images, draws)
    shares = [
        augment(images[share], {key: value[share] for key, value in draws.items()})
        for share in (slice(0, 3), slice(3, 4), slice(4, 10))
    ]
    np.testing.assert_allclose(tf.concat(shares, axis=0), whole, rtol=0, atol=rounding(name))


@pytest.mark.parametrize("name", RANDOM_NAMES)
def test_draws_depend_on_the_seed_and_the_place_alone(name):
    first = draw(name, 50)
    again, larger, word_0, word_1 = (
        draw(name, 50),
        draw(name, 80),
        draw(name, 50, seed=(3, 2)),
        draw(name, 50, seed=(1, 3)),
    )
    signed = augmentation(name).draw(tf.constant([1, 2], tf.int32), tf.constant(50))
    for key, value in first.items():
        assert value.shape[0] == 50
        np.testing.assert_array_equal(again[key], value)
        np.testing.assert_array_equal(signed[key], value)
        np.testing.assert_array_equal(larger[key][:50], value)
        assert np.all(np.any(larger[key][50:] != value[:30], axis=1))
        assert np.all(np.any(word_0[key] != value, axis=1))
        assert np.all(np.any(word_1[key] != value, axis=1))


@pytest.mark.parametrize("name", RANDOM_NAMES)
def test_compiled_programs_draw_and_apply_the_same(name):
    images = tf.constant(some_images(9))
    augment = augmentation(name)

    def step(seed, images):
        draws = augment.draw(seed, 9)
        return augment(images, draws), draws

    results, draws = step(seed_words(5, 6), images)
    for jit_compile in (False, True):
        compiled = tf.function(step, jit_compile=jit_compile, autograph=False)
        compiled_results, compiled_draws = compiled(seed_words(5, 6), images)
        for key, value in draws.items():
            np.testing.assert_array_equal(compiled_draws[key], value)
        np.testing.assert_allclose(compiled_results, results, rtol=0, atol=rounding(name))


def test_two_operations_of_one_name_have_numbers_of_their_own():
    """Grey of 0.5 times both factors, 0.5 to 1; the first has the numbers that it has alone."""
    darker = RandomColour(brightness, 0.5, 1.0)
    augment, seed = Augmentation((darker, CentralCrop(2), darker)), seed_words(1, 2)
    draws = augment.draw(seed, 4)
    assert list(draws) == ["brightness", "brightness 2"]
    first, second = (draw.numpy() for draw in draws.values())
    np.testing.assert_array_equal(np.hstack([first, second]), uniform_numbers(seed, 4, 2))
    np.testing.assert_array_equal(first, Augmentation((darker,)).draw(seed, 4)["brightness"])
    factors = (0.5 + first / 2) * (0.5 + second / 2)
    found = augment(tf.fill((4, 4, 4, 3), 0.5), draws)
    np.testing.assert_allclose(found[:, 0, 0, :1], 0.5 * factors, rtol=1e-6)


@pytest.mark.parametrize(("name", "num_offsets"), [("random_crop", 5), ("pad_crop_flip", 9)])
def test_crop_offsets_are_uniform_over_all_that_fit(name, num_offsets):
    # The value of a pixel is 1 + its place, so that the corner of a crop (or the zeros) tells the offset.
    num_images, size = 20_000, 28 if name == "random_crop" else 32
    padding = 0 if name == "random_crop" else 4
    draws = draw(name, num_images)
    rows = np.arange(1, 33, dtype=np.float32)
    image = np.stack([rows[:, None] + 0 * rows, rows + 0 * rows[:, None]], axis=-1)
    crop = RandomCrop(size, padding)
    results = crop(tf.tile(image[None], [num_images, 1, 1, 1]), draws["crop"]).numpy()
    # Row 14 of a crop lies in the image whatever the offset.
    offsets = results[:, 14, 14].astype(int) - 1 - 14 + padding
    for axis in range(2):
        counts = np.bincount(offsets[:, axis], minlength=num_offsets)
        assert len(counts) == num_offsets
        assert stats.chisquare(counts).pvalue > 1e-4
    pairs = np.bincount(offsets[:, 0] * num_offsets + offsets[:, 1], minlength=num_offsets**2)
    assert stats.chisquare(pairs).pvalue > 1e-4


def test_crops_at_the_extremes():
    images = some_images(2)
    extremes = tf.constant([[0.0, 1 - 2.0**-24], [1 - 2.0**-24, 0.0]])
    results = RandomCrop(28)(tf.constant(images), extremes)
    np.testing.assert_array_equal(results[0], images[0, :28, 4:])
    np.testing.assert_array_equal(results[1], images[1, 4:, :28])
    results = RandomCrop(32, padding=4)(tf.constant(images), extremes).numpy()
    np.testing.assert_array_equal(results[0, 4:, :28], images[0, :28, 4:])
    assert not results[0, :4].any()
    assert not results[0, :, 28:].any()


def test_half_of_the_images_are_flipped():
    num_flipped = np.count_nonzero(draw("pad_crop_flip", 20_000)["flip"] < 0.5)
    assert stats.binomtest(num_flipped, 20_000, 0.5).pvalue > 1e-4


def test_colours_are_clipped_to_the_range():
    draws = draw("ee411", 100)
    results = augmentation("ee411")(tf.ones((100, 32, 32, 3)), draws).numpy()
    # The weights of the grey value add up to 0.9999.
    expected = np.broadcast_to((0.9 + 0.2 * draws["brightness"])[..., None, None], results.shape)
    np.testing.assert_allclose(results, np.minimum(expected, 1), atol=1e-4)
    assert results.max() == 1


def test_per_image_standardization_is_that_of_tensorflow():
    images = some_images(6)
    images[0] = 0.25
    images[1] = 0
    images[2] *= 1e-4
    result = per_image_standardization(tf.constant(images))
    np.testing.assert_allclose(result, tf.image.per_image_standardization(images), rtol=1e-4, atol=1e-6)
    for i in (2, 3, 4, 5):
        image = images[i].astype(np.float64)
        expected = (image - image.mean()) / max(image.std(), 1 / np.sqrt(32 * 32 * 3))
        np.testing.assert_allclose(result[i], expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(result[:2], 0, atol=1e-5)


def test_normalize():
    images = some_images(3)
    expected = np.empty_like(images)
    for channel in range(3):
        expected[..., channel] = (images[..., channel] - CIFAR10_MEAN[channel]) / CIFAR10_STD[channel]
    np.testing.assert_allclose(normalize(images, CIFAR10_MEAN, CIFAR10_STD), expected, rtol=1e-5, atol=1e-6)


def test_unknown_name():
    with pytest.raises(UserError, match=r"^--augmentation=mixup: must be one of none, central_crop, "):
        augmentation("mixup")


@pytest.mark.parametrize("crop", [CentralCrop(28), RandomCrop(28, padding=1)])
def test_crop_larger_than_the_image(crop):
    with pytest.raises(ValueError, match=r"Received: size=28, input_size=24"):
        crop.output_size(24)
    with pytest.raises(ValueError, match=r"Received: size=28, input_size=24"):
        crop(tf.zeros((1, 24, 24, 3)), tf.zeros((1, 2)))
