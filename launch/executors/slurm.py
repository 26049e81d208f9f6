"""`--executor=slurm`: the processes of a sweep as tasks of a Slurm job array, submitted by submitit.

What is queued and what runs is asked of squeue, what is done is read from the run folders: clusters without
accounting are served as well. A task that reaches its time limit, or is preempted, is queued again and goes
on in its run folder. The sweep may be left: its tasks go on, and the same command watches them again.
"""

import contextlib
import dataclasses
import fcntl
import importlib.util
import io
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from typing import Any

from common.errors import UserError
from common.study import interruption
from common.study.progress import Progress
from common.study.runs import Study, run_folder, unfinished
from launch.children import preparation
from launch.jobs import SweepProcess, logs_folder, met_another, note_started, started

_POLL_SECONDS, _BUSY_SECONDS, _STOP_SECONDS = 2.0, 10.0, 20.0
# Slurm kills what it has asked to end after a grace that its administrator chose.
_GRACE_SECONDS = 600.0
_SIGNAL_SECONDS = 60
_TIMEOUTS = 100  # a run comes again so often; each time it goes on
_MOST_TASKS = 1001  # of an array, where Slurm does not say
_STOPPED = (interruption.STATUS, -signal.SIGTERM, -signal.SIGINT)


@dataclasses.dataclass(frozen=True)
class Resources:
    """What each task of the array asks for.

    Args:
        partition: Partition; None: the cluster's default.
        account: Account that is charged; None: the user's default.
        time_limit: Minutes of a task; then it is queued again and goes on.
        gpus: GPUs of a task.
        cpus: Processor cores of a task.
        memory_gb: Gigabytes of memory of a task; None: the cluster's default.
        at_once: Tasks that run at the same time, at most.
    """

    partition: str | None = None
    account: str | None = None
    time_limit: int = 240
    gpus: int = 0
    cpus: int = 2
    memory_gb: float | None = None
    at_once: int = 16

    def parameters(self, name: str) -> dict[str, Any]:
        """Returns them as submitit names them."""
        found = {
            "job_name": name,
            "time": self.time_limit,
            "cpus_per_task": self.cpus,
            "array_parallelism": self.at_once,
            # srun no longer takes it from the job.
            "srun_args": [f"--cpus-per-task={self.cpus}"],
            # Before the limit: the process has its last checkpoint 20 seconds ago, and as long to end.
            "signal_delay_s": _SIGNAL_SECONDS,
            "stderr_to_stdout": True,
            "additional_parameters": {"requeue": True},
        }
        optional = {
            "partition": self.partition,
            "account": self.account,
            "gpus_per_node": self.gpus or None,
            "mem": f"{round(self.memory_gb * 1024)}MB" if self.memory_gb else None,
        }
        return found | {key: value for key, value in optional.items() if value is not None}


class Task:
    """What a node runs: one process of a sweep, until it ends by itself.

    Args:
        argv: Its argv list.
        log: Where it writes; the array's own log holds what Slurm and submitit say.
    """

    def __init__(self, argv: Sequence[str], log: str) -> None:
        self._argv, self._log = list(argv), log
        self._process: subprocess.Popen | None = None

    def __call__(self) -> None:
        """Runs the process; one that met another at its run comes again.

        Raises:
            SystemExit: It failed, or was told to end.
        """
        while True:
            with open(self._log, "a") as log:
                self._process = subprocess.Popen(
                    self._argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_prepared()
                )
            # Not wait(): the handler of submitit's signal calls `checkpoint` within it.
            while self._process.poll() is None:
                time.sleep(0.2)
            status = self._process.returncode
            if status == 0:
                return
            if met_another(status, self._log):
                time.sleep(_BUSY_SECONDS)
                continue
            if status in _STOPPED:
                # Slurm ends this task, or queues it again: if it ended by itself, it would do neither.
                time.sleep(_GRACE_SECONDS)
            raise SystemExit(f"the process ended with status {status}; its log is {self._log}")

    def checkpoint(self) -> Any:
        """Ends the process, whose run folder holds its state; submitit calls it before it queues again."""
        import submitit

        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            deadline = time.monotonic() + _STOP_SECONDS
            while time.monotonic() < deadline and not _has_ended(self._process.pid):
                time.sleep(0.1)
            self._process.kill()
        return submitit.helpers.DelayedSubmission(Task(self._argv, self._log))


def _prepared():
    end_with_task = preparation()

    def prepare():
        end_with_task()
        # Slurm sends it to every process of a task; it is meant for submitit alone.
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

    return prepare


def _has_ended(pid):
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def check_slurm() -> None:
    """Refuses a machine from which nothing can be submitted.

    Raises:
        UserError: One line that says what is missing.
    """
    if shutil.which("sbatch") is None:
        raise UserError("--executor=slurm: there is no sbatch here; run it on a login node of the cluster")
    if importlib.util.find_spec("submitit") is None:
        raise UserError("--executor=slurm: needs submitit; pip install -r requirements-slurm.txt")
    queue()


def queue() -> dict[str, str]:
    """Returns the state of the user's tasks that wait or run: "12_3" -> "RUNNING", as squeue says.

    Raises:
        UserError: squeue does not answer.
    """
    command = ["squeue", "--me", "--array", "--noheader", "--format=%i %T"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise UserError(f"Slurm does not answer: {last_words(error)}") from None
    lines = (line.split(maxsplit=1) for line in found.stdout.splitlines())
    return {words[0]: words[1] for words in lines if len(words) == 2}


def last_words(error: Exception) -> str:
    """Returns the last line that a program which failed has said, or the error in words."""
    lines = [*str(error).splitlines(), *(getattr(error, "stderr", None) or "").splitlines()]
    return next((line.strip() for line in reversed(lines) if line.strip()), "without a word")


def most_tasks() -> int:
    """Returns how many tasks an array of this cluster may have; Slurm's default if it does not say."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        command = ["scontrol", "show", "config"]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
        if said := re.search(r"^MaxArraySize\s*=\s*(\d+)", found, re.MULTILINE):
            return max(1, int(said[1]))
    return _MOST_TASKS


def _arrays(jobs, most):
    """Cuts jobs into arrays of at most so many."""
    return [jobs[start : start + most] for start in range(0, len(jobs), most)]


def task_log(study: Study, out_dir: str | os.PathLike, task: str) -> pathlib.Path:
    """Returns where Slurm and submitit write of a task."""
    return _submissions(study, out_dir) / f"{task}_0_log.out"


def _submissions(study, out_dir):
    return (logs_folder(study, out_dir) / "slurm").absolute()


class SlurmExecutor:
    """Submits the processes as job arrays, and watches them.

    Args:
        resources: What a task asks for.
        wait: Whether to watch them to their end.
    """

    def __init__(self, resources: Resources, wait: bool = True) -> None:
        self.resources, self._wait = resources, wait

    def run(self, study: Study, jobs: Sequence[SweepProcess], out_dir: str) -> list[SweepProcess]:
        """Submits what is not queued yet, and returns those that failed; none if it does not wait."""
        with _locked(study, out_dir):
            self._submit(study, jobs, out_dir)
        if not self._wait:
            return []
        try:
            self._watch(study, jobs, out_dir)
        except KeyboardInterrupt:
            print("the tasks go on in Slurm; --status looks at them, the same command watches them again")
            raise
        return [job for job in jobs if unfinished(study, job.runs, out_dir)]

    def _submit(self, study, jobs, out_dir):
        live = live_tasks(study, jobs, out_dir)
        new = [job for job in jobs if not any(job is one for one, _ in live)]
        before = [task for job, tasks in live if not job.has_students for task in tasks]
        queued = {task for _, tasks in live for task in tasks}
        print(f"{len(queued)} tasks are in the queue already, {len(new)} are new", flush=True)
        for students in (False, True):
            teachers = list(before) if students else []
            wave = [job for job in new if job.has_students == students]
            for array in _arrays(wave, most_tasks() if wave else 1):
                tasks = self._submit_array(study, array, out_dir, teachers)
                before += tasks
                note_started(study, out_dir, array, tasks)
                print(f"job {tasks[0].split('_')[0]}: {len(array)} tasks", flush=True)

    def _submit_array(self, study, jobs, out_dir, before):
        """Submits one array; its tasks start when those of `before` have ended."""
        import submitit

        parameters = self.resources.parameters(study.name)
        if before:
            parameters["dependency"] = "afterany:" + ":".join(sorted({t.split("_")[0] for t in before}))
        try:
            executor = submitit.SlurmExecutor(_submissions(study, out_dir), max_num_timeout=_TIMEOUTS)
            executor.update_parameters(**parameters)
            # What sbatch says is in the error as well.
            with contextlib.redirect_stderr(io.StringIO()), executor.batch():
                found = [executor.submit(Task(job.argv, str(job.log.absolute()))) for job in jobs]
        except RuntimeError as error:  # those of submitit, which also misses srun
            lines = [line for line in str(error).splitlines() if "error" in line] or [str(error)]
            advice = "; --gpus_per_run=0 asks for no GPU" if "gres" in lines[-1] else ""
            raise UserError(f"--executor=slurm: {lines[-1].strip()}{advice}") from None
        return [job.job_id for job in found]

    def _watch(self, study, jobs, out_dir):
        """Shows how far they are, until none is queued or runs."""
        left = [run for job in jobs for run in unfinished(study, job.runs, out_dir)]
        progress = Progress(f"{len(left)} runs in Slurm", round(sum(map(study.estimate, left))))
        try:
            while True:
                with contextlib.suppress(UserError):  # it may answer the next time
                    if not live_tasks(study, jobs, out_dir):
                        return
                now = unfinished(study, left, out_dir)
                progress.add(round(sum(study.estimate(run) for run in left if run not in now)))
                left = now
                interruption.sleep(_POLL_SECONDS)
        finally:
            progress.close()


def live_tasks(
    study: Study, jobs: Sequence[SweepProcess], out_dir: str
) -> list[tuple[SweepProcess, list[str]]]:
    """Returns the jobs whose unfinished runs are all made by tasks that wait or run, each with these tasks.

    A task may make runs of several jobs, where another sweep has grouped them.
    """
    states, known = queue(), started(study, out_dir)
    found = []
    for job in jobs:
        names = [run_folder(study, run, out_dir).path.name for run in unfinished(study, job.runs, out_dir)]
        tasks = {known[name].task if name in known else None for name in names}
        if tasks and all(task in states for task in tasks):
            found.append((job, sorted(task for task in tasks if task)))
            job.log = pathlib.Path(known[names[0]].log)  # of the sweep that submitted it
    return found


@contextlib.contextmanager
def _locked(study: Study, out_dir: str) -> Iterator[None]:
    """One sweep at a time looks at the queue and adds to it: no run is submitted twice."""
    folder = _submissions(study, out_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
