"""Wide ResNet of Zagoruyko & Komodakis 2016."""

import keras

from .blocks import channels_last, convolution, dense, relu
from .normalization import batch_normalization


@channels_last
def wide_resnet(
    width_factor: int, depth: int = 28, input_shape: tuple[int, int, int] = (32, 32, 3), num_classes: int = 10
) -> keras.Model:
    """Builds a pre-activation Wide ResNet: 36,479,194 parameters at width factor 10, depth 28.

    3x3 stem of 16 channels, three stages of 16, 32 and 64 times `width_factor` channels with (depth - 4) / 6
    blocks each, final normalization and ReLU, global average pooling, linear layer. No dropout. Where a
    block changes the number of channels its 1x1 shortcut takes the activated input. Convolutions are drawn
    from a normal of variance 2 / fan_out; the linear layer's kernel has PyTorch's default, its bias is zero.

    Args:
        width_factor: Positive; 10, 20 and 30 are the WideRN10, 20 and 30 of Somepalli et al. 2022.
        depth: 4 plus a positive multiple of 6.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Raises:
        ValueError: If `depth` is none of these.

    Reference:

    - [Zagoruyko & Komodakis 2016](https://arxiv.org/abs/1605.07146)
    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz, models/wideresnet.py
    """
    if depth < 10 or (depth - 4) % 6:
        raise ValueError(f"`depth` must be 4 plus a positive multiple of 6. Received: depth={depth!r}")
    inputs = x = keras.Input(input_shape, name="images")
    x = _convolution(x, 16, 3, name="stem")
    for stage in range(3):
        for i in range((depth - 4) // 6):
            strides = 2 if stage > 0 and i == 0 else 1
            x = _block(x, 16 * 2**stage * width_factor, strides, f"stage{stage + 1}_block{i + 1}")
    x = relu(batch_normalization("final_bn")(x), "final_relu")
    x = keras.layers.GlobalAveragePooling2D(name="mean_pool")(x)
    kernel = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    outputs = dense(x, num_classes, name="logits", initialization=kernel, dtype="float32")
    return keras.Model(inputs, outputs, name="wide_resnet")


def _convolution(x, filters, size, strides=1, *, name):
    return convolution(x, filters, size, strides, name=name, initialization="he_normal_fan_out")


def _block(x, filters, strides, name):
    activated = relu(batch_normalization(f"{name}_bn1")(x), f"{name}_relu1")
    y = _convolution(activated, filters, 3, strides, name=f"{name}_conv1")
    y = relu(batch_normalization(f"{name}_bn2")(y), f"{name}_relu2")
    y = _convolution(y, filters, 3, name=f"{name}_conv2")
    # Where the width factor is 1 the first stage keeps its channels; strides always come with new ones.
    if x.shape[-1] != filters:
        x = _convolution(activated, filters, 1, strides, name=f"{name}_shortcut")
    return keras.layers.Add(name=f"{name}_sum")([y, x])
