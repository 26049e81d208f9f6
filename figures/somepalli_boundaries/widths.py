"""Somepalli et al. 2022 over the width of ResNet18k: figures 10 to 12, and Nakkiran's figure 1."""

import functools
import itertools
import math

import numpy as np
from matplotlib import ticker
from matplotlib.lines import Line2D

from common.metrics.reproducibility import group_reproducibility
from figures import style, widths
from figures.somepalli_boundaries.planes import PAPER
from figures.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, Stroke
from replications.somepalli_boundaries.published import FRAGMENTATION_SUBSETS
from replications.somepalli_boundaries.results import (
    FITTED,
    accuracy,
    class_maps,
    fragmentation,
    groups,
    median_margin,
    score_and_error,
    threshold,
)

_FITTED = f"({FITTED:.0%} fitted)"
_NOISE_STROKES = (Stroke(BLUE, "o"), Stroke(VERMILLION, "s"))
_MARGINS = {
    "all": ("all training images", _NOISE_STROKES[1]),
    "clean": ("right labels", Stroke(GREEN, "^", "--")),
    "noisy": ("wrong labels", Stroke(PURPLE, "v", ":")),
}
_FRAGMENTATION = {
    "all": "training images of any class",
    "test": "test images of any class",
    "clean": "training images of one class, right labels",
}


def by_noise(runs):
    """{label noise: {width: its runs}}, both ascending, every width for every noise."""
    found = groups(runs, lambda settings: (settings.label_noise, settings.width))
    noises, shown = (sorted(set(values)) for values in zip(*found, strict=True))
    return {noise: {width: found.get((noise, width), []) for width in shown} for noise in noises}


def with_noise(noise):
    """Words for a share of wrong labels."""
    return f"{noise:.0%} label noise" if noise else "no label noise"


def _draw_curve(panel, by_width, measure, stroke, label, quantity="positive"):
    """A function of a run against the width; a run without a finite value leaves a gap."""
    seeds = sorted({run.seed for members in by_width.values() for run in members})
    values = {}
    for width, members in by_width.items():
        of_seed = {run.seed: measure(run) for run in members}
        values[width] = np.array([of_seed.get(seed, np.nan) for seed in seeds])
    widths.draw_curve(panel, values, stroke.color, label, stroke.marker, stroke.linestyle, quantity=quantity)


def _threshold(runs):
    """The threshold of the runs with noise, see `results.threshold`; None if there is none, or no noise."""
    noisy = [(settings, run) for settings, run in runs if settings.label_noise]
    return threshold(noisy) if noisy else None


def _width_axis(panel, runs):
    """An axis of widths, with a line at the threshold of the runs with noise."""
    if panel.get_yscale() == "linear":
        style.limit_to_values(panel)
    shown = sorted({settings.width for settings, _ in runs})
    widths.format_width_axis(panel, shown, _threshold(runs), "width k")


def _handles(runs, noises):
    """Legend entries of the noises, the threshold, and the marks of several seeds."""
    found = [stroke.handle(with_noise(noise)) for noise, stroke in zip(noises, _NOISE_STROKES, strict=False)]
    num_seeds = max(len(members) for by_width in noises.values() for members in by_width.values())
    words = f"interpolation threshold with noise {_FITTED}"
    return found + widths.handles(_threshold(runs), num_seeds, words, f"no {words}")


def figure_10(runs):
    """Figure 10: fragmentation over width, in its three variants, and the training error."""
    noises = by_noise(runs)
    figure = style.new_figure(style.WIDTH, 6.6, f"{PAPER}, figure 10: fragmentation over width")
    panels = figure.subplots(2, 2).ravel()
    for subset, panel in zip(FRAGMENTATION_SUBSETS, panels, strict=False):
        for (noise, by_width), stroke in zip(noises.items(), _NOISE_STROKES, strict=False):
            _draw_curve(
                panel, by_width, lambda run, s=subset: fragmentation(run, s), stroke, with_noise(noise)
            )
        panel.set_title(_FRAGMENTATION[subset])
    _draw_errors(panels[3], noises, "train")
    panels[3].set_title("training error, labels as given")
    for panel in panels:
        _width_axis(panel, runs)
    for panel in panels[:3]:
        panel.set_ylim(0, max(panel.get_ylim()[1] for panel in panels[:3]))
        panel.set_ylabel("connected regions of a plane")
    figure.legend(handles=_handles(runs, noises), loc="outside lower center", ncols=2)
    return figure


def _draw_errors(panel, noises, part):
    for (noise, by_width), stroke in zip(noises.items(), _NOISE_STROKES, strict=False):
        _draw_curve(
            panel, by_width, functools.partial(_error, part=part), stroke, with_noise(noise), "fraction"
        )
    panel.set_ylabel("error")


def pair_scores(members):
    """Mean score and its standard error over planes, for every pair of runs."""
    return [score_and_error(a, b) for a, b in itertools.combinations(members, 2)]


def between_seeds(members):
    """`Reproducibility` between the runs of one setting, its interval over networks."""
    return group_reproducibility([class_maps(run) for run in members])


def _draw_scores(panel, by_width, stroke, label):
    """Mean scores with intervals over networks against width; pairs lie faintly behind, gaps stay open."""
    found = {width: between_seeds(members) for width, members in by_width.items() if len(members) > 1}
    line = {"color": stroke.color, "marker": stroke.marker, "markersize": 5.5}
    means = [found[width].value if width in found else np.nan for width in by_width]
    panel.plot(list(by_width), means, label=label, zorder=3, **line)
    for width, cell in found.items():
        if len(by_width[width]) >= style.FEWEST:
            limits = [cell.low, cell.high]
            panel.plot([width, width], limits, color=stroke.color, linewidth=1.2, label="_interval")
        pairs = pair_scores(by_width[width])
        offsets = np.linspace(-0.03, 0.03, len(pairs)) if len(pairs) > 1 else [0.03]
        for offset, (score, error) in zip(offsets, pairs, strict=True):
            x, spread = width * math.exp(offset), (score - error, score + error)
            panel.plot([x, x], spread, color=stroke.color, alpha=0.3, linewidth=1.2)
            panel.plot(x, score, ".", color=stroke.color, alpha=0.4, markersize=4)


def figure_11(runs):
    """Figure 11: reproducibility between seeds over width, and the test error."""
    noises = by_noise(runs)
    figure = style.new_figure(
        style.WIDTH, 4.2, f"{PAPER}, figure 11: reproducibility between seeds over width"
    )
    panels = figure.subplots(1, 2, width_ratios=[1.3, 1])
    for (noise, by_width), stroke in zip(noises.items(), _NOISE_STROKES, strict=False):
        _draw_scores(panels[0], by_width, stroke, with_noise(noise))
    panels[0].set(ylabel="reproducibility score")
    _draw_errors(panels[1], noises, "test")
    panels[1].set_ylabel("test error")
    for panel in panels:
        _width_axis(panel, runs)
    pair = {"color": GREY, "marker": ".", "markersize": 5, "linewidth": 1.2, "alpha": 0.5}
    pair = Line2D([], [], label="a pair of seeds, one standard error over planes", **pair)
    figure.legend(handles=[*_handles(runs, noises), pair], loc="outside lower center", ncols=2)
    return figure


def figure_12(runs):
    """Figure 12: median margins over width; with noise also those of right and wrong labels."""
    noises = by_noise(runs)
    figure = style.new_figure(
        style.WIDTH, 4.4, f"{PAPER}, figure 12: median distance to the decision boundary over width"
    )
    panels = figure.subplots(1, 2, sharey=True)
    axis = style.LogAxis([median_margin(run, subset) for _, run in runs for subset in _MARGINS])

    def placed(run, subset="all"):
        return axis.place(median_margin(run, subset))

    for (noise, by_width), stroke in zip(noises.items(), _NOISE_STROKES, strict=False):
        _draw_curve(panels[0], by_width, placed, stroke, with_noise(noise))
    panels[0].set(title="all training images", ylabel="median margin (normalized pixels)")
    largest = max(noises)
    for subset, (words, stroke) in _MARGINS.items():
        _draw_curve(panels[1], noises[largest], lambda run, s=subset: placed(run, s), stroke, words)
    panels[1].set(title=with_noise(largest))
    panels[1].legend(handles=[stroke.handle(words) for words, stroke in _MARGINS.values()], loc="best")
    for panel in panels:
        axis.apply(panel)
        _width_axis(panel, runs)
    figure.legend(handles=_handles(runs, noises), loc="outside lower center", ncols=2)
    return figure


def _error(run, part):
    return 1 - accuracy(run, part)


def measured_test_errors(run):
    """(epochs, test errors) of a run that measured its test set on the way."""
    rows = run.rows[run.rows.metric == "test_accuracy"].drop_duplicates("epoch", keep="last")
    return rows.epoch.to_numpy(), 1 - rows.value.to_numpy()


def figure_nakkiran_1(runs):
    """Nakkiran et al.'s figure 1: errors over width, and the test error over width and epochs."""
    by_width = next(iter(by_noise(runs).values()))
    noise = next(iter(by_noise(runs)))
    figure = style.new_figure(
        style.WIDTH, 4.2, f"{PAPER}, their reprint of Nakkiran et al. 2020, figure 1: {noise:.0%} label noise"
    )
    errors, surface = figure.subplots(1, 2, width_ratios=[1, 1.15])
    strokes = {"train": Stroke(BLUE, "o"), "test": Stroke(VERMILLION, "s")}
    for name, stroke in strokes.items():
        measure = functools.partial(_error, part=name)
        _draw_curve(errors, by_width, measure, stroke, f"{name} error", "fraction")
    errors.set(ylabel="error", title="after training")
    _width_axis(errors, runs)
    _draw_surface(figure, surface, by_width)
    handles = [stroke.handle(f"{name} error") for name, stroke in strokes.items()]
    num_seeds = max(map(len, by_width.values()))
    words = f"interpolation threshold {_FITTED}"
    handles += widths.handles(_threshold(runs), num_seeds, words, f"no {words}")
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _draw_surface(figure, panel, by_width):
    """Mean test error over seeds at every width and measured epoch."""
    epochs = None
    rows = []
    for members in by_width.values():
        found = [measured_test_errors(run) for run in members]
        epochs = found[0][0] if epochs is None else epochs
        rows.append(np.mean([np.interp(epochs, e, errors) for e, errors in found], axis=0))
    columns, borders = np.arange(len(by_width) + 1) - 0.5, widths.edges(epochs)
    colors = panel.pcolormesh(columns, borders, np.transpose(rows), cmap="cividis", rasterized=True)
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xticks(range(len(by_width)), [str(width) for width in by_width])
    seeds = max(map(len, by_width.values()))
    title = "test error over training" + f", mean of {seeds} seeds" * (seeds > 1)
    panel.set(xlabel="width k", ylabel="epoch", title=title)
    panel.grid(False)
    figure.colorbar(colors, ax=panel, label="test error", pad=0.02)
