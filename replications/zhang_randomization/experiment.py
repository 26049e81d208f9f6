"""One run, top to bottom: images, what is randomized in them, network, training, measurements."""

import numpy as np
import tensorflow as tf

from common.caching import keep_latest
from common.data import corruption
from common.data.augmentation import augmentation, per_image_standardization
from common.data.datasets import DATASETS
from common.distribution import replica_strategy
from common.models.alexnet import small_alexnet
from common.models.inception import small_inception
from common.models.mlp import mlp
from common.streams import Streams
from common.study.setting import without
from common.training import schedules
from common.training.fit import Fit, StoppingRule
from common.training.optimizers import build_optimizer
from common.training.run import load_images, open_run
from common.training.trainer import Preprocessing, Trainer
from replications.zhang_randomization import closed_form

# What says on which data, how fast and how long a network is trained; all others reach the compiled programs.
UNCOMPILED = ("seed", "condition", "label_noise", "gaussian_statistics", "epochs", "evaluate_every")
UNCOMPILED += ("learning_rate", "learning_rate_decay", "stop", "target_accuracy", "target_loss", "bandwidth")


def run(study, settings, options, label=""):
    """Trains and measures one setting, or goes on with it; see `runs.Study.experiment`."""
    strategy, streams = replica_strategy(options.strategy, options.device), Streams(settings.seed)
    data = load_images(settings, options)
    train, test = randomize(settings, data, streams)
    if not settings.trains:
        with open_run(study, settings, options, label, strategy, data.title, len(train[1])) as opened:
            if opened and opened.chief:
                with opened.folder.timed("train_seconds"):
                    found = closed_form.rows(settings, train, test, streams)
                opened.folder.finish("done", found, None)
        return
    trainer = loaded_trainer(strategy, settings, train, data.num_classes, streams)
    targets = settings.target_accuracy, settings.target_loss
    rule = StoppingRule(settings.epochs, *targets, settings.evaluate_every)
    with open_run(study, settings, options, label, strategy, data.title, len(train[1])) as opened:
        if opened:
            fit = Fit(trainer, rule, train, test, streams, opened)
            fit.run()
            fit.keep()


def loaded_trainer(strategy, settings, train, num_classes, streams):
    """Returns the `Trainer` of resolved settings with its training images and labels, at its first step."""
    trainer = _trainer(strategy, without(settings, UNCOMPILED), num_classes, _is_cropped(settings))
    steps_per_epoch = -(-len(train[1]) // settings.batch_size)
    rate = schedules.exponential(settings.learning_rate, settings.learning_rate_decay, steps_per_epoch)
    trainer.load(*train, streams, learning_rate=rate)
    return trainer


def _is_cropped(settings):
    """Whether the images are cropped before training: randomized pixels are those that the network sees."""
    return settings.condition.endswith("pixels")


def randomize(settings, data, streams):
    """Applies the run's condition to a data set, once for all epochs.

    Labels: each, independently, is replaced with probability `label_noise` by a uniform draw over all classes
    (Zhang et al. 2017, section 2.1). Pixels: at 28 x 28, before standardization; the permutation of
    "shuffled_pixels" is the same in training and test images, the other two draw anew for each image. The
    sources do not say whether Gaussian noise precedes the standardization; here it does.

    Args:
        settings: Resolved Settings.
        data: `ImageSet`.
        streams: `Streams`; "label_noise" and "pixels" are used.

    Returns:
        Images and labels for training, and for testing; test labels are never changed.
    """
    train, test = data.train, data.test
    labels = corruption.zhang_labels(
        train.labels, settings.label_noise, data.num_classes, streams.generator("label_noise")
    )
    images = train.images, test.images
    if _is_cropped(settings):
        crop = augmentation("central_crop")
        images = [crop(tf.constant(part), {}).numpy() for part in images]
        images = _randomized_pixels(settings, images, streams.generator("pixels"))
    return (images[0], labels), (images[1], test.labels)


def _randomized_pixels(settings, images, rng):
    if settings.condition == "shuffled_pixels":
        permutation = corruption.pixel_permutation(images[0].shape[1:], rng)
        return [corruption.permute_pixels(part, permutation) for part in images]
    if settings.condition == "random_pixels":
        return [corruption.random_pixels(part, rng) for part in images]
    statistics = settings.gaussian_statistics
    if statistics == "dataset":
        statistics = corruption.channel_statistics(images[0])
    return [corruption.gaussian_pixels(part, rng, statistics) for part in images]


def build_network(settings, num_classes):
    """Returns the Keras model of resolved settings, for 28 x 28 colour images."""
    shared = {"dropout": settings.dropout, "initialization": settings.initialization}
    if settings.network == "inception":
        batch_norm = {"batch_norm": settings.batch_norm, "batch_norm_momentum": settings.batch_norm_momentum}
        return small_inception((28, 28, 3), num_classes, **batch_norm, **shared)
    if settings.network == "alexnet":
        return small_alexnet((28, 28, 3), num_classes, **shared)
    hidden_units = (512,) * (3 if settings.network == "mlp_3x512" else 1)
    return mlp((28, 28, 3), hidden_units, num_classes, initialization=settings.initialization)


def network(settings):
    """Returns the Keras model of resolved settings; see `runs.Study.experiment`."""
    return build_network(settings, DATASETS[settings.dataset].num_classes)


@keep_latest
def _trainer(strategy, settings, num_classes, cropped):
    crop = augmentation("none" if cropped else "central_crop")
    training = augmentation("none" if cropped else settings.augmentation)
    return Trainer(
        strategy,
        lambda: build_network(settings, num_classes),
        lambda: build_optimizer(settings.optimizer),
        Preprocessing(training, crop, per_image_standardization),
        settings.batch_size,
        settings.weight_decay,
        decayed_weights=settings.decayed_weights,
    )


def table_row(settings, folder):
    """A run in the printed table: what was trained, how long until it fitted, accuracies.

    Args:
        settings: Resolved Settings.
        folder: Its finished RunFolder.

    Returns:
        Dictionary of texts and numbers.
    """
    last = {row["metric"]: row for row in folder.rows()}
    value = {metric: row["value"] for metric, row in last.items()}
    fitted = value.get("fit")
    epochs = last["test_accuracy"]["epoch"]
    noisy = settings.condition == "corrupted_labels"
    return {
        "network": settings.network,
        "condition": settings.condition + (f" {settings.label_noise:g}" if noisy else ""),
        "seed": settings.seed,
        "images": settings.num_train or "all",
        "epochs to fit": "" if fitted is None else f"{epochs}" if fitted else f"over {epochs}",
        "train accuracy": f"{value['train_accuracy']:.2%}",
        "test accuracy": f"{value['test_accuracy']:.2%}",
        "train loss": f"{value['train_loss']:.3g}" if settings.trains else "",
        "status": folder.record["status"],
        "seconds": f"{folder.record['times'].get('train_seconds', np.nan):.0f}",
    }
