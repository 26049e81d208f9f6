"""Somepalli et al. 2022, tables beside figures 10 to 12: everything measured over the width of ResNet18k."""

import numpy as np

from common.statistics import interval
from common.study.records import last
from common.study.verdicts import number
from figures.somepalli_boundaries.scores import cell_texts
from figures.somepalli_boundaries.widths import between_seeds, by_noise
from replications.somepalli_boundaries.published import MARGIN_SUBSETS

# somepago/dbViz, double-descent/dd_accuracies.py.
_ACCURACIES = {
    "all training images": ("accuracy", "all"),
    "right labels": ("accuracy", "clean"),
    "wrong labels, as given": ("accuracy", "noisy"),
    "wrong labels, as true": ("accuracy_on_true_labels", "noisy"),
    "test images": ("accuracy", "test"),
}
_FRAGMENTATION = {"all": "all", "test": "test", "correct": "clean"}
_MARGINS = {"all": "all", "clean": "right labels", "noisy": "wrong labels"}


def _mean(values, quantity):
    """Mean over the runs of one setting and its 95 % interval, such as "12.3 [11, 14]"."""
    values = np.array(values)
    values = values[np.isfinite(values)] * (100 if quantity == "percentage" else 1)
    if not values.size:
        return ""
    limits = interval(values, quantity=quantity)
    between = f" [{number(limits[0])}, {number(limits[1])}]" if np.isfinite(limits[0]) else ""
    return number(values.mean()) + between


def _table(runs, columns):
    """A row a setting: label noise, width, number of seeds, and columns (name, function of its runs)."""
    rows = [
        [f"{noise:.0%}", str(width), str(len(members)), *(text(members) for _, text in columns)]
        for noise, by_width in by_noise(runs).items()
        for width, members in by_width.items()
        if members
    ]
    return ["label noise", "width", "seeds", *(name for name, _ in columns)], rows


def _column(name, metric, quantity="positive", **coordinates):
    return name, lambda members: _mean([last(run, metric, **coordinates) for run in members], quantity)


def table_10(runs):
    """Fragmentation, class skips and the five subset accuracies, means over seeds: head and rows."""
    columns = [
        _column(f"fragmentation, {words}", "fragmentation", subset=subset, statistic="run")
        for words, subset in _FRAGMENTATION.items()
    ]
    columns.append(_column("class skips", "class_skips"))
    columns += [
        _column(f"accuracy (%), {words}", metric, "percentage", subset=subset)
        for words, (metric, subset) in _ACCURACIES.items()
    ]
    return _table(runs, columns)


def table_11(runs):
    """Reproducibility between seeds, its interval over networks, and the test accuracy: head and rows."""
    columns = [
        (name, lambda members, i=i: cell_texts(between_seeds(members))[i])
        for i, name in enumerate(("reproducibility", "95 % interval", "pairs"))
    ]
    return _table(runs, [*columns, _column("test accuracy (%)", "accuracy", "percentage", subset="test")])


def table_12(runs):
    """Means and medians of the margins over images, and how many images have one: head and rows."""
    columns = [
        _column(f"{statistic} margin, {_MARGINS[subset]}", "margin", subset=subset, statistic=statistic)
        for subset in MARGIN_SUBSETS
        for statistic in ("median", "mean")
    ]
    columns += [
        _column(f"images kept, {_MARGINS[subset]}", "margin", subset=subset, statistic="count")
        for subset in MARGIN_SUBSETS
    ]
    return _table(runs, columns)
