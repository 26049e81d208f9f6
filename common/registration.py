"""The name under which Keras saves our layers, metrics and schedules."""

from collections.abc import Callable
from typing import TypeVar

import keras

PACKAGE = "irreproducibility"
# Files that were saved before the library had a name of its own still load.
_EARLIER_PACKAGE = "replications"

_Named = TypeVar("_Named", bound=Callable)


def registered(named: _Named) -> _Named:
    """Decorates a class or function that Keras saves; its files call it `irreproducibility>Name`."""
    named = keras.saving.register_keras_serializable(PACKAGE)(named)
    keras.saving.get_custom_objects()[f"{_EARLIER_PACKAGE}>{named.__name__}"] = named
    return named
