"""Every figure from nothing: its smoke preset trained by the program, then drawn from the records."""

import os
import subprocess
import sys

import pytest

from replications.somepalli_boundaries.settings import REPLICATION

FAST = "8"


def program(*arguments):
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    "name", [n if n == FAST else pytest.param(n, marks=pytest.mark.slow) for n in REPLICATION.figures]
)
def test_smoke_figure(name, tmp_path):
    records, pictures = tmp_path / "records", tmp_path / "pictures"
    preset = (f"--figure={name}", "--scale=smoke")
    table = program("replications.somepalli_boundaries", *preset, f"--out_dir={records}")
    assert len(table.splitlines()) == 2 + len(REPLICATION.figure(name, "smoke"))
    program("figures.somepalli_boundaries", *preset, f"--records={records}", f"--out_dir={pictures}")
    files = sorted(os.listdir(pictures))
    assert files == [f"somepalli_boundaries_figure_{name}.pdf", f"somepalli_boundaries_figure_{name}.png"]
    assert all((pictures / file).stat().st_size > 10_000 for file in files)
