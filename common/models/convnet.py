"""Five-layer ConvNet of Nakkiran et al. 2020, as Gamba et al. 2022 use it."""

import keras

from .blocks import channels_last, convolution, logits, relu
from .initialization import Initialization
from .normalization import batch_normalization

# The convolutions that 2x2 pooling follows.
POOLINGS = {"max": (2, 3, 4), "average": (2, 3)}


@channels_last
def convnet(
    width: int,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    batch_norm: bool = False,
    initialization: Initialization = "pytorch",
    pooling: str = "max",
) -> keras.Model:
    """Builds four 3x3 convolutions of `width` times 1, 2, 4 and 8 channels, and a linear layer.

    Biases and ReLU everywhere, 2x2 max-pooling after the second, third and fourth convolution, then 4x4; or
    2x2 average pooling after the second and third, and the mean over all positions after the fourth. On
    CIFAR-10 the widths 1, 10 and 64 have 510, 39,030 and 1,556,106 parameters without batch normalization.

    Args:
        width: Positive, the channels of the first convolution.
        input_shape: (height, width, channels) of the images; sides of 32 to 63 pixels.
        num_classes: Number of logits.
        batch_norm: Whether convolutions are normalized before the ReLU; biases stay.
        initialization: As for `models.initialization.layer_initializers`.
        pooling: `"max"`, or `"average"`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Raises:
        ValueError: If `pooling` is neither.

    Reference:

    - [Gamba et al. 2022](https://arxiv.org/abs/2209.10080); magamba/double_descent, models/cnn.py
    - magamba/overparameterization, models/conv.py, which averages
    - [Nakkiran et al. 2020](https://arxiv.org/abs/1912.02292)
    """
    if pooling not in POOLINGS:
        raise ValueError(f"`pooling` must be one of {tuple(POOLINGS)}. Received: {pooling=}")
    if pooling == "max":
        pool, last_pool = keras.layers.MaxPooling2D, keras.layers.MaxPooling2D(4, name="pool5")
    else:
        pool = keras.layers.AveragePooling2D
        last_pool = keras.layers.GlobalAveragePooling2D(name="mean_pool")
    inputs = x = keras.Input(input_shape, name="images")
    for i in range(4):
        x = convolution(x, width * 2**i, 3, name=f"conv{i + 1}", use_bias=True, initialization=initialization)
        if batch_norm:
            x = batch_normalization(f"conv{i + 1}_bn")(x)
        x = relu(x, f"conv{i + 1}_relu")
        if i + 1 in POOLINGS[pooling]:
            x = pool(2, name=f"pool{i + 1}")(x)
    return keras.Model(inputs, logits(last_pool(x), num_classes, initialization), name="convnet")
