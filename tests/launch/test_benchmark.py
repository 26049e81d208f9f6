import dataclasses
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from launch import benchmark, ensemble_benchmark, image_benchmark
from replications.snapp_shamir.settings import MODELS, Settings

DEVICES = ["/CPU:0", "/CPU:1"]


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@dataclasses.dataclass
class FakeContender:
    """Takes `seconds` a step, and ten seconds more the first time."""

    name: str
    clock: Clock
    seconds: float
    unit: int = 1
    max_steps: int = 10**9
    num_models: int = 1
    batch_size: int = 32
    about: str = "a fake"

    def __post_init__(self):
        self.calls = []

    def run(self, num_steps):
        assert num_steps % self.unit == 0
        self.clock.now += num_steps * self.seconds + (0 if self.calls else 10)
        self.calls.append(num_steps)


def measured(**medians):
    return {
        name: benchmark.summarize([median * 1e-6], num_steps=1, num_models=1, batch_size=32)
        for name, median in medians.items()
    }


def test_a_summary_by_hand():
    # 1000 steps of 16 models in 0.2 s: 12.5 us a step of one model, 32 / 12.5 us = 2.56e6 examples a second.
    summary = benchmark.summarize([0.2, 0.1, 0.4], num_steps=1000, num_models=16, batch_size=32)
    assert summary["microseconds"] == pytest.approx({"median": 12.5, "min": 6.25, "max": 25.0})
    assert summary["examples_models_per_second"] == pytest.approx(2.56e6)
    assert summary["num_steps"] == 1000
    assert len(summary["repetitions"]) == 3


def test_a_ratio_compares_rates():
    assert benchmark.ratio(measured(engine=2, fit=600), "engine", "fit") == pytest.approx(300)
    assert benchmark.ratio(measured(engine=2, fit=600), "fit", "engine") == pytest.approx(1 / 300)


@pytest.mark.parametrize(
    "seconds,step,unit,max_steps,expected",
    [
        (2.0, 1e-3, 1, 10**9, 2000),
        (2.0, 1e-3, 64, 10**9, 31 * 64),
        (2.0, 1e-3, 64, 1024, 1024),
        (2.0, 1.0, 64, 1024, 64),  # one unit takes a minute
    ],
)
def test_steps_for_a_time(seconds, step, unit, max_steps, expected):
    clock = Clock()
    contender = FakeContender("a", clock, step, unit, max_steps)
    assert benchmark.calibrate(contender, seconds, clock) == expected


def test_contenders_take_turns_after_all_are_compiled(monkeypatch):
    clock, order = Clock(), []
    contenders = [FakeContender(name, clock, s, num_models=2) for name, s in (("a", 0.001), ("b", 0.004))]
    timed = benchmark.timed
    monkeypatch.setattr(benchmark, "timed", lambda c, n, k: order.append((c.name, n)) or timed(c, n, k))
    results = benchmark.measure(contenders, 1.0, clock)
    assert order[-6:] == [("a", 1000), ("b", 250)] * 3
    assert {name for name, _ in order[:-6]} == {"a", "b"}
    assert results["a"]["microseconds"] == pytest.approx({"median": 500, "min": 500, "max": 500})
    assert results["b"]["microseconds"] == pytest.approx({"median": 2000, "min": 2000, "max": 2000})


def test_the_table_shows_all_ratios_and_the_goal_of_ours():
    results = {
        "linear": measured(engine=0.5, fit=600, fit64=120),
        "wide": measured(engine=10, fit=700, fit64=500),
    }
    (table,) = benchmark.tables(results, benchmark.SUITES["ensemble"])
    assert list(table["contender"]) == ["engine", "fit", "fit64"] * 2
    assert list(table["ratio to fit"]) == ["1,200", "1", "5", "70", "1", "1.4"]
    assert list(table["ratio to fit64"]) == ["240", "0.2", "1", "50", "0.714", "1"]
    assert list(table["goal"]) == ["1000 x fit", "", "", "25 x fit", "", ""]
    assert "ratio to jax" not in table and "runs/hour" not in table


def test_models_with_other_contenders_have_a_table_of_their_own():
    results = {
        "linear": measured(engine=1, fit=2, fit64=2),
        "wide": measured(engine=1, fit=2, fit64=2, jax=3),
        "double": measured(engine=1, fit=4, fit64=2),
    }
    plain, with_jax = benchmark.tables(results, benchmark.SUITES["ensemble"])
    assert list(plain["model"]) == ["linear"] * 3 + ["double"] * 3
    assert list(with_jax["ratio to jax"]) == ["3", "1.5", "1.5", "1"]
    assert isinstance(plain, pd.DataFrame)


def test_a_ratio_pairs_the_repetitions():
    # Under a growing load the medians would give 2 as well, but their pairs say so in every turn.
    first = benchmark.summarize([1.0, 2.0, 9.0], 1, 1, 32)
    second = benchmark.summarize([2.0, 4.0, 9.0], 1, 1, 32)
    assert benchmark.ratio({"a": first, "b": second}, "a", "b") == 2.0
    third = benchmark.summarize([4.0, 3.0, 9.0], 1, 1, 32)
    assert benchmark.ratio({"a": first, "b": third}, "a", "b") == 1.5


def test_runs_an_hour_by_hand():
    # Two models at once, 100 steps in 10 s: 50 ms a step of one; runs of 720 steps take 36 s.
    summary = benchmark.summarize([10.0], num_steps=100, num_models=2, batch_size=8, steps_per_run=720)
    assert summary["runs_per_hour"] == pytest.approx(100)


def test_every_model_has_a_goal():
    assert tuple(benchmark.SUITES["ensemble"].goals) == MODELS
    assert tuple(benchmark.SUITES["images"].goals) == image_benchmark.MODELS
    for suite in benchmark.SUITES.values():
        assert set(suite.goals) == set(suite.baseline)


@pytest.mark.parametrize("model", ["mlp_1x512", "svd_paths", "volumes_w4", "planes_k8"])
def test_image_contenders_run_and_have_their_baseline(model, monkeypatch):
    monkeypatch.setattr(image_benchmark, "PACKED", ())
    monkeypatch.setitem(image_benchmark._SHARPNESS, "volumes_w4", 1)
    monkeypatch.setitem(image_benchmark._PLANES, "planes_k8", 1)
    contenders = image_benchmark.contenders(model)
    assert benchmark.SUITES["images"].baseline[model] in [contender.name for contender in contenders]
    for contender in contenders:
        contender.run(contender.unit)


def test_loop_and_fit_take_as_many_steps_as_they_say():
    loop, fit = image_benchmark.Loop("mlp_1x512"), image_benchmark.Fit("mlp_1x512")
    for contender in (loop, fit):
        contender.run(16)
    assert loop.trainer.step == int(fit.model.optimizer.iterations) == 16


def test_models_at_once_counts_idle_slots():
    assert ensemble_benchmark.models_at_once(32, 32) == 32
    assert ensemble_benchmark.models_at_once(32, 36) == 32
    assert ensemble_benchmark.models_at_once(32, 6) == pytest.approx(32 / 6)  # the sixth group has 2 of 6


def test_examples_in_memory_are_the_stream_in_order():
    stream, members = ensemble_benchmark.stream_and_members(Settings().resolve())
    features, labels = ensemble_benchmark.examples_in_memory(stream, members[2], 256)
    first, first_labels = ensemble_benchmark.examples_in_memory(stream, members[2], 64)
    assert features.shape == (256, 32) and labels.shape == (256, 1)
    assert features.dtype == labels.dtype == np.float32
    np.testing.assert_array_equal(features[:64], first)
    np.testing.assert_array_equal(labels[:64], first_labels)
    assert set(np.unique(features)) == set(np.unique(labels)) == {0.0, 1.0}
    # Feature 0 is 1 with probability 6 / pi^2; four standard deviations.
    assert features[:, 0].mean() == pytest.approx(6 / np.pi**2, abs=4 * (0.24 / 256) ** 0.5)


def test_fit_trains_as_many_steps_as_it_says():
    settings = Settings(model="linear").resolve()
    stream, members = ensemble_benchmark.stream_and_members(settings)
    examples = ensemble_benchmark.examples_in_memory(stream, members[0], 128 * 32)
    weights = []
    for steps_per_execution in (1, 64):
        fit = ensemble_benchmark.Fit(settings, members[0], examples, steps_per_execution)
        fit.run(128)
        assert int(fit.model.optimizer.iterations) == 128
        weights.append(fit.model.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("model", ["linear", "double", "wide"])
def test_jax_trains_what_the_engine_trains(model, monkeypatch):
    pytest.importorskip("jax")
    # Smooth units: once rounding flips one of ReLU, the two part.
    monkeypatch.setattr(ensemble_benchmark.jax.nn, "relu", ensemble_benchmark.jax.nn.swish)
    activation = None if model == "linear" else "swish"
    for contender in (ensemble_benchmark.Engine, ensemble_benchmark.JaxEnsemble):
        monkeypatch.setattr(contender, "unit", 32)
    # The order of the stream, in which jax has its examples.
    settings = Settings(
        model=model, activation=activation, batch_order="fixed", init="distinct", pairs=2
    ).resolve()
    stream, members = ensemble_benchmark.stream_and_members(settings)
    engine = ensemble_benchmark.Engine(settings, stream, members, DEVICES, 2)
    jax_ensemble = ensemble_benchmark.JaxEnsemble(settings, stream, members, 2, 2)
    ours, theirs = engine.run(32), jax_ensemble.run(32)
    assert len(ours) == len(theirs) == 4
    for ours_one, theirs_one, member in zip(ours, theirs, members, strict=True):
        for x, y, start in zip(ours_one, theirs_one, member.weights, strict=True):
            assert np.linalg.norm(x - y) <= 1e-5 * np.linalg.norm(y)
            assert np.linalg.norm(y - start) > 0


def run_main(capfd, *arguments):
    with pytest.raises(SystemExit) as stopped:
        benchmark.main(["benchmark", *arguments])
    return stopped.value.code, capfd.readouterr()


@pytest.mark.parametrize(
    "argument,words",
    [
        ("--suite=videos", "ensemble"),
        ("--models=linear,deep", "deep: not a model of the suite; choose from linear"),
        ("--models=", "choose from linear"),
        ("--seconds=0", "above 0"),
        ("--seconds=-1", "above 0"),
        ("--seconds=nan", "finite"),
        ("--seconds=soon", "seconds"),
        ("--repeat=3", "repeat"),
        ("linear", "unexpected argument 'linear'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(argument, words, capfd):
    status, written = run_main(capfd, argument)
    assert status == 2
    assert written.out == ""
    assert written.err.count("\n") == 1
    assert words in written.err


def test_flags_are_checked_before_tensorflow_is_imported():
    program = "import sys; from launch import benchmark; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.slow  # its parts are tested above
def test_one_model_end_to_end_without_jax(monkeypatch, capfd):
    monkeypatch.setattr(ensemble_benchmark, "jax", None)
    monkeypatch.setattr(ensemble_benchmark, "ensemble_devices", lambda strategy: DEVICES)
    monkeypatch.setattr(ensemble_benchmark, "MAX_FIT_STEPS", 512)
    benchmark.main(["benchmark", "--models=linear", "--seconds=0.01", "--json"])
    written = capfd.readouterr()
    assert [line.split(":")[0] for line in written.err.splitlines()] == [
        "linear engine",
        "linear fit",
        "linear fit64",
    ]
    *text, last = written.out.splitlines()
    assert "goal" in text[0]
    assert any(line.startswith("jax: not measured, it is not installed") for line in text)
    report = json.loads(last)
    assert report["suite"] == "ensemble" and report["seconds"] == 0.01
    assert report["versions"].keys() >= {"tensorflow", "keras", "numpy"}
    assert "cores" in report["machine"]
    linear = report["models"]["linear"]
    assert linear["goal"] == {"engine/fit": 1000}
    assert linear["contenders"].keys() == {"engine", "fit", "fit64"}
    for summary in linear["contenders"].values():
        low, median, high = (summary["microseconds"][name] for name in ("min", "median", "max"))
        assert 0 < low <= median <= high
        assert summary["examples_models_per_second"] == pytest.approx(32e6 / median)
        assert len(summary["repetitions"]) == 3
        assert summary["num_steps"] % 512 == 0
    for name in ("fit", "fit64"):
        theirs, ours = (linear["contenders"][n]["repetitions"] for n in (name, "engine"))
        expected = sorted(x / y for x, y in zip(theirs, ours, strict=True))[1]
        assert linear["ratios"][f"engine/{name}"] == pytest.approx(expected)
