"""Functions that run a network, compiled: by XLA where there is a GPU and XLA knows all operations."""

import functools
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import tensorflow as tf

_Results = TypeVar("_Results")


def compiled(function: Callable[..., _Results], xla: bool = True, **options: bool) -> Callable[..., _Results]:
    """Compiles a function that runs a network; by XLA only where there is a GPU.

    XLA's convolutions on a CPU are tens of times slower than oneDNN's. What XLA cannot compile, such as
    look-up tables and cuDNN's LSTM, is run without it.

    Args:
        function: Function of tensors.
        xla: False where XLA must not be used, as under a strategy of several replicas.
        **options: Further options of `tf.function`; by default without autograph, which traces more slowly
            and wraps errors in its own lines.
    """
    # TensorFlow counts traces by a function's code, and warns of many: here each is of another network.
    own = functools.partial(function)
    options = {"autograph": False} | options
    plain = tf.function(own, **options)
    if not (xla and tf.config.list_logical_devices("GPU")):
        return plain
    return _ByXla(plain, tf.function(own, jit_compile=True, **options))


class _ByXla(Generic[_Results]):
    """A function that is compiled by XLA until XLA refuses it, and by TensorFlow alone from then on."""

    def __init__(self, plain: Callable[..., _Results], by_xla: Callable[..., _Results]) -> None:
        self.plain, self.chosen = plain, by_xla

    def __call__(self, *args: Any, **kwargs: Any) -> _Results:
        if tf.inside_function():  # what is being traced decides
            return self.plain(*args, **kwargs)
        try:
            return self.chosen(*args, **kwargs)
        except (tf.errors.InvalidArgumentError, tf.errors.UnimplementedError):
            if self.chosen is self.plain:
                raise
            # Before it ran: XLA compiles all of a function or nothing.
            self.chosen = self.plain
            return self.plain(*args, **kwargs)
