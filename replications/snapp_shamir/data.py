"""The synthetic binary data of Snapp & Shamir 2021, as a pure function of (key, position).

An example packs into one uint32: feature 0 is the lowest bit, and each half of 16 features (a set of the
linear model, section 2; four blocks of the quadratic model, section 6) has 65,536 patterns. An alias table
draws a whole half at once, a second table holds each pattern's share of the log-odds.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from common.streams import threefry2x32, word
from replications.snapp_shamir.sizes import NUM_FEATURES

_HALF = 16
_BLOCK = 4
NUM_PATTERNS = 2**_HALF
_PATTERNS = np.arange(NUM_PATTERNS, dtype=np.uint32)
_PATTERN_BITS = ((_PATTERNS[:, None] >> np.arange(_HALF, dtype=np.uint32)) & 1).astype(bool)


def feature_probabilities(data):
    """P(feature = 1) for the 32 features.

    Section 2: 6 / (j pi)^2 for j = 1..16 in each of two sets. Section 6: 90 / (j pi)^4 for j = 1..4 in each
    of eight blocks.
    """
    if data == "linear":
        return np.tile(6 / (np.arange(1, _HALF + 1) * np.pi) ** 2, NUM_FEATURES // _HALF)
    return np.tile(90 / (np.arange(1, _BLOCK + 1) * np.pi) ** 4, NUM_FEATURES // _BLOCK)


def draw_theta(data, generator):
    """Draws the true coefficients: each from N(-2, 1), N(0, 1) or N(2, 1), picked uniformly (section 2).

    Returns:
        float64, shape (32,) for linear data; (8, 4, 4), lower triangles, for quadratic data: 80 coefficients.
    """
    shape = (NUM_FEATURES,) if data == "linear" else (NUM_FEATURES // _BLOCK, _BLOCK, _BLOCK)
    means = generator.choice([-2.0, 0.0, 2.0], size=shape)
    theta = generator.normal(means, 1.0)
    return theta if data == "linear" else np.tril(theta)


def unpack(examples):
    """Returns the features of packed examples: bool, shape (..., 32)."""
    shifts = np.arange(NUM_FEATURES, dtype=np.uint32)
    return (np.asarray(examples, np.uint32)[..., None] >> shifts & 1).astype(bool)


def true_logits(data, theta, examples):
    """Log-odds of the positive label: x . theta, or x^T Theta x with Theta block-diagonal (section 6)."""
    x = unpack(examples).astype(np.float64)
    if data == "linear":
        return x @ theta
    blocks = x.reshape(*x.shape[:-1], NUM_FEATURES // _BLOCK, _BLOCK)
    return np.einsum("...ki,kij,...kj->...", blocks, theta, blocks)


def alias_table(probabilities):
    """Walker's alias method (Vose 1991) for a distribution over 65,536 patterns.

    Returns:
        (thresholds, aliases), both uint32: pattern i is kept when a uniform word is below thresholds[i],
        else aliases[i] is taken. Probabilities are met to 2^-48.
    """
    scaled = probabilities / probabilities.sum() * len(probabilities)
    aliases = np.arange(len(scaled), dtype=np.uint32)
    small = list(np.flatnonzero(scaled < 1))
    large = list(np.flatnonzero(scaled >= 1))
    while small and large:
        i, j = small.pop(), large[-1]
        aliases[i] = j
        scaled[j] -= 1 - scaled[i]
        if scaled[j] < 1:
            small.append(large.pop())
    # What remains on either list is 1 up to rounding and is its own alias.
    thresholds = np.clip(np.rint(scaled * 2.0**32), 0, 2**32 - 1)
    return thresholds.astype(np.uint32), aliases


def pattern_probabilities(probabilities):
    """Probability of each of the 65,536 patterns of 16 independent features."""
    return np.where(_PATTERN_BITS, probabilities, 1 - probabilities).prod(axis=1)


@functools.cache
def _half_alias_table(data):
    """The alias table of a half's patterns; both halves have the same probabilities."""
    return alias_table(pattern_probabilities(feature_probabilities(data)[:_HALF]))


def _pack(low, high):
    return tf.bitwise.bitwise_or(low, tf.bitwise.left_shift(high, word(_HALF)))


def _halves(packed):
    return tf.bitwise.bitwise_and(packed, word(NUM_PATTERNS - 1)), tf.bitwise.right_shift(packed, word(_HALF))


@dataclasses.dataclass(frozen=True)
class ExampleStream:
    """The example distribution of one experiment, and examples at any position of any keyed stream.

    Args:
        data: "linear" or "quadratic".
        theta: True coefficients, as `draw_theta` returns them.
    """

    data: str
    theta: np.ndarray

    def tables(self):
        """What `features` and `labels` look up, as NumPy arrays.

        Returns:
            (thresholds, aliases, log_odds): the alias table of either half's 65,536 patterns, uint32; each
            pattern's share of the log-odds, the low half's patterns before the high's, float32 (131072,).
        """
        halves = (true_logits(self.data, self.theta, _PATTERNS << np.uint32(i * _HALF)) for i in range(2))
        return *_half_alias_table(self.data), np.concatenate(list(halves)).astype(np.float32)

    @staticmethod
    def patterns(key, positions):
        """Draws for each half the pattern at which its alias table is read, packed like an example."""
        words = (threefry2x32(key, (positions, word(half)))[0] for half in range(2))
        return _pack(*(tf.bitwise.right_shift(drawn, word(_HALF)) for drawn in words))

    @staticmethod
    def features(tables, key, positions, patterns=None):
        """Packed examples at `positions` (uint32) of the stream `key` (two uint32 tensors).

        Args:
            tables: From `tables`.
            key: Two uint32 tensors.
            positions: uint32 tensor.
            patterns: `patterns(key, positions)`, if a compiled program has them in memory: XLA on CPU makes
                no vector instructions of what leads to the place of a look-up within one pass.
        """
        thresholds, aliases, _ = tables
        if patterns is None:
            patterns = ExampleStream.patterns(key, positions)
        halves = []
        for half, pattern in enumerate(_halves(patterns)):
            _, uniform = threefry2x32(key, (positions, word(half)))
            index = tf.cast(pattern, tf.int32)
            is_kept = uniform < tf.gather(thresholds, index)
            halves.append(tf.where(is_kept, pattern, tf.gather(aliases, index)))
        return _pack(*halves)

    @staticmethod
    def labels(tables, key, positions, examples):
        """Labels 0. or 1. (float32) of the examples at `positions`: P(1 | x) = sigmoid(log-odds), eq. 1."""
        uniform, _ = threefry2x32(key, (positions, word(2)))
        uniform = tf.cast(tf.cast(tf.bitwise.right_shift(uniform, word(8)), tf.int32), tf.float32)
        low, high = (tf.cast(half, tf.int32) for half in _halves(examples))
        log_odds = tf.gather(tables[2], low) + tf.gather(tables[2], high + NUM_PATTERNS)
        return tf.cast(uniform * 2.0**-24 < tf.sigmoid(log_odds), tf.float32)

    def evaluation_set(self, key, num_examples):
        """The distinct examples of an evaluation set with their number of occurrences.

        Examples repeat often (the features are sparse), so every mean over the set is a weighted mean over
        its distinct members, exactly.

        Returns:
            (examples, counts, log_odds): uint32, int64 and float64 arrays of one length.
        """
        positions = tf.constant(np.arange(num_examples, dtype=np.uint32))
        drawn = self.features(self.tables(), (word(int(key[0])), word(int(key[1]))), positions)
        examples, counts = np.unique(drawn.numpy(), return_counts=True)
        return examples, counts, true_logits(self.data, self.theta, examples)


def example_stream(data, streams):
    """Returns the `ExampleStream` of a run: theta is drawn once and shared by all pairs (section 2)."""
    return ExampleStream(data, draw_theta(data, streams.generator("theta")))
