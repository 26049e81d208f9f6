"""Real processes: killed and signalled at random moments of their lives, and two of one command at once.

What comes after, the same command undisturbed, runs in this process, which is quicker.
"""

import concurrent.futures
import contextlib
import functools
import os
import pathlib
import random
import shutil
import signal
import subprocess
import tempfile
import time

from tests.chaos import programs
from tests.chaos.result import Tally

KILL, SIGNAL, TWO = "kills of processes", "signals", "two processes of one command"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@functools.cache
def undisturbed(chosen: programs.Program) -> tuple[dict[str, bytes], float]:
    """Runs a program as a process; returns its results and how many seconds it lives."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as out_dir:
        outcome = programs.finish(programs.start(chosen, out_dir))
        assert outcome.status == 0, outcome.error
        return programs.results(chosen.folder(out_dir)), time.monotonic() - started


def _moments(seed: int, seconds: float, number: int) -> list[float]:
    """One random moment in each of so many equal parts of a life."""
    rng = random.Random(seed)
    return [seconds * (i + rng.random()) / number for i in range(number)]


def _stop(process: subprocess.Popen, after: float, number: int) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(after)
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _group_is_empty(process: subprocess.Popen) -> bool:
    """Whether no process is left of the session that a program began."""
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return True
    return False


def try_kills(tally: Tally, chosen: programs.Program, folder: pathlib.Path, number: int, seed: int) -> None:
    """Kills a program at random moments; the same command must then end EQUAL each time."""
    expected, seconds = undisturbed(chosen)
    for moment in _moments(seed, seconds, number):
        out_dir = folder / f"killed-{moment:.3f}"
        process = programs.start(chosen, out_dir)
        _stop(process, moment, signal.SIGKILL)
        process.communicate()
        outcome = programs.run(chosen, out_dir)
        what = f"{chosen.name}, seed {seed}, after {moment:.3f} of {seconds:.1f} s"
        tally.add(what, programs.judge(chosen, out_dir, outcome, expected), (programs.EQUAL,))
        if not _group_is_empty(process):
            tally.problems.append(f"{what}: a process is left")
        shutil.rmtree(out_dir)


def try_signals(tally: Tally, chosen: programs.Program, folder: pathlib.Path, number: int, seed: int) -> None:
    """Sends SIGINT and SIGTERM in turns, every third time a second one at once.

    The program must say so in one line and end with status 130, or be finished; then the same command ends
    EQUAL. While Python itself starts or ends, a signal ends the process as the system does.
    """
    expected, seconds = undisturbed(chosen)
    for i, moment in enumerate(_moments(seed, seconds, number)):
        out_dir, sent = folder / f"signalled-{i}", _SIGNALS[i % 2]
        process = programs.start(chosen, out_dir)
        _stop(process, moment, sent)
        if i % 3 == 2:
            _stop(process, 0.05, sent)
        outcome = programs.finish(process)
        what = f"{chosen.name}, seed {seed}, {sent.name} after {moment:.3f} of {seconds:.1f} s"
        tally.add(what, _judge_signal(chosen, out_dir, outcome, expected))
        if not _group_is_empty(process):
            tally.problems.append(f"{what}: a process is left")
        shutil.rmtree(out_dir, ignore_errors=True)


def _judge_signal(chosen, out_dir, outcome, expected):
    if outcome.status == 0:
        return programs.judge(chosen, out_dir, outcome, expected)
    outside = not out_dir.exists() or programs.read(chosen, out_dir) is not None
    by_the_system = outside and outcome.status in (-signal.SIGINT, -signal.SIGTERM) and not outcome.error
    if not by_the_system and (outcome.status != 130 or outcome.error.strip().count("\n")):
        return f"status {outcome.status}: {outcome.error[-300:]!r}"
    verdict = programs.judge(chosen, out_dir, programs.run(chosen, out_dir), expected)
    return programs.REFUSED if verdict == programs.EQUAL else f"afterwards {verdict}"


def try_two(tally: Tally, chosen: programs.Program, folder: pathlib.Path) -> None:
    """Two processes of one command: one runs, the other says so or finds the run finished; one record."""
    expected, _ = undisturbed(chosen)
    out_dir = folder / "two"
    processes = [programs.start(chosen, out_dir) for _ in range(2)]
    with concurrent.futures.ThreadPoolExecutor() as executor:
        outcomes = list(executor.map(programs.finish, processes))
    finished = [outcome for outcome in outcomes if outcome.status == 0]
    for outcome in outcomes:
        if outcome.status == 0:
            verdict = programs.judge(chosen, out_dir, outcome, expected)
        else:
            busy = outcome.is_one_line and outcome.status == 2 and "another process" in outcome.error
            verdict = programs.REFUSED if busy and finished else f"status {outcome.status}: {outcome.error}"
        tally.add(chosen.name, verdict)
    if len(list((out_dir / chosen.paper).iterdir())) != 1:
        tally.problems.append(f"{chosen.name}: more than one record")
