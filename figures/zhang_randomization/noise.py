"""Zhang et al. 2017, figures 1b and 1c: time to fit and test error against label noise.

A run that reached its cap before it fitted has no time to fit: it is drawn hollow, at the cap and with an
arrow where time is drawn, and takes part in no mean.
"""

import dataclasses
import math

import numpy as np
from matplotlib.lines import Line2D

from common.statistics import summarize
from common.study.records import last
from figures import style
from figures.style import BLUE, GREEN, GREY, PURPLE, VERMILLION, Measured, Stroke
from figures.zhang_randomization.curves import PAPER, by_setting, chance
from replications.zhang_randomization.published import NETWORK_NAMES
from replications.zhang_randomization.results import epochs_to_fit, is_capped

NOISE_LABEL = "label noise $p$ (part of the labels drawn anew)"
STROKES = {
    "inception": Stroke(BLUE, "o"),
    "alexnet": Stroke(VERMILLION, "s"),
    "mlp_1x512": Stroke(GREEN, "D"),
    "mlp_3x512": Stroke(PURPLE, "^"),
}
_APART = 0.012  # sideways, between two networks


@dataclasses.dataclass(frozen=True)
class Point:
    """The runs of one network at one label noise.

    By seed the values of the fitted ones, nan of the others, in one order of the seeds for all points of a
    network; values of those at their cap; and how many have none: diverged, or without a run on clean labels
    to be compared with. What the values are, see `common.statistics.interval`.
    """

    noise: float
    by_seed: tuple[float, ...]
    capped: tuple[float, ...]
    num_without: int
    quantity: str = "positive"

    @property
    def fitted(self):
        """Values of the fitted ones."""
        return tuple(value for value in self.by_seed if not math.isnan(value))

    @property
    def measured(self):
        """Mean and interval, which are nan unless all runs fitted and have a value; and every fitted run."""
        if self.capped or self.num_without or not self.fitted:
            return Measured(math.nan, math.nan, math.nan, math.nan, np.array(self.by_seed))
        found = summarize(self.fitted, self.quantity)
        return Measured(found.mean, found.low, found.high, math.nan, np.array(self.by_seed))


def by_network(runs):
    """Groups (settings, Run): {network: {label noise: list of Run}}."""
    networks = {}
    for settings, members in by_setting(runs).items():
        networks.setdefault(settings.network, {})[settings.label_noise] = members
    return networks


def points(noises, value, quantity="positive"):
    """The Points of one network's runs, least noise first; one that diverged or is nan has no value."""
    found = []
    seeds = sorted({run.seed for members in noises.values() for run in members})
    for noise, members in sorted(noises.items()):
        values = [(run.seed, is_capped(run), value(run)) for run in members if not run.diverged]
        fitted, capped = (
            {seed: v for seed, capped, v in values if capped == wanted and not math.isnan(v)}
            for wanted in (False, True)
        )
        without = len(members) - len(fitted) - len(capped)
        by_seed = tuple(fitted.get(seed, math.nan) for seed in seeds)
        found.append(Point(noise, by_seed, tuple(capped.values()), without, quantity))
    return found


def relative_times(noises):
    """The Points of one network's epochs relative to those that the same seed needs for clean labels."""
    clean = {run.seed: epochs_to_fit(run) for run in noises[0.0]}

    def relative(run):
        if run.record["settings"]["label_noise"] == 0:
            return math.nan if math.isnan(clean[run.seed]) else 1.0
        # Of a capped run the epochs that it trained, which is where it is drawn.
        return run.rows.epoch.max() / clean.get(run.seed, math.nan)

    return points(noises, relative)


def _draw_points(panel, found, stroke, offset, arrow):
    values = [point.measured for point in found]
    xs = [style.position(p.noise + offset, v.runs) for p, v in zip(found, values, strict=True)]
    xs = [dataclasses.replace(x, median=math.nan) for x in xs]
    style.draw_points(panel, xs, values, stroke, "_mean")
    look = {"color": stroke.color, "markerfacecolor": "white", "markersize": 6, "zorder": 4}
    for point in found:
        if point.capped or point.num_without:
            # No mean stands in front of these.
            seeds = [point.noise + offset] * len(point.fitted)
            panel.plot(
                seeds, point.fitted, stroke.marker, color=stroke.color, markersize=3.5, label="_fitted"
            )
        for y in point.capped:
            panel.plot(point.noise + offset, y, stroke.marker, label="_capped", **look)
            if arrow:
                panel.annotate(
                    "",
                    (point.noise + offset, y),
                    (0, 16),
                    textcoords="offset points",
                    arrowprops={"arrowstyle": "<-", "color": stroke.color, "shrinkA": 0, "shrinkB": 3},
                )


def _draw_networks(title, ylabel, networks, arrow):
    """A panel with the points of every network: returns figure and panel."""
    figure = style.new_figure(style.WIDTH, 5, title)
    panel = figure.subplots()
    offsets = _APART * (np.arange(len(networks)) - (len(networks) - 1) / 2)
    for (network, found), offset in zip(networks.items(), offsets, strict=True):
        _draw_points(panel, found, STROKES[network], offset, arrow)
    panel.set(xlabel=NOISE_LABEL, ylabel=ylabel, xlim=(-0.06, 1.06), xticks=np.linspace(0, 1, 11))
    return figure, panel


def _add_legend(figure, handles, networks, capped):
    """Networks first, then what the marks are."""
    most = max(len(p.fitted) + len(p.capped) for found in networks.values() for p in found)
    marks = [h for h in style.value_handles("seed", most) if h.get_label() != "median seed"]
    if any(point.capped for found in networks.values() for point in found):
        grey = {"color": GREY, "linestyle": "none", "marker": "o", "markerfacecolor": "white"}
        marks.append(Line2D([], [], label=capped, **grey))
    figure.legend(handles=[*handles, *marks], loc="outside lower center", ncols=3)


def figure_1b(runs):
    """Epochs to fit the training set, relative to clean labels, against label noise."""
    groups = by_network(runs)
    networks = {network: relative_times(noises) for network, noises in groups.items()}
    title = f"{PAPER}, figure 1b: time to fit corrupted labels"
    figure, panel = _draw_networks(title, "epochs to fit, relative to clean labels", networks, arrow=True)
    panel.axhline(1, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    times = [y for found in networks.values() for p in found for y in p.fitted + p.capped]
    panel.set_ylim(0, 1.15 * max(times, default=2))
    if not times:
        place = {"transform": panel.transAxes, "ha": "center", "va": "center", "color": GREY}
        panel.text(0.5, 0.7, "no network fitted clean labels: no relative time", **place)
    handles = []
    for network, noises in groups.items():
        times = [epochs_to_fit(run) for run in noises[0.0]]
        missing = int(np.isnan(times).sum())
        seeds = f"{missing} of {len(times)} seeds " * (len(times) > 1)
        clean = f"{seeds}not fitted" if missing else f"{np.mean(times):.3g} epochs"
        handles.append(STROKES[network].handle(f"{NETWORK_NAMES[network]} (clean: {clean})"))
    _add_legend(figure, handles, networks, "not fitted at the cap: longer")
    return figure


def figure_1c(runs):
    """Test error against label noise."""
    groups = by_network(runs)
    networks = {
        network: points(noises, lambda run: 1 - last(run, "test_accuracy"), "fraction")
        for network, noises in groups.items()
    }
    title = f"{PAPER}, figure 1c: test error of the fitted networks"
    figure, panel = _draw_networks(title, "test error", networks, arrow=False)
    level = 1 - chance(runs[0][1]) / 100
    panel.axhline(level, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    words = {"va": "bottom", "fontsize": 7, "color": GREY}
    panel.annotate(f"chance, {level:g}", (0.1, level), (0, 2), textcoords="offset points", **words)
    errors = [y for found in networks.values() for p in found for y in p.fitted + p.capped]
    panel.set_ylim(max(0, math.floor(10 * min(errors, default=0)) / 10 - 0.1), 1)
    handles = [STROKES[network].handle(NETWORK_NAMES[network]) for network in groups]
    _add_legend(figure, handles, networks, "training set not fitted at the cap")
    return figure
