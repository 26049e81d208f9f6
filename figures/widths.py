"""One network over width, drawn: values of seeds, their mean, the interpolation threshold.

Of five seeds or more the mean has its interval; of fewer a thin line is drawn for each seed.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from common.statistics import interval
from figures.style import FEWEST, GREY, draw_few, no_interval, note_handle, padded

_DOTTED = {"color": GREY, "linewidth": 1.0, "linestyle": (0, (1, 1.5))}
_MOST_TICKS, _APART = 8, 1.4  # ticks with numbers; factor between the last two


def draw_curve(
    panel: Axes,
    values: Mapping[int, Sequence[float]],
    color: str,
    label: str,
    marker: str = "o",
    linestyle: str = "-",
    strong: bool = True,
    pairs: Sequence | None = None,
    quantity: str = "real",
) -> None:
    """Draws values against the width: seeds as dots, their mean, and its 95 % interval; gaps stay open.

    Limits of the panel are those of the values; a wider interval is cut off.

    Args:
        panel: Axes.
        values: {width: a value for each seed, or each pair of seeds}, in increasing order; nan for none.
        color: Color.
        label: Name of the line.
        marker: Marker of the means.
        linestyle: Of the line through them.
        strong: Whether the line is thick and its interval is drawn: of many lines they would hide each other.
        pairs: The seeds of each value where it is of two.
        quantity: What the values are, see `common.statistics.interval`.
    """
    size = {"linewidth": 1.9, "markersize": 4} if strong else {"linewidth": 1.1, "markersize": 2.5}
    if strong and max(map(len, values.values())) > 1:
        _draw_seeds(panel, values, color, pairs, quantity)
    finite = [np.asarray(found)[np.isfinite(found)] for found in values.values()]
    means = [np.mean(found) if len(found) else np.nan for found in finite]
    line = {"marker": marker, "linestyle": linestyle, "color": color, "label": label}
    panel.plot(list(values), means, zorder=3, **line, **size)


def _draw_seeds(
    panel: Axes, values: Mapping[int, Sequence[float]], color: str, pairs: Sequence | None, quantity: str
) -> None:
    if _num_independent(values, pairs) >= FEWEST:
        bounds = np.ma.masked_invalid([_interval(found, pairs, quantity) for found in values.values()])
        band = FillBetweenPolyCollection(
            "x", np.array(list(values)), *bounds.T, color=color, alpha=0.15, linewidth=0, label="_interval"
        )
        panel.add_collection(band, autolim=False)
        for width, found in values.items():
            panel.plot([width] * len(found), found, ".", color=color, markersize=3, alpha=0.35, label="_run")
        return
    rows = padded(list(values.values()))
    draw_few(panel, np.broadcast_to(np.array([list(values)]).T, rows.shape), rows, color)


def _num_independent(values: Mapping[int, Sequence[float]], pairs: Sequence | None = None) -> int:
    """The largest number of seeds of a width; of pairs of seeds, the number of seeds that are in them."""
    if pairs is not None:
        return len({seed for pair in pairs for seed in pair})
    return max(map(len, values.values()))


def _interval(values: Sequence[float], pairs: Sequence | None, quantity: str) -> tuple[float, float]:
    if pairs is None:
        values = np.asarray(values)[np.isfinite(values)]
    if len(values) < FEWEST or not np.isfinite(values).all():
        return np.nan, np.nan
    return interval(values, groups=() if pairs is None else (pairs,), quantity=quantity)


def edges(positions: Sequence[float]) -> np.ndarray:
    """Borders between increasing positions, such as epochs, on a logarithmic axis: array of one more."""
    logarithms = np.log(positions)
    middles = (logarithms[:-1] + logarithms[1:]) / 2
    first, last = 2 * logarithms[0] - middles[0], 2 * logarithms[-1] - middles[-1]
    return np.exp(np.concatenate([[first], middles, [last]]))


def format_width_axis(panel: Axes, widths: Sequence[int], threshold: int | None, label: str) -> None:
    """Gives a panel its width axis and the dotted line at the interpolation threshold."""
    panel.set_xscale("log", base=2)
    ticks = list(widths)
    if len(ticks) > _MOST_TICKS:
        ticks = [w for w in widths if w & (w - 1) == 0] or [widths[0]]
        ticks += [widths[-1]] * (widths[-1] >= _APART * ticks[-1])
    panel.xaxis.set_major_locator(ticker.FixedLocator(ticks))
    panel.xaxis.set_major_formatter(ticker.FixedFormatter([str(tick) for tick in ticks]))
    panel.xaxis.set_minor_locator(ticker.FixedLocator(list(widths)))
    panel.xaxis.set_minor_formatter(ticker.NullFormatter())
    panel.set_xlim(widths[0] / 1.12, widths[-1] * 1.12)
    panel.set_xlabel(label)
    if threshold is not None:
        panel.axvline(threshold, label="_threshold", zorder=1, **_DOTTED)


def handles(
    threshold: int | None,
    num_seeds: int,
    words: str = "interpolation threshold",
    missing: str = "no width is at the interpolation threshold",
) -> list:
    """Legend entries of the threshold and of what the marks of several seeds are.

    Args:
        threshold: The interpolation threshold, or None.
        num_seeds: The largest number of seeds of a width.
        words: What the threshold is called.
        missing: What stands there if it is None.
    """
    if threshold is None:
        entries = [Line2D([], [], linestyle="none", label=missing)]
    else:
        entries = [Line2D([], [], label=f"{words}, width {threshold}", **_DOTTED)]
    seed = {"color": GREY, "marker": ".", "alpha": 0.6, "label": "one seed"}
    if num_seeds >= FEWEST:
        entries.append(
            Patch(color=GREY, alpha=0.25, linewidth=0, label="95 % interval of the mean over seeds")
        )
        entries.append(Line2D([], [], linestyle="none", **seed))
    else:
        entries += [Line2D([], [], linewidth=0.7, **seed)] if num_seeds > 1 else []
        entries.append(note_handle(no_interval(num_seeds, "seed")))
    return entries
