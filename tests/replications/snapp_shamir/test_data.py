import itertools

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import expit

from common.streams import Streams
from replications.snapp_shamir.data import (
    ExampleStream,
    alias_table,
    draw_theta,
    feature_probabilities,
    true_logits,
    unpack,
)

NUM_EXAMPLES = 2**21
# Two-sided level of each test for a true generator, Bonferroni over the comparisons in it.
LEVEL = 1e-3


@pytest.fixture(scope="module", params=["linear", "quadratic"])
def sample(request):
    data = request.param
    streams = Streams(11)
    theta = draw_theta(data, streams.generator("theta"))
    stream = ExampleStream(data, theta)
    tables = stream.tables()
    key = [tf.constant(k) for k in streams.key("data", 0)]
    positions = tf.constant(np.arange(NUM_EXAMPLES, dtype=np.uint32))
    examples = tf.function(stream.features, jit_compile=True)(tables, key, positions)
    labels = tf.function(stream.labels, jit_compile=True)(tables, key, positions, examples)
    return data, theta, examples.numpy(), labels.numpy()


def z_scores(counts, probabilities, total):
    spread = np.sqrt(total * probabilities * (1 - probabilities))
    return np.abs(counts - total * probabilities) / spread


def limit(comparisons):
    return stats.norm.isf(LEVEL / 2 / comparisons)


def test_probabilities_are_the_published_ones():
    linear = feature_probabilities("linear")
    np.testing.assert_allclose(linear[:4], [0.6079, 0.1520, 0.0675, 0.0380], atol=5e-5)
    assert (linear[:16] == linear[16:]).all()
    np.testing.assert_allclose(linear.sum(), 1.93, atol=5e-3)
    np.testing.assert_allclose(np.prod(1 - linear), 0.073, atol=5e-4)
    quadratic = feature_probabilities("quadratic")
    np.testing.assert_allclose(quadratic[:4], [0.9239, 0.0577, 0.0114, 0.0036], atol=5e-5)


def test_feature_frequencies(sample):
    data, _, examples, _ = sample
    probabilities = feature_probabilities(data)
    counts = unpack(examples).sum(axis=0)
    assert z_scores(counts, probabilities, NUM_EXAMPLES).max() < limit(32)


def test_pairs_of_features_are_independent(sample):
    data, _, examples, _ = sample
    probabilities = feature_probabilities(data)
    bits = unpack(examples).astype(np.float32)
    together = bits.T @ bits
    pairs = list(itertools.combinations(range(32), 2))
    expected = np.array([probabilities[i] * probabilities[j] for i, j in pairs])
    counts = np.array([together[i, j] for i, j in pairs], np.float64)
    frequent = NUM_EXAMPLES * expected > 100  # where the normal approximation holds
    assert frequent.sum() > 100
    scores = z_scores(counts[frequent], expected[frequent], NUM_EXAMPLES)
    assert scores.max() < limit(frequent.sum())


def test_labels_follow_the_true_model(sample):
    data, theta, examples, labels = sample
    logits = true_logits(data, theta, examples)
    edges = np.quantile(logits, np.linspace(0, 1, 21)[1:-1])
    bins = np.searchsorted(edges, logits)
    for b in np.unique(bins):
        p = expit(logits[bins == b])
        score = abs(labels[bins == b].sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
        assert score < limit(len(np.unique(bins)))


def test_neighbouring_examples_are_independent(sample):
    _data, _, examples, labels = sample
    bits = unpack(examples)[:, [0, 1, 16, 17]].astype(np.float64)
    series = np.column_stack([bits, labels])
    series = (series - series.mean(axis=0)) / series.std(axis=0)
    for lag in (1, 2, 32):
        correlation = series[lag:].T @ series[:-lag] / len(series)
        assert np.abs(correlation).max() < limit(3 * 25) / np.sqrt(len(series))


def test_linear_logits_by_hand():
    theta = np.arange(32.0)
    examples = np.array([0, 1 << 5, 1 << 5 | 1 << 31, 2**32 - 1], np.uint32)
    assert true_logits("linear", theta, examples).tolist() == [0, 5, 36, 496]


def test_quadratic_logits_by_hand():
    theta = np.zeros((8, 4, 4))
    theta[0, 0, 0], theta[0, 2, 1], theta[7, 3, 3] = 1.5, -2.0, 4.0
    examples = np.array([0b1, 0b110, 0b111, 1 << 31, 1 << 31 | 0b1, 0b10], np.uint32)
    assert true_logits("quadratic", theta, examples).tolist() == [1.5, -2, -0.5, 4, 5.5, 0]


def test_theta_is_drawn_from_three_normals():
    draws = np.concatenate([draw_theta("linear", Streams(s).generator("theta")) for s in range(400)])

    def cdf(x):
        return np.mean([stats.norm.cdf(x, mean) for mean in (-2, 0, 2)], axis=0)

    assert stats.kstest(draws, cdf).pvalue > LEVEL
    theta = draw_theta("quadratic", Streams(0).generator("theta"))
    assert theta.shape == (8, 4, 4)
    assert (theta != 0).sum() == 80
    assert (np.triu(theta, 1) == 0).all()


def test_alias_table_reproduces_the_distribution():
    probabilities = np.random.default_rng(0).exponential(size=1000) ** 4
    probabilities /= probabilities.sum()
    thresholds, aliases = alias_table(probabilities)
    kept = thresholds / 2.0**32
    mass = np.bincount(aliases, weights=1 - kept, minlength=1000) + kept
    np.testing.assert_allclose(mass / 1000, probabilities, atol=2**-32)


def test_a_stream_is_a_function_of_position():
    stream = ExampleStream("linear", np.ones(32))
    tables, key = stream.tables(), [tf.constant(np.uint32(k)) for k in (1, 2)]
    positions = np.array([5, 2**31, 9, 5], np.uint32)
    examples = stream.features(tables, key, tf.constant(positions)).numpy()
    alone = [stream.features(tables, key, tf.constant(p[None])).numpy()[0] for p in positions]
    assert examples.tolist() == alone
    assert examples[0] == examples[3]


def test_evaluation_set_counts_its_examples():
    stream = ExampleStream("linear", np.arange(32.0))
    examples, counts, logits = stream.evaluation_set(np.array([3, 4], np.uint32), 2**12)
    assert counts.sum() == 2**12
    assert len(np.unique(examples)) == len(examples) < 2**12
    np.testing.assert_array_equal(logits, true_logits("linear", np.arange(32.0), examples))
    assert abs(counts @ unpack(examples)[:, 0] / 2**12 - 0.6079) < 0.03
