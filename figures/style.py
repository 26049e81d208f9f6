"""One style for all figures: colors, logarithmic axes with a place for zero, how a measured value is drawn.

Independent runs (or pairs of runs) lie faintly behind their mean. From five on the mean carries its 95 %
interval, and a small hollow marker is their median; of fewer, thin lines join the values of each run.
"""

import dataclasses
import math

import matplotlib.figure
import matplotlib.style
import numpy as np
from matplotlib import patheffects, ticker
from matplotlib.lines import Line2D
from matplotlib.transforms import ScaledTranslation
from scipy.optimize import isotonic_regression

# Okabe & Ito 2008, "Color Universal Design".
BLACK, GREY = "#000000", "#666666"
ORANGE, SKY, GREEN, BLUE = "#E69F00", "#56B4E9", "#009E73", "#0072B2"
VERMILLION, PURPLE = "#D55E00", "#CC79A7"

_RC = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "figure.titlesize": 10.5,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "pdf.fonttype": 42,
    "savefig.dpi": 150,
}
# Inches, of the widest picture. Pages show it in 838 pixels, of which exponents and indices then have 9.
WIDTH = 8.0
# From so many independent values on an interval is drawn: of two it is 13 standard errors long.
FEWEST = 5
# At the left, clear of a legend at the right.
_TITLE = {"x": 0.01, "ha": "left", "wrap": True}
_HALO = [patheffects.withStroke(linewidth=2, foreground="white")]


def applied():
    """Returns a context in which figures are made and saved in this style, whatever the user's own."""
    return matplotlib.style.context(_RC, after_reset=True)


def new_figure(width, height, title):
    """Returns an empty figure of that many inches; its layout keeps everything inside the picture."""
    figure = matplotlib.figure.Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(title, **_TITLE)
    return figure


def stamp(figure, text):
    """Adds a line to a figure's title: which runs it shows."""
    figure.suptitle(f"{figure.get_suptitle()}\n{text}", **_TITLE)


class LogAxis:
    """Limits and ticks of a logarithmic axis, shared by panels, with a marked place for exact zeros.

    Args:
        samples: Arrays of numbers that the axis must show; nan is left out.
    """

    def __init__(self, *samples):
        values = np.concatenate([np.ravel(sample) for sample in samples]).astype(np.float64)
        values = values[np.isfinite(values)]
        positive = values[values > 0] if (values > 0).any() else np.ones(1)
        low, high = np.log10(positive.min()), np.log10(positive.max())
        has_zero = bool((values <= 0).any())
        if has_zero:
            low = math.floor(low)
        margin = max(0.05 * (high - low), 0.08)
        self.zero = 10.0 ** (low - 1) if has_zero else None
        self._ticks_from = low if has_zero else low - margin
        self.low = 10.0 ** (low - 1.3 if has_zero else low - margin)
        self.high = 10.0 ** (high + margin)

    def place(self, values):
        """Returns where values are drawn: zeros at the marked place, everything else where it is."""
        values = np.asarray(values, np.float64)
        placed = values if self.zero is None else np.where(values <= 0, self.zero, values)
        return placed[()]

    def apply(self, axes, which="y"):
        """Gives an axis of a panel this scale, these limits and ticks."""
        axis = axes.yaxis if which == "y" else axes.xaxis
        axes.set(**{f"{which}scale": "log", f"{which}lim": (self.low, self.high)})
        ticks, labels = self._ticks(9 if which == "y" else 5)
        if self.zero is not None:
            ticks, labels = [self.zero, *ticks], ["0", *labels]
            line = axes.axhline if which == "y" else axes.axvline
            line(self.zero * 10**0.5, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
        axis.set_major_locator(ticker.FixedLocator(ticks))
        axis.set_major_formatter(ticker.FixedFormatter(labels))
        axis.set_minor_locator(ticker.NullLocator())

    def _ticks(self, most):
        """Whole decades, at most so many; numbers between them where the axis spans less than two."""
        low, high = self._ticks_from, math.log10(self.high)
        if high - low < 2:
            for steps in ((1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
                values = [m * 10.0**d for d in range(math.floor(low), math.ceil(high)) for m in steps]
                values = [v for v in values if low <= math.log10(v) <= high]
                if len(values) > 2:
                    break
            return values, [f"{v:g}" for v in values]
        decades = range(math.ceil(low), math.floor(high) + 1)
        decades = decades[:: math.ceil(len(decades) / most)]
        return [10.0**d for d in decades], [f"$10^{{{d}}}$" for d in decades]


@dataclasses.dataclass(frozen=True)
class Stroke:
    """How one curve looks."""

    color: str
    marker: str
    linestyle: str | tuple = "-"

    def handle(self, label):
        """Returns a legend entry."""
        return Line2D(
            [], [], color=self.color, marker=self.marker, markersize=5, linestyle=self.linestyle, label=label
        )


@dataclasses.dataclass(frozen=True)
class Measured:
    """One quantity at the end of a run: its summaries over independent pairs or runs, and each of them.

    `faint`: whether its interval is, since it goes below zero and would dominate a logarithmic panel.
    """

    mean: float
    low: float
    high: float
    median: float
    runs: np.ndarray
    faint: bool = False

    @property
    def num_runs(self):
        """How many of them have a value."""
        return int(np.isfinite(self.runs).sum())

    @property
    def reaches_zero(self):
        """Whether its interval is drawn and goes below zero, which a logarithmic axis has no place for."""
        return self.num_runs >= FEWEST and bool(self.low <= 0 < self.mean)

    def placed(self, axis):
        """Returns these numbers where a LogAxis draws them."""
        numbers = (self.mean, self.low, self.high, self.median, self.runs)
        return Measured(*map(axis.place, numbers), faint=self.reaches_zero)


def position(value, runs):
    """Returns a fixed coordinate in the form of a Measured of that many runs, without an interval."""
    return Measured(value, np.nan, np.nan, value, np.full(len(runs), value))


def _strength(value):
    return {"linewidth": 0.8, "alpha": 0.3} if value.faint else {"linewidth": 1.2}


def padded(values):
    """Returns rows of unequally many numbers as one array, filled up with nan."""
    most = max(map(len, values))
    return np.array([[*found, *[np.nan] * (most - len(found))] for found in values])


def draw_few(axes, xs, rows, color, join=True):
    """Draws a thin line for each of few runs, or its dots; rows: an array a point, [runs]; nan is a gap."""
    for x, y in zip(np.transpose(xs), np.transpose(rows), strict=True):
        axes.plot(
            x, y, ".-" if join else ".", color=color, markersize=4, linewidth=0.7, alpha=0.45, label="_runs"
        )


def draw_points(axes, xs, ys, stroke, label, sizes=None, join_runs=True):
    """Draws a curve of measured values; an interval and a median where five are independent.

    Args:
        axes: Panel.
        xs: List of Measured, one a point.
        ys: The same for the vertical axis.
        stroke: The curve's Stroke.
        label: Name of the line that joins the means.
        sizes: Of the markers of the means; by default one size.
        join_runs: Whether thin lines join the values of each of few runs.
    """
    color = stroke.color
    if ys and max(y.num_runs for y in ys) < FEWEST:
        draw_few(axes, padded([x.runs for x in xs]), padded([y.runs for y in ys]), color, join_runs)
    else:
        _draw_many(axes, xs, ys, stroke)
    means = [x.mean for x in xs], [y.mean for y in ys]
    marker = {"marker": stroke.marker, "markersize": 5.5} if sizes is None else {}
    axes.plot(*means, color=color, linestyle=stroke.linestyle, label=label, zorder=3, **marker)
    for x, y, size in zip(*means, sizes or (), strict=sizes is not None):
        axes.plot(x, y, stroke.marker, color=color, markersize=size, zorder=3, label="_mean")


def _draw_many(axes, xs, ys, stroke):
    """Every run, the interval of the mean and the median of each point."""
    color = stroke.color
    hollow = {"markerfacecolor": "white", "markeredgecolor": color, "markeredgewidth": 0.8}
    runs = {"color": color, "markersize": 3.5, "alpha": 0.25, "markeredgewidth": 0, "label": "_runs"}
    for x, y in zip(xs, ys, strict=True):
        axes.plot(x.runs, y.runs, ".", **runs)
        if min(x.num_runs, y.num_runs) < FEWEST:
            continue
        axes.plot([x.mean, x.mean], [y.low, y.high], color=color, label="_interval", **_strength(y))
        axes.plot([x.low, x.high], [y.mean, y.mean], color=color, label="_interval", **_strength(x))
        axes.plot(x.median, y.median, stroke.marker, markersize=3.6, zorder=2.5, label="_median", **hollow)


def limit_to_values(axes):
    """Limits the vertical axis to means and single runs; a wide interval is cut off."""
    lines = [line.get_ydata() for line in axes.lines if line.get_label() != "_interval"]
    values = np.concatenate(lines) if lines else np.empty(0)
    values = values[np.isfinite(values)]
    if values.size and values.min() < values.max():
        margin = 0.05 * (values.max() - values.min())
        axes.set_ylim(values.min() - margin, values.max() + margin)


FAINT = "faint: the interval goes below 0"  # a note for a legend


def no_interval(count, unit):
    """Says why no interval is drawn: "4 seeds: no interval"."""
    number = ("no", "one", "two", "three", "four")[count]
    return f"{number} {unit}{'s' * (count > 1)}: no interval"


def note_handle(text):
    """A legend entry of words alone."""
    return Line2D([], [], linestyle="none", label=text)


def value_handles(unit, count):
    """Legend entries that say what the marks of a measured value are.

    Args:
        unit: "pair", "run" or "seed".
        count: The largest number of them that a value has.
    """
    grey = {"color": GREY, "linestyle": "none"}
    if count < FEWEST:
        mean = Line2D([], [], marker="o", markersize=5.5, label=f"mean over {unit}s", **grey)
        one = Line2D(
            [], [], color=GREY, marker=".", markersize=5, linewidth=0.7, alpha=0.6, label=f"one {unit}"
        )
        return [*[mean, one][: 2 * (count > 1)], note_handle(no_interval(count, unit))]
    return [
        Line2D([], [], marker="o", markersize=5.5, label=f"mean over {unit}s", **grey),
        Line2D([], [], marker="|", markersize=9, label="95 % interval of the mean", **grey),
        Line2D([], [], marker="o", markersize=3, markerfacecolor="white", label=f"median {unit}", **grey),
        Line2D([], [], marker=".", markersize=4, alpha=0.4, label=f"one {unit}", **grey),
    ]


def spread(positions, gap):
    """Moves numbers as little as possible (least squares) until they are `gap` apart; keeps their order."""
    positions = np.asarray(positions, np.float64)
    order = np.argsort(positions, kind="stable")
    offsets = gap * np.arange(len(positions))
    moved = np.empty_like(positions)
    moved[order] = isotonic_regression(positions[order] - offsets).x + offsets
    return moved


@dataclasses.dataclass(frozen=True)
class Label:
    """A short text beside a point."""

    x: float
    y: float
    text: str
    color: str


_COLUMN = 0.05  # points closer than this share of a panel's width count as one column


def label_points(axes, labels, gap=0.032):
    """Writes labels to the right of their points; those of one column are moved apart vertically.

    A line leads from a point to a label that had to move.

    Args:
        axes: Panel whose scales and limits are final.
        labels: List of Label.
        gap: Least vertical distance, as a share of the panel's height.
    """
    places = [(axes.transScale + axes.transLimits).transform((label.x, label.y)) for label in labels]
    beside = axes.transAxes + ScaledTranslation(3 / 72, 2 / 72, axes.figure.dpi_scale_trans)
    for members in _columns([x for x, _ in places], _COLUMN):
        heights = spread([places[i][1] for i in members], gap)
        for i, height in zip(members, heights, strict=True):
            moved = abs(height - places[i][1]) > 0.75 * gap
            leader = {"arrowstyle": "-", "color": labels[i].color, "linewidth": 0.5, "shrinkB": 0}
            axes.annotate(
                labels[i].text,
                places[i],
                xycoords="axes fraction",
                xytext=(places[i][0], height),
                textcoords=beside,
                arrowprops=leader if moved else None,
                ha="left",
                va="bottom",
                fontsize=7,
                color=BLACK,
                path_effects=_HALO,
                zorder=6,
            )


def _columns(positions, width):
    """Groups the indices of positions: a new group starts where the next one is at least `width` away."""
    groups = []
    for i in np.argsort(positions, kind="stable"):
        if groups and positions[i] - positions[groups[-1][-1]] < width:
            groups[-1].append(i)
        else:
            groups.append([i])
    return groups
