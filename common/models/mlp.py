"""Multi-layer perceptrons."""

from collections.abc import Sequence

import keras

from .blocks import channels_last, dense, logits
from .initialization import Initialization


@channels_last
def mlp(
    input_shape: tuple[int, ...],
    hidden_units: Sequence[int],
    num_classes: int = 10,
    initialization: Initialization = "glorot",
) -> keras.Model:
    """Builds dense layers with ReLU and biases, and a linear layer.

    On 28x28x3 images `hidden_units=(512,)` has 1,209,866 parameters and `(512, 512, 512)` 1,735,178 (Zhang
    et al. 2017). On 32x32x3 images `(1024, 512, 256, 64)`, with `initialization="pytorch"`, is the fully
    connected network of Somepalli et al. 2022: 3,819,978.

    Args:
        input_shape: Shape of one input, such as (height, width, channels).
        hidden_units: The units of each hidden layer; may be empty.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Reference:

    - [Zhang et al. 2017, appendix A](https://arxiv.org/abs/1611.03530)
    - somepago/dbViz, models/fcnet.py
    """
    inputs = keras.Input(input_shape, name="images")
    x = keras.layers.Flatten(name="flatten")(inputs)
    for i, units in enumerate(hidden_units, start=1):
        x = dense(x, units, name=f"dense{i}", activation="relu", initialization=initialization)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="mlp")
