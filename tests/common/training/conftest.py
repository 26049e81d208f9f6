import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.data.augmentation import augmentation
from common.models.normalization import batch_normalization
from common.training.trainer import Preprocessing, Trainer


def small_network(batch_norm=False):
    """Dense layers on 32 x 32 colour images, five classes."""
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Flatten()(inputs)
    x = keras.layers.Dense(8, name="hidden")(x)
    if batch_norm:
        x = batch_normalization("norm")(x)
    x = keras.layers.Activation("softplus")(x)  # no kink that rounding may cross
    return keras.Model(inputs, keras.layers.Dense(5, name="logits")(x))


def _make_trainer(
    strategy=None,
    batch_size=8,
    rate=0.1,
    training="none",
    weight_decay=0.0,
    batch_norm=False,
    scale=None,
    network=None,
    **arguments,
):
    preprocessing = Preprocessing(
        augmentation(training), augmentation("none"), scale or (lambda images: images)
    )
    return Trainer(
        strategy or tf.distribute.get_strategy(),
        network or (lambda: small_network(batch_norm)),
        lambda: keras.optimizers.SGD(rate, momentum=0.9),
        preprocessing,
        batch_size,
        weight_decay,
        **arguments,
    )


@pytest.fixture(scope="session")
def make_trainer():
    """Builds a Trainer of `small_network`."""
    return _make_trainer


@pytest.fixture(scope="session")
def images():
    """Twenty-two images: with batches of 8 the last one has 6."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 22).astype(np.int32)
    return types.SimpleNamespace(images=rng.random((22, 32, 32, 3), dtype=np.float32), labels=labels)
