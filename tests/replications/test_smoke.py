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


def smoke_runs(paper, figure):
    return frozenset(settings.resolve() for settings in load_study(paper).runs_of_figure(figure, "smoke"))


def of_the_same_runs(paper):
    """The figures of a paper, those of the same runs together."""
    found = {}
    for figure in load_study(paper).figures:
        found.setdefault(smoke_runs(paper, figure), []).append(figure)
    return list(found.values())


@pytest.mark.parametrize(("paper", "figure"), FAST.items())
def test_smoke_figure_in_this_process(paper, figure, tmp_path, capsys):
    check_figures(in_this_process(capsys), paper, [figure], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("paper", "figures"),
    [
        pytest.param(paper, figures, id=f"{paper}-{'-'.join(figures)}")
        for paper in study_names()
        for figures in of_the_same_runs(paper)
    ],
)
def test_smoke_figure(paper, figures, tmp_path):
    check_figures(program, paper, figures, tmp_path)


def check_figures(program, paper, figures, tmp_path):
    """Trains the runs of a smoke preset, and draws all its figures."""
    records = tmp_path / "records"
    table = program(
        f"replications.{paper}", f"--figure={figures[0]}", "--scale=smoke", f"--out_dir={records}"
    )
    # A head, and at the end where the records are; of images the name of the data as well.
    others = 3 if load_study(paper).images else 2
    assert len(table.splitlines()) == len(smoke_runs(paper, figures[0])) + others
    for figure in figures:
        pictures = tmp_path / figure
        flags = (f"--figure={figure}", "--scale=smoke", f"--records={records}", f"--out_dir={pictures}")
        program(f"figures.{paper}", *flags)
        files = sorted(os.listdir(pictures))
        assert files == [f"{paper}_figure_{figure}.pdf", f"{paper}_figure_{figure}.png"]
        assert all((pictures / file).stat().st_size > 10_000 for file in files)


def test_every_paper_has_a_fast_smoke_figure():
    assert set(FAST) == set(study_names())
