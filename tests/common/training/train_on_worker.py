"""Trains a small network with batch normalization under the strategy named on the command line.

Usage: train_on_worker.py STRATEGY OUTPUT, with TF_CONFIG for multi_worker. Run by test_workers.py.
"""

import sys

from common.study.startup import import_quietly

import_quietly("keras")

import keras  # noqa: E402
import numpy as np  # noqa: E402

from common.data.augmentation import augmentation  # noqa: E402
from common.distribution import replica_strategy  # noqa: E402
from common.models.normalization import batch_normalization  # noqa: E402
from common.streams import Streams  # noqa: E402
from common.training.trainer import Preprocessing, Trainer  # noqa: E402


def network():
    inputs = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(4, 3, strides=4, use_bias=False)(inputs)
    x = keras.layers.Activation("softplus")(batch_normalization("norm")(x))
    return keras.Model(inputs, keras.layers.Dense(5)(keras.layers.Flatten()(x)))


def main():
    strategy = replica_strategy(sys.argv[1])
    preprocessing = Preprocessing(augmentation("pad_crop_flip"), augmentation("none"), lambda images: images)
    trainer = Trainer(
        strategy,
        network,
        lambda: keras.optimizers.SGD(0.01, momentum=0.9),
        preprocessing,
        8,
        weight_decay=0.01,
    )
    rng = np.random.default_rng(0)
    images = rng.random((22, 32, 32, 3), dtype=np.float32)
    labels = rng.integers(0, 5, 22).astype(np.int32)
    trainer.load(images, labels, Streams(0))
    losses = np.concatenate([trainer.train(rng.permutation(22), 3)[0] for _ in range(2)])
    evaluation = trainer.evaluate(trainer.evaluation_data(images, labels))
    weights = {f"weight_{i}": variable.numpy() for i, variable in enumerate(trainer.model.variables)}
    np.savez(sys.argv[2], losses=losses, evaluation=evaluation, replicas=trainer.replicas, **weights)


if __name__ == "__main__":
    main()
