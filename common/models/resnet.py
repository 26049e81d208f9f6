"""Three ResNets of 18 layers for small images: they differ in order, shortcuts and initial weights."""

import keras

from .blocks import channels_last, convolution, logits, relu
from .initialization import Initialization
from .normalization import batch_normalization

_STAGES = 4
_BLOCKS_PER_STAGE = 2
_NUM_BLOCKS = _STAGES * _BLOCKS_PER_STAGE

RESNET18W_INITIALIZATIONS = ("fixup", "mfixup", "he_normal", "pytorch")


@channels_last
def resnet18(
    width: int = 64,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: Initialization = "pytorch",
) -> keras.Model:
    """Builds a post-activation ResNet18 with normalized shortcuts: 11,173,962 parameters.

    3x3 stem, stages of `width` times 1, 2, 4 and 8 channels with two basic blocks each, 1x1 convolution and
    batch normalization where the shortcut changes shape, global average pooling, linear layer.

    Args:
        width: Positive, the channels of the stem.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Reference:

    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz, models/resnet.py
    - [He et al. 2016](https://arxiv.org/abs/1512.03385)
    """

    def block(x, filters, strides, name):
        return _post_activation_block(
            x, filters, strides, name, normalized_shortcut=True, initializations=[initialization] * 3
        )

    inputs = x = keras.Input(input_shape, name="images")
    x = _normalized_stem(x, width, initialization)
    x = _stages(x, width, block)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="resnet18")


@channels_last
def resnet18w(
    width: int,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: str = "fixup",
    normalized_shortcuts: bool = False,
) -> keras.Model:
    """Builds the post-activation ResNet18 of Gamba et al. 2022, whose shortcuts are not normalized.

    Otherwise, and with `normalized_shortcuts`, as `resnet18`; width 64 has 11,172,170 parameters. `"fixup"`
    draws the first convolution of each of the L = 8 blocks from a normal of variance 2 / (L fan_out) and sets
    the second and the linear layer to zero, although there is batch normalization; `"mfixup"` draws normals
    of deviation 1e-6 in their place; stem and shortcuts keep PyTorch's default, and biases are zero.
    `"he_normal"` draws every kernel from a normal of variance 2 / fan_out (the linear layer's: 1 / fan_out)
    with zero bias. `"pytorch"` is PyTorch's default throughout. The paper does not say which it used;
    `"fixup"` is its code's default.

    Args:
        width: Positive, the channels of the stem.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        initialization: One of `RESNET18W_INITIALIZATIONS`.
        normalized_shortcuts: Whether they are normalized, as those of He et al. are.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Raises:
        ValueError: If `initialization` is none of them.

    Reference:

    - [Gamba et al. 2022](https://arxiv.org/abs/2209.10080); magamba/double_descent, models/resnet.py
    - [Zhang et al. 2019, "Fixup initialization"](https://arxiv.org/abs/1901.09321)
    """
    if initialization not in RESNET18W_INITIALIZATIONS:
        raise ValueError(
            f"`initialization` must be one of {RESNET18W_INITIALIZATIONS}. Received: {initialization=}"
        )
    other, first, second, linear = _resnet18w_initializations(initialization)

    def block(x, filters, strides, name):
        return _post_activation_block(
            x, filters, strides, name, normalized_shortcuts, initializations=[first, second, other]
        )

    inputs = x = keras.Input(input_shape, name="images")
    x = _normalized_stem(x, width, other)
    x = _stages(x, width, block)
    return keras.Model(inputs, logits(x, num_classes, linear), name="resnet18w")


@channels_last
def resnet18k(
    width: int,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: Initialization = "pytorch",
) -> keras.Model:
    """Builds the pre-activation ResNet18 of the double-descent experiments: 11,171,146 at width 64.

    Batch normalization and ReLU precede each convolution; a shortcut that changes shape is a 1x1
    convolution of the activated input, without normalization; nothing normalizes the last block's sum
    before the global average pooling.

    Args:
        width: k, positive, the channels of the stem.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Reference:

    - [Nakkiran et al. 2020](https://arxiv.org/abs/1912.02292)
    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz,
      double-descent/models/resnet18k.py
    """

    def block(x, filters, strides, name):
        activated = relu(batch_normalization(f"{name}_bn1")(x), f"{name}_relu1")
        shortcut = x
        if strides != 1 or x.shape[-1] != filters:
            shortcut = convolution(
                activated, filters, 1, strides, name=f"{name}_shortcut", initialization=initialization
            )
        y = convolution(activated, filters, 3, strides, name=f"{name}_conv1", initialization=initialization)
        y = relu(batch_normalization(f"{name}_bn2")(y), f"{name}_relu2")
        y = convolution(y, filters, 3, name=f"{name}_conv2", initialization=initialization)
        return keras.layers.Add(name=f"{name}_sum")([y, shortcut])

    inputs = x = keras.Input(input_shape, name="images")
    x = convolution(x, width, 3, name="stem", initialization=initialization)
    x = _stages(x, width, block)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="resnet18k")


def _stages(x, width, block):
    """Applies the blocks of all stages and averages over positions."""
    for stage in range(_STAGES):
        for i in range(_BLOCKS_PER_STAGE):
            strides = 2 if stage > 0 and i == 0 else 1
            x = block(x, width * 2**stage, strides, f"stage{stage + 1}_block{i + 1}")
    return keras.layers.GlobalAveragePooling2D(name="mean_pool")(x)


def _normalized_stem(x, width, initialization):
    x = convolution(x, width, 3, name="stem", initialization=initialization)
    return relu(batch_normalization("stem_bn")(x), "stem_relu")


def _post_activation_block(x, filters, strides, name, normalized_shortcut, initializations):
    """Basic block; `initializations` of the first and second convolution and of the shortcut."""
    first, second, other = initializations
    y = convolution(x, filters, 3, strides, name=f"{name}_conv1", initialization=first)
    y = relu(batch_normalization(f"{name}_bn1")(y), f"{name}_relu1")
    y = convolution(y, filters, 3, name=f"{name}_conv2", initialization=second)
    y = batch_normalization(f"{name}_bn2")(y)
    if strides != 1 or x.shape[-1] != filters:
        x = convolution(x, filters, 1, strides, name=f"{name}_shortcut", initialization=other)
        if normalized_shortcut:
            x = batch_normalization(f"{name}_shortcut_bn")(x)
    return relu(keras.layers.Add(name=f"{name}_sum")([y, x]), f"{name}_relu2")


def _resnet18w_initializations(name):
    """Returns those of stem and shortcuts, first and second convolutions, and the linear layer."""
    if name == "pytorch":
        return ["pytorch"] * 4
    if name == "he_normal":
        linear = keras.initializers.VarianceScaling(1.0, "fan_out", "untruncated_normal")
        return [*["he_normal_fan_out"] * 3, linear]
    first = keras.initializers.VarianceScaling(2.0 / _NUM_BLOCKS, "fan_out", "untruncated_normal")
    zeros, nearly_zeros = keras.initializers.Zeros(), keras.initializers.RandomNormal(stddev=1e-6)
    last = zeros if name == "fixup" else nearly_zeros
    return ["pytorch", first, last, last]
