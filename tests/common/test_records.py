import json
import multiprocessing
import os

import numpy as np
import pytest

from common import records
from common.errors import UserError
from common.records import RunFolder, find_run, replacing, settings_hash

SETTINGS = {"model": "single", "seed": 0}


def folder(tmp_path, settings=SETTINGS, version=1):
    return RunFolder(tmp_path, "paper", version, settings)


def finished(tmp_path, rows=(), arrays=None):
    with folder(tmp_path) as run:
        run.start({"tile": 1})
        run.finish("done", list(rows), arrays or {})
    return folder(tmp_path)


def test_hash_depends_on_everything_that_determines_the_numbers():
    names = [
        settings_hash("paper", 1, SETTINGS),
        settings_hash("paper", 2, SETTINGS),
        settings_hash("other", 1, SETTINGS),
        settings_hash("paper", 1, SETTINGS | {"seed": 1}),
    ]
    assert len(set(names)) == 4
    assert settings_hash("paper", 1, {"seed": 0, "model": "single"}) == names[0]


def test_a_run_from_start_to_end(tmp_path):
    assert not folder(tmp_path).finished
    rows = [
        {"metric": "a", "value": 1.5, "statistic": "run"},
        {"metric": "b", "value": float("nan"), "statistic": "run"},
    ]
    run = finished(tmp_path, rows, {"x": np.arange(3)})
    assert run.finished
    record = json.loads((run.path / "run.json").read_text())
    assert record["settings"] == SETTINGS
    assert record["status"] == "done"
    assert record["times"]["finished"] >= record["times"]["started"]
    assert {"argv", "commit", "dirty", "versions", "machine", "layout"} <= set(record)
    lines = (run.path / "rows.jsonl").read_text().splitlines()
    assert json.loads(lines[1])["value"] is None
    found = find_run(tmp_path, "paper", 1, SETTINGS)
    assert found.rows.value[0] == 1.5
    assert np.isnan(found.rows.value[1])
    assert found.arrays["x"].tolist() == [0, 1, 2]
    assert find_run(tmp_path, "paper", 2, SETTINGS) is None
    assert not run.work.exists()


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_another_schema_is_refused(tmp_path):
    run = finished(tmp_path)
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(record | {"schema": 0}))
    with pytest.raises(UserError, match=f"schema 0, this program writes schema {records.SCHEMA}"):
        folder(tmp_path)
    (run.path / "run.json").write_text("{")
    with pytest.raises(UserError, match="is not a record"):
        folder(tmp_path)


def _try_to_enter(path, queue):
    try:
        with folder(path):
            queue.put("entered")
    except UserError as error:
        queue.put(str(error))


def test_a_second_process_is_told(tmp_path):
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    with folder(tmp_path):
        process = context.Process(target=_try_to_enter, args=(tmp_path, queue))
        process.start()
        assert queue.get(timeout=60).startswith("another process is working on")
        process.join()
    with folder(tmp_path):
        pass


def test_another_layout_cannot_go_on(tmp_path):
    with folder(tmp_path) as run:
        run.start({"tile": 1})
    with folder(tmp_path) as run, pytest.raises(UserError, match="cannot go on"):
        run.start({"tile": 2})


def test_an_error_is_noted_and_forgotten_when_the_run_goes_on(tmp_path):
    with folder(tmp_path) as run:
        run.start({"tile": 1})
        run.fail(ValueError("no luck"))
    assert folder(tmp_path).record["status"] == "failed"
    assert folder(tmp_path).record["error"] == "ValueError: no luck"
    with folder(tmp_path) as run:
        run.start({"tile": 1})
    assert folder(tmp_path).record["status"] == "incomplete"
    assert "error" not in folder(tmp_path).record


def test_unwritable_folder_is_one_line(tmp_path):
    (tmp_path / "paper").write_text("a file")
    with pytest.raises(UserError, match="cannot (read|write)"), folder(tmp_path):
        pass


def test_damaged_rows_and_arrays_are_named(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"metric": "m", "value": 1}\n{"metric":')
    with pytest.raises(UserError, match=r"rows.jsonl is damaged .*; remove its folder and run it again"):
        records.read_rows(rows)
    run = records.Run(tmp_path, {})
    for damage in (lambda path: None, lambda path: path.write_bytes(b"PK no archive")):
        damage(tmp_path / "arrays.npz")
        with pytest.raises(UserError, match=r"cannot read .*arrays.npz .*; remove its folder"):
            _ = run.arrays


def test_other_data_cannot_go_on(tmp_path):
    with folder(tmp_path) as run:
        run.start({"tile": 1}, "CIFAR-10")
    for data in ("CIFAR-10 (JPEG re-encoding)", None):
        with (
            folder(tmp_path) as run,
            pytest.raises(UserError, match="was begun on CIFAR-10 and cannot go on"),
        ):
            run.start({"tile": 1}, data)
    with folder(tmp_path) as run:
        run.start({"tile": 1}, "CIFAR-10")
        run.finish("done", [], {})
    assert folder(tmp_path).record["data"] == "CIFAR-10"


def test_times_of_all_blocks_and_processes_add_up(tmp_path, monkeypatch):
    clock = iter([10.0, 12.0, 20.0, 23.0, 30.0, 35.0])
    monkeypatch.setattr(records.time, "monotonic", lambda: next(clock))
    for blocks in (2, 1):
        with folder(tmp_path) as run:
            run.start({"tile": 1})
            for _ in range(blocks):
                with run.timed("train_seconds"):
                    pass
            run.save()
    assert folder(tmp_path).record["times"]["train_seconds"] == 10


def test_a_worker_that_is_not_the_chief_writes_no_record_and_holds_a_lock_of_its_own(tmp_path):
    with folder(tmp_path), RunFolder(tmp_path, "paper", 1, SETTINGS, worker=1) as second:
        second.start({"tile": 1})
        assert second.record["status"] == "incomplete"
        assert folder(tmp_path).record is None
