"""Initial weights: the schemes of the papers' frameworks, and drawing a built model's weights anew."""

import math
from typing import TypeAlias

import keras

from ..layers.ensemble import EmbeddingSum, EnsembleDense, PerModel
from ..streams import Streams

# One of `SCHEMES`, or the initializer of the kernel.
Initialization: TypeAlias = str | keras.initializers.Initializer
SCHEMES = ("glorot", "pytorch", "he_normal_fan_out")


def layer_initializers(
    initialization: Initialization, fan_in: int
) -> dict[str, keras.initializers.Initializer]:
    """Returns the initializers of a convolution or dense layer as keyword arguments.

    `"glorot"` is Keras's (and TF-slim's) default, Glorot-uniform kernels and zero biases. `"pytorch"` is
    the default of PyTorch's `Conv2d` and `Linear`: kernel and bias uniform within 1 / sqrt(fan_in).
    `"he_normal_fan_out"` is a normal kernel of variance 2 / fan_out and zero biases.

    Args:
        initialization: One of `SCHEMES`, or a Keras initializer of the kernel (the bias is then zero).
        fan_in: Positive, the inputs of one output unit: height * width * channels of the kernel.

    Returns:
        `kernel_initializer` and `bias_initializer`.

    Raises:
        ValueError: If `initialization` is neither.

    Reference:

    - [He et al. 2015](https://arxiv.org/abs/1502.01852)
    - `reset_parameters` of PyTorch 1.8.1, torch/nn/modules/conv.py and linear.py
    """
    bias = keras.initializers.Zeros()
    if isinstance(initialization, keras.initializers.Initializer):
        # A copy: layers that share an unseeded initializer would start from the same values.
        kernel = initialization.clone()
    elif initialization == "glorot":
        kernel = keras.initializers.GlorotUniform()
    elif initialization == "he_normal_fan_out":
        kernel = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
    elif initialization == "pytorch":
        bound = 1 / math.sqrt(fan_in)
        kernel = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
        bias = keras.initializers.RandomUniform(-bound, bound)
    else:
        raise ValueError(
            f"`initialization` must be one of {SCHEMES} or a Keras initializer. "
            f"Received: initialization={initialization!r}"
        )
    return {"kernel_initializer": kernel, "bias_initializer": bias}


def draw_weights(model: keras.Model, streams: Streams) -> None:
    """Assigns every variable of a built model anew, as a function of the streams alone.

    Each weight is drawn by its own layer's initializer: a variable `kernel` by the layer's
    `kernel_initializer`, and so on; layers whose initializers have other names (LSTM, separable convolutions)
    are refused. The i-th randomly drawn weight has the seed
    `streams.integer("init", i)`; constants (zero biases, gammas, moving statistics) are reset and take no
    seed, so that models that differ only in such weights, or in dropout, start from the same kernels.
    Layers that hold many models draw each of them as their own class says, model m with the seed plus m.
    The state of the j-th seed generator, as of a dropout layer, starts at `streams.integer("dropout", j)`.
    What a `keras.layers.Normalization` was adapted to stays.
    A compiled model keeps its traced functions, and the optimizer is not touched.

    Example:
    >>> draw_weights(model, Streams(seed=3))

    Args:
        model: Built.
        streams: The random streams of the run.

    Raises:
        ValueError: If a layer has no initializer for one of its variables.
    """
    owners = _owners(model)
    num_drawn = num_generators = 0
    for variable in model.variables:
        if variable.name == "seed_generator_state":
            variable.assign([streams.integer("dropout", num_generators), 0])
            num_generators += 1
            continue
        if isinstance(owners[id(variable)], keras.layers.Normalization):
            continue
        initializer = _initializer_of(variable, owners[id(variable)])
        config = initializer.get_config()
        if "seed" in config:
            config["seed"] = streams.integer("init", num_drawn)
            num_drawn += 1
        initializer = type(initializer).from_config(config)
        if _holds_models(owners[id(variable)]):
            initializer = PerModel(initializer)
        variable.assign(initializer(tuple(variable.shape), dtype=variable.dtype))


def _owners(model):
    """Maps the id of each variable to the innermost layer that holds it; outer layers come first."""
    layers = model._flatten_layers()
    return {id(variable): layer for layer in layers for variable in layer.variables}


def _holds_models(layer):
    """Whether the leading axis of a layer's variables is one of models."""
    return isinstance(layer, EnsembleDense | EmbeddingSum) and layer.num_models is not None


def _initializer_of(variable, layer):
    initializer = getattr(layer, f"{variable.name}_initializer", None)
    if not isinstance(initializer, keras.initializers.Initializer):
        raise ValueError(
            f"Layer {layer.name!r} must have an initializer `{variable.name}_initializer` to draw its "
            f"variable anew. Received: {variable.name}_initializer={initializer!r}"
        )
    return initializer
