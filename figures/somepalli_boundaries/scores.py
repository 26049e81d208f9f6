"""Somepalli et al. 2022: reproducibility between networks, as matrices, tables and by source."""

import dataclasses
import functools
import itertools

import numpy as np
import pandas as pd

from common.study.records import last
from figures import style
from figures.somepalli_boundaries.pictures import by_network
from figures.somepalli_boundaries.planes import PAPER
from figures.style import BLACK, BLUE, GREEN, GREY, ORANGE, VERMILLION, Stroke
from replications.somepalli_boundaries.presets import SOURCES, STUDY
from replications.somepalli_boundaries.published import (
    DISTILLED,
    MATRIX_NETWORKS,
    NETWORK_NAMES,
    OPTIMIZER_ACCURACY,
    OPTIMIZER_NAMES,
    OPTIMIZER_NETWORKS,
    OPTIMIZER_REPRODUCIBILITY,
    REPRODUCIBILITY_MATRIX,
    VANILLA,
)
from replications.somepalli_boundaries.results import groups, matrix, score_and_error

_OPTIMIZER_STROKES = {
    "adam": Stroke(ORANGE, "s"),
    "sgd": Stroke(BLUE, "o"),
    "sam": Stroke(VERMILLION, "D"),
}
_SOURCE_COLORS = {
    "initialization": BLUE,
    "order": ORANGE,
    "augmentation": GREEN,
    "initialization and order": VERMILLION,
    "all": BLACK,
}


def _without_seeds(settings):
    seeds = ("init_seed", "order_seed", "augmentation_seed", "teacher_seed")
    return dataclasses.replace(settings, seed=0, **dict.fromkeys(seeds))


@functools.cache
def _published_settings():
    presets = (s for name in STUDY.figures for s in STUDY.runs_of_figure(name, "paper"))
    return {_without_seeds(settings.resolve()) for settings in presets}


def is_paper_scale(runs):
    """Whether runs follow the published protocol in full: only then stand published numbers beside ours."""
    return all(_without_seeds(settings) in _published_settings() for settings, _ in runs)


def _draw_matrix(panel, values, limits, names, form=".2f", colormap="cividis"):
    """A matrix of coloured cells with its numbers; nan stays empty. Cividis is made for all colour vision."""
    image = panel.imshow(values, cmap=colormap, vmin=limits[0], vmax=limits[1])
    for (i, j), number in np.ndenumerate(values):
        if np.isfinite(number):
            red, green, blue, _ = image.cmap(image.norm(number))
            color = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < 0.47 else BLACK
            text = f"{number:{form}}".removeprefix("0")
            panel.text(j, i, text, ha="center", va="center", fontsize=7.5, color=color)
    panel.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    panel.set_yticks(range(len(names)), names)
    panel.grid(False)
    panel.spines[:].set_visible(False)
    panel.tick_params(length=0)
    return image


def _limits(*arrays):
    numbers = np.concatenate([np.ravel(array) for array in arrays])
    numbers = numbers[np.isfinite(numbers)]
    if not numbers.size:
        return 0.0, 1.0
    low, high = numbers.min(), numbers.max()
    return (low, high) if high > low else (low - 0.01, high + 0.01)


def _values(cells, names):
    return np.array([[cells[a, b].value for b in names] for a in names])


def figure_reproducibility(runs):
    """The matrix of mean scores between architectures; a diagonal cell is between seeds of one of them."""
    networks = by_network(runs)
    ours = _values(matrix(networks), list(networks))
    shown = {"ours": ours}
    if is_paper_scale(runs):
        places = [MATRIX_NETWORKS.index(network) for network in networks]
        shown["published"] = REPRODUCIBILITY_MATRIX[np.ix_(places, places)]
    names = [NETWORK_NAMES[network] for network in networks]
    seeds = max(map(len, networks.values()))
    figure = style.new_figure(
        style.WIDTH,
        6.2 if len(shown) == 1 else 12,
        f"{PAPER}: reproducibility between architectures, {seeds} seeds each",
    )
    panels = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    limits = _limits(*shown.values())
    for panel, (title, values) in zip(panels, shown.items(), strict=True):
        image = _draw_matrix(panel, values, limits, names)
        if len(shown) > 1:
            panel.set_title(title)
    figure.colorbar(image, ax=list(panels), shrink=0.7, label="reproducibility score", pad=0.02)
    return figure


def table_reproducibility(runs):
    """Ours with 95 % intervals over networks, and the published number at paper scale: head and rows."""
    networks = by_network(runs)
    cells = matrix(networks)
    published = is_paper_scale(runs)
    rows = []
    names = list(networks)
    for i, a in enumerate(names):
        for b in names[i:]:
            row = [f"{NETWORK_NAMES[a]} and {NETWORK_NAMES[b]}", *cell_texts(cells[a, b])]
            if published:
                place = MATRIX_NETWORKS.index(a), MATRIX_NETWORKS.index(b)
                row.append(f"{REPRODUCIBILITY_MATRIX[place]:.2f}")
            rows.append(row)
    return ["networks", "reproducibility", "95 % interval", "pairs", *["published"] * published], rows


def _number(number, form=".3f"):
    return f"{number:{form}}" if np.isfinite(number) else ""


def cell_texts(cell, percent=False):
    """Score, 95 % interval and number of pairs of a `Reproducibility`; empty where undefined."""
    value, low, high = (100 * x if percent else x for x in (cell.value, cell.low, cell.high))
    form = ".2f" if percent else ".3f"
    limits = f"{low:{form}} to {high:{form}}" if np.isfinite(low) else ""
    return [_number(value, form), limits, str(cell.num_pairs)]


def distillation_cells(runs):
    """Scores between a teacher and its distilled students, and the same students trained alone.

    Returns:
        Names of the networks, and two arrays (teachers, students), means over the students' seeds; nan where
        a run is missing.
    """
    vanilla = {(s.network, s.seed): run for s, run in runs if s.teacher is None}
    students = [(s, run) for s, run in runs if s.teacher]
    names = [name for name in NETWORK_NAMES if any(name == s.network for s, _ in students)]
    kinds = ["distilled", "vanilla"]
    rows = []
    for settings, run in students:
        teacher = vanilla.get((settings.teacher, settings.teacher_seed))
        alone = vanilla.get((settings.network, settings.seed))
        # Of one that diverged there is no run.
        found = [score_and_error(teacher, one)[0] if teacher and one else np.nan for one in (run, alone)]
        rows.append([settings.teacher, settings.network, *found])
    means = pd.DataFrame(rows, columns=["teacher", "student", *kinds]).groupby(["teacher", "student"]).mean()
    return names, *(means[kind].unstack().reindex(index=names, columns=names).to_numpy() for kind in kinds)


def _seeds_each(runs):
    number = len({settings.seed for settings, _ in runs if settings.teacher})
    return "one seed each" if number == 1 else f"means over {number} seeds each"


def figure_distillation(runs):
    """Teachers against students, distilled and trained alone, and what distillation adds."""
    names, distilled, vanilla = distillation_cells(runs)
    words = [NETWORK_NAMES[name] for name in names]
    figure = style.new_figure(
        style.WIDTH, 4.3, f"{PAPER}: reproducibility between a teacher and students, {_seeds_each(runs)}"
    )
    panels = figure.subplots(1, 3, sharey=True)
    limits = _limits(distilled, vanilla)
    for panel, values, title in zip(panels, (distilled, vanilla), ("distilled", "vanilla"), strict=False):
        image = _draw_matrix(panel, values, limits, words)
        panel.set(title=f"{title} student", xlabel="student")
    panels[0].set_ylabel("teacher")
    place = {"location": "bottom", "shrink": 0.6, "pad": 0.03, "aspect": 30}
    figure.colorbar(image, ax=list(panels[:2]), label="reproducibility score", **place)
    gain = distilled - vanilla
    largest = np.max(np.abs(gain[np.isfinite(gain)]), initial=0) or 0.01
    _draw_matrix(panels[2], gain, (-1.6 * largest, 1.6 * largest), words, "+.3f", "RdBu")
    panels[2].set(title="distilled minus vanilla", xlabel="student")
    return figure


# Columns of the published arrays whose networks are legible and trained here.
_LEGIBLE = {"resnet18": 0, "densenet121": 2, "vgg19": 3}


def table_distillation(runs):
    """Ours, and at paper scale the published numbers whose row and column are legible: head and rows."""
    names, distilled, vanilla = distillation_cells(runs)
    published = is_paper_scale(runs)
    rows = []
    for (i, j), score in np.ndenumerate(distilled):
        row = [NETWORK_NAMES[names[i]], NETWORK_NAMES[names[j]], _number(score), _number(vanilla[i, j])]
        if published:
            known = names[i] in _LEGIBLE and names[j] in _LEGIBLE
            place = (_LEGIBLE.get(names[i], 0), _LEGIBLE.get(names[j], 0))
            row.append(f"{DISTILLED[place]:.2f} and {VANILLA[place]:.2f}" if known else "")
        rows.append(row)
    return ["teacher", "student", "distilled", "vanilla", *["published"] * published], rows


def optimizer_groups(runs):
    """{(network, optimizer name): its runs}."""
    return groups(runs, lambda settings: (settings.network, settings.optimizer_name))


def figure_optimizers(runs):
    """Both tables: reproducibility between seeds, and test accuracy, for three optimizers."""
    found = optimizer_groups(runs)
    networks = [n for n in OPTIMIZER_NETWORKS if any(n == network for network, _ in found)]
    cells = matrix(found)
    figure = style.new_figure(style.WIDTH, 4.2, f"{PAPER}: optimizers")
    panels = figure.subplots(1, 2)
    paper = is_paper_scale(runs)
    for i, (optimizer, stroke) in enumerate(_OPTIMIZER_STROKES.items()):
        places = np.arange(len(networks)) + 0.18 * (i - 1)
        for place, network in zip(places, networks, strict=True):
            if (network, optimizer) in found:
                cell, members = cells[(network, optimizer), (network, optimizer)], found[network, optimizer]
                limits = [cell.low, cell.high] if len(members) >= style.FEWEST else [np.nan, np.nan]
                pairs = [100 * score_and_error(a, b)[0] for a, b in itertools.combinations(members, 2)]
                _dot(panels[0], place, 100 * np.array([cell.value, *limits]), stroke, pairs)
                accuracies = np.array([100 * last(run, "accuracy", subset="test") for run in members])
                _dot(panels[1], place, [accuracies.mean(), np.nan, np.nan], stroke, accuracies)
            if paper:
                row, column = OPTIMIZER_NETWORKS.index(network), list(OPTIMIZER_NAMES).index(optimizer)
                for panel, numbers in zip(
                    panels, (OPTIMIZER_REPRODUCIBILITY, OPTIMIZER_ACCURACY), strict=True
                ):
                    panel.plot(place + 0.07, numbers[row, column], "_", color=GREY, markersize=9)
    for panel, title in zip(
        panels, ("reproducibility (%), a dot a pair of seeds", "test accuracy (%), a dot a seed"), strict=True
    ):
        panel.set_xticks(range(len(networks)), [NETWORK_NAMES[network] for network in networks])
        panel.set(title=title, xlim=(-0.5, len(networks) - 0.5))
    handles = [stroke.handle(OPTIMIZER_NAMES[name]) for name, stroke in _OPTIMIZER_STROKES.items()]
    handles.append(_interval_handle(max(map(len, found.values()))))
    if paper:
        handles.append(style.Line2D([], [], color=GREY, marker="_", linestyle="none", label="published"))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


def _interval_handle(num_seeds):
    """The legend entry of the intervals, or why there are none."""
    if num_seeds >= style.FEWEST:
        return style.Line2D([], [], color=GREY, linewidth=1.2, label="95 % interval over networks")
    return style.note_handle(style.no_interval(num_seeds, "seed"))


def _dot(panel, place, limits, stroke, runs=()):
    """A mean with its interval, and single runs faintly behind it."""
    mean, low, high = limits
    faint = {"color": stroke.color, "alpha": 0.35, "markeredgewidth": 0, "markersize": 4}
    panel.plot(np.full(len(runs), place + 0.05), runs, "o", **faint)
    panel.plot([place, place], [low, high], color=stroke.color, linewidth=1.2)
    panel.plot(place, mean, stroke.marker, color=stroke.color, markersize=6)


def table_optimizers(runs):
    """Reproducibility and accuracy in percent, at paper scale beside the published: head and rows."""
    found = optimizer_groups(runs)
    cells, published = matrix(found), is_paper_scale(runs)
    rows = []
    for (network, optimizer), members in found.items():
        cell = cells[(network, optimizer), (network, optimizer)]
        score, limits, pairs = cell_texts(cell, percent=True)
        accuracy = 100 * np.mean([last(run, "accuracy", subset="test") for run in members])
        name = OPTIMIZER_NAMES.get(optimizer, optimizer)
        row = [NETWORK_NAMES[network], name, score, limits, pairs, f"{accuracy:.2f}"]
        if published and optimizer in OPTIMIZER_NAMES:
            place = OPTIMIZER_NETWORKS.index(network), list(OPTIMIZER_NAMES).index(optimizer)
            row += [f"{OPTIMIZER_REPRODUCIBILITY[place]:.2f}", f"{OPTIMIZER_ACCURACY[place]:.2f}"]
        rows.append(row)
    head = ["network", "optimizer", "reproducibility (%)", "95 % interval", "pairs", "test accuracy (%)"]
    return head + ["published (%)", "published accuracy (%)"] * published, rows


def source_groups(runs):
    """{(network, source): the runs that differ in this source alone}, each with the run of all seeds 0."""
    found = {}
    for settings, run in runs:
        seeds = tuple(settings.seeds.values())
        for source, names in SOURCES.items():
            varied = {"init_seed" if name == "seed" else name for name in names}
            same = [seed for name, seed in settings.seeds.items() if name not in varied]
            others = {seed for name, seed in settings.seeds.items() if name in varied}
            if not any(same) and len(others) == 1:
                found.setdefault((settings.network, source), {})[seeds] = run
    return {key: [members[seeds] for seeds in sorted(members)] for key, members in found.items()}


def figure_sources(runs):
    """Beyond the paper: the score when initialization, order or augmentation differ, alone and together."""
    found = source_groups(runs)
    networks = [network for network in NETWORK_NAMES if any(network == name for name, _ in found)]
    figure = style.new_figure(
        style.WIDTH, 0.9 + 1.1 * len(networks) + 0.8, f"{PAPER}: reproducibility by source"
    )
    panel = figure.subplots()
    labels = []
    for i, network in enumerate(networks):
        for j, (source, color) in enumerate(_SOURCE_COLORS.items()):
            members = found.get((network, source))
            if not members:  # all diverged
                continue
            (cell,) = matrix({source: members}).values()
            y = i + 0.16 * (j - 2)
            pairs = [score_and_error(a, b)[0] for a, b in itertools.combinations(members, 2)]
            panel.plot(pairs, np.full(len(pairs), y), "o", color=color, alpha=0.3, markersize=4)
            if len(members) >= style.FEWEST:
                panel.plot([cell.low, cell.high], [y, y], color=color, linewidth=1.4)
            panel.plot(cell.value, y, "D", color=color, markersize=6)
        labels.append(NETWORK_NAMES[network])
    panel.set_yticks(range(len(labels)), labels)
    panel.set(ylim=(len(labels) - 0.5, -0.5), xlabel="reproducibility score")
    words = {"all": "all three"}
    handles = [
        Stroke(color, "D", "none").handle(f"other {source}" if source != "all" else words["all"])
        for source, color in _SOURCE_COLORS.items()
    ]
    handles.append(_interval_handle(max(map(len, found.values()))))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure
