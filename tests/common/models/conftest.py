"""A second implementation of the networks' operations, in NumPy and float64."""

import math

import numpy as np
import pytest
from scipy.special import erf

from common.models.alexnet import small_alexnet
from common.models.convnet import convnet
from common.models.densenet import densenet
from common.models.inception import small_inception
from common.models.mlp import mlp
from common.models.mlp_mixer import mlp_mixer
from common.models.resnet import resnet18, resnet18k, resnet18w
from common.models.vgg import vgg19
from common.models.vit import vit
from common.models.wide_resnet import wide_resnet

_MODELS = {
    "small_inception": lambda: small_inception(dropout=0.05),
    "small_alexnet": lambda: small_alexnet(dropout=0.05),
    "mlp": lambda: mlp((4, 4, 3), (8, 8)),
    "convnet": lambda: convnet(3, batch_norm=True),
    "resnet18": lambda: resnet18(2),
    "resnet18k": lambda: resnet18k(2),
    "resnet18w": lambda: resnet18w(2),
    "wide_resnet": lambda: wide_resnet(1, depth=10),
    "densenet": lambda: densenet(4, blocks=(2, 2)),
    "vgg19": lambda: vgg19(2),
    "vit": lambda: vit(dim=8, depth=2, num_heads=2, head_dim=4, mlp_dim=8),
    "mlp_mixer": lambda: mlp_mixer(dim=8, depth=2),
}


class NumpyNetwork:
    """Forward pass in inference mode, with the weights of a Keras model's layers by their names."""

    def __init__(self, model):
        self.model = model

    def weights(self, name):
        return {w.name: np.asarray(w, "float64") for w in self.model.get_layer(name).weights}

    def conv(self, x, name, strides=1, padding=None):
        """Convolution with PyTorch's symmetric padding, or with the given (before, after)."""
        weights = self.weights(name)
        kernel = weights["kernel"]
        size = kernel.shape[0]
        before, after = padding or (size // 2, size // 2)
        windows = self.windows(x, size, strides, (before, after), 0.0)
        return np.einsum("nhwcij,ijcd->nhwd", windows, kernel) + weights.get("bias", 0.0)

    @staticmethod
    def windows(x, size, strides, padding, value):
        padded = np.pad(x, [(0, 0), padding, padding, (0, 0)], constant_values=value)
        windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        return windows[:, ::strides, ::strides]

    def max_pool(self, x, size, strides=None, padding=(0, 0)):
        return self.windows(x, size, strides or size, padding, -np.inf).max(axis=(-2, -1))

    def bn(self, x, name, epsilon=1e-5):
        weights = self.weights(name)
        scale = weights.get("gamma", 1.0) / np.sqrt(weights["moving_variance"] + epsilon)
        return (x - weights["moving_mean"]) * scale + weights["beta"]

    def ln(self, x, name):
        weights = self.weights(name)
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + 1e-5)
        return centred / deviation * weights["gamma"] + weights["beta"]

    def dense(self, x, name):
        weights = self.weights(name)
        return x @ weights["kernel"] + weights.get("bias", 0.0)

    def patches(self, images, size):
        """Linear embedding of the patches; the kernel's order is (row, column, channel)."""
        n, height, width, channels = images.shape
        x = images.reshape(n, height // size, size, width // size, size, channels)
        x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, -1, size * size * channels)
        weights = self.weights("patches")
        return x @ weights["kernel"].reshape(x.shape[-1], -1) + weights["bias"]

    @staticmethod
    def relu(x):
        return np.maximum(x, 0)

    @staticmethod
    def gelu(x):
        return x * (1 + erf(x / math.sqrt(2))) / 2


def _randomize(model):
    """Gives every weight, also constants and moving statistics, a random value; returns images."""
    generator = np.random.default_rng(0)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name in ("gamma", "moving_variance"):
            values = generator.uniform(0.5, 1.5, shape)
        elif weight.name == "kernel":
            values = generator.normal(size=shape) / math.sqrt(max(1, math.prod(shape[:-1])))
        else:
            values = generator.normal(size=shape) / 4
        weight.assign(values)
    return generator.normal(size=(2, *model.input_shape[1:]))


@pytest.fixture
def check_forward():
    """Checks a model's logits, all weights random, against a function of (NumPy network, images)."""

    def check(model, forward):
        images = _randomize(model)
        logits = model(images.astype("float32"))
        assert logits.dtype == "float32"
        expected = forward(NumpyNetwork(model), images)
        assert expected.shape == (2, *model.output_shape[1:])
        assert expected.std() > 1e-2
        np.testing.assert_allclose(logits, expected, rtol=1e-4, atol=1e-4 * expected.std())

    return check


@pytest.fixture
def num_parameters():
    """The published counts are of trainable weights: moving statistics do not count."""
    return lambda model: sum(math.prod(weight.shape) for weight in model.trainable_weights)


@pytest.fixture
def names_of_models():
    """Names of the models that `every_model` builds."""
    return set(_MODELS)


@pytest.fixture(params=_MODELS)
def every_model(request):
    """Each model of common.models in turn, small."""
    model = _MODELS[request.param]()
    assert model.name == request.param
    return model
