import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from scipy import stats

from common.streams import Streams, fold_in, permute, threefry2x32, uniform_numbers, word


def as_words(values):
    return [tf.constant(np.uint32(v)) for v in values]


@pytest.mark.parametrize(
    "key,counter,expected",
    [  # kat_vectors of Random123 (Salmon et al. 2011)
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((0xFFFFFFFF,) * 2, (0xFFFFFFFF,) * 2, (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_threefry_known_answers(key, counter, expected, compiled):
    function = tf.function(threefry2x32, jit_compile=True) if compiled else threefry2x32
    words = function(as_words(key), as_words(counter))
    assert tuple(int(w) for w in words) == expected


@hypothesis.given(st.integers(0, 16), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
@hypothesis.settings(max_examples=60, deadline=None)
def test_permute_is_a_bijection(num_bits, key0, key1):
    offsets = np.arange(2**num_bits, dtype=np.uint32)
    shuffled = permute(tf.constant(offsets), as_words((key0, key1)), word(num_bits)).numpy()
    assert (np.sort(shuffled) == offsets).all()


def test_permute_is_a_bijection_on_the_largest_window():
    offsets = np.arange(2**26, dtype=np.uint32)
    function = tf.function(lambda x: permute(x, as_words((7, 8)), word(26)), jit_compile=True)
    shuffled = function(tf.constant(offsets)).numpy()
    seen = np.zeros(2**26, bool)
    seen[shuffled] = True
    assert seen.all()


def keyed_shuffles(num_bits, num_keys):
    """num_keys permutations of 2^num_bits offsets, keys as the engine derives them from windows."""
    offsets = tf.constant(np.arange(2**num_bits, dtype=np.uint32))[None]
    windows = tf.constant(np.arange(num_keys, dtype=np.uint32))[:, None]
    key = threefry2x32(as_words(Streams(0).key("order", 0, 0)), (windows, word(0)))
    return permute(offsets, key, word(num_bits)).numpy()


@pytest.mark.parametrize("num_bits", [2, 3, 5])
def test_every_offset_reaches_every_place_equally_often(num_bits):
    size, num_keys = 2**num_bits, 20_000
    shuffles = keyed_shuffles(num_bits, num_keys)
    counts = np.stack([np.bincount(shuffles[:, i], minlength=size) for i in range(size)])
    chi_square = ((counts - num_keys / size) ** 2 / (num_keys / size)).sum()
    freedom = (size - 1) ** 2
    # 4.4 standard deviations: a fair shuffle fails once in 10^5 keys; ours is fixed.
    assert chi_square < freedom + 4.4 * np.sqrt(2 * freedom)


@pytest.mark.parametrize("num_bits", [5, 10, 15, 20])
def test_shuffled_positions_have_no_lag_correlation(num_bits):
    num_keys = max(1, 2 ** (18 - num_bits))
    shuffles = keyed_shuffles(num_bits, num_keys).astype(np.float64)
    size = 2**num_bits
    centred = (shuffles - (size - 1) / 2) / np.sqrt((size**2 - 1) / 12)
    identity = (np.arange(size) - (size - 1) / 2) / np.sqrt((size**2 - 1) / 12)
    assert abs((centred * identity).mean()) < 4.4 / np.sqrt(centred.size)
    for lag in (1, 2, 3, 4, 7, 8, 16):
        products = centred[:, lag:] * centred[:, :-lag]
        # Drawn without replacement, two places correlate by -1 / (size - 1).
        assert abs(products.mean() + 1 / (size - 1)) < 4.4 / np.sqrt(products.size)


def test_two_keys_give_unrelated_shuffles():
    shuffles = keyed_shuffles(12, 64).astype(np.float64)
    correlation = np.corrcoef(shuffles)[np.triu_indices(64, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(2**12)
    assert abs(correlation.mean()) < 4.4 / np.sqrt(2**12 * correlation.size)


def test_streams_are_named_and_independent():
    streams = Streams(5)
    keys = [
        streams.key("init", 0),
        streams.key("init", 1),
        streams.key("order", 0),
        streams.key("order", 0, 1),
        Streams(6).key("init", 0),
    ]
    assert len({tuple(key) for key in keys}) == len(keys)
    assert (streams.key("init", 0) == keys[0]).all()
    assert 0 <= streams.integer("init", 3) < 2**31
    assert streams.generator("theta").normal() == Streams(5).generator("theta").normal()


def test_numbers_are_uniform_and_independent():
    numbers = uniform_numbers(tf.constant([7, 8]), 20_000, 5).numpy()
    assert numbers.shape == (20_000, 5)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-4
    correlation = np.corrcoef(np.concatenate([numbers[:-1], numbers[1:]], axis=1).T)
    # The standard error of a correlation is 1 / sqrt(20,000) = 0.007.
    assert np.abs(correlation - np.eye(10)).max() < 0.03


def test_numbers_do_not_depend_on_how_many_there_are_nor_on_the_compiler():
    key = fold_in(tf.constant([7, 8]), 3)
    numbers = uniform_numbers(key, 10, 5).numpy()
    np.testing.assert_array_equal(uniform_numbers(key, 4, 5), numbers[:4])
    compiled = tf.function(lambda key: uniform_numbers(fold_in(key, 3), 10, 5), jit_compile=True)
    np.testing.assert_array_equal(compiled(tf.constant([7, 8])), numbers)


def test_parts_of_a_stream_have_keys_of_their_own():
    keys = {tuple(fold_in(tf.constant([7, 8]), number).numpy()) for number in range(100)}
    keys |= {tuple(fold_in(tf.constant([7, 9]), number).numpy()) for number in range(100)}
    assert len(keys) == 200


def test_streams_are_what_they_were_when_the_records_were_made():
    """Whole numbers, the same on every processor. The first are those of a Feistel network in pure Python."""
    key = as_words((1, 2))
    order = permute(tf.constant(np.arange(8, dtype=np.uint32)), key, word(3))
    assert order.numpy().tolist() == [4, 0, 3, 2, 5, 1, 6, 7]
    assert Streams(0).key("data", 3).tolist() == [3898301141, 3898715425]
    assert Streams(0).integer("init", 3) == 1520531415
    assert fold_in(tf.constant([7, 8], tf.uint32), 3).numpy().tolist() == [2132653736, 3667456239]
