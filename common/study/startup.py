"""Imports TensorFlow without its start-up noise.

Environment variables leave half a dozen lines that native code writes to file descriptor 2 while it loads;
they are held back here, and shown if the import fails.
"""

import contextlib
import importlib
import os
import platform
import sys
import tempfile
from collections.abc import Iterator
from types import ModuleType

from ..errors import UserError


@contextlib.contextmanager
def quiet_stderr() -> Iterator[None]:
    """Holds back what is written to file descriptor 2; shows it if the block raises."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.stderr.flush()
    saved = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(saved, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)


def check_backend() -> None:
    """Chooses TensorFlow for Keras, over what Keras's own configuration file says.

    Raises:
        UserError: The environment asks for another backend.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    if backend != "tensorflow":
        raise UserError(f"KERAS_BACKEND={backend}: only TensorFlow will do; unset it or set it to tensorflow")


def prefer_onednn() -> None:
    """Asks for oneDNN's operations, unless the environment says otherwise; heard until TensorFlow is loaded.

    TensorFlow uses them of its own accord only on x86 processors with instructions for neural networks, as
    AVX512_VNNI (release notes of 2.9). On one with AVX2 alone runs are up to 3 times as fast with them.
    """
    if platform.machine() in ("x86_64", "AMD64"):
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def import_quietly(module: str) -> ModuleType:
    """Imports a module that imports TensorFlow, and starts TensorFlow's logging, without noise.

    Raises:
        UserError: The environment asks for another backend of Keras.
    """
    check_backend()
    prefer_onednn()
    with quiet_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        tf.config.list_physical_devices()
        return importlib.import_module(module)
