"""The processes of a sweep: which runs each makes, its argv list, and its log."""

import collections
import dataclasses
import json
import math
import os
import pathlib
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from typing import Any

from common.errors import BusyError
from common.study import command_line
from common.study.runs import Study, run_folder
from common.study.setting import Settings, without
from common.study.variation import has_use

_BUSY_STATUS = 2


@dataclasses.dataclass
class SweepProcess:
    """One process and the runs it makes; `argv` can be pasted into a shell."""

    argv: list[str]
    runs: list[Settings]
    log: pathlib.Path
    process: subprocess.Popen | None = None

    def poll(self) -> int | None:
        """Returns the status with which its process ended; None if it has not begun, or not ended."""
        return self.process.poll() if self.process else None

    @property
    def has_students(self) -> bool:
        """Whether its networks learn from others of the figure, which have to be trained before."""
        return any(getattr(run, "teacher", None) for run in self.runs)

    @property
    def last_words(self) -> str:
        """The last line of its log."""
        return last_line(self.log)

    @property
    def met_another(self) -> bool:
        """Whether it ended because another process had begun one of its runs."""
        return met_another(self.poll(), self.log)


def last_line(log: str | os.PathLike) -> str:
    """Returns the last line of a log that is not empty; nothing if there is none."""
    try:
        lines = pathlib.Path(log).read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return lines[-1].strip() if lines else ""


def met_another(status: int | None, log: str | os.PathLike) -> bool:
    """Whether a process ended because another one works on its run: then it is worth another try."""
    return status == _BUSY_STATUS and BusyError.WORDS in last_line(log)


def make_jobs(
    study: Study, runs: Iterable[Any], options: command_line.RunOptions, at_once: int = 1
) -> list[SweepProcess]:
    """Groups runs into processes, students last, else the longest first.

    At the end no long process is left to a single worker. Runs that a process compiles once are one, unless
    there are fewer of these than run at once.

    Args:
        study: `runs.Study`.
        runs: Resolved settings.
        options: `command_line.RunOptions` of every process.
        at_once: How many processes run at once.

    Returns:
        List of `SweepProcess`; each argv names every setting in use that is not the default.
    """
    groups = _groups(study, runs, options.together)
    if options.together == 1:
        groups = _spread(groups, study.compiles_once_over, at_once)
    # No two sweeps of one folder write the same logs: processes of two containers may have one number.
    sweep = f"{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    jobs = []
    for i, (lists, members) in enumerate(groups):
        argv = [sys.executable, "-m", f"replications.{study.name}"]
        for field in dataclasses.fields(members[0]):
            if field.name in lists or not has_use(members[0], field):
                continue
            if getattr(members[0], field.name) != field.default:
                argv.append(command_line.flag_text(field.name, getattr(members[0], field.name)))
        argv += [f"--{name}={','.join(map(str, values))}" for name, values in lists.items()]
        for field in dataclasses.fields(options):
            if (value := getattr(options, field.name)) != field.default:
                argv.append(command_line.flag_text(field.name, value))
        log = logs_folder(study, options.out_dir) / f"{sweep}-{i:03d}.log"
        jobs.append(SweepProcess(argv, members, log))
    return sorted(jobs, key=lambda job: (job.has_students, -sum(map(study.estimate, job.runs))))


def _groups(study, runs, together):
    """The processes: ({setting of which each takes several values: the values}, its runs)."""
    names = study.trains_together if together > 1 else (study.compiles_once_over,)
    alike: dict[Any, list] = collections.defaultdict(list)
    for run in runs:
        alike[without(run, names)].append(run)
    groups = []
    for members in alike.values():
        lists = {name: list(dict.fromkeys(getattr(run, name) for run in members)) for name in names}
        if math.prod(map(len, lists.values())) == len(members):
            groups.append((lists, members))
        else:  # lists of flags are multiplied out: of what has holes each run has a process of its own
            groups += [({name: [getattr(run, name)] for name in names}, [run]) for run in members]
    return groups


def _spread(groups, name, number):
    """Halves the processes with the most values of a setting, until there are so many processes."""
    while len(groups) < number:
        largest = max(groups, key=lambda group: len(group[0][name]), default=None)
        if largest is None or len(largest[0][name]) == 1:
            break
        lists, members = largest
        values = lists[name]
        halves = values[: (len(values) + 1) // 2], values[(len(values) + 1) // 2 :]
        parts = [(lists | {name: half}, [m for m in members if getattr(m, name) in half]) for half in halves]
        groups = [*(group for group in groups if group is not largest), *parts]
    return groups


def trained_with(study: Study, runs: Sequence[Any], todo: Sequence[Any], together: int) -> list:
    """Returns the runs to do and those that their processes have to name, grouped as they were begun."""
    if together == 1:
        return list(todo)
    begun = {without(run, study.trains_together) for run in todo}
    return [run for run in runs if without(run, study.trains_together) in begun]


def logs_folder(study: Study, out_dir: str | os.PathLike) -> pathlib.Path:
    """Returns the folder of the logs of a paper's sweeps."""
    return pathlib.Path(out_dir) / study.name / "logs"


@dataclasses.dataclass(frozen=True)
class Started:
    """A process that a sweep has started, as another sweep finds it.

    Args:
        runs: Names of the folders of its runs.
        log: Where it writes.
        task: Its number in Slurm, such as "12_3"; None for a process of this machine.
        process: Which process of which machine it is, as `identity` says.
    """

    runs: list[str]
    log: str
    task: str | None = None
    process: str | None = None

    @property
    def alive(self) -> bool:
        """Whether it is a process of this machine that has not ended."""
        return self.process is not None and self.process == identity(int(self.process.split()[1]))


def identity(pid: int) -> str | None:
    """Returns the machine, number and start of a process of this machine; None of one that has ended.

    Numbers are given again, and a folder that several machines share names processes of all of them.
    """
    try:
        # The name of the program, in brackets, may hold spaces; proc(5) counts the fields from 1.
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    state, began = fields[0], fields[19]
    return None if state == "Z" else f"{platform.node()} {pid} {began}"


def note_started(
    study: Study,
    out_dir: str | os.PathLike,
    jobs: Sequence[SweepProcess],
    tasks: Sequence[str] | None = None,
) -> None:
    """Notes what was started: one line a process in `logs/started.jsonl`, appended whole."""
    folder = logs_folder(study, out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, job in enumerate(jobs):
        runs = [run_folder(study, run, out_dir).path.name for run in job.runs]
        process = identity(job.process.pid) if job.process else None
        started = Started(runs, str(job.log.absolute()), tasks[i] if tasks else None, process)
        lines.append(json.dumps(dataclasses.asdict(started)))
    path = folder / "started.jsonl"
    # A line that was cut by a full disk must not take the next one with it.
    is_cut = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with open(path, "a") as file:
        file.write("\n" * is_cut + "".join(f"{line}\n" for line in lines))


def started(study: Study, out_dir: str | os.PathLike) -> dict[str, Started]:
    """Returns the process that was started last for each run: name of its folder -> `Started`."""
    found: dict[str, Started] = {}
    try:
        lines = (logs_folder(study, out_dir) / "started.jsonl").read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return found
    for line in lines:
        try:
            one = Started(**json.loads(line))
        except (ValueError, TypeError):  # cut by a full disk
            continue
        found |= dict.fromkeys(one.runs, one)
    return found
