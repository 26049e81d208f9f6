"""Somepalli et al. 2022: the figures that show planes: 1 to 3, 7 to 9, and mixup."""

import numpy as np

from common.study.records import last
from figures import style
from figures.somepalli_boundaries.planes import (
    CLASS_COLORS,
    PAPER,
    add_legend,
    draw_key,
    draw_plane,
    picture_names,
    plane,
)
from figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from replications.somepalli_boundaries.published import NETWORK_NAMES
from replications.somepalli_boundaries.results import groups

_KEY_WIDTH = 1.35
_BAR_WIDTH = 0.8
_MANY = 8  # columns, whose names must be small


def by_network(runs):
    """{network: its runs in the order of the seeds}, networks in the paper's order."""
    found = groups(runs, lambda settings: settings.network)
    return {network: found[network] for network in NETWORK_NAMES if network in found}


def _panel_height(shown, width=1.25):
    """Inches that the window of a plane takes at a width."""
    return width * (shown.window[3] - shown.window[2]) / (shown.window[1] - shown.window[0])


def _figure_width(num_columns):
    """Inches for so many panels beside the images; the title needs some."""
    return max(1.32 * (num_columns + _KEY_WIDTH), 9.0)


def _grid(figure, num_rows, num_columns):
    """Panels with a wider first column for the images; returns that column and the rest, by row."""
    figure.get_layout_engine().set(w_pad=0.025, h_pad=0.025, wspace=0.0, hspace=0.0)
    panels = figure.subplots(
        num_rows, num_columns + 1, squeeze=False, width_ratios=[_KEY_WIDTH, *[1] * num_columns]
    )
    for panel in panels[:, 0]:
        panel.set_axis_off()
    return panels[:, 0], panels[:, 1:]


def _accuracy(run):
    return f"{last(run, 'accuracy', subset='test'):.1%}" if run else "diverged"


def _draw_or_leave(panel, run, name, like):
    """Draws a plane of a run; where it diverged and there is none, an empty panel of another's shape."""
    if run:
        draw_plane(panel, plane(run, name))
        return
    panel.set(xticks=[], yticks=[], box_aspect=_panel_height(like, 1.0))
    panel.spines[:].set(visible=True, color=GREY, linewidth=0.6)
    panel.grid(False)
    panel.text(0.5, 0.5, "diverged", ha="center", va="center", fontsize=8, transform=panel.transAxes)


def figure_planes(runs):
    """Figures 1 and 3: one plane through three training images, a column a network, a row a seed."""
    networks = by_network(runs)
    seeds = sorted({run.seed for members in networks.values() for run in members})
    num_rows = len(seeds)
    key = plane(next(iter(networks.values()))[0], "planes")
    figure = style.new_figure(
        _figure_width(len(networks)),
        (_panel_height(key) + 0.25) * num_rows + 1.3,
        f"{PAPER}, figures 1 and 3: the same plane in {len(networks)} architectures and {num_rows} "
        f"seed{'s' * (num_rows > 1)} (test accuracy above each panel)",
    )
    keys, panels = _grid(figure, num_rows, len(networks))
    for column, (network, members) in enumerate(networks.items()):
        by_seed = {run.seed: run for run in members}
        for row, seed in enumerate(seeds):
            panel, run = panels[row, column], by_seed.get(seed)
            _draw_or_leave(panel, run, "planes", key)
            name = f"{NETWORK_NAMES[network]}\n" * (row == 0)
            panel.set_title(name + _accuracy(run), fontsize=8, pad=3)
            if column == 0:
                panel.set_ylabel(f"seed {seed}", labelpad=3)
    draw_key(keys[num_rows // 2], key)
    add_legend(figure)
    return figure


_KINDS = {"uniform": "uniform noise", "shuffled": "shuffled pixels"}


def figure_off_manifold(runs):
    """Figure 2: planes through images that are no data, the classes on all of them, and Lemma 2.1."""
    networks = by_network(runs)
    figure = style.new_figure(
        _figure_width(len(networks)),
        7.2,
        f"{PAPER}, figure 2: planes through images that are no data (top: seed 0)",
    )
    figure.get_layout_engine().set(w_pad=0.025, h_pad=0.025)
    upper, lower = figure.subfigures(2, 1, height_ratios=[3.3, 2.6])
    keys, panels = _grid(upper, 2, len(networks))
    for row, (kind, words) in enumerate(_KINDS.items()):
        key = plane(next(iter(networks.values()))[0], kind)
        for column, (network, members) in enumerate(networks.items()):
            first = next((run for run in members if run.seed == 0), None)
            _draw_or_leave(panels[row, column], first, kind, key)
            if row == 0:
                panels[row, column].set_title(NETWORK_NAMES[network], fontsize=8, pad=3)
        draw_key(keys[row], key, zoom=0.6)
        panels[row, 0].set_ylabel(words, labelpad=3)
    shares, distances, lemma = lower.subplots(1, 3, width_ratios=[1.6, 1.1, 1])
    _draw_shares(shares, networks)
    _draw_distances(distances, networks)
    _draw_lemma(lemma, networks)
    add_legend(figure)
    return figure


def class_shares(run, kind):
    """Share of the points of all planes of a kind that each class has."""
    maps = run.arrays["random_classes"][list(_KINDS).index(kind)]
    return np.bincount(maps.ravel(), minlength=len(CLASS_COLORS)) / maps.size


def _draw_shares(panel, networks):
    """Stacked bars: for each network one a seed, first of uniform noise, then of shuffled pixels."""
    ticks = []
    for place, (network, members) in enumerate(networks.items()):
        number = len(members) * len(_KINDS) + 0.5
        for half, kind in enumerate(_KINDS):
            for i, run in enumerate(members):
                x = place + _BAR_WIDTH * ((i + half * (len(members) + 0.5) + 0.5) / number - 0.5)
                bottom = 0.0
                for share, color in zip(class_shares(run, kind), CLASS_COLORS.values(), strict=True):
                    panel.bar(x, share, 0.9 * _BAR_WIDTH / number, bottom, color=color, linewidth=0)
                    bottom += share
        ticks.append(NETWORK_NAMES[network])
    panel.set_xticks(range(len(ticks)), ticks, fontsize=7.5)
    panel.set(ylim=(0, 1), ylabel="share of the points", xlim=(-0.5, len(ticks) - 0.5))
    panel.set_title("all planes, a bar a seed:\nuniform noise (left), shuffled pixels (right)")
    panel.grid(False)


_LINES = {
    "wide_resnet_30": (BLUE, "-"),
    "wide_resnet_20": (BLUE, "--"),
    "wide_resnet_10": (BLUE, ":"),
    "resnet18": (SKY, "-"),
    "densenet121": (GREEN, "-"),
    "vgg19": (ORANGE, "-"),
    "vit": (VERMILLION, "-"),
    "mlp_mixer": (PURPLE, "-"),
    "fully_connected": (BLACK, "-"),
}


def _draw_distances(panel, networks):
    """How the winning class's probability is spread about its median on uniform images; a line a seed."""
    for network, members in networks.items():
        color, linestyle = _LINES[network]
        for i, run in enumerate(members):
            distances = run.arrays["lemma_distances"]  # quantiles in equal steps
            shares = np.linspace(0, 1, len(distances))
            label = "_" * (i > 0) + NETWORK_NAMES[network]
            panel.plot(distances, shares, linestyle, color=color, linewidth=1, alpha=0.8, label=label)
    panel.set(ylim=(0, 1), xlim=(0, None), ylabel="share of the images within", xlabel="|f - median|")
    panel.set_title("Lemma 2.1: probability f of the winning class\non uniform random images, a line a seed")
    panel.legend(loc="lower right", fontsize=6.5)


def _draw_lemma(panel, networks):
    """Lemma 2.1's constant: what its bound needs on uniform images, and the largest slope measured there."""
    marks = (
        ("lemma_needed_lipschitz", "smallest L for which the bound holds", VERMILLION, "v"),
        ("lemma_measured_slope", "largest slope found: L is at least this", BLUE, "^"),
    )
    for metric, label, color, marker in marks:
        points = [(x, last(run, metric)) for x, runs in enumerate(networks.values()) for run in runs]
        panel.plot(*np.transpose(points), marker, color=color, markersize=5, alpha=0.6, label=label)
    names = [NETWORK_NAMES[network] for network in networks]
    panel.set_xticks(range(len(names)), names, rotation=35, ha="right", fontsize=7.5)
    panel.set(yscale="log", title="Lemma 2.1 on uniform\nrandom images (no verdict)", ylabel="L")
    panel.set_ylim(top=4 * panel.get_ylim()[1])  # room for the legend
    panel.legend(loc="upper right", fontsize=7)


def figure_mixup(runs):
    """Figure 13: planes of ResNet18 trained without and with mixup."""
    first = min(settings.seed for settings, _ in runs)
    members = {settings.mixup: run for settings, run in runs if settings.seed == first}
    names = picture_names(next(iter(members.values())), "mixup")
    figure = style.new_figure(
        1.9 * len(names) + 0.4, 6.6, f"{PAPER}, figure 13: {NETWORK_NAMES['resnet18']} without and with mixup"
    )
    rows = [(run, "with mixup" if mixup else "without") for mixup, run in sorted(members.items())]
    _draw_columns(figure, names, rows)
    add_legend(figure)
    return figure


def _draw_columns(figure, names, rows):
    """A column a triplet with its images on top, a row a (run, name)."""
    figure.get_layout_engine().set(w_pad=0.025, h_pad=0.025, wspace=0.0, hspace=0.0)
    panels = figure.subplots(len(rows) + 1, len(names), squeeze=False)
    for column, name in enumerate(names):
        # A run with label noise, if there is one, says which labels are wrong.
        keys = [plane(run, name) for run, _ in rows]
        key = max(keys, key=lambda shown: int((shown.labels != shown.true_labels).sum()))
        draw_key(panels[0, column], key, size=7 if len(names) < _MANY else 5.5)
        for row, (run, words) in enumerate(rows, start=1):
            draw_plane(panels[row, column], plane(run, name))
            if column == 0:
                panels[row, 0].set_ylabel(words, labelpad=3)


def _by_width(runs):
    """{(label noise, width): Run} of the first seed; runs without pictures are left out."""
    seed = min(settings.seed for settings, _ in runs)
    return {
        (settings.label_noise, settings.width): run
        for settings, run in runs
        if settings.seed == seed and settings.pictures == "double_descent"
    }


def _noise(noise):
    return f"{noise:.0%} label noise" if noise else "no label noise"


def figure_7(runs):
    """Figure 7: two planes over the width of ResNet18k, without and with label noise."""
    found = _by_width(runs)
    widths = sorted({width for _, width in found})
    noises = sorted({noise for noise, _ in found})
    figure = style.new_figure(
        max(1.5 * (len(widths) + _KEY_WIDTH), 9.0),
        1.62 * 2 * len(noises) + 1.2,
        f"{PAPER}, figure 7: planes over the width k of ResNet18k (test accuracy above each panel)",
    )
    keys, panels = _grid(figure, 2 * len(noises), len(widths))
    for i, name in enumerate(("7_same_class", "7_random")):
        key = plane(found[max(found)], name)
        for j, noise in enumerate(noises):
            row = len(noises) * i + j
            for column, width in enumerate(widths):
                run = found.get((noise, width))
                _draw_or_leave(panels[row, column], run, name, key)
                panels[row, column].set_title(
                    f"k = {width}\n" * (row == 0) + _accuracy(run), fontsize=8, pad=3
                )
            panels[row, 0].set_ylabel(_noise(noise), labelpad=3)
        draw_key(keys[len(noises) * i], key)
    add_legend(figure)
    return figure


def _figure_of_columns(runs, prefix, title):
    found = _by_width(runs)
    rows = [(run, f"k = {width}\n{_noise(noise)}") for (noise, width), run in sorted(found.items())]
    rows.sort(key=lambda row: row[0].record["settings"]["width"])
    names = picture_names(rows[0][0], prefix)
    width = max(1.42 * len(names) + 0.5, 7.6)
    figure = style.new_figure(width, 1.55 * (len(rows) + 1) + 1.0, title)
    _draw_columns(figure, names, rows)
    add_legend(figure, noisy=prefix == "9")
    return figure


def figure_8(runs):
    """Figure 8: three images of one class with right labels, near the threshold, without and with noise."""
    return _figure_of_columns(
        runs, "8", f"{PAPER}, figure 8: images with right labels, near the interpolation threshold"
    )


def figure_9(runs):
    """Figure 9: two automobiles with right labels and one with a wrong label in training."""
    seed = min(settings.seed for settings, _ in runs)
    title = (
        f"{PAPER}, figure 9: two automobiles with right labels, and one with a wrong one (cross), seed {seed}"
    )
    return _figure_of_columns(runs, "9", title)
