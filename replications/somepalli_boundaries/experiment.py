"""One run, top to bottom: images, labels, teacher, network, training, and what is measured at the end."""

import dataclasses
import functools

import keras
import numpy as np

from common.caching import keep_latest
from common.cluster import current_worker
from common.data.augmentation import augmentation, normalize
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD, DATASETS
from common.distribution import replica_strategy
from common.errors import BusyError, UserError
from common.metrics.classifier import Classifier
from common.streams import Streams
from common.study import interruption
from common.study.files import check_sealed, read_arrays, replacing, sealing, write_arrays
from common.study.run_folders import checked_file
from common.study.runs import run_folder
from common.study.setting import without
from common.training import schedules
from common.training.distillation import distillation, logit_difference, softened_divergence
from common.training.fit import Fit, StoppingRule
from common.training.optimizers import build_optimizer
from common.training.run import load_images, open_run
from common.training.trainer import Preprocessing, Trainer, cross_entropy
from replications.somepalli_boundaries.labels import given_labels, roles_for_record
from replications.somepalli_boundaries.measure import Subject, check_measurable, measure
from replications.somepalli_boundaries.networks import build_network
from replications.somepalli_boundaries.published import KEPT_IDS, NETWORK_NAMES

WEIGHTS = "weights.npz"
_POLL_SECONDS = 5
# What says on what, how fast and how long a network is trained, and on what it is measured; all others reach
# the compiled programs.
UNCOMPILED = ("dataset", "num_test", "label_noise", "label_noise_rule", "evaluate_every")
UNCOMPILED += ("epochs", "learning_rate", "schedule")
UNCOMPILED += ("seed", "init_seed", "order_seed", "augmentation_seed", "data_seed", "teacher_seed")
UNCOMPILED += ("checkpoint", "pictures", "window", "resolution", "picture_resolution", "num_triplets")
UNCOMPILED += ("num_fragmentation_triplets", "num_margin_images", "margin_direction", "margin_bisections")
UNCOMPILED += ("num_random_planes", "num_random_images", "triplets", "picture_overhang")


def run(study, settings, options, label=""):
    """Trains and measures one setting, its teacher first, or goes on with it; see `runs.Study.experiment`.

    The final weights stay in the run folder as `weights.npz`.
    """
    teacher = _teacher_weights(study, settings, options, label) if settings.teacher else None
    strategy = replica_strategy(options.strategy, options.device)
    data = load_images(settings, options, settings.data_seed, KEPT_IDS)
    labels, index_labels = given_labels(settings, data.train, data.num_classes, Streams(settings.data_seed))
    check_measurable(settings, data, labels, index_labels)
    compiled = _compiled(strategy, without(settings, UNCOMPILED), data.num_classes)
    if settings.teacher:
        load_weights(compiled.teacher, teacher)
    train, test = (data.train.images, labels), (data.test.images, data.test.labels)
    streams = {name: Streams(seed) for name, seed in settings.seeds.items()}
    rate = _schedule(settings, -(-len(labels) // settings.batch_size))
    compiled.trainer.load(*train, streams["init_seed"], streams["augmentation_seed"], rate)
    every = settings.evaluate_every if settings.checkpoint == "last" else None
    rule = StoppingRule(settings.epochs, evaluate_every=every)
    network = compiled.classifier, compiled.trainer.model, compiled.preprocessing
    subject = Subject(settings, *network, data, labels, index_labels)
    with open_run(study, settings, options, label, strategy, data.title, len(labels)) as opened:
        if opened:
            best = None
            if settings.checkpoint == "best_test":
                evaluation = compiled.trainer.evaluation_data(*test)
                best = _BestTest(compiled.trainer, evaluation, opened.folder.work / "best")
            fit = Fit(compiled.trainer, rule, train, test, streams["order_seed"], opened, best)
            fit.run()
            fit.keep(_measured(subject, best, fit))


def _teacher_weights(study, settings, options, label):
    """Returns the file with the weights of a run's teacher; trains it if it is not there.

    A teacher whose record is there without its weights, such as a reference record, is trained again below
    `teachers` in the folder of all runs.
    """
    teacher = settings.teacher_settings()
    folder = run_folder(study, teacher, options.out_dir)
    diverged = folder.finished and folder.record["status"] == "diverged"
    if folder.finished and not diverged and not (folder.path / WEIGHTS).exists():
        options = dataclasses.replace(options, out_dir=f"{options.out_dir}/teachers")
        folder = run_folder(study, teacher, options.out_dir)
    worker, trained = current_worker(options.strategy), False
    while not folder.finished:
        if trained and not worker.chief:  # the chief, with which it was trained, is writing the record
            interruption.sleep(_POLL_SECONDS)
        else:
            try:
                run(study, teacher, options, f"{label} teacher {teacher.network}")
                trained = True
            except BusyError:  # another student's process trains it
                interruption.sleep(_POLL_SECONDS)
        folder = run_folder(study, teacher, options.out_dir)
    if folder.record["status"] == "diverged":
        raise UserError(f"--teacher={settings.teacher}: its training diverged, {folder.path}")
    return checked_file(folder.path, folder.record, WEIGHTS)


@dataclasses.dataclass
class _Compiled:
    """What runs that differ only in seeds, labels and measurements share."""

    trainer: Trainer
    preprocessing: Preprocessing
    classifier: Classifier
    teacher: keras.Model | None


def network(settings):
    """Returns the Keras model of resolved settings; see `runs.Study.experiment`."""
    num_classes = DATASETS[settings.dataset].num_classes
    return build_network(settings.network, settings.width, settings.depth, num_classes)


@keep_latest
def _compiled(strategy, settings, num_classes):
    scale = functools.partial(normalize, mean=CIFAR10_MEAN, std=CIFAR10_STD)
    preprocessing = Preprocessing(augmentation(settings.augmentation), augmentation("none"), scale)
    objective, teacher = cross_entropy, None
    if settings.teacher:
        with strategy.scope():
            teacher = build_network(settings.teacher, settings.teacher_width, settings.depth, num_classes)
        loss = logit_difference
        if settings.distillation != "logits":
            mean = settings.distillation == "kl_mean"
            loss = functools.partial(
                softened_divergence, temperature=settings.temperature, mean_over_classes=mean
            )
        objective = distillation(teacher, loss)
    trainer = Trainer(
        strategy,
        lambda: build_network(settings.network, settings.width, settings.depth, num_classes),
        lambda: build_optimizer(settings.optimizer),
        preprocessing,
        settings.batch_size,
        settings.weight_decay,
        objective,
        settings.sam_radius,
        settings.mixup,
    )
    return _Compiled(trainer, preprocessing, Classifier(trainer.model), teacher)


def _schedule(settings, steps_per_epoch):
    rate, epochs = settings.learning_rate, settings.epochs
    if settings.schedule == "step":
        return schedules.step(rate, epochs, steps_per_epoch)
    if settings.schedule == "cosine":
        return schedules.EpochCosine(rate, epochs, steps_per_epoch)
    if settings.schedule == "cosine_200":  # double-descent/main.py: T_max, whatever the number of epochs
        return schedules.EpochCosine(rate, 200, steps_per_epoch)
    return rate


class _BestTest:
    """Keeps the weights of the epoch with the best test accuracy, the first of equals.

    Somepalli et al. 2022, official code somepago/dbViz, main.py: model selection on the test set.
    """

    def __init__(self, trainer, test, folder):
        self._trainer, self._test, self._folder = trainer, test, folder
        self._best = None

    def __call__(self, epoch):
        """Measures the test set after an epoch and keeps the weights if it is the best so far."""
        if epoch == 0:
            return []
        loss, accuracy = self._trainer.evaluate(self._test)
        best = self._kept()
        # A later epoch's was left by a process that was killed before its checkpoint: it will win again.
        if best is None or (epoch > best["epoch"] and accuracy > best["accuracy"]):
            weights = {f"variable_{i}": v.numpy() for i, v in enumerate(self._trainer.model.variables)}
            self._best = weights | {"epoch": np.array(epoch), "accuracy": np.array(accuracy)}
            if self._trainer.strategy.extended.should_checkpoint:
                with sealing(self._folder) as folder:
                    write_arrays(folder / "arrays.npz", self._best)
        return [self._trainer.row("test_loss", loss), self._trainer.row("test_accuracy", accuracy)]

    def _kept(self):
        """Weights, epoch and accuracy of the best so far, also of an earlier process; None at first."""
        if self._best is None and self._folder.exists():
            check_sealed(self._folder)
            self._best = read_arrays(self._folder / "arrays.npz")
        return self._best

    def restore(self):
        """Gives the network the kept weights and returns their epoch."""
        _assign_weights(self._trainer.model, self._kept())
        return int(self._kept()["epoch"])


def load_weights(model, path):
    """Assigns weights that `_measured` saved; the model has the same variables."""
    _assign_weights(model, read_arrays(path))


def _assign_weights(model, arrays):
    for i, variable in enumerate(model.variables):
        variable.assign(arrays[f"variable_{i}"])


def _measured(subject, best, fit):
    """Measures the trained network, keeps its weights, and returns the arrays of the record."""
    if any(row["metric"] == "diverged" for row in fit.rows):
        return {}
    with fit.folder.timed("measure_seconds"):
        rows = [{"metric": "checkpoint_epoch", "value": best.restore()}] if best else []
        found, arrays = measure(subject)
    labels, data = subject.index_labels, subject.data
    arrays |= roles_for_record(subject.settings, data.train, labels, data.num_classes)
    fit.rows += [fit.trainer.row(**row) for row in rows + found]
    variables = {f"variable_{i}": v.numpy() for i, v in enumerate(subject.model.variables)}
    if fit.opened.chief:
        with replacing(fit.folder.path / WEIGHTS) as temporary, open(temporary, "wb") as file:
            np.savez(file, **variables)
    return arrays


_TABLE_SCORES = {
    "fragmentation all": ("fragmentation", "all", "run"),
    "margin aa median": ("margin", "all", "median"),
    "lemma distance 95": ("lemma_distance_95", None, "run"),
}


def table_row(settings, folder):
    """A run in the printed table: what was trained, accuracies, scores of one network.

    Args:
        settings: Resolved Settings.
        folder: Its finished RunFolder.

    Returns:
        Dictionary of texts and numbers.
    """
    value = {(row["metric"], row.get("subset"), row["statistic"]): row["value"] for row in folder.rows()}

    def accuracy(part, subset):
        after_last_epoch = value[f"{part}_accuracy", None, "run"]
        return value.get(("accuracy", subset, "run"), after_last_epoch)

    found = {
        "network": NETWORK_NAMES[settings.network],
        "width": settings.width,
        "optimizer": settings.optimizer_name + " mixup" * settings.mixup,
        "noise": f"{settings.label_noise:g}",
        "teacher": NETWORK_NAMES.get(settings.teacher, ""),
        "seeds": "/".join(map(str, settings.seeds.values())),
        # Of the measured network; a diverged one has those after its last epoch.
        "train accuracy": f"{accuracy('train', 'all'):.2%}",
        "test accuracy": f"{accuracy('test', 'test'):.2%}",
    }
    for head, row in _TABLE_SCORES.items():
        if row in value:
            found[head] = f"{value[row]:.3g}"
    return found | {
        "status": folder.record["status"],
        "seconds": f"{folder.record['times'].get('train_seconds', np.nan):.0f}",
    }
