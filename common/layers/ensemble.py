"""Layers that hold many independent models side by side: a leading `models` axis on every array."""

import functools
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from ..arguments import whole_number
from ..registration import registered

if TYPE_CHECKING:
    import tensorflow as tf


# XLA on CPU is furthest from the processor's limit in small batched matrix products, and most of all in those
# that contract over the batch. Compiled as sums of elementwise products they are up to twice as fast
# (docs/speed.md); elsewhere they would be slow and large: they are taken for small batches of a known size.
_SMALL = 64  # examples, and inputs of a layer
_FEW_TERMS, _FEW_UNITS, _SMALL_KERNEL = 16, 4, 32


def matmul_per_model(inputs: "tf.Tensor", kernel: "tf.Tensor") -> "tf.Tensor":
    """Multiplies each model's rows by its own matrix.

    Args:
        inputs: Tensor of shape (models, batch, in); integers and booleans are taken as floats.
        kernel: Tensor of shape (models, in, units).

    Returns:
        Tensor of shape (models, batch, units), of the floating-point type that holds both.

    Raises:
        ValueError: If inputs and kernel do not fit together.
    """
    inputs, kernel = ops.convert_to_tensor(inputs), ops.copy(kernel)  # a custom gradient takes no variables
    if inputs.shape[0] not in (None, kernel.shape[0]) or inputs.shape[2] not in (None, kernel.shape[1]):
        raise ValueError(
            f"The inputs (models, batch, in) must fit the kernel (models, in, units) of shape "
            f"{tuple(kernel.shape)}. Received: inputs of shape {tuple(inputs.shape)}"
        )
    dtype = keras.backend.result_type(inputs.dtype, kernel.dtype, float)
    return _matmul(ops.cast(inputs, dtype), ops.cast(kernel, dtype))


@ops.custom_gradient
def _matmul(inputs, kernel):
    def gradient(*args, upstream=None):
        upstream = args[0] if upstream is None else upstream
        if upstream.shape[2] <= _SMALL:
            upstream = _kept(upstream)
        of_inputs = _product(upstream, ops.transpose(kernel, (0, 2, 1)))
        return of_inputs, _kernel_gradient(inputs, upstream)

    return _product(inputs, kernel), gradient


def _product(rows, matrix):
    """(models, batch, n) times (models, n, units), in the form that XLA on CPU runs fastest."""
    num_terms, units = matrix.shape[1:]
    is_small = _is_small(rows) and num_terms > 1
    if is_small and num_terms <= _FEW_TERMS and units <= _FEW_TERMS:
        terms = (rows[:, :, i : i + 1] * matrix[:, i : i + 1] for i in range(num_terms))
        return _kept(functools.reduce(operator.add, terms))
    if units > _FEW_UNITS or (units > 1 and num_terms > _SMALL):
        return ops.matmul(rows, matrix)
    if is_small and units <= 2:
        return _columns(ops.sum(rows * matrix[:, None, :, j], axis=2) for j in range(units))
    columns = [ops.matmul(rows, matrix[:, :, j : j + 1]) for j in range(units)]
    return columns[0] if units == 1 else ops.concatenate(columns, axis=-1)


def _kernel_gradient(inputs, upstream):
    """The sum over the batch of (models, batch, in) times (models, batch, units)."""
    transposed = ops.transpose(inputs, (0, 2, 1))
    if not _is_small(inputs):
        return ops.matmul(transposed, upstream)
    num_inputs, units = inputs.shape[2], upstream.shape[2]
    if units <= 2:
        return _columns(ops.sum(inputs * upstream[:, :, j : j + 1], axis=1) for j in range(units))
    if num_inputs * units <= _SMALL_KERNEL:
        return ops.sum(inputs[..., None] * upstream[:, :, None, :], axis=1)
    return _product(_kept(transposed), upstream)


def _is_small(rows):
    return rows.shape[1] is not None and rows.shape[1] > 0 and max(rows.shape[1:]) <= _SMALL


def _columns(arrays):
    """(models, n) arrays as the last axis of one."""
    columns = [_kept(array[..., None]) for array in arrays]
    return columns[0] if len(columns) == 1 else ops.concatenate(columns, axis=-1)


def _kept(x):
    """Returns x as an array that is computed once.

    XLA repeats whatever is cheap inside each operation that uses it, as often as it is used there; a division
    counts as dear, by a one that it does not know.
    """
    # A slice, not x[0, 0, 0], which a batch of no examples does not have.
    one = 0.0 * ops.cast(ops.isnan(x[:1, :1, :1]), x.dtype) + 1.0
    return x / one


class PerModel(keras.initializers.Initializer):
    """Draws each model's weights separately, as `initializer` would for an ordinary layer.

    Keras initializers give the same values at every call, and their fans would count the models axis.

    Args:
        initializer: Keras initializer or function of one model's weights. Of one with an integer seed, model
            m draws with the seed plus m.
    """

    def __init__(self, initializer: "keras.initializers.Initializer | Callable[..., tf.Tensor]") -> None:
        self.initializer = initializer

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> "tf.Tensor":
        """Returns weights of `shape`, whose leading axis is that of the models."""
        draws = [self._of_model(m)(tuple(shape[1:]), dtype=dtype) for m in range(shape[0])]
        return ops.stack(draws)

    def _of_model(self, model):
        if not isinstance(self.initializer, keras.initializers.Initializer):
            return self.initializer
        config = self.initializer.get_config()
        seed = config.get("seed")
        if isinstance(seed, dict):  # a SeedGenerator's, which goes on from draw to draw by itself
            return self.initializer
        if seed is not None:
            config["seed"] = seed + model
        return type(self.initializer).from_config(config)


@registered
class EnsembleDense(keras.layers.Layer):
    """`num_models` independent `Dense` layers in one array operation.

    Model m computes `activation(inputs[m] @ kernel[m] + bias[m])`. Gradients of a sum over models and
    elementwise optimizers (SGD, AdaGrad, Adam) keep the models independent, so training the ensemble is
    training each model alone.

    Example:
    >>> layer = EnsembleDense(num_models=32, units=16, activation="relu")
    >>> layer(keras.ops.ones((32, 128, 8))).shape  # (models, batch, units)
    (32, 128, 16)

    `fit` takes the first axis for that of examples: it would shuffle and cut the models. A dataset whose
    elements are whole batches of all models keeps them apart, and a loss that is summed over the models, and
    only averaged over examples, gives each the gradients that it has alone:

    >>> model = keras.Sequential([keras.Input((None, 8)), EnsembleDense(32, 1)])
    >>> loss = lambda y, predictions: 32 * keras.ops.mean((y - predictions) ** 2, axis=(1, 2))
    >>> model.compile("sgd", loss)
    >>> model.fit(batches)  # a tf.data.Dataset of x (32, batch, 8), y (32, batch, 1)

    Args:
        num_models: Positive, the size of the leading axis of inputs, weights and outputs.
        units: Positive, the output units of each model.
        activation: Keras activation: a name, function or layer. Default: linear.
        kernel_initializer: Keras initializer of one model's (in, units) kernel. Model m draws with the
            initializer's seed plus m, so that model 0 equals a `Dense` layer of the same seed.
        bias_initializer: Keras initializer of one model's (units,) bias.
    """

    def __init__(
        self,
        num_models: int,
        units: int,
        activation: "str | Callable[[tf.Tensor], tf.Tensor] | None" = None,
        kernel_initializer: str | keras.initializers.Initializer = "glorot_uniform",
        bias_initializer: str | keras.initializers.Initializer = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_models = whole_number("num_models", num_models)
        self.units = whole_number("units", units)
        self.activation = keras.activations.get(activation)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the weights; the input has shape (models, batch, in)."""
        _check_models_axis(self, input_shape)
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.num_models, input_shape[-1], self.units),
            initializer=PerModel(self.kernel_initializer),
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(self.num_models, self.units),
            initializer=PerModel(self.bias_initializer),
        )

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Maps (models, batch, in) to (models, batch, units)."""
        _check_models_axis(self, inputs.shape)
        return self.activation(matmul_per_model(inputs, self.kernel) + self.bias[:, None, :])

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns (models, batch, units)."""
        return (*input_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "num_models": self.num_models,
            "units": self.units,
            "activation": keras.activations.serialize(self.activation),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


@registered
class EmbeddingSum(keras.layers.Layer):
    """Sums the embeddings of the active features of each feature set.

    A multi-hot input is cut in `num_sets` equal sets; each feature owns a vector of `dim` numbers, the
    vectors of a set's active features are summed, and the sums are concatenated (Snapp & Shamir 2021,
    figure 5b). No bias, no activation.

    Args:
        num_sets: Positive number that divides the number of features.
        dim: Positive, the numbers of each embedding.
        num_models: None for inputs (batch, features), or the size of a leading models axis.
        embeddings_initializer: Keras initializer of one model's (num_sets, features per set, dim) array.
            Default: Keras's own default for `Embedding`, uniform in [-0.05, 0.05].
    """

    def __init__(
        self,
        num_sets: int,
        dim: int,
        num_models: int | None = None,
        embeddings_initializer: str | keras.initializers.Initializer = "uniform",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.num_sets = whole_number("num_sets", num_sets)
        self.dim = whole_number("dim", dim)
        self.num_models = None if num_models is None else whole_number("num_models", num_models)
        self.embeddings_initializer = keras.initializers.get(embeddings_initializer)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Creates the embeddings."""
        features = input_shape[-1]
        if features is None:
            raise ValueError(
                f"The number of input features must be known. Received: input_shape={tuple(input_shape)}"
            )
        if features % self.num_sets:
            raise ValueError(
                f"The {features} input features must divide into `num_sets` equal sets. "
                f"Received: num_sets={self.num_sets}"
            )
        shape: tuple[int, ...] = (self.num_sets, features // self.num_sets, self.dim)
        initializer = self.embeddings_initializer
        if self.num_models is not None:
            _check_models_axis(self, input_shape)
            shape, initializer = (self.num_models, *shape), PerModel(initializer)
        self.embeddings = self.add_weight(name="embeddings", shape=shape, initializer=initializer)

    def call(self, inputs: "tf.Tensor") -> "tf.Tensor":
        """Maps (..., features) to (..., num_sets * dim)."""
        if self.num_models is not None:
            _check_models_axis(self, inputs.shape)
        sets = ops.split(inputs, self.num_sets, axis=-1)
        if self.num_models is None:
            sums = [ops.matmul(x, self.embeddings[i]) for i, x in enumerate(sets)]
        else:
            sums = [matmul_per_model(x, self.embeddings[:, i]) for i, x in enumerate(sets)]
        return ops.concatenate(sums, axis=-1)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Returns (..., num_sets * dim)."""
        return (*input_shape[:-1], self.num_sets * self.dim)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "num_sets": self.num_sets,
            "dim": self.dim,
            "num_models": self.num_models,
            "embeddings_initializer": keras.initializers.serialize(self.embeddings_initializer),
        }


def _check_models_axis(layer, input_shape):
    if len(input_shape) != 3 or input_shape[0] not in (None, layer.num_models):
        raise ValueError(
            f"`{type(layer).__name__}` takes inputs of shape (num_models, batch, features) with "
            f"num_models={layer.num_models}. Received: input_shape={tuple(input_shape)}"
        )
