"""What the runs of every image paper have in common: data, and the folder, progress and end of a run."""

import contextlib
import dataclasses
from collections.abc import Iterator

import tensorflow as tf

from ..caching import keep_latest
from ..cluster import current_worker
from ..data import images
from ..study import interruption
from ..study.command_line import RunOptions
from ..study.progress import Progress
from ..study.run_folders import RunFolder
from ..study.runs import Study, run_folder
from .settings import ImageSettings

# What a sum over workers ends with when one of them does not come.
_ANOTHER_IS_GONE = (
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.UnavailableError,
)


@dataclasses.dataclass
class OpenRun:
    """A run folder that is this process's own.

    Args:
        folder: Its `RunFolder`.
        progress: Progress over images; None shows nothing.
        chief: Whether this process writes checkpoints and the record.
        writer: Writes TensorBoard's summaries; None writes nothing.
    """

    folder: RunFolder
    progress: Progress | None = None
    chief: bool = True
    writer: tf.summary.SummaryWriter | None = None


@keep_latest
def _load(*arguments):
    return images.load(*arguments)


def load_images(
    settings: ImageSettings, options: RunOptions, data_seed: int | None = None, keep: tuple[int, ...] = ()
) -> images.ImageSet:
    """Loads the images of resolved settings.

    Args:
        settings: Resolved settings.
        options: Where the data is.
        data_seed: Seed of the part of the data set; None: the run's.
        keep: Numbers of training images that every part holds.

    Raises:
        UserError: The data is not there.
    """
    seed = settings.seed if data_seed is None else data_seed
    part = (settings.num_train, settings.num_test, seed, keep)
    return _load(settings.dataset, options.data_dir, *part, options.download)


@contextlib.contextmanager
def open_run(
    study: Study,
    settings: ImageSettings,
    options: RunOptions,
    label: str,
    strategy: tf.distribute.Strategy,
    title: str,
    num_images: int,
) -> Iterator[OpenRun | None]:
    """Opens the folder of a run; an error is noted in it, and a signal obeyed between blocks of steps.

    Args:
        study: The paper.
        settings: Resolved settings.
        options: The command's options.
        label: Words that name the run in its progress line.
        strategy: Strategy of its trainer.
        title: How results on its data must be named.
        num_images: Training images of an epoch.

    Yields:
        The `OpenRun`, or None if another process has finished it.

    Raises:
        UserError: The folder is not ours to write.
    """
    worker = current_worker(options.strategy)
    with run_folder(study, settings, options.out_dir, worker.index) as folder:
        if folder.finished:
            yield None
            return
        device = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
        replicas = strategy.num_replicas_in_sync
        folder.start({"device": device, "replicas": replicas, "workers": worker.count}, title)
        assert settings.epochs is not None
        progress = Progress(label, settings.epochs * num_images, "images")
        writer = None
        if options.tensorboard and worker.chief:
            writer = tf.summary.create_file_writer(str(folder.path / "tensorboard"))
        try:
            with interruption.deferred():
                yield OpenRun(folder, progress, worker.chief, writer)
        except Exception as error:
            folder.fail(error)
            if isinstance(error, tf.errors.ResourceExhaustedError):
                raise MemoryError from None
            if worker.count > 1 and isinstance(error, _ANOTHER_IS_GONE):
                # TensorFlow's many lines on a sum over workers, of whom one is gone.
                raise OSError(f"another worker is gone ({type(error).__name__})") from None
            raise
        finally:
            progress.close()
