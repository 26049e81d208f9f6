"""Convolution and dense layers as the builders use them: padding and initial weights in one place."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import keras

from .initialization import Initialization, layer_initializers

_Arguments = ParamSpec("_Arguments")
_Built = TypeVar("_Built")


def channels_last(build: Callable[_Arguments, _Built]) -> Callable[_Arguments, _Built]:
    """Makes a builder of models independent of Keras's own setting: images are (height, width, channels)."""

    @functools.wraps(build)
    def built(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Built:
        given = keras.config.image_data_format()
        keras.config.set_image_data_format("channels_last")
        try:
            return build(*args, **kwargs)
        finally:
            keras.config.set_image_data_format(given)

    return built


def convolution(
    x: keras.KerasTensor,
    filters: int,
    size: int,
    strides: int = 1,
    *,
    name: str,
    padding: str = "symmetric",
    use_bias: bool = False,
    initialization: Initialization = "pytorch",
) -> keras.KerasTensor:
    """Applies a square convolution.

    Symmetric padding is PyTorch's: (size - 1) / 2 on every side. Keras's `"same"` pads a stride of 2 only
    at the bottom and the right of an even image.

    A 1x1 kernel with a stride sees every `strides`-th position alone, so those are taken first and then
    convolved with stride 1: the same numbers, without the weight gradient of TensorFlow that writes outside
    its memory (docs/tensorflow_traps.md).

    Args:
        x: Keras tensor of shape (batch, height, width, channels).
        filters: Number of output channels.
        size: Odd height and width of the kernel.
        strides: Stride in both directions.
        name: Name of the layer; that of the padding ends in `_padding`.
        padding: `"symmetric"`, or `"same"` as in Keras.
        use_bias: Whether each channel has a bias.
        initialization: As for `layer_initializers`.

    Returns:
        Keras tensor of shape (batch, height / strides, width / strides, filters), sizes rounded up.
    """
    if size == 1 and strides > 1:
        # A mean of one number. Slicing takes five times as long, on a CPU.
        x, strides = keras.layers.AveragePooling2D(1, strides, name=f"{name}_positions")(x), 1
    elif padding == "symmetric" and strides > 1:
        x = keras.layers.ZeroPadding2D(size // 2, name=f"{name}_padding")(x)
        padding = "valid"
    initializers = layer_initializers(initialization, size * size * x.shape[-1])
    return keras.layers.Conv2D(
        filters,
        size,
        strides,
        "valid" if padding == "valid" else "same",
        use_bias=use_bias,
        name=name,
        **initializers,
    )(x)


def dense(
    x: keras.KerasTensor,
    units: int,
    *,
    name: str,
    initialization: Initialization = "pytorch",
    use_bias: bool = True,
    **kwargs: Any,
) -> keras.KerasTensor:
    """Applies a dense layer to the last axis; keyword arguments go to `keras.layers.Dense`."""
    initializers = layer_initializers(initialization, x.shape[-1])
    return keras.layers.Dense(units, name=name, use_bias=use_bias, **initializers, **kwargs)(x)


def logits(
    x: keras.KerasTensor, num_classes: int, initialization: Initialization = "pytorch"
) -> keras.KerasTensor:
    """Flattens and applies the linear layer that every model ends in, in float32 whatever the policy.

    Args:
        x: Keras tensor of any shape (batch, ...).
        num_classes: Number of logits.
        initialization: As for `layer_initializers`.

    Returns:
        Keras tensor of shape (batch, num_classes); no softmax.
    """
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name="flatten")(x)
    return dense(x, num_classes, name="logits", initialization=initialization, dtype="float32")


def relu(x: keras.KerasTensor, name: str) -> keras.KerasTensor:
    """Applies max(x, 0)."""
    return keras.layers.ReLU(name=name)(x)


def patch_embedding(
    images: keras.KerasTensor, patch_size: int, dim: int, initialization: Initialization = "pytorch"
) -> keras.KerasTensor:
    """Cuts images into square patches and maps each linearly to a token.

    Args:
        images: Keras tensor of shape (batch, height, width, channels).
        patch_size: Side of the patches.
        dim: Channels of a token.
        initialization: As for `layer_initializers`.

    Returns:
        Keras tensor of shape (batch, patches, dim), row by row.

    Raises:
        ValueError: If `patch_size` does not divide height and width.
    """
    _, height, width, channels = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(
            f"`patch_size` must divide the {height}x{width} images. Received: patch_size={patch_size!r}"
        )
    x = keras.layers.Conv2D(
        dim,
        patch_size,
        patch_size,
        name="patches",
        **layer_initializers(initialization, patch_size * patch_size * channels),
    )(images)
    num_patches = (height // patch_size) * (width // patch_size)
    return keras.layers.Reshape((num_patches, dim), name="patch_tokens")(x)
