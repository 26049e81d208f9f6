"""Figures 1a and 1b: a polynomial and a network that fit the same noisy scalar data by gradient descent.

The polynomials are those of the example that the paper reproduces (Nakkiran et al. 2019, "Deep double
descent", windowsontheory.org): Legendre polynomials up to degree 1,000 through 20 noisy points. That example
has samples of a cubic; the authors' pictures have a sine.
"""

import itertools

import numpy as np
import tensorflow as tf
from numpy.polynomial import legendre

from common.cluster import current_worker
from common.streams import Streams
from common.study.runs import run_folder
from replications.smooth_interpolation.signals import SIGNALS

_HIDDEN_LAYERS = 3
_MOMENTUM = 0.9
_GRID = 2001
# How far from a point the fit is looked at: small against the distance of neighbours, 0.1 in the mean.
NEIGHBOURHOOD = 0.01


def noisy_samples(settings):
    """Draws the training data of a run; polynomials and networks of one seed have the same.

    Args:
        settings: Resolved Settings.

    Returns:
        Inputs in [-1, 1] in increasing order, and noisy targets: float64 arrays [points].
    """
    rng, signal = Streams(settings.seed).generator("data"), SIGNALS[settings.signal]
    if signal.even:
        inputs = np.linspace(-1, 1, settings.num_train)
    else:
        inputs = np.sort(rng.uniform(-1, 1, settings.num_train))
    return inputs, signal.function(inputs) + settings.target_noise * rng.standard_normal(settings.num_train)


def gradient_descent(features, targets, num_steps):
    """Minimizes the mean squared error of a linear model by gradient descent from zero.

    The step size is the inverse of the largest eigenvalue of the Hessian of half that error. From zero,
    gradient descent tends to the interpolating coefficients of smallest norm, if there are several.

    Args:
        features: Float64 array [points, coefficients].
        targets: Float64 array [points].
        num_steps: Number of steps.

    Returns:
        Float64 array [coefficients].
    """
    coefficients = np.zeros(features.shape[1])
    rate = 1 / np.linalg.norm(features, 2) ** 2
    for _ in range(num_steps):
        coefficients -= rate * (features.T @ (features @ coefficients - targets))
    return coefficients


def fit_polynomial(settings, inputs, targets):
    """Fits Legendre coefficients; the polynomials are not normalised, so P_k(1) = 1.

    Returns:
        Function of inputs that gives predictions and their derivatives by the input.
    """
    features = legendre.legvander(inputs, settings.degree)
    coefficients = gradient_descent(features, targets, settings.epochs)
    derivative = legendre.legder(coefficients)
    return lambda x: (legendre.legval(x, coefficients), legendre.legval(x, derivative))


def fit_network(settings, inputs, targets):
    """Fits a network of three hidden ReLU layers by gradient descent with momentum, all points in a batch.

    Weights and biases start uniform within 1 / sqrt(fan_in), PyTorch's default. All in float64.

    Returns:
        Function of inputs that gives predictions and their derivatives by the input.
    """
    rng = Streams(settings.seed).generator("init")
    sizes = [1, *[settings.width] * _HIDDEN_LAYERS, 1]
    weights = []
    for fan_in, fan_out in itertools.pairwise(sizes):
        bound = 1 / np.sqrt(fan_in)
        weights += [rng.uniform(-bound, bound, (fan_in, fan_out)), rng.uniform(-bound, bound, fan_out)]
    weights = _train(weights, inputs, targets, settings.learning_rate, settings.epochs)

    def predict(x):
        x = tf.constant(np.asarray(x)[:, np.newaxis])
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = _network(x, weights)
        return outputs.numpy()[:, 0], tape.gradient(outputs, x).numpy()[:, 0]

    return predict


def _network(inputs, weights):
    for i in range(0, len(weights) - 2, 2):
        inputs = tf.nn.relu(inputs @ weights[i] + weights[i + 1])
    return inputs @ weights[-2] + weights[-1]


def _train(weights, inputs, targets, learning_rate, num_steps):
    inputs, targets = (tf.constant(values[:, np.newaxis]) for values in (inputs, targets))

    @tf.function(jit_compile=True)
    def descend(weights, velocities):
        for _ in tf.range(num_steps):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = tf.reduce_mean(tf.square(_network(inputs, weights) - targets))
            gradients = tape.gradient(loss, weights)
            velocities = [
                _MOMENTUM * v - learning_rate * g for v, g in zip(velocities, gradients, strict=True)
            ]
            weights = [w + v for w, v in zip(weights, velocities, strict=True)]
        return weights

    weights = [tf.constant(values) for values in weights]
    return descend(weights, [tf.zeros_like(values) for values in weights])


def sharpness(predict, signal, inputs, targets):
    """Measures how sharply a fit goes through its points, within `NEIGHBOURHOOD` of them.

    Args:
        predict: Function of inputs that gives predictions and their derivatives.
        signal: The noise-free function of inputs.
        inputs: Float64 array [points] in [-1, 1].
        targets: Float64 array [points].

    Returns:
        `slope`, the mean absolute derivative in the neighbourhoods, and `noise_kept`, the share of the
        points' noise that the fit still predicts at their borders: the least-squares coefficient of the
        fit's distance from the noise-free function on the noise of the point. 0 is a spike, 1 a plateau.
        Points without noise have no such share: it is left out.
    """
    offsets = np.linspace(-NEIGHBOURHOOD, NEIGHBOURHOOD, 21)
    _, slopes = predict(np.clip(inputs[:, np.newaxis] + offsets, -1, 1).ravel())
    noise = np.repeat(targets - signal(inputs), 2)
    borders = np.ravel(inputs[:, np.newaxis] + [-NEIGHBOURHOOD, NEIGHBOURHOOD])
    inside = np.abs(borders) <= 1
    noise, borders = noise[inside], borders[inside]
    deviation = predict(borders)[0] - signal(borders)
    found, power = {"slope": np.mean(np.abs(slopes))}, np.sum(noise**2)
    return found | ({"noise_kept": np.sum(deviation * noise) / power} if power else {})


def run(study, settings, options):
    """Fits one model and leaves a finished run folder; a run takes seconds, never resumes and has no scalars.

    Rows: `train_loss` (mean squared error on the noisy points), `test_loss` (mean squared distance from the
    noise-free function on an even grid), and those of `sharpness`. Arrays: points, grid and predictions.

    Args:
        study: The `runs.Study`.
        settings: Resolved settings with `dataset="scalar"`.
        options: `command_line.RunOptions`.

    Raises:
        UserError: The folder is not ours to write.
    """
    if not current_worker(options.strategy).chief:
        return
    with run_folder(study, settings, options.out_dir) as folder:
        if folder.finished:
            return
        folder.start({"device": "CPU"}, f"noisy samples of a {settings.signal}")
        inputs, targets = noisy_samples(settings)
        signal = SIGNALS[settings.signal].function
        fit = fit_polynomial if settings.network == "polynomial" else fit_network
        with folder.timed("train_seconds"), tf.device("/CPU:0"):
            predict = fit(settings, inputs, targets)
        grid = np.linspace(-1, 1, _GRID)
        curve, _ = predict(grid)
        values = {
            "train_loss": np.mean((predict(inputs)[0] - targets) ** 2),
            "test_loss": np.mean((curve - signal(grid)) ** 2),
        }
        values |= sharpness(predict, signal, inputs, targets)
        place = {"statistic": "run", "epoch": settings.epochs, "step": settings.epochs}
        rows = [{"metric": metric, "value": float(value)} | place for metric, value in values.items()]
        arrays = {"inputs": inputs, "targets": targets, "grid": grid, "curve": curve}
        # A rectifier may hide an undefined weight from the training points alone.
        diverged = not np.isfinite([*values.values(), *curve]).all()
        arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
        folder.finish("diverged" if diverged else "done", rows, arrays)
