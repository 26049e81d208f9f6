import json
import os

import numpy as np
import pandas as pd
import pytest

from common.errors import UserError
from common.study.archive import Archive
from common.study.files import SUMS
from common.study.run_folders import RunFolder, measured_seconds, settings_hash

# Numbers whose text is read wrongly by a parser that does not round correctly.
VALUES = [0.1 + 0.2, 1e-320, 1.7976931348623157e308, -5e-324, 123456789.123456789, float("nan")]
SETTINGS = {"model": "single", "beta": None, "rate": 0.1, "strengths": "5", "warm": True, "seed": 0}


def finished(tmp_path, **changes):
    settings = SETTINGS | changes
    with RunFolder(tmp_path / "runs", "paper", 1, settings) as folder:
        folder.start({"device": "CPU", "replicas": 1}, "CIFAR-10, small")
        rows = [{"metric": "a, b", "value": v, "statistic": "run", "step": i} for i, v in enumerate(VALUES)]
        rows.append({"metric": "pair", "value": 1, "statistic": "pair", "pair": 3, "subset": "all"})
        folder.finish("done", rows, {"x": np.arange(3), "y": np.ones(2)})
    return settings, folder.run()


def packed(tmp_path, *names, **changes):
    settings, run = finished(tmp_path, **changes)
    archive, identifier = Archive(tmp_path / "paper"), settings_hash("paper", 1, settings)
    for name in names:
        archive.add(name, identifier, run, settings, ["x"])
    return run, archive, identifier


def test_a_packed_run_is_read_like_its_folder(tmp_path):
    run, archive, identifier = packed(tmp_path, "single-seed=0")
    found = archive.find(identifier)
    pd.testing.assert_frame_equal(found.rows, run.rows, check_exact=True)
    assert found.arrays.keys() == {"x"} and found.arrays["x"].tolist() == [0, 1, 2]
    expected = {key: value for key, value in run.record.items() if key != "sha256"}
    assert found.record == expected
    assert all(type(found.record["settings"][name]) is type(value) for name, value in SETTINGS.items())
    assert archive.find("0" * 12) is None
    assert Archive(tmp_path / "other").find(identifier) is None


def test_texts_that_look_like_numbers_and_truth_values_stay_what_they_are(tmp_path):
    with RunFolder(tmp_path / "runs", "paper", 1, SETTINGS) as folder:
        folder.start({"device": "CPU"})
        known = {"flag": True, "text": "007", "which": "1_000", "quoted": '"a"', "mixed": 3}
        rows = [{"metric": "m", "value": 1.0, **known}, {"metric": "m", "value": 2.0, "mixed": "3"}]
        folder.finish("done", rows, None)
    archive, identifier = Archive(tmp_path / "paper"), settings_hash("paper", 1, SETTINGS)
    archive.add("a", identifier, folder.run(), SETTINGS, [])
    found = archive.find(identifier).rows
    assert found.iloc[0].to_dict() == {"metric": "m", "value": 1.0} | known
    assert found.mixed.tolist() == [3, "3"]


def test_runs_are_packed_one_at_a_time_and_once(tmp_path):
    packed(tmp_path, "a-seed=0", "a-seed=0")
    _, archive, _ = packed(tmp_path, "a-seed=1", seed=1, beta=2.5)
    assert list(archive.runs()) == ["a-seed=0", "a-seed=1"]
    assert [run.seed for run in archive.runs().values()] == [0, 1]
    table = pd.read_csv(tmp_path / "paper" / "runs.csv")
    assert table.run.tolist() == ["a-seed=0", "a-seed=1"]
    assert table.rate.tolist() == [0.1, 0.1]
    with pytest.raises(UserError, match="two runs have the name a-seed=1"):
        packed(tmp_path, "a-seed=1", seed=2)


def test_a_setting_of_later_runs_is_empty_in_earlier_ones(tmp_path):
    _, archive, first = packed(tmp_path, "a")
    packed(tmp_path, "b", clip="code")
    assert archive.find(first).record["settings"] == SETTINGS | {"clip": None}


def test_a_suspect_run_is_kept_and_not_found(tmp_path):
    settings, run = finished(tmp_path)
    path = run.path / "run.json"
    record = json.loads(path.read_text()) | {"suspect": "why"}
    archive = Archive(tmp_path / "paper")
    archive.add("a", "1" * 12, type(run)(run.path, record), settings, [])
    assert archive.find("1" * 12) is None
    assert archive.runs()["a"].record["suspect"] == "why"


def test_a_run_that_was_made_again_takes_the_place_of_a_suspect_one(tmp_path):
    settings, run = finished(tmp_path)
    record = json.loads((run.path / "run.json").read_text()) | {"suspect": "why"}
    archive = Archive(tmp_path / "paper")
    archive.add("a", "1" * 12, type(run)(run.path, record), settings, ["x"])
    archive.add("a", "1" * 12, run, settings, [])
    assert archive.find("1" * 12).arrays == {}
    archive.add("a", "1" * 12, type(run)(run.path, record), settings, ["x"])
    assert archive.find("1" * 12) is not None and archive.holds("1" * 12, suspect=False)


@pytest.mark.parametrize("name", ["rows/a.csv", "arrays/a.npz"])
def test_a_run_that_is_packed_again_repairs_damage(name, tmp_path):
    run, archive, identifier = packed(tmp_path, "a")
    (tmp_path / "paper" / name).write_bytes(b"damaged")
    assert not archive.holds(identifier)
    archive.add("a", identifier, run, SETTINGS, ["x"])
    assert archive.holds(identifier)
    pd.testing.assert_frame_equal(archive.find(identifier).rows, run.rows)
    assert archive.find(identifier).arrays["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("step", range(1, 6))
def test_a_writer_that_is_killed_leaves_the_table_before_or_after(step, tmp_path, monkeypatch):
    """At each file that takes its place: rows, arrays, the next checksums, the table, the checksums."""
    packed(tmp_path, "a")
    replace, count = os.replace, iter(range(1, 10))

    def dying(source, target):
        if next(count) == step:
            raise KeyboardInterrupt
        replace(source, target)

    settings, run = finished(tmp_path, seed=1)
    archive = Archive(tmp_path / "paper")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("common.study.archive.os.replace", dying)
        archive.add("b", "2" * 12, run, settings, ["x"])
    assert list(archive.runs()) == (["a", "b"] if step == 5 else ["a"])
    assert archive.runs()["a"].rows is not None
    archive.add("b", "2" * 12, run, settings, ["x"])
    assert list(archive.runs()) == ["a", "b"] and archive.holds("2" * 12)
    assert not list((tmp_path / "paper").glob("*.next"))


def test_a_writer_of_the_first_run_that_is_killed_is_gone_over(tmp_path):
    """Between the next checksums and the first table."""
    folder = tmp_path / "paper"
    folder.mkdir()
    (folder / f"{SUMS}.next").write_text("")
    _, archive, identifier = packed(tmp_path, "a")
    assert archive.holds(identifier) and not list(folder.glob("*.next"))


def test_changes_within_one_second_are_seen(tmp_path, monkeypatch):
    """Some file systems keep times in whole seconds."""
    packed(tmp_path, "a")
    for name in ("b", "c", "d"):
        _, archive, _ = packed(tmp_path, name, seed=ord(name))
        for path in (tmp_path / "paper").iterdir():
            os.utime(path, (10, 10))
    assert list(archive.runs()) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("name", ["runs.csv", "rows/a.csv", "arrays/a.npz"])
@pytest.mark.parametrize("damage", ["changed", "lost"])
def test_damage_is_one_line_that_names_the_file(name, damage, tmp_path):
    _, archive, identifier = packed(tmp_path, "a")
    path = tmp_path / "paper" / name
    if damage == "lost":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match=f"^{path} is damaged"):
        run = archive.find(identifier)
        _ = run.rows, run.arrays
    (tmp_path / "paper" / SUMS).write_text("no sums\n")
    with pytest.raises(UserError, match="SHA256SUMS is damaged"):
        archive.find(identifier)


def added(tmp_path, name, settings, rows, **times):
    """A run of one setting, its seed, packed with some settings."""
    with RunFolder(tmp_path / "runs", "paper", 1, {"seed": settings["seed"]}) as folder:
        folder.start({"device": "CPU"})
        folder.record["times"] |= times
        folder.finish("done", rows, None)
    archive, identifier = Archive(tmp_path / "paper"), settings_hash("paper", 1, settings)
    archive.add(name, identifier, folder.run(), settings, [])
    return archive.find(identifier)


ROW = {"metric": "m", "value": 1.0, "statistic": "run"}


def test_whole_numbers_that_float64_does_not_hold_stay_whole(tmp_path):
    found = added(tmp_path, "a", {"seed": 0}, [ROW | {"step": 2**53 + 1}, ROW | {"step": 7}])
    assert found.rows.step.tolist() == [2**53 + 1, 7]


def test_an_empty_text_stays_one(tmp_path):
    found = added(tmp_path, "a", {"seed": 0}, [ROW | {"note": ""}, ROW | {"note": "x"}])
    assert found.rows.note.tolist() == ["", "x"]


def test_a_setting_that_a_record_lacks_is_packed(tmp_path):
    found = added(tmp_path, "a", {"seed": 0, "clip": "none"}, [ROW])
    assert found.record["settings"] == {"seed": 0, "clip": "none"}


def test_a_time_that_only_other_runs_have_is_none(tmp_path):
    first = added(tmp_path, "a", {"seed": 0}, [ROW], train_seconds=2.0)
    second = added(tmp_path, "b", {"seed": 1}, [ROW])
    assert [measured_seconds(found.record["times"]) for found in (first, second)] == [2, 0]
