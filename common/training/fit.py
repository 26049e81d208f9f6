"""One training run from its first step or its last checkpoint to its stop: epochs, measurements, records.

The order of the images is a function of (stream, epoch) and the augmentation one of (stream, step), so a
checkpoint holds weights, optimizer state and nothing else; a run that was killed goes on bit for bit.
"""

import dataclasses
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from ..streams import Streams
from ..study import interruption
from ..study.checkpoints import Checkpoints
from .run import OpenRun
from .trainer import Trainer

_CHECKPOINT_SECONDS = 20
_BLOCK_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class StoppingRule:
    """How long a run trains and what it measures on the way.

    Args:
        epochs: Cap on the number of epochs.
        target_accuracy: Stops after the epoch at whose end the accuracy on the whole training set, in
            inference mode, is at least this; None: never.
        target_loss: The same for the training set's mean cross-entropy, at most this.
        evaluate_every: Also measures the test set every so many epochs; None: at the end only.
    """

    epochs: int
    target_accuracy: float | None = None
    target_loss: float | None = None
    evaluate_every: int | None = None

    @property
    def has_target(self) -> bool:
        """Whether the run can stop before its cap."""
        return self.target_accuracy is not None or self.target_loss is not None

    def reached(self, loss: float, accuracy: float) -> bool:
        """Whether the training set's loss and accuracy fulfil every target there is."""
        accurate = self.target_accuracy is None or accuracy >= self.target_accuracy
        return self.has_target and accurate and (self.target_loss is None or loss <= self.target_loss)


@dataclasses.dataclass
class Fit:
    """One run in progress.

    Args:
        trainer: Loaded with the run's data.
        rule: When it stops.
        train: Images and labels that the trainer was loaded with: what the training accuracy is measured on.
        test: Images and labels of the test set.
        streams: "order" is used.
        opened: Its folder is started.
        measure: Function epoch -> rows of further measurements, called after every epoch and with 0 before
            the first; None measures nothing.
    """

    trainer: Trainer
    rule: StoppingRule
    train: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    streams: Streams
    opened: OpenRun
    measure: Callable[[int], list[dict]] | None = None
    rows: list[dict] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder, self._progress = self.opened.folder, self.opened.progress
        self._data = {name: self.trainer.evaluation_data(*getattr(self, name)) for name in ("train", "test")}

    def run(self) -> str:
        """Trains to the end.

        Returns:
            "done" or "diverged"; then `rows` and `batch_losses` hold what was measured. Rows have `epoch` and
            `step`; `fit` is 1 if the target was reached, 0 if the cap came first (the run is censored).
        """
        trainer, total = self.trainer, self.rule.epochs * self.trainer.steps_per_epoch
        self.batch_losses = np.zeros(total, np.float32)
        self._hits = np.zeros(total, np.float32)
        self._checkpoints = Checkpoints(trainer.checkpoint(), self.folder.work / "checkpoints")
        self._saved = time.monotonic()
        self._block_steps = 1
        self._outcome = None  # "fit" or "diverged", once the run has ended before its cap
        self._restore()
        if trainer.step == 0 and self.measure and not self.rows:
            self.rows += self.measure(0)
        while not self._stopped():
            self._train_epoch(trainer.step // trainer.steps_per_epoch)
        self.batch_losses = self.batch_losses[: trainer.step]
        before = len(self.rows)
        self._finish()
        self._write_scalars(self.rows[before:])
        return self.status

    @property
    def status(self) -> str:
        """How the run ended: "done" or "diverged"."""
        return "diverged" if self._outcome == "diverged" else "done"

    def keep(self, arrays: dict[str, np.ndarray] | None = None) -> None:
        """Writes the record: rows, the loss of every batch, and further arrays."""
        if self.opened.chief:
            self.folder.finish(self.status, self.rows, {"batch_losses": self.batch_losses} | (arrays or {}))

    def _restore(self):
        restored = self._checkpoints.restore()
        if restored is None:
            return
        step, self.rows = self.trainer.step, restored.rows
        self._outcome = next((name for name in ("diverged", "fit") if self._value(name) == 1), None)
        self.batch_losses[:step], self._hits[:step] = restored.arrays["losses"], restored.arrays["hits"]
        if self._progress:
            self._progress.skip(self._images_seen(step))

    def _images_seen(self, step):
        trainer = self.trainer
        epochs, rest = divmod(step, trainer.steps_per_epoch)
        return epochs * trainer.num_images + rest * trainer.batch_size

    def _value(self, metric):
        return next((row["value"] for row in reversed(self.rows) if row["metric"] == metric), None)

    def _end(self, outcome):
        self._outcome = outcome
        self.rows.append(self.trainer.row(outcome, 1))

    def _stopped(self):
        return self._outcome is not None or self.trainer.step >= len(self.batch_losses)

    def _train_epoch(self, epoch):
        trainer = self.trainer
        end = (epoch + 1) * trainer.steps_per_epoch
        order = self.streams.generator("order", epoch).permutation(trainer.num_images)
        while trainer.step < end:
            interruption.check()
            started, first = time.monotonic(), trainer.step
            with self.folder.timed("train_seconds"):
                losses, hits = trainer.train(order, min(self._block_steps, end - first))
            self.batch_losses[first : trainer.step], self._hits[first : trainer.step] = losses, hits
            if self._progress:
                self._progress.add(self._images_seen(trainer.step) - self._images_seen(first))
            self._adapt(trainer.agreed(time.monotonic() - started))
            if trainer.step == end:
                with self.folder.timed("evaluate_seconds"):
                    self._end_epoch(epoch + 1)
            self._save()

    def _adapt(self, seconds):
        """Doubles the steps of a call until it takes long enough to be seen, killed and resumed well."""
        if seconds < _BLOCK_SECONDS / 2:
            self._block_steps = min(2 * self._block_steps, self.trainer.steps_per_epoch)
        elif seconds > 2 * _BLOCK_SECONDS:
            self._block_steps = max(1, self._block_steps // 2)

    def _end_epoch(self, epoch):
        trainer, rule, before = self.trainer, self.rule, len(self.rows)
        # Looked at here alone: how many steps are trained at once depends on the speed of the machine.
        if not np.isfinite(self.batch_losses[trainer.step - 1]):
            self._end("diverged")
            return
        last = slice(trainer.step - trainer.steps_per_epoch, trainer.step)
        self.rows += [
            trainer.row("batch_loss", np.mean(self.batch_losses[last])),
            trainer.row("batch_accuracy", np.sum(self._hits[last]) / trainer.num_images),
        ]
        # Fused layers turn undefined sums into zeros, behind which the loss stays finite.
        if not trainer.has_finite_weights():
            self._end("diverged")
            return
        if rule.has_target:
            evaluated = self._evaluated("train")
            self.rows += evaluated
            if rule.reached(*(row["value"] for row in evaluated)):
                self._end("fit")
        if rule.evaluate_every and epoch % rule.evaluate_every == 0:
            self.rows += self._evaluated("test")
        if self.measure:
            self.rows += self.measure(epoch)
        self._write_scalars(self.rows[before:])

    def _evaluated(self, name):
        loss, accuracy = self.trainer.evaluate(self._data[name])
        return [self.trainer.row(f"{name}_loss", loss), self.trainer.row(f"{name}_accuracy", accuracy)]

    def _finish(self):
        """Measures what the last epoch did not, and says how the run ended."""
        measured = {row["metric"] for row in self.rows if row["step"] == self.trainer.step}
        with self.folder.timed("evaluate_seconds"):
            for name in ("train", "test"):
                if f"{name}_loss" not in measured:
                    self.rows += self._evaluated(name)
        if self.rule.has_target and self._outcome != "fit":
            self.rows.append(self.trainer.row("fit", 0))
        # The last step's own update is seen by no batch.
        if self._outcome != "diverged" and not np.isfinite(self._value("train_loss")):
            self._end("diverged")

    def _save(self):
        last = self._stopped()
        if not self.opened.chief or (not last and time.monotonic() - self._saved < _CHECKPOINT_SECONDS):
            return
        step = self.trainer.step
        history = {"losses": self.batch_losses[:step], "hits": self._hits[:step]}
        self._checkpoints.keep(step, self.rows, history)
        self.folder.save()
        self._saved = time.monotonic()

    def _write_scalars(self, rows):
        if self.opened.writer is None:
            return
        with self.opened.writer.as_default():
            for row in rows:
                if np.isfinite(row["value"]):
                    tf.summary.scalar(row["metric"], row["value"], step=row["step"])
        self.opened.writer.flush()
