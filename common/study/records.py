"""Reading records: all runs of a paper as pandas frames, and single values of a run."""

import math
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from ..errors import UserError
from .archive import Archive
from .rows import EarlierNames
from .run_folders import FINISHED, Run, read_record
from .runs import Study, load_study, study_names
from .setting import Value, completed


class Records(NamedTuple):
    """Finished runs of one paper.

    Args:
        runs: One line a run, whose name is the index: its settings, and `status`, `data_name`, `commit`,
            `dirty` and times in seconds.
        rows: One measured value a line: `run`, `metric`, `value`, `statistic` and its coordinates.
    """

    runs: pd.DataFrame
    rows: pd.DataFrame


def load(folder: str | os.PathLike) -> Records:
    """Reads all finished runs of one paper; runs whose numbers are suspect are left out.

    Example:
    >>> runs, rows = load("results/reference/snapp_shamir")
    >>> losses = rows[rows.metric.eq("excess_label_loss") & rows.statistic.eq("mean")]
    >>> losses.join(runs, on="run").groupby(["model", "activation", "shuffle_log2"]).value.mean()

    Args:
        folder: Folder of the paper's records, packed ones or run folders, such as
            `results/runs/snapp_shamir`.

    Raises:
        UserError: There is none, or one is damaged.
    """
    folder = pathlib.Path(folder)
    # Where the studies are installed with the library, they say what metrics were called once, and which runs
    # an older protocol made.
    study = load_study(folder.name) if folder.name in study_names() else None
    earlier_names = study.earlier_names if study else {}
    archive = Archive(folder, earlier_names)
    in_folders = _runs_of_folders(folder, earlier_names)
    found = archive.runs() | {
        name: run for name, run in in_folders.items() if not archive.holds(name, suspect=False)
    }
    found = {
        name: run
        for name, run in found.items()
        if not run.record.get("suspect") and (study is None or _is_current(study, run.record))
    }
    if not found:
        raise UserError(f"{folder}: no finished run of a paper")
    lines = [{"run": name} | _line(run.record) for name, run in found.items()]
    rows = pd.concat([run.rows.assign(run=name) for name, run in found.items()], ignore_index=True)
    return Records(pd.DataFrame(lines).set_index("run"), rows[["run", *rows.columns.drop("run")]])


def _is_current(study: Study, record: dict) -> bool:
    """Whether today's protocol would give the numbers of a record."""
    try:
        version = study.version(completed(study.settings, record["settings"]))
    except (KeyError, TypeError):  # not the settings of a run of today
        version = study.protocol_version
    return record["protocol_version"] == version


def _runs_of_folders(folder: pathlib.Path, earlier_names: EarlierNames) -> dict[str, Run]:
    found = {}
    for path in sorted(folder.glob("*/run.json")):
        record = read_record(path.parent)
        if record and record["status"] in FINISHED:
            found[path.parent.name] = Run(path.parent, record, earlier_names)
    return found


def _line(record: dict) -> dict:
    known = {
        "protocol_version": record["protocol_version"],
        "status": record["status"],
        "data_name": record.get("data"),
        "commit": record.get("commit"),
    }
    times = {name: value for name, value in record["times"].items() if name.endswith("_seconds")}
    return record["settings"] | known | {"dirty": record.get("dirty")} | times


def rows_of(run: Run, metric: str, **coordinates: Value) -> pd.DataFrame:
    """The rows of a metric with these coordinates, in order; a diverged run has none of most."""
    rows = run.by_metric.get(metric)
    return run.rows[:0] if rows is None else rows[_chosen(rows, coordinates)]


def last(run: Run, metric: str, **coordinates: Value) -> float:
    """The last value of a metric with these coordinates; nan if there is none."""
    rows = run.by_metric.get(metric)
    if rows is None:
        return math.nan
    places = np.flatnonzero(_chosen(rows, coordinates))
    return float(rows["value"].to_numpy()[places[-1]]) if len(places) else math.nan


def _chosen(rows: pd.DataFrame, coordinates: Mapping[str, Value]) -> np.ndarray:
    chosen = np.ones(len(rows), bool)
    for name, value in coordinates.items():
        chosen &= rows[name].to_numpy() == value if name in rows else False
    return chosen
