"""Gamba et al. 2022, "Deep Double Descent via Smooth Interpolation": every figure, from records alone.

`python -m figures.smooth_interpolation --figure=2 --records=results/runs --scale=laptop`
"""

import dataclasses

from figures import drawing
from figures.seeds import named
from figures.smooth_interpolation.maps import figure_5, figure_heatmaps, figure_smallest
from figures.smooth_interpolation.pairs import figure_pd
from figures.smooth_interpolation.regression import figure_1a, figure_1b
from figures.smooth_interpolation.widths import (
    figure_1c,
    figure_1d,
    figure_2,
    figure_3,
    figure_4,
    figure_6,
    figure_7,
)

_NUM_SEEDS = 25  # as many as the scalar data have

FIGURES = {
    "1a": figure_1a,
    "1b": figure_1b,
    "1c": figure_1c,
    "1d": figure_1d,
    "2": figure_2,
    "3": figure_3,
    "4": figure_4,
    "5": figure_5,
    "6": figure_6,
    "7": figure_7,
    "heatmaps": figure_heatmaps,
    "smallest": figure_smallest,
    "pd": figure_pd,
}


def _size(name, settings):
    """Says how large runs are: "2,000 training images, 600 epochs; widths 1 to 16; seeds 0 to 2"."""
    first = settings[0]
    by_run = {}
    for one in settings:
        by_run.setdefault(dataclasses.replace(one, seed=0), set()).add(one.seed)
    words = named(set.intersection(*by_run.values()))
    if first.dataset == "scalar":
        return f"{first.num_train} points, {first.epochs:,} steps; {words}"
    widths = sorted({one.width for one in settings})
    number = f"{first.num_train:,}" if first.num_train else "all"
    images = f"{number} training images, {first.epochs:,} epochs"
    shown = f"widths {widths[0]} to {widths[-1]}" if len(widths) > 1 else f"width {widths[0]}"
    return f"{images}; {shown}; {words}{_stand_in(first)}"


def _stand_in(settings):
    """Says for which data set the images stand in, if they do."""
    if not settings.stand_in_for:
        return ""
    if settings.noise == "asymmetric":
        what = f"{settings.num_corrupted_classes} of 10 classes perturbed"
    else:
        what = f"{settings.num_train // 10} images per class"
    return f"\nstand-in for CIFAR-100: {what}"


PAPER_FIGURES = drawing.PaperFigures("smooth_interpolation", FIGURES, _size, _NUM_SEEDS)
