"""VGG19 of Simonyan & Zisserman 2015 with batch normalization, for small images."""

import keras

from .blocks import channels_last, convolution, logits, relu
from .initialization import Initialization
from .normalization import batch_normalization

# Multiple of the width and number of convolutions, stage by stage.
_STAGES = ((1, 2), (2, 2), (4, 4), (8, 4), (8, 4))


@channels_last
def vgg19(
    width: int = 64,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: Initialization = "pytorch",
) -> keras.Model:
    """Builds a VGG19 with batch normalization and one linear layer: 20,040,522 parameters.

    Sixteen 3x3 convolutions with bias, batch normalization and ReLU, of `width` times 1, 2, 4, 8 and 8
    channels, 2x2 max-pooling after each of the five stages.

    Args:
        width: Positive, the channels of the first stage.
        input_shape: (height, width, channels) of the images; sides of at least 32 pixels.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Reference:

    - [Simonyan & Zisserman 2015](https://arxiv.org/abs/1409.1556)
    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz, models/vgg.py
    """
    inputs = x = keras.Input(input_shape, name="images")
    for stage, (multiple, num_convolutions) in enumerate(_STAGES, start=1):
        for i in range(1, num_convolutions + 1):
            name = f"stage{stage}_conv{i}"
            x = convolution(x, multiple * width, 3, name=name, use_bias=True, initialization=initialization)
            x = relu(batch_normalization(f"{name}_bn")(x), f"{name}_relu")
        x = keras.layers.MaxPooling2D(2, name=f"pool{stage}")(x)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="vgg19")
