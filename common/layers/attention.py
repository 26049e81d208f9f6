"""Layers of transformers: a class token with learned positions, and self-attention."""

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ..arguments import whole_number
from ..registration import registered

if TYPE_CHECKING:
    import tensorflow as tf


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
        if tokens is None:
            raise ValueError(
                f"Each token has a position, so their number must be known. Received: {input_shape=}"
            )
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
        self.num_heads = whole_number("num_heads", num_heads)

    def build(self, input_shape: tuple[int | None, int, int]) -> None:
        """Checks that the packed axis divides into the heads' queries, keys and values."""
        if len(input_shape) != 3 or input_shape[-1] % (3 * self.num_heads):
            raise ValueError(
                "Inputs must have shape (batch, tokens, packed), the last a multiple of 3 * num_heads with "
                f"num_heads={self.num_heads}. Received: input_shape={tuple(input_shape)}"
            )
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: input_shape[-1]})

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Maps (batch, tokens, 3 * num_heads * head_dim) to (batch, tokens, num_heads * head_dim)."""
        inputs = ops.cast(inputs, self.compute_dtype)
        tokens, packed = ops.shape(inputs)[1], inputs.shape[-1]
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
