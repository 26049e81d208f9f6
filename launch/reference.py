"""`python -m launch.reference --data_dir=DIR`: makes and packs the runs of `results/reference`.

It knows the ordered list of sweeps, says what is done, what is missing and how long that takes, runs what
is missing at low priority, and packs each run when it is finished. The same command goes on where it stopped.
"""

from common.study import interruption
from common.study.runs import Study, find_runs, load_study, run_folder
from common.study.setting import Settings

if __name__ == "__main__":
    interruption.listen("reference")  # also while the rest is imported

import dataclasses
import os
import pathlib
import shlex
import shutil
import sys
import time

from absl import flags

from common.gpus import visible_gpus
from common.study import command_line, program
from common.study.archive import Archive
from common.study.folders import check_folder_to_make
from common.study.progress import duration
from common.study.startup import check_backend
from launch.archive import pack
from launch.executors.local import make_places, run_jobs
from launch.jobs import make_jobs

_USAGE = "python -m launch.reference [--data_dir=DIR] [--minutes=M] [--dry_run]"
_NICENESS = 10
# Parts of Snapp & Shamir's figures 6, 8 and 10 that their claims need.
_ENDS, _UNSEEN = "--shuffle_log2=0,8,16", "--seed=5 --num_seeds=3"
_LAST_OF_10 = "--examples_log2=20 --pairs=4 --shuffle_log2=14"
# In the order in which they are made: study, flags.
SWEEPS = (
    *(("smooth_interpolation", f"--figure={name} --scale=paper --num_seeds=25") for name in ("1a", "1b")),
    *(("snapp_shamir", f"--figure={name} --scale=paper --num_seeds=4") for name in ("2", "3", "4")),
    ("snapp_shamir", "--figure=6 --scale=paper --activation=identity,relu --num_seeds=4"),
    ("snapp_shamir", "--figure=6 --scale=paper --activation=smelu,swish --shuffle_log2=0 --num_seeds=4"),
    *(
        # Of figure 8's linear model five seeds were looked at before.
        ("snapp_shamir", f"--figure={name} --scale=laptop {_ENDS} --activation=identity,relu {_UNSEEN}")
        for name in ("6", "8")
    ),
    ("snapp_shamir", "--figure=10 --scale=laptop --shuffle_log2=0 --num_seeds=4"),
    ("snapp_shamir", "--figure=10 --scale=laptop --activation=relu --num_seeds=4"),
    *(
        ("snapp_shamir", f"--model=quadratic {tuned} {_LAST_OF_10} --num_seeds=4")
        for tuned in ("--activation=smelu --beta=0.1", "--activation=swish --beta=10")
    ),
    ("snapp_shamir", "--figure=9 --scale=paper --num_seeds=4"),
    # All four rates of one theta choose the one that the others are tested at.
    ("snapp_shamir", "--figure=8 --scale=paper --activation=identity --shuffle_log2=0"),
    *(
        ("snapp_shamir", f"{model} {_UNSEEN}")
        for model in (
            "--model=linear",
            "--model=wide --activation=identity --optimizer=sgd --learning_rate=0.01",
        )
    ),
    *(("snapp_shamir", f"--figure={name} --scale=paper") for name in ("6", "7", "sources")),
    *(("snapp_shamir", f"--figure={name} --scale=laptop") for name in ("6", "7", "8", "9", "10")),
    # Seed 0 is the pilot.
    *(
        ("zhang_randomization", f"--figure={name} --scale=laptop --num_seeds=6")
        for name in ("2a", "2b", "2b_ee411")
    ),
    ("zhang_randomization", "--figure=theorem1 --scale=paper --num_seeds=6"),
    ("zhang_randomization", "--figure=kernel --scale=laptop --num_seeds=6"),
    ("smooth_interpolation", "--figure=smallest --scale=laptop --num_seeds=6"),
    ("smooth_interpolation", "--figure=2 --scale=laptop --num_seeds=8"),
    ("zhang_randomization", "--figure=table1_mlp --scale=paper --num_seeds=4"),
    *(
        ("zhang_randomization", f"--figure={name} --scale=laptop --num_seeds=6")
        for name in ("table1", "random_decay")
    ),
    *(("smooth_interpolation", f"--figure={name} --scale=laptop --num_seeds=4") for name in ("6", "7", "1d")),
    *(("zhang_randomization", f"--figure={name} --scale=laptop --num_seeds=4") for name in ("1b", "1a")),
    ("zhang_randomization", "--figure=1a_ee411 --scale=laptop --num_seeds=3"),
    *(
        ("somepalli_boundaries", f"--figure={name} --scale=laptop")
        for name in ("distillation", "mixup", "reproducibility", "10", "nakkiran_1", "optimizers")
    ),
    *(
        ("somepalli_boundaries", f"--figure={name} --scale=laptop --num_seeds={number}")
        for name, number in (
            ("10", 3),
            ("reproducibility", 3),
            ("optimizers", 3),
            ("nakkiran_1", 4),
            ("10", 4),
            ("nakkiran_1", 5),
        )
    ),
)


@dataclasses.dataclass(frozen=True)
class Sweep:
    """A command line of the list, as it is run.

    Args:
        study: Its paper.
        arguments: Its flags.
        runs: Resolved settings of all its runs.
        missing: Those of them that are not packed.
        flag_values: absl's, parsed from the flags.
    """

    study: Study
    arguments: list[str]
    runs: list[Settings]
    missing: list[Settings]
    flag_values: flags.FlagValues

    @property
    def seconds(self) -> float:
        """About how long its missing runs take on two cores."""
        return sum(map(self.study.estimate, self.missing))


def read_sweep(name: str, text: str, records: str, options: list[str]) -> Sweep:
    """Returns a sweep of the list.

    Args:
        name: Package name of its paper.
        text: Its flags.
        records: Folder of the packed records.
        options: Further flags, of where runs go and data are.
    """
    study, arguments = load_study(name), shlex.split(text)
    runs = program.expand(study, _parsed(study, arguments))
    if not (study.images and any(run.needs_files for run in runs)):
        options = [option for option in options if not option.startswith("--data_dir")]
    flag_values = _parsed(study, [*arguments, *options])
    return Sweep(study, arguments, runs, _missing(study, runs, records), flag_values)


def _missing(study, runs, records):
    return [settings for settings, run in find_runs(study, runs, records) if run is None]


def _parsed(study, arguments):
    flag_values = flags.FlagValues()
    command_line.define_flags(study, flag_values)
    command_line.parse_flags(flag_values, ["reference", *arguments], _USAGE)
    return flag_values


def _print_status(sweeps):
    for sweep in sweeps:
        done = len(sweep.runs) - len(sweep.missing)
        left = f", about {duration(sweep.seconds)} left" if sweep.missing else ""
        print(f"{sweep.study.name} {shlex.join(sweep.arguments)}: {done} of {len(sweep.runs)} runs{left}")
    missing = {(sweep.study.name, run): sweep for sweep in sweeps for run in sweep.missing}
    seconds = sum(sweep.study.estimate(run) for (_, run), sweep in missing.items())
    print(f"{len(missing)} runs are missing, about {duration(seconds)} on two cores")


def make(sweep: Sweep, records: str, deadline: float) -> list:
    """Makes and packs the missing runs of a sweep, until a time of `time.monotonic`.

    Run folders are removed when all runs of the sweep are packed: until then students need their teachers.

    Returns:
        The `launch.jobs.SweepProcess`es that failed.
    """
    study, options = sweep.study, command_line.given_options(sweep.flag_values)
    out_dir, archive = options.out_dir, Archive(pathlib.Path(records) / sweep.study.name)
    folders = [run_folder(study, run, out_dir).path for run in sweep.missing]

    def keep(run):
        pack(study, run_folder(study, run, out_dir).path, archive)

    def keep_finished():
        for run in unpacked():
            if run_folder(study, run, out_dir).finished:
                keep(run)

    def unpacked():
        return _missing(study, sweep.missing, records)

    keep_finished()
    jobs = make_jobs(study, unpacked(), options)
    places = make_places(study, visible_gpus() if any(map(study.takes_gpu, sweep.missing)) else ())
    failed = run_jobs(study, jobs, out_dir, places, keep, deadline)
    keep_finished()  # also what was done between the last look and the end
    if not unpacked():
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return failed


def _define_flags(flag_values):
    flags.DEFINE_string(
        "records", "results/reference", "Folder of the packed records.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "out_dir", "results/runs", "Folder of runs that are being made.", flag_values=flag_values
    )
    flags.DEFINE_string("data_dir", None, "Folder of TensorFlow datasets.", flag_values=flag_values)
    flags.DEFINE_float(
        "minutes", None, "Stops after so many minutes; without it, at the end.", 0.0, flag_values=flag_values
    )
    flags.DEFINE_bool("dry_run", False, "Says what is done and missing, and stops.", flag_values=flag_values)


def _make_all(sweeps, records, minutes):
    started = time.monotonic()
    deadline = started + 60 * minutes if minutes is not None else float("inf")
    failed = []
    for sweep in sweeps:
        interruption.check()
        # Sweeps share runs: one before may have made some of its.
        sweep = dataclasses.replace(sweep, missing=_missing(sweep.study, sweep.missing, records))
        if sweep.missing and time.monotonic() < deadline:
            print(f"{sweep.study.name} {shlex.join(sweep.arguments)}", flush=True)
            failed += make(sweep, records, deadline)
    return failed


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status: 1 if a run failed."""
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    with command_line.exit_status("reference"):
        command_line.parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        records = flag_values.records
        check_folder_to_make("records", records)
        options = [f"--out_dir={flag_values.out_dir}"]
        if flag_values.data_dir:
            options.append(f"--data_dir={flag_values.data_dir}")
        sweeps = [read_sweep(name, text, records, options) for name, text in SWEEPS]
        if flag_values.dry_run:
            _print_status(sweeps)
            return
        check_backend()
        for sweep in sweeps:
            program.check_options(sweep.study, sweep.runs, sweep.flag_values)
            if sweep.study.images and sweep.missing:
                program.check_data(sweep.missing, sweep.flag_values)
        os.nice(_NICENESS)
        with interruption.deferred():
            failed = _make_all(sweeps, records, flag_values.minutes)
        _print_status([read_sweep(name, text, records, options) for name, text in SWEEPS])
        for job in failed:
            print(f"failed: {shlex.join(job.argv)}\n  {job.last_words} ({job.log})", file=sys.stderr)
        if failed:
            sys.exit(1)


if __name__ == "__main__":
    main()
