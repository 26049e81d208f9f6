"""The table of a figure's runs in the report: in what they differ, and what was measured of each last."""

import numpy as np

from common.statistics import interval_of_pairs
from common.study.run_folders import measured_seconds
from common.study.runs import differing
from common.study.verdicts import number

_KINDS = ("mean", "low", "high", "median")


def _quantities(rows):
    """The metric of each row with its subset, such as "margin, noisy".

    Measures over volumes, which have `anchors`, go by the metric alone: their last row, at all images
    themselves, stands for them.
    """
    if "subset" not in rows:
        return rows.metric
    has_subset = rows.subset.notna()
    if "anchors" in rows:
        has_subset &= rows.anchors.isna()
    return rows.metric.mask(has_subset, rows.metric + ", " + rows.subset.astype(str))


def _final(run):
    """(quantity, statistic) -> value at the end of a run; the intervals of few pairs lie above 0."""
    rows = run.rows
    if "examples" in rows:
        rows = rows[rows.examples == rows.examples.max()]
    quantities = _quantities(rows)
    values = dict(zip(zip(quantities, rows.statistic, strict=True), rows.value, strict=True))
    is_pair = rows.statistic == "pair"
    for quantity, pairs in rows.value[is_pair].groupby(quantities[is_pair]):
        ends = (quantity, "low"), (quantity, "high")
        values |= zip(ends, interval_of_pairs(pairs, *(values.get(end, np.nan) for end in ends)), strict=True)
    return values


def run_table(runs):
    """The last measured values of each run; counts, such as dead models, where any is not zero.

    Args:
        runs: List of (settings, Run).

    Returns:
        (head, rows, number of columns that name the run).
    """
    names = differing([settings for settings, _ in runs])
    final = [_final(run) for _, run in runs]
    found = {key for values in final for key in values}
    means, tallies, single = [], [], []
    if any(kind == "pair" for _, kind in found):
        means = sorted({quantity for quantity, kind in found if kind == "mean"}, reverse=True)
        counts = [key for key in found if key[1] == "count"]
        tallies = sorted(key[0] for key in counts if any(values.get(key) for values in final))
    else:  # a run that trains one model has one value of each
        single = sorted(found)
    head = names.copy()
    for quantity in means:
        head += [f"{quantity}, mean [95 % interval]", "median"]
    head += [quantity + f", {kind}" * (kind != "run") for quantity, kind in single] + tallies
    head = [name.replace("_", " ") for name in head]
    head += [*(["epochs run"] if single else []), "minutes"]
    rows = []
    for (settings, run), values in zip(runs, final, strict=True):
        row = ["" if getattr(settings, name) is None else getattr(settings, name) for name in names]
        for quantity in means:
            value = {kind: number(values.get((quantity, kind), float("nan"))) for kind in _KINDS}
            row += [f"{value['mean']} [{value['low']}, {value['high']}]", value["median"]]
        row += [number(values[key]) if key in values else "" for key in single]
        row += [f"{values.get((quantity, 'count'), 0):g}" for quantity in tallies]
        row += [f"{run.rows.epoch.max():g}" if "epoch" in run.rows else ""] if single else []
        rows.append([*row, f"{measured_seconds(run.record['times']) / 60:.2g}"])
    return head, rows, len(names)
