"""DenseNet of Huang et al. 2017 for small images."""

from collections.abc import Sequence

import keras

from .blocks import channels_last, convolution, logits, relu
from .initialization import Initialization
from .normalization import batch_normalization


@channels_last
def densenet(
    growth: int = 32,
    blocks: Sequence[int] = (6, 12, 24, 16),
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: Initialization = "pytorch",
) -> keras.Model:
    """Builds a bottleneck DenseNet; the defaults are DenseNet121 with 6,956,298 parameters.

    3x3 stem of 2 * `growth` channels; dense blocks of pre-activated 1x1 (4 * `growth`) and 3x3 (`growth`)
    convolutions; between them a 1x1 convolution that halves the channels and 2x2 average pooling; final
    normalization and ReLU, global average pooling, linear layer.

    Args:
        growth: Positive, the channels that each layer adds.
        blocks: Number of layers of each dense block.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Reference:

    - [Huang et al. 2017](https://arxiv.org/abs/1608.06993)
    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz, models/densenet.py
    """

    def activated_convolution(x, filters, size, name):
        x = relu(batch_normalization(f"{name}_bn")(x), f"{name}_relu")
        return convolution(x, filters, size, name=name, initialization=initialization)

    inputs = x = keras.Input(input_shape, name="images")
    x = convolution(x, 2 * growth, 3, name="stem", initialization=initialization)
    for block, num_layers in enumerate(blocks, start=1):
        if block > 1:
            x = activated_convolution(x, x.shape[-1] // 2, 1, f"transition{block - 1}")
            x = keras.layers.AveragePooling2D(2, name=f"transition{block - 1}_pool")(x)
        for i in range(1, num_layers + 1):
            name = f"block{block}_layer{i}"
            y = activated_convolution(x, 4 * growth, 1, f"{name}_1x1")
            y = activated_convolution(y, growth, 3, f"{name}_3x3")
            x = keras.layers.Concatenate(name=name)([y, x])
    x = relu(batch_normalization("final_bn")(x), "final_relu")
    x = keras.layers.GlobalAveragePooling2D(name="mean_pool")(x)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="densenet")
