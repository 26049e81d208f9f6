"""The doctor's check of two devices: a small network, trained on both and on one. Imports TensorFlow."""

import keras
import numpy as np
import tensorflow as tf

from common.data.augmentation import augmentation
from common.distribution import replica_strategy
from common.models.mlp import mlp
from common.streams import Streams
from common.training.trainer import Preprocessing, Trainer

TOLERANCE = 1e-4
_IMAGES_PER_REPLICA, _STEPS = 8, 4


def compare() -> tuple[str, float]:
    """Trains on all GPUs, or two logical CPU devices, and on one.

    Returns:
        "GPU" or "CPU", and the greatest difference of a weight, relative to the greatest of its array.
    """
    # The devices of the strategy have to be there before any is used.
    strategy = replica_strategy("mirrored")
    batch_size = _IMAGES_PER_REPLICA * strategy.num_replicas_in_sync
    together, alone = (_trained(one, batch_size) for one in (strategy, tf.distribute.get_strategy()))
    differences = [
        np.abs(a - b).max() / max(np.abs(b).max(), 1e-6) for a, b in zip(together, alone, strict=True)
    ]
    return ("GPU" if tf.config.list_physical_devices("GPU") else "CPU"), float(max(differences))


def _trained(strategy, batch_size):
    none = augmentation("none")
    trainer = Trainer(
        strategy,
        lambda: mlp((8, 8, 3), (16,), 10),
        lambda: keras.optimizers.SGD(0.05, momentum=0.9),
        Preprocessing(none, none, lambda images: images),
        batch_size,
    )
    num_images = batch_size * _STEPS
    rng = np.random.default_rng(0)
    images = rng.random((num_images, 8, 8, 3), dtype=np.float32)
    labels = rng.integers(0, 10, num_images).astype(np.int32)
    trainer.load(images, labels, Streams(0))
    trainer.train(np.arange(num_images), _STEPS)
    return trainer.model.get_weights()
