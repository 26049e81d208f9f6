"""Settings of Somepalli et al. 2022 (arXiv 2203.08124): one training run, and what is measured at its end.

Importing this module loads no TensorFlow, so that wrong flags are refused at once.
"""

import dataclasses

from common.data.datasets import MAX_TRAIN
from common.errors import UserError
from common.study.setting import POSITIVE, SEED, Limits, check_limits, filled, setting
from common.training.settings import COUNT, ImageSettings
from replications.somepalli_boundaries.published import (
    ADAM_RATES,
    DEFAULT_ADAM_RATE,
    DEFAULT_SGD_RATE,
    MATRIX_RATES,
    NETWORK_NAMES,
    NUM_TEST,
    PICTURES,
    PLAIN_ADAM_RATES,
    PLAIN_SGD_RATES,
    SGD_RATES,
    WIDE_RESNET_DEPTH,
    WIDTHS,
)

PROTOCOL_VERSION = 1

PROTOCOLS = ("architectures", "optimizers", "double_descent")
DISTILLATIONS = ("kl", "kl_mean", "logits")
TRIPLETS = ("ours", "released", "train")
# What the released code does where no flag says otherwise (options.py, train_optimizers.sh, and
# double-descent/main.py), and how much it measures.
_ARCHITECTURES = {
    "network": "resnet18",
    "optimizer": "sgd",
    "epochs": 100,
    "batch_size": 128,
    "num_triplets": 500,
    "num_fragmentation_triplets": 0,
    "num_margin_images": 0,
    "num_random_planes": 10,
    "num_random_images": 1000,
}
_DEFAULTS = {
    "architectures": _ARCHITECTURES,
    "optimizers": _ARCHITECTURES | {"epochs": 200, "batch_size": 64},
    "double_descent": {
        "network": "resnet18k",
        "optimizer": "adam",
        "epochs": 4000,
        "batch_size": 128,
        "num_triplets": 1000,
        "num_fragmentation_triplets": 1000,
        "num_margin_images": 5000,
        "num_random_planes": 0,
        "num_random_images": 0,
    },
}
_SEEDS = ("init_seed", "order_seed", "augmentation_seed")
WIDTH, POINTS, COUNT_OR_NONE = Limits(1, 10**5), Limits(2, 10**4), Limits(0, 10**6)


def _has_wide_resnet(settings):
    return "wide_resnet" in f"{settings.network} {settings.teacher}"


def _augments(settings):
    return settings.augmentation != "none" or settings.mixup


def _measures_margins(settings):
    number = settings.num_margin_images
    return settings.protocol == "double_descent" if number is None else number > 0


_OF_STUDENTS = {"applies_to": lambda settings: settings.teacher is not None, "needs": "--teacher"}
_OF_MARGINS = {"applies_to": _measures_margins, "needs": "--num_margin_images"}


@dataclasses.dataclass(frozen=True)
class Settings(ImageSettings):
    """One training run of one network, and the planes on which it is measured at the end.

    Fields that are None take a default that depends on other fields; `resolve` fills them in.
    """

    dataset: str = setting(
        "cifar10",
        "Images: cifar10 in the format of tensorflow-datasets (see --data_dir), or synthetic, which is "
        "generated, for trying things out.",
        choices=("cifar10", "synthetic"),
    )
    protocol: str = setting(
        "architectures",
        "Study whose settings fill in what no flag sets: architectures (SGD, 100 epochs), optimizers "
        "(batch 64, 200 epochs) or double_descent (ResNet18k, Adam at 1e-4, 4,000 epochs).",
        choices=PROTOCOLS,
    )
    network: str | None = setting(None, "Network; by default the protocol's.", choices=tuple(NETWORK_NAMES))
    width: int | None = setting(
        None,
        "Width in the network's own unit (width factor of a Wide ResNet, channels of the stem, growth of "
        "DenseNet, channels of a token, units of the first layer); by default the published one.",
        limits=WIDTH,
    )
    depth: int | None = setting(
        None,
        "Layers of a Wide ResNet, 4 plus a multiple of 6; by default the published 28.",
        applies_to=_has_wide_resnet,
        limits=Limits(10, 1000),
        needs="a Wide ResNet as --network or --teacher",
    )
    optimizer: str | None = setting(
        None,
        "Optimizer: sgd with momentum 0.9, or adam with epsilon 1e-8; by default the protocol's.",
        choices=("sgd", "adam"),
    )
    schedule: str | None = setting(
        None,
        "Learning rate over the epochs: a tenth at 37, 62 and 87 of 100 epochs (step; of one or two epochs "
        "at the first or second), half a cosine over all of them, the same over 200 epochs and back, again "
        "and again, as in the official code of double_descent (cosine_200), or constant; by default step "
        "for sgd, cosine for sgd in double_descent, and constant for adam.",
        choices=("step", "cosine", "cosine_200", "constant"),
    )
    sam_radius: float = setting(
        0.0,
        "Radius of sharpness-aware minimization (Foret et al. 2021); 0 is plain training.",
        # The tables of the optimizers compare it with plain training.
        applies_to=lambda settings: settings.sam_radius > 0 or settings.protocol != "optimizers",
        needs="a run of the figure that has one",
        limits=Limits(0.0),
    )
    mixup: bool = setting(False, "Trains on mixtures of two images, their shares drawn uniformly.")
    augmentation: str = setting(
        "pad_crop_flip",
        "Training images: a random crop of 32 pixels from 40 and a random flip, or as they are. Planes are "
        "always made of images as they are.",
        choices=("pad_crop_flip", "none"),
    )
    label_noise_rule: str = setting(
        "somepalli",
        "Which labels are wrong with --label_noise: the same number in every class, drawn with a fixed seed "
        "(somepalli), or each with this probability (nakkiran).",
        choices=("somepalli", "nakkiran"),
        applies_to=lambda settings: bool(settings.label_noise),
        needs="--label_noise",
    )
    checkpoint: str = setting(
        "last",
        "Which network is measured: the last one, or that of the epoch with the best test accuracy, as the "
        "released code does.",
        choices=("last", "best_test"),
    )
    evaluate_every: int | None = setting(
        None,
        "Also measures the test set every so many epochs; by default only at the end.",
        limits=COUNT,
        applies_to=lambda settings: settings.checkpoint == "last",
        needs="--checkpoint=last; the best one is chosen by a test after every epoch",
    )
    init_seed: int | None = setting(
        None, "Seed of the initial weights and of dropout alone; by default --seed.", limits=SEED
    )
    order_seed: int | None = setting(
        None, "Seed of the order of the training images alone; by default --seed.", limits=SEED
    )
    augmentation_seed: int | None = setting(
        None,
        "Seed of crops, flips and mixtures alone; by default --seed.",
        limits=SEED,
        applies_to=_augments,
        needs="--augmentation or --mixup",
    )
    data_seed: int = setting(
        1,
        "Seed of the part of the data set, of nakkiran's label noise and of what is measured on.",
        limits=SEED,
    )
    distillation: str | None = setting(
        None,
        "What a student learns from its teacher: probabilities at --temperature (kl), the same as a mean "
        "over the classes, as the released code has it (kl_mean), or logits by their mean squared "
        "difference; by default kl if there is a --teacher.",
        choices=DISTILLATIONS,
        **_OF_STUDENTS,
    )
    teacher: str | None = setting(
        None,
        "Network that teaches this one; it is trained first, like this one but without a teacher and at its "
        "own rate, unless --out_dir holds its weights.",
        choices=tuple(NETWORK_NAMES),
    )
    teacher_width: int | None = setting(
        None, "Width of the teacher; by default the published one.", limits=WIDTH, **_OF_STUDENTS
    )
    teacher_seed: int | None = setting(
        None,
        "Root seed of the teacher's run; by default --init_seed, or else --seed, plus 1.",
        limits=SEED,
        **_OF_STUDENTS,
    )
    temperature: float | None = setting(
        None,
        "Temperature of distillation by kl or kl_mean; by default 30.",
        limits=POSITIVE,
        applies_to=lambda settings: settings.teacher is not None and settings.distillation != "logits",
        needs="--teacher, and --distillation=kl or kl_mean",
    )
    pictures: str | None = setting(
        None,
        "Planes that are drawn with many points: those of figures 1 and 2 (planes), also those of the mixup "
        "figure, or those of figures 7 to 9 (double_descent); by default mixup for ResNet18, planes or "
        "double_descent by the protocol.",
        choices=tuple(PICTURES),
    )
    window: str = setting(
        "code",
        "Part of a plane that is seen: as in the released code, or in the paper's formula, which leaves an "
        "image out where the angle at the first is obtuse.",
        choices=("code", "paper"),
    )
    resolution: int = setting(50, "Points along each axis of the planes of all scores.", limits=POINTS)
    picture_resolution: int = setting(500, "Points along each axis of the planes of pictures.", limits=POINTS)
    picture_overhang: float = setting(
        0.5,
        "Part of each axis by which pictures go beyond their images: 0.5 as in the released scripts, 0.1 as "
        "in the paper's text.",
        limits=Limits(0.0, 10.0),
        absent=0.5,
    )
    num_triplets: int | None = setting(
        None,
        "Planes for reproducibility; by default 500, 1,000 in double_descent.",
        limits=COUNT,
    )
    triplets: str = setting(
        "ours",
        "Images of these planes: test images of three classes, drawn by NumPy (ours), or from all 10,000 by "
        "Python's generator, whose seed is --data_seed plus the number of the triplet, as in the official "
        "code (released); or any three training images, as the paper's text has it (train).",
        choices=TRIPLETS,
        absent="ours",
    )
    num_fragmentation_triplets: int | None = setting(
        None,
        "Planes of each kind for fragmentation, and pairs for class skips; 0 measures neither.",
        limits=COUNT_OR_NONE,
    )
    num_margin_images: int | None = setting(
        None,
        "Training images, of each kind, whose margin is measured; 0 measures none.",
        limits=Limits(0, MAX_TRAIN),
    )
    margin_direction: str = setting(
        "image",
        "Directions of margins: toward other training images, as in the released code, or Gaussian.",
        choices=("image", "gaussian"),
        **_OF_MARGINS,
    )
    margin_bisections: int = setting(
        0,
        "Number of times the step of the published ladder that holds a boundary is halved.",
        limits=Limits(0, 100),
        **_OF_MARGINS,
    )
    num_random_planes: int | None = setting(
        None,
        "Planes through uniform noise, and as many through images with shuffled pixels.",
        limits=COUNT_OR_NONE,
    )
    num_random_images: int | None = setting(
        None, "Uniform random images on which Lemma 2.1 is measured; 0 measures none.", limits=COUNT_OR_NONE
    )

    @property
    def seeds(self):
        """Root seeds of the streams "init", "order" and "augmentation"."""
        return {
            name: getattr(self, name) if getattr(self, name) is not None else self.seed for name in _SEEDS
        }

    @property
    def optimizer_name(self):
        """Column of the paper's tables: "adam", "sgd" or "sam", over SGD; "sam over adam" is none."""
        if not self.sam_radius:
            return self.optimizer
        return "sam" if self.optimizer == "sgd" else f"sam over {self.optimizer}"

    def resolve(self):
        """Returns these settings with every default filled in; the same run has the same settings.

        Raises:
            UserError: A value is outside its limits or does not go with another one.
        """
        settings = filled(self, _DEFAULTS[self.protocol] | {"label_noise": 0.0})
        settings = filled(
            settings,
            {
                "width": WIDTHS[settings.network],
                "learning_rate": settings._published_rate(),
                "weight_decay": 5e-4 if settings.optimizer == "sgd" else 0.0,
                "schedule": settings._published_schedule(),
                "pictures": settings._default_pictures(),
            },
        )
        settings = settings._with_teacher()._with_depth()
        check_limits(settings)
        settings.check_batch()
        settings._check_combinations()
        return settings._canonical()

    def _published_rate(self):
        if self.protocol == "double_descent":
            return 1e-4 if self.optimizer == "adam" else DEFAULT_SGD_RATE
        plain = self.augmentation == "none"
        if self.optimizer == "adam":
            rates = ADAM_RATES | (PLAIN_ADAM_RATES if plain else {})
            return rates.get(self.network, DEFAULT_ADAM_RATE)
        rates = SGD_RATES if self.protocol == "optimizers" else {}
        return (MATRIX_RATES | rates | (PLAIN_SGD_RATES if plain else {})).get(self.network, DEFAULT_SGD_RATE)

    def _published_schedule(self):
        if self.optimizer == "adam":
            return "constant"
        return "cosine" if self.protocol == "double_descent" else "step"

    def _default_pictures(self):
        if self.protocol == "double_descent":
            return "double_descent"
        return "mixup" if self.network == "resnet18" else "planes"

    def _with_teacher(self):
        if self.teacher is None:
            for name in ("distillation", "teacher_width", "teacher_seed", "temperature"):
                if getattr(self, name) is not None:
                    raise UserError(f"--{name}={getattr(self, name)}: needs --teacher")
            return self
        defaults = {"teacher_width": WIDTHS[self.teacher], "teacher_seed": self.seeds["init_seed"] + 1}
        settings = filled(self, defaults | {"distillation": "kl"})
        if settings.distillation != "logits":
            return filled(settings, {"temperature": 30.0})
        if self.temperature is not None:
            raise UserError(f"--temperature={self.temperature}: needs --distillation=kl or kl_mean")
        return settings

    def _with_depth(self):
        if _has_wide_resnet(self):
            return filled(self, {"depth": WIDE_RESNET_DEPTH})
        return dataclasses.replace(self, depth=None)

    def _canonical(self):
        """One run has one folder: `seed` is that of the initial weights, idle settings are at defaults."""
        seeds = self.seeds
        seed = seeds.pop("init_seed")
        values = {name: None if value == seed else value for name, value in seeds.items()}
        values |= {"seed": seed, "init_seed": None}
        if not self.label_noise:
            values["label_noise_rule"] = "somepalli"
        if not self.num_margin_images:
            values |= {"margin_direction": "image", "margin_bisections": 0}
        return dataclasses.replace(self, **values)

    def teacher_settings(self):
        """The resolved settings of the run that trains this one's teacher: an ordinary run."""
        plain = {"distillation": None, "teacher": None, "teacher_width": None, "teacher_seed": None}
        plain |= {"temperature": None}
        automatic = {"learning_rate": None, "order_seed": None, "augmentation_seed": None, "pictures": None}
        return dataclasses.replace(
            self, network=self.teacher, width=self.teacher_width, seed=self.teacher_seed, **plain, **automatic
        ).resolve()

    def _check_combinations(self):
        if self.depth is not None and (self.depth - 4) % 6:
            raise UserError(f"--depth={self.depth}: must be 4 plus a positive multiple of 6")
        for flag, network, width in (
            ("width", self.network, self.width),
            ("teacher_width", self.teacher, self.teacher_width),
        ):
            unit = {"vit": 8, "fully_connected": 16}.get(network, 1)
            if network and width % unit:
                raise UserError(f"--{flag}={width}: {network} takes multiples of {unit}")
        if self.triplets == "released" and self.num_test not in (None, NUM_TEST):
            raise UserError(
                f"--triplets=released: is drawn from all {NUM_TEST:,} test images, not from "
                f"--num_test={self.num_test}; --num_test={NUM_TEST} takes all"
            )
        if self.teacher and self.mixup:
            raise UserError("--mixup: not with --teacher, whose targets are not labels")
