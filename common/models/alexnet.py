"""Small AlexNet of Zhang et al. 2017."""

import keras

from ..layers.dropout import ReplicaDropout
from ..layers.local_response_normalization import LocalResponseNormalization
from .blocks import channels_last, convolution, dense, logits, relu
from .initialization import Initialization


@channels_last
def small_alexnet(
    input_shape: tuple[int, int, int] = (28, 28, 3),
    num_classes: int = 10,
    dropout: float = 0.0,
    initialization: Initialization = "glorot",
) -> keras.Model:
    """Builds the small AlexNet of the randomization tests: 1,387,786 trainable parameters.

    Twice 5x5 convolution with ReLU, 3x3 max-pooling of stride 2 and local response normalization, then
    dense layers of 384 and 192 units with ReLU and a linear layer. The count pins the 64 channels. The
    normalization's constants, not given in the paper, are those of TensorFlow's CIFAR-10 tutorial.

    Args:
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        dropout: Share of the values dropped before each of the three dense layers.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Reference:

    - [Zhang et al. 2017, appendix A](https://arxiv.org/abs/1611.03530)
    """

    def drop(x, name):
        return ReplicaDropout(dropout, name=f"{name}_dropout")(x) if dropout else x

    inputs = x = keras.Input(input_shape, name="images")
    for i in (1, 2):
        x = convolution(x, 64, 5, name=f"conv{i}", use_bias=True, initialization=initialization)
        x = relu(x, f"conv{i}_relu")
        x = keras.layers.MaxPooling2D(3, 2, "same", name=f"pool{i}")(x)
        x = LocalResponseNormalization(4, bias=1.0, alpha=0.001 / 9, beta=0.75, name=f"lrn{i}")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    for i, units in ((1, 384), (2, 192)):
        x = drop(x, f"dense{i}")
        x = dense(x, units, name=f"dense{i}", activation="relu", initialization=initialization)
    x = drop(x, "logits")
    return keras.Model(inputs, logits(x, num_classes, initialization), name="small_alexnet")
