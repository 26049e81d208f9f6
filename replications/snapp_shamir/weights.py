"""What claims and figures read from the weights that the two models of a pair arrive at; loads no TensorFlow.

The arrays `weights_0`, `weights_1`, ... of a run have shape (pairs, 2, ...): kernels (inputs, units) and
biases, layer after layer.
"""

import numpy as np

FLIPPED = -0.9  # a cosine below it: the two models' weights have opposite signs


def layers(run):
    """Returns a run's weights, layer after layer: arrays of shape (pairs, 2, ...)."""
    names = (f"weights_{i}" for i in range(len(run.arrays)))
    return [run.arrays[name] for name in names if name in run.arrays]


def indexed_weights(run):
    """All weights by index: each hidden unit's input weights together, then its biases and output weights.

    Returns:
        Array (pairs, 2, number of weights).
    """
    first, *rest = layers(run)
    pairs = first.shape[:2]
    return np.concatenate([array.reshape(*pairs, -1) for array in (first.swapaxes(2, 3), *rest)], axis=2)


def cosines(a, b):
    """Cosine between corresponding vectors along the last axis; 0 where one has no length."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.divide((a * b).sum(axis=-1), lengths, out=np.zeros_like(lengths), where=lengths > 0)


def member_cosines(run):
    """Cosine between the two models' first-layer weights, for each pair; negative: of opposite signs."""
    first = layers(run)[0].astype(np.float64)
    return cosines(*first.reshape(*first.shape[:2], -1).swapaxes(0, 1))


def error_cosines(run):
    """Cosine between w_a - theta and w_b - theta of the linear model, for each pair (section 3)."""
    errors = layers(run)[0][..., 0].astype(np.float64) - run.arrays["theta"]
    return cosines(*errors.swapaxes(0, 1))


def embedding_correlations(run):
    """Correlation of the two models' embeddings, for each pair; 0 if one model's do not vary."""
    embeddings = layers(run)[0].astype(np.float64)
    flat = embeddings.reshape(*embeddings.shape[:2], -1)
    centered = flat - flat.mean(axis=-1, keepdims=True)
    return cosines(*centered.swapaxes(0, 1))


def root_mean_square_differences(run):
    """Root mean square of w_a - w_b over all weights, for each pair."""
    models = indexed_weights(run).astype(np.float64)
    return np.sqrt(np.mean((models[:, 0] - models[:, 1]) ** 2, axis=1))
