"""`--executor=local`: processes on this machine, one on each GPU, or the processor cores shared out.

Several sweeps share the runs of a folder: a run that another process works on is waited for, one that it has
finished is not started.
"""

import dataclasses
import math
import os
import pathlib
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from common.errors import UserError
from common.gpus import gpu_environment
from common.machine import usable_cores, usable_memory
from common.study import interruption
from common.study.progress import Progress
from common.study.runs import Study, run_folder
from launch.children import preparation
from launch.jobs import SweepProcess, note_started

_POLL_SECONDS, _PATIENCE_SECONDS = 0.2, 30
_BYTES_PER_WORKER = 2 * 2**30


@dataclasses.dataclass(frozen=True)
class Place:
    """What one process of a sweep has for itself.

    Args:
        cores: Numbers of its processor cores.
        gpus: Its GPUs; None leaves its environment as it is.
    """

    cores: frozenset[int]
    gpus: tuple[str, ...] | None = None

    def environment(self) -> dict[str, str]:
        """Returns the environment of its process."""
        return dict(os.environ) | ({} if self.gpus is None else gpu_environment(self.gpus))


def default_workers(study: Study) -> int:
    """Returns how many processes at once are fastest without a GPU.

    A small network leaves several cores partly idle, hence one process a core (`launch.benchmark
    --suite=images`: 1.15 to 1.4 times as many runs an hour); the ensembles of synthetic data use all of them.
    """
    if not study.images:
        return 1
    return max(1, min(len(usable_cores()), usable_memory() // _BYTES_PER_WORKER))


def make_places(
    study: Study,
    gpus: Sequence[str] = (),
    workers: int | None = None,
    runs_per_gpu: int = 1,
    strategy: str = "auto",
) -> list[Place]:
    """Returns the places of a sweep on this machine.

    Each GPU takes `runs_per_gpu` processes that see it alone, so that no run is mirrored that fits one.
    Mirrored runs take all GPUs each. Without GPUs the cores are shared out.

    Args:
        study: Its paper.
        gpus: The GPUs of this machine, if the runs use any.
        workers: How many processes at once, at most.
        runs_per_gpu: How many share a GPU.
        strategy: The `--strategy` of the runs.

    Raises:
        UserError: More workers than places.
    """
    shares: list[tuple[str, ...] | None] = [None] * (workers or default_workers(study))
    if gpus:
        single = strategy != "mirrored"
        # Every GPU has one before any has two.
        shares = []
        shares += [(gpu,) for gpu in gpus] * runs_per_gpu if single else [tuple(gpus)]
        if workers and workers > len(shares):
            words = f"{len(gpus)} GPUs with --runs_per_gpu={runs_per_gpu} take {len(shares)} processes"
            raise UserError(f"--workers={workers}: {words if single else 'mirrored runs take all GPUs each'}")
        shares = shares[:workers]
    # Equal shares: a run that goes on elsewhere finds as many cores, on which its numbers depend.
    cores = usable_cores()
    size = max(1, len(cores) // len(shares))
    firsts = [i * size % len(cores) for i in range(len(shares))]
    return [
        Place(frozenset(cores[first : first + size]), gpus)
        for first, gpus in zip(firsts, shares, strict=True)
    ]


class LocalExecutor:
    """Runs the processes on this machine, one on each place."""

    def __init__(self, places: Sequence[Place]) -> None:
        self.places = places

    def run(self, study: Study, jobs: Sequence[SweepProcess], out_dir: str) -> list[SweepProcess]:
        """Runs them all and returns those that failed."""
        return run_jobs(study, jobs, out_dir, self.places)


def _start(job, place):
    job.log.parent.mkdir(parents=True, exist_ok=True)
    with open(job.log, "w") as log:
        job.process = subprocess.Popen(
            job.argv,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=place.environment(),
            preexec_fn=preparation(place.cores),
        )


def _next(waiting, running, is_held):
    """Takes a job that has nothing to wait for, or None.

    Students need all others of the figure to be trained: two processes cannot train the same teacher. A job
    waits for those of its runs that another process holds.
    """
    others = [job for job in (*waiting, *running) if not job.has_students]
    for i, job in enumerate(waiting):
        if not (job.has_students and others) and not any(map(is_held, job.runs)):
            return waiting.pop(i)
    return None


def run_jobs(
    study: Study,
    jobs: Iterable[SweepProcess],
    out_dir: str | pathlib.Path,
    places: Sequence[Place],
    keep: Callable[[Any], None] = lambda run: None,
    deadline: float = math.inf,
) -> list[SweepProcess]:
    """Runs the jobs, one on each place, with one progress line; goes on after a failed one.

    Students start last. A job whose runs others have finished is not started, one whose run another process
    has just begun comes again.

    Args:
        study: Their paper.
        jobs: The processes, in the order of their starts.
        out_dir: Folder of their runs.
        places: Where they run.
        keep: Called with the settings of each run when it is finished.
        deadline: Time of `time.monotonic` at which all are stopped, to go on another time.

    Returns:
        The jobs that failed.

    Raises:
        KeyboardInterrupt: A signal came; then all processes have ended.
    """
    seconds = {run: round(study.estimate(run)) for job in jobs for run in job.runs}
    left = set(seconds)
    progress = Progress(f"{len(left)} runs", sum(seconds.values()))
    waiting, failed = list(jobs), list[SweepProcess]()
    running: dict[int, SweepProcess] = {}

    def is_held(run):
        return run_folder(study, run, out_dir).held

    def look():
        done = {run for run in left if run_folder(study, run, out_dir).finished}
        left.difference_update(done)
        progress.add(sum(seconds[run] for run in done))
        for run in done:
            keep(run)

    try:
        while (waiting or running) and time.monotonic() < deadline:
            interruption.check()
            look()
            waiting = [job for job in waiting if left.intersection(job.runs)]
            for place in set(range(len(places))) - set(running):
                if job := _next(waiting, running.values(), is_held):
                    _start(job, places[place])
                    running[place] = job
                    note_started(study, out_dir, [job])
            interruption.sleep(_POLL_SECONDS)
            for place in [place for place, job in running.items() if job.poll() is not None]:
                job = running.pop(place)
                if job.met_another:
                    waiting.append(job)
                elif job.poll():
                    failed.append(job)
    finally:
        progress.close()
        _stop(running.values())
    return failed


def _stop(jobs):
    for job in jobs:
        job.process.terminate()
    for job in jobs:
        try:
            job.process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            job.process.kill()
