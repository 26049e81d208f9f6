import errno
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from common.errors import UserError
from common.study import files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_processes_left_is_removed_and_others_work_is_not(tmp_path):
    dead, alive = f".run[1].json.{dead_process()}", f".run[1].json.{os.getppid()}"
    other = ".run[1].json.old"
    for name in (dead, alive, other):
        (tmp_path / name).write_text("half")
    files.write_json(tmp_path / "run[1].json", {})
    assert sorted(os.listdir(tmp_path)) == sorted([alive, other, "run[1].json"])
    (tmp_path / f".step.{dead_process()}").mkdir()
    with files.sealing(tmp_path / "step"):
        pass
    assert sorted(os.listdir(tmp_path)) == sorted([alive, other, "run[1].json", "step"])


def test_what_a_killed_process_of_the_same_number_left_is_removed(tmp_path):
    """Numbers come again, in containers above all."""
    leftover = tmp_path / f".step.{os.getpid()}"
    leftover.mkdir()
    (leftover / "half").touch()
    with files.sealing(tmp_path / "step") as folder:
        (folder / "whole").touch()
    assert sorted(os.listdir(tmp_path / "step")) == [files.SUMS, "whole"]
    assert os.listdir(tmp_path) == ["step"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_a_disk_error_names_the_path(number, tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    for write in (lambda: files.write_json(tmp_path / "a.json", {}), lambda: seal(tmp_path / "b")):
        with pytest.raises(OSError, match=rf"{os.strerror(number)}: '{tmp_path}/[ab]"):
            write()
    assert os.listdir(tmp_path) == []


def seal(folder):
    with files.sealing(folder) as temporary:
        (temporary / "one").write_bytes(b"1" * 100)
        (temporary / "two").write_bytes(b"2" * 100)
    return folder


def test_a_sealed_folder_is_written_whole_or_not_at_all(tmp_path):
    folder = seal(tmp_path / "step")
    assert sorted(os.listdir(folder)) == [files.SUMS, "one", "two"]
    with pytest.raises(RuntimeError), files.sealing(folder) as temporary:
        (temporary / "one").write_bytes(b"")
        raise RuntimeError
    assert files.is_sound(folder)
    assert os.listdir(tmp_path) == ["step"]
    with files.sealing(folder) as temporary:
        (temporary / "three").touch()
    assert sorted(os.listdir(folder)) == [files.SUMS, "three"]


def test_the_checksums_are_those_of_sha256sum(tmp_path):
    folder = seal(tmp_path / "step")
    subprocess.run(["sha256sum", "--check", "--strict", files.SUMS], cwd=folder, check=True)


def flip(path):
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["one", "two", files.SUMS])
@pytest.mark.parametrize(
    "damage",
    [pathlib.Path.unlink, lambda path: path.write_bytes(b""), lambda p: p.write_bytes(b"1" * 99), flip],
)
def test_any_damage_to_a_sealed_folder_shows(damage, name, tmp_path):
    folder = seal(tmp_path / "step")
    files.check_sealed(folder)
    damage(folder / name)
    assert not files.is_sound(folder)
    with pytest.raises(UserError, match=f"^{folder} is damaged: "):
        files.check_sealed(folder)


def test_a_lost_line_of_checksums_shows(tmp_path):
    folder = seal(tmp_path / "step")
    lines = (folder / files.SUMS).read_text().splitlines(keepends=True)
    (folder / files.SUMS).write_text(lines[0])
    assert not files.is_sound(folder)


def test_a_folder_that_is_not_there_is_not_sound(tmp_path):
    assert not files.is_sound(tmp_path / "none")


def test_rows_and_arrays_come_back(tmp_path):
    rows = [{"metric": "a", "value": 1.5}, {"metric": "b", "value": np.inf}]
    files.write_rows(tmp_path / "rows", rows)
    first, second = files.read_rows(tmp_path / "rows")
    assert first == rows[0] and np.isnan(second["value"])
    files.write_arrays(tmp_path / "arrays", {"x": np.arange(3)})
    assert files.read_arrays(tmp_path / "arrays")["x"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "content", [b'{"metric":', b"\xff\xfe\n", b"[]\n", b"3\n", b'{"metric": "a"}\n', b'{"value": "x"}\n']
)
def test_what_are_no_rows_is_one_line(content, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"cannot read .*rows.jsonl \(.*\); remove its folder") as error:
        files.read_rows(path)
    assert "\n" not in str(error.value)


def objects(path):
    with open(path, "wb") as file:
        np.savez(file, x=np.array([{}], dtype=object))


def single(path):
    with open(path, "wb") as file:
        np.save(file, np.arange(3))


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: None,
        lambda path: path.touch(),
        lambda p: p.write_bytes(b"PK no archive"),
        objects,
        single,
    ],
)
def test_what_are_no_arrays_is_one_line(damage, tmp_path):
    path = tmp_path / "arrays.npz"
    damage(path)
    with pytest.raises(UserError, match=r"cannot read .*arrays.npz \(.*\); remove its folder") as error:
        files.read_arrays(path)
    assert "\n" not in str(error.value)


def test_a_file_that_takes_the_place_of_one_of_its_size_and_time_is_read_again(tmp_path):
    paths = tmp_path / "first", tmp_path / "second"
    for path in paths:
        path.write_text(path.name[:1])
        os.utime(path, (10, 10))
    before = files.known_digest(paths[0])
    os.replace(paths[1], paths[0])
    assert files.known_digest(paths[0]) == files.digest(paths[0]) != before
