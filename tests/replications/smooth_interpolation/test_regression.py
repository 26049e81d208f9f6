import dataclasses

import numpy as np
import pytest
from numpy.polynomial import legendre

from common.study import command_line
from common.study.runs import run_folder
from common.study.setting import identity
from replications.smooth_interpolation import experiment, regression
from replications.smooth_interpolation.presets import STUDY
from replications.smooth_interpolation.settings import Settings
from replications.smooth_interpolation.signals import SIGNALS

CUBIC = SIGNALS["cubic"].function
SINE = Settings(dataset="scalar", degree=1000, epochs=100).resolve()
POLYNOMIAL = dataclasses.replace(SINE, signal="cubic", target_noise=0.3)
NETWORK = Settings(dataset="scalar", network="mlp", width=3, epochs=50, signal="cubic").resolve()


def test_the_cubic_is_the_third_legendre_polynomial_and_the_sine_one_period_upwards():
    x = np.linspace(-1, 1, 7)
    np.testing.assert_allclose(SIGNALS["cubic"].function(x), legendre.legval(x, [0, 0, 0, 1]))
    np.testing.assert_allclose(
        SIGNALS["sine"].function(np.array([-1, -0.5, 0, 0.5])), [0, 1, 0, -1], atol=1e-15
    )


def test_the_sine_has_even_points_and_a_record_without_a_signal_is_a_cubic():
    first, second = (regression.noisy_samples(dataclasses.replace(SINE, seed=seed)) for seed in (0, 1))
    np.testing.assert_allclose(first[0], np.arange(20) * 2 / 19 - 1, atol=1e-15)
    np.testing.assert_array_equal(first[0], second[0])
    assert not np.array_equal(first[1], second[1])
    many, targets = regression.noisy_samples(dataclasses.replace(SINE, num_train=20_000))
    assert np.std(targets - SIGNALS["sine"].function(many)) == pytest.approx(0.12, abs=0.004)
    assert "signal" not in identity(POLYNOMIAL) and identity(SINE)["signal"] == "sine"
    assert "signal" not in identity(Settings().resolve())


def test_points_are_the_same_for_polynomials_and_networks():
    inputs, targets = regression.noisy_samples(POLYNOMIAL)
    np.testing.assert_array_equal(regression.noisy_samples(NETWORK), (inputs, targets))
    assert len(inputs) == 20 and np.all(np.diff(inputs) > 0) and np.abs(inputs).max() <= 1
    many = dataclasses.replace(POLYNOMIAL, num_train=20_000)
    inputs, targets = regression.noisy_samples(many)
    noise = targets - SIGNALS["cubic"].function(inputs)
    assert (noise.mean(), noise.std()) == pytest.approx((0, 0.3), abs=0.01)
    other = regression.noisy_samples(dataclasses.replace(POLYNOMIAL, seed=1))
    assert not np.array_equal(other[0], inputs[:20])


def test_gradient_descent_is_the_iterate_in_closed_form():
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=(5, 8)), rng.normal(size=5)
    left, values, right = np.linalg.svd(features, full_matrices=False)
    for steps in (1, 7, 300):
        # Along each singular vector the error shrinks by 1 - (s / s_max)^2 a step.
        share = 1 - (1 - (values / values[0]) ** 2) ** steps
        expected = right.T @ (share / values * (left.T @ targets))
        found = regression.gradient_descent(features, targets, steps)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_gradient_descent_tends_to_the_smallest_interpolating_coefficients():
    inputs, targets = regression.noisy_samples(POLYNOMIAL)
    features = legendre.legvander(inputs, 300)
    found = regression.gradient_descent(features, targets, 20_000)
    np.testing.assert_allclose(found, np.linalg.pinv(features) @ targets, atol=1e-6)


def test_derivatives_of_the_fits():
    inputs, targets = regression.noisy_samples(POLYNOMIAL)
    x = np.array([-0.61, 0.13, 0.77])
    for settings, fit in (
        (dataclasses.replace(POLYNOMIAL, degree=12), regression.fit_polynomial),
        (NETWORK, regression.fit_network),
    ):
        predict = fit(settings, inputs, targets)
        step = 1e-7
        difference = (predict(x + step)[0] - predict(x - step)[0]) / (2 * step)
        np.testing.assert_allclose(predict(x)[1], difference, rtol=1e-5, atol=1e-7)
        assert predict(x)[0].dtype == np.float64


def test_a_network_step_by_hand():
    """Two steps with momentum against NumPy, a network whose only unit of each layer is active."""
    weights = [np.array(v, float) for v in ([[0.5]], [0.1], [[0.6]], [0.2])]
    inputs, targets = np.array([0.2, 0.4]), np.array([1.0, -0.5])
    found = regression._train(weights, inputs, targets, 0.1, 2)
    w1, b1, w2, b2 = (float(np.ravel(v)[0]) for v in weights)
    velocity = np.zeros(4)
    for _ in range(2):
        hidden = w1 * inputs + b1
        error = 2 * (w2 * hidden + b2 - targets) / 2
        gradient = [np.sum(error * w2 * inputs), np.sum(error * w2)]
        gradient += [np.sum(error * hidden), np.sum(error)]
        velocity = 0.9 * velocity - 0.1 * np.array(gradient)
        w1, b1, w2, b2 = np.array([w1, b1, w2, b2]) + velocity
    np.testing.assert_allclose([np.ravel(v)[0] for v in found], [w1, b1, w2, b2], rtol=1e-12)


def test_sharpness_of_plateaus_and_spikes():
    inputs = np.array([-0.5, 0.0, 0.999])
    targets = CUBIC(inputs) + np.array([0.3, -0.2, 0.1])

    def plateau(x):
        nearest = np.abs(x[:, np.newaxis] - inputs).argmin(axis=1)
        return CUBIC(x) + (targets - CUBIC(inputs))[nearest], np.full(len(x), -4.0)

    assert regression.sharpness(plateau, CUBIC, inputs, targets) == pytest.approx(
        {"slope": 4, "noise_kept": 1}
    )

    def spike(x):
        return CUBIC(x), np.zeros(len(x))

    assert regression.sharpness(spike, CUBIC, inputs, targets) == pytest.approx({"slope": 0, "noise_kept": 0})


def test_sharpness_between_a_plateau_and_a_spike():
    """A quarter of the noise is left at the left border, a half at the right; slopes have both signs."""
    inputs, noise = np.array([-0.5, 0.2, 0.7]), np.array([0.3, -0.2, 0.1])

    def wedge(x):
        nearest = np.abs(x[:, np.newaxis] - inputs).argmin(axis=1)
        distance = x - inputs[nearest]
        slopes = np.where(distance < 0, 6.0, -2.0)
        slopes = np.where(np.abs(distance) > 1.5 * regression.NEIGHBOURHOOD, 100.0, slopes)
        return CUBIC(x) + np.where(distance < 0, 0.25, 0.5) * noise[nearest], slopes

    found = regression.sharpness(wedge, CUBIC, inputs, CUBIC(inputs) + noise)
    # 10 of the 21 places lie left of a point.
    assert found == pytest.approx({"slope": (10 * 6 + 11 * 2) / 21, "noise_kept": 0.375})


def test_points_without_noise_keep_no_share_of_it(tmp_path):
    inputs = np.array([-0.5, 0.2])
    found = regression.sharpness(lambda x: (0 * x, 3 + 0 * x), CUBIC, inputs, CUBIC(inputs))
    assert found == {"slope": 3}
    settings = dataclasses.replace(POLYNOMIAL, degree=3, epochs=1000, target_noise=0.0)
    experiment.run(STUDY, settings, command_line.RunOptions(str(tmp_path), "auto", False))
    folder = run_folder(STUDY, settings, str(tmp_path))
    values = {row["metric"]: row["value"] for row in folder.rows()}
    assert folder.record["status"] == "done" and set(values) == {"train_loss", "test_loss", "slope"}
    assert values["test_loss"] < 0.1
    assert experiment.table_row(settings, folder)["noise kept"] == ""


def test_a_run_leaves_what_the_figure_shows(tmp_path):
    options = command_line.RunOptions(str(tmp_path), "auto", False)
    settings = dataclasses.replace(POLYNOMIAL, degree=5, epochs=1000)
    for _ in range(2):
        experiment.run(STUDY, settings, options)
    folder = run_folder(STUDY, settings, str(tmp_path))
    assert folder.record["status"] == "done" and folder.record["data"] == "noisy samples of a cubic"
    values = {row["metric"]: row["value"] for row in folder.rows()}
    with np.load(folder.path / "arrays.npz") as arrays:
        fitted = np.interp(arrays["inputs"], arrays["grid"], arrays["curve"])
        assert np.mean((fitted - arrays["targets"]) ** 2) == pytest.approx(values["train_loss"], rel=1e-3)
        distance = arrays["curve"] - CUBIC(arrays["grid"])
        assert np.mean(distance**2) == pytest.approx(values["test_loss"], rel=1e-3)
    line = experiment.table_row(settings, folder)
    assert line["degree or width"] == 5 and line["test error"] == f"{values['test_loss']:.3g}"
