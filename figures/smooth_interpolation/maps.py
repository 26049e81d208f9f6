"""Gamba et al. 2022, figure 5 and the heat maps of its appendix: width against epoch."""

import numpy as np
from matplotlib import ticker
from matplotlib.colors import LogNorm, Normalize
from matplotlib.lines import Line2D

from common.data.datasets import DATASETS
from common.study.widths import by_width
from figures import style
from figures.smooth_interpolation.widths import PAPER, networks, threshold_words, wrong_labels
from figures.style import BLACK, BLUE, GREY, VERMILLION
from figures.widths import edges
from replications.smooth_interpolation import results as read

_SMALLEST = 1e-3
_MAPS = {
    "test_error": ("test error (%)", False),
    "cross_entropy": ("training loss (nats)", True),
    "jacobian_norm": ("Jacobian norm", True),
    "tangent_hessian_norm": ("tangent Hessian norm", True),
}


def grid(groups, metric):
    """Means over seeds of a metric at every checkpoint and width.

    Args:
        groups: {width: {seed: Run}}.
        metric: A key of the maps: "test_error" in percent, or a measure at the training images themselves.

    Returns:
        Epochs [epochs], and values [epochs, widths]; nan where a run ended earlier.
    """
    columns = {}
    for width, members in groups.items():
        for run in members.values():
            if metric == "test_error":
                epochs, values = read.history(run, "test_accuracy")
                values = 100 * (1 - values)
            else:
                epochs, values = read.history(run, metric, subset="all", anchors=1)
            # Where a run diverged is no checkpoint of the others; nan where it did not.
            end = run.rows.epoch[run.rows.metric == "diverged"].min()
            for epoch, value in zip(epochs, values, strict=True):
                if epoch >= end:
                    break
                columns.setdefault(epoch, {}).setdefault(width, []).append(value)
    epochs = sorted(columns)
    values = [[np.mean(columns[e].get(width, np.nan)) for width in groups] for e in epochs]
    return np.array(epochs), np.array(values)


def _draw_map(figure, panel, groups, metric):
    label, logarithmic = _MAPS[metric]
    epochs, values = grid(groups, metric)
    finite = values[np.isfinite(values)] if np.isfinite(values).any() else np.zeros(1)
    lowest, norm = finite.min(), Normalize(finite.min(), finite.max())
    if logarithmic and finite.max() > 0:
        # Differences below this are invisible in the other panels as well, and would take all the colors.
        lowest = max(finite.min(), _SMALLEST * finite.max())
        norm = LogNorm(lowest, finite.max(), clip=True)
    widths = list(groups)
    columns = np.arange(len(widths) + 1) - 0.5
    mesh = panel.pcolormesh(columns, edges(epochs), values, norm=norm, cmap="viridis", rasterized=True)
    bar = figure.colorbar(mesh, ax=panel, pad=0.02, extend="min" if finite.min() < lowest else "neither")
    bar.outline.set_linewidth(0.5)
    step = -(-len(widths) // 12)
    panel.set_xticks(range(0, len(widths), step), [str(w) for w in widths[::step]])
    panel.set(title=label, xlabel="base width", yscale="log")
    panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    panel.grid(visible=False)
    threshold = read.interpolation_threshold(groups)
    if threshold is not None:
        place = widths.index(threshold)
        panel.axvline(place, color="white", linewidth=2.2, label="_halo")
        panel.axvline(place, color=BLACK, linewidth=1.2, linestyle=(0, (1, 1.5)), label="_threshold")


def _map_figure(title, runs, metrics, shape, height):
    groups = by_width(runs)
    figure = style.new_figure(style.WIDTH, height, title)
    panels = figure.subplots(*shape, sharex=True, sharey=True, squeeze=False)
    for panel, metric in zip(panels.flat, metrics, strict=True):
        _draw_map(figure, panel, groups, metric)
        panel.label_outer()
    for panel in panels[:, 0]:
        panel.set_ylabel("epoch")
    threshold = read.interpolation_threshold(groups)
    name, words = threshold_words(groups)
    if threshold is not None:
        words = f"dotted: {name}, width {threshold}"
    seeds = max(map(len, groups.values()))
    words += f"; mean of {seeds} seeds" * (seeds > 1)
    figure.text(0.99, 0.005, words, ha="right", va="bottom", color=GREY)
    figure.get_layout_engine().set(rect=(0, 0.045, 1, 0.955))
    return figure


def figure_5(runs):
    """Test error, training loss and Jacobian norm of the ConvNets over epochs and widths."""
    title = f"{PAPER}, figure 5: {networks(runs)} over epochs and widths, {wrong_labels(runs)}"
    return _map_figure(title, runs, list(_MAPS)[:3], (3, 1), 9)


def figure_heatmaps(runs):
    """Test error, loss and both norms of the ResNets over epochs and widths (figures 11 and 13)."""
    title = f"{PAPER}, figures 11 and 13: {networks(runs)} over epochs and widths, {wrong_labels(runs)}"
    return _map_figure(title, runs, list(_MAPS), (2, 2), 6.4)


def figure_smallest(runs):
    """Beyond figure 3: accuracy of the narrowest network on true and on wrong labels over the epochs."""
    ((width, members),) = by_width(runs).items()
    title = f"Beyond {PAPER}, figure 3: which labels width {width} fits, {wrong_labels(runs)}"
    figure = style.new_figure(6.2, 4.2, title)
    panel = figure.subplots()
    for subset, label, color in (("clean", "true", BLUE), ("noisy", "wrong", VERMILLION)):
        runs_shown = [run for run in members.values() if not run.diverged]
        courses = [read.history(run, "accuracy", subset=subset, anchors=1) for run in runs_shown]
        for epochs, values in courses:
            panel.plot(epochs, 100 * values, color=color, alpha=0.35, linewidth=0.8, label="_run")
        if courses:
            mean = 100 * np.mean([values for _, values in courses], axis=0)
            panel.plot(courses[0][0], mean, color=color, linewidth=1.9, label=f"{label} labels")
    chance = DATASETS[runs[0][0].dataset].chance
    panel.axhline(chance, color=GREY, linewidth=1, linestyle=(0, (1, 1.5)), label="chance")
    panel.set(xlabel="epoch", ylabel="training accuracy (%)", xscale="log", ylim=(0, None))
    panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    handles, _ = panel.get_legend_handles_labels()
    if len(members) > 1:
        handles.append(
            Line2D([], [], color=GREY, alpha=0.5, linewidth=0.8, label="one seed, the mean in front")
        )
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure
