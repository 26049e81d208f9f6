import contextlib
import dataclasses
import json
import types

import pytest

from common.study import costs, program
from common.study.command_line import SCALES
from common.study.runs import load_study, study_names

SNAPP, ZHANG = load_study("snapp_shamir"), load_study("zhang_randomization")
ONE_CORE = costs.Machine("CPU", 1)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "irreproducibility" / "costs.json"


def toy(estimate, study=ZHANG, operations=1e6):
    """A paper whose networks take so many operations an example."""
    experiment = types.SimpleNamespace(network=lambda settings: operations)
    toy = dataclasses.replace(study, estimate=estimate)
    object.__setattr__(toy, "experiment", lambda: experiment)
    return toy


@pytest.fixture
def settings(monkeypatch):
    module = types.ModuleType("operations")
    module.training_operations = lambda network: network
    monkeypatch.setitem(__import__("sys").modules, "common.training.operations", module)
    return ZHANG.settings(network="mlp_1x512", num_train=1000, epochs=10, dataset="synthetic").resolve()


def test_a_run_takes_its_estimate_times_how_much_slower_the_machine_is(settings):
    # The table has 10 s to begin, and 10 s for 10 epochs of 1,000 images, 1 ms an image; 1e6 operations at
    # 30e9 a second are 33 us. A GPU takes 2 ms for a step of 128 images, 1e9 operations an image or fewer.
    table = toy(lambda run: 10 + run.epochs * run.train_size / 1000)
    found = costs.price(table, settings, ONE_CORE)
    assert found.seconds == pytest.approx(10 + 10 * (1e6 / 30e9) / 1e-3) and not found.measured
    gpu = costs.Machine("GPU", 1)
    assert costs.price(table, settings, gpu).seconds == pytest.approx(10 + 10 * (2e-3 / 128) / 1e-3)


def test_an_estimate_may_end_where_a_run_has_fitted(settings):
    # 5 of its 10 epochs; all other numbers as above.
    table = toy(lambda run: 10 + min(run.epochs, 5) * run.train_size / 1000)
    assert costs.price(table, settings, ONE_CORE).seconds == pytest.approx(10 + 5 * (1e6 / 30e9) / 1e-3)


def test_what_takes_no_steps_has_its_estimate(settings):
    assert costs.price(toy(lambda run: 42.0), settings, ONE_CORE) == costs.Price(42.0, None)


@pytest.mark.parametrize("name", study_names())
def test_every_run_of_every_figure_has_a_price(name, monkeypatch):
    study = load_study(name)
    monkeypatch.setattr(costs, "_operations", lambda study, settings: 1e6)
    for figure in study.figures:
        for scale in SCALES:
            for settings in study.runs_of_figure(figure, scale):
                assert costs.price(study, settings.resolve(), ONE_CORE).seconds > 0


def test_a_measured_rate_counts_for_all_cores(settings):
    costs.keep(ONE_CORE.name, {"mlp_1x512": 1e9})
    table = toy(lambda run: 10 + run.epochs * run.train_size / 1000)
    assert costs.price(table, settings, ONE_CORE) == costs.Price(pytest.approx(20.0), True)
    assert costs.price(table, settings, costs.Machine("CPU", 4)).seconds == pytest.approx(12.5)
    assert not costs.price(table, settings, costs.Machine("GPU", 1)).measured


def test_the_most_similar_width_counts():
    costs.keep(ONE_CORE.name, {"convnet 4": 1e9, "convnet 16": 3e9, "wide_resnet 2": 5e9, "mlp": 7e9})
    rate = lambda name, width: costs._measured_rate(  # noqa: E731
        types.SimpleNamespace(network=name, width=width), ONE_CORE
    )
    assert [rate("convnet", width) for width in (1, 9, 12, 64)] == [1e9, 1e9, 3e9, 3e9]
    assert rate("wide_resnet_20", 10) == 5e9
    assert rate("vgg19", 8) is None


def test_a_rate_counts_for_networks_of_its_family_alone():
    """Snapp & Shamir's wide model is no Wide ResNet, and DenseNet's rate is that of densenet121."""
    costs.keep(ONE_CORE.name, {"wide_resnet 2": 5e9, "wide": 7e9, "densenet 4": 9e9, "resnet18": 1e9})
    rate = lambda name: costs._measured_rate(  # noqa: E731
        types.SimpleNamespace(network=name, width=1), ONE_CORE
    )
    assert (rate("wide_resnet_10"), rate("wide"), rate("densenet121")) == (5e9, 7e9, 9e9)
    assert rate("resnet18k") is None


def test_operations_are_counted_once(settings):
    table = toy(lambda run: run.epochs * run.train_size / 1000, operations=5.0)
    assert costs._operations(table, settings) == 5.0
    object.__setattr__(table, "experiment", None)
    assert costs._operations(table, dataclasses.replace(settings, seed=3)) == 5.0


@pytest.mark.parametrize("text", ["", "[]", '{"CPU": 3}', "\x00"])
def test_a_damaged_cache_is_none(text, cache):
    cache.parent.mkdir()
    cache.write_text(text)
    assert costs.read_cache() == {}
    costs.keep("CPU", {"a": 1.0})
    assert json.loads(cache.read_text()) == {"CPU": {"a": 1.0}}


def test_a_home_that_cannot_be_written_keeps_nothing(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    costs.keep("CPU", {"a": 1.0})
    assert costs.read_cache() == {}


def test_wall_time_by_hand():
    # Longest first on two: 5 | 4, then 3 after 4, then 3 after 5.
    assert costs.wall_seconds([3, 5, 3, 4], 2) == 8
    assert costs.wall_seconds([3, 5], 16) == 5
    assert costs.wall_seconds([], 3) == 0


def test_the_source_is_named():
    prices = [costs.Price(1, True), costs.Price(1, False)]
    assert costs.source(prices[:1], ONE_CORE) == "measured on this machine"
    assert costs.source(prices[1:], ONE_CORE).startswith("an estimate: ")
    mixed = costs.source(prices, ONE_CORE)
    assert mixed.startswith("1 of 2 runs measured on this machine; else an estimate")
    assert "30 billion a second" in mixed


def test_a_plan_is_for_the_machine_at_hand(monkeypatch):
    monkeypatch.setattr(program, "visible_gpus", lambda: ("0",))
    small = [settings.resolve() for settings in SNAPP.runs_of_figure("4", "smoke")]
    images = [settings.resolve() for settings in ZHANG.runs_of_figure("1a", "smoke")]
    assert program.machine_of(SNAPP, small, "auto").kind == "CPU"
    assert program.machine_of(SNAPP, small, "gpu").kind == "GPU"
    assert program.machine_of(ZHANG, images, "auto").kind == "GPU"
    assert program.machine_of(ZHANG, images, "cpu").kind == "CPU"


def test_scalar_data_have_the_paper_s_own_estimate():
    study = load_study("smooth_interpolation")
    run = study.runs_of_figure("1a", "smoke")[0].resolve()
    assert costs.price(study, run, ONE_CORE) == costs.Price(study.estimate(run), None)


def test_a_second_pass_and_a_teacher_cost_what_the_estimate_says(monkeypatch):
    """The operations are those of the network alone, so what comes beside it stays in the price."""
    monkeypatch.setattr(costs, "_operations", lambda study, settings: 1e9)
    study = load_study("somepalli_boundaries")
    size = {"network": "resnet18", "width": 8, "num_train": 4000}
    plain, sharp, student = (
        study.settings(**size, **more).resolve()
        for more in ({}, {"sam_radius": 0.05}, {"teacher": "wide_resnet_30", "teacher_width": 3})
    )
    prices = [costs.price(study, run, ONE_CORE).seconds - costs._START_SECONDS for run in (plain, sharp)]
    estimates = [study.estimate(run) - costs._START_SECONDS for run in (plain, sharp)]
    assert prices[1] / prices[0] == pytest.approx(estimates[1] / estimates[0], rel=1e-6)
    assert prices[1] > 1.3 * prices[0]
    assert costs.price(study, student, ONE_CORE).seconds > 1.2 * costs.price(study, plain, ONE_CORE).seconds


def test_a_plan_has_the_teacher_that_is_not_there(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(costs, "_operations", lambda study, settings: 1e6)
    flags = ["--network=fully_connected", "--dataset=synthetic", "--num_train=1000", "--num_test=1000"]
    flags += ["--teacher=resnet18", "--teacher_width=8", f"--out_dir={tmp_path}", "--dry_run"]
    with contextlib.suppress(SystemExit):
        program.main(load_study("somepalli_boundaries"), ["x", *flags])
    printed = capsys.readouterr().out
    assert "first its teacher: network=resnet18 width=8 seed=1 (about " in printed


def test_a_plan_of_what_no_rate_is_measured_for_does_not_say_that_one_was():
    own = costs.Price(1, None)
    assert costs.source([own, own], ONE_CORE) == "an estimate for two cores"
    assert costs.source([own, costs.Price(1, True)], ONE_CORE) == "measured on this machine"


@pytest.mark.parametrize(
    "kept", ["[]", '{"CPU": {"single": "fast"}}', '{"CPU": 1}', '{"CPU": {"single": -1}}']
)
def test_a_damaged_cache_has_nothing(kept, cache):
    cache.parent.mkdir(parents=True)
    cache.write_text(kept)
    assert not any(costs.read_cache().values())


def test_a_rate_with_a_name_that_is_no_network_is_left_out(cache, settings):
    costs.keep(ONE_CORE.name, {"mlp abc": 1.0, "mlp_1x512": 1e6})
    assert costs.price(toy(lambda run: 10 + run.epochs), settings, ONE_CORE).measured


def test_a_home_that_is_not_known_is_a_folder_name(monkeypatch, settings):
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody-of-this-name/x")
    assert costs.read_cache() == {}
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    assert costs.keep("CPU", {"single": 1.0}) is False
