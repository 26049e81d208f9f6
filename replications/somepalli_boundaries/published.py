"""What Somepalli et al. 2022 and their released code (somepago/dbViz) fix: networks, rates, images, tables.

Image numbers count the training images of CIFAR-10 in the order of the original files, as the identifiers of
`tensorflow_datasets` do. Positions in lists that the released scripts use are resolved to numbers here.
"""

import dataclasses

import numpy as np

from common.data.datasets import DATASETS

NUM_TRAIN, NUM_TEST = DATASETS["cifar10"].num_train, DATASETS["cifar10"].num_test

# Order and names of the published matrix.
NETWORK_NAMES = {
    "wide_resnet_30": "WideRN30",
    "wide_resnet_20": "WideRN20",
    "wide_resnet_10": "WideRN10",
    "resnet18": "ResNet18",
    "densenet121": "DenseNet",
    "vgg19": "VGG",
    "vit": "ViT",
    "mlp_mixer": "MLPMixer",
    "fully_connected": "FullyCon",
    "resnet18k": "ResNet18k",
}
MATRIX_NETWORKS = tuple(NETWORK_NAMES)[:9]
WIDE_RESNETS = MATRIX_NETWORKS[:3]
CONVOLUTIONAL = MATRIX_NETWORKS[:6]

# The width of each published network, in its own unit: width factor of the Wide ResNets (the number in
# their names; the depth is always 28), channels of the stem, growth, channels of a token, first layer.
WIDTHS = {
    "wide_resnet_30": 30,
    "wide_resnet_20": 20,
    "wide_resnet_10": 10,
    "resnet18": 64,
    "densenet121": 32,
    "vgg19": 64,
    "vit": 512,
    "mlp_mixer": 512,
    "fully_connected": 1024,
    "resnet18k": 64,
}
WIDE_RESNET_DEPTH = 28

# train_optimizers.sh; the sharpness-aware runs have the rates of plain SGD.
OPTIMIZER_NETWORKS = ("resnet18", "vgg19", "mlp_mixer", "vit")
SGD_RATES = {"resnet18": 0.05, "vit": 0.02, "mlp_mixer": 0.02, "vgg19": 0.005}
ADAM_RATES = {"resnet18": 0.001, "vit": 0.001, "mlp_mixer": 0.001, "vgg19": 0.002}
# Rates of the matrix: MLPMixer's is that of train.sh, whose loop over five seeds writes the networks that it
# measures. The others are not published: the code's default, 0.1, where networks train with it; those of the
# optimizer runs for VGG and ViT; 0.01 for the fully connected network.
MATRIX_RATES = {"vgg19": 0.005, "vit": 0.02, "mlp_mixer": 0.01, "fully_connected": 0.01}
# Without augmentation, which is not the paper's protocol: with the rates above the narrow ViT of the laptop
# scale fits 86 % of 500 images in 120 epochs, VGG with Adam 95 % in 60.
PLAIN_SGD_RATES, PLAIN_ADAM_RATES = {"vit": 0.05}, {"vgg19": 0.0002}
DEFAULT_SGD_RATE, DEFAULT_ADAM_RATE = 0.1, 0.001

# The pretrained ViT, the fifth of the paper's teachers, is left out: its weights are not to be had here.
DISTILLATION_NETWORKS = ("resnet18", "wide_resnet_10", "densenet121", "vgg19")

# double-descent/script_train.sh, with 14, where the script has 16 twice.
DOUBLE_DESCENT_WIDTHS = (*range(1, 21), 30, 40, 50, 60, 64)
FIGURE_7_WIDTHS = (1, 4, 7, 10, 20, 64)
FIGURE_8_WIDTH = 10
FIGURE_9_WIDTHS = (10, 64)

# Kinds of planes through images that are no data; the images of the planes for fragmentation, and those that
# margins start from: any training images, those with right labels (clean), those with wrong labels (noisy).
RANDOM_KINDS = ("uniform", "shuffled")
FRAGMENTATION_SUBSETS = ("all", "test", "clean")
MARGIN_SUBSETS = ("all", "clean", "noisy")

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclasses.dataclass(frozen=True)
class Picture:
    """A plane that is drawn with many points.

    Args:
        name: Figure, and place in it.
        ids: Numbers of its three training images; empty for images that are no data.
    """

    name: str
    ids: tuple[int, ...] = ()


PLANE = Picture("planes", (30, 72, 42))  # script_plots.sh, figures 1 and 3
UNIFORM, SHUFFLED = Picture("uniform"), Picture("shuffled")  # figures 2, 13 and 14
_MIXUP = tuple(  # script_plots.sh; figure 15, which the script calls 13
    Picture(f"mixup_{i}", ids)
    for i, ids in enumerate(((3, 84, 18), (19, 22, 72), (46, 43, 67), (62, 27, 3), (111, 71, 115)))
)
# double-descent/script_dd_plots.sh. Three automobiles with correct labels, and three images at random.
_FIGURE_7 = (Picture("7_same_class", (75, 32, 304)), Picture("7_random", (672, 766, 781)))
# Airplanes, birds and horses, all with correct labels; "Fig 14" of the script.
_FIGURE_8 = tuple(
    Picture(f"8_{i}", ids) for i, ids in enumerate(((989, 417, 93), (41, 1024, 5707), (994, 412, 52)))
)
# Automobiles: positions 34 and 12 of those with correct labels, and positions 11, 12, 15, 16, 18, 29, 38,
# 45, 76, 89 of those with wrong ones, each with the label that it is given.
_CLEAN_AUTOMOBILES = (301, 97)
NOISY_LABELS = {364: 6, 482: 9, 561: 2, 565: 0, 676: 7, 1095: 8, 1551: 6, 2038: 0, 3399: 0, 4332: 2}
_FIGURE_9 = tuple(Picture(f"9_{i}", (*_CLEAN_AUTOMOBILES, noisy)) for i, noisy in enumerate(NOISY_LABELS))

_ARCHITECTURES = (PLANE, UNIFORM, SHUFFLED)
PICTURES = {
    "none": (),
    "planes": _ARCHITECTURES,
    "mixup": (*_ARCHITECTURES, *_MIXUP),
    "double_descent": (*_FIGURE_7, *_FIGURE_8, *_FIGURE_9),
}
# Every run trains on these images, whatever part of the data set it takes.
KEPT_IDS = tuple(sorted({i for pictures in PICTURES.values() for picture in pictures for i in picture.ids}))
# With 20 % noise these have correct labels: on a part of the data set that is made so.
CLEAN_IDS = tuple(
    sorted({i for picture in PICTURES["double_descent"] for i in picture.ids} - set(NOISY_LABELS))
)

REPRODUCIBILITY_MATRIX = np.array(  # rows and columns: MATRIX_NETWORKS
    [
        [0.87, 0.85, 0.85, 0.82, 0.81, 0.78, 0.63, 0.61, 0.45],
        [0.85, 0.86, 0.85, 0.82, 0.81, 0.78, 0.63, 0.60, 0.44],
        [0.85, 0.85, 0.86, 0.81, 0.81, 0.78, 0.63, 0.60, 0.44],
        [0.82, 0.82, 0.81, 0.83, 0.81, 0.78, 0.63, 0.61, 0.45],
        [0.81, 0.81, 0.81, 0.81, 0.82, 0.77, 0.64, 0.61, 0.44],
        [0.78, 0.78, 0.78, 0.78, 0.77, 0.79, 0.63, 0.60, 0.44],
        [0.63, 0.63, 0.63, 0.63, 0.64, 0.63, 0.75, 0.64, 0.47],
        [0.61, 0.60, 0.60, 0.61, 0.61, 0.60, 0.64, 0.67, 0.46],
        [0.45, 0.44, 0.44, 0.45, 0.44, 0.44, 0.47, 0.46, 0.69],
    ]
)

OPTIMIZER_NAMES = {"adam": "Adam", "sgd": "SGD", "sam": "SGD + SAM"}
# In percent; rows: OPTIMIZER_NETWORKS, columns: OPTIMIZER_NAMES.
OPTIMIZER_REPRODUCIBILITY = np.array(
    [[79.81, 83.74, 87.22], [81.19, 80.92, 84.21], [67.80, 66.51, 68.06], [69.55, 75.13, 75.19]]
)
OPTIMIZER_ACCURACY = np.array(
    [[93.04, 95.30, 95.68], [92.87, 93.13, 93.90], [82.22, 82.04, 82.18], [70.89, 75.49, 74.72]]
)

# Figure 5. Rows: five teachers, columns: five students, the first four DISTILLATION_NETWORKS and the fifth a
# ViT that was trained on ImageNet; nan: not applicable, since both start from the same weights.
DISTILLED = np.array(
    [
        [0.87, 0.87, 0.86, 0.85, 0.77],
        [0.86, 0.86, 0.86, 0.82, 0.75],
        [0.86, 0.86, 0.87, 0.82, 0.75],
        [0.81, 0.81, 0.81, 0.82, 0.73],
        [0.76, 0.76, 0.76, 0.75, 0.72],
    ]
)
VANILLA = np.array(
    [
        [0.82, 0.82, 0.81, 0.78, 0.75],
        [0.82, 0.84, 0.82, 0.78, 0.76],
        [0.81, 0.82, 0.83, 0.78, 0.75],
        [0.78, 0.78, 0.78, 0.80, 0.73],
        [0.75, 0.76, 0.75, 0.73, np.nan],
    ]
)
