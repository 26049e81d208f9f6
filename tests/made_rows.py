"""Rows of records, made by hand from named values, and the other way round."""

import types

import pandas as pd

from common.study.rows import by_metric

_COLUMNS = ("metric", "subset", "statistic")


def made_rows(values, place=None):
    """Rows of {name: value}; a name is a metric, or (metric, subset), or (metric, subset, statistic)."""
    names = {name: name if isinstance(name, tuple) else (name,) for name in values}
    common = {"statistic": "run"} | (place or {})
    return [
        common | dict(zip(_COLUMNS, names[name], strict=False)) | {"value": v} for name, v in values.items()
    ]


def named_values(rows):
    """{name: value} of rows, the last of equals; names are those of `made_rows`."""
    found = {}
    for row in rows:
        name = row["metric"], row.get("subset"), row.get("statistic", "run")
        if name[2] == "run":
            name = name[:2] if name[1] else name[0]
        found[name] = row["value"]
    return found


def made_run(rows, **attributes):
    """As much of a finished run as figures and claims read, from its rows."""
    frame = pd.DataFrame(rows)
    return types.SimpleNamespace(rows=frame, by_metric=by_metric(frame), **attributes)
