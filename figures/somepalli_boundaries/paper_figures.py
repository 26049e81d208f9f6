"""Somepalli et al. 2022, "Can neural nets learn the same model twice?": every figure, from records alone.

`python -m figures.somepalli_boundaries --figure=planes --records=results/runs --scale=laptop`
"""

import functools

from common.errors import UserError
from figures import drawing, style
from figures.seeds import named
from figures.somepalli_boundaries.pictures import (
    figure_7,
    figure_8,
    figure_9,
    figure_lemma,
    figure_mixup,
    figure_off_manifold,
    figure_off_manifold_classes,
    figure_planes,
)
from figures.somepalli_boundaries.planes import paper_style
from figures.somepalli_boundaries.scores import (
    figure_distillation,
    figure_optimizers,
    figure_reproducibility,
    figure_sources,
    table_distillation,
    table_optimizers,
    table_reproducibility,
)
from figures.somepalli_boundaries.tables import table_10, table_11, table_12
from figures.somepalli_boundaries.widths import figure_10, figure_11, figure_12, figure_nakkiran_1
from replications.somepalli_boundaries.published import FRAGMENTATION_SUBSETS, RANDOM_KINDS
from replications.somepalli_boundaries.results import diverged_names, not_diverged

_FIGURES = {
    "planes": figure_planes,
    "off_manifold": figure_off_manifold,
    "off_manifold_classes": figure_off_manifold_classes,
    "lemma": figure_lemma,
    "reproducibility": figure_reproducibility,
    "distillation": figure_distillation,
    "optimizers": figure_optimizers,
    "nakkiran_1": figure_nakkiran_1,
    "7": figure_7,
    "8": figure_8,
    "9": figure_9,
    "10": figure_10,
    "11": figure_11,
    "12": figure_12,
    "mixup": figure_mixup,
    "sources": figure_sources,
}
_TABLES = {
    "reproducibility": table_reproducibility,
    "distillation": table_distillation,
    "optimizers": table_optimizers,
    "10": table_10,
    "11": table_11,
    "12": table_12,
}


def _of_measured(draw):
    """Makes a figure leave out diverged runs, of which nothing was measured, and say so below its title."""

    @functools.wraps(draw)
    def drawn(runs):
        kept = not_diverged(runs)
        if not kept:
            raise UserError(f"all of its {len(runs)} runs diverged")
        figure = draw(kept)
        if len(kept) < len(runs):
            style.stamp(figure, f"left out, since diverged: {diverged_names(runs)}")
        return figure

    return drawn


FIGURES = {name: _of_measured(draw) for name, draw in _FIGURES.items()}
TABLES = {name: lambda runs, table=table: table(not_diverged(runs)) for name, table in _TABLES.items()}


def _size(name, settings):
    """Says how large runs are: "4,000 images, 20 epochs, 60 planes of 50 x 50 points, narrow networks"."""

    def values(of):
        found = sorted({getattr(s, of) for s in settings}, key=lambda value: (value is None, value))
        if len(found) > 3:
            return f"{found[0]} to {found[-1]}"
        return " or ".join("all" if value is None else f"{value:,}" for value in found)

    resolved = [s.resolve() for s in settings]
    epochs = values("epochs")
    words = f"{values('num_train')} images, {epochs} epoch{'s' * (epochs != '1')}"
    words += _measured_on(name, resolved)
    if all(s.protocol == "double_descent" for s in settings):
        low, high = min(s.width for s in settings), max(s.width for s in settings)
        words += f", widths {low} to {high}" if low < high else f", width {low}"
    elif any(s.width is not None for s in settings):
        words += ", narrow networks"
    seeds = {s.seed for s in settings}
    if name in _OF_THE_FIRST_SEED:
        seeds = {min(seeds)}
    return f"{words}; {named(seeds)}"


# What a figure shows, beside scores on the planes of `num_triplets`.
_SINGLE_PLANES = ("planes", "off_manifold", "7", "8", "9", "mixup")
# Further seeds of theirs are for claims and other figures.
_OF_THE_FIRST_SEED = ("off_manifold", "7", "8", "9", "mixup")


def _measured_on(name, resolved):
    """Says on what planes, of how many points, or on how many images a figure's numbers were measured."""

    def most(of):
        return max(getattr(s, of) for s in resolved)

    if name in _SINGLE_PLANES:
        return f", planes of {most('picture_resolution')} x {most('picture_resolution')} points"
    if name == "lemma":
        return f", {most('num_random_images')} random images"
    if name == "12":
        return f", margins of {most('num_margin_images')} images"
    kinds, of = {
        "off_manifold_classes": (f"{len(RANDOM_KINDS)} x ", "num_random_planes"),
        "10": (f"{len(FRAGMENTATION_SUBSETS)} x ", "num_fragmentation_triplets"),
    }.get(name, ("", "num_triplets"))
    if name == "nakkiran_1" or most(of) < 2:
        return ""
    return f", {kinds}{most(of)} planes of {most('resolution')} x {most('resolution')} points"


PAPER_FIGURES = drawing.PaperFigures(
    "somepalli_boundaries",
    FIGURES,
    _size,
    tables=TABLES,
    styles={"paper": paper_style},
    styled=_SINGLE_PLANES,
)
