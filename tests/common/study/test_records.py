import dataclasses
import json

import pandas as pd
import pytest

from common.errors import UserError
from common.study.archive import Archive
from common.study.records import load
from common.study.run_folders import Run, RunFolder
from common.study.runs import load_study

ROWS = [{"metric": "loss", "value": 0.5, "statistic": "run", "epoch": 2}]


def write(out_dir, seed, status="done", suspect=None):
    with RunFolder(out_dir, "toy", 1, {"width": 4, "seed": seed}) as folder:
        folder.start({}, "linear data")
        with folder.timed("train_seconds"):
            pass
        folder.finish(status, [row | {"value": row["value"] + seed} for row in ROWS], {})
    if suspect:
        path = folder.path / "run.json"
        record = json.loads(path.read_text()) | {"suspect": suspect, "sha256": {}}
        path.write_text(json.dumps(record))
    return folder


def test_runs_and_their_rows_are_frames(tmp_path):
    folders = [write(tmp_path, seed) for seed in (0, 1)]
    write(tmp_path, 2, suspect="an odd batch")
    runs, rows = load(tmp_path / "toy")
    assert sorted(runs.index) == sorted(folder.path.name for folder in folders)
    assert runs.width.tolist() == [4, 4] and sorted(runs.seed) == [0, 1]
    assert set(runs.status) == {"done"} and set(runs.data_name) == {"linear data"}
    assert (runs.train_seconds >= 0).all()
    joined = rows.join(runs, on="run")
    assert dict(zip(joined.seed, joined.value, strict=True)) == {0: 0.5, 1: 1.5}
    assert list(rows) == ["run", "metric", "value", "statistic", "epoch"]


def test_packed_runs_are_read_alike(tmp_path):
    folder = write(tmp_path / "runs", 3)
    Archive(tmp_path / "packed" / "toy").add(
        "4-seed=3", folder.path.name, Run(folder.path, folder.record), folder.record["settings"], []
    )
    runs, rows = load(tmp_path / "packed" / "toy")
    before = load(tmp_path / "runs" / "toy")
    assert list(runs.index) == ["4-seed=3"]
    pd.testing.assert_frame_equal(
        runs.reset_index(drop=True), before.runs.reset_index(drop=True), check_like=True
    )
    pd.testing.assert_frame_equal(rows.drop(columns="run"), before.rows.drop(columns="run"))


def test_a_run_whose_version_its_settings_raise_is_read_and_its_predecessor_is_not(tmp_path):
    """SmeLU without shuffling was computed in float32 once; see `presets.raised` of Snapp & Shamir."""
    study = load_study("snapp_shamir")
    settings = study.settings(activation="smelu", shuffle_log2=0).resolve()
    assert study.version(settings) > study.protocol_version
    for version in (study.protocol_version, study.version(settings)):
        with RunFolder(tmp_path, study.name, version, dataclasses.asdict(settings)) as folder:
            folder.start({})
            folder.finish("done", ROWS, {})
    assert load(tmp_path / study.name).runs.protocol_version.tolist() == [study.version(settings)]


def test_without_records_it_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        load(tmp_path / "toy")
    write(tmp_path, 0).path.joinpath("run.json").write_text("{")
    with pytest.raises(UserError, match="is not a record"):
        load(tmp_path / "toy")


def test_a_run_that_is_packed_beside_its_folder_is_read_once(tmp_path):
    folder = write(tmp_path, 3)
    run = Run(folder.path, folder.record)
    Archive(tmp_path / "toy").add("4-seed=3", folder.path.name, run, folder.record["settings"], [])
    write(tmp_path, 4)
    runs, rows = load(tmp_path / "toy")
    assert sorted(runs.seed) == [3, 4] and len(rows) == 2


def test_a_record_that_was_edited_is_refused(tmp_path):
    path = write(tmp_path, 0).path / "run.json"
    path.write_text(path.read_text().replace('"width": 4', '"width": 5'))
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path / "toy")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "none"}))
    with pytest.raises(UserError, match="is damaged"):
        load(tmp_path / "toy")


def test_runs_of_an_older_protocol_are_left_out_where_the_paper_is_known(tmp_path):
    version = load_study("snapp_shamir").protocol_version
    for seed, made_by in enumerate((version - 1, version)):
        with RunFolder(tmp_path, "snapp_shamir", made_by, {"seed": seed}) as folder:
            folder.start({})
            folder.finish("done", ROWS, {})
    runs, _ = load(tmp_path / "snapp_shamir")
    assert runs.seed.tolist() == [1] and runs.protocol_version.tolist() == [version]
