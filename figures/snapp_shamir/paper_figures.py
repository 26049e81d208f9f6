"""Snapp & Shamir 2021, "Synthesizing Irreproducibility in Deep Networks": every figure, from records alone.

`python -m figures.snapp_shamir --figure=2 --records=results/runs --scale=laptop`
"""

import dataclasses

import numpy as np

from figures import drawing, style
from figures.snapp_shamir.curves import (
    PAPER,
    PD_LABEL,
    curve_name,
    figure_2,
    figure_6,
    figure_8,
    figure_10,
    summary,
)
from figures.snapp_shamir.weights import figure_3, figure_4, figure_7, figure_9
from figures.style import BLACK, GREEN, VERMILLION, Stroke
from replications.snapp_shamir.results import PD

_SOURCES = {
    ("identical", "fixed", False): "nothing",
    ("identical", "shuffled", False): "order in the\nmini-batch",
    ("distinct", "fixed", False): "initialization",
    ("distinct", "shuffled", False): "initialization\nand order",
    ("identical", "shuffled", True): "window\n",
    ("distinct", "shuffled", True): "initialization and\nwindow",
}
_SOURCE_STROKES = {
    ("linear", "identity"): Stroke(BLACK, "o"),
    ("double", "relu"): Stroke(VERMILLION, "v"),
    ("double", "smelu"): Stroke(GREEN, "D"),
}


def figure_sources(runs):
    """Beyond the paper: relative PD when each source of irreproducibility varies alone, and together."""
    found = {}
    for settings, run in runs:
        source = settings.init, settings.batch_order, settings.shuffle_log2 > 0
        column = found.setdefault((settings.model, settings.activation), {})
        column[source] = settings, summary(run, PD)
    window = max(settings.shuffle_log2 for settings, _ in runs)
    everything = [value for column in found.values() for _, value in column.values()]
    axis = style.LogAxis(*([v.low, v.high, v.median, *v.runs] for v in everything))
    figure = style.new_figure(
        style.WIDTH, 4.4, f"{PAPER}, each source of irreproducibility alone and together"
    )
    panels = figure.subplots(1, len(found), sharey=True)
    for panel, (model, column) in zip(panels, found.items(), strict=True):
        for height, source in enumerate(_SOURCES):
            settings, value = column[source]
            line = style.position(height, value.runs)
            # The pairs lie beside the interval, not under it.
            line = dataclasses.replace(line, runs=line.runs + 0.22)
            style.draw_points(panel, [value.placed(axis)], [line], _SOURCE_STROKES[model], _SOURCES[source])
        axis.apply(panel, "x")
        panel.set(title=curve_name(settings).removesuffix(" diff"), xlabel=PD_LABEL)
    names = [name + rf" $\log_2 z$ = {window}" * ("window" in name) for name in _SOURCES.values()]
    panels[0].set_yticks(np.arange(len(names)), names)
    panels[0].set(ylabel="what differs between the two models", ylim=(len(names) - 0.5, -0.5))
    marks = style.value_handles("pair", max(settings.pairs for settings, _ in runs))
    figure.legend(handles=marks, loc="outside lower center", ncols=len(marks))
    return figure


FIGURES = {
    "2": figure_2,
    "3": figure_3,
    "4": figure_4,
    "6": figure_6,
    "7": figure_7,
    "8": figure_8,
    "9": figure_9,
    "10": figure_10,
    "sources": figure_sources,
}


def _size(name, settings):
    """Says how large runs are: "2^22 examples, 16 pairs, theta of seed 0"."""

    def values(of):
        return " or ".join(str(value) for value in sorted({getattr(s, of) for s in settings}))

    pairs = values("pairs")
    words = f"2^{values('examples_log2')} examples, {pairs} pair{'s' * (pairs != '1')}"
    # Figure 7 has the weights of one theta, which its title names.
    return f"{words}, theta of {'one seed' if name == '7' else 'seed ' + values('seed')}"


PAPER_FIGURES = drawing.PaperFigures(
    "snapp_shamir",
    FIGURES,
    _size,
    curves={"2": ("model", "activation")} | dict.fromkeys(("6", "8", "sources"), ("activation",)),
)
