"""MLP-Mixer of Tolstikhin et al. 2021."""

import keras

from .blocks import channels_last, dense, logits, patch_embedding
from .initialization import Initialization
from .normalization import layer_normalization


@channels_last
def mlp_mixer(
    dim: int = 512,
    depth: int = 12,
    patch_size: int = 4,
    expansion: int = 4,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: Initialization = "pytorch",
) -> keras.Model:
    """Builds an MLP-Mixer; the defaults have 25,649,418 parameters.

    Linear embedding of the patches, `depth` pairs of a perceptron over the tokens and one over the channels
    (one hidden layer `expansion` times as wide, exact GELU, layer normalization before, identity around), a
    last layer normalization, mean over the tokens, linear layer. No dropout.

    Args:
        dim: Positive, the channels of a token.
        depth: Number of pairs.
        patch_size: Side of the square patches, which divides the image's sides.
        expansion: Width of the hidden layers as a multiple of tokens and channels.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Raises:
        ValueError: If `patch_size` does not divide the sides.

    Reference:

    - [Tolstikhin et al. 2021](https://arxiv.org/abs/2105.01601)
    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz, models/mlpmixer.py
    """

    def perceptron(x, name):
        units = x.shape[-1]
        x = dense(
            x, expansion * units, name=f"{name}_dense1", activation="gelu", initialization=initialization
        )
        return dense(x, units, name=f"{name}_dense2", initialization=initialization)

    inputs = keras.Input(input_shape, name="images")
    x = patch_embedding(inputs, patch_size, dim, initialization)
    for i in range(1, depth + 1):
        name = f"layer{i}_tokens"
        y = layer_normalization(f"{name}_ln")(x)
        y = keras.layers.Permute((2, 1), name=f"{name}_last")(y)
        y = perceptron(y, name)
        y = keras.layers.Permute((2, 1), name=f"{name}_first")(y)
        x = keras.layers.Add(name=f"{name}_sum")([y, x])
        name = f"layer{i}_channels"
        y = perceptron(layer_normalization(f"{name}_ln")(x), name)
        x = keras.layers.Add(name=f"{name}_sum")([y, x])
    x = layer_normalization("final_ln")(x)
    x = keras.layers.GlobalAveragePooling1D(name="mean_pool")(x)
    return keras.Model(inputs, logits(x, num_classes, initialization), name="mlp_mixer")
