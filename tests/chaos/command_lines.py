"""Bad command lines of every program: each must be refused with one line that names what is wrong.

`python -m tests.chaos.command_lines` runs those that need no process of their own and prints what became of
them. A line is refused if the program ends with status 2, one line on standard error that holds a certain
word, nothing on standard output, nothing made in an empty folder, and without loading TensorFlow.
"""

import contextlib
import dataclasses
import importlib
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import traceback
import zipfile
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from tests.chaos import bad_lines
from tests.chaos.bad_lines import PAPERS

ROOT = pathlib.Path(__file__).parents[2]
_SECONDS = 60


@dataclasses.dataclass(frozen=True)
class Line:
    """A bad command line.

    Args:
        program: The module that is run.
        arguments: Its arguments; {file} stands for a file, {models} for two, {arrays} for one of arrays.
        word: What the one line must contain.
        environment: Variables that are set, None for one that is not; given, the line needs a process.
        closed: A standard stream that is closed, 1 or 2.
    """

    program: str
    arguments: tuple
    word: str
    environment: Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    closed: int | None = None

    @property
    def argv(self) -> list[str]:
        """The command line as it is typed."""
        return [*self.program.split(), *self.arguments]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a program did with a line: exit status, both outputs, names of files made."""

    status: int | None
    output: str
    error: str
    made: tuple
    loaded: bool = False

    def problems(self, line: Line) -> list[str]:
        """Says in what this is no refusal; empty for a good one."""
        found = []
        if self.status != 2:
            found.append(f"status {self.status}")
        if line.closed != 2 and (self.error.count("\n") != 1 or not self.error.endswith("\n")):
            found.append(f"{self.error.count(chr(10))} lines on standard error: {self.error[-300:]!r}")
        if line.closed != 2 and line.word not in self.error:
            found.append(f"{line.word!r} is not in {self.error[-300:]!r}")
        if self.output:
            found.append(f"standard output: {self.output[:100]!r}")
        if self.made:
            found.append(f"made {', '.join(self.made)}")
        if self.loaded:
            found.append("loaded TensorFlow")
        return found


def lines() -> list[Line]:
    """The lines that a program refuses without a process of its own."""
    found = []
    for paper in PAPERS:
        cases = bad_lines.OF_RUNS + (bad_lines.OF_IMAGES if paper != "snapp_shamir" else ())
        found += [Line(f"replications.{paper}", tuple(text.split(" ")), word) for text, word in cases]
        few = f"--figure={bad_lines.FEW_FIGURES[paper]}"
        found += [
            Line(f"figures.{paper}", (few, *text.split(" ")), word)
            if "--figure" not in text
            else Line(f"figures.{paper}", tuple(text.split(" ")), word)
            for text, word in bad_lines.OF_FIGURES
        ]
        found += _outside_limits(paper)
    for program, cases in bad_lines.OWN.items():
        found += [Line(program, tuple(filter(None, text.split(" "))), word) for text, word in cases]
    return list({tuple(line.argv): line for line in reversed(found)}.values())


def _outside_limits(paper: str) -> Iterator[Line]:
    """For each setting of a paper with limits, a value below them and, if there is a highest, one above."""
    settings = importlib.import_module(f"replications.{paper}.settings").Settings
    for field in dataclasses.fields(settings):
        limits = field.metadata["limits"]
        # A flag that has no effect beside the defaults is refused for that.
        if limits and field.metadata["applies_to"] is None:
            outside = [limits.low if limits.above else limits.low - 1]
            outside += [limits.high + 1] if limits.high < math.inf else []
            for value in outside:
                yield Line(f"replications.{paper}", (f"--{field.name}={value}",), f"--{field.name}=")


def lines_with_a_process() -> list[Line]:
    """The lines that need an environment or streams of their own."""
    found = [
        Line(program, tuple(filter(None, text.split(" "))), word, environment)
        for program, text, word, environment in bad_lines.SURROUNDINGS
    ]
    for paper in PAPERS:
        found.append(Line(f"replications.{paper}", ("--seed=-1",), "--seed=-1", closed=1))
        found.append(Line(f"replications.{paper}", ("--seed=-1",), "--seed=-1", closed=2))
        found.append(Line(f"figures.{paper}", ("--records=",), "--records=", closed=2))
    return found


def _main(program: str):
    """The main function of a program, of the whole command line."""
    package, name = program.split(".")
    if package == "replications":
        paper = importlib.import_module(f"{program}.presets").STUDY
        return lambda argv: importlib.import_module("common.study.program").main(paper, argv)
    if package == "figures" and name != "report":
        paper_figures = importlib.import_module(f"{program}.paper_figures").PAPER_FIGURES
        return lambda argv: importlib.import_module("figures.drawing").main(paper_figures, argv)
    return importlib.import_module(program).main


@contextlib.contextmanager
def _folder() -> Iterator[tuple[pathlib.Path, dict]]:
    """An empty working folder, and the texts that stand for files beside it."""
    with tempfile.TemporaryDirectory() as above:
        names = {"file": f"{above}/file", "models": f"{above}/a.keras,{above}/b.keras"}
        names |= {
            "arrays": f"{above}/arrays.npz",
            "no_arrays": f"{above}/text.npz",
            "objects": f"{above}/o.npz",
        }
        np.savez(names["arrays"], x=np.ones((4, 2), np.float32), y=[0, 1, 2, 0])
        np.savez(names["objects"], x=np.array([None, "text"], object))
        pathlib.Path(names["no_arrays"]).write_text("no archive")
        pathlib.Path(above, "file").touch()
        for name in ("a.keras", "b.keras"):
            # What a saved model looks like before it is loaded.
            with zipfile.ZipFile(pathlib.Path(above, name), "w") as archive:
                archive.writestr("config.json", "{}")
        empty = pathlib.Path(above, "empty")
        empty.mkdir()
        yield empty, names


def _filled(line: Line, names: Mapping[str, str]) -> list[str]:
    arguments = list(line.arguments)
    for name, text in names.items():
        arguments = [argument.replace(f"{{{name}}}", text) for argument in arguments]
    return arguments


def _made(folder: pathlib.Path) -> tuple:
    return tuple(sorted(str(path.relative_to(folder)) for path in folder.rglob("*")))


def run(line: Line) -> Outcome:
    """Runs a line in this process."""
    main, before = _main(line.program), "tensorflow" in sys.modules
    output, error, status = io.StringIO(), io.StringIO(), None
    with _folder() as (folder, names):
        argv = ["program", *_filled(line, names)]
        with (
            contextlib.chdir(folder),
            contextlib.redirect_stdout(output),
            contextlib.redirect_stderr(error),
        ):
            try:
                main(argv)
                status = 0
            except SystemExit as end:
                status = end.code
            except BaseException:
                traceback.print_exc()
        loaded = "tensorflow" in sys.modules and not before
        return Outcome(status, output.getvalue(), error.getvalue(), _made(folder), loaded)


def run_in_process(line: Line) -> Outcome:
    """Runs a line as a process of its own."""
    environment = {name: text for name, text in os.environ.items() if name not in line.environment}
    environment |= {name: text for name, text in line.environment.items() if text is not None}
    environment["PYTHONPATH"] = str(ROOT)
    with _folder() as (folder, names):
        command = [sys.executable, "-m", line.program, *_filled(line, names)]
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            preexec_fn=None if line.closed is None else lambda: os.close(line.closed),
        )
        return Outcome(done.returncode, done.stdout, done.stderr, _made(folder))


def run_all() -> list[tuple[list[str], Outcome]]:
    """Runs every line, those with a process last; `Outcome.problems` says of each whether it is well refused.

    Returns:
        (argv, Outcome) of each, in the order of `lines()` and `lines_with_a_process()`.
    """
    found = [(line.argv, run(line)) for line in lines()]
    return found + [(line.argv, run_in_process(line)) for line in lines_with_a_process()]


def problems(outcomes: Sequence[tuple[Line, Outcome]]) -> dict[str, list[str]]:
    """Returns what is wrong with each line that is not well refused: line -> problems."""
    found = {ascii(" ".join(line.argv))[:200]: outcome.problems(line) for line, outcome in outcomes}
    return {text: wrong for text, wrong in found.items() if wrong}


if __name__ == "__main__":
    chosen = lines()
    wrong = problems([(line, run(line)) for line in chosen])
    print(json.dumps({"lines": len(chosen), "tensorflow": "tensorflow" in sys.modules, "problems": wrong}))
