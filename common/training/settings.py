"""The settings that all image papers share, with one spelling of their flags. Loads no TensorFlow."""

import dataclasses
import math

from common.errors import UserError
from common.program import setting

DATASETS = ("cifar10", "cifar100", "synthetic")
OPTIMIZERS = ("sgd", "adam")
NUM_TRAIN = 50_000  # training images of each data set
_SIZES = {"num_train": NUM_TRAIN, "num_test": 10_000}


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """Data, optimizer and length of a training run; a paper's settings add to it and set its defaults."""

    dataset: str = setting(
        "cifar10",
        "Images: cifar10 or cifar100 in the format of tensorflow-datasets (see --data_dir), or synthetic, "
        "which is generated, for trying things out.",
        choices=DATASETS,
    )
    num_train: int | None = setting(
        None, "Number of training images, drawn with equal classes; by default all of them."
    )
    num_test: int | None = setting(None, "Number of test images; by default all of them.")
    epochs: int | None = setting(None, "Passes over the training images, at most.")
    batch_size: int | None = setting(None, "Images in a mini-batch, over all replicas.")
    optimizer: str = setting(
        "sgd", "Optimizer: sgd with momentum 0.9, or adam with epsilon 1e-8.", choices=OPTIMIZERS
    )
    learning_rate: float | None = setting(None, "Learning rate of the first epoch.")
    weight_decay: float | None = setting(
        None, "Coefficient of (1/2) times the squared norm of all weights in the loss."
    )
    label_noise: float | None = setting(
        None, "Part of the training labels that is corrupted, from 0 to 1, by the paper's rule."
    )
    evaluate_every: int | None = setting(
        None, "Also measures the test set every so many epochs; by default only at the end."
    )
    seed: int = setting(0, "Root seed of every random stream.")

    def check_limits(self):
        """Refuses values outside their limits; called on resolved settings.

        Raises:
            UserError: One line that names the flag and the limits.
        """
        for name in ("num_train", "num_test", "epochs", "batch_size", "evaluate_every"):
            value, most = getattr(self, name), _SIZES.get(name, math.inf)
            if value is not None and value < 1:
                raise UserError(f"--{name}={value}: must be at least 1")
            if value is not None and value > most:
                raise UserError(f"--{name}={value}: must be from 1 to {most}")
        if not 0 <= self.seed < 2**63:
            raise UserError(f"--seed={self.seed}: must be from 0 to 2^63 - 1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise UserError(f"--learning_rate={self.learning_rate}: must be a finite number above 0")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise UserError(f"--weight_decay={self.weight_decay}: must be a finite number, 0 or above")
        if not 0 <= self.label_noise <= 1:
            raise UserError(f"--label_noise={self.label_noise}: must be from 0 to 1")
        num_train = self.num_train or NUM_TRAIN
        if self.batch_size > num_train:
            raise UserError(
                f"--batch_size={self.batch_size}: larger than the training set of {num_train:,} images"
            )
