import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.data.corruption import somepalli_labels
from common.streams import Streams
from replications.somepalli_boundaries.labels import force_roles, given_labels, roles_for_record
from replications.somepalli_boundaries.published import CLEAN_IDS, NOISY_LABELS
from replications.somepalli_boundaries.settings import Settings

ROLES = (*CLEAN_IDS, *NOISY_LABELS)


def part(num_images, seed):
    """Images of a part of CIFAR-10 that holds those of figures 7 to 9: the latter are automobiles."""
    rng = np.random.default_rng(seed)
    others = rng.choice(np.setdiff1d(np.arange(50_000), ROLES), num_images - len(ROLES), replace=False)
    ids = np.sort(np.concatenate([others, ROLES]))
    labels = np.where(np.isin(ids, list(NOISY_LABELS)), 1, ids % 10).astype(np.int32)
    return types.SimpleNamespace(ids=ids, labels=labels)


@given(st.integers(0, 2**31), st.integers(900, 2000))
def test_roles_are_forced_and_the_number_of_wrong_labels_in_a_class_stays(seed, num_images):
    images = part(num_images, seed)
    noisy = somepalli_labels(images.labels, 0.2, 10)
    forced = force_roles(images.labels, noisy, images.ids)
    wrong = forced != images.labels
    assert not wrong[np.isin(images.ids, CLEAN_IDS)].any()
    for number, label in NOISY_LABELS.items():
        assert forced[images.ids == number] == label
    np.testing.assert_array_equal(
        np.bincount(images.labels[wrong], minlength=10),
        np.bincount(images.labels[noisy != images.labels], minlength=10),
    )


def test_the_record_says_whose_labels_were_exchanged():
    images = part(1000, 0)
    settings = Settings(protocol="double_descent", label_noise=0.2).resolve()
    index = given_labels(settings, images, 10, Streams(1))[1]
    found = roles_for_record(settings, images, index, 10)
    np.testing.assert_array_equal(found["role_images"], sorted(ROLES))
    for number, label in zip(found["role_images"], found["role_labels"], strict=True):
        assert label == NOISY_LABELS.get(number, label)
        assert (label != images.labels[images.ids == number][0]) == (number in NOISY_LABELS)
    drawn = somepalli_labels(images.labels, 0.2, 10)
    assert found["exchanged_images"].tolist() == images.ids[drawn != index].tolist()
    assert 0 < len(found["exchanged_images"]) <= 2 * len(ROLES)


def test_right_roles_are_left_alone():
    images = part(1000, 0)
    forced = force_roles(images.labels, somepalli_labels(images.labels, 0.2, 10), images.ids)
    np.testing.assert_array_equal(force_roles(images.labels, forced, images.ids), forced)


def test_without_an_image_to_exchange_with_the_role_is_forced_all_the_same():
    ids = np.array(sorted(NOISY_LABELS))
    labels = np.ones(len(ids), np.int32)
    forced = force_roles(labels, labels, ids)
    np.testing.assert_array_equal(forced, [NOISY_LABELS[number] for number in ids])


def test_an_official_label_that_is_the_true_one_is_not_given():
    forced = force_roles(np.array([6]), np.array([6]), np.array([364]))
    assert forced[0] != 6


def labels_of(images, **values):
    settings = Settings(protocol="double_descent", **values).resolve()
    return given_labels(settings, images, 10, Streams(settings.data_seed))


def test_noise_has_nothing_to_do_with_the_seeds_of_a_run():
    images = part(1000, 1)
    first, second = (labels_of(images, label_noise=0.2, seed=seed)[0] for seed in (0, 7))
    np.testing.assert_array_equal(first, second)
    other = labels_of(images, label_noise=0.2, data_seed=5)[0]
    np.testing.assert_array_equal(first, other)


@pytest.mark.parametrize("rate", [0.1, 0.2])
def test_of_all_images_the_labels_are_the_released_draw(rate):
    labels = (np.arange(50_000) % 10).astype(np.int32)
    images = types.SimpleNamespace(ids=np.arange(50_000), labels=labels)
    drawn = somepalli_labels(labels, rate, 10)
    np.testing.assert_array_equal(labels_of(images, label_noise=rate)[0], drawn)
    # These are not CIFAR-10's own labels, so that the roles of figure 9 would have to be forced.
    assert (force_roles(labels, drawn, images.ids) != drawn).any()


def test_a_network_without_noise_is_indexed_by_twenty_percent_noise():
    images = part(1000, 1)
    given_, index = labels_of(images)
    np.testing.assert_array_equal(given_, images.labels)
    np.testing.assert_array_equal(index, labels_of(images, label_noise=0.2)[0])


def test_nakkirans_noise_follows_the_data_seed():
    images = part(4000, 2)
    first, second = (
        labels_of(images, label_noise=0.15, label_noise_rule="nakkiran", data_seed=s)[0] for s in (1, 2)
    )
    assert np.mean(first != images.labels) == pytest.approx(0.15, abs=0.03)
    assert (first != second).any()
