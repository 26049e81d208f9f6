import os
import platform
import subprocess
import sys

import pytest

from common.study.startup import prefer_onednn, quiet_stderr


def test_noise_is_held_back(capfd):
    with quiet_stderr():
        os.write(2, b"noise\n")
    assert capfd.readouterr().err == ""


def test_noise_is_shown_when_the_block_fails(capfd):
    with pytest.raises(RuntimeError), quiet_stderr():
        os.write(2, b"the reason\n")
        raise RuntimeError
    assert capfd.readouterr().err == "the reason\n"


@pytest.mark.parametrize("module", ["common.study.program", "replications.snapp_shamir.settings"])
def test_flags_need_no_tensorflow(module):
    code = f"import sys, {module}; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("machine", "before", "after"), [("x86_64", None, "1"), ("x86_64", "0", "0"), ("aarch64", None, None)]
)
def test_onednn_is_asked_for_on_x86(monkeypatch, machine, before, after):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", before or "")  # so that it is put back
    if before is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    prefer_onednn()
    assert os.environ.get("TF_ENABLE_ONEDNN_OPTS") == after


def test_programs_convolve_with_onednn():
    """Also where TensorFlow would not: on x86 processors without instructions for neural networks."""
    code = (
        "from common.study.startup import import_quietly; tf = import_quietly('tensorflow')\n"
        "from tensorflow.python.framework import test_util\n"
        "raise SystemExit(test_util.IsMklEnabled() != (__import__('platform').machine() == 'x86_64'))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
