"""Gamba et al. 2022, figures 1c, 1d, 2, 3, 4, 6 and 7: errors and sharpness against the base width."""

import itertools

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D

from common.study.widths import by_width
from figures import style, widths
from figures.seeds import named
from figures.style import BLACK, BLUE
from replications.smooth_interpolation import results as read

PAPER = "Gamba et al. 2022"

_NETWORKS = {"convnet": "ConvNets", "resnet18w": "ResNet18s"}
_TITLES = {
    "accuracy": "training accuracy (%)",
    "cross_entropy": "training loss (nats)",
    "jacobian_norm": "Jacobian norm",
    "tangent_hessian_norm": "tangent Hessian norm",
}


def draw_curve(panel, groups, measure, color, label, strong=True, of_pairs=False, quantity="percentage"):
    """Draws a function of a run against the width; see `figures.widths.draw_curve`.

    Args:
        panel: Axes.
        groups: {width: {seed: Run}}.
        measure: Function of a run, or of two.
        color: Color.
        label: Name of the line.
        strong: Whether its interval is drawn.
        of_pairs: Whether the measure is of two runs: it is drawn for all pairs of a width's seeds.
        quantity: What the measure is, see `common.statistics.interval`.
    """
    pairs = list(itertools.combinations(next(iter(groups.values())), 2)) if of_pairs else None
    values = {
        width: read.over_pairs(measure, members) if of_pairs else list(map(measure, members.values()))
        for width, members in groups.items()
    }
    widths.draw_curve(panel, values, color, label, strong=strong, pairs=pairs, quantity=quantity)


def format_width_axis(panel, groups, label="base width"):
    """Gives a panel its width axis and the dotted line at the interpolation threshold."""
    widths.format_width_axis(panel, list(groups), read.interpolation_threshold(groups), label)


def handles(groups):
    """Legend entries of the threshold and of what the marks of several seeds are."""
    num_seeds = max(map(len, groups.values()))
    words, missing = threshold_words(groups)
    return widths.handles(read.interpolation_threshold(groups), num_seeds, words, missing)


def threshold_words(groups):
    """What the threshold is called, and what is said where no width is one."""
    run = next(iter(next(iter(groups.values())).values()))
    share = read.FITTED[run.record["settings"]["network"]]
    fitted = "a training error of 0" if share == 1 else f"a training accuracy of {share:.0%}"
    words = "interpolation threshold" + (f" ({fitted})" if share < 1 else "")
    return words, f"no width has {fitted}"


def _volume_colors(count):
    """Blue for the images themselves, as in the paper, then darker with the volume."""
    shades = colormaps["YlOrBr"](np.linspace(0.35, 0.95, max(count - 1, 1)))
    return [BLUE, *map(to_hex, shades)][:count]


def when(runs):
    """When test errors and measures at the images were taken; older runs have the end alone."""
    early = {run.seed for _, run in runs if not run.diverged and not read.has_late(run)}
    if not early:
        return "last tenth's median"
    if early == {run.seed for _, run in runs}:
        return "at the end"
    return f"last tenth's median; {named(early)}: at the end"


def _volume_handles(count, erased):
    """Legend entries of the volumes; `erased` singular values at the anchors."""
    names = ["images"]
    names += [f"{a} anchors ({erased[a - 2]} erased)" for a in range(2, count + 1)]
    return [
        Line2D([], [], color=color, marker="o", markersize=3.5, label=name)
        for name, color in zip(names, _volume_colors(count), strict=True)
    ]


def _draw_volumes(panel, groups, metric, subset="all"):
    """One curve for each volume."""
    count = read.num_anchors(next(iter(next(iter(groups.values())).values())))
    factor, quantity = (100, "percentage") if metric == "accuracy" else (1, "positive")
    for anchors, color in reversed(list(enumerate(_volume_colors(count), start=1))):

        def measure(run, anchors=anchors):
            return factor * read.volume(run, metric, subset, anchors)

        draw_curve(panel, groups, measure, color, f"{anchors}", strong=anchors == 1, quantity=quantity)
    format_width_axis(panel, groups)
    panel.set_title(_TITLES[metric])
    if metric == "accuracy":
        panel.set_ylim(top=103)
    else:
        panel.set_ylim(bottom=0)


def _legend(figure, runs, groups, panel=None):
    """Below the panels, or in an empty one."""
    settings = runs[0][0]
    found = [*_volume_handles(1 + len(settings.erased), settings.erased), *handles(groups)]
    if panel is not None:
        panel.legend(handles=found, loc="center")
    else:
        figure.legend(handles=found, loc="outside lower center", ncols=3)


def draw_test_error(panel, groups, color=BLACK, title="test error (%)"):
    """Draws the test error against the width."""
    draw_curve(panel, groups, read.test_error, color, "test error")
    format_width_axis(panel, groups)
    panel.set_title(title)


def _error_figure(title, runs):
    groups = by_width(runs)
    figure = style.new_figure(6.2, 4.4, f"{title}\nmeasured: {when(runs)}")
    panel = figure.subplots()
    draw_test_error(panel, groups)
    figure.legend(handles=handles(groups), loc="outside lower center", ncols=2)
    return figure


def _volume_figure(title, runs):
    groups = by_width(runs)
    figure = style.new_figure(style.WIDTH, 6.8, f"{title}\nat the images: {when(runs)}")
    for panel, metric in zip(figure.subplots(2, 2).flat, read.VOLUME_METRICS, strict=True):
        _draw_volumes(panel, groups, metric)
    _legend(figure, runs, groups)
    return figure


def wrong_labels(runs):
    """Says how many labels of the runs are wrong."""
    settings = runs[0][0]
    if settings.noise == "asymmetric":
        share = 100 * settings.corrupted_fraction
        return f"{share:g} % wrong labels in {settings.num_corrupted_classes} classes"
    return f"{100 * settings.label_noise:g} % wrong labels" if settings.label_noise else "true labels"


def networks(runs):
    """What the runs trained: "ConvNets"."""
    return _NETWORKS[runs[0][0].network]


def figure_1c(runs):
    """Test error of the ConvNets, CIFAR-10 with wrong labels."""
    return _error_figure(f"{PAPER}, figure 1c: test error of {networks(runs)}, {wrong_labels(runs)}", runs)


def figure_1d(runs):
    """Test error of the ConvNets, CIFAR-100 or what stands in for it."""
    return _error_figure(f"{PAPER}, figure 1d: test error of {networks(runs)}, {wrong_labels(runs)}", runs)


def figure_2(runs):
    """Accuracy, loss and sharpness over volumes around all training images."""
    return _volume_figure(f"{PAPER}, figure 2: volumes around training images, {wrong_labels(runs)}", runs)


def figure_4(runs):
    """Accuracy, loss and sharpness over volumes around training images, without wrong labels."""
    return _volume_figure(f"{PAPER}, figure 4: volumes around training images, {wrong_labels(runs)}", runs)


def _draw_by_labels(rows, groups, metrics):
    """A row a metric: around images with true labels (left) and with wrong ones, on one axis."""
    for row, metric in zip(rows, metrics, strict=True):
        for panel, subset in zip(row, ("clean", "noisy"), strict=True):
            _draw_volumes(panel, groups, metric, subset)
            panel.set_title("")
        row[1].sharey(row[0])
        row[0].set_ylabel(_TITLES[metric])
        row[0].set_ylim(*_joint_limits(row))
    rows[0][0].set_title("images with true labels")
    rows[0][1].set_title("images with wrong labels")


def _joint_limits(panels):
    lows, highs = zip(*(panel.dataLim.intervaly for panel in panels), strict=True)
    margin = 0.04 * (max(highs) - min(lows))
    return (0 if min(lows) < 0.2 * max(highs) else min(lows) - margin), max(highs) + margin


def figure_3(runs):
    """Accuracy, loss and sharpness around images with true (left) and with wrong labels (right)."""
    groups = by_width(runs)
    title = f"{PAPER}, figure 3: volumes around images by their label, {wrong_labels(runs)}"
    figure = style.new_figure(style.WIDTH, 11.2, f"{title}\nat the images: {when(runs)}")
    rows = figure.subplots(4, 2)
    _draw_by_labels(rows, groups, read.VOLUME_METRICS)
    for panel in rows[:-1].flat:
        panel.set_xlabel("")
    _legend(figure, runs, groups)
    return figure


def figure_6(runs):
    """ResNets: test error, and the measures over volumes."""
    groups = by_width(runs)
    settings = runs[0][0]
    trained = f"{'no augmentation' if settings.augmentation == 'none' else 'augmentation'}, "
    trained += {"adam": "Adam", "sgd": "SGD"}[settings.optimizer]
    title = f"{PAPER}, figure 6: {networks(runs)}, {trained}, {wrong_labels(runs)}"
    figure = style.new_figure(style.WIDTH, 9, f"{title}\ntest error and measures at the images: {when(runs)}")
    panels = figure.subplots(3, 2)
    draw_test_error(panels[0, 0], groups)
    for panel, metric in zip(panels.flat[1:], read.VOLUME_METRICS, strict=False):
        _draw_volumes(panel, groups, metric)
    panels[2, 1].set_axis_off()
    _legend(figure, runs, groups, panels[2, 1])
    return figure


def figure_7(runs):
    """Asymmetric noise: sharpness around true and wrong labels, and test error by class."""
    groups = by_width(runs)
    title = f"{PAPER}, figure 7: {wrong_labels(runs)}\ntest error and measures at the images: {when(runs)}"
    figure = style.new_figure(style.WIDTH, 9.2, title)
    rows = figure.subplots(3, 2)
    _draw_by_labels(rows[:2], groups, ("jacobian_norm", "tangent_hessian_norm"))
    for panel, name in zip(rows[2], ("unperturbed", "perturbed"), strict=True):

        def measure(run, name=name):
            return 100 * (1 - read.last(run, "accuracy", subset=f"test_{name}"))

        draw_curve(panel, groups, measure, BLACK, name)
        format_width_axis(panel, groups)
        panel.set_title(f"{name} classes")
    rows[2][1].sharey(rows[2][0])
    rows[2][0].set(ylabel="test error (%)", ylim=_joint_limits(rows[2]))
    _legend(figure, runs, groups)
    return figure
