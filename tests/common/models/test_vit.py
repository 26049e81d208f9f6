import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import softmax

from common.layers import ClassTokenAndPositions, ReplicaDropout, SelfAttention
from common.models.initialization import draw_weights
from common.models.vit import vit
from common.streams import Streams


def attention(x, num_heads):
    """Head by head, on one packed axis of queries, keys and values."""
    queries, keys, values = np.split(x, 3, axis=-1)
    outputs = []
    for q, k, v in zip(*(np.split(a, num_heads, axis=-1) for a in (queries, keys, values)), strict=True):
        outputs.append(softmax(q @ k.swapaxes(1, 2) / np.sqrt(q.shape[-1]), axis=-1) @ v)
    return np.concatenate(outputs, axis=-1)


def test_number_of_parameters(num_parameters):
    assert num_parameters(vit()) == 9_523_722


def test_forward_pass_is_that_of_numpy(check_forward):
    def forward(network, images):
        x = network.patches(images, 4)
        weights = network.weights("tokens")
        class_tokens = np.broadcast_to(weights["class_token"], (2, 1, 6))
        x = np.concatenate([class_tokens, x], axis=1) + weights["positions"]
        for i in (1, 2):
            name = f"layer{i}_attention"
            y = network.dense(network.ln(x, f"{name}_ln"), f"{name}_qkv")
            x = x + network.dense(attention(y, num_heads=2), f"{name}_out")
            name = f"layer{i}_mlp"
            y = network.gelu(network.dense(network.ln(x, f"{name}_ln"), f"{name}_dense1"))
            x = x + network.dense(y, f"{name}_dense2")
        return network.dense(network.ln(x[:, 0], "final_ln"), "logits")

    model = vit(dim=6, depth=2, num_heads=2, head_dim=5, mlp_dim=7, input_shape=(8, 8, 3), num_classes=4)
    check_forward(model, forward)


def test_place_of_dropout():
    model = vit(dim=8, depth=2, num_heads=2, head_dim=4, mlp_dim=8)
    drops = [layer for layer in model.layers if isinstance(layer, ReplicaDropout)]
    assert len(drops) == 1 + 2 * 3
    assert {layer.rate for layer in drops} == {0.1}


def test_class_token_and_positions_are_standard_normal():
    model = vit(dim=64, depth=1, num_heads=1, mlp_dim=8)
    draw_weights(model, Streams(0))
    class_token, positions = map(np.asarray, model.get_layer("tokens").weights)
    assert (class_token.shape, positions.shape) == ((1, 64), (65, 64))
    # Five standard deviations of the estimates.
    assert positions.std() == pytest.approx(1, abs=5 / np.sqrt(2 * positions.size))
    assert positions.mean() == pytest.approx(0, abs=5 / np.sqrt(positions.size))
    assert class_token.std() == pytest.approx(1, abs=5 / np.sqrt(2 * class_token.size))


def test_attention_by_hand():
    # Two tokens, one head of one channel. Queries 1, 0; keys 0, ln 3; values 4, 8: softmax (1/4, 3/4) and
    # (1/2, 1/2).
    x = np.array([[[1.0, 0.0, 4.0], [0.0, np.log(3), 8.0]]], "float32")
    np.testing.assert_allclose(SelfAttention(1)(x), [[[7.0], [6.0]]], rtol=1e-6)


def test_attention_over_any_number_of_tokens():
    inputs = keras.Input((None, 6))
    model = keras.Model(inputs, SelfAttention(2)(inputs))
    call = tf.function(model, input_signature=[tf.TensorSpec((None, None, 6))])
    rng = np.random.default_rng(0)
    for tokens in (1, 4):
        x = rng.normal(size=(2, tokens, 6)).astype("float32")
        np.testing.assert_allclose(call(x), attention(x, 2), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"must be known. Received: input_shape=\(None, None, 6\)$"):
        ClassTokenAndPositions()(inputs)


def test_model_survives_saving(tmp_path):
    model = vit(dim=8, depth=1, num_heads=2, head_dim=4, mlp_dim=8)
    draw_weights(model, Streams(0))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(loaded(x), model(x))
    draw_weights(model, Streams(1))
    draw_weights(loaded, Streams(1))
    np.testing.assert_array_equal(loaded(x), model(x))


@pytest.mark.parametrize(
    "layer", [SelfAttention(3, name="a"), ClassTokenAndPositions("zeros", "ones", name="tokens")]
)
def test_config_round_trip(layer):
    config = keras.layers.serialize(layer)
    copy = keras.layers.deserialize(json.loads(json.dumps(config)))
    assert type(copy) is type(layer)
    assert keras.layers.serialize(copy) == config


def test_integers_of_numpy_are_integers():
    assert type(SelfAttention(np.int64(2)).get_config()["num_heads"]) is int


def test_invalid_arguments():
    with pytest.raises(ValueError, match="positive integer. Received: num_heads=0$"):
        SelfAttention(0)
    with pytest.raises(ValueError, match=r"num_heads=2. Received: input_shape=\(1, 2, 9\)$"):
        SelfAttention(2)(np.ones((1, 2, 9)))
    with pytest.raises(ValueError, match=r"Received: input_shape=\(1, 3\)$"):
        SelfAttention(1)(np.ones((1, 3)))


def test_attention_over_whole_numbers_is_that_over_floats():
    """Queries 0: every token gets the mean of the values."""
    x = np.array([[[0, 0, 0], [0, 0, 10], [0, 0, 5]]])
    np.testing.assert_allclose(SelfAttention(1)(x), np.full((1, 3, 1), 5.0))
