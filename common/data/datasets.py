"""The image data sets: their names, sizes and numbers of classes. Loads no TensorFlow."""

TITLES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100", "synthetic": "synthetic images"}
NUM_CLASSES = {"cifar10": 10, "cifar100": 100, "synthetic": 10}
DATASETS = tuple(TITLES)
FILE_DATASETS = ("cifar10", "cifar100")  # the others are generated
NUM_TRAIN, NUM_TEST = 50_000, 10_000  # images of each
