"""Snapp & Shamir 2021, figures 3, 4, 7 and 9: the weights that the two models of a pair arrive at."""

import math

import numpy as np

from common.statistics import interval, summarize
from figures import style
from figures.snapp_shamir.curves import PAPER, count, curve_name
from figures.style import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from replications.snapp_shamir.results import (
    FLIPPED,
    PD,
    dead_pairs,
    embedding_correlations,
    error_cosines,
    indexed_weights,
    layers,
    measured,
    member_cosines,
    root_mean_square_differences,
    weight_correlations,
)

_MEMBERS = (("first model of the pair", BLUE, "o"), ("second model", VERMILLION, "x"))
_NUM_FEATURES = 32


def representative_pair(run):
    """Returns the pair of median PD (the lower of two) among the pairs without a dead or diverged model.

    If there is none, the pair of median PD of all.
    """
    rows = run.rows[run.rows.examples == run.rows.examples.max()]
    stuck = rows[rows.metric.isin(["dead", "diverged"])].pair
    ordered = measured(run, PD).sort_values(kind="stable").index
    eligible = ordered.difference(stuck, sort=False)
    eligible = eligible if len(eligible) else ordered
    return int(eligible[(len(eligible) - 1) // 2])


def _pick(runs, window, **wanted):
    """Returns the (settings, Run) of these settings; `window`: 0 for the smallest, -1 for the largest."""
    matching = [
        (s, run) for s, run in runs if all(getattr(s, name) == value for name, value in wanted.items())
    ]
    return sorted(matching, key=lambda found: found[0].shuffle_log2)[window]


def _title(settings, run, pair, why):
    """Names a setting and the pair that is shown of it."""
    return (
        rf"{curve_name(settings)}, $\log_2 z$ = {settings.shuffle_log2}: pair {pair + 1} of {settings.pairs} "
        rf"({why}, $\Delta_r$ = {_number(measured(run, PD)[pair])})"
    )


_MEDIAN = "median PD"


def _number(value):
    """A number with two digits in mathtext, a small one with its power of ten."""
    if not math.isfinite(value) or value == 0 or 1e-3 <= abs(value) < 1e3:
        return f"{value:.2g}"
    digits, power = f"{value:.1e}".split("e")
    return rf"${digits} \times 10^{{{int(power)}}}$"


def _mark_units(panel, num_weights):
    """Separates the hidden units' input weights from each other and from the rest."""
    for boundary in range(_NUM_FEATURES, num_weights, _NUM_FEATURES):
        panel.axvline(boundary - 0.5, color=GREY, linewidth=0.6, linestyle=":")
    panel.set_xlim(-1, num_weights)
    panel.margins(y=0.1)


def _draw_pair(panel, run, pair, theta=None):
    weights = indexed_weights(run)[pair]
    if theta is not None:
        panel.plot(
            theta,
            "s",
            markersize=8,
            markerfacecolor="none",
            markeredgecolor=GREY,
            label=r"true weights $\theta$",
        )
    for values, (label, color, marker) in zip(weights, _MEMBERS, strict=True):
        panel.plot(values, marker, color=color, markersize=4.5, label=label)
    panel.axhline(0, color=GREY, linewidth=0.6)
    panel.set_ylabel("weight")
    _mark_units(panel, weights.shape[1])


def _interval_text(values):
    s = summarize(values)
    return f"${s.mean:.3f}$ [${s.low:.3f}$, ${s.high:.3f}$]"


def _draw_linear(panel, smallest, largest):
    """The linear model at the largest window; the cosines of the errors there and at the smallest."""
    settings, run = largest
    pair = representative_pair(run)
    _draw_pair(panel, run, pair, run.arrays["theta"])
    panel.set_title(
        f"{_title(settings, run, pair, _MEDIAN)}\n"
        rf"mean cosine of $w_a - \theta$ and $w_b - \theta$ [95 % interval]: "
        rf"{_interval_text(error_cosines(run))}; "
        rf"at $\log_2 z$ = {smallest[0].shuffle_log2}: {_interval_text(error_cosines(smallest[1]))}"
    )


def _draw_flipped(panel, settings, run):
    """The pair whose first-layer weights are the most opposite, and how many pairs are."""
    values = member_cosines(run)
    pair = int(np.argmin(values))
    _draw_pair(panel, run, pair)
    panel.set_title(
        f"{_title(settings, run, pair, 'most negative cosine')}\n"
        f"cosine of the first layers' weights: ${values[pair]:.3f}$; "
        f"signs flipped (below {FLIPPED}) in {int((values < FLIPPED).sum())} of {len(values)} pairs"
    )


def figure_3(runs):
    """Weights against index for one pair of each setting; ReLU2 at both windows.

    The caption names the largest window for the ReLU2 panel, the text the smallest and the largest.
    """
    figure = style.new_figure(style.WIDTH, 10.5, f"{PAPER}, figure 3")
    panels = figure.subplots(5, 1)
    _draw_linear(panels[0], *(_pick(runs, window, model="linear") for window in (0, -1)))
    _draw_flipped(panels[1], *_pick(runs, 0, model="single"))
    relu = {"model": "double", "activation": "relu"}
    identity2 = _pick(runs, -1, model="double", activation="identity")
    smallest, largest = _pick(runs, 0, **relu), _pick(runs, -1, **relu)
    shown = [
        (identity2, representative_pair(identity2[1]), _MEDIAN),
        (smallest, representative_pair(largest[1]), "the pair below"),
        (largest, representative_pair(largest[1]), _MEDIAN),
    ]
    for panel, ((settings, run), pair, why) in zip(panels[2:], shown, strict=True):
        _draw_pair(panel, run, pair)
        panel.set_title(_title(settings, run, pair, why))
    panels[-1].set_xlabel("weight index (32 input weights of each unit, then biases and output weights)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def median_difference(run):
    """Median over pairs of the root mean square of w_a - w_b, with its 95 % interval: (median, low, high).

    Of fewer than six pairs there is none: nan.
    """
    values = root_mean_square_differences(run)
    with np.errstate(invalid="ignore"):  # the median of a resample can be constant
        return float(np.median(values)), *interval(values, np.median)


def _draw_others(panel, differences, pair):
    """The other pairs' points in grey; the axis fits nine tenths of them, triangles stand for the rest."""
    others = np.delete(differences, pair, axis=0)
    sizes = np.abs(differences)
    limit = 1.2 * max(sizes[pair].max(), np.quantile(sizes, 0.9))
    index = np.broadcast_to(np.arange(others.shape[1]), others.shape)
    for chosen, marker, size in (
        (np.abs(others) <= limit, ".", 3.5),
        (others > limit, "^", 4.5),
        (others < -limit, "v", 4.5),
    ):
        heights = np.clip(others[chosen], -limit, limit)
        faint = {"color": GREY, "alpha": 0.35, "markeredgewidth": 0, "markersize": size}
        panel.plot(index[chosen], heights, marker, label="_other", **faint)


def _draw_differences(panel, settings, run, pair, why):
    weights = indexed_weights(run).astype(np.float64)
    differences = weights[:, 0] - weights[:, 1]
    _draw_others(panel, differences, pair)
    panel.plot(differences[pair], "o", color=BLUE, markersize=4.5, label="difference")
    panel.axhline(0, color=GREY, linewidth=0.6)
    median, *limits = median_difference(run)
    is_known = np.isfinite(limits).all()
    limits = f" [{', '.join(map(_number, limits))}]" if is_known else ", no interval of so few pairs"
    panel.set_title(
        f"{_title(settings, run, pair, why)}, others in grey (triangle: beyond the axis)\n"
        f"root mean square of a pair, median over pairs{' [95 % interval]' * bool(is_known)}: "
        f"{_number(median)}{limits}"
    )
    panel.set_ylabel("difference of weights")
    panel.ticklabel_format(axis="y", scilimits=(-2, 3), useMathText=True)
    _mark_units(panel, differences.shape[1])
    panel.margins(y=0.04)


def figure_4(runs):
    """Differences of corresponding weights of a ReLU1 pair at the smallest and the largest window."""
    figure = style.new_figure(style.WIDTH, 6, f"{PAPER}, figure 4")
    panels = figure.subplots(2, 1, sharex=True)
    smallest, largest = (_pick(runs, window, model="single") for window in (0, -1))
    pair = representative_pair(largest[1])
    _draw_differences(panels[0], *smallest, pair, "the pair below")
    _draw_differences(panels[1], *largest, pair, _MEDIAN)
    panels[-1].set_xlabel("weight index (32 input weights, bias, output weight, output bias)")
    return figure


def _draw_diagonal(panel, values):
    """Equal axes, and the line on which identical models lie."""
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    margin = 0.05 * (high - low) or 1.0
    limits = (low - margin, high + margin)
    panel.plot(limits, limits, color=GREY, linewidth=0.7, zorder=1)
    panel.set(xlim=limits, ylim=limits, aspect="equal")
    panel.locator_params(nbins=6)


def _scatter(panel, a, b, color, label, size=9):
    panel.scatter(np.ravel(a), np.ravel(b), s=size, color=color, alpha=0.6, linewidths=0, label=label)


def _with_weights(runs):
    """The runs of that seed of which most have their weights, and of those the ones that have."""
    kept = [(settings, run) for settings, run in runs if layers(run)]
    seeds = [settings.seed for settings, _ in kept]
    shown = max(sorted(set(seeds)), key=seeds.count)
    return sorted((k for k in kept if k[0].seed == shown), key=lambda found: found[0].shuffle_log2)


def _draw_cloud(panel, settings, run):
    """Weights of one model of the pair of median PD against the other's, a color for each layer."""
    arrays, pair = layers(run), representative_pair(run)
    for number, color in enumerate((BLUE, ORANGE, GREEN, VERMILLION, PURPLE)):
        kernel, bias = (array[pair] for array in arrays[2 * number : 2 * number + 2])
        a, b = (np.append(kernel[member], bias[member]) for member in (0, 1))
        inputs, outputs = kernel.shape[1:]
        _scatter(panel, a, b, color, rf"layer {number + 1}: {inputs} $\to$ {outputs}", size=14)
    _draw_diagonal(panel, [array[pair] for array in arrays])
    stuck = np.unique(dead_pairs(run))
    correlations = weight_correlations(run)
    living = np.delete(correlations, stuck)
    median = f"; median of living pairs ${np.median(living):.3f}$" if len(living) else ""
    panel.set_title(
        f"{_title(settings, run, pair, _MEDIAN)}\n"
        f"correlation ${correlations[pair]:.3f}${median}\n"
        f"{count(run, 'dead_models')} of {2 * settings.pairs} models dead"
    )


def figure_7(runs):
    """Weights of one model of a ReLU tower pair against the other's, at windows of ours."""
    shown = _with_weights(runs)
    columns = min(len(shown), 2)
    rows = math.ceil(len(shown) / columns)
    heading = f"{PAPER}, figure 7: tower of widths 16, 8, 4, 2, theta of seed {shown[0][0].seed}"
    width = style.WIDTH if columns > 1 else 5.6
    figure = style.new_figure(width, 1.6 + (width - 0.4) / columns * rows, heading)
    panels = figure.subplots(rows, columns, squeeze=False)
    for panel, found in zip(panels.flat, shown, strict=False):
        _draw_cloud(panel, *found)
    for panel in panels.flat[len(shown) :]:
        panel.remove()
    for panel in panels[:, 0]:
        panel.set_ylabel("weights and biases, second model")
    for panel in panels[-1]:
        panel.set_xlabel("weights and biases, first model")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5 if columns > 1 else 3, markerscale=1.5)
    return figure


def figure_9(runs):
    """Two pairs of wide ReLU models: the most (top) and the least aligned embeddings."""
    ((settings, run),) = runs
    embeddings, kernel, _, output, _ = layers(run)
    values = embedding_correlations(run)
    figure = style.new_figure(style.WIDTH, 8.4, f"{PAPER}, figure 9")
    rows = figure.subplots(2, 2)
    shown = (np.argmax(values), "most aligned embeddings"), (np.argmin(values), "least aligned embeddings")
    for (left, right), (pair, why) in zip(rows, shown, strict=True):
        _scatter(left, *embeddings[pair], GREY, None, size=14)
        _scatter(right, *kernel[pair], VERMILLION, "input edges of the hidden units", size=5)
        _scatter(right, *output[pair], BLUE, "output edges", size=5)
        _draw_diagonal(left, [embeddings[pair]])
        _draw_diagonal(right, [kernel[pair], output[pair]])
        left.set_title(f"pair {pair + 1} of {settings.pairs}: {why}\ncorrelation ${values[pair]:.3f}$")
        difference = _number(measured(run, PD)[pair])
        right.set_title(f"the same pair: layer weights\n$\\Delta_r$ = {difference}")
        for panel in (left, right):
            panel.set(xlabel="first model", ylabel="second model")
    handles, labels = rows[0, 1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, markerscale=2)
    return figure
