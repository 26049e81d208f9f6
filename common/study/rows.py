"""The tidy rows of a record: one measured value each, under the name that its metric has now."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# {metric as it was once called: the columns that it has now, None if records no longer have it}.
EarlierNames = Mapping[str, dict[str, str] | None]


def renamed(rows: Iterable[dict], earlier_names: EarlierNames) -> list[dict]:
    """Returns rows under the names that their metrics have now; those that have them already as they are.

    Args:
        rows: A record's rows.
        earlier_names: Old metric -> the columns that it has now, as `metric`, `subset`; None drops it.
    """
    found = ((row, earlier_names.get(row.get("metric", ""), {})) for row in rows)
    return [row | columns for row, columns in found if columns is not None]


def by_metric(rows: "pd.DataFrame") -> "dict[str, pd.DataFrame]":
    """Returns the rows of each metric, in their order."""
    return dict(iter(rows.groupby("metric", sort=False))) if len(rows) else {}
