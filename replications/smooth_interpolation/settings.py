"""Settings of Gamba et al. 2022 (arXiv 2209.10080): one network of one width, and how it is measured.

Importing this module loads no TensorFlow, so that wrong flags are refused at once.
"""

import dataclasses
import math

from common.data.datasets import DATASETS, MAX_TRAIN
from common.errors import UserError
from common.study.setting import POSITIVE, SEED, Limits, check_limits, filled, idle_value, setting
from common.training.settings import COUNT, ON_IMAGES, ImageSettings
from replications.smooth_interpolation.signals import SIGNALS

PROTOCOL_VERSION = 2

IMAGE_NETWORKS = ("convnet", "resnet18w")
SCALAR_NETWORKS = ("polynomial", "mlp")
# The smaller side of the images: a channel has so many singular values.
RANK = 32

# Section 4 of the paper; batch, split and initialization are those of the authors' code
# (magamba/double_descent), the ConvNets' rate and warm-up our choice (magamba/overparameterization has them).
_SHARED = {"epochs": 4000, "batch_size": 128, "weight_decay": 0.0}
_NETWORKS = {
    "convnet": {"width": 15, "optimizer": "sgd", "augmentation": "none", "initialization": "pytorch"},
    "resnet18w": {
        "width": 18,
        "optimizer": "adam",
        "augmentation": "pad_crop_flip",
        "initialization": "fixup",
    },
}
_OPTIMIZERS = {
    "sgd": {"learning_rate": 0.005, "warmup_epochs": 5},
    "adam": {"learning_rate": 1e-4, "warmup_epochs": 0},
}
_WARMUP_RATE, _WARMUP_FACTOR = 0.001, 5  # of the paper's ConvNets, whose rate is 0.005
_NUM_LATE, _LATE_PARTS = 4, 50  # after 92, 94, 96 and 98 % of the epochs
_SCALAR = {
    "polynomial": {"degree": 1000, "epochs": 100_000},
    "mlp": {"width": 256, "epochs": 20_000, "learning_rate": 0.02},
}
_SCALAR_FIELDS = ("dataset", "network", "width", "degree", "num_train", "epochs", "learning_rate", "seed")
_SCALAR_FIELDS += ("target_noise", "signal")
_ON_SCALARS = {"applies_to": lambda settings: not settings.of_images, "needs": "--dataset=scalar"}


def _is_polynomial(settings):
    return not settings.of_images and settings.network != "mlp"


def _warms_up(settings):
    network = _NETWORKS.get(settings.network or "convnet", {})
    optimizer = _OPTIMIZERS.get(settings.optimizer or network.get("optimizer"), {})
    epochs = settings.warmup_epochs
    if not settings.of_images or settings.schedule == "step":
        return False
    return optimizer.get("warmup_epochs") if epochs is None else epochs


def _sets_aside(settings):
    if settings.num_validation is None:
        return settings.of_images and settings.num_train is None and settings.noise == "symmetric"
    return settings.num_validation > 0


_NOT_OF_POLYNOMIALS = {
    "applies_to": lambda settings: not _is_polynomial(settings),
    "needs": "a network with units",
}
_OF_ASYMMETRIC_NOISE = {
    "applies_to": lambda settings: settings.of_images and settings.noise == "asymmetric",
    "needs": "--noise=asymmetric",
}


@dataclasses.dataclass(frozen=True)
class Settings(ImageSettings):
    """One training run of one network, on images or on noisy scalar data.

    Fields that are None take a default that depends on other fields; `resolve` fills them in.
    """

    dataset: str = setting(
        "cifar10",
        "Images: cifar10 or cifar100 in the format of tensorflow-datasets (see --data_dir), or synthetic, "
        "which is generated; or scalar: noisy samples of a --signal on [-1, 1], for figures 1a and 1b.",
        choices=(*DATASETS, "scalar"),
    )
    network: str | None = setting(
        None,
        "Network: the ConvNet without batch normalization or the post-activation ResNet18 for images (by "
        "default the first), a polynomial or a fully connected network for scalar data.",
        choices=(*IMAGE_NETWORKS, *SCALAR_NETWORKS),
    )
    width: int | None = setting(
        None,
        "Base width: channels of the first stage, or units of each of three hidden layers; by default the "
        "published interpolation threshold, 15 (ConvNet) or 18 (ResNet18).",
        limits=Limits(1, 10**5),
        **_NOT_OF_POLYNOMIALS,
    )
    degree: int | None = setting(
        None,
        "Degree of the polynomial; by default 1,000.",
        limits=Limits(0, 10**5),
        applies_to=_is_polynomial,
        needs="--dataset=scalar --network=polynomial",
    )
    initialization: str | None = setting(
        None,
        "Initial weights: PyTorch's default, the only one of the ConvNet; for ResNet18 also Fixup (its "
        "default), Fixup with small normals in place of zeros (mfixup), or He normals.",
        choices=("pytorch", "fixup", "mfixup", "he_normal"),
        applies_to=lambda settings: settings.network == "resnet18w",
        needs="--network=resnet18w; the ConvNet has PyTorch's alone",
    )
    pooling: str = setting(
        "max",
        "Pooling of the ConvNet: the maximum, or the average, as in the code of the authors' next paper.",
        choices=("max", "average"),
        absent="max",
        applies_to=lambda settings: settings.of_images and settings.network in (None, "convnet"),
        needs="--network=convnet",
    )
    shortcuts: str = setting(
        "plain",
        "Shortcuts of ResNet18 that change shape: without normalization, as in the official code (plain), or "
        "with it, as in He et al. 2015, whose network the text names (normalized).",
        choices=("plain", "normalized"),
        absent="plain",
        applies_to=lambda settings: settings.network == "resnet18w",
        needs="--network=resnet18w",
    )
    optimizer: str | None = setting(
        None,
        "Optimizer: sgd with momentum 0.9 (default of the ConvNet), or adam with epsilon 1e-8 (default of "
        "ResNet18).",
        choices=("sgd", "adam"),
        **ON_IMAGES,
    )
    learning_rate: float | None = setting(
        None, "Learning rate of the first epoch.", limits=POSITIVE, **_NOT_OF_POLYNOMIALS
    )
    schedule: str = setting(
        "constant",
        "Learning rate after the warm-up: constant, as in the paper, or a fifth every 150 epochs (step), the "
        "default of the official code, where the first one is 0.1.",
        choices=("constant", "step"),
        absent="constant",
        **ON_IMAGES,
    )
    warmup_epochs: int | None = setting(
        None,
        "Epochs in which the learning rate rises linearly; by default 5 with sgd, 0 with adam or "
        "--schedule=step, as in the official code.",
        limits=Limits(0, 10**6),
        applies_to=lambda settings: settings.of_images and settings.schedule == "constant",
        needs="--schedule=constant",
    )
    warmup_rate: float | None = setting(
        None,
        "Learning rate of the first epoch of the warm-up; by default 0.001, or a fifth of --learning_rate if "
        "that is less.",
        limits=POSITIVE,
        applies_to=_warms_up,
        needs="--warmup_epochs",
    )
    augmentation: str | None = setting(
        None,
        "Training images: as they are (default of the ConvNet), or a random crop of 32 pixels from 40 and a "
        "random flip (default of ResNet18).",
        choices=("none", "pad_crop_flip"),
        **ON_IMAGES,
    )
    noise: str = setting(
        "symmetric",
        "Which labels are wrong: --label_noise of all (symmetric), or --corrupted_fraction of those of some "
        "classes (asymmetric); the new label is uniform over the other classes.",
        choices=("symmetric", "asymmetric"),
        **ON_IMAGES,
    )
    num_corrupted_classes: int | None = setting(
        None,
        "Classes with wrong labels under asymmetric noise; by default a fifth of all classes.",
        **_OF_ASYMMETRIC_NOISE,
    )
    corrupted_fraction: float | None = setting(
        None,
        "Fraction of the labels of these classes that is wrong; by default 0.8.",
        limits=Limits(0, 1),
        **_OF_ASYMMETRIC_NOISE,
    )
    corrupted_classes: str | None = setting(
        None,
        "Which classes these are: drawn at random (the default), as the paper says, or the first ones, as "
        "its code does.",
        choices=("random", "first"),
        **_OF_ASYMMETRIC_NOISE,
    )
    num_validation: int | None = setting(
        None,
        "Training images that are set aside with their true labels; by default 1,000 of the whole data set "
        "with symmetric noise, else none.",
        limits=Limits(0, MAX_TRAIN),
        **ON_IMAGES,
    )
    num_samples: int | None = setting(
        None,
        "Training images around which accuracy, loss and sharpness are measured; by default all.",
        limits=Limits(1, MAX_TRAIN),
        **ON_IMAGES,
    )
    num_paths: int = setting(
        4,
        "Paths of erasure from each of these images, P in the paper.",
        limits=Limits(1, RANK),
        **ON_IMAGES,
    )
    strengths: str = setting(
        "5-10-15-20-22-25",
        "Numbers of singular values that are erased at the anchors of a path, rising and joined by hyphens.",
        **ON_IMAGES,
    )
    num_copies: int = setting(
        4,
        "Copies with changed colours at each point for the tangent Hessian norm, M in the paper.",
        limits=Limits(1, 1000),
        **ON_IMAGES,
    )
    colour_clip: str = setting(
        "none",
        "Whether changed colours are clipped to [0, 1] after each operation, as in the official code (code), "
        "or not at all, like the erasures that they are compared with (none).",
        choices=("none", "code"),
        absent="none",
        **ON_IMAGES,
    )
    hessian_step: str = setting(
        "code",
        "Points of the tangent Hessian norm: the copies with changed colours, as in the official code, or a "
        "tenth of the way to them, as in eq. 5 (paper); both with the code's prefactor.",
        choices=("code", "paper"),
        absent="code",
        **ON_IMAGES,
    )
    num_checkpoints: int | None = setting(
        None,
        "Also measures test set and sharpness at the training images after so many epochs, evenly spread on "
        "a logarithmic scale, beside those of --evaluate_every, and four times in the last tenth of the "
        "epochs; by default at the end alone.",
        limits=COUNT,
        **ON_IMAGES,
    )
    stand_in_for: str | None = setting(
        None,
        "Names the data set that a run's images stand in for, in its record and pictures; changes no number.",
        choices=("cifar100",),
        **ON_IMAGES,
    )
    target_noise: float | None = setting(
        None,
        "Standard deviation of the noise on scalar targets; by default 0.12 on a sine and 0.3 on a cubic.",
        limits=Limits(0.0),
        **_ON_SCALARS,
    )
    signal: str | None = setting(
        None,
        "Noise-free function of scalar data: sine, one period through even points, as in the authors' "
        "pictures, and the default; or cubic, through points at random, as in the example that they name.",
        choices=tuple(SIGNALS),
        absent="cubic",
        **_ON_SCALARS,
    )
    data_seed: int = setting(
        0,
        "Seed of the part of the data set alone, the same for all --seed.",
        limits=SEED,
        applies_to=lambda settings: settings.of_images and (settings.num_train or settings.num_test),
        needs="--num_train or --num_test: the whole data set needs no draw",
    )
    split_seed: int = setting(
        42,
        "Seed of the split in training and validation images alone.",
        limits=SEED,
        applies_to=_sets_aside,
        needs="--num_validation",
    )
    label_seed: int = setting(
        0,
        "Seed of the label noise alone.",
        limits=SEED,
        applies_to=lambda settings: settings.of_images and settings.label_noise != 0,
        needs="--label_noise",
    )
    measurement_seed: int = setting(
        0, "Seed of the measured images and of their changed colours alone.", limits=SEED, **ON_IMAGES
    )

    @property
    def of_images(self):
        """Whether it is a run on images, not on scalar data."""
        return self.dataset != "scalar"

    @property
    def erased(self):
        """The numbers of erased singular values, a tuple.

        Raises:
            UserError: `strengths` is not a rising list of positive whole numbers.
        """
        parts = self.strengths.split("-") if self.strengths else []
        try:
            numbers = tuple(int(part) for part in parts)
        except ValueError:
            numbers = (0,)
        if any(low >= high for low, high in zip((0, *numbers), numbers, strict=False)):
            raise UserError(
                f"--strengths={self.strengths}: must be rising positive whole numbers joined by hyphens, "
                "such as 5-10-15"
            )
        return numbers

    @property
    def checkpoint_epochs(self):
        """The epochs after which a resolved run is also measured, in order and without the last."""
        count, last = self.num_checkpoints, self.epochs
        chosen = set(range(0, last, self.evaluate_every)) if self.evaluate_every else set()
        if count:
            chosen |= {round(last ** (i / count)) for i in range(count)}
        return sorted(chosen - {0, last})

    @property
    def late_epochs(self):
        """Further epochs of the last tenth of a resolved run: a network may leap in the very last one.

        They are no setting of their own: what they add to a record changes none of its numbers.
        """
        if not self.num_checkpoints:
            return []
        late = {round(self.epochs * (1 - part / _LATE_PARTS)) for part in range(1, 1 + _NUM_LATE)}
        return sorted(late - {0, self.epochs} - set(self.checkpoint_epochs))

    def resolve(self):
        """Returns these settings with every default filled in.

        Raises:
            UserError: A value is outside its limits or does not go with another one.
        """
        check_limits(self)  # before anything follows from a number
        if self.dataset == "scalar":
            return self._resolve_scalar()
        return self._resolve_images()

    def _resolve_scalar(self):
        network = self.network or "polynomial"
        if network not in SCALAR_NETWORKS:
            raise UserError(f"--network={network}: with --dataset=scalar it is one of polynomial, mlp")
        defaults = {"network": network, "num_train": 20, "signal": "sine"} | _SCALAR[network]
        resolved = filled(self, defaults)
        resolved = filled(resolved, {"target_noise": SIGNALS[resolved.signal].noise})
        foreign = ("width", "learning_rate") if network == "polynomial" else ("degree",)
        idle = {}
        for field in dataclasses.fields(self):
            if field.name in _SCALAR_FIELDS and field.name not in foreign:
                continue
            idle[field.name] = idle_value(field)
            if getattr(self, field.name) not in (field.default, idle[field.name]):
                raise UserError(f"--{field.name}: not with --dataset=scalar --network={network}")
        if resolved.num_train < 2:
            raise UserError(f"--num_train={self.num_train}: must be at least 2 with --dataset=scalar")
        return dataclasses.replace(resolved, **idle)

    def _resolve_images(self):
        network = self.network or "convnet"
        if network not in IMAGE_NETWORKS:
            raise UserError(f"--network={network}: only with --dataset=scalar")
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            is_scalars = field.name in ("degree", "target_noise", "signal")
            if is_scalars and value not in (None, idle_value(field)):
                raise UserError(f"--{field.name}: only with --dataset=scalar")
        resolved = filled(self, {"signal": "cubic"})  # what keeps it out of the identity
        resolved = filled(resolved, _NETWORKS[network] | _SHARED | {"network": network})
        defaults = _OPTIMIZERS[resolved.optimizer]
        if self.schedule == "step":
            defaults = defaults | {"warmup_epochs": 0}
        resolved = filled(resolved, defaults)._with_warmup()._with_noise()
        whole = resolved.num_train is None and resolved.noise == "symmetric"
        resolved = filled(resolved, {"num_validation": 1000 if whole else 0})
        resolved.check_batch()
        resolved._check_images()
        if resolved.stand_in_for == resolved.dataset:
            resolved = dataclasses.replace(resolved, stand_in_for=None)
        return resolved

    def _with_warmup(self):
        if self.warmup_epochs and self.schedule == "step":
            raise UserError(f"--warmup_epochs={self.warmup_epochs}: not with --schedule=step")
        if self.warmup_epochs:
            warmed = filled(self, {"warmup_rate": min(_WARMUP_RATE, self.learning_rate / _WARMUP_FACTOR)})
            if warmed.warmup_rate > warmed.learning_rate:
                raise UserError(
                    f"--warmup_rate={warmed.warmup_rate}: must be at most the learning rate, "
                    f"{warmed.learning_rate:g}"
                )
            return warmed
        if self.warmup_rate is not None:
            raise UserError(f"--warmup_rate={self.warmup_rate}: needs --warmup_epochs")
        return self

    def _with_noise(self):
        """These settings with the part of wrong labels, whichever kind of noise it is."""
        asymmetric = ("num_corrupted_classes", "corrupted_fraction", "corrupted_classes")
        if self.noise == "symmetric":
            for name in asymmetric:
                if getattr(self, name) is not None:
                    raise UserError(f"--{name}: only with --noise=asymmetric")
            return filled(self, {"label_noise": 0.2})
        num_classes = DATASETS[self.dataset].num_classes
        defaults = {"num_corrupted_classes": num_classes // 5, "corrupted_fraction": 0.8}
        resolved = filled(self, defaults | {"corrupted_classes": "random"})
        if not 0 <= resolved.num_corrupted_classes <= num_classes:
            raise UserError(
                f"--num_corrupted_classes={resolved.num_corrupted_classes}: must be from 0 to {num_classes}"
            )
        fraction = resolved.corrupted_fraction
        if 0 < fraction * (self.train_size // num_classes) < 1:
            raise UserError(
                f"--num_train={self.train_size}: leaves {self.train_size // num_classes} images of a class, "
                f"of which --corrupted_fraction={fraction:g} is none"
            )
        noise = resolved.num_corrupted_classes * fraction / num_classes
        if self.label_noise is not None and not math.isclose(self.label_noise, noise):
            raise UserError(
                f"--label_noise={self.label_noise}: with --noise=asymmetric it follows from "
                "--num_corrupted_classes and --corrupted_fraction"
            )
        return dataclasses.replace(resolved, label_noise=noise)

    def _check_images(self):
        if self.network == "convnet" and self.initialization != "pytorch":
            raise UserError(f"--initialization={self.initialization}: the ConvNet has PyTorch's alone")
        if self.network == "convnet" and self.shortcuts != "plain":
            raise UserError(f"--shortcuts={self.shortcuts}: the ConvNet has none")
        if self.network != "convnet" and self.pooling != "max":
            raise UserError(f"--pooling={self.pooling}: only with --network=convnet")
        if self.warmup_epochs == 1:
            raise UserError("--warmup_epochs=1: must be 0, or at least 2")
        needed = max((*self.erased, 1)) + self.num_paths - 1
        if needed > RANK:
            raise UserError(
                f"--num_paths={self.num_paths} --strengths={self.strengths}: need {needed} singular values, "
                f"but an image has {RANK}; lower one of them"
            )
        left = self.train_size - self.num_validation
        if left < self.batch_size:
            raise UserError(
                f"--num_validation={self.num_validation}: leaves {left} training images, fewer than a "
                f"batch of {self.batch_size}"
            )
        if (self.num_samples or 1) > left:
            raise UserError(f"--num_samples={self.num_samples}: must be from 1 to {left}")
