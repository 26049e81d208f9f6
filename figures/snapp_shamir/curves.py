"""Snapp & Shamir 2021, figures 2, 6, 8 and 10: relative PD against shuffling window and excess label loss."""

import dataclasses
import math

import numpy as np

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


def _final_rows(run, metric):
    rows = run.rows[run.rows.metric == metric]
    return rows[rows.examples == run.rows.examples.max()]


def summary(run, metric):
    """Returns the `style.Measured` of a metric at the end of a run; nan where a pair diverged."""
    rows = _final_rows(run, metric)
    found = rows.set_index("statistic").value
    pairs = rows[rows.statistic == "pair"].set_index("pair").value
    pairs = pairs.reindex(range(run.record["settings"]["pairs"])).to_numpy()
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
        columns: List of lists of (Curve, Stroke); all share their axes. From three on they take two rows.
    """

    def __init__(self, figure, columns):
        side_by_side = min(len(columns), 2)
        height = 2 * math.ceil(len(columns) / side_by_side)
        grid = figure.subplots(height, side_by_side, squeeze=False)
        # Panels of a column lie below each other: [columns, 2].
        pairs = grid.reshape(height // 2, 2, side_by_side).transpose(0, 2, 1).reshape(-1, 2)
        for panel in pairs[len(columns) :].flat:
            panel.remove()
        self.panels = pairs[: len(columns)]
        points = [p for column in columns for curve, _ in column for p in curve.points]
        self._difference = _axis(p.difference for p in points)
        self._loss = _axis(p.loss for p in points)
        self.faint = any(value.reaches_zero for p in points for value in (p.difference, p.loss))
        self._windows = sorted({p.window_log2 for p in points})
        # The windows that the paper's bottom panels show: smallest, middle and largest.
        self.ends = sorted({self._windows[i] for i in (0, len(self._windows) // 2, -1)})
        for (top, bottom), column in zip(self.panels, columns, strict=True):
            self._draw_top(top, column)
            self._draw_bottom(bottom, column)
        for panel in self.panels.flat:
            self._difference.apply(panel)
        for top, bottom in self.panels:
            self._loss.apply(bottom, "x")
            step = min(np.diff(self._windows), default=5)
            limits = self._windows[0] - 0.35 * step, self._windows[-1] + 0.55 * step
            top.set(xticks=self._windows, xlabel=WINDOW_LABEL, xlim=limits)
            bottom.set_xlabel(LOSS_LABEL)
        for panel in grid[:, 0]:
            panel.set_ylabel(PD_LABEL)
        for panel in grid[:, 1:].flat:
            panel.tick_params(labelleft=False)
        for (top, _), column in zip(self.panels, columns, strict=True):
            self._label_top(top, column)

    def _offsets(self, column):
        """Sideways shifts that keep the points of one window apart."""
        step = min(np.diff(self._windows), default=5)
        return 0.36 * step * (np.arange(len(column)) - (len(column) - 1) / 2) / max(len(column), 6)

    def _draw_top(self, panel, column):
        for (curve, stroke), offset in zip(column, self._offsets(column), strict=True):
            ys = [p.difference.placed(self._difference) for p in curve.points]
            xs = [style.position(p.window_log2 + offset, p.difference.runs) for p in curve.points]
            style.draw_points(panel, xs, ys, stroke, curve.name)

    def _draw_bottom(self, panel, column):
        for curve, stroke in column:
            shown = [p for p in curve.points if p.window_log2 in self.ends]
            ys = [p.difference.placed(self._difference) for p in shown]
            xs = [p.loss.placed(self._loss) for p in shown]
            sizes = [_SIZES[self.ends.index(p.window_log2)] for p in shown]
            style.draw_points(panel, xs, ys, stroke, curve.name, sizes, join_runs=False)

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
        style.label_points(panel, labels)


def _axis(values):
    return style.LogAxis(*([v.low, v.high, v.median, *v.runs] for v in values))


def _add_legend(figure, runs, handles, panels, *notes, ncols):
    """Curves first, then the marks of a measured value and notes on the `_Panels`."""
    pairs = max(settings.pairs for settings, _ in runs)
    notes = [
        "top: curves set apart sideways",
        f"bottom: larger for $\\log_2 z$ = {', '.join(map(str, panels.ends))}",
        *notes,
        *[style.FAINT] * panels.faint,
    ]
    marks = [*style.value_handles("pair", pairs), *map(style.note_handle, notes)]
    figure.legend(handles=[*handles, *marks], loc="outside lower center", ncols=ncols)


_SIZES = (3.5, 5.5, 8.0)  # of the markers of the smallest, middle and largest window


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
    figure = style.new_figure(style.WIDTH, 8.6, f"{PAPER}, figure 2")
    panels = _Panels(figure, [column])
    handles = [stroke.handle(curve.name) for curve, stroke in column]
    _add_legend(figure, runs, handles, panels, "diff: distinct initialization", ncols=4)
    return figure


def _stroke(settings):
    return _LINEAR if settings.model == "linear" else _ACTIVATION_STROKES.get(settings.activation, _OTHER)


def figure_6(runs):
    """Tower of widths 16, 8, 4, 2: identity, ReLU and, beyond the paper's figure, SmeLU and Swish."""
    column = [(curve, _stroke(curve.settings)) for curve in curves(runs)]
    figure = style.new_figure(style.WIDTH, 8, f"{PAPER}, figure 6")
    panels = _Panels(figure, [column])
    _add_legend(figure, runs, [stroke.handle(curve.name) for curve, stroke in column], panels, ncols=3)
    return figure


def figure_8(runs):
    """Wide embedding: two panels per optimizer and rate, the linear model repeated in each."""
    found = curves(runs)
    linear = [(c, _LINEAR) for c in found if c.settings.model == "linear"]
    groups = {}
    for curve in found:
        if curve.settings.model != "linear":
            key = curve.settings.optimizer, curve.settings.learning_rate
            groups.setdefault(key, []).append((curve, _stroke(curve.settings)))
    rows = math.ceil(len(groups) / 2)
    figure = style.new_figure(style.WIDTH, 1.6 + 5.6 * rows, f"{PAPER}, figure 8")
    panels = _Panels(figure, [linear + column for column in groups.values()])
    for (panel, _), (optimizer, rate) in zip(panels.panels, groups, strict=True):
        panel.set_title(f"{OPTIMIZER_NAMES[optimizer]} {rate:g}")
    handles = [
        stroke.handle(curve.name + " (AdaGrad 0.1)" * (curve.settings.model == "linear"))
        for curve, stroke in linear + next(iter(groups.values()))
    ]
    _add_legend(figure, runs, handles, panels, ncols=3)
    return figure


_SMELU_SHADES = ("#86CFB0", "#4DB892", "#1E9470", "#046B4E", "#00402D")
_SWISH_SHADES = ("#E3A9CB", "#CF7FB0", "#B2538F", "#863267", "#551640")
_MARKERS = ("D", "<", "X", ">", "P")


def figure_10(runs):
    """Quadratic data: SmeLU (left) and Swish (right), a shade per beta, the other models in both columns."""
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
    figure = style.new_figure(style.WIDTH, 8.6, f"{PAPER}, figure 10")
    panels = _Panels(figure, [others + column for column in columns])
    for (panel, _), name in zip(panels.panels, ("SmeLU", "Swish"), strict=True):
        panel.set_title(name)
    handles = [stroke.handle(curve.name) for curve, stroke in [*others, *columns[0], *columns[1]]]
    _add_legend(figure, runs, handles, panels, "TL: warm start from a trained ReLU", ncols=4)
    return figure
