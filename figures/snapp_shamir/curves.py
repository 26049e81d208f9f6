"""Snapp & Shamir 2021, figures 2, 6, 8 and 10: relative PD against shuffling window and excess label loss."""

import dataclasses

import numpy as np
from matplotlib.lines import Line2D

from figures import style
from figures.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILLION, Label, Stroke
from replications.snapp_shamir.published import ACTIVATION_NAMES, OPTIMIZER_NAMES
from replications.snapp_shamir.results import LOSS, PD
from replications.snapp_shamir.settings import Settings

PD_LABEL = r"relative prediction difference $\Delta_r$"
WINDOW_LABEL = r"$\log_2 z$ (mini-batches)"
LOSS_LABEL = r"excess label loss $L$ (nats)"
PAPER = "Snapp & Shamir 2021"

_UNITS = {"single": "1", "double": "2"}
_ACTIVATION_STROKES = {
    "identity": Stroke(BLUE, "s"),
    "relu": Stroke(VERMILLION, "v"),
    "smelu": Stroke(GREEN, "D"),
    "swish": Stroke(PURPLE, "^"),
}
_LINEAR = Stroke(BLACK, "o")
_OTHER = Stroke(ORANGE, "P")  # an activation that the paper has not


def curve_name(settings):
    """Names a curve as the paper's legends do: activation and hidden units, beta, TL, diff."""
    if settings.model == "linear":
        name = "linear"
    else:
        name = ACTIVATION_NAMES[settings.activation] + _UNITS.get(settings.model, "")
    if settings.beta is not None:
        name += rf" $\beta$={settings.beta:g}"
    return name + " TL" * settings.warm_start + " diff" * (settings.init == "distinct")


def title(name, runs):
    """Names a figure of the paper, and the theta that it shows."""
    seeds = sorted({settings.seed for settings, _ in runs})
    return f"{PAPER}, {name}; theta of seed {' and '.join(map(str, seeds))}"


def _final_rows(run, metric):
    rows = run.rows[run.rows.metric == metric]
    return rows[rows.examples == run.rows.examples.max()]


def summary(run, metric):
    """Returns the `style.Measured` of a metric at the end of a run; nan where every pair diverged."""
    rows = _final_rows(run, metric)
    found = rows.set_index("statistic").value
    pairs = rows[rows.statistic == "pair"].value.to_numpy()
    return style.Measured(*(float(found.get(s, np.nan)) for s in ("mean", "low", "high", "median")), pairs)


def count(run, metric):
    """Returns a counted quantity at the end of a run."""
    rows = _final_rows(run, metric)
    return int(rows[rows.statistic == "count"].value.sum())


@dataclasses.dataclass(frozen=True)
class Point:
    """What one run adds to a curve: its window and what was measured over its pairs."""

    window_log2: int
    difference: style.Measured
    loss: style.Measured
    dead: int
    diverged: int

    @property
    def lost(self):
        """Words for the models that did not learn; empty if all did."""
        counts = {"dead": self.dead, "diverged": self.diverged}
        return ", ".join(f"{number} {name}" for name, number in counts.items() if number)


@dataclasses.dataclass(frozen=True)
class Curve:
    """The runs of one setting at every window, smallest first."""

    settings: Settings
    points: list

    @property
    def name(self):
        """Its legend name."""
        return curve_name(self.settings)


def curves(runs):
    """Groups (settings, Run) pairs that differ in the window alone into a list of Curve."""
    groups = {}
    for settings, run in runs:
        point = Point(
            settings.shuffle_log2,
            summary(run, PD),
            summary(run, LOSS),
            count(run, "dead_models"),
            count(run, "diverged_models"),
        )
        groups.setdefault(dataclasses.replace(settings, shuffle_log2=0), []).append(point)
    return [
        Curve(settings, sorted(points, key=lambda point: point.window_log2))
        for settings, points in groups.items()
    ]


class _Panels:
    """Columns of two panels: relative PD against the window (top) and against the loss (bottom).

    Args:
        figure: Empty figure.
        columns: List of lists of (Curve, Stroke); columns share the axes of their row.
    """

    def __init__(self, figure, columns):
        self.panels = figure.subplots(2, len(columns), squeeze=False, sharex="row", sharey="row")
        points = [p for column in columns for curve, _ in column for p in curve.points]
        self._difference = _axis(p.difference for p in points)
        self._loss = _axis(p.loss for p in points)
        self._windows = sorted({p.window_log2 for p in points})
        for (top, bottom), column in zip(self.panels.T, columns, strict=True):
            self._draw_top(top, column)
            self._draw_bottom(bottom, column)
        for panel in self.panels.flat:
            self._difference.apply(panel)
        for top, bottom in self.panels.T:
            self._loss.apply(bottom, "x")
            step = min(np.diff(self._windows), default=5)
            limits = self._windows[0] - 0.35 * step, self._windows[-1] + 0.55 * step
            top.set(xticks=self._windows, xlabel=WINDOW_LABEL, xlim=limits)
            bottom.set_xlabel(LOSS_LABEL)
        for panel in self.panels[:, 0]:
            panel.set_ylabel(PD_LABEL)
        for (top, bottom), column in zip(self.panels.T, columns, strict=True):
            self._label_top(top, column)
            self._label_bottom(bottom, column)

    def _offsets(self, column):
        """Sideways shifts that keep the points of one window apart."""
        step = min(np.diff(self._windows), default=5)
        return 0.36 * step * (np.arange(len(column)) - (len(column) - 1) / 2) / max(len(column), 6)

    def _draw_top(self, panel, column):
        for (curve, stroke), offset in zip(column, self._offsets(column), strict=True):
            ys = [p.difference.placed(self._difference) for p in curve.points]
            xs = [style.position(p.window_log2 + offset, p.difference.runs) for p in curve.points]
            style.draw_points(panel, xs, ys, stroke, curve.name)

    def _ends(self, curve):
        """The points that the paper's bottom panels show: smallest, middle and largest window."""
        shown = {self._windows[i] for i in (0, len(self._windows) // 2, -1)}
        return [p for p in curve.points if p.window_log2 in shown]

    def _draw_bottom(self, panel, column):
        for curve, stroke in column:
            ys = [p.difference.placed(self._difference) for p in self._ends(curve)]
            xs = [p.loss.placed(self._loss) for p in self._ends(curve)]
            style.draw_points(panel, xs, ys, stroke, curve.name)

    def _height(self, point):
        """Where a point is drawn; at the foot of the panel if no pair gave a number."""
        mean = point.difference.mean
        return self._difference.place(mean) if np.isfinite(mean) else self._difference.low

    def _label_top(self, panel, column):
        labels = [
            Label(p.window_log2 + offset, self._height(p), p.lost, stroke.color)
            for (curve, stroke), offset in zip(column, self._offsets(column), strict=True)
            for p in curve.points
            if p.lost
        ]
        style.label_points(panel, labels, size=6.5)

    def _label_bottom(self, panel, column):
        labels = [
            Label(
                self._loss.place(p.loss.mean),
                self._difference.place(p.difference.mean),
                str(p.window_log2),
                stroke.color,
                ("left", "right")[i % 2],
            )
            for i, (curve, stroke) in enumerate(column)
            for p in self._ends(curve)
            if np.isfinite(p.difference.mean)
        ]
        style.label_points(panel, labels, column=0.03)


def _axis(values):
    return style.LogAxis(*([v.low, v.high, v.median, *v.runs] for v in values))


def _add_legend(figure, handles, notes, **place):
    """Curves first, then the marks of a measured value and notes."""
    notes = [Line2D([], [], linestyle="none", label=note) for note in notes]
    figure.legend(handles=[*handles, *style.value_handles("pair"), *notes], **place)


_NOTES = ("number at a point: $\\log_2 z$", "top: curves set apart sideways", style.FAINT)


def figure_2(runs):
    """Linear model, and one or two hidden units with identity or ReLU: both initializations."""
    strokes = {
        ("linear", "identity"): _LINEAR,
        ("single", "identity"): Stroke(BLUE, "s"),
        ("double", "identity"): Stroke(SKY, "^"),
        ("single", "relu"): Stroke(ORANGE, "D"),
        ("double", "relu"): Stroke(VERMILLION, "v"),
    }
    # Of runs that were changed.
    others = {"single": Stroke(GREEN, "P"), "double": Stroke(PURPLE, "X")}
    column = []
    for curve in curves(runs):
        model, activation = curve.settings.model, curve.settings.activation
        stroke = strokes.get((model, activation)) or others.get(model) or _stroke(curve.settings)
        if curve.settings.init == "distinct":
            stroke = dataclasses.replace(stroke, linestyle="--")
        column.append((curve, stroke))
    figure = style.new_figure(8, 8.6, title("figure 2", runs))
    _Panels(figure, [column])
    _add_legend(
        figure,
        [stroke.handle(curve.name) for curve, stroke in column],
        [*_NOTES, "diff: distinct initialization"],
        loc="outside right upper",
    )
    return figure


def _stroke(settings):
    return _LINEAR if settings.model == "linear" else _ACTIVATION_STROKES.get(settings.activation, _OTHER)


def figure_6(runs):
    """Tower of widths 16, 8, 4, 2: identity, ReLU and, beyond the paper's figure, SmeLU and Swish."""
    column = [(curve, _stroke(curve.settings)) for curve in curves(runs)]
    figure = style.new_figure(7.6, 8, title("figure 6", runs))
    _Panels(figure, [column])
    handles = [stroke.handle(curve.name) for curve, stroke in column]
    _add_legend(figure, handles, _NOTES, loc="outside right upper")
    return figure


def figure_8(runs):
    """Wide embedding: one column an optimizer and rate, the linear model repeated in each."""
    found = curves(runs)
    linear = [(c, _LINEAR) for c in found if c.settings.model == "linear"]
    groups = {}
    for curve in found:
        if curve.settings.model != "linear":
            key = curve.settings.optimizer, curve.settings.learning_rate
            groups.setdefault(key, []).append((curve, _stroke(curve.settings)))
    figure = style.new_figure(12.5, 8, title("figure 8", runs))
    panels = _Panels(figure, [linear + column for column in groups.values()]).panels
    for panel, (optimizer, rate) in zip(panels[0], groups, strict=True):
        panel.set_title(f"{OPTIMIZER_NAMES[optimizer]} {rate:g}")
    handles = [
        stroke.handle(curve.name + " (AdaGrad 0.1)" * (curve.settings.model == "linear"))
        for curve, stroke in linear + next(iter(groups.values()))
    ]
    _add_legend(figure, handles, _NOTES, loc="outside lower center", ncols=6)
    return figure


_SMELU_SHADES = ("#86CFB0", "#4DB892", "#1E9470", "#046B4E", "#00402D")
_SWISH_SHADES = ("#E3A9CB", "#CF7FB0", "#B2538F", "#863267", "#551640")
_MARKERS = ("D", "<", "X", ">", "P")


def figure_10(runs):
    """Quadratic data: SmeLU (left) and Swish (right), a shade a beta, the other models in both columns."""
    found = curves(runs)
    others = [
        (
            c,
            dataclasses.replace(_stroke(c.settings), color=ORANGE, linestyle="-.")
            if c.settings.warm_start
            else _stroke(c.settings),
        )
        for c in found
        if c.settings.beta is None
    ]
    columns = []
    for activation, shades in (("smelu", _SMELU_SHADES), ("swish", _SWISH_SHADES)):
        smooth = sorted(
            (c for c in found if c.settings.activation == activation), key=lambda c: c.settings.beta
        )
        places = np.linspace(0, len(shades) - 1, len(smooth)).round().astype(int)
        columns.append([(c, Stroke(shades[i], _MARKERS[i])) for c, i in zip(smooth, places, strict=True)])
    figure = style.new_figure(11, 9, title("figure 10", runs))
    panels = _Panels(figure, [others + column for column in columns]).panels
    for panel, name in zip(panels[0], ("SmeLU", "Swish"), strict=True):
        panel.set_title(name)
    handles = [stroke.handle(curve.name) for curve, stroke in [*others, *columns[0], *columns[1]]]
    notes = [*_NOTES, "TL: warm start from a trained ReLU"]
    _add_legend(figure, handles, notes, loc="outside right upper")
    return figure
