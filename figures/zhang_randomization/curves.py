"""Zhang et al. 2017, figures 1a, 2a and 2b: losses and accuracies in the course of training."""

import dataclasses
import functools
import math

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from common.data.datasets import DATASETS
from common.statistics import interval
from common.study.records import last, rows_of
from figures import style
from figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from replications.zhang_randomization.results import is_capped

PAPER = "Zhang et al. 2017"

_CONDITIONS = {
    "true_labels": ("true labels", BLUE),
    "random_labels": ("random labels", VERMILLION),
    "shuffled_pixels": ("shuffled pixels", GREEN),
    "random_pixels": ("random pixels", PURPLE),
    "gaussian_pixels": ("Gaussian pixels", ORANGE),
}
_FAINT, _STRONG = {"linewidth": 0.8, "alpha": 0.4}, {"linewidth": 1.8}
_DOTTED = {"linewidth": 0.8, "linestyle": (0, (1, 2))}
_HIGHEST_LOSS = 1.74  # times that of chance
# A network counts as staying at chance below so many times that accuracy, on training and test images.
_STAYS_AT_CHANCE = 1.2


def num_classes(run):
    """Number of classes of a run's images."""
    return DATASETS[run.record["settings"]["dataset"]].num_classes


def chance(run):
    """Accuracy of a guess on a run's images, in percent."""
    return DATASETS[run.record["settings"]["dataset"]].chance


def by_setting(runs):
    """Groups (settings, Run) by everything but the seed: {settings with seed 0: list of Run}."""
    groups = {}
    for settings, run in runs:
        groups.setdefault(dataclasses.replace(settings, seed=0), []).append(run)
    return groups


def steps_per_epoch(run):
    """Steps of an epoch."""
    row = run.rows.iloc[0]
    return round(row.step / row.epoch)


def smoothed(run):
    """The loss of the batches as they were trained, averaged over the epoch before a step.

    A window of a whole epoch holds every image once.

    Returns:
        Four steps an epoch from the end of the first one on, and the mean loss at each.
    """
    window = steps_per_epoch(run)
    sums = np.concatenate([[0.0], np.cumsum(run.arrays["batch_losses"], dtype=np.float64)])
    ends = np.arange(window, len(sums), max(1, window // 4))
    return ends, (sums[ends] - sums[ends - window]) / window


def _draw_mean(panel, members, curve, color, label, quantity, **how):
    """Draws each run's curve faintly, and the mean of those that do not diverge, where all have a point.

    Returns:
        The curves.
    """
    curves = [curve(run) for run in members]
    if len(curves) > 1:
        for xs, ys in curves:
            panel.plot(xs, ys, color=color, label="_seed", **_FAINT, **how)
    whole = [one for run, one in zip(members, curves, strict=True) if not run.diverged] or curves
    shared = functools.reduce(np.intersect1d, [xs for xs, _ in whole])
    values = np.array([ys[np.isin(xs, shared)] for xs, ys in whole])
    panel.plot(shared, values.mean(axis=0), color=color, label=label, **_STRONG, **how)
    if len(whole) >= style.FEWEST:
        bounds = np.transpose([interval(column, quantity=quantity) for column in values.T])
        panel.fill_between(shared, *bounds, color=color, alpha=0.15, linewidth=0, label="_interval")
    return curves


def _mark_end(panel, run, color):
    """Marks where a run with a target ended: filled if the training set was fitted, else hollow."""
    if "fit" not in set(run.rows.metric):
        return
    _, means = smoothed(run)
    place = len(run.arrays["batch_losses"]), means[-1] if len(means) else math.nan
    face = "white" if is_capped(run) else color
    look = {"color": color, "markerfacecolor": face, "markersize": 6, "zorder": 4, "clip_on": False}
    panel.plot(*place, "o", label="_end", **look)


def figure_1a(runs):
    """Mean training loss against the step, for the five conditions."""
    figure = style.new_figure(
        style.WIDTH, 4.3, f"{PAPER}, figure 1a: fitting random labels and random pixels"
    )
    panel = figure.subplots()
    groups = by_setting(runs)
    highest = 0.0
    for settings, members in groups.items():
        name, color = _CONDITIONS[settings.condition]
        curves = _draw_mean(panel, members, smoothed, color, name, "positive")
        for run in members:
            _mark_end(panel, run, color)
        highest = max(highest, *(np.nanmax(ys, initial=0) for _, ys in curves))
    panel.axhline(math.log(num_classes(runs[0][1])), color=GREY, **_DOTTED)
    panel.set(
        xlabel=f"training step (mini-batches; an epoch has {steps_per_epoch(runs[0][1])})",
        ylabel="mean training loss (nats)",
        ylim=(0, min(1.05 * highest, _HIGHEST_LOSS * math.log(num_classes(runs[0][1])))),
    )
    panel.set_xlim(left=0)
    handles = [Line2D([], [], color=color, label=name, **_STRONG) for name, color in _CONDITIONS.values()]
    grey = {"color": GREY, "linestyle": "none", "marker": "o"}
    ends = {last(run, "fit") for _, run in runs if not run.diverged}
    if 1 in ends:
        handles.append(Line2D([], [], label="training set fitted", **grey))
    if 0 in ends:
        handles.append(Line2D([], [], label="not fitted at the cap", markerfacecolor="white", **grey))
    handles.append(Line2D([], [], color=GREY, label=f"chance, ln {num_classes(runs[0][1])}", **_DOTTED))
    _add_legend(figure, handles, groups, ("mean over the epoch before a step",), loc="outside right upper")
    return figure


def _add_legend(figure, handles, groups, notes, **place):
    """Adds what a faint line is, if there is one, and notes."""
    if max(map(len, groups.values())) > 1:
        handles.append(Line2D([], [], color=GREY, label="one seed, the mean in front", **_FAINT))
    if max(sum(not run.diverged for run in members) for members in groups.values()) >= style.FEWEST:
        handles.append(Patch(color=GREY, alpha=0.25, linewidth=0, label="95 % interval of the mean"))
    handles += [Line2D([], [], linestyle="none", label=note) for note in notes]
    figure.legend(handles=handles, **place)


def _accuracies(run, metric):
    """Epochs, and a metric at each of them in percent."""
    rows = rows_of(run, metric)
    return rows.epoch.to_numpy(float), 100 * rows.value.to_numpy()


def _fate(members):
    """Words for networks that did not train, such as " (stays at chance)"; empty if all did."""

    def share(count, what):
        of = "" if count == len(members) else f"{count} of {len(members)} seeds "
        return f" ({of}{what})" if count else ""

    diverged = ["diverged" in set(run.rows.metric) for run in members]
    metrics = ("batch_accuracy", "train_accuracy", "test_accuracy")
    low = [
        100 * max(last(run, metric) for metric in metrics) < _STAYS_AT_CHANCE * chance(run) for run in members
    ]
    stuck = sum(c and not d for c, d in zip(low, diverged, strict=True))
    return share(sum(diverged), "diverges") + share(stuck, "stays at chance")


def _accuracy_figure(title, groups, names):
    """Training (left) and test accuracy (right) against the epoch, a color a setting."""
    figure = style.new_figure(style.WIDTH, 4.8, title)
    panels = figure.subplots(1, 2, sharey=True, sharex=True)
    handles = []
    for (name, color), members in zip(names, groups.values(), strict=True):
        for panel, metric in zip(panels, ("batch_accuracy", "test_accuracy"), strict=True):
            curve = functools.partial(_accuracies, metric=metric)
            marker = {} if len(curve(members[0])[0]) > 2 else {"marker": "o", "markersize": 4}
            _draw_mean(panel, members, curve, color, name, "percentage", **marker)
        for run in members:
            xs, ys = _accuracies(run, "train_accuracy")
            panels[0].plot(xs[-1:], ys[-1:], "D", color=color, markersize=4.5, zorder=4, label="_end")
        handles.append(Line2D([], [], color=color, label=name + _fate(members), **_STRONG))
    for panel, part in zip(panels, ("training", "test"), strict=True):
        panel.axhline(chance(next(iter(groups.values()))[0]), color=GREY, **_DOTTED)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.set(title=f"{part} images", xlabel="epoch", ylim=(0, 103))
    panels[0].set_ylabel("accuracy (%)")
    panels[0].set_xlim(left=0)
    handles += [
        Line2D(
            [],
            [],
            color=GREY,
            linestyle="none",
            marker="D",
            markersize=4.5,
            label="at the end, inference mode",
        ),
        Line2D([], [], color=GREY, label="chance", **_DOTTED),
    ]
    notes = ("training: batches as they were trained",)
    _add_legend(figure, handles, groups, notes, loc="outside lower center", ncols=2)
    return figure


def figure_2a(runs):
    """Accuracies with no regularizer, with weight decay, and with dropout and augmentation as well."""
    groups = by_setting(runs)
    names = []
    for settings in groups:
        if settings.dropout:
            names.append(("weight decay, dropout, augmentation", VERMILLION))
        elif settings.augmentation != "central_crop":  # of a network without dropout
            names.append(("weight decay, augmentation", VERMILLION))
        else:
            names.append(("weight decay", BLUE) if settings.decay_weights else ("no regularizer", BLACK))
    return _accuracy_figure(f"{PAPER}, figure 2a as EE-411 has it: regularizers", groups, names)


def figure_2b(runs):
    """Accuracies with batch normalization in all modules, in the downsample modules, and in none."""
    groups = by_setting(runs)
    rates = {settings.learning_rate for settings in groups}
    names = []
    for settings in groups:
        rate = f", rate {settings.learning_rate:g}" if len(rates) > 1 else ""
        if settings.batch_norm == "none":
            color = VERMILLION if settings.learning_rate == max(rates) else ORANGE
            names.append((f"no BN{rate}", color))
        elif settings.batch_norm == "downsample":
            names.append((f"BN in the downsample modules{rate}", GREEN))
        else:
            names.append((f"BN in all modules{rate}", BLUE))
    return _accuracy_figure(f"{PAPER}, figure 2b: batch normalization (BN)", groups, names)
