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

from common.archive import Archive
from common.cluster import current_worker
from common.command_line import define_flags, exit_status, given_options, given_settings, parse_flags
from common.data.datasets import TITLES
from common.errors import UserError
from common.folders import check_folder, check_folder_to_make
from common.progress import duration
from common.records import RunFolder
from common.setting import identity
from common.variation import changed_defaults, changed_figure, check_number


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
        network_sizes: Scale -> network -> the values of settings that the scale has for this network.
        usage: A line for --help on what else the program does.
        named_by: The settings that a packed run's readable name is made of, the first one always: one text.
        keeps_array: Function (settings, name) -> whether an array of a run is packed with it.
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
    network_sizes: dict = dataclasses.field(default_factory=dict)
    usage: str = ""
    named_by: str = "seed"
    keeps_array: typing.Callable = lambda settings, name: True

    def experiment(self):
        """Imports the module that trains; it imports TensorFlow."""
        from common.startup import import_quietly

        return import_quietly(f"replications.{self.name}.experiment")


def expand(replication, flag_values):
    """Returns the resolved settings of every run that the flags ask for, each once.

    Raises:
        UserError: A value is outside its limits, or a flag has no effect.
    """
    given, figure = given_settings(replication, flag_values), flag_values.figure
    num_seeds, scale = flag_values.num_seeds, flag_values.scale
    if figure is None:
        if flag_values["scale"].present:
            raise UserError(f"--scale={scale}: is the scale of a figure, and needs --figure")
        check_number(given, num_seeds)
        chosen = changed_defaults(replication.settings, given)
    else:
        check_number(given, num_seeds, len(replication.figure(figure, scale)))
        chosen = changed_figure(replication, figure, scale, given)
    runs = {}
    for settings in chosen:
        for offset in range(num_seeds):
            runs[dataclasses.replace(settings, seed=settings.seed + offset).resolve()] = None
    return list(runs)


def differing(runs):
    """Returns the names of the settings in which runs differ."""
    fields = dataclasses.fields(runs[0])
    return [field.name for field in fields if len({getattr(run, field.name) for run in runs}) > 1]


def _named(settings, names):
    return " ".join(f"{name}={getattr(settings, name)}" for name in names)


def describe(settings, among):
    """Names a run by the settings in which the runs differ."""
    return _named(settings, differing(among))


def run_folder(replication, settings, out_dir, worker=0):
    """Returns the `records.RunFolder` of a run."""
    values = dataclasses.asdict(settings)
    version = replication.protocol_version
    return RunFolder(out_dir, replication.name, version, values, worker, identity(settings))


def unfinished(replication, runs, out_dir):
    """Returns those of the resolved settings whose runs are not finished."""
    return [run for run in runs if not run_folder(replication, run, out_dir).finished]


def find_runs(replication, settings, records):
    """Returns (settings, finished `records.Run` or None) for each, from run folders or packed records."""
    archive = Archive(pathlib.Path(records) / replication.name)

    def find(resolved):
        folder = run_folder(replication, resolved, records)
        return folder.run() or archive.find(folder.path.name)

    return [(resolved, find(resolved)) for resolved in (chosen.resolve() for chosen in settings)]


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
    total, names = 0, differing(runs)
    for run in runs:
        finished = run_folder(replication, run, out_dir).finished
        seconds = 0 if finished else replication.estimate(run)
        total += seconds
        state = "done" if finished else f"about {duration(seconds)}"
        print(f"run: {_named(run, names) or 'as above'} ({state})")
    number = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    print(f"{number}, about {duration(total)} on two cores, results in {out_dir}")


def check_options(replication, runs, flag_values):
    """Refuses what every run would fail at, before anything is imported or made.

    Args:
        replication: `Replication`.
        runs: Resolved settings.
        flag_values: absl's, with the flags of `command_line.define_flags`.

    Raises:
        UserError: One line that names the flag.
    """
    check_folder_to_make("out_dir", flag_values.out_dir)
    current_worker(flag_values.strategy)
    if replication.images:
        for name in ("data_dir", "download"):
            if flag_values[name].present and not any(run.needs_files for run in runs):
                raise UserError(f"--{name}: no run reads a data set from files")
        if flag_values.tensorboard and not any(run.of_images for run in runs):
            raise UserError("--tensorboard: no run writes scalars")
        data_dir = flag_values.data_dir
        if data_dir is not None and not flag_values.download:
            check_folder("data_dir", data_dir, "--download makes and fills it")


def check_data(runs, flag_values):
    """Refuses runs whose data set is in no folder.

    Args:
        runs: Resolved settings that are to be trained.
        flag_values: absl's, with the flags of `command_line.define_flags`.

    Raises:
        UserError: One line that says how to fetch it.
    """
    root = flag_values.data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    for name in sorted({run.dataset for run in runs if run.needs_files}):
        folder = pathlib.Path(root).expanduser() / name
        if not flag_values.download and not folder.is_dir():
            raise UserError(f"no {TITLES[name]} in {folder}; --download fetches it")


def _run_all(replication, runs, options):
    folders = [run_folder(replication, run, options.out_dir) for run in runs]
    experiment, names = replication.experiment(), differing(runs)
    for i, (run, folder) in enumerate(zip(runs, folders, strict=True), start=1):
        if folder.finished:
            folder.drop_work()
        else:
            label = f"run {i} of {len(runs)} {_named(run, names)}".strip()
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
        + f"\n{replication.usage}"
        * bool(replication.usage)
    )
    with exit_status(replication.name):
        parse_flags(flag_values, sys.argv if argv is None else argv, usage)
        runs = expand(replication, flag_values)
        check_options(replication, runs, flag_values)
        if flag_values.dry_run:
            _print_plan(replication, runs, flag_values.out_dir)
        else:
            if replication.images:
                check_data(unfinished(replication, runs, flag_values.out_dir), flag_values)
            _run_all(replication, runs, given_options(flag_values))


def replication_names():
    """Returns the package names of all papers."""
    folder = pathlib.Path(__file__).parents[1] / "replications"
    return sorted(path.parent.name for path in folder.glob("*/settings.py"))


def replication(name):
    """Returns the `Replication` of a paper by its package name, without importing TensorFlow."""
    return importlib.import_module(f"replications.{name}.settings").REPLICATION
