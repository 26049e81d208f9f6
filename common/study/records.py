"""Reading records: the values of a run."""

import math


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
