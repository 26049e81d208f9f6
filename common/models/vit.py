"""Vision transformer of Dosovitskiy et al. 2021, for small images."""

import keras

from ..layers.attention import ClassTokenAndPositions, SelfAttention
from ..layers.dropout import ReplicaDropout
from .blocks import channels_last, dense, logits, patch_embedding
from .initialization import Initialization
from .normalization import layer_normalization


@channels_last
def vit(
    dim: int = 512,
    depth: int = 6,
    num_heads: int = 8,
    head_dim: int = 64,
    mlp_dim: int = 512,
    patch_size: int = 4,
    dropout: float = 0.1,
    input_shape: tuple[int, int, int] = (32, 32, 3),
    num_classes: int = 10,
    initialization: Initialization = "pytorch",
) -> keras.Model:
    """Builds a vision transformer; the defaults have 9,523,722 parameters.

    Linear embedding of the patches, a class token, learned positions; `depth` pairs of self-attention
    (queries, keys and values without bias) and a perceptron with exact GELU, layer normalization before
    and identity around each; layer normalization and linear layer of the class token. Dropout follows the
    embedding, the attention's output and both layers of the perceptron. Class token and positions are
    standard normal.

    Args:
        dim: Positive, the channels of a token.
        depth: Number of pairs.
        num_heads: Number of attention heads.
        head_dim: Channels of a head's queries, keys and values.
        mlp_dim: Hidden units of the perceptrons.
        patch_size: Side of the square patches, which divides the image's sides.
        dropout: Share of the values dropped.
        input_shape: (height, width, channels) of the images.
        num_classes: Number of logits.
        initialization: As for `models.initialization.layer_initializers`.

    Returns:
        Functional model from (batch, *input_shape) to (batch, num_classes) logits.

    Raises:
        ValueError: If `patch_size` does not divide the sides.

    Reference:

    - [Dosovitskiy et al. 2021](https://arxiv.org/abs/2010.11929)
    - [Somepalli et al. 2022](https://arxiv.org/abs/2203.08124); somepago/dbViz, models/vit.py
    """
    inputs = keras.Input(input_shape, name="images")
    x = patch_embedding(inputs, patch_size, dim, initialization)
    x = ClassTokenAndPositions(name="tokens")(x)
    x = ReplicaDropout(dropout, name="tokens_dropout")(x)
    for i in range(1, depth + 1):
        name = f"layer{i}_attention"
        y = layer_normalization(f"{name}_ln")(x)
        y = _attention(y, num_heads, head_dim, dropout, initialization, name)
        x = keras.layers.Add(name=f"{name}_sum")([y, x])
        name = f"layer{i}_mlp"
        y = layer_normalization(f"{name}_ln")(x)
        y = _perceptron(y, mlp_dim, dropout, initialization, name)
        x = keras.layers.Add(name=f"{name}_sum")([y, x])
    x = layer_normalization("final_ln")(x[:, 0])
    return keras.Model(inputs, logits(x, num_classes, initialization), name="vit")


def _attention(x, num_heads, head_dim, dropout, initialization, name):
    units = x.shape[-1]
    packed = 3 * num_heads * head_dim
    x = dense(x, packed, name=f"{name}_qkv", use_bias=False, initialization=initialization)
    x = SelfAttention(num_heads, name=name)(x)
    x = dense(x, units, name=f"{name}_out", initialization=initialization)
    return ReplicaDropout(dropout, name=f"{name}_dropout")(x)


def _perceptron(x, hidden_units, dropout, initialization, name):
    units = x.shape[-1]
    x = dense(x, hidden_units, name=f"{name}_dense1", activation="gelu", initialization=initialization)
    x = ReplicaDropout(dropout, name=f"{name}_dropout1")(x)
    x = dense(x, units, name=f"{name}_dense2", initialization=initialization)
    return ReplicaDropout(dropout, name=f"{name}_dropout2")(x)
