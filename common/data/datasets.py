"""The image data sets: their names, sizes, numbers of classes and statistics. Loads no TensorFlow."""

import dataclasses
import os
import pathlib

# Mean and standard deviation in use in the official code of Somepalli et al. 2022 and Gamba et al. 2022
# (somepago/dbViz, data.py; magamba/double_descent, core/data.py). The deviations of CIFAR-10 are means over
# images of the deviation within an image; those of all pixels are (0.2470, 0.2435, 0.2616).
CIFAR10_MEAN = (0.4914, 0.4822, 0.4465)
CIFAR10_STD = (0.2023, 0.1994, 0.2010)
CIFAR100_MEAN = (0.5071, 0.4865, 0.4409)
CIFAR100_STD = (0.2009, 0.1984, 0.2023)


@dataclasses.dataclass(frozen=True)
class Dataset:
    """What is known of a data set before it is read.

    Args:
        title: How it is called in pictures.
        num_classes: Its number of classes.
        mean: Mean of each channel of images in [0, 1], with which they are normalized.
        std: The deviation of each channel.
        num_train: Number of its training images.
        num_test: Number of its test images.
        from_files: Whether tensorflow-datasets has it; else it is generated.
    """

    title: str
    num_classes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    num_train: int = 50_000
    num_test: int = 10_000
    from_files: bool = True

    @property
    def chance(self) -> float:
        """Accuracy of a guess, in percent."""
        return 100 / self.num_classes


DATASETS = {
    "cifar10": Dataset("CIFAR-10", 10, CIFAR10_MEAN, CIFAR10_STD),
    "cifar100": Dataset("CIFAR-100", 100, CIFAR100_MEAN, CIFAR100_STD),
    "synthetic": Dataset("synthetic images", 10, CIFAR10_MEAN, CIFAR10_STD, from_files=False),
}
MAX_TRAIN = max(dataset.num_train for dataset in DATASETS.values())
MAX_TEST = max(dataset.num_test for dataset in DATASETS.values())


def root_folder(data_dir: str | None) -> pathlib.Path:
    """Returns the folder of the data sets: the one given, else that of tensorflow-datasets."""
    root = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(os.path.expanduser(root))  # pathlib's own fails for a user that is not known
