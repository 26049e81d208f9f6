"""Somepalli et al. 2022: the figures that show planes: 1 to 3, 7 to 9, and mixup."""

import itertools

import numpy as np

from common.study.records import last
from figures import style
from figures.somepalli_boundaries.planes import (
    CLASS_COLORS,
    PAPER,
    add_legend,
    class_handles,
    draw_key,
    draw_plane,
    picture_names,
    plane,
)
from figures.somepalli_boundaries.widths import with_noise
from figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from replications.somepalli_boundaries.published import NETWORK_NAMES
from replications.somepalli_boundaries.results import groups, random_classes

_KEY_WIDTH = 1.35
_BAR_WIDTH = 0.8
_NETWORKS_A_ROW = 5
_TRIPLETS_A_ROW = 5


def by_network(runs):
    """{network: its runs in the order of the seeds}, networks in the paper's order."""
    found = groups(runs, lambda settings: settings.network)
    return {network: found[network] for network in NETWORK_NAMES if network in found}


def _first_seed(runs):
    return min(settings.seed for settings, _ in runs)


def _in_rows(names, most):
    """Splits names into as few rows of at most so many as there are, of nearly equal length."""
    rows = -(-len(names) // most)
    length = -(-len(names) // rows)
    return [names[i : i + length] for i in range(0, len(names), length)]


def _panel_height(shown, width=1.25):
    """Inches that the window of a plane takes at a width."""
    return width * (shown.window[3] - shown.window[2]) / (shown.window[1] - shown.window[0])


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
    panel.text(0.5, 0.5, "diverged", ha="center", va="center", transform=panel.transAxes)


def figure_planes(runs):
    """Figures 1 and 3: one plane through three training images, a column per network, a row per seed."""
    networks = by_network(runs)
    seeds = sorted({run.seed for members in networks.values() for run in members})
    blocks = _in_rows(list(networks), _NETWORKS_A_ROW)
    key = plane(next(iter(networks.values()))[0], "planes")
    num_rows = len(blocks) * len(seeds)
    figure = style.new_figure(
        style.WIDTH,
        (_panel_height(key) + 0.25) * num_rows + 1.7,
        f"{PAPER}, figures 1 and 3: the same plane in {len(networks)} architectures\n"
        "test accuracy above each panel",
    )
    keys, panels = _grid(figure, num_rows, len(blocks[0]))
    for i, block in enumerate(blocks):
        rows = panels[i * len(seeds) : (i + 1) * len(seeds)]
        for column, network in enumerate(block):
            _draw_column(rows[:, column], network, {run.seed: run for run in networks[network]}, seeds, key)
        for row, seed in zip(rows, seeds, strict=True):
            row[0].set_ylabel(f"seed {seed}", labelpad=3)
        for panel in rows[:, len(block) :].flat:
            panel.set_axis_off()
    draw_key(keys[0], key)
    add_legend(figure)
    return figure


def _draw_column(panels, network, by_seed, seeds, key):
    """One network's plane, a panel a seed."""
    for panel, seed in zip(panels, seeds, strict=True):
        run = by_seed.get(seed)
        _draw_or_leave(panel, run, "planes", key)
        name = f"{NETWORK_NAMES[network]}\n" * (seed == seeds[0])
        panel.set_title(name + _accuracy(run), pad=3)


_KINDS = {"uniform": "uniform noise", "shuffled": "shuffled pixels"}


def figure_off_manifold(runs):
    """Figure 2: planes through images that are no data."""
    networks = by_network(runs)
    blocks = _in_rows(list(networks), _NETWORKS_A_ROW)
    first_seed = _first_seed(runs)
    keys_of = {kind: plane(next(iter(networks.values()))[0], kind) for kind in _KINDS}
    key = keys_of["uniform"]
    num_rows = len(_KINDS) * len(blocks)
    figure = style.new_figure(
        style.WIDTH,
        (_panel_height(key) + 0.2) * num_rows + 1.4,
        f"{PAPER}, figure 2: planes through images that are no data",
    )
    keys, panels = _grid(figure, num_rows, len(blocks[0]))
    for row, (block, (kind, words)) in enumerate(itertools.product(blocks, _KINDS.items())):
        for panel, network in zip(panels[row], block, strict=False):
            first = next((run for run in networks[network] if run.seed == first_seed), None)
            _draw_or_leave(panel, first, kind, key)
            if kind == "uniform":
                panel.set_title(NETWORK_NAMES[network], pad=3)
        for panel in panels[row, len(block) :]:
            panel.set_axis_off()
        panels[row, 0].set_ylabel(words, labelpad=3)
        if row < len(_KINDS):
            draw_key(keys[row], keys_of[kind], zoom=0.6)
    add_legend(figure)
    return figure


def figure_off_manifold_classes(runs):
    """Figure 2 on all planes: which classes networks give to images that are no data."""
    networks = by_network(runs)
    title = f"{PAPER}, figure 2: the classes of all points of the planes, a bar a seed"
    figure = style.new_figure(style.WIDTH, 4.2, title)
    _draw_shares(figure.subplots(), networks)
    figure.legend(handles=class_handles(), loc="outside lower center", ncols=5)
    return figure


def figure_lemma(runs):
    """Lemma 2.1 on uniform random images: how probabilities concentrate, and the constant that this needs."""
    networks = by_network(runs)
    figure = style.new_figure(style.WIDTH, 4.9, f"{PAPER}, Lemma 2.1 on uniform random images (no verdict)")
    distances, constant = figure.subplots(1, 2)
    _draw_distances(distances, networks)
    _draw_lemma(constant, networks)
    handles = [line for panel in (distances, constant) for line in panel.get_legend_handles_labels()[0]]
    figure.legend(handles=handles, loc="outside lower center", ncols=4)
    return figure


def class_shares(run, kind):
    """Share of the points of all planes of a kind that each class has."""
    maps = random_classes(run, kind)
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
    panel.set_xticks(range(len(ticks)), ticks, rotation=20)
    panel.set(ylim=(0, 1), ylabel="share of the points", xlim=(-0.5, len(ticks) - 0.5))
    panel.set_title("of each network: uniform noise (left), shuffled pixels (right)")
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
    panel.set_title("probability f of the winning class, a line a seed")


def _draw_lemma(panel, networks):
    """Lemma 2.1's constant: what its bound needs on uniform images, and the largest slope measured there."""
    marks = (
        ("lemma_needed_lipschitz", "smallest L of the bound", VERMILLION, "v"),
        ("lemma_measured_slope", "largest slope found", BLUE, "^"),
    )
    for metric, label, color, marker in marks:
        points = [(x, last(run, metric)) for x, runs in enumerate(networks.values()) for run in runs]
        panel.plot(*np.transpose(points), marker, color=color, markersize=5, alpha=0.6, label=label)
    names = [NETWORK_NAMES[network] for network in networks]
    panel.set_xticks(range(len(names)), names, rotation=35, ha="right")
    panel.set(yscale="log", title="Lipschitz constant L, a mark a seed", ylabel="L")


def figure_mixup(runs):
    """Figure 15: planes of a network trained without and with mixup."""
    first = _first_seed(runs)
    members = {settings.mixup: run for settings, run in runs if settings.seed == first}
    names = picture_names(next(iter(members.values())), "mixup")
    figure = style.new_figure(
        style.WIDTH, 6.2, f"{PAPER}, figure 15: {NETWORK_NAMES[runs[0][0].network]} without and with mixup"
    )
    rows = [(run, "with mixup" if mixup else "without") for mixup, run in sorted(members.items())]
    _draw_columns(figure, [names], rows)
    add_legend(figure)
    return figure


def _draw_columns(figure, blocks, rows):
    """Blocks of columns, a column a triplet with its images on top, a row a (run, name)."""
    figure.get_layout_engine().set(w_pad=0.025, h_pad=0.025, wspace=0.0, hspace=0.0)
    height = len(rows) + 1
    panels = figure.subplots(height * len(blocks), len(blocks[0]), squeeze=False)
    for i, names in enumerate(blocks):
        block = panels[i * height : (i + 1) * height]
        for column, name in enumerate(names):
            _draw_triplet(block[:, column], name, rows)
        for panel, (_, words) in zip(block[1:, 0], rows, strict=True):
            panel.set_ylabel(words, labelpad=3)
        for panel in block[:, len(names) :].flat:
            panel.set_axis_off()


def _draw_triplet(panels, name, rows):
    # A run with label noise, if there is one, says which labels are wrong.
    keys = [plane(run, name) for run, _ in rows]
    draw_key(panels[0], max(keys, key=lambda shown: int((shown.labels != shown.true_labels).sum())))
    for panel, shown in zip(panels[1:], keys, strict=True):
        draw_plane(panel, shown)


def _by_width(runs):
    """{(label noise, width): Run} of the first seed; runs without pictures are left out."""
    seed = _first_seed(runs)
    return {
        (settings.label_noise, settings.width): run
        for settings, run in runs
        if settings.seed == seed and settings.pictures == "double_descent"
    }


def figure_7(runs):
    """Figure 7: two planes over the width of ResNet18k, without and with label noise."""
    found = _by_width(runs)
    widths = sorted({width for _, width in found})
    noises = sorted({noise for noise, _ in found})
    figure = style.new_figure(
        style.WIDTH,
        1.5 * 2 * len(noises) + 1.6,
        f"{PAPER}, figure 7: planes over the width k of ResNet18k\ntest accuracy above each panel",
    )
    keys, panels = _grid(figure, 2 * len(noises), len(widths))
    for i, name in enumerate(("7_same_class", "7_random")):
        key = plane(found[max(found)], name)
        for j, noise in enumerate(noises):
            row = len(noises) * i + j
            for column, width in enumerate(widths):
                run = found.get((noise, width))
                _draw_or_leave(panels[row, column], run, name, key)
                panels[row, column].set_title(f"k = {width}\n" * (row == 0) + _accuracy(run), pad=3)
            panels[row, 0].set_ylabel(with_noise(noise), labelpad=3)
        draw_key(keys[len(noises) * i], key)
    add_legend(figure, "7")
    return figure


def _figure_of_columns(runs, prefix, title):
    found = _by_width(runs)
    rows = [(run, f"k = {width}\n{with_noise(noise)}") for (noise, width), run in sorted(found.items())]
    rows.sort(key=lambda row: row[0].record["settings"]["width"])
    names = picture_names(rows[0][0], prefix)
    blocks = _in_rows(names, _TRIPLETS_A_ROW)
    height = 1.5 if len(blocks[0]) > 3 else 2
    figure = style.new_figure(style.WIDTH, height * (len(rows) + 1) * len(blocks) + 1.2, title)
    _draw_columns(figure, blocks, rows)
    add_legend(figure, prefix, noisy=prefix == "9")
    return figure


def figure_8(runs):
    """Figure 8: three images of one class with right labels, near the threshold, without and with noise."""
    return _figure_of_columns(
        runs, "8", f"{PAPER}, figure 8: images with right labels, near the interpolation threshold"
    )


def figure_9(runs):
    """Figure 9: two automobiles with right labels and one with a wrong label in training."""
    title = f"{PAPER}, figure 9: two automobiles with right labels, one with a wrong label"
    return _figure_of_columns(runs, "9", title)
