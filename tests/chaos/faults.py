"""Faults of a disk and sudden deaths, put into a program in this process at its n-th step to the disk."""

import contextlib
import errno
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from unittest import mock

from tests.chaos import programs
from tests.chaos.result import Held, Tally

KILL, DISK = "kills between two steps to the disk", "full, broken and read-only disks"
# What changes a folder: after a death none of it may happen.
_STEPS = (
    *((os, "replace"), (os, "fsync"), (os, "unlink"), (os, "mkdir"), (os, "rmdir")),
    (shutil, "rmtree"),
)
ERRORS = {number: os.strerror(number) for number in (errno.ENOSPC, errno.EIO, errno.EROFS)}


class Killed(BaseException):
    """The process is dead."""


class Steps:
    """Counts steps to the disk; from the n-th on each of them fails, or the n-th alone.

    Args:
        first: Which fails, from 0 on; None: none does.
        error: Function () -> what is raised.
        forever: Whether all later ones fail as well.
        names: Names of the steps that count; None: all.
    """

    def __init__(self, first: int | None, error: Callable, forever: bool, names: tuple | None = None):
        self._first, self._error, self._forever, self._names = first, error, forever, names
        self.count = 0

    def wrap(self, function: Callable, name: str) -> Callable:
        """A step that counts."""

        def step(*arguments, **keywords):
            if self._names is not None and name not in self._names:
                return function(*arguments, **keywords)
            count, self.count = self.count, self.count + 1
            if self._first is not None and (count == self._first or (self._forever and count > self._first)):
                raise self._error()
            return function(*arguments, **keywords)

        return step

    @contextlib.contextmanager
    def injected(self) -> Iterator["Steps"]:
        """Puts the counting steps in the place of the real ones."""
        with contextlib.ExitStack() as stack:
            for module, name in _STEPS:
                wrapped = self.wrap(getattr(module, name), name)
                stack.enter_context(mock.patch.object(module, name, wrapped))
            yield self


def count_steps(chosen: programs.Program, out_dir: os.PathLike) -> int:
    """Runs a program and returns how many steps to the disk it takes."""
    with Steps(None, Killed, False).injected() as steps:
        outcome = programs.run(chosen, out_dir)
    assert outcome.status == 0, outcome.error
    return steps.count


def kill(chosen: programs.Program, out_dir: os.PathLike, first: int) -> None:
    """Runs a program that dies at a step to the disk: nothing that follows it happens."""
    with contextlib.suppress(Killed), Steps(first, Killed, True).injected():
        programs.run(chosen, out_dir)


def try_kills(tally: Tally, chosen: programs.Program, folder: pathlib.Path, moments: int | None) -> None:
    """Kills a program at its steps to the disk, all or so many of them, evenly."""
    num_steps = count_steps(chosen, folder / "whole")
    expected = programs.results(chosen.folder(folder / "whole"))
    for first in _evenly(num_steps, moments):
        held, out_dir = Held.now(), folder / f"killed-{first}"
        kill(chosen, out_dir, first)
        verdict = programs.judge(chosen, out_dir, programs.run(chosen, out_dir), expected)
        what = f"{chosen.name}, step {first} of {num_steps}"
        tally.add(what, verdict, (programs.EQUAL,))
        tally.add_leaks(what, held)
        shutil.rmtree(out_dir)


def try_errors(tally: Tally, chosen: programs.Program, folder: pathlib.Path, moments: int | None) -> None:
    """Lets `fsync`, which reports what a disk could not do, fail from one call on with each kind of error."""
    with Steps(None, Killed, False, ("fsync",)).injected() as steps:
        programs.run(chosen, folder / "whole")
    expected = programs.results(chosen.folder(folder / "whole"))
    for first in _evenly(steps.count, moments):
        for number, words in ERRORS.items():
            out_dir = folder / f"error-{first}-{number}"

            def error(number=number, words=words):
                return OSError(number, words)

            held = Held.now()
            with Steps(first, error, True, ("fsync",)).injected():
                outcome = programs.run(chosen, out_dir)
            what = f"{chosen.name}, {words} at fsync {first} of {steps.count}"
            tally.add(what, _judge_refusal(chosen, out_dir, outcome, expected))
            tally.add_leaks(what, held)
            shutil.rmtree(out_dir)


def _judge_refusal(chosen, out_dir, outcome, expected):
    """A disk that fails must be named by the path in one line, and the same command must then end EQUAL."""
    if outcome.status == 0:
        return programs.judge(chosen, out_dir, outcome, expected)
    if not outcome.is_one_line or str(out_dir) not in outcome.error:
        return f"no line with the path: {outcome.error[-300:]!r}"
    verdict = programs.judge(chosen, out_dir, programs.run(chosen, out_dir), expected)
    return programs.REFUSED if verdict == programs.EQUAL else f"afterwards {verdict}"


def _evenly(count: int, number: int | None) -> list[int]:
    if number is None or number >= count:
        return list(range(count))
    return sorted({round((i + 0.5) * count / number) for i in range(number)})


@contextlib.contextmanager
def small_disk(folder: pathlib.Path) -> Iterator[Callable[[str], None]]:
    """Mounts a file system of 4 kB; gives a function that changes its options, such as "size=1m".

    Raises:
        subprocess.CalledProcessError: This user may not mount one.
    """
    folder.mkdir()

    def mount(*options):
        command = ["mount", "-t", "tmpfs", "-o", ",".join(options), "chaos", str(folder)]
        subprocess.run(command, check=True, capture_output=True)

    mount("size=4k")
    try:
        yield lambda options: mount("remount", options)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def try_small_disks(tally: Tally, chosen: programs.Program, folder: pathlib.Path, sizes: int) -> None:
    """Runs a program on disks of many sizes and on a read-only one, all too small; then with enough."""
    assert programs.run(chosen, folder / "whole").status == 0
    expected = programs.results(chosen.folder(folder / "whole"))
    peak = max(4, _peak_kilobytes(chosen, folder / "peak"))
    for size in [*sorted({max(4, peak * i // sizes) for i in range(sizes)}), None]:
        disk, held = folder / f"disk-{size}", Held.now()
        with small_disk(disk) as change:
            change(f"size={size}k" if size else "ro")
            outcome = programs.run(chosen, disk / "runs")
            change("rw,size=1g" if size is None else "size=1g")
            what = f"{chosen.name}, a disk of {size} kB" if size else f"{chosen.name}, a read-only disk"
            tally.add(what, _judge_refusal(chosen, disk / "runs", outcome, expected))
        tally.add_leaks(what, held)


def _peak_kilobytes(chosen, out_dir):
    """The most that a run's folder holds, looked at whenever a file is put into place."""
    peak, replace = 0, os.replace

    def looking(*arguments, **keywords):
        nonlocal peak
        used = sum(path.stat().st_size for path in out_dir.rglob("*") if path.is_file())
        peak = max(peak, used // 1024)
        return replace(*arguments, **keywords)

    with mock.patch.object(os, "replace", looking):
        programs.run(chosen, out_dir)
    return peak
