"""The tables as they are stored, and the images as the released scripts choose them."""

import os

import numpy as np
import pytest

from common.data.corruption import somepalli_labels
from replications.somepalli_boundaries import published
from replications.somepalli_boundaries.published import (
    CONVOLUTIONAL,
    DISTILLED,
    MATRIX_NETWORKS,
    OPTIMIZER_ACCURACY,
    OPTIMIZER_REPRODUCIBILITY,
    PICTURES,
    REPRODUCIBILITY_MATRIX,
    VANILLA,
)


def cell(a, b):
    return REPRODUCIBILITY_MATRIX[MATRIX_NETWORKS.index(a), MATRIX_NETWORKS.index(b)]


def test_the_matrix_is_symmetric_and_each_row_is_largest_on_the_diagonal():
    np.testing.assert_array_equal(REPRODUCIBILITY_MATRIX, REPRODUCIBILITY_MATRIX.T)
    others = REPRODUCIBILITY_MATRIX - np.diag(np.full(9, np.inf))
    assert np.all(np.diag(REPRODUCIBILITY_MATRIX) > others.max(axis=1))


def test_blocks_of_the_matrix():
    pairs = [cell(a, b) for a in CONVOLUTIONAL for b in CONVOLUTIONAL]
    assert min(pairs) == 0.77
    assert {cell(a, "vit") for a in CONVOLUTIONAL} == {0.63, 0.64}
    assert {cell(a, "mlp_mixer") for a in CONVOLUTIONAL} == {0.60, 0.61}
    assert {cell(a, "fully_connected") for a in MATRIX_NETWORKS[:8]} == {0.44, 0.45, 0.46, 0.47}
    assert cell("vit", "mlp_mixer") == 0.64


def test_the_order_of_the_diagonal():
    diagonal = dict(zip(MATRIX_NETWORKS, np.diag(REPRODUCIBILITY_MATRIX), strict=True))
    order = sorted(diagonal, key=lambda network: -diagonal[network])
    assert order[0] == "wide_resnet_30"
    assert order[3:] == ["resnet18", "densenet121", "vgg19", "vit", "fully_connected", "mlp_mixer"]


def test_optimizers_as_published():
    assert np.all(OPTIMIZER_REPRODUCIBILITY.argmax(axis=1) == 2)
    np.testing.assert_array_equal(OPTIMIZER_ACCURACY.argmax(axis=1), [2, 2, 0, 1])
    gain = OPTIMIZER_REPRODUCIBILITY[:, 1] - OPTIMIZER_REPRODUCIBILITY[:, 0]
    np.testing.assert_array_equal(gain > 0, [True, False, False, True])


def test_distillation_as_published():
    gain = (DISTILLED - VANILLA)[~np.isnan(VANILLA)]
    assert len(gain) == 24
    assert gain.mean() == pytest.approx(0.029, abs=0.0005)
    assert (DISTILLED - VANILLA)[:4, :4].mean() == pytest.approx(0.040, abs=0.0005)
    signs = np.sign(np.round(gain, 3))
    assert [np.sum(signs == s) for s in (1, 0, -1)] == [20, 3, 1]
    np.testing.assert_array_equal(np.nan_to_num(VANILLA), np.nan_to_num(VANILLA.T))


def test_every_picture_has_three_different_images_and_a_role_at_most():
    assert set(published.CLEAN_IDS).isdisjoint(published.NOISY_LABELS)
    for pictures in PICTURES.values():
        assert len({picture.name for picture in pictures}) == len(pictures)
        for picture in pictures:
            assert len(set(picture.ids)) in (0, 3)
            assert set(picture.ids) <= set(published.KEPT_IDS)
    wrong = [p.ids for p in PICTURES["double_descent"] if set(p.ids) & set(published.NOISY_LABELS)]
    assert [ids[2] for ids in wrong] == list(published.NOISY_LABELS)
    assert {ids[:2] for ids in wrong} == {(301, 97)}


def test_the_widths_have_14():
    assert (*range(1, 21), 30, 40, 50, 60, 64) == published.DOUBLE_DESCENT_WIDTHS


@pytest.mark.skipif("TFDS_DATA_DIR" not in os.environ, reason="wants CIFAR-10 in the folder TFDS_DATA_DIR")
def test_images_are_those_that_the_scripts_choose():
    from common.data import images

    labels = images.load("cifar10", num_test=10).train.labels
    noisy = somepalli_labels(labels, 0.2, 10)
    automobiles = np.flatnonzero(labels == 1)
    right = np.intersect1d(automobiles, np.flatnonzero(noisy == labels))[[34, 12]]
    wrong = np.setdiff1d(automobiles, np.flatnonzero(noisy == labels))
    wrong = wrong[[11, 12, 15, 16, 18, 29, 38, 45, 76, 89]]
    assert tuple(right) == (301, 97)
    assert dict(zip(wrong.tolist(), noisy[wrong].tolist(), strict=True)) == published.NOISY_LABELS
    assert np.all(noisy[list(published.CLEAN_IDS)] == labels[list(published.CLEAN_IDS)])
