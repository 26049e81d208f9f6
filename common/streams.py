"""Named random streams: every use of randomness has its own key, and each can be varied alone.

A stream is a pure function of (root seed, name, indices, position): nothing is stored to continue it,
and no use of randomness can disturb another one. `Streams` names the keys; `threefry2x32` turns a key
and a counter into random words and `permute` turns a key into a shuffle, both inside compiled programs.
"""

import dataclasses
import hashlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import tensorflow as tf

THREEFRY_ROUNDS = 20
FEISTEL_ROUNDS = 8
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA

# Two words of a key or a counter.
Words: TypeAlias = Sequence[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Streams:
    """The random streams of one run.

    Example:
    >>> streams = Streams(seed=0)
    >>> streams.key("data", 3)      # the key of the examples of pair 3: two uint32 words
    >>> streams.integer("init", 3)  # a seed for a Keras initializer

    Args:
        seed: Non-negative integer, the root seed.
    """

    seed: int

    def _sequence(self, name, indices):
        digest = hashlib.sha256(name.encode()).digest()
        return np.random.SeedSequence(self.seed, spawn_key=(int.from_bytes(digest[:4], "little"), *indices))

    def key(self, name: str, *indices: int) -> np.ndarray:
        """Returns the key of a stream: a uint32 array of shape (2,)."""
        return self._sequence(name, indices).generate_state(2, np.uint32)

    def integer(self, name: str, *indices: int) -> int:
        """Returns a seed in [0, 2^31) for code that takes an integer."""
        return int(self._sequence(name, indices).generate_state(1, np.uint32)[0] >> 1)

    def generator(self, name: str, *indices: int) -> np.random.Generator:
        """Returns a `numpy.random.Generator` for draws on the host."""
        return np.random.default_rng(self._sequence(name, indices))


def word(value: int) -> tf.Tensor:
    """Returns a uint32 constant; Python integers are taken modulo 2^32."""
    return tf.constant(np.uint32(value & 0xFFFFFFFF))


def low_mask(num_bits: tf.Tensor) -> tf.Tensor:
    """Returns the word whose lowest `num_bits` bits (a uint32 tensor below 32) are set."""
    return tf.bitwise.left_shift(word(1), num_bits) - word(1)


def _rotate_left(x, distance):
    left = tf.bitwise.left_shift(x, word(distance))
    return tf.bitwise.bitwise_or(left, tf.bitwise.right_shift(x, word(32 - distance)))


def threefry2x32(key: Words, counter: Words) -> tuple[tf.Tensor, tf.Tensor]:
    """Threefry-2x32 with 20 rounds: two random words from a key and a counter.

    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; the known-answer vectors of its
    reference implementation are a test. Shapes broadcast.

    Args:
        key: Two uint32 tensors.
        counter: Two uint32 tensors.

    Returns:
        Two uint32 tensors of independent uniform words.
    """
    parity = tf.bitwise.bitwise_xor(tf.bitwise.bitwise_xor(key[0], key[1]), word(_PARITY))
    schedule = (key[0], key[1], parity)
    x0, x1 = counter[0] + key[0], counter[1] + key[1]
    for i in range(THREEFRY_ROUNDS):
        x0 = x0 + x1
        x1 = tf.bitwise.bitwise_xor(_rotate_left(x1, _ROTATIONS[i % 8]), x0)
        if i % 4 == 3:
            injection = i // 4 + 1
            x0 = x0 + schedule[injection % 3]
            x1 = x1 + schedule[(injection + 1) % 3] + word(injection)
    return x0, x1


def fold_in(key: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Returns the key of the `number`-th part of a stream, such as a step: a uint32 tensor of shape (2,).

    In place of `tf.random.experimental.stateless_fold_in`, which differs between XLA and other kernels.

    Args:
        key: int32 or uint32 tensor of shape (2,).
        number: Scalar int32 tensor or integer, not negative.
    """
    key = tf.bitcast(key, tf.uint32)
    # `uniform_numbers` never counts so far in the second word.
    return tf.stack(threefry2x32((key[0], key[1]), (tf.cast(number, tf.uint32), word(-1))))


def uniform_numbers(key: tf.Tensor, num_rows: int | tf.Tensor, num_columns: int) -> tf.Tensor:
    """Numbers in [0, 1) that depend on the key, the row, the column and how many columns there are.

    Threefry in place of `tf.random.stateless_uniform`, whose numbers differ between XLA and other kernels
    even when the generator is named.

    Args:
        key: int32 or uint32 tensor of shape (2,).
        num_rows: Number of rows, an integer or a scalar int32 tensor.
        num_columns: Number of columns.

    Returns:
        float32 tensor of shape (num_rows, num_columns), multiples of 2^-24.
    """
    key = tf.bitcast(key, tf.uint32)
    rows = tf.cast(tf.range(num_rows), tf.uint32)[:, None]
    blocks = tf.range((num_columns + 1) // 2)
    words = threefry2x32((key[0], key[1]), (rows, tf.cast(blocks, tf.uint32)[None]))
    words = tf.concat(words, axis=1)[:, :num_columns]
    return tf.cast(tf.bitwise.right_shift(words, word(8)), tf.float32) * 2.0**-24


def _mix(x):
    """Mixes all bits upward: the high bits of the result depend on every bit of x."""
    x = x * word(0x9E3779B1)
    x = tf.bitwise.bitwise_xor(x, tf.bitwise.right_shift(x, word(15)))
    return x * word(0x85EBCA77)


def permute(offsets: tf.Tensor, key: Words, num_bits: tf.Tensor) -> tf.Tensor:
    """A keyed bijection of {0, ..., 2^num_bits - 1}: a shuffle evaluated point by point.

    A Feistel network over the low and high halves of the offset (Luby & Rackoff 1988; halves may differ
    by one bit), so any offset's place is known without a permutation in memory. Shapes broadcast.

    Args:
        offsets: uint32 tensor with values below 2^num_bits.
        key: Two uint32 tensors.
        num_bits: uint32 tensor below 32, the logarithm of the window size.

    Returns:
        uint32 tensor, the permuted offsets.
    """
    high_bits = tf.bitwise.right_shift(num_bits, word(1))
    low_bits = num_bits - high_bits
    high = tf.bitwise.right_shift(offsets, low_bits)
    low = tf.bitwise.bitwise_and(offsets, low_mask(low_bits))
    for i in range(FEISTEL_ROUNDS):
        round_key = tf.bitwise.bitwise_xor(key[0] * word(2 * i + 1), key[1] + word(0x9E3779B9 * i))
        source, width = (low, high_bits) if i % 2 == 0 else (high, low_bits)
        mask = _mix(tf.bitwise.bitwise_xor(source, round_key))
        # The highest `width` bits; two shifts, since one by 32 is undefined.
        mask = tf.bitwise.right_shift(tf.bitwise.right_shift(mask, word(1)), word(31) - width)
        if i % 2 == 0:
            high = tf.bitwise.bitwise_xor(high, mask)
        else:
            low = tf.bitwise.bitwise_xor(low, mask)
    return tf.bitwise.bitwise_or(tf.bitwise.left_shift(high, low_bits), low)
