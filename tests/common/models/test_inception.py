import keras
import numpy as np
import pytest

from common.layers import ReplicaDropout
from common.models.inception import small_inception
from common.models.initialization import draw_weights
from common.streams import Streams

NUM_CONV_MODULES = 19  # 1 + 8 Inception modules of 2 + 2 downsample modules


def layers(model, layer_class):
    return [layer for layer in model.layers if isinstance(layer, layer_class)]


@pytest.mark.parametrize("batch_norm", ["all", "none", "downsample"])
def test_number_of_parameters(num_parameters, batch_norm):
    assert num_parameters(small_inception(batch_norm=batch_norm)) == 1_649_402


@pytest.mark.parametrize(
    ("batch_norm", "normalized"),
    [("all", NUM_CONV_MODULES), ("none", 0), ("downsample", ["downsample1_3x3_bn", "downsample2_3x3_bn"])],
)
def test_place_of_batch_normalization(batch_norm, normalized):
    model = small_inception(batch_norm=batch_norm)
    names = [layer.name for layer in layers(model, keras.layers.BatchNormalization)]
    assert (names if isinstance(normalized, list) else len(names)) == normalized
    for conv in layers(model, keras.layers.Conv2D):
        assert conv.use_bias == (f"{conv.name}_bn" not in names)
    for layer in layers(model, keras.layers.BatchNormalization):
        assert (layer.scale, layer.momentum, layer.epsilon) == (False, 0.99, 1e-3)
        assert layer.input is model.get_layer(layer.name.removesuffix("_bn")).output


@pytest.mark.parametrize("batch_norm", ["all", "none", "downsample"])
def test_forward_pass_is_that_of_numpy(check_forward, batch_norm):
    def conv_module(network, x, name, strides=1):
        # "same" pads an even image by one row and column, after it.
        x = network.conv(x, name, strides, (0, 1) if strides == 2 else None)
        if batch_norm == "all" or (batch_norm == "downsample" and strides == 2):
            x = network.bn(x, f"{name}_bn", epsilon=1e-3)
        return network.relu(x)

    def forward(network, x):
        x = conv_module(network, x, "conv1")
        for i in range(1, 9):
            if i in (3, 7):
                name = f"downsample{i // 3}"
                pooled = network.max_pool(x, 3, 2, (0, 1))
                x = np.concatenate([conv_module(network, x, f"{name}_3x3", 2), pooled], axis=-1)
            name = f"inception{i}"
            branches = [conv_module(network, x, f"{name}_{size}") for size in ("1x1", "3x3")]
            x = np.concatenate(branches, axis=-1)
        return network.dense(x.mean(axis=(1, 2)), "logits")

    check_forward(small_inception((8, 8, 3), num_classes=4, batch_norm=batch_norm), forward)


def test_dropout_follows_each_conv_module_and_precedes_the_linear_layer():
    model = small_inception(dropout=0.05)
    drops = layers(model, ReplicaDropout)
    assert len(drops) == NUM_CONV_MODULES + 1
    assert {layer.rate for layer in drops} == {0.05}
    assert model.get_layer("logits").input is model.get_layer("logits_dropout").output
    assert model.get_layer("inception1_1x1").input is model.get_layer("conv1_dropout").output
    assert not layers(small_inception(), ReplicaDropout)


def test_kernels_do_not_depend_on_normalization_and_dropout():
    models = [small_inception(batch_norm=mode) for mode in ("all", "none", "downsample")]
    models.append(small_inception(dropout=0.05))
    for model in models:
        draw_weights(model, Streams(4))
    kernels = [[np.asarray(w) for w in model.weights if w.name == "kernel"] for model in models]
    for others in kernels[1:]:
        for kernel, other in zip(kernels[0], others, strict=True):
            np.testing.assert_array_equal(kernel, other)


def test_invalid_batch_norm():
    with pytest.raises(ValueError, match=r"\('all', 'none', 'downsample'\). Received: batch_norm='some'$"):
        small_inception(batch_norm="some")
