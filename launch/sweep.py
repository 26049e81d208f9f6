"""`python -m launch.sweep --replication=snapp_shamir --figure=2`: all runs of a figure, side by side.

Runs that differ only in the setting that their study compiles once over go to one process, which compiles
once for all of them. `--executor` says where the processes run: on this machine, one on each GPU or the cores
shared out (`executors.local`); as a job array in Slurm (`executors.slurm`); or as lines to paste
(`executors.printing`). Several sweeps share the runs of a folder.
"""

from common.study import interruption
from common.study.runs import Study, load_study, run_folder, study_names, unfinished

if __name__ == "__main__":
    interruption.listen("sweep")  # also while the rest is imported

import itertools
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from common.errors import UserError
from common.gpus import visible_gpus
from common.study import command_line, costs, program
from common.study.startup import check_backend
from launch.executors import Executor, slurm
from launch.executors.local import LocalExecutor, make_places
from launch.executors.printing import PrintExecutor
from launch.jobs import SweepProcess, last_line, make_jobs, started, trained_with
from launch.status import print_status

_USAGE = "python -m launch.sweep --replication=NAME --figure=NAME [--flag=value ...]"
_MAX_WORKERS = 1024
_LEAST_MINUTES = 5  # a task is warned a minute before, and needs one to begin
EXECUTORS = ("local", "slurm", "print")
# Flags that only some executors hear.
_HEARD_BY = {
    "workers": ("local", "slurm"),
    "gpus": ("local",),
    "runs_per_gpu": ("local",),
    **dict.fromkeys(
        ("partition", "account", "time_limit", "gpus_per_run", "cpus_per_run", "memory_gb", "wait"),
        ("slurm",),
    ),
}


def make_executor(study: Study, runs: Sequence[Any], flag_values: flags.FlagValues) -> Executor:
    """Returns the executor that the flags ask for.

    Args:
        study: The paper.
        runs: Resolved settings that are to be run.
        flag_values: absl's, with the flags of a sweep.

    Raises:
        UserError: Its flags do not go together, or it cannot work here.
    """
    kind, device = flag_values.executor, flag_values.device
    for name, executors in _HEARD_BY.items():
        if flag_values[name].present and kind not in executors:
            raise UserError(f"--{name}: only with --executor={' or '.join(executors)}")
    takes_gpu = any(study.takes_gpu(run) if device == "auto" else device == "gpu" for run in runs)
    if kind == "print":
        return PrintExecutor()
    if kind == "slurm":
        gpus = flag_values.gpus_per_run
        if gpus and not takes_gpu:
            raise UserError(f"--gpus_per_run={gpus}: no run of this sweep uses a GPU")
        if gpus == 0 and device == "gpu":
            raise UserError("--gpus_per_run=0: --device=gpu needs one")
        resources = slurm.Resources(
            flag_values.partition,
            flag_values.account,
            flag_values.time_limit,
            int(takes_gpu) if gpus is None else gpus,
            flag_values.cpus_per_run,
            flag_values.memory_gb,
            flag_values.workers or slurm.Resources.at_once,
        )
        return slurm.SlurmExecutor(resources, flag_values.wait)
    gpus = visible_gpus() if flag_values.gpus is None else tuple(flag_values.gpus)
    if flag_values.gpus is not None and not (gpus and all(gpus)):
        raise UserError(f"--gpus={','.join(gpus)}: names no GPU; --device=cpu trains without")
    if flag_values.gpus and not takes_gpu:
        raise UserError(f"--gpus={','.join(gpus)}: no run of this sweep uses a GPU")
    if flag_values.runs_per_gpu != 1 and not (gpus and takes_gpu):
        raise UserError(f"--runs_per_gpu={flag_values.runs_per_gpu}: no run of this sweep uses a GPU")
    places = make_places(
        study,
        gpus if takes_gpu else (),
        flag_values.workers,
        flag_values.runs_per_gpu,
        flag_values.strategy,
    )
    return LocalExecutor(places)


def _print_plan(study, jobs, executor, machine, out_dir):
    prices = [[costs.price(study, run, machine) for run in job.runs] for job in jobs]
    seconds = [sum(price.seconds for price in some) for some in prices]
    for job, one in zip(jobs, seconds, strict=True):
        print(
            f"{shlex.join(['python', *job.argv[1:]])}  # {_count(job.runs, 'run')}, about {costs.hours(one)}"
        )
    runs = [run for job in jobs for run in job.runs]
    teachers = [costs.price(study, one, machine) for one in program.missing_teachers(study, runs, out_dir)]
    if teachers:
        seconds.append(sum(price.seconds for price in teachers))
        print(f"first {_count(teachers, 'teacher')}, about {costs.hours(seconds[-1])}")
    print(f"{_count(runs, 'run')} to do in {len(jobs)} processes, {_length(executor, seconds)}")
    print(f"costs are {costs.source(sum(prices, teachers), machine)}")


def _count(things, name):
    return f"{len(things)} {name}{'s' * (len(things) != 1)}"


def _length(executor, seconds):
    """How long processes of so many seconds take, as words."""
    if isinstance(executor, slurm.SlurmExecutor):
        asked = executor.resources
        unit, number = ("GPU", asked.gpus) if asked.gpus else ("core", asked.cpus)
        wall = costs.wall_seconds(seconds, asked.at_once)
        used = sum(seconds) / 3600 * number
        return f"about {used:.1f} {unit} hours and {costs.hours(wall)} of wall time, {asked.at_once} at once"
    if isinstance(executor, LocalExecutor) and any(place.gpus for place in executor.places):
        wall = costs.wall_seconds(seconds, len(executor.places))
        return f"about {costs.hours(wall)} on {_count(executor.places, 'place')}"
    # Processes at once share the cores: together they take what they take one by one.
    return f"about {costs.hours(sum(seconds))}"


def _machine(study, todo, executor, device):
    if isinstance(executor, slurm.SlurmExecutor):
        asked = executor.resources
        return costs.Machine("GPU", 1) if asked.gpus else costs.Machine("CPU", asked.cpus)
    if isinstance(executor, LocalExecutor):
        gpu = any(place.gpus for place in executor.places)
        return costs.Machine("GPU", 1) if gpu else costs.Machine()
    return program.machine_of(study, todo, device)


def _name_of_study(argv):
    known = study_names()
    names = [a.split("=", 1)[1] for a in argv if a.startswith("--replication=")]
    names += [name for flag, name in itertools.pairwise(argv) if flag == "--replication"]
    if len(names) == 1 and names[0] in known:
        return names[0]
    wanted = f"--replication: must be one of {', '.join(known)}; with --help it shows the flags of that one"
    if not names and command_line.asks_about_program(argv):
        flag_values = flags.FlagValues()
        _define_flags(flag_values)
        command_line.parse_flags(flag_values, argv, f"{_USAGE}\n{wanted}")
    raise UserError(wanted)


def _define_flags(flag_values):
    names = ", ".join(study_names())
    flags.DEFINE_string("replication", None, f"One of {names}.", flag_values=flag_values)
    flags.DEFINE_enum(
        "executor",
        "local",
        EXECUTORS,
        "Where the processes run: on this machine, as tasks of a Slurm job array, or wherever their printed "
        "lines are pasted.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "status",
        False,
        "Only lists what is done, runs, waits or failed, with the last line of each log.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "workers",
        None,
        "Processes, or tasks of Slurm, at once, at most (of each array, where a sweep is several). By "
        "default 16 tasks; on this machine one process a GPU, without GPUs one a core, or one in all on "
        "synthetic data, whose process uses all cores.",
        lower_bound=1,
        upper_bound=_MAX_WORKERS,
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "gpus",
        None,
        "GPUs of this machine, as CUDA_VISIBLE_DEVICES names them; by default all that are there. Each "
        "process sees one of them, unless --strategy=mirrored gives it all.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "runs_per_gpu",
        1,
        "Processes that share a GPU; narrow networks cannot fill one.",
        lower_bound=1,
        upper_bound=_MAX_WORKERS,
        flag_values=flag_values,
    )
    _define_slurm_flags(flag_values)


def _define_slurm_flags(flag_values):
    flags.DEFINE_string("partition", None, "Slurm's partition.", flag_values=flag_values)
    flags.DEFINE_string("account", None, "Slurm's account.", flag_values=flag_values)
    flags.DEFINE_integer(
        "time_limit",
        240,
        "Minutes of a Slurm task; one that needs more is queued again and goes on.",
        lower_bound=_LEAST_MINUTES,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "gpus_per_run",
        None,
        "GPUs of a Slurm task; by default 1, or 0 where the runs stay on the CPU.",
        lower_bound=0,
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "cpus_per_run", 2, "Processor cores of a Slurm task.", lower_bound=1, flag_values=flag_values
    )
    flags.DEFINE_float("memory_gb", None, "Memory of a Slurm task in GB.", 0.1, 1e6, flag_values=flag_values)
    flags.DEFINE_bool(
        "wait",
        True,
        "Watches the Slurm tasks to their end; --nowait leaves them once they are submitted.",
        flag_values=flag_values,
    )


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status: 1 if a run is not finished at the end."""
    argv = sys.argv if argv is None else argv
    with command_line.exit_status("sweep"):
        study = load_study(_name_of_study(argv))
        flag_values = flags.FlagValues()
        command_line.define_flags(study, flag_values)
        _define_flags(flag_values)
        command_line.parse_flags(flag_values, argv, _USAGE)
        runs = program.expand(study, flag_values)
        if flag_values.strategy == "multi_worker":
            raise UserError(
                "--strategy=multi_worker: a process of a sweep is alone; docs/launch.md says how one run "
                "trains on several workers or nodes"
            )
        program.check_options(study, runs, flag_values)
        if len(runs) == 1 and not flag_values.figure:
            raise UserError("a sweep has several runs: name a --figure, or several values of a setting")
        out_dir = flag_values.out_dir
        todo = unfinished(study, runs, out_dir)
        options = command_line.given_options(flag_values)
        # Of all runs, not of those to do: a run goes on with as many cores, and with the same flags.
        executor = make_executor(study, runs, flag_values)
        at_once = len(executor.places) if isinstance(executor, LocalExecutor) else 1
        jobs = make_jobs(study, trained_with(study, runs, todo, options.together), options, at_once)
        if flag_values.status:
            print_status(study, runs, out_dir)
            return
        if flag_values.dry_run:
            machine = _machine(study, todo, executor, flag_values.device)
            _print_plan(study, jobs, executor, machine, out_dir)
            return
        check_backend()
        if study.images:
            program.check_data(todo, flag_values)
        if isinstance(executor, slurm.SlurmExecutor):
            slurm.check_slurm()
        with interruption.deferred():
            failed = executor.run(study, jobs, out_dir)
        if not isinstance(executor, PrintExecutor):
            _finish(study, runs, failed, flag_values)


def _finish(
    study: Study, runs: Sequence[Any], failed: list[SweepProcess], flag_values: flags.FlagValues
) -> None:
    """Says what is done and what failed, and exits with status 1 if a run is not finished."""
    out_dir = flag_values.out_dir
    left = unfinished(study, runs, out_dir)
    done = len(runs) - len(left)
    print(f"{done} of {len(runs)} runs are done, in {pathlib.Path(out_dir) / study.name}")
    for job in failed:
        if any(run in left for run in job.runs):
            words, log = _last_words(study, job, out_dir)
            print(f"failed: {shlex.join(job.argv)}\n  {words} ({log})", file=sys.stderr)
    if left and flag_values.wait:
        sys.exit(1)


def _last_words(study, job, out_dir):
    """The last line of a process and its log; of a task that wrote none, Slurm's own."""
    one = started(study, out_dir).get(run_folder(study, job.runs[0], out_dir).path.name)
    if not job.last_words and one and one.task:
        log = slurm.task_log(study, out_dir, one.task)
        return last_line(log) or "ended without a word", log
    return job.last_words, job.log


if __name__ == "__main__":
    main()
