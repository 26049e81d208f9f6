import shutil

import numpy as np
import pytest
import tensorflow as tf

from common.errors import UserError
from common.study.checkpoints import Checkpoints


@pytest.fixture
def value():
    return tf.Variable(np.arange(3.0))


@pytest.fixture
def checkpoints(value, tmp_path):
    return Checkpoints(tf.train.Checkpoint(value=value), tmp_path / "checkpoints")


def keep(checkpoints, value, *steps):
    for step in steps:
        value.assign(np.full(3, step))
        checkpoints.keep(step, [{"metric": "step", "value": step}], {"step": np.array(step)})


def restored(checkpoints, value):
    value.assign(np.zeros(3))
    found = checkpoints.restore()
    (step,) = {*value.numpy(), found.arrays["step"].item(), *(row["value"] for row in found.rows)}
    return step


def test_nothing_is_restored_where_nothing_was_kept(checkpoints):
    assert checkpoints.restore() is None


def test_the_last_two_are_kept_and_the_newest_comes_back_with_rows_and_arrays(checkpoints, value, capsys):
    keep(checkpoints, value, 3, 5, 8)
    assert checkpoints.steps() == [5, 8]
    assert restored(checkpoints, value) == 8
    assert capsys.readouterr().err == ""


def cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage", [cut, flip, lambda path: path.write_bytes(b""), lambda path: path.unlink()]
)
@pytest.mark.parametrize(
    "name", ["state.index", "state.data-00000-of-00001", "rows.jsonl", "arrays.npz", "SHA256SUMS"]
)
def test_the_older_one_is_taken_if_the_newest_is_damaged_and_if_none_is_sound_a_line_names_the_folder(
    name, damage, checkpoints, value, capsys
):
    keep(checkpoints, value, 5, 8)
    damage(checkpoints.folder / "8" / name)
    assert restored(checkpoints, value) == 5
    assert capsys.readouterr().err == f"{checkpoints.folder}/8 is damaged; going on from step 5\n"
    damage(checkpoints.folder / "5" / name)
    with pytest.raises(UserError, match=f"^no checkpoint in {checkpoints.folder} is sound; remove"):
        checkpoints.restore()


def test_a_damaged_one_is_not_kept_in_the_place_of_a_sound_one(checkpoints, value):
    keep(checkpoints, value, 5, 8)
    cut(checkpoints.folder / "8" / "rows.jsonl")
    restored(checkpoints, value)
    keep(checkpoints, value, 6)
    assert checkpoints.steps() == [5, 6]


def test_what_cannot_be_written_is_an_os_error_that_names_the_folder(checkpoints, value):
    keep(checkpoints, value, 1)
    shutil.rmtree(checkpoints.folder)
    checkpoints.folder.touch()
    with pytest.raises(OSError, match="checkpoints"):
        keep(checkpoints, value, 2)
