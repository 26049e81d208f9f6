"""One run, top to bottom: images, wrong labels, network, training, measurements."""

import dataclasses
import functools

import numpy as np

from common.caching import keep_latest
from common.data import corruption
from common.data.augmentation import augmentation, normalize
from common.data.datasets import DATASETS
from common.distribution import replica_strategy
from common.errors import UserError
from common.models.convnet import convnet
from common.models.resnet import resnet18w
from common.streams import Streams
from common.study.run_folders import measured_seconds
from common.study.setting import without
from common.training import schedules
from common.training.fit import Fit, StoppingRule
from common.training.optimizers import build_optimizer
from common.training.run import load_images, open_run
from common.training.trainer import Preprocessing, Trainer
from replications.smooth_interpolation import regression
from replications.smooth_interpolation.measure import Measurement, Meters, RunData

# What says on what and how long a network is trained; all other settings reach a compiled program.
UNCOMPILED = ("num_test", "num_validation", "num_samples", "num_checkpoints", "evaluate_every")
UNCOMPILED += ("epochs", "learning_rate", "schedule", "warmup_epochs", "warmup_rate", "label_noise", "noise")
UNCOMPILED += ("num_corrupted_classes", "corrupted_fraction")
UNCOMPILED += ("corrupted_classes", "stand_in_for", "degree", "target_noise", "signal")
UNCOMPILED += ("seed", "data_seed", "split_seed", "label_seed")
# What says how a trained network is measured, and does not reach the training program.
MEASURED = ("num_paths", "strengths", "num_copies", "colour_clip", "hessian_step", "measurement_seed")
_STEP_FACTOR, _STEP_EPOCHS = 0.2, 150  # of --schedule=step: magamba/double_descent, core/cmd.py


def run(study, settings, options, label=""):
    """Trains and measures one setting, or goes on with it; see `runs.Study.experiment`."""
    if settings.dataset == "scalar":
        regression.run(study, settings, options)
        return
    strategy, streams = replica_strategy(options.strategy, options.device), Streams(settings.seed)
    image_set = load_images(settings, options, settings.data_seed)
    data = run_data(settings, image_set)
    trainer = loaded_trainer(strategy, settings, data, image_set.num_classes, streams)
    measurement = Measurement(settings, trainer, meters_of(trainer, settings), data)
    train, test = ((part.images, part.labels) for part in (data.train, data.test))
    rule = StoppingRule(settings.epochs)
    with open_run(study, settings, options, label, strategy, image_set.title, len(train[1])) as opened:
        if opened:
            fit = Fit(trainer, rule, train, test, streams, opened, measurement.at_checkpoint)
            fit.run()
            fit.keep(measurement.at_end(fit))


def loaded_trainer(strategy, settings, data, num_classes, streams):
    """Returns the `Trainer` of resolved settings with the images of a `RunData`, at its first step."""
    trainer = _trainer(strategy, without(settings, UNCOMPILED + MEASURED), num_classes)
    rate = _learning_rate(settings, len(data.true_labels))
    trainer.load(data.train.images, data.train.labels, streams, learning_rate=rate)
    return trainer


def meters_of(trainer, settings):
    """Returns the `Meters` of a trainer's network, shared by runs that are measured alike."""
    return _meters(trainer, without(settings, UNCOMPILED))


def run_data(settings, image_set):
    """Splits the training images, makes some of their labels wrong, and chooses those to measure.

    Seeds of their own: runs that differ in `seed` alone train on the same images with the same labels.

    Args:
        settings: Resolved Settings.
        image_set: `ImageSet`.

    Returns:
        `RunData`.

    Raises:
        UserError: The data set has too few images for the split, a batch or the sample.
    """
    whole = len(image_set.train.labels)
    num_train = whole - settings.num_validation
    if num_train < settings.batch_size:
        raise UserError(
            f"--num_validation={settings.num_validation}: leaves {max(num_train, 0)} training images of "
            f"{whole}, fewer than a batch of {settings.batch_size}"
        )
    if settings.num_samples is not None and settings.num_samples > num_train:
        raise UserError(f"--num_samples={settings.num_samples}: must be from 1 to {num_train}")
    order = Streams(settings.split_seed).generator("split").permutation(whole)
    validation = image_set.train.take(np.sort(order[: settings.num_validation]))
    train = image_set.train
    if settings.num_validation:
        train = train.take(np.sort(order[settings.num_validation :]))
    labels = _wrong_labels(settings, train.labels, image_set.num_classes)
    sample = Streams(settings.measurement_seed).generator("measurement").permutation(num_train)
    return RunData(
        dataclasses.replace(train, labels=labels),
        train.labels,
        validation,
        image_set.test,
        np.sort(sample[: settings.num_samples]),
    )


def _wrong_labels(settings, labels, num_classes):
    rng = Streams(settings.label_seed).generator("label_noise")
    if settings.noise == "symmetric":
        return corruption.gamba_symmetric_labels(labels, settings.label_noise, num_classes, rng)
    return corruption.gamba_asymmetric_labels(
        labels,
        settings.num_corrupted_classes,
        settings.corrupted_fraction,
        num_classes,
        rng,
        settings.corrupted_classes,
    )


def build_network(settings, num_classes):
    """Returns the Keras model of resolved settings, for 32 x 32 colour images."""
    if settings.network == "convnet":
        return convnet(settings.width, num_classes=num_classes, pooling=settings.pooling)
    return resnet18w(
        settings.width,
        num_classes=num_classes,
        initialization=settings.initialization,
        normalized_shortcuts=settings.shortcuts == "normalized",
    )


def network(settings):
    """Returns the Keras model of resolved settings; see `runs.Study.experiment`."""
    return build_network(settings, DATASETS[settings.dataset].num_classes)


def _learning_rate(settings, num_train):
    """The rate, or its schedule."""
    rate, steps_per_epoch = settings.learning_rate, -(-num_train // settings.batch_size)
    if settings.schedule == "step":
        return schedules.exponential(rate, _STEP_FACTOR, _STEP_EPOCHS * steps_per_epoch)
    if not settings.warmup_epochs:
        return rate
    return schedules.LinearWarmup(settings.warmup_rate, rate, settings.warmup_epochs, steps_per_epoch)


@keep_latest
def _meters(trainer, settings):
    """The meters of runs whose networks are measured alike."""
    dataset = DATASETS[settings.dataset]
    return Meters(settings, trainer.model, dataset.mean, dataset.std)


@keep_latest
def _trainer(strategy, settings, num_classes):
    """The trainer of runs that differ only in data, learning rates and what is measured."""
    _meters.cache_clear()  # they hold the trainer before
    dataset = DATASETS[settings.dataset]
    return Trainer(
        strategy,
        lambda: build_network(settings, num_classes),
        lambda: build_optimizer(settings.optimizer),
        Preprocessing(
            augmentation(settings.augmentation),
            augmentation("none"),
            functools.partial(normalize, mean=dataset.mean, std=dataset.std),
        ),
        settings.batch_size,
        settings.weight_decay,
    )


def table_row(settings, folder):
    """A run in the printed table: what was trained, its errors, and how sharp it is.

    Args:
        settings: Resolved Settings.
        folder: Its finished RunFolder.

    Returns:
        Dictionary of texts and numbers.
    """
    # The last row of a measure is that at all training images themselves.
    value = {row["metric"]: row["value"] for row in folder.rows()}
    found = _scalar_line if settings.dataset == "scalar" else _image_line
    seconds = f"{measured_seconds(folder.record['times']):.0f}"
    end = {"seed": settings.seed, "status": folder.record["status"], "seconds": seconds}
    return {"network": settings.network} | found(settings, value) | end


def _image_line(settings, value):
    data = settings.dataset + (f" for {settings.stand_in_for}" if settings.stand_in_for else "")
    return {
        "data": data,
        "width": settings.width,
        "wrong labels": f"{settings.label_noise:.0%}",
        "train accuracy": f"{value['train_accuracy']:.2%}",
        "test error": f"{1 - value['test_accuracy']:.2%}",
        "train loss": f"{value['train_loss']:.3g}",
        "Jacobian norm": f"{value['jacobian_norm']:.3g}",
        "tangent Hessian norm": f"{value['tangent_hessian_norm']:.3g}",
    }


def _scalar_line(settings, value):
    size = settings.degree if settings.network == "polynomial" else settings.width
    return {
        "degree or width": size,
        "train error": f"{value['train_loss']:.3g}",
        "test error": f"{value['test_loss']:.3g}",
        "slope near the points": f"{value['slope']:.3g}",
        # Points without noise have none to keep.
        "noise kept": f"{value['noise_kept']:.0%}" if "noise_kept" in value else "",
    }
