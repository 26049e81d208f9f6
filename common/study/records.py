"""Reading records: the values of a run."""

import math
from collections.abc import Iterable, Mapping

# {metric as it was once called: the columns that it has now, None if records no longer have it}.
EarlierNames = Mapping[str, Mapping[str, str] | None]


def renamed(rows: Iterable[dict], earlier_names: EarlierNames) -> list[dict]:
    """Returns rows under the names that their metrics have now; those that have them already as they are.

    Args:
        rows: A record's rows.
        earlier_names: Old metric -> the columns it has now, such as `metric` and `subset`; None drops it.
    """
    found = ((row, earlier_names.get(row.get("metric"), {})) for row in rows)
    return [row | columns for row, columns in found if columns is not None]


def rows_of(run, metric, **coordinates):
    """The rows of a metric with these coordinates, in order; a diverged run has none of most."""
    chosen = run.rows.metric.to_numpy() == metric
    for name, value in coordinates.items():
        chosen &= run.rows[name].to_numpy() == value if name in run.rows else False
    return run.rows[chosen]


def last(run, metric, **coordinates):
    """The last value of a metric with these coordinates; nan if there is none."""
    values = rows_of(run, metric, **coordinates).value
    return float(values.iloc[-1]) if len(values) else math.nan
