"""Small Inception of Zhang et al. 2017."""

import keras

from ..layers.dropout import ReplicaDropout
from .blocks import channels_last, convolution, logits, relu
from .initialization import Initialization
from .normalization import batch_normalization

BATCH_NORM_MODES = ("all", "none", "downsample")

# Channels of the 1x1 and the 3x3 branch of an Inception module; of the convolution of a downsample module.
_MODULES = (
    ("inception1", (32, 32)),
    ("inception2", (32, 48)),
    ("downsample1", 80),
    ("inception3", (112, 48)),
    ("inception4", (96, 64)),
    ("inception5", (80, 80)),
    ("inception6", (48, 96)),
    ("downsample2", 96),
    ("inception7", (176, 160)),
    ("inception8", (176, 160)),
)


@channels_last
def small_inception(
    input_shape: tuple[int, int, int] = (28, 28, 3),
    num_classes: int = 10,
    batch_norm: str = "all",
    dropout: float = 0.0,
    initialization: Initialization = "glorot",
    batch_norm_momentum: float = 0.99,
) -> keras.Model:
    """Builds the small Inception of the randomization tests: 1,649,402 trainable parameters.

    A conv module is convolution, batch normalization, ReLU. There is one parameter a channel besides the
    kernels: the published count is the same with batch normalization (beta without gamma, no bias) and
    without (bias). Padding is TensorFlow's "same". The normalization's momentum and epsilon, not given in
    the paper, are Keras's defaults, 0.99 and 0.001.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        batch_norm: `"all"`, `"none"`, or `"downsample"`: only in the two downsample modules.
        dropout: Share of the values dropped after each conv module and before the linear layer.
        initialization: As for `models.initialization.layer_initializers`.
        batch_norm_momentum: Share of the old value that the moving statistics keep.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Raises:
        ValueError: If `batch_norm` is not one of the modes.

    Reference:

    - [Zhang et al. 2017, figure 3 and appendix A](https://arxiv.org/abs/1611.03530)
    """
    if batch_norm not in BATCH_NORM_MODES:
        raise ValueError(f"`batch_norm` must be one of {BATCH_NORM_MODES}. Received: {batch_norm=}")

    def conv_module(x, filters, size, name, strides=1):
        normalized = batch_norm == "all" or (batch_norm == "downsample" and name.startswith("downsample"))
        x = convolution(
            x,
            filters,
            size,
            strides,
            name=name,
            padding="same",
            use_bias=not normalized,
            initialization=initialization,
        )
        if normalized:
            x = batch_normalization(f"{name}_bn", batch_norm_momentum, epsilon=1e-3, scale=False)(x)
        x = relu(x, f"{name}_relu")
        return ReplicaDropout(dropout, name=f"{name}_dropout")(x) if dropout else x

    inputs = keras.Input(input_shape, name="images")
    x = conv_module(inputs, 96, 3, "conv1")
    x = _modules(x, conv_module)
    x = keras.layers.GlobalAveragePooling2D(name="mean_pool")(x)
    if dropout:
        x = ReplicaDropout(dropout, name="logits_dropout")(x)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="small_inception")


def _modules(x, conv_module):
    """Applies all Inception and downsample modules; a module concatenates its two branches."""
    for name, channels in _MODULES:
        if name.startswith("inception"):
            branches = [
                conv_module(x, channels[0], 1, f"{name}_1x1"),
                conv_module(x, channels[1], 3, f"{name}_3x3"),
            ]
        else:
            branches = [
                conv_module(x, channels, 3, f"{name}_3x3", strides=2),
                keras.layers.MaxPooling2D(3, 2, "same", name=f"{name}_pool")(x),
            ]
        x = keras.layers.Concatenate(name=name)(branches)
    return x
