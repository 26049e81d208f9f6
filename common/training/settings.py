"""The settings that all image papers share, with one spelling of their flags. Loads no TensorFlow."""

import dataclasses
from typing import Any, Self

from ..data.datasets import DATASETS, MAX_TEST, MAX_TRAIN
from ..errors import UserError
from ..study.setting import POSITIVE, SEED, Limits, setting

OPTIMIZERS = ("sgd", "adam")
COUNT = Limits(1, 10**6)  # of epochs, images or planes: more is a slip of the finger


def of_images(settings: "ImageSettings") -> bool:
    """Whether a run is on images."""
    return settings.of_images


ON_IMAGES: dict[str, Any] = {"applies_to": of_images, "needs": "a data set of images"}
OF_TRAINING: dict[str, Any] = {
    "applies_to": lambda settings: settings.trains,
    "needs": "a network that is trained",
}
_OF_TRAINING_ON_IMAGES: dict[str, Any] = {
    "applies_to": lambda settings: settings.of_images and settings.trains,
    "needs": "a data set of images and a network that is trained",
}


@dataclasses.dataclass(frozen=True)
class ImageSettings:
    """Data, optimizer and length of a training run; a paper's settings add to it and set its defaults."""

    dataset: str = setting(
        "cifar10",
        "Images: cifar10 or cifar100 in the format of tensorflow-datasets (see --data_dir), or synthetic, "
        "which is generated, for trying things out.",
        choices=tuple(DATASETS),
    )
    num_train: int | None = setting(
        None,
        "Number of training images, drawn with equal classes; by default all of them.",
        limits=Limits(1, MAX_TRAIN),
    )
    num_test: int | None = setting(
        None,
        "Number of test images; by default all of them.",
        limits=Limits(1, MAX_TEST),
        **ON_IMAGES,
    )
    epochs: int | None = setting(
        None, "Passes over the training images, at most.", limits=COUNT, **OF_TRAINING
    )
    batch_size: int | None = setting(
        None, "Images in a mini-batch, over all replicas.", limits=Limits(1), **_OF_TRAINING_ON_IMAGES
    )
    optimizer: str = setting(
        "sgd",
        "Optimizer: sgd with momentum 0.9, or adam with epsilon 1e-8.",
        choices=OPTIMIZERS,
        **_OF_TRAINING_ON_IMAGES,
    )
    learning_rate: float | None = setting(
        None, "Learning rate of the first epoch.", limits=POSITIVE, **OF_TRAINING
    )
    weight_decay: float | None = setting(
        None,
        "Coefficient of (1/2) times the squared norm of all weights in the loss.",
        limits=Limits(0.0),
        **_OF_TRAINING_ON_IMAGES,
    )
    label_noise: float | None = setting(
        None,
        "Fraction of the training labels that is corrupted by the paper's rule.",
        limits=Limits(0, 1),
        **ON_IMAGES,
    )
    evaluate_every: int | None = setting(
        None,
        "Also measures the test set every so many epochs; by default only at the end.",
        limits=COUNT,
        **_OF_TRAINING_ON_IMAGES,
    )
    seed: int = setting(0, "Root seed of every random stream.", limits=SEED)

    def resolve(self) -> Self:
        """Returns these settings with every default filled in; each paper has its own."""
        raise NotImplementedError

    @property
    def of_images(self) -> bool:
        """Whether it is a run on images; a paper may have others as well."""
        return True

    @property
    def trains(self) -> bool:
        """Whether its network is trained, and not computed; a paper may have both."""
        return True

    @property
    def needs_files(self) -> bool:
        """Whether its images are read from files."""
        return self.dataset in DATASETS and DATASETS[self.dataset].from_files

    @property
    def train_size(self) -> int:
        """Number of training images, of the whole data set by default."""
        return self.num_train or DATASETS[self.dataset].num_train

    @property
    def test_size(self) -> int:
        """Number of test images, of the whole data set by default."""
        return self.num_test or DATASETS[self.dataset].num_test

    def check_batch(self) -> None:
        """Refuses a batch that the training images cannot fill; called on resolved settings.

        Raises:
            UserError: One line that names the flag.
        """
        assert self.batch_size is not None
        if self.batch_size > self.train_size:
            raise UserError(
                f"--batch_size={self.batch_size}: larger than the training set of {self.train_size:,} images"
            )
