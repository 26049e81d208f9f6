"""What a training run of every image paper has in common: data, strategy, run folder, progress, results."""

import dataclasses
import typing

import tensorflow as tf

from ..caching import keep_latest
from ..cluster import current_worker
from ..data import images
from ..distribution import replica_strategy
from ..streams import Streams
from ..study import interruption
from ..study.progress import Progress
from ..study.runs import run_folder
from .fit import Fit, StoppingRule
from .trainer import Trainer


@dataclasses.dataclass
class Prepared:
    """A run that is ready to train.

    Args:
        trainer: `Trainer`, loaded with the run's training data and weights.
        plan: `StoppingRule`.
        streams: `Streams`; "order" is used.
        train: Images and labels that the trainer was loaded with: what the training accuracy is measured on.
        test: Images and labels of the test set.
        measure: Function epoch -> rows, called after every epoch; or None.
        complete: Function `Fit` -> arrays to keep, called at the end; it may add to the fit's rows. Or None.
    """

    trainer: Trainer
    plan: StoppingRule
    streams: Streams
    train: tuple
    test: tuple
    measure: typing.Callable | None = None
    complete: typing.Callable | None = None


@keep_latest
def _load(*arguments):
    return images.load(*arguments)


def train_run(study, settings, options, label, prepare, data_seed=None, keep=()):
    """Trains and measures one setting, or goes on with it; leaves a finished run folder.

    Args:
        study: The `runs.Study`.
        settings: Resolved settings, an `ImageSettings`.
        options: `command_line.RunOptions`.
        label: Words that name the run in its progress line.
        prepare: Function (strategy, settings, `ImageSet`) -> `Prepared`.
        data_seed: Seed of the part of the data set; None: the run's.
        keep: Numbers of training images that every part holds, a tuple.

    Raises:
        UserError: The data is not there, or the folder is not ours to write.
    """
    worker = current_worker(options.strategy)
    strategy = replica_strategy(options.strategy)
    seed = settings.seed if data_seed is None else data_seed
    part = (settings.num_train, settings.num_test, seed, keep)
    data = _load(settings.dataset, options.data_dir, *part, options.download)
    prepared = prepare(strategy, settings, data)
    with run_folder(study, settings, options.out_dir, worker.index) as folder:
        if folder.finished:
            return
        replicas = strategy.num_replicas_in_sync
        device = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
        folder.start({"device": device, "replicas": replicas, "workers": worker.count}, data.title)
        progress = Progress(label, settings.epochs * len(prepared.train[1]), "images")
        try:
            with interruption.deferred():
                _fit(prepared, folder, progress, worker.chief, options.tensorboard)
        except Exception as error:
            folder.fail(error)
            raise
        finally:
            progress.close()


def _fit(prepared, folder, progress, chief, tensorboard):
    trainer = prepared.trainer
    writer = tf.summary.create_file_writer(str(folder.path / "tensorboard")) if tensorboard else None
    fit = Fit(
        trainer,
        prepared.plan,
        trainer.evaluation_data(*prepared.train),
        trainer.evaluation_data(*prepared.test),
        prepared.streams,
        folder,
        progress,
        chief,
        prepared.measure,
        writer,
    )
    status = fit.run()
    arrays = {"batch_losses": fit.batch_losses}
    if prepared.complete:
        arrays |= prepared.complete(fit)
    if chief:
        folder.finish(status, fit.rows, arrays)
