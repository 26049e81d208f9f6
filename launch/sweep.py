"""`python -m launch.sweep --replication=snapp_shamir --figure=2`: all runs of a figure, side by side.

Runs that differ only in the setting that their replication names as swept go to one process, which compiles
once for all of them. A process is an argv list that a person can paste. Several workers share out the
processor cores.
"""

import collections
import dataclasses
import itertools
import os
import pathlib
import shlex
import subprocess
import sys
import time

from absl import flags

from common import command_line, program
from common.cores import usable_cores
from common.errors import UserError
from common.progress import Progress, duration

_POLL_SECONDS, _PATIENCE_SECONDS = 0.2, 30
_USAGE = "python -m launch.sweep --replication=NAME --figure=NAME [--flag=value ...]"
_BYTES_PER_WORKER = 2 * 2**30


@dataclasses.dataclass
class Job:
    """One process and the runs it makes."""

    argv: list
    runs: list
    log: pathlib.Path
    process: subprocess.Popen | None = None

    @property
    def has_students(self):
        """Whether its networks learn from others of the figure, which have to be trained before."""
        return any(getattr(run, "teacher", None) for run in self.runs)


def make_jobs(replication, runs, options):
    """Groups runs into processes, students last, else the longest first.

    At the end no long process is left to a single worker.

    Args:
        replication: `program.Replication`.
        runs: Resolved settings.
        options: `command_line.Options` of every process.

    Returns:
        List of Job; each argv names every setting that is not the default.
    """
    defaults = replication.settings()
    groups = collections.defaultdict(list)
    for run in runs:
        groups[dataclasses.replace(run, **{replication.swept: getattr(defaults, replication.swept)})].append(
            run
        )
    jobs = []
    for i, (common, members) in enumerate(groups.items()):
        argv = [sys.executable, "-m", f"replications.{replication.name}"]
        for field in dataclasses.fields(common):
            if field.name != replication.swept and getattr(common, field.name) != field.default:
                argv.append(command_line.flag_text(field.name, getattr(common, field.name)))
        values = ",".join(str(getattr(run, replication.swept)) for run in members)
        argv.append(f"--{replication.swept}={values}")
        for field in dataclasses.fields(options):
            if (value := getattr(options, field.name)) != field.default:
                argv.append(command_line.flag_text(field.name, value))
        log = pathlib.Path(options.out_dir) / replication.name / "logs" / f"{i:03d}.log"
        jobs.append(Job(argv, members, log))
    return sorted(jobs, key=lambda job: (job.has_students, -sum(map(replication.estimate, job.runs))))


def _finished(replication, run, out_dir):
    return program.run_folder(replication, run, out_dir).finished


def _start(job, cores):
    job.log.parent.mkdir(parents=True, exist_ok=True)
    pin = (lambda: os.sched_setaffinity(0, cores)) if hasattr(os, "sched_setaffinity") else None
    with open(job.log, "w") as log:
        job.process = subprocess.Popen(job.argv, stdout=log, stderr=log, preexec_fn=pin)


def _may_start(waiting, running):
    """Whether the next job has nothing to wait for: students need all others of the figure to be trained."""
    if not waiting or not waiting[0].has_students:
        return bool(waiting)
    return all(job.has_students for job in running.values())


def run_jobs(replication, jobs, out_dir, workers):
    """Runs the jobs, `workers` at once, with one progress line; goes on after a failed one.

    Students start last, when all others are trained: two processes cannot train the same teacher.

    Returns:
        The jobs that failed.
    """
    cores = usable_cores()
    shares = [set(cores[i::workers]) or set(cores) for i in range(workers)]
    seconds = {run: replication.estimate(run) for job in jobs for run in job.runs}
    open_runs = [run for job in jobs for run in job.runs]
    progress = Progress(f"{len(open_runs)} runs", sum(seconds.values()))
    waiting, running, failed = list(jobs), {}, []
    try:
        while waiting or running:
            for place in range(workers):
                if place not in running and _may_start(waiting, running):
                    running[place] = waiting.pop(0)
                    _start(running[place], shares[place])
            time.sleep(_POLL_SECONDS)
            for place, job in list(running.items()):
                if job.process.poll() is not None:
                    del running[place]
                    if job.process.returncode:
                        failed.append(job)
            done = [run for run in open_runs if _finished(replication, run, out_dir)]
            open_runs = [run for run in open_runs if run not in done]
            progress.add(sum(seconds[run] for run in done))
    finally:
        progress.close()
        for job in running.values():
            job.process.terminate()
        for job in running.values():
            try:
                job.process.wait(_PATIENCE_SECONDS)
            except subprocess.TimeoutExpired:  # the signal was lost in foreign code
                job.process.kill()
    return failed


def default_workers(replication):
    """Returns how many processes at once are fastest.

    A small network leaves several cores partly idle, hence one process a core (`launch.benchmark
    --suite=images`: 1.15 to 1.4 times as many runs an hour); the ensembles of synthetic data use all of them,
    and a GPU takes one process at a time.
    """
    if not replication.images or pathlib.Path("/proc/driver/nvidia").exists():
        return 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(len(usable_cores()), memory // _BYTES_PER_WORKER))


def _print_plan(replication, jobs, workers):
    for job in jobs:
        estimate = sum(replication.estimate(run) for run in job.runs)
        print(f"{shlex.join(['python', *job.argv[1:]])}  # {len(job.runs)} runs, about {duration(estimate)}")
    total = sum(replication.estimate(run) for job in jobs for run in job.runs)
    runs = sum(len(job.runs) for job in jobs)
    print(
        f"{runs} runs to do in {len(jobs)} processes, {workers} at once, about {duration(total)} on two cores"
    )


def _name_of_replication(argv):
    known = program.replication_names()
    names = [a.split("=", 1)[1] for a in argv if a.startswith("--replication=")]
    names += [name for flag, name in itertools.pairwise(argv) if flag == "--replication"]
    if len(names) == 1 and names[0] in known:
        return names[0]
    wanted = f"--replication: must be one of {', '.join(known)}; with --help it shows the flags of that one"
    if not names and command_line.asks_for_help(argv):
        print(f"usage: {_USAGE}\n{wanted}")
        sys.exit(0)
    raise UserError(wanted)


def main(argv=None):
    """Runs the command line and exits with its status: 1 if a run failed."""
    argv = sys.argv if argv is None else argv
    with command_line.exit_status("sweep"):
        replication = program.replication(_name_of_replication(argv))
        flag_values = flags.FlagValues()
        command_line.define_flags(replication, flag_values)
        flags.DEFINE_string("replication", None, "Name of the replication.", flag_values=flag_values)
        flags.DEFINE_integer(
            "workers",
            None,
            "Processes at once; each has its share of the cores. By default one on synthetic data, whose "
            "process uses all cores, and on a GPU; else one a core.",
            lower_bound=1,
            flag_values=flag_values,
        )
        command_line.parse_flags(flag_values, argv, _USAGE)
        out_dir, workers = flag_values.out_dir, flag_values.workers or default_workers(replication)
        program.check_out_dir(out_dir)
        runs = program.expand(replication, flag_values)
        if len(runs) == 1 and not flag_values.figure:
            raise UserError("a sweep has several runs: name a --figure, or several values of a setting")
        todo = [run for run in runs if not _finished(replication, run, out_dir)]
        jobs = make_jobs(replication, todo, command_line.given_options(flag_values))
        if flag_values.dry_run:
            _print_plan(replication, jobs, workers)
            return
        failed = run_jobs(replication, jobs, out_dir, workers)
        done = sum(_finished(replication, run, out_dir) for run in runs)
        print(f"{done} of {len(runs)} runs are done, in {pathlib.Path(out_dir) / replication.name}")
        for job in failed:
            last = job.log.read_text().strip().splitlines()[-1:]
            print(f"failed: {shlex.join(job.argv)}\n  {' '.join(last)} ({job.log})", file=sys.stderr)
        if failed:
            sys.exit(1)


if __name__ == "__main__":
    main()
