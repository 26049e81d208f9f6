"""What Zhang et al. 2017 compute without training: theorem 1 and kernel least squares (sections 4, 5)."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from common.data.augmentation import augmentation, per_image_standardization
from common.errors import UserError
from common.training.trainer import Preprocessing
from replications.zhang_randomization.theorem import exact_network

_BLOCK = 200  # images that are predicted at a time

Split = tuple[np.ndarray, np.ndarray]


def gaussian_kernel(first: np.ndarray, second: np.ndarray, width: float) -> np.ndarray:
    """Returns exp(-|x - z|^2 / (2 width^2)) of all pairs: float64 [n, m] from [n, d] and [m, d]."""
    squares = [np.einsum("nd,nd->n", part, part)[:, None] for part in (first, second)]
    distances = squares[0] + squares[1].T - 2 * first @ second.T
    return np.exp(-np.maximum(distances, 0) / (2 * width**2))


def median_distance(points: np.ndarray) -> float:
    """Returns the median distance between points [n, d], of the first 1,000."""
    points = points[:1000]
    squares = np.einsum("nd,nd->n", points, points)
    distances = squares[:, None] + squares - 2 * points @ points.T
    return float(np.sqrt(np.median(distances[np.triu_indices(len(points), 1)])))


def _flat(images):
    return np.asarray(images, np.float64).reshape(len(images), -1)


def _in_blocks(predict, points):
    return np.concatenate([predict(points[i : i + _BLOCK]) for i in range(0, len(points), _BLOCK)])


def theorem_1(train: Split, test: Split, streams) -> tuple[np.ndarray, np.ndarray, int]:
    """Builds the network of theorem 1 whose value at every training image is its label.

    Args:
        train: Images in [0, 1] and labels, on which it is built; cropped and standardized as for networks.
        test: Images and labels.
        streams: "init" is used, for the direction.

    Returns:
        Predictions on both, the values rounded to the nearest label; the number of weights.
    """
    crop = augmentation("central_crop" if train[0].shape[1] == 32 else "none")
    prepare = Preprocessing(crop, crop, per_image_standardization).evaluated
    points, unseen = (_flat(prepare(part)) for part, _ in (train, test))
    model = exact_network(points, train[1], streams.generator("init"))
    values = [_in_blocks(lambda x: np.asarray(model(x))[:, 0], part) for part in (points, unseen)]
    return np.rint(values[0]), np.rint(values[1]), model.count_params()


def kernel_least_squares(train: Split, test: Split, bandwidth: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Solves K alpha = Y for one-hot labels: the least-squares fit of minimum norm, without regularization.

    Args:
        train: Images and labels; raw pixels.
        test: Images and labels.
        bandwidth: Width of the Gaussian kernel in median distances between training images.

    Returns:
        Predictions on both: the class with the largest value; the number of coefficients.

    Raises:
        numpy.linalg.LinAlgError: Two images are equal, or the kernel is too wide for float64.
    """
    points, unseen = _flat(train[0]), _flat(test[0])
    width = bandwidth * median_distance(points)
    kernel = gaussian_kernel(points, points, width)
    coefficients = cho_solve(cho_factor(kernel, lower=True), np.eye(int(train[1].max()) + 1)[train[1]])
    seen = (kernel @ coefficients).argmax(axis=1)
    found = _in_blocks(lambda x: gaussian_kernel(x, points, width) @ coefficients, unseen)
    return seen, found.argmax(axis=1), coefficients.size


def rows(settings, train: Split, test: Split, streams) -> list[dict]:
    """Computes and measures one setting.

    Args:
        settings: Resolved Settings of a network that is not trained.
        train: Images and labels after `randomize`.
        test: The same.
        streams: `Streams`.

    Returns:
        Rows: accuracies, `num_weights`, and `fit`: whether every training image is right.
    """
    try:
        if settings.network == "theorem_1":
            found = theorem_1(train, test, streams)
        else:
            found = kernel_least_squares(train, test, settings.bandwidth)
    except ValueError as error:  # LinAlgError is one
        cause = "two images are equal"
        if settings.network == "gaussian_kernel":
            cause += f", or --bandwidth={settings.bandwidth:g} is too wide for float64"
        raise UserError(f"--network={settings.network}: has no solution, {cause} ({error})") from None
    values = {
        "train_accuracy": float(np.mean(found[0] == train[1])),
        "test_accuracy": float(np.mean(found[1] == test[1])),
        "num_weights": found[2],
    }
    values["fit"] = int(values["train_accuracy"] == 1)
    place = {"statistic": "run", "epoch": 1, "step": 1}
    return [{"metric": metric, "value": value} | place for metric, value in values.items()]
