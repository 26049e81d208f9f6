"""Zhang et al. 2017, "Understanding deep learning requires rethinking generalization": figures and table 1.

`python -m figures.zhang_randomization --figure=1a --records=results/runs --scale=laptop`
"""

import dataclasses
from collections.abc import Mapping

from matplotlib.lines import Line2D

from common.data.datasets import DATASETS
from common.statistics import Summary, summarize
from common.study.claims import data_name
from common.study.records import last
from figures import drawing, style
from figures.seeds import named
from figures.style import BLUE, GREY, ORANGE, VERMILLION
from figures.zhang_randomization.curves import PAPER, by_setting, chance, figure_1a, figure_2a, figure_2b
from figures.zhang_randomization.noise import figure_1b, figure_1c
from replications.zhang_randomization.published import KERNEL_ERROR, NETWORK_NAMES, TABLE_1
from replications.zhang_randomization.results import is_capped

_NUM_SEEDS = 6
_LINE = 60  # characters of a title's line that leave room for the seeds


@dataclasses.dataclass(frozen=True)
class Cell:
    """A row of table 1 as we measured it: percent over the seeds, each of them, and whether all fitted.

    Runs that diverged are in no mean, as in the claims, unless all did; `fate` says how many.
    """

    train: Summary
    test: Summary
    fitted: bool
    values: Mapping[str, list[float]]
    fate: str

    @staticmethod
    def text(summary):
        """Writes a mean with its interval."""
        interval = "" if summary.n < 2 else f" [{summary.low:.1f}, {summary.high:.1f}]"
        return f"{summary.mean:.1f}{interval}"

    @staticmethod
    def of(members):
        """The Cell of the runs of one setting."""
        whole = [run for run in members if not run.diverged]
        shown = whole or members
        values = {part: [100 * last(run, f"{part}_accuracy") for run in shown] for part in ("train", "test")}
        train, test = (summarize(found, "percentage") for found in values.values())
        fitted = not any(map(is_capped, shown))
        fate = "yes" if fitted else "no, capped"
        if len(whole) < len(members):
            fate = f"{len(members) - len(whole)} of {len(members)} diverged"
        return Cell(train, test, fitted, values, fate)

    def draw_spread(self, panel, part, place, color, *, along_x=True):
        """Draws the interval of a mean, or each of few seeds."""
        if self.test.n >= style.FEWEST:
            summary = getattr(self, part)
            found, look = [summary.low, summary.high], {"linewidth": 1.4}
        else:
            found, look = self.values[part], {"linestyle": "none", "marker": ".", "alpha": 0.6}
        line = found, [place] * len(found)
        panel.plot(*(line if along_x else line[::-1]), color=color, label="_spread", **look)


def _mean_label(part, cells):
    """What the mark of a mean says: with its interval, or why there is none."""
    most = max(cell.test.n for cell in cells)
    if most >= style.FEWEST:
        return f"{part}, mean over seeds and its 95 % interval"
    return f"{part}, mean over seeds ({style.no_interval(most, 'seed')})"


def cells(runs):
    """Returns {row of table 1: Cell} of the rows that have runs, in the order of the table."""
    groups = list(by_setting(runs).items())
    found = {}
    for row in TABLE_1:
        for settings, members in groups:
            if all(getattr(settings, name) == value for name, value in row.settings.items()):
                found[row] = Cell.of(members)
    return found


# Right ends of the columns of numbers, as shares of their panel.
_COLUMNS = (0.12, 0.33, 0.79, 0.98)


def _of_published_data(runs):
    """Whether runs are on the paper's data set, or a copy or part of it: then published numbers stand by."""
    return all(settings.dataset == "cifar10" for settings, _ in runs)


def _theirs(runs):
    """How published numbers are called: what they were made on where ours were made on less."""
    title = DATASETS["cifar10"].title
    alike = all(settings.num_train is None and data_name(run) == title for settings, run in runs)
    return "Zhang et al." if alike else f"Zhang et al., all of {title}"


def _draw_row(panel, numbers, height, row, cell, published):
    color, face = BLUE, BLUE if cell.fitted else "white"
    cell.draw_spread(panel, "test", height, color)
    panel.plot(cell.test.mean, height, "o", color=color, markerfacecolor=face, markersize=6, label="_ours")
    theirs = ("", "")
    if published:
        panel.plot(row.test, height, "D", color=ORANGE, markersize=4.5, label="_published", zorder=1.9)
        theirs = (f"{row.train:.2f}", f"{row.test:.2f}")
    _write(numbers, height, (f"{cell.train.mean:.1f}", theirs[0], Cell.text(cell.test), theirs[1]))


def _write(numbers, height, texts, **font):
    for place, text in zip(_COLUMNS, texts, strict=True):
        numbers.text(place, height, text, ha="right", va="center", fontsize=8, **font)


def figure_table1(runs):
    """Table 1: test accuracy of every row, ours beside the published one, and training accuracies."""
    found, published = cells(runs), _of_published_data(runs)
    tall = 7 if len(found) == len(TABLE_1) else 4
    figure = style.new_figure(style.WIDTH, tall, f"{PAPER}, table 1: training and test accuracy (%)")
    panel, numbers = figure.subplots(1, 2, sharey=True, width_ratios=(1.1, 1))
    numbers.set_axis_off()
    height, labels, groups = 0, {}, set()
    for row, cell in found.items():
        if row.group not in groups:
            height += 0.4 * bool(groups)
            labels[height] = row.group
            groups.add(row.group)
            height += 1
        _draw_row(panel, numbers, height, row, cell, published)
        labels[height] = row.variant
        height += 1
    theirs = ("train\nZhang", "test\nZhang") if published else ("", "")
    _write(numbers, -0.4, ("train\nours", theirs[0], "test\nours", theirs[1]), color=GREY)
    panel.axvline(chance(runs[0][1]), color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    panel.set_yticks(list(labels), list(labels.values()))
    for label in panel.get_yticklabels():
        label.set_fontweight("bold" if label.get_text() in groups else "normal")
    panel.tick_params(axis="y", length=0)
    panel.set(xlim=(0, 100), ylim=(height - 0.4, -1.2), xlabel="test accuracy (%)")
    panel.grid(axis="y", visible=False)
    ours = {"color": BLUE, "linestyle": "none", "marker": "o"}
    handles = [Line2D([], [], label=_mean_label("ours", found.values()), **ours)]
    if not all(cell.fitted for cell in found.values()):
        handles.append(Line2D([], [], label="ours, not fitted at the cap", markerfacecolor="white", **ours))
    if published:
        mark = {"color": ORANGE, "linestyle": "none", "marker": "D", "markersize": 4.5}
        handles.append(Line2D([], [], label=_theirs(runs), **mark))
    handles.append(Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), label="chance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def table_1(runs):
    """Ours and, on the paper's data, the published numbers: head and rows of table 1."""
    published = _of_published_data(runs)
    rows = []
    for row, cell in cells(runs).items():
        train, test = [Cell.text(cell.train)], [Cell.text(cell.test)]
        if published:
            train.append(f"{row.train:.2f}")
            test.append(f"{row.test:.2f}")
        rows.append([row.group, row.variant, *train, *test, cell.test.n, cell.fate])
    train, test = (
        [f"{part}, ours (%)", *[f"{part}, {_theirs(runs)}"] * published] for part in ("train", "test")
    )
    return ["network", "variant", *train, *test, "seeds", "fitted"], rows


def figure_random_decay(runs):
    """Accuracies of networks trained on random labels with weight decay."""
    figure = style.new_figure(7.6, 3.6, f"{PAPER}, section 3: random labels with weight decay")
    panel = figure.subplots()
    names = []
    found = {settings: Cell.of(members) for settings, members in by_setting(runs).items()}
    for height, (settings, cell) in enumerate(found.items()):
        names.append(NETWORK_NAMES[settings.network] + " (not fitted)" * (not cell.fitted))
        for part, color, marker in (("train", BLUE, "o"), ("test", ORANGE, "D")):
            cell.draw_spread(panel, part, height, color)
            panel.plot(getattr(cell, part).mean, height, marker, color=color, markersize=6, label=f"_{part}")
    panel.axvline(chance(runs[0][1]), color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    panel.set_yticks(range(len(names)), names)
    panel.set(xlim=(0, 103), ylim=(len(names) - 0.5, -0.5), xlabel="accuracy (%)")
    handles = [
        Line2D(
            [], [], color=BLUE, marker="o", linestyle="none", label=_mean_label("training", found.values())
        ),
        Line2D([], [], color=ORANGE, marker="D", linestyle="none", label="test"),
        Line2D([], [], color=GREY, linewidth=0.8, linestyle=(0, (1, 2)), label="chance"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def _images(settings):
    return settings.num_train or 50_000


def figure_closed_form(title, runs, published=None):
    """Accuracies of what is computed without training, against the number of images."""
    figure = style.new_figure(7.6, 3.8, f"{PAPER}, {title}")
    panel = figure.subplots()
    groups = sorted(by_setting(runs).items(), key=lambda group: _images(group[0]))
    found = {_images(settings): Cell.of(members) for settings, members in groups}
    for part, color, marker in (("train", BLUE, "o"), ("test", ORANGE, "D")):
        for images, cell in found.items():
            cell.draw_spread(panel, part, images, color, along_x=False)
        xs, means = list(found), [getattr(cell, part).mean for cell in found.values()]
        panel.plot(xs, means, color=color, marker=marker, markersize=6, label=f"_{part}")
    handles = [
        Line2D([], [], color=BLUE, marker="o", label=_mean_label("training", found.values())),
        Line2D([], [], color=ORANGE, marker="D", label="test"),
    ]
    levels = {("chance", GREY): chance(runs[0][1])}
    if published and _of_published_data(runs):
        levels[f"{_theirs(runs)}, test", VERMILLION] = published
    for (name, color), level in levels.items():
        line = {"color": color, "linewidth": 0.8, "linestyle": (0, (1, 2))}
        panel.axhline(level, **line)
        handles.append(Line2D([], [], label=name, **line))
    panel.set(xlabel="training images", ylabel="accuracy (%)", ylim=(0, 103), xscale="log")
    panel.set_xticks(list(found), [f"{count:,}" for count in found])
    panel.minorticks_off()
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    return figure


def figure_theorem1(runs):
    """The network of theorem 1 on random labels."""
    return figure_closed_form("theorem 1: a network of 2n + d weights has any labels", runs)


def figure_kernel(runs):
    """Kernel least squares without regularization."""
    return figure_closed_form(
        "section 5: least squares with a Gaussian kernel on raw pixels", runs, 100 - KERNEL_ERROR
    )


def _by_ee411(draw):
    """A figure of runs by EE-411's protocol, which says so."""

    def drawn(runs):
        figure = draw(runs)
        style.stamp(figure, "protocol of EE-411")
        return figure

    drawn.__doc__ = f"By EE-411's protocol: {draw.__doc__[0].lower()}{draw.__doc__[1:]}"
    return drawn


FIGURES = {
    "1a": figure_1a,
    "1b": figure_1b,
    "1c": figure_1c,
    "2a": figure_2a,
    "2b": figure_2b,
    "table1": figure_table1,
    "table1_mlp": figure_table1,
    "random_decay": figure_random_decay,
    "theorem1": figure_theorem1,
    "kernel": figure_kernel,
    "1a_ee411": _by_ee411(figure_1a),
    "1b_ee411": _by_ee411(figure_1b),
    "1c_ee411": _by_ee411(figure_1c),
    "2b_ee411": _by_ee411(figure_2b),
}


def _size(name, settings):
    """Says how large runs are: "512 training images; seeds 0 to 2"."""
    counts = {NETWORK_NAMES[s.network]: s.num_train for s in settings}
    numbers = sorted({s.num_train for s in settings if s.num_train})
    if len(counts) == 1 and len(numbers) > 1:
        images = f"{numbers[0]:,} to {numbers[-1]:,} training images"
    elif len(set(counts.values())) == 1:
        (number,) = set(counts.values())
        images = f"{number:,} training images" if number else "all training images"
    else:
        names_of = {n: ", ".join(k for k in counts if counts[k] == n) for n in counts.values()}
        images = "training images: " + ", ".join(f"{n:,} ({names})" for n, names in names_of.items())
    seeds = {s.seed for s in settings}
    complete = len({dataclasses.replace(s, seed=0) for s in settings}) * len(seeds) == len(settings)
    # With the images of three networks the seeds would leave the picture.
    between = "\n" if len(images) > _LINE else "; "
    return f"{images}{between}{named(seeds)}" + " (not of all runs)" * (not complete)


PAPER_FIGURES = drawing.PaperFigures(
    "zhang_randomization",
    FIGURES,
    _size,
    _NUM_SEEDS,
    {"table1": table_1, "table1_mlp": table_1},
    curves=dict.fromkeys(("1b", "1c", "1b_ee411", "1c_ee411"), ("network",)),
)
