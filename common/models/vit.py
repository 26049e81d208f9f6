"""Vision transformer of Dosovitskiy et al. 2021, for small images."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ..layers.dropout import ReplicaDropout
from ..registration import registered
from .blocks import dense, logits, patch_embedding
from .initialization import Initialization
from .normalization import layer_normalization

if TYPE_CHECKING:
    import tensorflow as tf


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


@registered
class ClassTokenAndPositions(keras.layers.Layer):
    """Puts a learned class token before the tokens and adds a learned vector to each position.

    Formula:

    ```
    output[0] = class_token + positions[0]
    output[i] = input[i - 1] + positions[i]
    ```

    Args:
        class_token_initializer: Keras initializer of the (1, dim) class token. Default: standard normal.
        positions_initializer: Keras initializer of the (tokens + 1, dim) positions. Default: standard
            normal.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape: (batch, tokens, dim).

    Output shape: (batch, tokens + 1, dim).
    """

    def __init__(
        self,
        class_token_initializer: str | keras.initializers.Initializer | None = None,
        positions_initializer: str | keras.initializers.Initializer | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.class_token_initializer = _initializer_or_standard_normal(class_token_initializer)
        self.positions_initializer = _initializer_or_standard_normal(positions_initializer)

    def build(self, input_shape: tuple[int | None, int, int]) -> None:
        """Creates the class token and the positions."""
        _, tokens, dim = input_shape
        self.class_token = self.add_weight(
            name="class_token", shape=(1, dim), initializer=self.class_token_initializer
        )
        self.positions = self.add_weight(
            name="positions", shape=(tokens + 1, dim), initializer=self.positions_initializer
        )

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Maps (batch, tokens, dim) to (batch, tokens + 1, dim)."""
        class_tokens = ops.broadcast_to(
            self.class_token, (ops.shape(inputs)[0], 1, self.class_token.shape[-1])
        )
        return ops.concatenate([class_tokens, inputs], axis=1) + self.positions

    def compute_output_shape(self, input_shape: tuple[int | None, int, int]) -> tuple[int | None, int, int]:
        """Returns (batch, tokens + 1, dim)."""
        return (input_shape[0], input_shape[1] + 1, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "class_token_initializer": keras.initializers.serialize(self.class_token_initializer),
            "positions_initializer": keras.initializers.serialize(self.positions_initializer),
        }


@registered
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product attention over packed queries, keys and values; it has no weights.

    The last axis holds the queries of all heads, then their keys, then their values.

    Formula:

    ```
    output of a head = softmax(queries keys^T / sqrt(head_dim)) values
    ```

    Args:
        num_heads: Positive integer.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Input shape: (batch, tokens, 3 * num_heads * head_dim).

    Output shape: (batch, tokens, num_heads * head_dim), head after head.

    Raises:
        ValueError: If `num_heads` is not a positive integer or does not fit the input.
    """

    def __init__(self, num_heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not isinstance(num_heads, int) or isinstance(num_heads, bool) or num_heads < 1:
            raise ValueError(f"`num_heads` must be a positive integer. Received: num_heads={num_heads!r}")
        self.num_heads = num_heads

    def build(self, input_shape: tuple[int | None, int, int]) -> None:
        """Checks that the packed axis divides into the heads' queries, keys and values."""
        if input_shape[-1] % (3 * self.num_heads):
            raise ValueError(
                f"The last axis must be a multiple of 3 * num_heads with num_heads={self.num_heads}. "
                f"Received: input_shape={tuple(input_shape)}"
            )

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Maps (batch, tokens, 3 * num_heads * head_dim) to (batch, tokens, num_heads * head_dim)."""
        _, tokens, packed = inputs.shape
        heads = ops.reshape(inputs, (-1, tokens, 3, self.num_heads, packed // (3 * self.num_heads)))
        queries, keys, values = ops.unstack(heads, axis=2)
        outputs = ops.dot_product_attention(queries, keys, values)
        return ops.reshape(outputs, (-1, tokens, packed // 3))

    def compute_output_shape(self, input_shape: tuple[int | None, int, int]) -> tuple[int | None, int, int]:
        """Returns (batch, tokens, num_heads * head_dim)."""
        return (*input_shape[:-1], input_shape[-1] // 3)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "num_heads": self.num_heads}


def _initializer_or_standard_normal(initializer):
    if initializer is None:
        return keras.initializers.RandomNormal(stddev=1.0)
    return keras.initializers.get(initializer)
