import shutil

import pytest
import tensorflow as tf

from common.checkpoints import Checkpoints


def test_the_last_two_are_kept_and_the_newest_comes_back(tmp_path):
    value = tf.Variable(0)
    checkpoints = Checkpoints(tf.train.Checkpoint(value=value), tmp_path)
    for step in (3, 5, 8):
        value.assign(step)
        checkpoints.keep(step)
    assert [path.rpartition("-")[2] for path in checkpoints.checkpoints] == ["5", "8"]
    value.assign(0)
    checkpoints.restore_or_initialize()
    assert value.numpy() == 8


def test_what_cannot_be_written_is_an_os_error(tmp_path):
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(tf.train.Checkpoint(value=tf.Variable(0)), folder)
    checkpoints.keep(1)
    shutil.rmtree(folder)
    folder.touch()
    with pytest.raises(OSError, match="checkpoints: "):
        checkpoints.keep(2)
