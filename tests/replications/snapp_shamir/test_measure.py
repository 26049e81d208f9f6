import types

import numpy as np
import pytest
from scipy.special import expit, logit

from common.streams import Streams
from replications.snapp_shamir.data import ExampleStream, unpack
from replications.snapp_shamir.measure import Evaluation, summary_rows, table_row
from replications.snapp_shamir.settings import Settings

THETA = np.linspace(-2, 2, 32)
NUM_EXAMPLES = 2**10


@pytest.fixture(scope="module")
def evaluation():
    settings = Settings(model="linear", evaluation_log2=10).resolve()
    return Evaluation(settings, ExampleStream("linear", THETA), Streams(0))


def linear_model(theta, bias=0.0):
    return [theta[:, None].astype(np.float32), np.array([bias], np.float32)]


def values(rows, metric, statistic):
    return [r["value"] for r in rows if (r["metric"], r["statistic"]) == (metric, statistic)]


def test_measures_equal_a_plain_mean_over_the_evaluation_examples(evaluation):
    a, b = THETA + 0.1, THETA - 0.2
    rows = evaluation.rows(linear_model(a), linear_model(b, 0.5), pair=1, examples=64)
    patterns, counts, _ = ExampleStream("linear", THETA).evaluation_set(
        Streams(0).key("measurement", 1), NUM_EXAMPLES
    )
    x = unpack(np.repeat(patterns, counts)).astype(np.float64)
    assert len(x) == NUM_EXAMPLES
    p = expit(x @ THETA)
    pa, pb = expit(x @ a.astype(np.float32)), expit(x @ b.astype(np.float32) + 0.5)
    expected = np.mean(np.abs(pa - pb) / p)
    assert values(rows, "relative_prediction_difference", "pair") == pytest.approx([expected], rel=1e-12)
    losses = [np.mean(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))) for q in (pa, pb)]
    assert values(rows, "excess_label_loss", "run") == pytest.approx(losses, rel=1e-9)
    assert values(rows, "excess_label_loss", "pair") == pytest.approx([np.mean(losses)], rel=1e-9)
    assert {(r["pair"], r["examples"]) for r in rows} == {(1, 64)}


@pytest.mark.parametrize("activation", ["identity", "relu", "smelu", "swish"])
def test_logits_are_those_of_float64(activation):
    settings = Settings(model="double", activation=activation, evaluation_log2=10).resolve()
    measured = Evaluation(settings, ExampleStream("linear", THETA), Streams(0))
    examples = np.arange(1000, dtype=np.uint32) * 4_000_003
    generator = np.random.default_rng(0)
    weights = [generator.normal(size=shape).astype("f") for shape in ((32, 2), (2,), (2, 1), (1,))]
    hidden = unpack(examples).astype(np.float64) @ weights[0].astype(np.float64) + weights[1]
    expected = {
        "identity": hidden,
        "relu": np.maximum(hidden, 0),
        "smelu": np.where(np.abs(hidden) < 1, (hidden + 1) ** 2 / 4, np.maximum(hidden, 0)),
        "swish": hidden * expit(hidden),
    }[activation] @ weights[2] + weights[3]
    np.testing.assert_allclose(measured.logits(weights, examples), expected[:, 0], atol=1e-13)


def test_one_evaluation_example():
    """PD |a - b| / p and loss p log(p / q) + (1 - p) log((1 - p) / (1 - q)) of that example."""
    settings = Settings(model="linear", evaluation_log2=0).resolve()
    stream = ExampleStream("linear", THETA)
    rows = Evaluation(settings, stream, Streams(0)).rows(
        linear_model(THETA, 1.0), linear_model(THETA, -1.0), pair=0, examples=1
    )
    (pattern,), (count,), (truth,) = stream.evaluation_set(Streams(0).key("measurement", 0), 1)
    logit_of = unpack(pattern).astype(np.float64) @ THETA.astype(np.float32)
    p, a, b = expit(truth), expit(logit_of + 1), expit(logit_of - 1)
    losses = [p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)) for q in (a, b)]
    assert count == 1
    assert values(rows, "relative_prediction_difference", "pair") == pytest.approx([(a - b) / p], rel=1e-9)
    assert values(rows, "excess_label_loss", "run") == pytest.approx(losses, rel=1e-9)


def test_the_true_model_loses_nothing(evaluation):
    true = linear_model(THETA.astype(np.float32))
    rows = evaluation.rows(true, true, pair=0, examples=1)
    assert values(rows, "relative_prediction_difference", "pair") == [0.0]
    assert values(rows, "excess_label_loss", "pair")[0] == pytest.approx(0, abs=1e-13)


def test_on_one_example_no_model_is_dead():
    settings = Settings(model="linear", evaluation_log2=0).resolve()
    measured = Evaluation(settings, ExampleStream("linear", THETA), Streams(0))
    rows = measured.rows(linear_model(THETA), linear_model(THETA), pair=0, examples=1)
    assert [row for row in rows if row["metric"] == "dead"] == []


def test_a_constant_model_is_dead(evaluation):
    dead = linear_model(np.zeros(32), bias=logit(0.3))
    rows = evaluation.rows(linear_model(THETA), dead, pair=0, examples=1)
    assert [(r["value"], r["member"]) for r in rows if r["metric"] == "dead"] == [(1.0, 1)]


def test_a_model_whose_lost_weights_no_logit_shows_has_diverged(evaluation, monkeypatch):
    monkeypatch.setattr(type(evaluation), "logits", lambda self, weights, examples: np.zeros(len(examples)))
    rows = evaluation.rows(linear_model(THETA), linear_model(np.full(32, np.nan)), pair=0, examples=1)
    assert [r["member"] for r in rows if r["metric"] == "diverged"] == [1]
    assert np.isnan(values(rows, "relative_prediction_difference", "pair")).all()


def test_a_diverged_model_leaves_no_numbers(evaluation):
    broken = linear_model(np.full(32, np.nan))
    rows = evaluation.rows(linear_model(THETA), broken, pair=0, examples=1)
    assert [(r["value"], r["member"]) for r in rows if r["metric"] == "diverged"] == [(1.0, 1)]
    assert np.isnan(values(rows, "relative_prediction_difference", "pair")).all()
    good = evaluation.rows(linear_model(THETA), linear_model(THETA + 1), pair=1, examples=1)
    summary = summary_rows(rows + good)
    mean = next(r for r in summary if r["statistic"] == "mean" and "difference" in r["metric"])
    assert mean["n"] == 1
    assert mean["value"] == values(good, "relative_prediction_difference", "pair")[0]
    counts = {r["metric"]: (r["value"], r["n"]) for r in summary if r["statistic"] == "count"}
    assert counts == {"dead_models": (0.0, 4), "diverged_models": (1.0, 4)}


@pytest.mark.parametrize(("warm_start", "rate"), [(False, "128"), (True, "192")])
def test_the_printed_table_shows_the_end_of_a_run(warm_start, rate):
    end = {
        "relative_prediction_difference": (0.5, 0.25, 0.75, 0.375),
        "excess_label_loss": (2e-3, 1e-3, 3e-3, 4e-3),
    }
    rows = [
        {"metric": metric, "statistic": statistic, "value": value, "examples": 64}
        for metric, values in end.items()
        for statistic, value in zip(("mean", "low", "high", "median"), values, strict=True)
    ]
    counts = {"dead_models": 3, "diverged_models": 1}
    rows += [{"metric": m, "statistic": "count", "value": v, "examples": 64} for m, v in counts.items()]
    rows += [row | {"value": 9.0, "examples": 32} for row in rows]
    folder = types.SimpleNamespace(rows=lambda: rows, record={"times": {"train_seconds": 2.0}})
    settings = Settings(examples_log2=6, pairs=2, seed=4, warm_start=warm_start).resolve()
    shown = table_row(settings, folder)
    assert (shown["PD"], shown["PD 95 %"], shown["PD median"]) == ("0.5", "[0.25, 0.75]", "0.375")
    assert (shown["loss"], shown["loss 95 %"], shown["loss median"]) == ("0.002", "[0.001, 0.003]", "0.004")
    assert (shown["dead"], shown["diverged"], shown["pairs"], shown["seed"]) == (3, 1, 2, 4)
    # 2^6 examples of four models in two seconds; of each pair's donor too.
    assert (shown["seconds"], shown["examples x models / s"]) == ("2.0", rate)
