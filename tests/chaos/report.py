"""Everything that is tried, and the page that says what came out."""

import importlib
import importlib.metadata
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator

from common.distribution import logical_cpu_devices
from tests.chaos import damage, data_sets, diverging, faults, memory, processes, programs
from tests.chaos.result import Tally

PAGE = programs.ROOT / "docs" / "reliability.md"
COMMAND_LINES, SAVED_MODELS = "command lines", "model files"
_SEED = 0

_HEAD = """# Reliability

The programs of all four papers were killed, interrupted, starved of disk, damaged, run twice at once and
driven to divergence, and given bad command lines and bad model files.
{outcome}
`python -m tests.chaos --report` runs all of it again, in about a quarter of an hour, and writes this page.

A scenario ends well in one of two ways. *Bit-equal*: the results are those of an undisturbed run, byte for
byte. *One line*: the program says what is wrong in one line and ends with a status of its own; then the same
command, undisturbed, ends bit-equal, so nothing was lost. All else is a problem: a traceback, other numbers,
a file, process or open file left behind. A run at a learning rate that is too large must say that it
diverged, and at which step, or end with finite numbers; memory may grow by {mebibytes:g} MiB a setting.

| kind | what is counted | tried | how it ended | problems |
|---|---|---|---|---|
"""


def _over(chosen: dict, step: Callable, *arguments) -> Callable[[Tally], None]:
    """Tries a kind on several programs, each in a folder of its own."""

    def run(tally):
        for name, one in chosen.items():
            print(f"{tally.kind}: {name}", file=sys.stderr, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                step(tally, one, pathlib.Path(folder), *arguments)

    return run


def _disks(tally, chosen, folder):
    faults.try_errors(tally, chosen, folder / "errors", 4)
    try:
        with faults.small_disk(folder / "try"):
            pass
    except (subprocess.CalledProcessError, FileNotFoundError):
        print("no disk can be mounted here", file=sys.stderr)
        return
    (folder / "disks").mkdir()
    faults.try_small_disks(tally, chosen, folder / "disks", 8)


def _data_sets(tally):
    with tempfile.TemporaryDirectory() as folder:
        data_sets.try_damage(tally, pathlib.Path(folder))


def _command_lines(tally):
    module = _other("command_lines")
    lines = [*module.lines(), *module.lines_with_a_process()]
    for line, (argv, outcome) in zip(lines, module.run_all(), strict=True):
        wrong = outcome.problems(line)
        verdict = "; ".join(wrong) or programs.REFUSED
        tally.add(ascii(" ".join(argv))[:200], verdict)


def _saved_models(tally):
    module = _other("saved_models")
    good = (module.RIGHT, module.REFUSED)
    for kind, outcome in module.run_all():
        tally.add(kind.name, outcome, good)


def _other(name):
    return importlib.import_module(f"tests.chaos.{name}")


def kinds() -> dict[str, tuple[str, Callable[[Tally], None]]]:
    """All kinds: name -> (what is counted, function that tries it)."""
    everything, papers = programs.PROGRAMS, programs.PAPERS
    return {
        COMMAND_LINES: ("lines", _command_lines),
        faults.KILL: ("moments", _over(everything, faults.try_kills, 16)),
        faults.DISK: ("failures", _over(everything, _disks)),
        damage.KIND: ("damages", _over(everything, damage.try_damage)),
        data_sets.KIND: ("damages", _data_sets),
        diverging.KIND: ("runs", _over(papers, diverging.try_rates)),
        memory.KIND: ("programs, 20 rates each", _over(papers, memory.try_settings)),
        processes.KILL: ("moments", _over(papers, processes.try_kills, 4, _SEED)),
        processes.SIGNAL: ("signals", _over(papers, processes.try_signals, 4, _SEED)),
        processes.TWO: ("processes", _over(papers, processes.try_two)),
        SAVED_MODELS: ("files", _saved_models),
    }


def run_kinds(chosen: dict[str, tuple[str, Callable[[Tally], None]]]) -> Iterator[Tally]:
    """Tries kinds one after the other."""
    logical_cpu_devices(2)  # as the programs make them, before one of the kinds uses TensorFlow
    for kind, (tried, run) in chosen.items():
        tally, started = Tally(kind, tried), time.monotonic()
        try:
            run(tally)
        except Exception:
            tally.problems.append(f"the kind itself failed: {traceback.format_exc()[-500:]}")
            traceback.print_exc()
        minutes = (time.monotonic() - started) / 60
        counts = ", ".join(f"{number} {verdict}" for verdict, number in tally.verdicts.items())
        print(
            f"{kind}: {tally.number} {tried} in {minutes:.1f} minutes: {counts}", file=sys.stderr, flush=True
        )
        yield tally


def _row(tally: Tally) -> str:
    good = {verdict: number for verdict, number in tally.verdicts.items() if verdict != "problem"}
    ends = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(good.items()))
    return f"| {tally.kind} | {tally.tried} | {tally.number:,} | {ends} | {len(tally.problems)} |\n"


def _git(*arguments) -> str:
    command = ["git", "-C", str(programs.ROOT), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def page(tallies: list[Tally]) -> str:
    """The text of docs/reliability.md."""
    number, problems = sum(t.number for t in tallies), [p for t in tallies for p in t.problems]
    outcome = f"Of {number:,} scenarios, {len(problems):,} ended badly"
    outcome += "; no byte of results was lost." if not problems else ", as listed at the end."
    text = _HEAD.format(outcome=outcome, mebibytes=memory.MEBIBYTES_EACH) + "".join(map(_row, tallies))
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("tensorflow", "keras", "numpy")
    )
    date = _git("log", "-1", "--format=%cs")
    text += (
        f"\nMeasured at the commit of {date} on {platform.machine()} with "
        f"{os.cpu_count()} cores, Python {platform.python_version()}, {versions}. Random moments: "
        f"seed {_SEED}.\n"
    )
    if problems:
        text += "\n## Problems\n\n" + "".join(f"- `{' '.join(p.split())[:300]}`\n" for p in problems)
    return text
