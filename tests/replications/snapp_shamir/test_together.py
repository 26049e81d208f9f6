import dataclasses
import shutil
import types

import numpy as np
import pytest

from common import distribution
from common.errors import BusyError, LayoutError, UserError
from common.study import command_line, program
from common.study.runs import run_folder
from replications.snapp_shamir import engine, experiment
from replications.snapp_shamir.presets import STUDY
from replications.snapp_shamir.settings import Settings
from replications.snapp_shamir.sizes import fills_gpu, num_parameters

TINY = Settings(
    model="linear", precision="float64", examples_log2=13, pairs=2, evaluation_log2=10, evaluate_every_log2=12
)
# Two windows, and both kinds of initialization.
CHOSEN = [
    dataclasses.replace(TINY, shuffle_log2=z, init=init).resolve()
    for z, init in ((0, "identical"), (6, "identical"), (6, "distinct"))
]


class Killed(Exception):
    pass


def options(out_dir):
    return command_line.RunOptions(str(out_dir))


def together(out_dir, chosen=CHOSEN):
    experiment.run_together(STUDY, chosen, options(out_dir))
    return [run_folder(STUDY, one, str(out_dir)) for one in chosen]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The runs, each trained alone."""
    out_dir = tmp_path_factory.mktemp("alone")
    for one in CHOSEN:
        experiment.run(STUDY, one, options(out_dir))
    return [run_folder(STUDY, one, str(out_dir)) for one in CHOSEN]


def assert_same_results(folders, others):
    for folder, other in zip(folders, others, strict=True):
        ours, theirs = folder.rows(), other.rows()
        assert [row | {"value": 0} for row in ours] == [row | {"value": 0} for row in theirs]
        values = [[row["value"] for row in rows] for rows in (ours, theirs)]
        np.testing.assert_allclose(*values, rtol=1e-8, atol=1e-12)
        with np.load(folder.path / "arrays.npz") as one, np.load(other.path / "arrays.npz") as another:
            assert one.files == another.files
            for name in one.files:
                np.testing.assert_allclose(one[name], another[name], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("tile_bytes", [2**21, 1])
def test_runs_trained_together_are_those_trained_alone(tile_bytes, alone, tmp_path, monkeypatch):
    """In one group, and in groups of one pair that are killed after the second and go on."""
    monkeypatch.setitem(engine.TILE_BYTES, "CPU", tile_bytes)
    if tile_bytes == 1:
        advance, count = engine.Ensemble.advance, iter(range(3))

        def dying(self, num_steps):
            if next(count, None) is None:
                raise Killed
            advance(self, num_steps)

        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(engine.Ensemble, "advance", dying)
            together(tmp_path / "together")
    folders = together(tmp_path / "together")
    assert_same_results(folders, alone)
    names = [folder.path.name for folder in folders]
    assert all(folder.record["layout"]["together"] == names for folder in folders)
    assert all(folder.record["status"] == "done" and not folder.work.exists() for folder in folders)


def test_a_run_that_is_finished_is_trained_along_and_left_as_it_is(alone, tmp_path):
    shutil.copytree(alone[0].path, tmp_path / STUDY.name / alone[0].path.name)
    record = run_folder(STUDY, CHOSEN[0], str(tmp_path)).record
    folders = together(tmp_path)
    assert folders[0].record == record
    assert_same_results(folders, alone)


def test_an_unfinished_run_goes_on_with_the_same_others_or_says_why_not(tmp_path, monkeypatch):
    def killed(self, num_steps):
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(engine.Ensemble, "advance", killed)
        together(tmp_path)
    with pytest.raises(UserError, match="was begun with .*together"):
        together(tmp_path, CHOSEN[::2])
    with pytest.raises(UserError, match="was begun with .*together"):
        experiment.run(STUDY, CHOSEN[1], options(tmp_path))


def test_a_run_that_cannot_go_on_holds_up_no_other(tmp_path, monkeypatch, capsys):
    made = []

    def run(study, settings, options, label):
        if settings == CHOSEN[0]:
            raise BusyError("another process is working on a")
        if settings == CHOSEN[1]:
            raise LayoutError("b was begun with")
        made.append(settings)

    monkeypatch.setattr(experiment, "run", run)
    with pytest.raises(UserError, match="^b was begun"):
        program._run_all(STUDY, CHOSEN, options(tmp_path))
    assert made == list(CHOSEN[2:]) and "another process" in capsys.readouterr().err


def test_only_runs_that_differ_in_window_and_initialization_are_trained_together():
    runs = [settings.resolve() for settings in STUDY.runs_of_figure("2", "smoke")]
    groups = program._groups(STUDY, runs, 1024)
    assert (
        sorted(str(run) for group in groups for run in group) == sorted(map(str, runs)) and len(groups) == 5
    )
    for group in groups:
        fixed = {dataclasses.replace(run, shuffle_log2=0, init="identical") for run in group}
        assert len(fixed) == 1 and len(group) == 4
    assert [len(group) for group in program._groups(STUDY, runs, 3)] == [3, 1] * 5
    assert program._groups(STUDY, runs, 1) == [[run] for run in runs]


def settings_of(model):
    return Settings(model=model).resolve()


def test_a_gpu_takes_large_models_alone():
    assert num_parameters(settings_of("single")) == 35 and not fills_gpu(settings_of("single"))
    assert not fills_gpu(settings_of("wide"))
    assert fills_gpu(settings_of("quadratic"))


class Gpu:
    name = "GPU"


@pytest.mark.parametrize(
    ("device", "model", "gpus", "expected"),
    [
        ("auto", "single", 2, "CPU"),
        ("auto", "quadratic", 2, "GPU"),
        ("gpu", "single", 2, "GPU"),
        ("cpu", "quadratic", 2, "CPU"),
        ("auto", "quadratic", 0, "CPU"),
    ],
)
def test_the_size_of_the_model_chooses_the_device_unless_a_flag_does(
    device, model, gpus, expected, monkeypatch
):
    monkeypatch.setattr(
        distribution.tf.config, "list_physical_devices", lambda kind: [Gpu] * gpus if kind == "GPU" else []
    )
    monkeypatch.setattr(distribution.tf.config.experimental, "set_memory_growth", lambda gpu, grow: None)
    monkeypatch.setattr(distribution, "logical_cpu_devices", lambda count: None)
    found = distribution.ensemble_devices("auto", device, fills_gpu(settings_of(model)))
    assert {name.split(":")[0] for name in found} == {f"/{expected}"}
    assert len(found) == (gpus if expected == "GPU" else distribution.num_cores())
    # The record names them.
    assert set(experiment._kinds(found)) == {expected}


def test_a_gpu_that_is_not_there_is_one_line():
    for ask in (distribution.ensemble_devices, distribution.replica_strategy):
        with pytest.raises(UserError, match="--device=gpu: TensorFlow finds no GPU"):
            ask("auto", "gpu")


def test_workers_of_a_cluster_stop_together_at_a_run_that_another_process_holds(tmp_path, monkeypatch):
    """A single process goes on with the next; of several all wait in the same one."""
    begun = []

    def busy(study, settings, options, label):
        begun.append(settings)
        raise BusyError("another process is working on it")

    monkeypatch.setattr(experiment, "run", busy)
    for count, expected in ((1, CHOSEN), (2, CHOSEN[:1])):
        begun.clear()
        monkeypatch.setattr(program, "current_worker", lambda _, n=count: types.SimpleNamespace(count=n))
        with pytest.raises(BusyError):
            program._run_all(STUDY, CHOSEN, options(tmp_path))
        assert begun == expected
