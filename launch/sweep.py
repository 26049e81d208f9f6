"""`python -m launch.sweep --replication=snapp_shamir --figure=2`: all runs of a figure, side by side.

Runs that differ only in the setting that their study compiles once over go to one process, which compiles
once for all of them. A process is an argv list that a person can paste. Several workers share out the
processor cores, and several sweeps the runs: one that another process works on is waited for.
"""

from common.study import interruption
from common.study.runs import load_study, run_folder, study_names, unfinished
from common.study.setting import Settings

if __name__ == "__main__":
    interruption.listen("sweep")  # also while the rest is imported

import collections
import ctypes
import dataclasses
import functools
import itertools
import math
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import time

from absl import flags

from common.cores import usable_cores
from common.errors import BusyError, UserError
from common.study import command_line, program
from common.study.progress import Progress, duration
from common.study.startup import check_backend

_POLL_SECONDS, _PATIENCE_SECONDS = 0.2, 30
_USAGE = "python -m launch.sweep --replication=NAME --figure=NAME [--flag=value ...]"
_BYTES_PER_WORKER = 2 * 2**30
_MAX_WORKERS = 1024
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


@dataclasses.dataclass
class SweepProcess:
    """One process and the runs it makes."""

    argv: list[str]
    runs: list[Settings]
    log: pathlib.Path
    process: subprocess.Popen | None = None

    @property
    def has_students(self):
        """Whether its networks learn from others of the figure, which have to be trained before."""
        return any(getattr(run, "teacher", None) for run in self.runs)

    @property
    def last_words(self):
        """The last line of its log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    @property
    def met_another(self):
        """Whether it ended because another process had begun one of its runs."""
        return self.process.returncode == 2 and BusyError.WORDS in self.last_words


def make_jobs(study, runs, options):
    """Groups runs into processes, students last, else the longest first.

    At the end no long process is left to a single worker.

    Args:
        study: `runs.Study`.
        runs: Resolved settings.
        options: `command_line.RunOptions` of every process.

    Returns:
        List of `SweepProcess`; each argv names every setting that is not the default.
    """
    defaults = study.settings()
    groups = collections.defaultdict(list)
    for run in runs:
        groups[
            dataclasses.replace(
                run, **{study.compiles_once_over: getattr(defaults, study.compiles_once_over)}
            )
        ].append(run)
    jobs = []
    for i, (common, members) in enumerate(groups.items()):
        argv = [sys.executable, "-m", f"replications.{study.name}"]
        for field in dataclasses.fields(common):
            if field.name != study.compiles_once_over and getattr(common, field.name) != field.default:
                argv.append(command_line.flag_text(field.name, getattr(common, field.name)))
        values = ",".join(str(getattr(run, study.compiles_once_over)) for run in members)
        argv.append(f"--{study.compiles_once_over}={values}")
        for field in dataclasses.fields(options):
            if (value := getattr(options, field.name)) != field.default:
                argv.append(command_line.flag_text(field.name, value))
        log = pathlib.Path(options.out_dir) / study.name / "logs" / f"{os.getpid()}-{i:03d}.log"
        jobs.append(SweepProcess(argv, members, log))
    return sorted(jobs, key=lambda job: (job.has_students, -sum(map(study.estimate, job.runs))))


def _start(job, cores):
    job.log.parent.mkdir(parents=True, exist_ok=True)
    prepare = functools.partial(_prepare_child, os.getpid(), cores, _libc())
    with open(job.log, "w") as log:
        job.process = subprocess.Popen(
            job.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=prepare
        )


def _libc():
    return ctypes.CDLL(None) if sys.platform == "linux" else None


def _prepare_child(parent, cores, libc):
    """Runs in the new process: it keeps to its cores, and is terminated when its sweep is killed."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    if libc:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # killed in the meantime
            os._exit(1)


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


def run_jobs(study, jobs, out_dir, workers, keep=lambda run: None, deadline=math.inf):
    """Runs the jobs, `workers` at once, with one progress line; goes on after a failed one.

    Students start last. A job whose runs another process has finished is not started, and one whose run
    another process has just begun comes again.

    Args:
        study: Their paper.
        jobs: List of `SweepProcess`.
        out_dir: Folder of their runs.
        workers: How many at once.
        keep: Called with the settings of each run when it is finished.
        deadline: Time of `time.monotonic` at which all are stopped, to go on another time.

    Returns:
        The jobs that failed.

    Raises:
        KeyboardInterrupt: A signal came; then all processes have ended.
    """
    cores = usable_cores()
    shares = [set(cores[i::workers]) or set(cores) for i in range(workers)]
    seconds = {run: study.estimate(run) for job in jobs for run in job.runs}
    left = set(seconds)
    progress = Progress(f"{len(left)} runs", sum(seconds.values()))
    waiting, running, failed = list(jobs), {}, []

    def is_held(run):
        return run_folder(study, run, out_dir).held

    try:
        while (waiting or running) and time.monotonic() < deadline:
            interruption.check()
            done = {run for run in left if run_folder(study, run, out_dir).finished}
            left -= done
            progress.add(sum(seconds[run] for run in done))
            for run in done:
                keep(run)
            waiting = [job for job in waiting if left.intersection(job.runs)]
            for place in set(range(workers)) - set(running):
                if job := _next(waiting, running.values(), is_held):
                    running[place] = job
                    _start(job, shares[place])
            interruption.sleep(_POLL_SECONDS)
            ended = {place: job for place, job in running.items() if job.process.poll() is not None}
            for place, job in ended.items():
                del running[place]
                if job.met_another:
                    waiting.append(job)
                elif job.process.returncode:
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


def default_workers(study):
    """Returns how many processes at once are fastest.

    A small network leaves several cores partly idle, hence one process a core (`launch.benchmark
    --suite=images`: 1.15 to 1.4 times as many runs an hour); the ensembles of synthetic data use all of them,
    and a GPU takes one process at a time.
    """
    if not study.images or pathlib.Path("/proc/driver/nvidia").exists():
        return 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(usable_cores()), memory // _BYTES_PER_WORKER))


def _print_plan(study, jobs, workers):
    for job in jobs:
        estimate = sum(study.estimate(run) for run in job.runs)
        print(f"{shlex.join(['python', *job.argv[1:]])}  # {len(job.runs)} runs, about {duration(estimate)}")
    total = sum(study.estimate(run) for job in jobs for run in job.runs)
    runs = sum(len(job.runs) for job in jobs)
    print(
        f"{runs} runs to do in {len(jobs)} processes, {workers} at once, about {duration(total)} on two cores"
    )


def _name_of_study(argv):
    known = study_names()
    names = [a.split("=", 1)[1] for a in argv if a.startswith("--replication=")]
    names += [name for flag, name in itertools.pairwise(argv) if flag == "--replication"]
    if len(names) == 1 and names[0] in known:
        return names[0]
    wanted = f"--replication: must be one of {', '.join(known)}; with --help it shows the flags of that one"
    if not names and command_line.asks_for_help(argv):
        flag_values = flags.FlagValues()
        _define_flags(flag_values)
        command_line.parse_flags(flag_values, argv, f"{_USAGE}\n{wanted}")
    raise UserError(wanted)


def _define_flags(flag_values):
    names = ", ".join(study_names())
    flags.DEFINE_string("replication", None, f"One of {names}.", flag_values=flag_values)
    flags.DEFINE_integer(
        "workers",
        None,
        "Processes at once; each has its share of the cores. By default one on synthetic data, whose "
        "process uses all cores, and on a GPU; else one a core.",
        lower_bound=1,
        upper_bound=_MAX_WORKERS,
        flag_values=flag_values,
    )


def main(argv=None):
    """Runs the command line and exits with its status: 1 if a run is not finished at the end."""
    argv = sys.argv if argv is None else argv
    with command_line.exit_status("sweep"):
        study = load_study(_name_of_study(argv))
        flag_values = flags.FlagValues()
        command_line.define_flags(study, flag_values)
        _define_flags(flag_values)
        command_line.parse_flags(flag_values, argv, _USAGE)
        runs = program.expand(study, flag_values)
        program.check_options(study, runs, flag_values)
        if len(runs) == 1 and not flag_values.figure:
            raise UserError("a sweep has several runs: name a --figure, or several values of a setting")
        out_dir, workers = flag_values.out_dir, flag_values.workers or default_workers(study)
        todo = unfinished(study, runs, out_dir)
        jobs = make_jobs(study, todo, command_line.given_options(flag_values))
        if flag_values.dry_run:
            _print_plan(study, jobs, workers)
            return
        check_backend()
        if study.images:
            program.check_data(todo, flag_values)
        with interruption.deferred():
            failed = run_jobs(study, jobs, out_dir, workers)
        _finish(study, runs, failed, out_dir)


def _finish(study, runs, failed, out_dir):
    """Says what is done and what failed, and exits with status 1 if a run is not finished."""
    left = unfinished(study, runs, out_dir)
    done = len(runs) - len(left)
    print(f"{done} of {len(runs)} runs are done, in {pathlib.Path(out_dir) / study.name}")
    for job in failed:
        if any(run in left for run in job.runs):
            print(f"failed: {shlex.join(job.argv)}\n  {job.last_words} ({job.log})", file=sys.stderr)
    if left:
        sys.exit(1)


if __name__ == "__main__":
    main()
