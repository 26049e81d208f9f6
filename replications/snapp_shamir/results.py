"""What figures and claims of Snapp & Shamir 2021 read from runs: a value for each pair, contrasts, weights.

The same pair index has the same data and evaluation set in all settings of one seed, so contrasts resample
pairs, not settings. A pair that diverged has no value and drops out of a contrast.

The arrays `weights_0`, `weights_1`, ... of a run have shape (pairs, 2, ...): kernels (inputs, units) and
biases, layer after layer.
"""

import numpy as np
import pandas as pd

from common.study.verdicts import Contrast, Outcome, magnitude, quotient, ratio

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


def pair_values(evidence, metric, living=False, **coordinates):
    """A metric of each pair of the one run with these settings: Series by pair.

    With `living`, pairs with a dead model are left out.
    """
    run = evidence.run(**coordinates)
    values = measured(run, metric)
    return values.drop(np.unique(dead_pairs(run)), errors="ignore") if living else values


def _aligned(series):
    """The arrays of the pairs that all of the series have a value for."""
    table = pd.concat(series, axis=1, join="inner").dropna()
    return [table.iloc[:, i].to_numpy() for i in range(table.shape[1])]


def pair_ratio(evidence, metric, label, top, bottom, living=False):
    """Contrast of a metric: the run with settings `top` over that with settings `bottom`."""
    places = (top, bottom)
    return ratio(label, *_aligned([pair_values(evidence, metric, living, **place) for place in places]))


def mean_ratio(evidence, metric, label, tops, bottoms):
    """Contrast of a metric: the geometric mean, over matching lists of settings, of their ratios."""
    samples = _aligned([pair_values(evidence, metric, **settings) for settings in (*tops, *bottoms)])
    share = 1 / len(tops)
    return Contrast(label, tuple(samples), (share,) * len(tops) + (-share,) * len(bottoms))


def ratio_of_ratios(evidence, metric, label, first, second, living=False):
    """Contrast of a metric: (top, bottom) settings `first` over (top, bottom) settings `second`."""
    samples = _aligned([pair_values(evidence, metric, living, **place) for place in (*first, *second)])
    return quotient(label, ratio("", *samples[:2]), ratio("", *samples[2:]))


def with_or_without_dead(outcome_of):
    """The Outcome of a comparison that pairs with a dead model must not decide.

    One such pair can hold nine tenths of the mean of 16.

    Args:
        outcome_of: Function living -> Outcome; with `living` it leaves out pairs with a dead model.

    Returns:
        The Outcome on all pairs, open if the other one has another verdict.
    """
    everyone, living = outcome_of(False), outcome_of(True)
    if everyone.verdict == living.verdict:
        return everyone
    text = (
        f"{everyone.verdict} with all pairs ({everyone.seen}), {living.verdict} without those of a dead model"
    )
    return Outcome("open", f"{text} ({living.seen})")


def diverged_pairs(evidence, places):
    """How many pairs have a diverged model in one of the runs with these settings, and how many there are."""
    series = [pair_values(evidence, PD, **place) for place in places]
    num_pairs = max(settings.pairs for place in places for settings, _ in evidence.runs(**place))
    return num_pairs - len(_aligned(series)[0]), num_pairs


def order(evidence, quantity, expected, **coordinates):
    """Outcome of a published order of magnitude of the mean PD over pairs, on all seeds there are."""
    runs = evidence.seeds(**coordinates)
    if dead := sum(len(dead_pairs(run)) for run in runs):
        quantity += f" ({dead} dead model{'s' if dead > 1 else ''})"
    samples = [measured(run, PD).dropna().to_numpy() for run in runs]
    return magnitude(quantity, samples, expected, evidence.scale)


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
