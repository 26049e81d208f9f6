"""The settings that all image papers share, with one spelling of their flags. Loads no TensorFlow."""

import dataclasses

from common.data.datasets import DATASETS, NUM_TEST, NUM_TRAIN
from common.errors import UserError
from common.setting import POSITIVE, SEED, Limits, setting

OPTIMIZERS = ("sgd", "adam")


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
        None,
        "Number of training images, drawn with equal classes; by default all of them.",
        limits=Limits(1, NUM_TRAIN),
    )
    num_test: int | None = setting(
        None, "Number of test images; by default all of them.", limits=Limits(1, NUM_TEST)
    )
    epochs: int | None = setting(None, "Passes over the training images, at most.", limits=Limits(1))
    batch_size: int | None = setting(None, "Images in a mini-batch, over all replicas.", limits=Limits(1))
    optimizer: str = setting(
        "sgd", "Optimizer: sgd with momentum 0.9, or adam with epsilon 1e-8.", choices=OPTIMIZERS
    )
    learning_rate: float | None = setting(None, "Learning rate of the first epoch.", limits=POSITIVE)
    weight_decay: float | None = setting(
        None,
        "Coefficient of (1/2) times the squared norm of all weights in the loss.",
        limits=Limits(0.0),
    )
    label_noise: float | None = setting(
        None,
        "Fraction of the training labels that is corrupted by the paper's rule.",
        limits=Limits(0, 1),
    )
    evaluate_every: int | None = setting(
        None,
        "Also measures the test set every so many epochs; by default only at the end.",
        limits=Limits(1),
    )
    seed: int = setting(0, "Root seed of every random stream.", limits=SEED)

    def check_batch(self):
        """Refuses a batch that the training images cannot fill; called on resolved settings.

        Raises:
            UserError: One line that names the flag.
        """
        num_train = self.num_train or NUM_TRAIN
        if self.batch_size > num_train:
            raise UserError(
                f"--batch_size={self.batch_size}: larger than the training set of {num_train:,} images"
            )
