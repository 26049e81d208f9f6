"""The compiled part of training: steps and evaluation of one network on data that lives on the device.

Many steps run in one call, batches are gathered and augmented in the graph, and XLA is used on a GPU only:
its convolutions are many times slower than oneDNN's on CPU. `trainer.Trainer` is built once for an
architecture and loaded anew for every run, so that a sweep over seeds or learning rates traces once.
"""

import dataclasses
import functools
import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from ..arrays import class_labels
from ..compilation import compiled
from ..data.augmentation import Augmentation
from ..distribution import on_replicas
from ..errors import UserError
from ..metrics.examples import check_values
from ..metrics.logits import check_logits
from ..models.initialization import draw_weights
from ..streams import Streams, fold_in, uniform_numbers

_EVALUATION_BATCH = 500
_AUGMENTATION_BLOCK = 1000
_NUM_TRIED = 8  # images on which is seen that a model gives logits


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What happens to images in [0, 1] before the network sees them.

    Args:
        training: Augmentation of the training images.
        evaluation: The same for evaluation; it draws nothing, and its images have the same size.
        normalize: Function of a float32 batch, such as `per_image_standardization`.
    """

    training: Augmentation
    evaluation: Augmentation
    normalize: Callable[[tf.Tensor], tf.Tensor]

    def evaluated(self, images: np.ndarray) -> np.ndarray:
        """Returns a float32 array of images as they are evaluated."""
        return self._without_draws(self.evaluation, images)

    def trained(self, images: np.ndarray) -> np.ndarray:
        """Returns a float32 array of images as they are trained on, if `training` draws nothing."""
        return self._without_draws(self.training, images)

    def _without_draws(self, augmentation, images):
        blocks = [
            self.normalize(augmentation(tf.constant(images[i : i + _AUGMENTATION_BLOCK]), {})).numpy()
            for i in range(0, len(images), _AUGMENTATION_BLOCK)
        ]
        return np.concatenate(blocks)


@dataclasses.dataclass(frozen=True)
class EvaluationData:
    """Normalized images and labels on every replica, padded to whole batches; `count` of them count."""

    images: tf.Tensor | tf.distribute.DistributedValues
    labels: tf.Tensor | tf.distribute.DistributedValues
    count: int
    batch_size: int


def cross_entropy(images: tf.Tensor, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """The objective of ordinary training.

    Args:
        images: float32 [b, height, width, channels], as the network saw them.
        labels: int32 [b].
        logits: float32 [b, classes].

    Returns:
        Cross-entropy [b] in nats.
    """
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)


class Trainer:
    """Trains and evaluates one network; every replica holds all data and takes its share of each batch.

    The numbers do not depend on the number of replicas but for rounding (and dropout masks): gradients are
    means over the global batch, batch normalization is synchronized, and random augmentations are drawn for
    the global batch.

    Args:
        strategy: Where the replicas are.
        build_model: Gives a model of logits.
        build_optimizer: Gives its optimizer.
        preprocessing: What happens to the images before.
        batch_size: Images in a global batch; the last batch of an epoch may be smaller.
        weight_decay: Adds weight_decay * w to the gradient of every trainable weight w, before momentum: the
            gradient of (weight_decay / 2) * sum(w^2) in the loss, not the decoupled decay of Keras.
        objective: Function (images, labels, logits) -> losses [b], such as `cross_entropy`.
        sam_radius: Takes the gradient at the weights moved by this length along the gradient: sharpness-aware
            minimization (Foret et al. 2021, algorithm 1); None: plain training.
        decayed_weights: What weight decay falls on: "all", as in PyTorch, or "kernels" alone, without biases
            and the offsets and scales of normalization.
        mixup: Whether images and losses of each batch are mixed with those of a permutation of it, by a
            uniform share drawn once a batch (Zhang et al. 2018, Beta(1, 1)).

    Raises:
        UserError: The replicas do not divide the batch.
        ValueError: `decayed_weights` is another, or the optimizer scales its loss.
    """

    def __init__(
        self,
        strategy: tf.distribute.Strategy,
        build_model: Callable[[], keras.Model],
        build_optimizer: Callable[[], keras.optimizers.Optimizer],
        preprocessing: Preprocessing,
        batch_size: int,
        weight_decay: float = 0.0,
        objective: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor] = cross_entropy,
        sam_radius: float | None = None,
        mixup: bool = False,
        decayed_weights: str = "all",
    ) -> None:
        self.strategy, self.batch_size = strategy, batch_size
        self._preprocessing, self._objective, self._weight_decay = preprocessing, objective, weight_decay
        self._sam_radius, self._mixup, self._decayed_weights = sam_radius, mixup, decayed_weights
        self.replicas = strategy.num_replicas_in_sync
        if decayed_weights not in ("all", "kernels"):
            raise ValueError(
                f'`decayed_weights` must be "all" or "kernels". Received: decayed_weights={decayed_weights!r}'
            )
        self._check_divides(batch_size, f"--batch_size={batch_size}")
        with strategy.scope():
            self.model = build_model()
            self.optimizer = build_optimizer()
            self.optimizer.build(self.model.trainable_variables)
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            raise ValueError("`build_optimizer` must give the optimizer itself, whose loss is not scaled")
        if self.replicas == 1:
            # There is nothing to sum. Keras would by a custom gradient, which TensorFlow keeps for ever, and
            # with it the graph and the weights.
            self.optimizer._all_reduce_sum_gradients = list
        self._gives_logits = False
        self._fresh_optimizer = [v.numpy() for v in self.optimizer.variables]
        single = self.replicas == 1
        self._block = compiled(self._train_block, xla=single, autograph=True)
        self._evaluation = compiled(self._evaluate_all, xla=single, autograph=True)
        self._finite = tf.function(self._all_finite)
        self._mean = tf.function(self._mean_of_workers)

    def _check_divides(self, size, what):
        if size % self.replicas:
            raise UserError(f"{what}: {self.replicas} replicas do not divide a batch of {size} images")

    def load(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        streams: Streams,
        augmentation: Streams | None = None,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
    ) -> None:
        """Starts a run: its training data, fresh weights and a fresh optimizer.

        Args:
            images: float32 [n, height, width, channels] in [0, 1].
            labels: Integers [n] or [n, 1], the class of each image.
            streams: "init" and "dropout" are used.
            augmentation: Streams of "augmentation", if other than `streams`.
            learning_rate: Number, or Keras schedule that changes only between epochs, for an optimizer whose
                own is a number; None: the optimizer's own.

        Raises:
            UserError: The replicas do not divide the last batch of an epoch.
            ValueError: Images are not of floating point, labels are none of the model's classes, or the model
                gives probabilities.
        """
        labels = self._checked(images, labels)
        self.num_images = len(labels)
        self.steps_per_epoch = -(-self.num_images // self.batch_size)
        self._last_batch = self.num_images - (self.steps_per_epoch - 1) * self.batch_size
        self._check_divides(self._last_batch, f"--batch_size={self.batch_size} with {self.num_images} images")
        if not self._preprocessing.training.random:
            images = self._preprocessing.trained(images)
        self._images = on_replicas(self.strategy, images)
        self._labels = on_replicas(self.strategy, labels)
        self._key = tf.constant((augmentation or streams).key("augmentation").view(np.int32))
        draw_weights(self.model, streams)
        for variable, value in zip(self.optimizer.variables, self._fresh_optimizer, strict=True):
            variable.assign(value)
        self._learning_rate = learning_rate

    def _checked(self, images, labels):
        """Returns the labels as int32 [n]; what else would go wrong without a word is refused."""
        labels = self._class_labels(labels)
        if images.dtype.kind != "f":
            raise ValueError(f"`images` must be floating-point numbers in [0, 1]. Received: {images.dtype}")
        if not self._gives_logits:
            check_logits(self.model, self._preprocessing.evaluated(images[:_NUM_TRIED]))
            self._gives_logits = True
        return labels

    def _class_labels(self, labels):
        """Returns labels of the model's classes as int32 [n]."""
        labels, num_classes = class_labels(labels), self.model.output_shape[-1]
        check_values("labels", labels, (labels >= 0) & (labels < num_classes), f"from 0 to {num_classes - 1}")
        return labels.astype(np.int32)

    def checkpoint(self) -> tf.train.Checkpoint:
        """Returns a tf.train.Checkpoint of everything that a step changes."""
        variables = [*self.model.variables, *self.optimizer.variables]
        # Listed one by one: Keras does not track the state of seed generators.
        return tf.train.Checkpoint(**{f"variable_{i}": v.value for i, v in enumerate(variables)})

    @property
    def step(self) -> int:
        """Steps taken since `load`."""
        return int(self.optimizer.iterations.numpy())

    def has_finite_weights(self) -> bool:
        """Whether every weight and moving statistic of the network is a finite number."""
        return bool(self._finite().numpy())

    def _all_finite(self):
        floating = (v.value for v in self.model.variables if v.value.dtype.is_floating)
        return tf.reduce_all([tf.reduce_all(tf.math.is_finite(value)) for value in floating])

    def agreed(self, number: float) -> float:
        """Returns the mean over the workers of a number that each has measured; all have to call it.

        What workers decide by a clock of their own would part them: they sum up what they compute call by
        call, and one that calls twice for another's once waits for ever.
        """
        if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return number
        return float(self._mean(tf.constant(number, tf.float32)).numpy())

    def _mean_of_workers(self, number):
        return self._sum(self.strategy.run(lambda: tf.identity(number))) / self.replicas

    def row(self, metric: str, value: float, **coordinates: str | float) -> dict[str, str | float]:
        """Returns a record's row of what is measured after the steps taken."""
        epoch = self.step / self.steps_per_epoch
        row: dict[str, str | float] = {"metric": metric, "value": value, "statistic": "run"}
        row |= {"epoch": int(epoch) if epoch == int(epoch) else epoch, "step": self.step}
        return row | coordinates

    def train(self, order: np.ndarray, num_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Takes steps from the current one on, at most to the end of the epoch.

        Args:
            order: int32 [n], the epoch's order of the training images.
            num_steps: How many.

        Returns:
            Mean loss and number of correct predictions of each batch as it was trained: two arrays [steps].

        Raises:
            ValueError: The learning rate changes within an epoch.
        """
        first = self.step % self.steps_per_epoch
        last = min(first + num_steps, self.steps_per_epoch)
        whole = self.num_images // self.batch_size
        parts = (first, min(last, whole), self.batch_size), (max(first, whole), last, self._last_batch)
        found = []
        for start, stop, size in parts:
            if start >= stop:
                continue
            if self._learning_rate is not None:
                self.optimizer.learning_rate = self._rate(stop - start)
            results = self._block(
                (self._images, self._labels),
                tf.constant(order, tf.int32),
                self._key,
                tf.constant(self.step - start),
                tf.constant(start),
                tf.constant(stop),
                tf.zeros([2, self.steps_per_epoch]),
                size,
            )
            found.append(results.numpy()[:, start:stop])
        return tuple(np.concatenate(found, axis=1))

    def _rate(self, num_steps):
        """The learning rate of so many steps from here on."""
        rate, step = self._learning_rate, self.step
        if not callable(rate):
            return rate
        first, last = float(rate(step)), float(rate(step + num_steps - 1))
        if first != last:  # how many steps are taken at once depends on the speed of the machine
            raise ValueError(
                "`learning_rate` must be a schedule that changes only between epochs. Received: "
                f"{first:g} at step {step}, {last:g} at step {step + num_steps - 1}"
            )
        return first

    def _train_block(self, data, order, key, epoch_start, first, last, results, size):
        """Takes the steps `first` to `last` of an epoch, whose batches have `size` images.

        Returns `results` [2, steps of an epoch] with losses and correct predictions at these steps.
        """
        for step in tf.range(first, last):
            batch = tf.slice(order, [step * self.batch_size], [size])
            step_key = fold_in(key, epoch_start + step)
            sums = self.strategy.run(self._replica_step, args=(*data, batch, step_key))
            mean_and_hits = self._sum(sums) / [float(size), 1.0]
            results = tf.tensor_scatter_nd_update(results, [[0, step], [1, step]], mean_and_hits)
        return results

    def _sum(self, value):
        return self.strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)

    def _share(self, batch):
        """This replica's part of something whose leading axis is the global batch."""
        size = batch.shape[0] // self.replicas
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        return tf.slice(batch, [replica * size] + [0] * (batch.shape.rank - 1), [size, *batch.shape[1:]])

    def _replica_step(self, images, labels, batch, key):
        """One step on this replica's share of a batch; returns its sums of losses and correct predictions."""
        size, draws = batch.shape[0], {}
        if self._preprocessing.training.random:
            draws = self._preprocessing.training.draw(key, size)
        inputs, targets = self._gathered(images, labels, batch, draws)
        loss_of = functools.partial(self._objective, inputs, targets)
        if self._mixup:
            numbers = uniform_numbers(fold_in(key, 1), size + 1, 1)[:, 0]
            share, other = numbers[0], tf.argsort(numbers[1:])
            partners = {name: tf.gather(draw, other) for name, draw in draws.items()}
            other_inputs, other_targets = self._gathered(images, labels, tf.gather(batch, other), partners)
            inputs = share * inputs + (1 - share) * other_inputs

            def loss_of(logits):
                mixed = self._objective(inputs, other_targets, logits)
                return share * self._objective(inputs, targets, logits) + (1 - share) * mixed

        losses, logits, gradients = self._gradients(inputs, loss_of, size)
        self.optimizer.apply_gradients(zip(gradients, self.model.trainable_variables, strict=True))
        return tf.stack([tf.reduce_sum(losses), _hits(logits, targets)])

    def _gathered(self, images, labels, batch, draws):
        """This replica's share of a batch, as the network sees it."""
        share = self._share(batch)
        images = tf.gather(images, share)
        if self._preprocessing.training.random:
            draws = {name: self._share(draw) for name, draw in draws.items()}
            images = self._preprocessing.normalize(self._preprocessing.training(images, draws))
        return images, tf.gather(labels, share)

    def _gradients(self, images, loss_of, size):
        """Returns losses and logits [b] at the weights, and the gradients that the optimizer is to follow."""
        weights = [variable.value for variable in self.model.trainable_variables]
        with tf.GradientTape() as tape:
            logits = tf.cast(self.model(images, training=True), tf.float32)
            losses = loss_of(logits)
            loss = tf.reduce_sum(losses) / size
        if self.model.losses:
            raise ValueError(
                "The model must have no losses of its own: they are not trained on. Use `weight_decay` or "
                f"`objective`. Received: {len(self.model.losses)} losses of its layers"
            )
        gradients = tape.gradient(loss, weights)
        if self._sam_radius:
            gradients = self._sharpness_aware(images, loss_of, size, weights, gradients)
        if self._weight_decay:
            # The optimizer sums the gradients of all replicas.
            decay = self._weight_decay / self.replicas
            decays = [
                decay if self._decayed_weights == "all" or variable.name == "kernel" else 0.0
                for variable in self.model.trainable_variables
            ]
            parts = zip(gradients, decays, weights, strict=True)
            gradients = [g + decay * w if decay else g for g, decay, w in parts]
        return losses, logits, gradients

    def _sharpness_aware(self, images, loss_of, size, weights, gradients):
        """The gradient at weights + radius * gradient / norm.

        Moving statistics saw the first pass alone; each pass has masks of its own.
        """
        context = tf.distribute.get_replica_context()
        if self.replicas > 1:
            gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        length = self._sam_radius / (tf.linalg.global_norm(gradients) + 1e-12)
        moved = [w + length * g for w, g in zip(weights, gradients, strict=True)]
        variables = self.model.non_trainable_variables
        state = [variable.value for variable in variables]
        with tf.GradientTape() as tape:
            tape.watch(moved)
            logits, after = self.model.stateless_call(moved, state, images, training=True)
            loss = tf.reduce_sum(loss_of(tf.cast(logits, tf.float32))) / size
        statistics = {id(variable) for variable in self.model.non_trainable_weights}
        for variable, value in zip(variables, after, strict=True):
            if id(variable) not in statistics:  # the states of random layers
                variable.assign(value)
        return tape.gradient(loss, moved)

    def evaluation_data(self, images: np.ndarray, labels: np.ndarray) -> EvaluationData:
        """Puts images on the device, for `evaluate`.

        Args:
            images: float32 [n, height, width, channels] in [0, 1].
            labels: Integers [n] or [n, 1], the class of each image.

        Raises:
            ValueError: Labels are none of the model's classes.
        """
        labels = self._class_labels(labels)
        n = len(labels)
        size = math.ceil(n / math.ceil(n / _EVALUATION_BATCH))  # equal batches: little is padded
        size += -size % self.replicas
        padding = -n % size
        images = np.pad(self._preprocessing.evaluated(images), ((0, padding), (0, 0), (0, 0), (0, 0)))
        labels = np.pad(labels, (0, padding))
        return EvaluationData(on_replicas(self.strategy, images), on_replicas(self.strategy, labels), n, size)

    def evaluate(self, data: EvaluationData) -> tuple[float, float]:
        """Measures the network in inference mode.

        Args:
            data: As of `evaluation_data`.

        Returns:
            Mean cross-entropy in nats and accuracy, of all images.
        """
        sums = self._evaluation(data.images, data.labels, tf.constant(data.count), data.batch_size)
        # In float32 900 of 1,000 would be less than a target of 0.9.
        loss, accuracy = sums.numpy().astype(np.float64) / data.count
        return float(loss), float(accuracy)

    def _evaluate_all(self, images, labels, count, size):
        sums = tf.zeros([2])
        for start in tf.range(0, count, size):
            batch = start + tf.range(size)
            sums += self._sum(
                self.strategy.run(self._replica_evaluation, args=(images, labels, batch, count))
            )
        return sums

    def _replica_evaluation(self, images, labels, batch, count):
        share = self._share(batch)
        weights = tf.cast(share < count, tf.float32)
        labels = tf.gather(labels, share)
        logits = tf.cast(self.model(tf.gather(images, share), training=False), tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return tf.stack([tf.reduce_sum(losses * weights), _hits(logits, labels, weights)])


def _hits(logits, labels, weights=1.0):
    """Number of correct predictions, as float32."""
    correct = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == labels, tf.float32)
    return tf.reduce_sum(correct * weights)
