import dataclasses
import json

import numpy as np
import pytest

from common.study.archive import Archive
from common.study.runs import find_runs, run_folder
from launch import archive
from replications.snapp_shamir.presets import STUDY, runs_of_figure

WITH_WEIGHTS = runs_of_figure("4", "smoke")[0].resolve()
WITHOUT = dataclasses.replace(WITH_WEIGHTS, model="linear", activation=None).resolve()


def record(settings, out_dir, status="done"):
    with run_folder(STUDY, settings, str(out_dir)) as folder:
        folder.start({"devices": ["CPU"], "tile": 1})
        rows = [{"metric": "loss", "value": 0.5, "statistic": "pair", "pair": 0, "examples": 32}]
        if status == "done":
            folder.finish("done", rows, {"theta": np.ones(3), "weights_0": np.ones((1, 2))})
    return folder


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        archive.main(["archive", *map(str, arguments)])
    return end.value.code


def packed(tmp_path, *flags):
    archive.main(["archive", f"--records={tmp_path / 'runs'}", f"--archive={tmp_path / 'packed'}", *flags])


def test_packed_runs_are_found_like_run_folders(tmp_path, capsys):
    folders = [record(settings, tmp_path / "runs") for settings in (WITH_WEIGHTS, WITHOUT)]
    record(dataclasses.replace(WITHOUT, seed=1), tmp_path / "runs", "incomplete")
    packed(tmp_path)
    assert "2 runs are packed" in capsys.readouterr().out
    first, second = (run for _, run in find_runs(STUDY, [WITH_WEIGHTS, WITHOUT], tmp_path / "packed"))
    assert first.record["settings"] == folders[0].record["settings"]
    assert first.record["commit"] == folders[0].record["commit"]
    assert first.rows.value.tolist() == second.rows.value.tolist() == [0.5]
    assert set(first.arrays) == {"theta", "weights_0"} and second.arrays == {}
    assert not (tmp_path / "packed" / "snapp_shamir" / "arrays" / f"{second.path.stem}.npz").exists()
    names = list(Archive(tmp_path / "packed" / "snapp_shamir").runs())
    assert [name.rpartition("-")[0] for name in names] == [
        "linear-activation=identity-examples_log2=14-seed=0",
        "single-activation=relu-examples_log2=14-seed=0",
    ]


def test_a_run_is_packed_once_and_its_folder_removed_on_demand(tmp_path):
    folder = record(WITHOUT, tmp_path / "runs")
    packed(tmp_path)
    table = (tmp_path / "packed" / "snapp_shamir" / "runs.csv").read_bytes()
    assert folder.path.exists()
    packed(tmp_path, "--remove")
    assert not folder.path.exists()
    assert (tmp_path / "packed" / "snapp_shamir" / "runs.csv").read_bytes() == table


def test_a_suspect_run_keeps_its_mark_and_counts_as_none(tmp_path):
    path = record(WITHOUT, tmp_path / "runs").path / "run.json"
    marked = json.loads(path.read_text()) | {"suspect": "odd batches"}
    del marked["sha256"]
    path.write_text(json.dumps(marked))
    packed(tmp_path)
    (run,) = Archive(tmp_path / "packed" / "snapp_shamir").runs().values()
    assert run.record["suspect"] == "odd batches"
    assert find_runs(STUDY, [WITHOUT], tmp_path / "packed") == [(WITHOUT, None)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"settings": {"model": "single"}}, "holds no record that can be packed"),
        ({"settings": []}, "holds no"),
    ],
)
def test_a_record_that_is_none_is_one_line(change, words, tmp_path, capsys):
    path = record(WITHOUT, tmp_path / "runs").path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    assert run(f"--records={tmp_path / 'runs'}", f"--archive={tmp_path / 'packed'}") == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--records=nowhere", "--archive=packed"], "--records=nowhere: no such folder"),
        (["--records=."], "--archive: name the folder"),
        (["--records=.", "--archive="], "--archive: name the folder"),
        (["--records=.", "--archive=/proc/x"], "is not writable"),
        (["--record=."], "Unknown command line flag"),
    ],
)
def test_bad_command_lines_are_one_line(flags, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(*flags) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_no_paper_is_refused(tmp_path, capsys):
    """Such as that of one paper, a level too deep."""
    record(WITHOUT, tmp_path / "runs")
    deep = tmp_path / "runs" / "snapp_shamir"
    assert run(f"--records={deep}", f"--archive={tmp_path / 'packed'}") == 2
    assert "holds no folder of smooth_interpolation, snapp_shamir" in capsys.readouterr().err


def test_of_a_run_that_is_a_link_only_the_link_is_removed(tmp_path):
    folder = record(WITHOUT, tmp_path / "elsewhere").path
    link = tmp_path / "runs" / "snapp_shamir" / folder.name
    link.parent.mkdir(parents=True)
    link.symlink_to(folder)
    packed(tmp_path, "--remove")
    assert not link.is_symlink() and (folder / "run.json").exists()
