"""The programs that are disturbed, how they are run, and how what becomes of them is judged.

A disturbed command has one of three ends: EQUAL, its results are those of an undisturbed run, byte for byte;
REFUSED, it says in one line what is wrong; anything else is a problem. After a refusal the same command,
undisturbed, must end EQUAL: then nothing was lost.
"""

import contextlib
import dataclasses
import functools
import io
import os
import pathlib
import shutil
import subprocess
import sys
import traceback

import common.training.fit
import replications.snapp_shamir.experiment
from common.distribution import logical_cpu_devices
from common.errors import UserError
from common.study import interruption, program
from common.study.run_folders import checked_file
from common.study.runs import Study, load_study, run_folder

ROOT = pathlib.Path(__file__).parents[2]
EQUAL, REFUSED = "bit-equal", "one line"
_RESULTS = ("rows.jsonl", "arrays.npz", "weights.npz")
_IMAGES = ("--dataset=synthetic", "--num_train=100", "--num_test=40", "--batch_size=50", "--epochs=3")


@dataclasses.dataclass(frozen=True)
class Program:
    """A command that takes a second once it is compiled.

    Args:
        name: What it is called here.
        paper: The package below `replications`.
        arguments: Its flags.
    """

    name: str
    paper: str
    arguments: tuple

    @property
    def study(self) -> Study:
        """The paper's `Study`."""
        return load_study(self.paper)

    def folder(self, out_dir: os.PathLike) -> pathlib.Path:
        """The folder of its run."""
        paper = self.study
        return pathlib.Path(out_dir) / paper.name / paper.run_id(self.settings)

    @functools.cached_property
    def settings(self):
        """Resolved settings of its run."""
        flag_values = program.flags.FlagValues()
        program.define_flags(self.study, flag_values)
        flag_values(["program", *self.arguments])
        (settings,) = program.expand(self.study, flag_values)
        return settings


PROGRAMS = {
    chosen.name: chosen
    for chosen in (
        Program(
            "zhang_randomization",
            "zhang_randomization",
            (*_IMAGES, "--network=mlp_1x512", "--evaluate_every=1", "--stop=epochs"),
        ),
        Program(
            "snapp_shamir",
            "snapp_shamir",
            (
                *("--examples_log2=12", "--evaluate_every_log2=10", "--evaluation_log2=8", "--pairs=2"),
                *("--model=single", "--strategy=one_device"),
            ),
        ),
        Program(
            "snapp_shamir, warm start",
            "snapp_shamir",
            (
                *("--examples_log2=12", "--evaluation_log2=8", "--pairs=2", "--model=linear"),
                *("--warm_start", "--strategy=one_device"),
            ),
        ),
        Program(
            "somepalli_boundaries",
            "somepalli_boundaries",
            (
                *(*_IMAGES, "--network=fully_connected", "--width=16", "--checkpoint=best_test"),
                *("--num_triplets=2", "--num_fragmentation_triplets=0", "--num_margin_images=0"),
                "--resolution=5",
            ),
        ),
        Program(
            "smooth_interpolation",
            "smooth_interpolation",
            (*_IMAGES, "--width=1", "--num_samples=4", "--num_paths=1", "--num_copies=1"),
        ),
    )
}
PAPERS = {name: chosen for name, chosen in PROGRAMS.items() if name == chosen.paper}


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended: exit status and what it wrote to standard error."""

    status: int
    error: str

    @property
    def is_one_line(self) -> bool:
        """Whether it ended with a status of its own and said why in one line."""
        return self.status in (1, 2, 130) and self.error.count("\n") == 1 and "Traceback" not in self.error


@contextlib.contextmanager
def checkpoint_after_every_block():
    """Tiny runs leave no checkpoints otherwise: they take less than the time between two."""
    modules = (common.training.fit, replications.snapp_shamir.experiment)
    kept = [module._CHECKPOINT_SECONDS for module in modules]
    try:
        for module in modules:
            module._CHECKPOINT_SECONDS = -1
        yield
    finally:
        for module, seconds in zip(modules, kept, strict=True):
            module._CHECKPOINT_SECONDS = seconds


def run(chosen: Program, out_dir: os.PathLike) -> Outcome:
    """Runs a program in this process, where consecutive runs share what is compiled."""
    logical_cpu_devices(2)
    error, status = io.StringIO(), 0
    argv = ["program", *chosen.arguments, f"--out_dir={out_dir}"]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(error),
        checkpoint_after_every_block(),
    ):
        try:
            program.main(chosen.study, argv)
        except SystemExit as end:
            status = end.code or 0
            if status == interruption.STATUS:  # no scenario signals this process: somebody stops the harness
                raise KeyboardInterrupt from None
        except Exception:
            traceback.print_exc()
            status = 1
    return Outcome(status, error.getvalue())


def start(chosen: Program, out_dir: os.PathLike) -> subprocess.Popen:
    """Starts a program as a process of its own."""
    command = [sys.executable, "-m", "tests.chaos.launch", f"replications.{chosen.paper}", *chosen.arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([*command, f"--out_dir={out_dir}"], cwd=ROOT, start_new_session=True, **pipes)


def finish(process: subprocess.Popen) -> Outcome:
    """Waits for the end of a process."""
    _, error = process.communicate(timeout=600)
    return Outcome(process.returncode, error)


def results(folder: pathlib.Path) -> dict[str, bytes]:
    """The bytes of a run's results: file -> content."""
    return {name: (folder / name).read_bytes() for name in _RESULTS if (folder / name).exists()}


def read(chosen: Program, out_dir: os.PathLike) -> dict[str, bytes] | None:
    """Results as figures read them, held against their checksums; None where there is no finished run.

    Raises:
        UserError: They are damaged.
    """
    found = run_folder(chosen.study, chosen.settings, out_dir).run()
    if found is None:
        return None
    names = set(found.record["sha256"]) - {"run.json"}
    for name in names:
        checked_file(found.path, found.record, name)
    return results(found.path)


def judge(chosen: Program, out_dir: os.PathLike, outcome: Outcome, expected: dict[str, bytes]) -> str:
    """Returns EQUAL, REFUSED, or what is wrong."""
    if outcome.is_one_line:
        return REFUSED
    if outcome.status or "Traceback" in outcome.error:
        return f"status {outcome.status}: {outcome.error[-500:]}"
    try:
        found = read(chosen, out_dir)
    except UserError as error:
        return REFUSED if "\n" not in str(error) else f"several lines: {error}"
    if found is None:
        return "no record"
    if found != expected:
        return f"other results: {', '.join(sorted(n for n in expected if found.get(n) != expected[n]))}"
    return leftovers(chosen.folder(out_dir)) or EQUAL


def leftovers(folder: pathlib.Path) -> str:
    """Names files in the folder of a finished run that do not belong there; empty where there are none."""
    allowed = {"run.json", ".lock", *_RESULTS}
    found = sorted(path.name for path in folder.iterdir() if path.name not in allowed)
    return f"left over: {', '.join(found)}" if found else ""


def judge_with_recovery(
    chosen: Program, out_dir: os.PathLike, outcome: Outcome, expected: dict[str, bytes]
) -> str:
    """Judges a disturbed command; if it was refused, the same command must then end EQUAL.

    A line that names a damaged folder asks for its removal, which is done.
    """
    verdict = judge(chosen, out_dir, outcome, expected)
    if verdict != REFUSED:
        return verdict
    after = run(chosen, out_dir)
    verdict = judge(chosen, out_dir, after, expected)
    if verdict == REFUSED:
        shutil.rmtree(chosen.folder(out_dir))
        after = run(chosen, out_dir)
        verdict = judge(chosen, out_dir, after, expected)
    return REFUSED if verdict == EQUAL else f"afterwards {verdict}"
