"""Every figure of every paper from nothing: its smoke preset trained by the program, then drawn."""

import importlib
import os
import subprocess
import sys

import pytest

from common.study.program import main
from common.study.runs import load_study, study_names
from figures import drawing

# One per paper in the fast suite: the quickest. Runs on images are test_experiment.py's.
FAST = {
    "smooth_interpolation": "1b",
    "snapp_shamir": "4",
    "somepalli_boundaries": "sources",
    "zhang_randomization": "table1_mlp",
}


def program(*arguments):
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # A run that takes a minute, as on a busy machine, says how far it is.
    assert [line for line in done.stderr.splitlines() if not line.endswith(" left")] == []
    return done.stdout


def in_this_process(capsys):
    """Runs a program as `program` does, without the seconds that importing TensorFlow takes."""

    def run(module, *arguments):
        package, paper = module.split(".")
        if package == "replications":
            main(load_study(paper), [paper, *arguments])
        else:
            drawing.main(
                importlib.import_module(f"{module}.paper_figures").PAPER_FIGURES, [paper, *arguments]
            )
        return capsys.readouterr().out

    return run


@pytest.mark.parametrize(("paper", "figure"), FAST.items())
def test_smoke_figure_in_this_process(paper, figure, tmp_path, capsys):
    check_figure(in_this_process(capsys), paper, figure, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("paper", "figure"), [(paper, figure) for paper in study_names() for figure in load_study(paper).figures]
)
def test_smoke_figure(paper, figure, tmp_path):
    check_figure(program, paper, figure, tmp_path)


def check_figure(program, paper, figure, tmp_path):
    """Trains the runs of a figure's smoke preset, and draws it."""
    records, pictures = tmp_path / "records", tmp_path / "pictures"
    preset = (f"--figure={figure}", "--scale=smoke")
    table = program(f"replications.{paper}", *preset, f"--out_dir={records}")
    runs = {settings.resolve() for settings in load_study(paper).runs_of_figure(figure, "smoke")}
    # A head, and at the end where the records are; of images the name of the data as well.
    assert len(table.splitlines()) == len(runs) + (3 if load_study(paper).images else 2)
    program(f"figures.{paper}", *preset, f"--records={records}", f"--out_dir={pictures}")
    files = sorted(os.listdir(pictures))
    assert files == [f"{paper}_figure_{figure}.pdf", f"{paper}_figure_{figure}.png"]
    assert all((pictures / file).stat().st_size > 10_000 for file in files)


def test_every_paper_has_a_fast_smoke_figure():
    assert set(FAST) == set(study_names())
