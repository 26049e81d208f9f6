import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from common.metrics.plane import draw_released_triplets, draw_triplets
from common.streams import Streams
from common.study.setting import without
from replications.somepalli_boundaries import measure, settings, triplets
from replications.somepalli_boundaries.experiment import UNCOMPILED
from replications.somepalli_boundaries.triplets import score_triplets

LABELS = np.arange(10_000) % 10


def test_triplets_are_drawn_from_the_data_seed():
    rng = Streams(3).generator("score_triplets")
    np.testing.assert_array_equal(score_triplets("ours", LABELS, 20, 3), draw_triplets(LABELS, 20, rng))
    released = score_triplets("released", LABELS, 20, 3)
    np.testing.assert_array_equal(released, draw_released_triplets(LABELS, 20, 3))
    # A triplet belongs to the sum of seed and number.
    np.testing.assert_array_equal(score_triplets("released", LABELS, 19, 4), released[1:])


def test_triplets_of_training_images_are_of_any_classes():
    drawn = score_triplets("train", LABELS[:100], 500, 3)
    assert all(len(set(triplet)) == 3 for triplet in drawn)
    classes = np.array([len(set(LABELS[triplet])) for triplet in drawn])
    # Of 100 images, ten a class: 90/99 * 80/98 of three different ones.
    assert abs(np.mean(classes == 3) - 0.742) < 0.08
    assert all(len(set(LABELS[triplet])) == 3 for triplet in score_triplets("ours", LABELS[:100], 500, 3))


def test_released_triplets_of_a_part_are_refused():
    with pytest.raises(UserError, match=r"released: is drawn from all 10,000 test images; .* has 9,999$"):
        score_triplets("released", LABELS[:9999], 2, 1)


@pytest.fixture
def sixty(monkeypatch):
    """A test set of 60 images is a whole one."""
    for module in (triplets, settings):
        monkeypatch.setattr(module, "NUM_TEST", 60)


@pytest.mark.parametrize("kind", settings.TRIPLETS)
def test_a_run_is_measured_on_its_kind_of_triplets(kind, make_subject, monkeypatch, sixty):
    drawn = []
    monkeypatch.setattr(measure.Subject, "score_maps", lambda _, images: drawn.append(images))
    monkeypatch.setattr(measure, "pictures", lambda subject: {})
    subject = make_subject(triplets=kind, num_fragmentation_triplets=0, num_margin_images=0)
    measure.check_measurable(subject.settings, subject.data, subject.labels, subject.index_labels)
    measure.measure(subject)
    part, images = (
        (subject.data.train, subject.train) if kind == "train" else (subject.data.test, subject.test)
    )
    np.testing.assert_array_equal(drawn, [images[score_triplets(kind, part.labels, 4, 1)]])


def test_a_partial_data_set_is_refused_before_training(make_subject, sixty):
    subject = make_subject(triplets="released")
    part = dataclasses.replace(subject.data, test=subject.data.test.take(range(59)))
    with pytest.raises(UserError, match="from all 60 test images; the data set has 59$"):
        measure.check_measurable(subject.settings, part, subject.labels, subject.index_labels)


def test_triplets_make_no_other_program():
    ours, *others = (settings.Settings(triplets=kind).resolve() for kind in settings.TRIPLETS)
    assert all(without(ours, UNCOMPILED) == without(other, UNCOMPILED) for other in others)
