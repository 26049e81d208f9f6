"""What figures and claims of Snapp & Shamir 2021 read from a run: a value for each pair, and weights.

The same pair index has the same data and evaluation set in all settings of one seed. A pair that diverged
has no value.

The arrays `weights_0`, `weights_1`, ... of a run have shape (pairs, 2, ...): kernels (inputs, units) and
biases, layer after layer.
"""

import numpy as np

PD = "relative_prediction_difference"
LOSS = "excess_label_loss"
NAMES = {PD: "PD", LOSS: "excess loss"}
FLIPPED = -0.9  # a cosine below it: the two models' weights have opposite signs

LINEAR = {"model": "linear"}
IDENTITY_1 = {"model": "single", "activation": "identity"}
IDENTITY_2 = {"model": "double", "activation": "identity"}
RELU_1 = {"model": "single", "activation": "relu"}
RELU_2 = {"model": "double", "activation": "relu"}
# Labels as in the legend of figure 2: activation, number of hidden units.
DEEP = {"identity1": IDENTITY_1, "identity2": IDENTITY_2, "ReLU1": RELU_1, "ReLU2": RELU_2}
ONE_UNIT = {"identity1": IDENTITY_1, "ReLU1": RELU_1}
SIMPLE = {"linear": LINEAR} | DEEP
IDENTICAL = {"init": "identical"}
DISTINCT = {"init": "distinct"}


def window(log2):
    """Names a shuffling window."""
    return f"log2 z = {log2}"


def measured(run, metric, examples=None):
    """A metric of each pair after `examples` training examples (by default all): Series by pair."""
    rows = run.rows
    rows = rows[(rows.metric == metric) & (rows.statistic == "pair")]
    rows = rows[rows.examples == (rows.examples.max() if examples is None else examples)]
    return rows.set_index("pair").value.sort_index()


def dead_pairs(run):
    """The pair of each model that is dead at the end of a run: array of indices, twice if both are."""
    rows = run.rows
    return rows[(rows.metric == "dead") & (rows.examples == rows.examples.max())].pair.to_numpy(int)


def living(run, metric, examples=None):
    """A metric of each pair without a dead or diverged model: Series by pair."""
    return measured(run, metric, examples).drop(np.unique(dead_pairs(run)), errors="ignore").dropna()


def layers(run):
    """Returns a run's weights, layer after layer: arrays of shape (pairs, 2, ...); none if none were kept."""
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
    return weight_correlations(run, slice(1))


def root_mean_square_differences(run):
    """Root mean square of w_a - w_b over all weights, for each pair."""
    models = indexed_weights(run).astype(np.float64)
    return np.sqrt(np.mean((models[:, 0] - models[:, 1]) ** 2, axis=1))


def relative_differences(run):
    """Root mean square of w_a - w_b relative to that of the weights themselves, for each pair."""
    models = indexed_weights(run).astype(np.float64)
    return root_mean_square_differences(run) / np.sqrt(np.mean(models**2, axis=(1, 2)))


def weight_correlations(run, chosen=slice(None)):
    """Pearson's correlation of the two models' weights, for each pair.

    Args:
        run: A run whose weights were kept.
        chosen: Which of its `layers`.
    """
    kept = layers(run)[chosen]
    flat = np.concatenate([array.reshape(*array.shape[:2], -1) for array in kept], axis=2).astype(np.float64)
    centered = flat - flat.mean(axis=-1, keepdims=True)
    return cosines(*centered.swapaxes(0, 1))
