"""What is measured of one training run: at checkpoints along the way, and over volumes at its end."""

import contextlib
import dataclasses
import functools

import numpy as np
import tensorflow as tf

from common.compilation import compiled
from common.data.images import Images
from common.metrics.logits import padded_batches
from common.metrics.volumes import VolumeMeter
from common.study import interruption

_EVALUATION_BATCH = 500
# Predictions that a record keeps: 1,000 test images of ten classes.
_NUM_PREDICTIONS = 10_000


@dataclasses.dataclass(frozen=True)
class RunData:
    """The images of one run.

    Args:
        train: Training images with the labels that are trained on.
        true_labels: Their labels in the data set.
        validation: Images set aside from training, with true labels; may be empty.
        test: Test images.
        sample: Increasing positions of the training images around which sharpness is measured.
    """

    train: Images
    true_labels: np.ndarray
    validation: Images
    test: Images
    sample: np.ndarray

    @property
    def subsets(self):
        """The measured images by name, as masks of the sample: "all" last, before it "noisy" and "clean"."""
        noisy = (self.train.labels != self.true_labels)[self.sample]
        everything = {"all": np.ones(len(noisy), bool)}
        parts = {"noisy": noisy, "clean": ~noisy} if noisy.any() else {}
        return {name: mask for name, mask in (parts | everything).items() if mask.any()}

    @property
    def corrupted_classes(self):
        """The classes in which some training label is wrong, in increasing order."""
        return np.unique(self.true_labels[self.train.labels != self.true_labels])


class Meters:
    """The compiled measurements of a network; they measure whatever weights it has.

    Args:
        settings: Resolved Settings; those of the measurement are used.
        model: Keras model from normalised images to logits.
        mean: Means of the channels.
        std: Their standard deviations.
    """

    def __init__(self, settings, model, mean, std):
        shared = {"num_copies": settings.num_copies, "seed": settings.measurement_seed}
        shared |= {"colour_clip": settings.colour_clip, "step": settings.hessian_step}
        paths = {"num_paths": settings.num_paths, "strengths": settings.erased}
        self.volumes = VolumeMeter(model, mean, std, **paths, **shared)
        self.points = VolumeMeter(model, mean, std, num_paths=1, strengths=(), **shared)
        self._mean, self._std = np.float32(mean), np.float32(std)
        self._log_probabilities = compiled(lambda images: tf.nn.log_softmax(model(images, training=False)))

    def log_probabilities(self, images):
        """Returns the logarithms of a network's predictions: float32 [n, classes]."""
        batches = []
        for rows, batch in padded_batches(_EVALUATION_BATCH, images):
            interruption.check()
            found = self._log_probabilities(tf.constant((batch - self._mean) / self._std)).numpy()
            batches.append(found[: rows.stop - rows.start])
        return np.concatenate(batches)


@contextlib.contextmanager
def full_float32():
    """Keeps a GPU from rounding products to TensorFloat-32, too coarse for differences of gradients."""
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(enabled)


class Measurement:
    """Measures one run; `at_checkpoint` is what `training.fit.Fit` takes, `at_end` comes after it.

    Rows of the sharpness measures have the coordinates `subset` ("all", "clean" or "noisy": what is averaged
    over) and `anchors` (how many anchors of a path the volume reaches to; 1: the training images themselves).

    Args:
        settings: Resolved Settings.
        trainer: `Trainer` with the run's network.
        meters: `Meters` of this network.
        data: `RunData`.
    """

    def __init__(self, settings, trainer, meters, data):
        self._settings, self._trainer, self._meters, self._data = settings, trainer, meters, data
        self._epochs = frozenset(settings.checkpoint_epochs)
        self._late = frozenset(settings.late_epochs)

    def at_checkpoint(self, epoch):
        """Returns rows of the test set and of the training images themselves; none between checkpoints.

        In the last tenth of the epochs also of all training images; these rows have the statistic "late".
        """
        if epoch in self._epochs:
            return [*self._evaluated("test"), *self._sharpness(self._meters.points)]
        if epoch not in self._late:
            return []
        rows = [*self._evaluated("train"), *self._evaluated("test"), *self._sharpness(self._meters.points)]
        return [row | {"statistic": "late"} for row in rows]

    @functools.cached_property
    def _sets(self):
        parts = {"train": self._data.train, "test": self._data.test}
        return {name: self._trainer.evaluation_data(p.images, p.labels) for name, p in parts.items()}

    def _evaluated(self, name):
        loss, accuracy = self._trainer.evaluate(self._sets[name])
        return [self._trainer.row(f"{name}_loss", loss), self._trainer.row(f"{name}_accuracy", accuracy)]

    def _sharpness(self, meter):
        sample = self._data.train.take(self._data.sample)
        with full_float32():
            measured = meter.measure(sample.images, sample.labels)
        measured.pop("tangent_hessian_norm_paper", None)  # a constant times `tangent_hessian_norm`
        rows = []
        # The training images themselves come last: tables show a metric's last row.
        for name, mask in self._data.subsets.items():
            for metric, values in measured.items():
                means = values[mask].mean(axis=0)
                for anchors in range(len(means), 0, -1):
                    rows.append(self._trainer.row(metric, means[anchors - 1], subset=name, anchors=anchors))
        return rows

    def at_end(self, fit):
        """Adds the final measurements to a fit's rows.

        Args:
            fit: `training.fit.Fit` at its end.

        Returns:
            Arrays to keep: logarithms of the predictions on the first test images, float16 [images, classes],
            and the labels of these images.
        """
        # The loss of every batch is kept as an array; its epoch means would be most of the rows.
        fit.rows = [row for row in fit.rows if not row["metric"].startswith("batch_") or self._is_kept(row)]
        with fit.folder.timed("measure_seconds"):
            fit.rows += self._sharpness(self._meters.volumes)
            fit.rows += self._validation()
            predictions = self._meters.log_probabilities(self._data.test.images)
        labels = self._data.test.labels
        if self._settings.noise == "asymmetric":
            fit.rows += self._accuracy_by_class(predictions.argmax(axis=1) == labels)
        num_kept = min(len(labels), _NUM_PREDICTIONS // predictions.shape[1])
        return {
            "test_log_probabilities": predictions[:num_kept].astype(np.float16),
            "test_labels": labels[:num_kept].astype(np.uint8),
        }

    def _is_kept(self, row):
        return row["epoch"] in self._epochs or row["epoch"] == self._settings.epochs

    def _validation(self):
        part = self._data.validation
        if not len(part.labels):
            return []
        predictions = self._meters.log_probabilities(part.images)
        loss = -predictions[np.arange(len(part.labels)), part.labels].mean()
        accuracy = np.mean(predictions.argmax(axis=1) == part.labels)
        return [
            self._trainer.row("validation_loss", loss),
            self._trainer.row("validation_accuracy", accuracy),
        ]

    def _accuracy_by_class(self, hits):
        """Test accuracy of the classes with wrong training labels, and of the others (figure 7b)."""
        perturbed = np.isin(self._data.test.labels, self._data.corrupted_classes)
        groups = {"perturbed": perturbed, "unperturbed": ~perturbed}
        return [
            self._trainer.row("accuracy", hits[mask].mean(), subset=f"test_{name}")
            for name, mask in groups.items()
            if mask.any()
        ]
