import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from common.metrics import classifier, margin
from common.metrics.margin import DISTANCES, gaussian_margins, margins


def linear(kernel):
    kernel = np.asarray(kernel, np.float64)
    return lambda x: tf.reshape(x, (-1, len(kernel))) @ kernel


def problem(seed=0, num_images=12, size=6, num_classes=4):
    rng = np.random.default_rng(seed)
    return 4 * rng.normal(size=(num_images, 2, size // 2)), rng.normal(size=(size, num_classes))


def directions(images, base, targets):
    vectors = (images[targets] - images[base]).reshape(len(targets), -1)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def exact_crossing(x, u, kernel):
    """Distance to the first change of a linear classifier's class along u; inf if there is none."""
    logits, slopes = x.ravel() @ kernel, u @ kernel
    winner = logits.argmax()
    gains = slopes - slopes[winner]
    with np.errstate(divide="ignore", invalid="ignore"):
        distances = np.where(gains > 0, (logits[winner] - logits) / gains, np.inf)
    return distances.min()


def sequential_margin(x, vectors, kernel, num_crossings=10):
    """The released loop for one image: a direction at a time, all 200 distances of each."""
    found, tried = [], 0
    while len(found) < num_crossings and tried < num_crossings + 10:
        points = x.ravel() + DISTANCES[:, None] * vectors[tried]
        tried += 1
        changes = np.flatnonzero(np.diff((points @ kernel).argmax(axis=1)) != 0)
        if changes.size:
            found.append(DISTANCES[changes[0]])
    return np.mean(found) if len(found) >= num_crossings // 2 else np.nan, len(found), tried


def test_the_200_distances():
    assert DISTANCES.shape == (200,)
    expected = {0: 0, 1: 0.01, 11: 0.11, 12: 0.21, 20: 1.01, 21: 1.51, 51: 16.51, 52: 17.51, 76: 41.51}
    expected |= {77: 51.51, 101: 291.51, 102: 311.51, 199: 2251.51}
    np.testing.assert_allclose(DISTANCES[list(expected)], list(expected.values()), rtol=1e-12, atol=1e-15)
    assert np.all(np.diff(DISTANCES) > 0)
    with pytest.raises(ValueError, match="read-only"):
        DISTANCES[0] = 1


def test_a_threshold_by_hand():
    # Class 1 beyond x0 = 3.3, so between the distances 3.01 and 3.51 from the origin, toward image 1 only.
    images = np.array([[0.0, 0.0], [100.0, 0.0], [-7.0, 0.0]])
    model = lambda x: tf.stack([tf.zeros(len(x), x.dtype), x[:, 0] - 3.3], axis=1)  # noqa: E731
    rng = np.random.default_rng(0)
    result = margins(model, images, [0], [0, 1], rng)
    np.testing.assert_allclose(result.values, [3.01], rtol=1e-12)
    assert (result.num_crossings, result.num_directions) == (10, 10)
    bisected = margins(model, images, [0], [1], rng, num_bisections=30)
    np.testing.assert_allclose(bisected.values, [3.3], atol=1e-8)
    away = margins(model, images, [0], [2], rng)
    assert np.isnan(away.values[0]) and away.kept().size == 0
    assert (away.num_crossings, away.num_directions) == (0, 20)
    # In tenths the distances go on by 0.1 there: 3.251 and 3.351.
    tenths = margins(model, images, [0], [1], rng, unit=0.1)
    np.testing.assert_allclose(tenths.values, [3.251], rtol=1e-12)
    # From image 1 the boundary lies 96.7 away: after 91.51, before 101.51.
    np.testing.assert_allclose(margins(model, images, [1], [0, 2], rng).values, [91.51], rtol=1e-12)


@pytest.mark.parametrize("num_crossings", [1, 3, 10])
def test_margins_are_those_of_the_sequential_full_ladder(num_crossings):
    images, kernel = problem()
    bases = np.array([0, 1, 2, 3, 4, 5, 6, 7, 0])
    targets = np.arange(12)
    drawn = margin._draw_targets(bases, targets, num_crossings + 10, np.random.default_rng(3))
    expected = [
        sequential_margin(images[base], directions(images, base, row), kernel, num_crossings)
        for base, row in zip(bases, drawn, strict=True)
    ]
    result = margins(
        linear(kernel), images, bases, targets, np.random.default_rng(3), num_crossings, batch_size=64
    )
    values, crossings, tried = map(np.array, zip(*expected, strict=True))
    np.testing.assert_allclose(result.values, values, rtol=1e-13)
    np.testing.assert_array_equal(result.num_crossings, crossings)
    np.testing.assert_array_equal(result.num_directions, tried)
    assert (tried > num_crossings).any()
    np.testing.assert_array_equal(result.kept(), result.values[~np.isnan(values)])


@pytest.mark.parametrize(("batch_size", "bases_per_block"), [(3, 8), (7, 3), (50, 1), (1000, 8)])
def test_batches_and_blocks_do_not_change_the_margins(batch_size, bases_per_block, monkeypatch):
    images, kernel = problem(seed=1)
    arguments = (linear(kernel), images, np.arange(8))
    options = {"num_crossings": 4, "num_extra": 3, "num_bisections": 3}
    whole = margins(*arguments, np.arange(12), np.random.default_rng(0), **options)
    gaussian = gaussian_margins(*arguments, np.random.default_rng(0), **options)
    monkeypatch.setattr(classifier, "_BLOCK_BYTES", bases_per_block * 7 * 6 * 8)
    options["batch_size"] = batch_size
    blocks = margins(*arguments, np.arange(12), np.random.default_rng(0), **options)
    np.testing.assert_array_equal(blocks.values, whole.values)
    np.testing.assert_array_equal(blocks.num_directions, whole.num_directions)
    blocks = gaussian_margins(*arguments, np.random.default_rng(0), **options)
    np.testing.assert_array_equal(blocks.values, gaussian.values)


def test_bisected_margins_are_the_closed_form_of_a_linear_classifier():
    images, kernel = problem(seed=2)
    bases, targets = np.arange(12), np.arange(12)
    drawn = margin._draw_targets(bases, targets, 20, np.random.default_rng(0))
    result = margins(linear(kernel), images, bases, targets, np.random.default_rng(0), num_bisections=45)
    for base, row in enumerate(drawn):
        exact = np.array([exact_crossing(images[base], u, kernel) for u in directions(images, base, row)])
        # A change beyond the last distance is not seen.
        exact = exact[exact < DISTANCES[-1]][:10]
        assert result.num_crossings[base] == len(exact)
        if len(exact) >= 5:
            assert result.values[base] == pytest.approx(exact.mean(), rel=1e-9)
    assert len(result.kept()) >= 6


def test_gaussian_margins_are_the_closed_form_too():
    images, kernel = problem(seed=3)
    result = gaussian_margins(linear(kernel), images, [2, 5], np.random.default_rng(0), num_bisections=45)
    vectors = np.random.default_rng(0).standard_normal((2, 20, 6), np.float32).astype(float)
    vectors /= np.linalg.norm(vectors, axis=-1, keepdims=True)
    for row, base in enumerate((2, 5)):
        exact = np.array([exact_crossing(images[base], u, kernel) for u in vectors[row]])
        exact = exact[exact < DISTANCES[-1]][:10]
        assert result.num_crossings[row] == len(exact) >= 5
        assert result.values[row] == pytest.approx(exact.mean(), rel=1e-9)


def test_no_distance_beyond_a_crossing_is_probed(monkeypatch):
    probes = []

    class Recorder(classifier.Rays):
        def classes(self, rays, distances):
            probes.append(len(rays))
            return super().classes(rays, distances)

    monkeypatch.setattr(margin, "Rays", Recorder)
    images = np.array([[0.0], [100.0]])
    model = lambda x: tf.concat([tf.zeros_like(x), x - 3.3], axis=1)  # noqa: E731
    margins(model, images, [0], [1], np.random.default_rng(0), batch_size=1)
    # The prediction at 0 once, then 25 distances up to 3.51 in each of ten directions.
    assert DISTANCES[25] == pytest.approx(3.51)
    assert sum(probes) == 1 + 10 * 25


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(0, 9), min_size=2, max_size=12).filter(lambda x: len(set(x)) > 1),
)
def test_an_image_is_never_its_own_target(seed, targets):
    bases = np.arange(10)
    drawn = margin._draw_targets(bases, targets, 20, np.random.default_rng(seed))
    assert drawn.shape == (10, 20)
    assert not np.any(drawn == bases[:, None])
    assert np.isin(drawn, targets).all()


def test_targets_are_uniform_over_the_other_images():
    drawn = margin._draw_targets(np.array([4, 5]), [2, 4, 8, 9], 40_000, np.random.default_rng(0))
    for row, expected in zip(drawn, ({2: 3, 8: 3, 9: 3}, {2: 4, 4: 4, 8: 4, 9: 4}), strict=True):
        values, counts = np.unique(row, return_counts=True)
        assert set(values) == set(expected)
        np.testing.assert_allclose(counts / 40_000, 1 / len(expected), atol=0.01)


def test_a_target_with_the_same_pixels_never_crosses():
    images, kernel = problem()
    images[1] = images[0]
    result = margins(linear(kernel), images, [0], [1], np.random.default_rng(0))
    assert np.isnan(result.values[0])
    assert (result.num_crossings, result.num_directions) == (0, 20)


def test_integer_images_are_moved_in_float32():
    images = np.array([[0, 0], [100, 0]], "uint8")
    model = lambda x: tf.stack([tf.zeros(len(x)), x[:, 0] - 3.3], axis=1)  # noqa: E731
    assert margins(model, images, [0], [1], np.random.default_rng(0)).values[0] == pytest.approx(3.01)
    assert margins(model, images, [1], [0], np.random.default_rng(0)).values[0] == pytest.approx(91.51)


def test_invalid_arguments():
    images, kernel = problem()
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"other than the base. Received: targets=\[3\] for the base 3$"):
        margins(linear(kernel), images, [2, 3], [3], rng)
    with pytest.raises(ValueError, match=r"Received: bases of shape \(0,\)"):
        gaussian_margins(linear(kernel), images, np.array([], int), rng)
    for bases in ([-1], [len(images)]):
        with pytest.raises(ValueError, match=f"from 0 to {len(images) - 1}. Received: bases="):
            gaussian_margins(linear(kernel), images, bases, rng)
    with pytest.raises(ValueError, match="Received: targets=50 at index"):
        margins(linear(kernel), images, [0], [1, 50], rng)
    with pytest.raises(ValueError, match="1-D array of integers. Received: bases of shape"):
        margins(linear(kernel), images, 0, [1], rng)
    for unit in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="`unit` must be a positive number"):
            margins(linear(kernel), images, [0], [1], rng, unit=unit)
    with pytest.raises(ValueError, match="logits must be finite"):
        gaussian_margins(lambda x: linear(kernel)(x) * np.nan, images, [0], rng)


@pytest.mark.parametrize("name,value", [("num_crossings", 0), ("num_extra", -5), ("batch_size", 0)])
def test_invalid_numbers(name, value):
    images, kernel = problem()
    with pytest.raises(ValueError, match=f"`{name}` must be a .* integer. Received: {name}={value}"):
        gaussian_margins(linear(kernel), images, [0], np.random.default_rng(0), **{name: value})


@pytest.mark.parametrize(
    "wanted,targets,value",
    [(1, [2], np.nan), (3, [1, 2, 2], 3.01), (4, [1, 2, 2, 2], np.nan), (4, [1, 1, 2, 2], 3.01)],
)
def test_half_of_the_crossings_rounded_down_are_enough(wanted, targets, value, monkeypatch):
    """Toward image 1 the class changes beyond 3.3, toward image 2 nowhere."""
    images = np.array([[0.0, 0.0], [100.0, 0.0], [-7.0, 0.0]])
    model = lambda x: tf.stack([tf.zeros(len(x), x.dtype), x[:, 0] - 3.3], axis=1)  # noqa: E731
    monkeypatch.setattr(margin, "_draw_targets", lambda *_: np.array([targets]))
    found = margins(model, images, [0], [1, 2], np.random.default_rng(0), wanted, 0)
    np.testing.assert_allclose(found.values, [value], rtol=1e-12)
    assert found.num_crossings == [targets.count(1)]
