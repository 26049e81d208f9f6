"""Trains narrow networks on batches of the sizes named on the command line; prints their losses as JSON.

Usage: train_odd_batches.py NETWORK,... BATCH,... STEPS. Run by test_odd_batches.py in a process of its own,
because what it looks for ends the process.
"""

import json
import sys

from common.study.startup import import_quietly

import_quietly("keras")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

from common.models.initialization import draw_weights  # noqa: E402
from common.models.resnet import resnet18, resnet18k, resnet18w  # noqa: E402
from common.models.wide_resnet import wide_resnet  # noqa: E402
from common.streams import Streams  # noqa: E402

NETWORKS = {
    "resnet18": lambda: resnet18(6),
    "resnet18k": lambda: resnet18k(6),
    "resnet18w": lambda: resnet18w(6, initialization="pytorch"),
    "wide_resnet": lambda: wide_resnet(1, depth=10),
}


def losses(network: str, batch_size: int, steps: int) -> list[float]:
    """Returns the cross-entropy of each step of SGD on one batch."""
    model = NETWORKS[network]()
    draw_weights(model, Streams(0))
    images = tf.random.stateless_normal((batch_size, 32, 32, 3), (0, batch_size))
    labels = tf.range(batch_size) % 10
    optimizer = keras.optimizers.SGD(0.01)
    optimizer.build(model.trainable_variables)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
        optimizer.apply(tape.gradient(loss, model.trainable_variables))
        return loss

    return [float(step()) for _ in range(steps)]


def main():
    networks, batch_sizes, steps = sys.argv[1:]
    found = {
        f"{network}, batches of {batch_size}": losses(network, int(batch_size), int(steps))
        for network in networks.split(",")
        for batch_size in batch_sizes.split(",")
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
