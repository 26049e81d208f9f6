"""Damage to every file of a data set: it is refused in one line, or the images and labels are the same."""

import os
import pathlib
import shutil

import numpy as np

from common.data import images
from common.errors import UserError
from tests.chaos import damage, programs
from tests.chaos.result import Tally
from tests.common.data.test_images import store

KIND = "damaged data sets"
SAME = "same images"


def try_damage(tally: Tally, folder: pathlib.Path, every: int = 1) -> None:
    """Damages each file of a tiny CIFAR-10 in each way; one case in `every` is tried."""
    whole = folder / "whole"
    store(whole)
    expected = _arrays(images.load("cifar10", whole))
    cases = [(name, way) for name in damage.files(whole) for way in damage.WAYS]
    for number, (name, way) in enumerate(cases[::every]):
        copy = folder / f"damaged-{number}"
        shutil.copytree(whole, copy)
        damage.WAYS[way](copy / name)
        tally.add(f"{name} {way}", _judge(copy, expected), (SAME, programs.REFUSED))
        shutil.rmtree(copy)


def _arrays(found: images.ImageSet) -> list[np.ndarray]:
    return [getattr(part, name) for part in (found.train, found.test) for name in ("images", "labels", "ids")]


def _judge(data_dir: os.PathLike, expected: list[np.ndarray]) -> str:
    try:
        found = _arrays(images.load("cifar10", data_dir))
    except UserError as error:
        return programs.REFUSED if "\n" not in str(error) else f"several lines: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    same = all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    return SAME if same else "other images"
