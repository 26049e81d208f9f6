import time

import pytest

from common.study.runs import find_runs
from launch import reference
from replications.snapp_shamir.presets import STUDY, runs_of_figure
from tests.launch.test_archive import record

SMOKE = (("snapp_shamir", "--figure=4 --scale=smoke"), ("zhang_randomization", "--figure=2a --scale=smoke"))


@pytest.fixture(autouse=True)
def small_list(monkeypatch):
    monkeypatch.setattr(reference, "SWEEPS", SMOKE)
    monkeypatch.setattr("os.nice", lambda increment: None)


def run(tmp_path, *flags):
    folders = [f"--out_dir={tmp_path / 'runs'}"]
    if not any(flag.startswith("--records") for flag in flags):
        folders.append(f"--records={tmp_path / 'packed'}")
    try:
        reference.main(["reference", *folders, *flags])
    except SystemExit as end:
        return end.code
    return 0


def test_every_sweep_of_the_list_has_runs_and_its_own_name(monkeypatch):
    monkeypatch.undo()
    sweeps = [reference.read_sweep(name, text, "nowhere", []) for name, text in reference.SWEEPS]
    assert all(sweep.runs == sweep.missing and sweep.runs for sweep in sweeps)
    assert len(set(reference.SWEEPS)) == len(reference.SWEEPS)


def test_the_status_counts_what_is_packed_and_makes_nothing(tmp_path, capsys):
    assert run(tmp_path, "--dry_run") == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("snapp_shamir --figure=4 --scale=smoke: 0 of 2 runs, about ")
    assert printed[2].startswith("5 runs are missing, about ")
    assert list(tmp_path.iterdir()) == []


def test_the_sweeps_of_one_paper_alone(tmp_path, capsys):
    assert run(tmp_path, "--dry_run", "--replication=snapp_shamir") == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["snapp_shamir", "2"]
    assert run(tmp_path, "--dry_run", "--replication=nobody") == 2


def test_a_run_that_was_finished_before_is_packed_and_no_time_is_left_for_others(tmp_path, capsys):
    settings = runs_of_figure("4", "smoke")[0].resolve()
    folder = record(settings, tmp_path / "runs")
    sweep = reference.read_sweep(*SMOKE[0], str(tmp_path / "packed"), [f"--out_dir={tmp_path / 'runs'}"])
    assert reference.make(sweep, str(tmp_path / "packed"), time.monotonic()) == []
    found = dict(find_runs(STUDY, sweep.runs, tmp_path / "packed"))
    assert found[settings].rows.value.tolist() == [0.5]
    assert [run for run in found.values() if run] == [found[settings]]
    assert folder.path.exists()  # the sweep is not complete


def test_runs_that_were_finished_before_keep_their_folders(tmp_path):
    folders = [record(s.resolve(), tmp_path / "runs") for s in runs_of_figure("4", "smoke")]
    sweep = reference.read_sweep(*SMOKE[0], str(tmp_path / "packed"), [f"--out_dir={tmp_path / 'runs'}"])
    assert reference.make(sweep, str(tmp_path / "packed"), float("inf")) == []
    assert reference.read_sweep(*SMOKE[0], str(tmp_path / "packed"), []).missing == []
    assert all(folder.path.exists() for folder in folders)


@pytest.mark.parametrize("seen", [False, True])
def test_a_run_of_two_sweeps_is_made_once_and_packed_though_nobody_saw_its_end(seen, tmp_path, monkeypatch):
    made, sweeps = [], [SMOKE[0]] * (2 if seen else 1)

    def run_jobs(study, jobs, out_dir, workers, keep, deadline):
        for settings in (settings for job in jobs for settings in job.runs):
            made.append(settings)
            record(settings, tmp_path / "runs")
            if seen:
                keep(settings)
        return []

    monkeypatch.setattr(reference, "run_jobs", run_jobs)
    monkeypatch.setattr(reference, "SWEEPS", tuple(sweeps))
    assert run(tmp_path) == 0
    assert len(made) == len(set(made)) == 2
    assert reference.read_sweep(*SMOKE[0], str(tmp_path / "packed"), []).missing == []


def test_no_minute_makes_no_run_and_data_are_for_those_that_read_files(tmp_path, capsys):
    assert run(tmp_path, "--minutes=0", f"--data_dir={tmp_path}") == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("5 runs are missing")


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("--minutes=-1", "minutes"),
        ("--minutes=soon", "minutes"),
        ("--records=", "--records="),
        ("--figure=2", "Unknown command line flag 'figure'"),
    ],
)
def test_bad_input_gets_one_line(flag, words, tmp_path, capsys):
    assert run(tmp_path, flag) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # processes that import TensorFlow
def test_what_is_missing_is_made_packed_and_not_made_again(tmp_path, capsys):
    assert run(tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "0 runs are missing, about 0 s on two cores"
    for name, text in SMOKE:
        sweep = reference.read_sweep(name, text, str(tmp_path / "packed"), [])
        assert sweep.missing == []
        assert not list((tmp_path / "runs" / name).glob("*/run.json"))
    assert run(tmp_path) == 0


def test_records_are_not_the_folder_of_runs(tmp_path, capsys):
    assert run(tmp_path, f"--records={tmp_path / 'runs'}") == 2
    assert "must be another folder than --out_dir" in capsys.readouterr().err
    assert run(tmp_path, "--minutes=nan") == 2
