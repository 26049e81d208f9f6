import functools
import math

import keras
import numpy as np
import pytest

from common.models.initialization import draw_weights
from common.models.resnet import resnet18, resnet18k, resnet18w
from common.streams import Streams

BLOCKS = [
    (f"stage{stage}_block{i}", 2 if stage > 1 and i == 1 else 1) for stage in (1, 2, 3, 4) for i in (1, 2)
]


def test_number_of_parameters_of_resnet18(num_parameters):
    assert num_parameters(resnet18()) == 11_173_962


@pytest.mark.parametrize(
    ("width", "count"),
    [
        (1, 2_947),
        (4, 44_446),
        (7, 134_977),
        (10, 274_540),
        (20, 1_093_870),
        (30, 2_458_000),
        (64, 11_171_146),
    ],
)
def test_number_of_parameters_of_resnet18k(num_parameters, width, count):
    assert num_parameters(resnet18k(width)) == count


@pytest.mark.parametrize(("width", "count"), [(1, 2_963), (18, 886_708), (64, 11_172_170)])
def test_number_of_parameters_of_resnet18w(num_parameters, width, count):
    assert num_parameters(resnet18w(width)) == count


NORMALIZED = functools.partial(resnet18w, normalized_shortcuts=True)


@pytest.mark.parametrize("builder", [resnet18, resnet18w, NORMALIZED])
def test_forward_pass_of_the_post_activation_networks(check_forward, builder):
    def forward(network, x):
        x = network.relu(network.bn(network.conv(x, "stem"), "stem_bn"))
        for name, strides in BLOCKS:
            y = network.relu(network.bn(network.conv(x, f"{name}_conv1", strides), f"{name}_bn1"))
            y = network.bn(network.conv(y, f"{name}_conv2"), f"{name}_bn2")
            if strides == 2:
                x = network.conv(x, f"{name}_shortcut", 2)
                if builder is not resnet18w:
                    x = network.bn(x, f"{name}_shortcut_bn")
            x = network.relu(x + y)
        return network.dense(x.mean(axis=(1, 2)), "logits")

    check_forward(builder(2, num_classes=4), forward)


def test_forward_pass_of_the_pre_activation_network(check_forward):
    def forward(network, x):
        x = network.conv(x, "stem")
        for name, strides in BLOCKS:
            activated = network.relu(network.bn(x, f"{name}_bn1"))
            if strides == 2:
                x = network.conv(activated, f"{name}_shortcut", 2)
            y = network.conv(activated, f"{name}_conv1", strides)
            y = network.relu(network.bn(y, f"{name}_bn2"))
            x = x + network.conv(y, f"{name}_conv2")
        return network.dense(x.mean(axis=(1, 2)), "logits")

    check_forward(resnet18k(2, num_classes=4), forward)


@pytest.mark.parametrize("builder", [resnet18, resnet18k, resnet18w])
def test_batch_normalization_has_the_constants_of_pytorch(builder):
    layers = [x for x in builder(1).layers if isinstance(x, keras.layers.BatchNormalization)]
    assert {(x.momentum, x.epsilon, x.scale) for x in layers} == {(0.9, 1e-5, True)}


def kernels(initialization, width=16):
    model = resnet18w(width, initialization=initialization)
    draw_weights(model, Streams(0))
    named = {w.path.removesuffix("/kernel"): np.asarray(w) for w in model.weights if w.name == "kernel"}
    return model, named


def fans(kernel):
    positions = math.prod(kernel.shape[:-2])
    return positions * kernel.shape[-2], positions * kernel.shape[-1]


@pytest.mark.parametrize("initialization", ["fixup", "mfixup"])
def test_fixup(initialization):
    model, named = kernels(initialization)
    last = [kernel for name, kernel in named.items() if name.endswith("_conv2") or name == "logits"]
    assert len(last) == 9
    for kernel in last:
        if initialization == "fixup":
            assert not kernel.any()
        else:
            assert kernel.std() == pytest.approx(1e-6, rel=0.2)
    assert not np.asarray(model.get_layer("logits").bias).any()
    for name, kernel in named.items():
        fan_in, fan_out = fans(kernel)
        if name.endswith("_conv1"):
            # sqrt(2 / fan_out) * L^(-1/2), L = 8 blocks.
            assert kernel.std() == pytest.approx(math.sqrt(2 / fan_out / 8), rel=0.05)
        elif name == "stem" or name.endswith("_shortcut"):
            assert np.abs(kernel).max() == pytest.approx(1 / math.sqrt(fan_in), rel=0.05)


def test_fixup_starts_with_zero_logits():
    model, _ = kernels("fixup")
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(model(x), np.zeros((2, 10)))


def test_he_normal():
    _, named = kernels("he_normal")
    for name, kernel in named.items():
        gain = 1 if name == "logits" else 2
        assert kernel.std() == pytest.approx(math.sqrt(gain / fans(kernel)[1]), rel=0.1), name


def test_invalid_initialization():
    with pytest.raises(ValueError, match=r"'pytorch'\). Received: initialization='glorot'$"):
        resnet18w(1, initialization="glorot")
