import fcntl
import json
import multiprocessing
import pathlib
import subprocess

import numpy as np
import pytest

from common.errors import UserError
from common.study import run_folders
from common.study.files import digest
from common.study.run_folders import RunFolder, settings_hash

SETTINGS = {"model": "single", "seed": 0}


def folder(tmp_path, settings=SETTINGS, version=1):
    return RunFolder(tmp_path, "paper", version, settings)


def find_run(*arguments, **keywords):
    return RunFolder(*arguments, **keywords).run()


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


def test_another_schema_is_refused(tmp_path):
    run = finished(tmp_path)
    record = json.loads((run.path / "run.json").read_text())
    (run.path / "run.json").write_text(json.dumps(record | {"schema": 0}))
    with pytest.raises(UserError, match=f"schema 0, this program writes schema {run_folders.SCHEMA}"):
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


def test_a_process_that_looks_for_a_moment_keeps_none_from_starting(tmp_path, monkeypatch):
    with folder(tmp_path):
        pass
    with open(folder(tmp_path).path / ".lock") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr(run_folders.time, "sleep", lambda seconds: fcntl.flock(looking, fcntl.LOCK_UN))
        with folder(tmp_path) as run:
            run.start({"tile": 1})
    assert folder(tmp_path).record["status"] == "incomplete"


def test_a_run_that_goes_on_with_edited_code_is_dirty(tmp_path, monkeypatch):
    for dirty, expected in ((False, False), (True, True), (False, True)):
        monkeypatch.setattr(run_folders, "provenance", lambda d=dirty: {"commit": "c", "dirty": d})
        with folder(tmp_path) as run:
            run.start({"tile": 1})
        assert folder(tmp_path).record["dirty"] is expected


def test_a_run_that_goes_on_at_another_commit_names_both(tmp_path, monkeypatch):
    for commit in ("a", "b", "b", "a", "c"):
        monkeypatch.setattr(run_folders, "provenance", lambda c=commit: {"commit": c, "dirty": False})
        with folder(tmp_path) as run:
            run.start({"tile": 1})
    record = folder(tmp_path).record
    assert (record["commit"], record["continued_at"], record["dirty"]) == ("a", ["b", "c"], False)


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


ROWS = [{"metric": "a", "value": 1.5, "statistic": "run"}, {"metric": "b", "value": 2.5, "statistic": "run"}]


def rows_of(run):
    return find_run(run.path.parents[1], "paper", 1, SETTINGS).rows


def test_a_finished_record_has_the_checksums_of_its_files(tmp_path):
    run = finished(tmp_path, ROWS, {"x": np.arange(3)})
    sums = json.loads((run.path / "run.json").read_text())["sha256"]
    assert set(sums) == {"rows.jsonl", "arrays.npz", "run.json"}
    assert all(sums[name] == digest(run.path / name) for name in ("rows.jsonl", "arrays.npz"))
    assert rows_of(run).value.tolist() == [1.5, 2.5]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("1.5", "1.6"),
        lambda text: text.splitlines(keepends=True)[0],
        lambda text: text + text.splitlines(keepends=True)[1],
        lambda text: "",
    ],
    ids=["digit", "cut", "repeated", "empty"],
)
def test_rows_that_were_changed_are_refused(damage, tmp_path):
    run = finished(tmp_path, ROWS)
    path = run.path / "rows.jsonl"
    path.write_text(damage(path.read_text()))
    for read in (lambda: rows_of(run), folder(tmp_path).rows):
        with pytest.raises(UserError, match=r"rows.jsonl is damaged .*; remove its folder and run it again"):
            read()


def test_arrays_that_were_changed_or_lost_are_refused(tmp_path):
    run = finished(tmp_path, ROWS, {"x": np.arange(3)})
    path = run.path / "arrays.npz"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"arrays.npz is damaged"):
        _ = find_run(tmp_path, "paper", 1, SETTINGS).arrays
    path.unlink()
    with pytest.raises(UserError, match=r"cannot read .*arrays.npz .*; remove its folder"):
        _ = find_run(tmp_path, "paper", 1, SETTINGS).arrays


@pytest.mark.parametrize(
    "change",
    [
        {"settings": {"model": "double", "seed": 0}},
        {"settings": ["single", 0]},
        {"status": "diverged"},
        {"protocol_version": 2},
        {"times": None},
    ],
)
def test_a_record_that_was_changed_is_refused(change, tmp_path):
    path = finished(tmp_path).path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=r"run.json is (damaged|not a record); "):
        folder(tmp_path)


@pytest.mark.parametrize("change", [{"layout": {"tile": 2}}, {"started": "2020"}, {"status": "failed"}])
def test_an_unfinished_record_that_was_changed_is_refused(change, tmp_path):
    with folder(tmp_path) as run:
        run.start({"tile": 1})
    path = run.path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=r"run.json is damaged; remove its folder"):
        folder(tmp_path)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b"{}", b"", b'"text"', b'{"schema": 1}'])
def test_what_is_no_record_is_one_line(content, tmp_path):
    path = finished(tmp_path).path / "run.json"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"run.json is not a record; move the folder away"):
        folder(tmp_path)


def test_a_record_made_before_there_were_checksums_is_read(tmp_path):
    run = finished(tmp_path, ROWS)
    path = run.path / "run.json"
    record = json.loads(path.read_text())
    del record["sha256"]
    path.write_text(json.dumps(record))
    assert rows_of(run).value.tolist() == [1.5, 2.5]


def test_a_record_made_before_a_setting_existed_is_found_and_run_no_more(tmp_path):
    finished(tmp_path, ROWS)
    known = SETTINGS | {"colour": "none"}
    assert find_run(tmp_path, "paper", 1, known, identity=SETTINGS).rows.value.tolist() == [1.5, 2.5]
    assert RunFolder(tmp_path, "paper", 1, known, identity=SETTINGS).finished


def test_a_suspect_record_counts_as_none_and_is_made_again(tmp_path):
    path = finished(tmp_path, ROWS).path / "run.json"
    record = json.loads(path.read_text()) | {"suspect": "wrong processor"}
    del record["sha256"]
    path.write_text(json.dumps(record))
    assert find_run(tmp_path, "paper", 1, SETTINGS) is None
    assert not folder(tmp_path).finished
    again = finished(tmp_path, ROWS[:1])
    assert again.finished and "suspect" not in again.record


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
    monkeypatch.setattr(run_folders.time, "monotonic", lambda: next(clock))
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


def test_changed_code_makes_a_run_dirty_and_packed_records_do_not(tmp_path):
    def git(*arguments):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.com"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True)

    code, table = tmp_path / "common" / "code.py", tmp_path / "results" / "runs.csv"
    for path in (code, table):
        path.parent.mkdir()
        path.write_text("a")
    git("init")
    git("add", ".")
    git("commit", "-m", "first")
    commit, dirty = run_folders._commit(code.parent)
    assert len(commit) == 40 and dirty is False
    table.write_text("b")
    assert run_folders._commit(code.parent) == (commit, False)
    code.write_text("b")
    assert run_folders._commit(code.parent) == (commit, True)
    assert run_folders._commit(pathlib.Path("/")) == (None, None)


def test_a_run_that_is_made_again_keeps_nothing_of_the_one_before(tmp_path):
    with folder(tmp_path) as run:
        run.start({"tile": 1})
        run.finish("done", ROWS, {"a": np.arange(3)})
    path = run.path / "run.json"
    record = json.loads(path.read_text()) | {"suspect": "wrong processor"}
    del record["sha256"]
    path.write_text(json.dumps(record))
    with folder(tmp_path) as run:
        run.start({"tile": 1})
        run.finish("done", ROWS, None)
    assert folder(tmp_path).run().arrays == {}


@pytest.mark.parametrize("worker", [0, 1])
def test_starting_takes_nothing_that_is_being_made(worker, tmp_path):
    """A worker that is not the chief may have looked before there was a record."""
    with RunFolder(tmp_path, "paper", 1, SETTINGS) as chief:
        late = RunFolder(tmp_path, "paper", 1, SETTINGS, worker)
        chief.start({"tile": 1})
        (chief.work / "state").write_text("so far")
        if worker:
            with late:
                late.start({"tile": 1})
    with RunFolder(tmp_path, "paper", 1, SETTINGS) as again:
        again.start({"tile": 1})
    assert (chief.work / "state").read_text() == "so far"


def test_a_run_that_another_process_has_finished_meanwhile_is_seen_as_finished(tmp_path):
    late = RunFolder(tmp_path, "paper", 1, {"seed": 0})
    with RunFolder(tmp_path, "paper", 1, {"seed": 0}) as other:
        other.start({"tile": 1})
        other.finish("done", [], {})
    assert not late.finished
    with late:
        assert late.finished


ROW = {"metric": "a", "value": 1.5, "statistic": "run"}


def rewritten(run, **changes):
    """Changes the record of a run, without its checksum."""
    path = run.path / "run.json"
    record = json.loads(path.read_text()) | changes
    del record["sha256"]
    path.write_text(json.dumps(record))


def test_a_run_that_is_made_again_is_read_again(tmp_path):
    run = finished(tmp_path, [ROW])
    assert run.run().rows.value.tolist() == [1.5]
    rewritten(run, suspect="why")
    assert finished(tmp_path, [ROW | {"value": 2.5}]).run().rows.value.tolist() == [2.5]


def test_a_record_without_checksums_has_its_arrays(tmp_path):
    rewritten(finished(tmp_path, [ROW], {"x": np.arange(3)}))
    assert find_run(tmp_path, "paper", 1, SETTINGS).arrays["x"].tolist() == [0, 1, 2]
