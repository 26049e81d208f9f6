import types

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from replications.somepalli_boundaries import measure
from replications.somepalli_boundaries.published import CLEAN_IDS, NOISY_LABELS, PICTURES
from tests.made_rows import named_values


def constant(images, training=False):
    """Class 3 everywhere."""
    return 9.0 * tf.one_hot(tf.fill([tf.shape(images)[0]], 3), 10) + 0.0 * tf.reduce_sum(images)


def test_accuracies_by_hand(make_subject):
    subject = make_subject(constant, label_noise=0.2)
    true, given = subject.data.train.labels, subject.labels
    noisy = given != true
    assert named_values(measure.accuracies(subject)) == pytest.approx(
        {
            ("accuracy", "all"): np.mean(given == 3),
            ("accuracy", "test"): np.mean(subject.data.test.labels == 3),
            ("accuracy", "clean"): np.mean(true[~noisy] == 3),
            ("accuracy", "noisy"): np.mean(given[noisy] == 3),
            ("accuracy_on_true_labels", "noisy"): np.mean(true[noisy] == 3),
            "noisy_images": noisy.sum(),
        }
    )


def test_without_noise_no_image_is_noisy(make_subject):
    values = named_values(measure.accuracies(make_subject(constant)))
    assert set(values) == {("accuracy", "all"), ("accuracy", "test"), "noisy_images"}
    assert values["noisy_images"] == 0


def test_where_all_labels_are_wrong_no_image_is_clean(make_subject):
    subject = make_subject(constant, label_noise=1.0, label_noise_rule="nakkiran")
    subject.labels[:] = (subject.data.train.labels + 1) % 10
    values = named_values(measure.accuracies(subject))
    assert ("accuracy", "clean") not in values and values["noisy_images"] == 320


def test_a_network_of_one_class_has_one_region_and_no_boundary(make_subject):
    rows, arrays = measure.measure(make_subject(constant, num_random_planes=2))
    values = named_values(rows)
    for subset in ("all", "test", "clean"):
        assert values["fragmentation", subset] == 1
        assert values["fragmentation", subset, "deviation"] == 0
    assert values["class_skips"] == 0
    assert values["margin", "all", "count"] == 0
    assert ("margin", "all", "median") not in values
    for kind in ("uniform", "shuffled"):
        assert values["num_classes", kind] == 1
        assert values["winner", kind] == 3
        assert values["winner_share", kind] == 1
    assert np.all(arrays["score_classes"] == 3)
    assert np.isnan(arrays["margins"]).all()


def places(images, chosen):
    """The positions of chosen images among the others."""
    known = {image.tobytes(): place for place, image in enumerate(images)}
    flat = chosen.reshape(-1, *images.shape[1:])
    return np.array([known[image.tobytes()] for image in flat]).reshape(chosen.shape[:-3])


def test_fragmentation_is_of_the_images_of_its_subset(make_subject, monkeypatch):
    """Plane number i of a subset is made to have i + 1 regions."""
    subject, seen = make_subject(label_noise=0.2), []

    def maps(self, triplets):
        seen.append(triplets)
        return np.minimum(np.arange(20), np.arange(len(triplets))[:, None])[:, None]

    monkeypatch.setattr(measure.Subject, "score_maps", maps)
    rows, scores = measure.fragmentation(subject)
    values = named_values(rows)
    for subset in ("all", "test", "clean"):
        assert values["fragmentation", subset] == 5.5
        assert values["fragmentation", subset, "deviation"] == pytest.approx(np.std(range(10)))
    np.testing.assert_array_equal(scores, [np.arange(1, 11)] * 3)
    true = subject.data.train.labels
    everything, clean = places(subject.train, seen[0]), places(subject.train, seen[2])
    assert (subject.index_labels != true)[everything].any()
    places(subject.test, seen[1])  # a KeyError if one is not a test image
    np.testing.assert_array_equal(true[clean], np.repeat(np.arange(10), 3).reshape(10, 3))
    np.testing.assert_array_equal(subject.index_labels[clean], true[clean])


def test_class_skips_are_between_two_images_of_one_given_label(make_subject, monkeypatch):
    subject, seen = make_subject(label_noise=0.2, num_fragmentation_triplets=20), []
    monkeypatch.setattr(measure, "class_skips", lambda _, first, second, number: seen.extend((first, second)))
    measure._class_skips(subject)
    first, second = (places(subject.train, images) for images in seen)
    assert np.all(first != second)
    for chosen in (first, second):
        np.testing.assert_array_equal(subject.labels[chosen], np.repeat(np.arange(10), 2))


def test_classes_on_random_planes_by_hand(make_subject, monkeypatch):
    maps = np.array([[[3, 3], [3, 3]], [[3, 3], [5, 5]]])
    monkeypatch.setattr(measure.Subject, "score_maps", lambda self, triplets: maps)
    values = named_values(measure.random_planes(make_subject(num_random_planes=2))[0])
    for kind in ("uniform", "shuffled"):
        assert values["num_classes", kind] == 1.5
        assert (values["winner", kind], values["winner_share", kind]) == (3, 0.75)


def test_arrays_are_compact_and_the_same_for_another_run(make_subject):
    """What is measured on depends on the data seed alone."""
    first, second = (measure.measure(make_subject(seed=seed, label_noise=0.2))[1] for seed in (0, 9))
    other = measure.measure(make_subject(data_seed=2, label_noise=0.2))[1]
    assert first["score_classes"].shape == (4, 6, 6)
    assert first["score_classes"].dtype == np.uint8
    assert first["fragmentation"].shape == (3, 10)
    assert first["margins"].shape == (3, 3)
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])
    assert (first["score_classes"] != other["score_classes"]).any()


def test_planes_go_through_images_as_they_are_evaluated(make_subject):
    """Never through random crops or flips, which the released scripts take for pictures."""
    subject = make_subject(label_noise=0.2)
    arrays = measure.pictures(subject)
    names = [picture.name for picture in PICTURES["double_descent"]]
    assert arrays["picture_names"].tolist() == names
    for i, picture in enumerate(PICTURES["double_descent"]):
        places = [np.flatnonzero(subject.data.train.ids == number)[0] for number in picture.ids]
        expected = np.round(255 * subject.data.train.images[places]).astype(np.uint8)
        np.testing.assert_array_equal(arrays["picture_images"][i], expected)
        np.testing.assert_array_equal(arrays["picture_labels"][i], subject.labels[places])
        np.testing.assert_array_equal(arrays["picture_true_labels"][i], subject.data.train.labels[places])
        noisy = arrays["picture_labels"][i] != arrays["picture_true_labels"][i]
        assert noisy.tolist() == [number in NOISY_LABELS for number in picture.ids]
        assert set(np.array(picture.ids)[~noisy]) <= set(CLEAN_IDS)
        # Distances are those of prepared pixels, here 2 x - 1.
        length = 2 * np.linalg.norm(
            (subject.data.train.images[places[1]] - subject.data.train.images[places[0]]).ravel()
        )
        assert arrays["picture_coordinates"][i][1] == pytest.approx([length, 0], rel=1e-5)


def test_pictures_go_as_far_beyond_their_images_as_asked(make_subject):
    windows = [
        measure.pictures(make_subject(**values))["picture_windows"][0]
        for values in ({}, {"picture_overhang": 0.1})
    ]
    coordinates = measure.pictures(make_subject())["picture_coordinates"][0]
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    for (u0, u1, v0, v1), overhang in zip(windows, (0.5, 0.1), strict=True):
        margin = overhang * (high - low)
        np.testing.assert_allclose([u0, v0], low - margin, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose([u1, v1], high + margin, rtol=1e-5, atol=1e-5)


def test_classes_and_confidences_of_a_picture_are_those_of_its_points(make_subject):
    arrays = measure.pictures(make_subject())
    low, high = arrays["picture_windows"][0][:2]
    x1, x2, x3 = 2 * arrays["picture_images"][0].astype(np.float64) / 255 - 1
    u = (x2 - x1) / np.linalg.norm(x2 - x1)
    p, q = arrays["picture_coordinates"][0][2]
    v = (x3 - x1 - p * u) / q
    axis = np.linspace(low, high, 5)
    other = np.linspace(*arrays["picture_windows"][0][2:], 5)
    for i, j in ((0, 0), (1, 3), (4, 2)):
        logits = 10 * (x1 + axis[i] * u + other[j] * v).mean(axis=(0, 1))
        assert arrays["picture_classes"][0, i, j] == logits.argmax()
        confidence = 1 / np.exp(logits - logits.max()).sum()
        assert arrays["picture_confidences"][0, i, j] == pytest.approx(255 * confidence, abs=1.5)


def test_shuffled_images_keep_their_pixels(make_subject):
    subject = make_subject()
    triplets = measure.random_triplets(subject, "shuffled", 2)
    assert triplets.shape == (2, 3, 32, 32, 3)
    # Channels are sorted apart here; pixels stay whole below.
    pixels = {np.sort(image.reshape(-1, 3), axis=0).tobytes() for image in subject.data.train.images}
    flat = triplets.reshape(6, -1, 3)
    assert all(np.sort(image, axis=0).tobytes() in pixels for image in flat)
    channels = {tuple(pixel) for image in subject.data.train.images for pixel in image.reshape(-1, 3)}
    assert all(tuple(pixel) in channels for pixel in flat[0][:20])
    whole = {image.tobytes() for image in subject.data.train.images}
    assert all(image.tobytes() not in whole for image in triplets.reshape(6, 32, 32, 3))


def test_uniform_images_are_uniform_and_seeded(make_subject):
    subject = make_subject()
    first, second = (measure.random_triplets(subject, "uniform", 3) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (3, 3, 32, 32, 3)
    assert first.mean() == pytest.approx(0.5, abs=0.01)
    assert first.min() >= 0
    assert first.max() < 1


@pytest.mark.parametrize("direction,name", [("image", "margins"), ("gaussian", "gaussian_margins")])
def test_margins_start_from_images_of_their_subset(direction, name, make_subject, monkeypatch):
    subject, seen = make_subject(label_noise=0.2, num_margin_images=40, margin_direction=direction), []

    def fake(classifier, images, bases, *arguments, **options):
        seen.append(bases)
        return types.SimpleNamespace(values=np.ones(len(bases)), kept=lambda: np.ones(len(bases)))

    monkeypatch.setattr(measure, name, fake)
    measure._margins(subject)
    is_noisy = subject.labels != subject.data.train.labels
    everything, clean, noisy = (is_noisy[bases] for bases in seen)
    assert everything.any() and not everything.all()
    assert not clean.any() and noisy.all()


def test_the_summaries_of_margins_are_of_those_kept(make_subject):
    rows, margins = measure._margins(make_subject(label_noise=0.2, num_margin_images=40))
    values = named_values(rows)
    assert np.isfinite(margins[:, :]).any(axis=1).all()
    for i, subset in enumerate(("all", "clean", "noisy")):
        kept = margins[i][np.isfinite(margins[i])]
        assert values["margin", subset, "count"] == len(kept)
        assert values["margin", subset, "median"] == pytest.approx(np.median(kept))
        assert values["margin", subset, "mean"] == pytest.approx(kept.mean(), rel=1e-6)


def test_margin_of_a_linear_network_by_geometry(make_subject):
    """Along a direction d the boundary of two channel means is where their difference changes sign."""
    subject = make_subject(num_margin_images=8, margin_bisections=30)
    found, base = measure._margins(subject), subject.train.mean(axis=(1, 2))
    assert named_values(found[0])["margin", "all", "count"] > 0
    # No margin can be shorter than the distance to the nearest of the two hyperplanes.
    ordered = np.sort(base, axis=1)
    nearest = (ordered[:, 2] - ordered[:, 1]) * 32 / np.sqrt(2)
    kept = found[1][np.isfinite(found[1])]
    assert kept.min() >= nearest.min() * 0.999


def test_lemma_of_a_linear_network(make_subject):
    subject = make_subject(num_random_images=50, num_random_planes=0)
    rows, arrays = measure.concentration(subject)
    values = named_values(rows)
    assert arrays["lemma_needed"].shape == (10,)
    # softmax of 10 * mean(2 x - 1) of each channel: slope at most sqrt(n) * 20 * |d softmax| / sqrt(1024).
    assert 0 < values["lemma_measured_slope"] <= np.sqrt(3072) * 20 * np.sqrt(1 / 8) / 32 * 1.01
    assert values["lemma_measured_slope"] == pytest.approx(arrays["lemma_slopes"].max())
    assert values["lemma_distance_95"] <= arrays["lemma_distances"][-1]
    assert values["lemma_needed_lipschitz"] == pytest.approx(arrays["lemma_needed"].max())


def test_the_lemma_is_held_against_the_network_on_pixels_from_0_to_1(make_subject):
    subject = make_subject(num_random_images=50, num_random_planes=0)
    rows, arrays = measure.concentration(subject)
    values = named_values(rows)
    images = subject.streams.generator("random_images").random((50, 32, 32, 3), dtype=np.float32)
    # Logits 10 * mean(2 x - 1) of each channel: slope 20 / 1024 a pixel; sqrt(n) = sqrt(3072).
    outputs = softmax(10 * (2 * images.astype(np.float64) - 1).mean(axis=(1, 2)), axis=1)
    jacobians = outputs[:, :, None] * (np.eye(3) - outputs[:, None])
    slopes = np.sqrt(3072) * 20 / 32 * np.linalg.norm(jacobians, axis=2)
    np.testing.assert_allclose(arrays["lemma_slopes"][:3], slopes.max(axis=0), rtol=1e-4)
    winner = outputs[:, np.bincount(outputs.argmax(axis=1)).argmax()]
    distances = np.abs(winner - np.median(winner))
    assert values["lemma_distance_95"] == pytest.approx(np.quantile(distances, 0.95), rel=1e-3)
