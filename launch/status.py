"""`python -m launch.sweep ... --status`: how far a sweep's processes are, from their runs and the queue."""

import collections
import os
import pathlib
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from common.study.runs import Study, differing, named, run_folder
from launch.executors import slurm
from launch.jobs import Started, last_line, started

_STATES = ("done", "running", "waiting", "failed", "unfinished", "unknown", "not started")


def print_status(study: Study, runs: Sequence[Any], out_dir: str) -> None:
    """Prints a line a process: its state, its runs, and the last line of its log; then how many are what.

    Args:
        study: Their paper.
        runs: Resolved settings of the sweep.
        out_dir: Folder of their runs.
    """
    known, names = started(study, out_dir), differing(runs)
    queue: Mapping[str, str] | None = {}
    if any(one.task for one in known.values()):
        queue = slurm.queue() if shutil.which("squeue") else None
    groups: dict[Any, list] = collections.defaultdict(list)
    for run in runs:
        folder = run_folder(study, run, out_dir)
        one = known.get(folder.path.name)
        # What others have made has no log here.
        key = one.log if one else _own_state(folder)
        groups[key].append((run, folder, one))
    counts: collections.Counter = collections.Counter()
    for members in groups.values():
        folders = [folder for _, folder, _ in members]
        state = _state(folders, members[0][2], queue)
        counts[state] += 1 if members[0][2] else len(members)
        done = sum(folder.finished for folder in folders)
        words = named(members[0][0], names) + (" ..." if len(members) > 1 else "")
        print(
            f"{state:<11} {done} of {len(members)} runs done  {words}{_last_words(study, state, *members[0])}"
        )
    print(", ".join(f"{counts[state]} {state}" for state in _STATES if counts[state]))
    if counts["unknown"]:
        print("unknown: tasks of Slurm; there is no squeue here that says whether they wait or run")


def _own_state(folder):
    """The state of a run that no sweep has started."""
    if folder.finished:
        return "done"
    return "unfinished" if folder.record else "not started"


def _state(folders: list, one: Started | None, queue: Mapping[str, str] | None) -> str:
    if all(folder.finished for folder in folders):
        return "done"
    if any(folder.held for folder in folders) or (one and one.alive):
        return "running"
    if one is None:
        return _own_state(folders[0])
    if one.task and queue is None:
        return "unknown"
    if one.task and queue and one.task in queue:
        return "waiting" if queue[one.task] == "PENDING" else "running"
    return "failed"


def _last_words(study, state, run, folder, one):
    if one is None:
        return ""
    words = [last_line(one.log)]
    if state == "failed" and one.task:
        out_dir = folder.path.parent.parent
        words.append(last_line(slurm.task_log(study, out_dir, one.task)))
    task = f"  [{one.task}]" if one.task else ""
    return f"{task}  {' | '.join(filter(None, words))}  ({_short(one.log)})"


def _short(path):
    relative = os.path.relpath(path)
    return path if relative.startswith("..") else str(pathlib.Path(relative))
