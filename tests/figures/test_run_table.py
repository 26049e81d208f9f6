import types

import pandas as pd

from figures.run_table import _final, run_table
from replications.somepalli_boundaries.settings import Settings
from tests.made_rows import made_rows


def test_the_table_of_runs_names_subset_and_statistic():
    """Measures over volumes go by the metric alone: the last row stands for them."""
    values = {"loss": 0.25, ("accuracy", "test"): 0.5, ("accuracy", "noisy"): 0.75}
    values |= {("margin", "all", "mean"): 3.0, ("margin", "all", "count"): 0}
    volumes = [
        {"metric": "accuracy", "value": value, "statistic": "run", "subset": subset, "anchors": 1}
        for subset, value in (("noisy", 0.1), ("all", 0.2))
    ]
    rows = pd.DataFrame(made_rows(values) + volumes).assign(epoch=7)
    run = types.SimpleNamespace(rows=rows, record={"times": {"train_seconds": 60.0}})
    bare = types.SimpleNamespace(rows=rows[rows.subset.isna()], record=run.record)
    runs = [(Settings(seed=0), run), (Settings(seed=1), bare)]
    head, lines, num_names = run_table(runs)
    assert head[:num_names] == ["seed"]
    first, second = (dict(zip(head, line, strict=True)) for line in lines)
    expected = {"seed": 0, "accuracy": "0.2", "accuracy, noisy": "0.75", "accuracy, test": "0.5"}
    expected |= {"loss": "0.25", "margin, all, count": "0", "margin, all, mean": "3"}
    assert first == expected | {"epochs run": "7", "minutes": "1"}
    assert (second["margin, all, mean"], second["loss"]) == ("", "0.25")


def test_the_end_of_a_run_is_its_last_number_of_examples():
    rows = pd.DataFrame({"metric": "m", "statistic": "mean", "examples": [4, 9, 8], "value": [1.0, 2.0, 3.0]})
    assert _final(types.SimpleNamespace(rows=rows)) == {("m", "mean"): 2.0}
