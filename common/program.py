"""The program that all replications share: settings, presets, runs.

Flags are parsed and checked before TensorFlow is imported. Exit status: 0 when every run finished, 2 for
bad input (one line says what), 130 after Ctrl-C or SIGTERM (the same command goes on), 1 for anything else.
"""

import dataclasses
import importlib
import itertools
import os
import pathlib
import sys
import typing

import pandas as pd
from absl import flags

from common.command_line import define_flags, exit_status, given_options, given_settings, parse_flags
from common.errors import UserError
from common.progress import duration
from common.records import RunFolder, find_run
from common.setting import identity


@dataclasses.dataclass(frozen=True)
class Replication:
    """What the shared program needs to know of a paper.

    Args:
        name: Package name below `replications`, and folder of its runs.
        settings: Settings dataclass; its `resolve()` fills defaults and raises UserError.
        protocol_version: Raised whenever the numbers of a run change.
        figures: Names of the figure presets.
        figure: Function (figure, scale) -> list of settings.
        estimate: Function settings -> seconds on a machine with two cores.
        swept: Name of the setting that one process best runs through: its values share compiled programs.
        images: Whether it reads an image data set: adds --data_dir.
        fewest_seeds: Figure -> how many of the seeds of its preset it needs, where one is not enough.
    """

    name: str
    settings: type
    protocol_version: int
    figures: tuple
    figure: typing.Callable
    estimate: typing.Callable
    swept: str
    images: bool = False
    fewest_seeds: dict = dataclasses.field(default_factory=dict)

    def experiment(self):
        """Imports the module that trains; it imports TensorFlow."""
        from common.startup import import_quietly

        return import_quietly(f"replications.{self.name}.experiment")


def changed_figure(replication, figure, scale, given):
    """Returns the settings of a figure with some of them given other values, in every combination.

    Args:
        replication: The paper's Replication.
        figure: One of its figures.
        scale: One of `command_line.SCALES`.
        given: Setting -> tuple of values.

    Raises:
        UserError: No run of the figure has a use for a setting.
    """
    used = {field.name: field.metadata["used"] for field in dataclasses.fields(replication.settings)}
    unused, runs = {name for name in given if used[name]}, []
    plain = {name: values for name, values in given.items() if not used[name]}
    for base in replication.figure(figure, scale):
        for chosen in _combinations(base, plain):
            fitting = {name: given[name] for name in given if used[name] and used[name](chosen)}
            runs += _combinations(chosen, fitting)
            unused -= set(fitting)
    if unused:
        raise UserError(f"--{min(unused)}: no run of figure {figure} has a use for it")
    return runs


def _combinations(settings, given):
    return [
        dataclasses.replace(settings, **dict(zip(given, values, strict=True)))
        for values in itertools.product(*given.values())
    ]


def expand(replication, flag_values):
    """Returns the resolved settings of every run that the flags ask for, each once.

    Raises:
        UserError: A value is outside its limits.
    """
    given = given_settings(replication, flag_values)
    if flag_values.num_seeds < 1:
        raise UserError(f"--num_seeds={flag_values.num_seeds}: must be at least 1")
    if flag_values.figure is None:
        if flag_values["scale"].present:
            raise UserError(f"--scale={flag_values.scale}: is the scale of a figure, and needs --figure")
        chosen = _combinations(replication.settings(), given)
    else:
        chosen = changed_figure(replication, flag_values.figure, flag_values.scale, given)
    runs = {}
    for settings in chosen:
        for offset in range(flag_values.num_seeds):
            runs[dataclasses.replace(settings, seed=settings.seed + offset).resolve()] = None
    return list(runs)


def describe(settings, among):
    """Names a run by the settings in which the runs differ."""
    differing = [
        field.name
        for field in dataclasses.fields(settings)
        if len({getattr(other, field.name) for other in among}) > 1
    ]
    return " ".join(f"{name}={getattr(settings, name)}" for name in differing)


def run_folder(replication, settings, out_dir, worker=0):
    """Returns the `records.RunFolder` of a run."""
    values = dataclasses.asdict(settings)
    version = replication.protocol_version
    return RunFolder(out_dir, replication.name, version, values, worker, identity(settings))


def find_runs(replication, settings, records):
    """Returns (settings, finished `records.Run` or None) for each of the settings."""
    name, version = replication.name, replication.protocol_version
    return [
        (s, find_run(records, name, version, dataclasses.asdict(s), identity(s)))
        for s in (chosen.resolve() for chosen in settings)
    ]


def finished_seeds(found, fewest=1):
    """Leaves out of a figure's runs the seeds that are not finished yet.

    Args:
        found: (settings, Run or None) of every run, as `find_runs` returns them.
        fewest: How many seeds the figure needs, if it has as many.

    Returns:
        The runs of the first seeds, up to the first of which a run is missing, but of as many seeds as the
        figure needs. A run whose streams have seeds of their own belongs to the largest of them.
    """

    def largest(settings):
        return max(getattr(settings, "seeds", {"seed": settings.seed}).values())

    seeds = sorted({largest(settings) for settings, _ in found})
    missing = {largest(settings) for settings, run in found if run is None}
    finished = list(itertools.takewhile(lambda seed: seed not in missing, seeds))
    shown = seeds[: max(len(finished), fewest)]
    return [(settings, run) for settings, run in found if largest(settings) in shown]


def _print_plan(replication, runs, out_dir):
    common = {
        name: value
        for name, value in dataclasses.asdict(runs[0]).items()
        if len({getattr(run, name) for run in runs}) == 1
    }
    print("settings: " + " ".join(f"{name}={value}" for name, value in common.items()))
    total = 0
    for run in runs:
        finished = run_folder(replication, run, out_dir).finished
        seconds = 0 if finished else replication.estimate(run)
        total += seconds
        state = "done" if finished else f"about {duration(seconds)}"
        print(f"run: {describe(run, runs) or 'as above'} ({state})")
    number = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    print(f"{number}, about {duration(total)} on two cores, results in {out_dir}")


def is_writable(folder):
    """Whether files can be made in a folder; root may write to /proc and /sys by their permissions alone."""
    return os.access(folder, os.W_OK) and folder.absolute().parts[1:2] not in (("proc",), ("sys",))


def check_out_dir(out_dir):
    """Refuses a results folder that cannot be written, before anything is imported or made."""
    if not out_dir:
        raise UserError("--out_dir=: names no folder")
    path = pathlib.Path(out_dir).absolute()
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not existing.is_dir():
        raise UserError(f"--out_dir={out_dir}: {existing} is a file; choose a folder")
    if not is_writable(existing):
        raise UserError(f"--out_dir={out_dir}: {existing} is not writable; choose another folder")


def _check_data_dir(flag_values):
    data_dir = flag_values.data_dir
    if data_dir and not flag_values.download and not pathlib.Path(data_dir).is_dir():
        raise UserError(f"--data_dir={data_dir}: no such folder; --download makes and fills it")


def _run_all(replication, runs, options):
    folders = [run_folder(replication, run, options.out_dir) for run in runs]
    experiment = replication.experiment()
    for i, (run, folder) in enumerate(zip(runs, folders, strict=True), start=1):
        if not folder.finished:
            label = f"run {i} of {len(runs)} {describe(run, runs)}".strip()
            experiment.run(replication, run, options, label)
    results = [run_folder(replication, run, options.out_dir) for run in runs]
    finished = [(run, folder) for run, folder in zip(runs, results, strict=True) if folder.finished]
    if finished:
        lines = [experiment.line(run, folder) for run, folder in finished]
        print(pd.DataFrame(lines).fillna("").to_string(index=False))
        if names := sorted({folder.record["data"] for _, folder in finished if folder.record.get("data")}):
            print(f"data: {' and '.join(names)}")
        print(f"records: {pathlib.Path(options.out_dir) / replication.name}")


def main(replication, argv=None):
    """Runs a replication's command line and exits with its status."""
    flag_values = flags.FlagValues()
    define_flags(replication, flag_values)
    usage = (
        f"python -m replications.{replication.name} [--flag=value ...]\n"
        "A setting also takes a comma-separated list: one run for each value."
    )
    with exit_status(replication.name):
        parse_flags(flag_values, sys.argv if argv is None else argv, usage)
        runs = expand(replication, flag_values)
        check_out_dir(flag_values.out_dir)
        if replication.images:
            _check_data_dir(flag_values)
        if flag_values.dry_run:
            _print_plan(replication, runs, flag_values.out_dir)
        else:
            _run_all(replication, runs, given_options(flag_values))


def replication_names():
    """Returns the package names of all papers."""
    folder = pathlib.Path(__file__).parents[1] / "replications"
    return sorted(path.parent.name for path in folder.glob("*/settings.py"))


def replication(name):
    """Returns the `Replication` of a paper by its package name, without importing TensorFlow."""
    return importlib.import_module(f"replications.{name}.settings").REPLICATION
