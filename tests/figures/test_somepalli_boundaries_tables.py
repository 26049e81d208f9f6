"""The tables beside figures 10 to 12, from made-up rows."""

import types

import numpy as np
import pytest

from common.statistics import interval
from common.study.verdicts import number
from figures.somepalli_boundaries.tables import table_10, table_11, table_12
from tests.made_rows import made_rows, made_run

ACCURACIES = {
    "accuracy (%), all training images": (("accuracy", "all"), 0.9),
    "accuracy (%), right labels": (("accuracy", "clean"), 0.95),
    "accuracy (%), wrong labels, as given": (("accuracy", "noisy"), 0.7),
    "accuracy (%), wrong labels, as true": (("accuracy_on_true_labels", "noisy"), 0.2),
    "accuracy (%), test images": (("accuracy", "test"), 0.4),
}


def made(noise, width, seed, values, classes=((0, 0), (0, 0))):
    settings = types.SimpleNamespace(label_noise=noise, width=width, seeds={"init_seed": seed})
    return settings, made_run(made_rows(values), arrays={"score_classes": np.array([classes])})


def columns(table):
    head, rows = table
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_table_10_has_class_skips_and_the_five_accuracies():
    values = dict(ACCURACIES.values()) | {
        ("fragmentation", "all"): 5.0,
        ("fragmentation", "test"): 6.0,
        ("fragmentation", "clean"): 3.0,
        ("fragmentation", "clean", "deviation"): 1.0,
    }
    noisy = [made(0.2, 4, seed, values | {"class_skips": 1.0 + seed}) for seed in (0, 1)]
    values = {"class_skips": 0.5, ("accuracy", "all"): 1.0, ("accuracy", "test"): 0.8}
    clean = [made(0.0, 4, 0, values)]
    first, second = columns(table_10(noisy + clean))
    assert (first["label noise"], first["width"], first["seeds"]) == ("0%", "4", "1")
    assert first["class skips"] == "0.5"
    assert first["accuracy (%), all training images"] == "100"
    assert first["accuracy (%), wrong labels, as given"] == ""  # there are none
    assert (second["label noise"], second["seeds"]) == ("20%", "2")
    low, high = interval([1.0, 2.0], quantity="positive")
    assert second["class skips"] == f"1.5 [{number(low)}, {number(high)}]"
    for name, (_, accuracy) in ACCURACIES.items():
        assert second[name].split()[0] == number(100 * accuracy)
    assert second["fragmentation, correct"].split()[0] == "3"


def test_table_11_has_scores_of_pairs_and_their_interval():
    # Of four points the pairs of three seeds agree on 3, 2 and 3.
    maps = (((0, 0), (0, 0)), ((0, 0), (0, 1)), ((0, 0), (1, 1)))
    runs = [made(0.2, 4, seed, {("accuracy", "test"): 0.5}, classes) for seed, classes in enumerate(maps)]
    (row,) = columns(table_11(runs))
    assert row["reproducibility"] == f"{(3 + 2 + 3) / 12:.3f}"
    # Student's t of two degrees of freedom, 4.303, times 1/6 reaches beyond what a score can be: its reach
    # 0.717 is 3.227 on the scale of logits, around logit(2/3) = 0.693.
    assert row["95 % interval"] == "0.074 to 0.981"
    assert row["pairs"] == "3"
    (row,) = columns(table_11(runs[:1]))
    assert (row["reproducibility"], row["95 % interval"], row["pairs"]) == ("", "", "0")


@pytest.mark.parametrize(
    "subset,words", [("all", "all"), ("clean", "right labels"), ("noisy", "wrong labels")]
)
def test_table_12_has_means_beside_medians(subset, words):
    statistics = {"median": 2.0, "mean": 3.25, "count": 57}
    values = {("margin", subset, statistic): value for statistic, value in statistics.items()}
    (row,) = columns(table_12([made(0.2, 4, 0, values)]))
    assert row[f"median margin, {words}"] == "2"
    assert row[f"mean margin, {words}"] == "3.25"
    assert row[f"images kept, {words}"] == "57"
    assert sum(text == "" for text in row.values()) == 6
