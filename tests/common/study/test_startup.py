import os
import subprocess
import sys

import pytest

from common.study.startup import quiet_stderr


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
