"""Theorem 1 and kernel least squares, against numbers worked out by hand and their defining properties."""

import keras
import numpy as np
import pytest

from common.errors import UserError
from common.streams import Streams
from common.study import program
from common.study.records import last
from common.study.runs import find_runs
from replications.zhang_randomization import closed_form
from replications.zhang_randomization.presets import STUDY, runs_of_figure
from replications.zhang_randomization.theorem import SharedDirectionReLU, exact_network


def test_the_layer_shares_one_direction():
    layer = SharedDirectionReLU(2)
    layer.build((None, 2))
    layer.set_weights([np.array([1.0, 2.0]), np.array([1.0, 4.0])])
    # <(1, 2), (1, 1)> = 3: above the first threshold by 2, below the second.
    np.testing.assert_allclose(layer(np.array([[1.0, 1.0], [3.0, 2.0]])), [[2, 0], [6, 3]])


def test_the_layer_is_made_again_from_its_config():
    layer = SharedDirectionReLU(3, name="units")
    again = SharedDirectionReLU.from_config(layer.get_config())
    assert (again.units, again.name) == (3, "units")
    assert layer.compute_output_shape((None, 5)) == (None, 3)


def test_a_layer_without_units():
    with pytest.raises(ValueError, match="Received: units=0"):
        SharedDirectionReLU(0)


@pytest.mark.parametrize(("n", "d"), [(1, 3), (2, 1), (50, 7), (500, 20)])
def test_the_network_has_any_values_with_2n_plus_d_weights(n, d, tmp_path):
    rng = np.random.default_rng(0)
    points, targets = rng.standard_normal((n, d)), rng.integers(0, 10, n)
    model = exact_network(points, targets, rng)
    assert model.count_params() == 2 * n + d
    np.testing.assert_allclose(model(points)[:, 0], targets, atol=1e-6)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(points), model(points))


def test_thresholds_and_points_take_turns_as_in_the_proof():
    points = np.array([[3.0], [1.0], [2.0]])
    direction, thresholds, _ = exact_network(points, [1, 2, 3], np.random.default_rng(1)).get_weights()
    along = np.sort(points @ direction)
    assert all(b < z for b, z in zip(thresholds, along, strict=True))
    assert all(z < b for z, b in zip(along[:-1], thresholds[1:], strict=True))


def test_equal_points_have_one_value():
    with pytest.raises(ValueError, match="Received: equal points 0 and 2"):
        exact_network(np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0]]), [0, 1, 2], np.random.default_rng(0))


def test_the_kernel_of_two_points():
    # A distance of 5: exp(-25 / (2 * 25)).
    found = closed_form.gaussian_kernel(np.array([[0.0, 0.0]]), np.array([[3.0, 4.0], [0.0, 0.0]]), 5.0)
    np.testing.assert_allclose(found, [[np.exp(-0.5), 1.0]])


def test_the_median_distance():
    assert closed_form.median_distance(np.array([[0.0], [1.0], [4.0]])) == 3  # of 1, 3, 4


def test_least_squares_fits_and_separates_two_clusters():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 20)
    images = rng.random((40, 4, 4, 3)) + 3.0 * labels[:, None, None, None]
    parts = (images[::2], labels[::2]), (images[1::2], labels[1::2])
    seen, unseen, count = closed_form.kernel_least_squares(*parts, bandwidth=0.5)
    np.testing.assert_array_equal(seen, labels[::2])
    np.testing.assert_array_equal(unseen, labels[1::2])
    assert count == 20 * 2


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bandwidth": 1e9}, "--bandwidth=1e.09 is too wide"),
        ({"network": "theorem_1"}, "two images are equal"),
    ],
)
def test_what_has_no_solution_is_said_in_a_line(changes, words):
    settings = STUDY.settings(**({"network": "gaussian_kernel", "dataset": "synthetic"} | changes)).resolve()
    images = np.random.default_rng(0).random((40, 28, 28, 3))
    images[1] = images[0] if "network" in changes else images[1]
    part = images, np.arange(40) % 10
    with pytest.raises(UserError, match=words):
        closed_form.rows(settings, part, part, Streams(0))


@pytest.mark.parametrize(("figure", "num_weights"), [("theorem1", 2 * 128 + 2352), ("kernel", 60 * 10)])
def test_what_is_not_trained_is_recorded(figure, num_weights, tmp_path):
    program.main(STUDY, ["zhang", f"--figure={figure}", "--scale=smoke", f"--out_dir={tmp_path}"])
    (_, run), *_ = find_runs(STUDY, runs_of_figure(figure, "smoke"), tmp_path)
    assert last(run, "train_accuracy") == last(run, "fit") == 1
    assert last(run, "num_weights") == num_weights
