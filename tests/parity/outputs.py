"""Outputs of the papers' official code in files, and our networks with the weights that came with them."""

import functools
import pathlib
import re
import zipfile

import keras
import numpy as np

from common.data.colour_jitter import COLOUR_CLIPS
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.errors import UserError
from common.metrics.classifier import Classifier
from common.metrics.plane import Plane, plane_through, predict_planes
from common.metrics.volumes import measure_volumes
from common.models.convnet import convnet
from common.models.resnet import resnet18k

FILES = (
    *("planes", "reproducibility", "fragmentation", "margins", "triplets"),
    *("svd_paths", "sharpness", "volumes", "labels"),
)
# Names of PyTorch's layers for ours: patterns of the ResNet, numbers in the ConvNet's sequence.
_RESNET = (
    (r"stem", "conv1"),
    (r"logits", "linear"),
    (r"stage(\d)_block1_(conv|bn)(\d)", r"layer\1.0.\2\3"),
    (r"stage(\d)_block2_(conv|bn)(\d)", r"layer\1.1.\2\3"),
    (r"stage(\d)_block1_shortcut", r"layer\1.0.shortcut.0"),
)
_CONVNET = tuple(
    zip(("conv1", "conv2", "conv3", "conv4", "logits"), ("0", "3", "7", "11", "17"), strict=True)
)


def _arrays(folder: pathlib.Path, name: str) -> dict[str, np.ndarray]:
    if not (folder / name).is_file():
        raise UserError(f"--data_dir={folder}: holds no {name}")
    try:
        with np.load(folder / name) as file:
            return dict(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise UserError(f"--data_dir={folder}: {name}: cannot be read: {error}") from error


class OfficialOutputs:
    """The arrays of all files, and what several checks compute from them, made once.

    Args:
        folder: Folder that holds the files.

    Raises:
        UserError: If a file is missing or cannot be read.
    """

    def __init__(self, folder: str | pathlib.Path):
        self._files = {name: _arrays(pathlib.Path(folder), f"{name}.npz") for name in FILES}
        self.unread = {f"{file}: {name}" for file, arrays in self._files.items() for name in arrays}

    def __call__(self, file: str, name: str) -> np.ndarray:
        """Returns an array of a file; integers as int64, since small ones wrap around in arithmetic."""
        self.unread.discard(f"{file}: {name}")
        array = self._files[file][name]
        return array.astype(np.int64) if array.dtype.kind in "iu" else array

    def inputs(self, file: str) -> np.ndarray:
        """Returns the images of a file, stored in pixels of 0 to 255, as a network takes them."""
        pixels = self.pixels(file)
        return (pixels - np.float32(CIFAR10_MEAN)) / np.float32(CIFAR10_STD)

    def pixels(self, file: str) -> np.ndarray:
        """Returns the images of a file in [0, 1], float32."""
        return self(file, "images").astype(np.float32) / 255

    @functools.cached_property
    def resnets(self) -> list[keras.Model]:
        """The two ResNet18k of width 2."""
        return [self._with_weights(resnet18k(2), "reproducibility", _RESNET, f"net{i}.") for i in range(2)]

    @functools.cached_property
    def classifiers(self) -> list[Classifier]:
        """Their classes and confidences, compiled once."""
        return [Classifier(model) for model in self.resnets]

    @functools.cached_property
    def planes(self) -> list[Plane]:
        """The six planes of the scores."""
        return [plane_through(images, 50, 0.1) for images in self("planes", "images")]

    @functools.cached_property
    def plane_classes(self) -> np.ndarray:
        """What both ResNets predict on the planes, (2, 6, 50, 50)."""
        return predict_planes(self.classifiers, self.planes)

    @functools.cached_property
    def convnet(self) -> keras.Model:
        """The ConvNet of width 6."""
        return self._with_weights(convnet(6), "sharpness", _CONVNET)

    @functools.cached_property
    def sharpness_arguments(self) -> tuple:
        """Network, images in [0, 1], labels, mean and deviation of the sharpness measures."""
        statistics = self("sharpness", "mean"), self("sharpness", "std")
        return self.convnet, self.pixels("sharpness"), self("sharpness", "labels"), *statistics

    @functools.cached_property
    def volumes(self) -> dict[str, dict[str, np.ndarray]]:
        """Our measures, by the clip of colours, at the images and over six volumes: (12, 7) each."""
        return {clip: measure_volumes(*self.sharpness_arguments, colour_clip=clip) for clip in COLOUR_CLIPS}

    def _with_weights(self, model: keras.Model, file: str, names: tuple, prefix: str = "") -> keras.Model:
        for layer in model.layers:
            if layer.weights:
                pattern, template = next(pair for pair in names if re.fullmatch(pair[0], layer.name))
                source = prefix + re.sub(pattern, template, layer.name)
                layer.set_weights(self._layer_weights(layer, file, source))
        return model

    def _layer_weights(self, layer: keras.Layer, file: str, source: str) -> list[np.ndarray]:
        """The weights of a layer of PyTorch in the order and the layout of Keras."""
        if isinstance(layer, keras.layers.BatchNormalization):
            parts = ("weight", "bias", "running_mean", "running_var")
            return [self(file, f"{source}.{part}") for part in parts]
        kernel = self(file, f"{source}.weight")
        kernel = kernel.T if kernel.ndim == 2 else kernel.transpose(2, 3, 1, 0)
        return [kernel, self(file, f"{source}.bias")] if layer.use_bias else [kernel]
