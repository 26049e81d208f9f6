"""The tables beside figures 10 to 12, from made-up rows."""

import types

import numpy as np
import pandas as pd
import pytest

from common.statistics import interval
from common.study.verdicts import number
from figures.somepalli_boundaries.tables import table_10, table_11, table_12

ACCURACIES = {
    "accuracy (%), all training images": ("accuracy_all", 0.9),
    "accuracy (%), right labels": ("accuracy_correct", 0.95),
    "accuracy (%), wrong labels, as given": ("accuracy_mislabelled", 0.7),
    "accuracy (%), wrong labels, as true": ("accuracy_mislabelled_true", 0.2),
    "accuracy (%), test images": ("accuracy_test", 0.4),
}


def made(noise, width, seed, classes=((0, 0), (0, 0)), **values):
    settings = types.SimpleNamespace(label_noise=noise, width=width, seeds={"init_seed": seed})
    rows = pd.DataFrame([{"metric": metric, "value": value} for metric, value in values.items()])
    return settings, types.SimpleNamespace(rows=rows, arrays={"score_classes": np.array([classes])})


def columns(table):
    head, rows = table
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_table_10_has_class_skips_and_the_five_accuracies():
    values = dict(ACCURACIES.values()) | {
        "fragmentation_all": 5.0,
        "fragmentation_test": 6.0,
        "fragmentation_correct": 3.0,
    }
    noisy = [made(0.2, 4, seed, class_skips=1.0 + seed, **values) for seed in (0, 1)]
    clean = [made(0.0, 4, 0, class_skips=0.5, accuracy_all=1.0, accuracy_test=0.8)]
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
    runs = [made(0.2, 4, seed, classes, accuracy_test=0.5) for seed, classes in enumerate(maps)]
    (row,) = columns(table_11(runs))
    assert row["reproducibility"] == f"{(3 + 2 + 3) / 12:.3f}"
    # Student's t of two degrees of freedom, 4.303, times 1/6 reaches beyond what a score can be: its reach
    # 0.717 is 3.227 on the scale of logits, around logit(2/3) = 0.693.
    assert row["95 % interval"] == "0.074 to 0.981"
    assert row["pairs"] == "3"
    (row,) = columns(table_11(runs[:1]))
    assert (row["reproducibility"], row["95 % interval"], row["pairs"]) == ("", "", "0")


@pytest.mark.parametrize("kind,words", [("aa", "all"), ("ca", "right labels"), ("ma", "wrong labels")])
def test_table_12_has_means_beside_medians(kind, words):
    values = {f"margin_{kind}_median": 2.0, f"margin_{kind}_mean": 3.25, f"margin_{kind}_kept": 57}
    (row,) = columns(table_12([made(0.2, 4, 0, **values)]))
    assert row[f"median margin, {words}"] == "2"
    assert row[f"mean margin, {words}"] == "3.25"
    assert row[f"images kept, {words}"] == "57"
    assert sum(text == "" for text in row.values()) == 6
