"""What the suite `images` times: training, scoring planes and measuring sharpness, on colour images.

Training is our loop against `keras.fit` on the same network, data, batch and optimizer; scoring is against
the network's bare forward rate, sharpness against the backward passes that it needs, singular-value paths
against one decomposition. Small networks also train two at a time, each process with half of the cores.
"""

import contextlib
import multiprocessing
import os

import keras
import numpy as np
import tensorflow as tf

from common.data import svd_paths
from common.data.augmentation import augmentation
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.machine import usable_cores
from common.metrics.classifier import Classifier
from common.metrics.plane import plane_through, predict_planes
from common.metrics.volumes import VolumeMeter
from common.models.alexnet import small_alexnet
from common.models.convnet import convnet
from common.models.inception import small_inception
from common.models.mlp import mlp
from common.models.resnet import resnet18, resnet18k, resnet18w
from common.streams import Streams
from common.training.optimizers import build_optimizer
from common.training.trainer import Preprocessing, Trainer
from replications.somepalli_boundaries.networks import build_network

BATCH_SIZE = 128
NUM_IMAGES = 1024
_STEPS = NUM_IMAGES // BATCH_SIZE
# A run of the studies over width at laptop scale: 600 epochs of 2,000 images.
_STEPS_PER_RUN = 600 * 2000 // BATCH_SIZE

NETWORKS = {
    "inception": lambda: small_inception((28, 28, 3)),
    "alexnet": lambda: small_alexnet((28, 28, 3)),
    "mlp_1x512": lambda: mlp((28, 28, 3), (512,)),
    "mlp_3x512": lambda: mlp((28, 28, 3), (512, 512, 512)),
    "convnet_w4": lambda: convnet(4),
    "convnet_w16": lambda: convnet(16),
    "resnet18k_k4": lambda: resnet18k(4),
    "resnet18w_w8": lambda: resnet18w(8),
    "resnet18": lambda: resnet18(64),
    # Narrow, as at laptop scale: an epoch of the published widths takes minutes.
    "wide_resnet_w2": lambda: build_network("wide_resnet_20", 2, depth=10),
    "densenet_w4": lambda: build_network("densenet121", 4),
    "vgg19_w8": lambda: build_network("vgg19", 8),
    "vit_w64": lambda: build_network("vit", 64),
    "mlp_mixer_w32": lambda: build_network("mlp_mixer", 32),
}
PACKED = ("mlp_1x512", "convnet_w4", "resnet18k_k4")
_PLANES = {"planes_k8": 8, "planes_k64": 64}
_SHARPNESS = {"volumes_w4": 4, "volumes_w16": 16}
MODELS = (*NETWORKS, *_PLANES, *_SHARPNESS, "svd_paths")


def contenders(model):
    """Returns the contenders for a model of the suite; ours is the first."""
    if model in _PLANES:
        networks = [resnet18k(_PLANES[model]) for _ in range(3)]
        return [Planes(networks[:1]), Planes(networks), Forward(networks[0])]
    if model in _SHARPNESS:
        network = convnet(_SHARPNESS[model])
        return [Volumes(network), Backward(network)]
    if model == "svd_paths":
        return [Paths(), Decomposition()]
    found = [Loop(model), Fit(model)]
    return [*found, Packed(model)] if model in PACKED else found


def notes():
    """Returns nothing to add."""
    return []


def _data(shape=(32, 32, 3)):
    rng = np.random.default_rng(0)
    images = rng.random((NUM_IMAGES, *shape), dtype=np.float32)
    return images, rng.integers(0, 10, NUM_IMAGES).astype(np.int32)


class Loop:
    """Our training loop, data on the device, no augmentation."""

    name = "loop"
    about = "our loop, one process with all cores"
    num_models, batch_size, unit, max_steps = 1, BATCH_SIZE, _STEPS, 2**20

    def __init__(self, model):
        self.steps_per_run = _STEPS_PER_RUN if model in PACKED else None
        preprocessing = Preprocessing(augmentation("none"), augmentation("none"), lambda images: images)
        optimizer = lambda: build_optimizer("sgd", 0.01)  # noqa: E731
        strategy = tf.distribute.get_strategy()
        self.trainer = Trainer(strategy, NETWORKS[model], optimizer, preprocessing, BATCH_SIZE)
        self.trainer.load(*_data(self.trainer.model.input_shape[1:]), Streams(0))

    def run(self, num_steps):
        """Trains whole epochs, and waits for the losses."""
        for epoch in range(num_steps // _STEPS):
            order = np.random.default_rng(epoch).permutation(NUM_IMAGES)
            self.trainer.train(order, _STEPS)


class Fit:
    """`keras.fit` of the same network, data and batch; it shuffles every epoch as our loop does."""

    name = "fit"
    about = "keras.fit, arrays in memory, one process with all cores"
    num_models, batch_size, unit, max_steps = 1, BATCH_SIZE, _STEPS, 2**20

    def __init__(self, model):
        self.steps_per_run = _STEPS_PER_RUN if model in PACKED else None
        self.model = NETWORKS[model]()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.model.compile(build_optimizer("sgd", 0.01), loss, metrics=["accuracy"])
        self._data = _data(self.model.input_shape[1:])

    def run(self, num_steps):
        """Trains whole epochs in one call."""
        self.model.fit(*self._data, batch_size=BATCH_SIZE, epochs=num_steps // _STEPS, verbose=0)


def _serve(model, cores, connection):
    """A process that trains as many steps as it is told, on its share of the cores."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    from common.study.startup import import_quietly

    loop = import_quietly("launch.image_benchmark").Loop(model)
    with contextlib.suppress(EOFError):  # the other end is gone
        while True:
            loop.run(connection.recv())
            connection.send(True)


class Packed:
    """Two runs side by side, each a process with half of the cores."""

    name = "packed"
    about = "two runs of our loop side by side, half of the cores each"
    num_models, batch_size, unit, max_steps = 2, BATCH_SIZE, _STEPS, 2**20
    steps_per_run = _STEPS_PER_RUN

    def __init__(self, model):
        cores = usable_cores()
        context = multiprocessing.get_context("spawn")
        self._connections = []
        for i in range(self.num_models):
            share = set(cores[i :: self.num_models]) or set(cores)
            ours, theirs = context.Pipe()
            context.Process(target=_serve, args=(model, share, theirs), daemon=True).start()
            self._connections.append(ours)

    def run(self, num_steps):
        """Trains both, and waits for both."""
        for connection in self._connections:
            connection.send(num_steps)
        for connection in self._connections:
            connection.recv()


class Planes:
    """Class maps of planes of 50 x 50 points by one or by several models; a step is a plane."""

    batch_size, unit, max_steps = 2500, 1, 10**6

    def __init__(self, networks):
        self.num_models = len(networks)
        models = "1 model" if len(networks) == 1 else f"{len(networks)} models"
        self.name = "planes" if len(networks) == 1 else f"planes_{len(networks)}"
        self.about = f"class maps of planes by {models}; points/s are examples/s"
        self._models = [Classifier(network) for network in networks]
        images, _ = _data()
        self._plane = plane_through(images[:3], resolution=50, overhang=0.1)

    def run(self, num_steps):
        """Scores the same plane again and again."""
        return predict_planes(self._models, [self._plane] * num_steps)


class Forward:
    """The bare forward pass in batches of the size that planes are cut into."""

    name = "forward"
    about = "the network's forward pass alone, as many points in equal batches"
    num_models, batch_size, unit, max_steps = 1, 2500, 1, 10**6

    def __init__(self, network):
        images, _ = _data()
        self._images = tf.constant(images[:500])
        self._forward = tf.function(lambda images: tf.argmax(network(images, training=False), axis=-1))

    def run(self, num_steps):
        """Runs the points of as many planes through the network."""
        for _ in range(num_steps * 5):
            labels = self._forward(self._images)
        return labels.numpy()


_SAMPLES = 64
_COPIES, _PATHS, _STRENGTHS = 4, 4, (5, 10, 15, 20, 22, 25)
_PASSES = _SAMPLES * (1 + _PATHS * len(_STRENGTHS)) * (1 + _COPIES)


class Volumes:
    """Jacobian and tangent Hessian norms at every anchor of 64 samples; a step is all of it."""

    name = "volumes"
    about = f"sharpness over volumes of {_SAMPLES} samples: {_PASSES} input gradients"
    num_models, batch_size, unit, max_steps = 1, _PASSES, 1, 10**6

    def __init__(self, network):
        images, labels = _data()
        self._data = images[:_SAMPLES], labels[:_SAMPLES]
        self._meter = VolumeMeter(network, CIFAR10_MEAN, CIFAR10_STD)

    def run(self, num_steps):
        """Measures the same samples again and again."""
        for _ in range(num_steps):
            self._meter.measure(*self._data)


class Backward:
    """As many images through plain training steps of the same network and batch."""

    name = "backward"
    about = "as many images through plain training steps, batches of 320"
    num_models, batch_size, unit, max_steps = 1, _PASSES, 1, 10**6
    _BATCH = 320

    def __init__(self, network):
        images, labels = _data()
        self._images, self._labels = tf.constant(images[: self._BATCH]), tf.constant(labels[: self._BATCH])
        self._model, self._optimizer = network, build_optimizer("sgd", 1e-6)
        self._optimizer.build(network.trainable_variables)
        self._step = tf.function(self._train)

    def _train(self):
        with tf.GradientTape() as tape:
            logits = self._model(self._images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(self._labels, logits)
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, self._model.trainable_variables)
        self._optimizer.apply_gradients(zip(gradients, self._model.trainable_variables, strict=True))
        return loss

    def run(self, num_steps):
        """Takes the steps, and waits for the last loss."""
        for _ in range(num_steps * (_PASSES // self._BATCH)):
            loss = self._step()
        return loss.numpy()


class Paths:
    """All erasures of 64 images: 4 paths of 6 strengths; a step is one image's decomposition."""

    name = "paths"
    about = "all 24 erased versions of images, from one decomposition"
    num_models, batch_size, unit, max_steps = 1, 1, _SAMPLES, 10**8

    def __init__(self):
        self._images = _data()[0][:_SAMPLES]

    def run(self, num_steps):
        """Builds the erasures of the same images again and again."""
        for _ in range(num_steps // _SAMPLES):
            svd_paths.svd_paths(self._images)


class Decomposition(Paths):
    """One batched decomposition of the same images."""

    name = "decomposition"
    about = "one batched singular value decomposition"

    def run(self, num_steps):
        """Decomposes the same images again and again."""
        for _ in range(num_steps // _SAMPLES):
            svd_paths.decompose(self._images)
