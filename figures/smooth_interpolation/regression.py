"""Gamba et al. 2022, figures 1a and 1b: noisy scalar data fitted by polynomials and by networks."""

import numpy as np
from matplotlib import ticker
from matplotlib.lines import Line2D

from common.statistics import summarize
from figures import style
from figures.smooth_interpolation.widths import PAPER
from figures.style import BLUE, GREY, VERMILLION
from replications.smooth_interpolation import results as read
from replications.smooth_interpolation.signals import SIGNALS

_LIMIT = 2.2
_PANELS = {
    "test_loss": ("squared distance from\nthe noise-free curve", True, "positive"),
    "slope": ("mean slope\nwithin 0.01 of a point", True, "positive"),
    "noise_kept": ("noise kept at a\ndistance of 0.01 (%)", False, "real"),
}


def _by_size(runs, name):
    """{degree or width: list of Run}, seed 0 first."""
    groups = {}
    for settings, run in sorted(runs, key=lambda pair: (getattr(pair[0], name), pair[0].seed)):
        groups.setdefault(getattr(settings, name), []).append(run)
    return groups


def _draw_fit(panel, run, signal):
    arrays = run.arrays
    x = arrays["grid"]
    panel.plot(x, signal(x), color=GREY, linewidth=1.2, linestyle="--", label="noise-free")
    panel.plot(x, np.clip(arrays["curve"], -2 * _LIMIT, 2 * _LIMIT), color=BLUE, linewidth=1.0, label="fit")
    panel.plot(arrays["inputs"], arrays["targets"], "o", color=VERMILLION, markersize=3.5, label="points")
    panel.set(ylim=(-_LIMIT, _LIMIT), xlim=(-1.03, 1.03), xticks=(-1, 0, 1), xlabel="x")


def _draw_metric(panel, groups, metric, marked):
    title, logarithmic, quantity = _PANELS[metric]
    factor = 1 if logarithmic else 100
    values = [[factor * read.last(run, metric) for run in members] for members in groups.values()]
    axis = style.LogAxis(*values) if logarithmic else None
    points = []
    for found in values:
        s = summarize(found, quantity)
        point = style.Measured(s.mean, s.low, s.high, s.median, np.array(found))
        points.append(point.placed(axis) if axis else point)
    xs = [style.position(size, found) for size, found in zip(groups, values, strict=True)]
    style.draw_points(panel, xs, points, style.Stroke(BLUE, "o"), title)
    if axis:
        axis.apply(panel)
    panel.set(title=title, xscale="log")
    panel.xaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
    if marked is not None:
        panel.axvline(marked, color=GREY, linewidth=1.0, linestyle=(0, (1, 1.5)), label="_threshold")
    return any(point.faint for point in points)


def _figure(title, runs, name, what, shown, marked=None):
    groups = _by_size(runs, name)
    figure = style.new_figure(style.WIDTH, 5.8, title)
    fits, metrics = figure.subplots(2, 3)
    for panel, size in zip(fits, shown(list(groups)), strict=True):
        _draw_fit(panel, groups[size][0], SIGNALS[runs[0][0].signal].function)
        panel.set_title(f"{what} {size:,}")
    faint = False
    for panel, metric in zip(metrics, _PANELS, strict=True):
        faint |= _draw_metric(panel, groups, metric, marked)
        panel.set_xlabel(what)
    found = [
        Line2D([], [], color=VERMILLION, linestyle="none", marker="o", markersize=3.5, label="noisy points"),
        Line2D([], [], color=GREY, linewidth=1.2, linestyle="--", label="noise-free curve"),
        Line2D([], [], color=BLUE, linewidth=1.0, label="fit, first seed"),
    ]
    if marked is not None:
        label = "as many coefficients as points"
        found.append(Line2D([], [], color=GREY, linewidth=1.0, linestyle=(0, (1, 1.5)), label=label))
    most = max(map(len, groups.values()))
    if most > 1:
        found += style.value_handles("seed", most)
    if faint:
        found.append(style.note_handle(style.FAINT))
    figure.legend(handles=found, loc="outside lower center", ncols=3)
    return figure


def figure_1a(runs):
    """Polynomials: three fits, and error and sharpness against the degree."""
    points = runs[0][0].num_train
    shown = f"{points} noisy points of a {runs[0][0].signal}"
    title = f"{PAPER}, figure 1a: polynomials fitted to {shown} by gradient descent"
    return _figure(
        title, runs, "degree", "degree", lambda d: (d[0] if len(d) < 4 else 3, 20, d[-1]), points - 1
    )


def figure_1b(runs):
    """Networks: three fits, and error and sharpness against the width."""
    points = runs[0][0].num_train
    shown = f"the same {points} noisy points of a {runs[0][0].signal}"
    title = f"{PAPER}, figure 1b: networks of three hidden layers fitted to {shown}"
    return _figure(title, runs, "width", "width", lambda w: (w[0], w[len(w) // 2], w[-1]))
