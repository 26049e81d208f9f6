"""The program that all replications share: settings, presets, runs.

Flags are parsed and checked before TensorFlow is imported. Exit status: 0 when every run finished, 2 for
bad input (one line says what), 130 after Ctrl-C or SIGTERM (the same command goes on), 1 for anything else.
"""

import dataclasses
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from absl import flags

from ..cluster import current_worker
from ..data.datasets import DATASETS, root_folder
from ..errors import BusyError, LayoutError, UserError
from ..gpus import visible_gpus
from . import costs
from .command_line import (
    define_flags,
    exit_status,
    given_options,
    given_settings,
    parse_flags,
    wanted_settings,
)
from .folders import check_folder, check_folder_to_make
from .progress import duration
from .runs import Study, differing, named, need_files, run_folder, unfinished
from .setting import Settings, without
from .variation import changed_defaults, changed_figure, check_number, has_use


def expand(study: Study, flag_values: flags.FlagValues) -> list[Settings]:
    """Returns the resolved settings of every run that the flags ask for, each once.

    Raises:
        UserError: A value is outside its limits, a flag has no effect, or --only leaves no run.
    """
    given, figure = given_settings(study, flag_values), flag_values.figure
    num_seeds, scale = flag_values.num_seeds, flag_values.scale
    if figure is None:
        if flag_values["scale"].present:
            raise UserError(f"--scale={scale}: is the scale of a figure, and needs --figure")
        check_number(given, num_seeds)
        chosen = changed_defaults(study.settings, given)
    else:
        check_number(given, num_seeds, len(study.runs_of_figure(figure, scale)))
        chosen = changed_figure(study, figure, scale, given)
    runs: dict[Settings, None] = {}
    for settings in chosen:
        for offset in range(num_seeds):
            runs[dataclasses.replace(settings, seed=settings.seed + offset).resolve()] = None
    return _only(list(runs), wanted_settings(study, flag_values))


def _only(runs, wanted):
    """The runs that have one of the wanted values of each setting."""
    for name, values in wanted.items():
        there = dict.fromkeys(getattr(run, name) for run in runs)
        for value in values:
            if value not in there:
                has = ", ".join(map(str, there))
                raise UserError(f"--only: no run has {name}={value}; {name} is {has}")
        runs = [run for run in runs if getattr(run, name) in values]
    return runs


def machine_of(study: Study, runs: Sequence[Any], device: str) -> costs.Machine:
    """Returns what runs would compute on here: a GPU if there is one that they would take."""
    gpu = device == "gpu" or (device == "auto" and any(map(study.takes_gpu, runs)) and visible_gpus())
    return costs.Machine("GPU", 1) if gpu else costs.Machine()


def _print_plan(study, runs, out_dir, machine):
    common = {
        field.name: getattr(runs[0], field.name)
        for field in dataclasses.fields(runs[0])
        if len({getattr(run, field.name) for run in runs}) == 1 and any(has_use(run, field) for run in runs)
    }
    print("settings: " + " ".join(f"{name}={value}" for name, value in common.items()))
    prices, names = [], differing(runs)
    for run in runs:
        state = "done"
        if not run_folder(study, run, out_dir).finished:
            prices.append(costs.price(study, run, machine))
            state = f"about {duration(prices[-1].seconds)}"
        print(f"run: {named(run, names) or 'as above'} ({state})")
    for teacher in missing_teachers(study, runs, out_dir):
        prices.append(costs.price(study, teacher, machine))
        words = named(teacher, ("network", "width", "seed"))
        print(f"first its teacher: {words} (about {duration(prices[-1].seconds)})")
    number = f"{len(runs)} run{'s' * (len(runs) > 1)}"
    total = costs.hours(sum(price.seconds for price in prices))
    print(f"{number}, about {total} ({costs.source(prices, machine)}), results in {out_dir}")


def missing_teachers(study: Study, runs: Sequence[Any], out_dir: str | os.PathLike) -> list:
    """Returns the runs that train teachers before their students, where these are none of the runs."""
    students: list[Any] = [run for run in unfinished(study, runs, out_dir) if getattr(run, "teacher", None)]
    teachers = dict.fromkeys(student.teacher_settings() for student in students)
    return unfinished(study, [teacher for teacher in teachers if teacher not in runs], out_dir)


def check_options(study: Study, runs: Sequence[Any], flag_values: flags.FlagValues) -> None:
    """Refuses what every run would fail at, before anything is imported or made.

    Args:
        study: `Study`.
        runs: Resolved settings.
        flag_values: absl's, with the flags of `command_line.define_flags`.

    Raises:
        UserError: One line that names the flag.
    """
    only_looks = flag_values.dry_run or ("status" in flag_values and flag_values.status)
    check_folder_to_make("out_dir", flag_values.out_dir, written=False)
    if not only_looks and any(unfinished(study, [run], flag_values.out_dir) for run in runs):
        check_folder_to_make("out_dir", flag_values.out_dir)
    current_worker(flag_values.strategy)
    if study.images:
        for name in ("data_dir", "download"):
            if flag_values[name].present and not need_files(runs):
                raise UserError(f"--{name}: no run reads a data set from files")
        if not any(run.of_images for run in runs):
            if flag_values.tensorboard:
                raise UserError("--tensorboard: no run writes scalars")
            if flag_values.device == "gpu":
                raise UserError("--device=gpu: no run trains on images; others run on the CPU")
        data_dir = flag_values.data_dir
        if data_dir is not None and flag_values.download:
            check_folder_to_make("data_dir", data_dir, written=False)  # it may all be there
        elif data_dir is not None:
            check_folder("data_dir", data_dir, "--download makes and fills it")


def check_data(runs: Sequence[Any], flag_values: flags.FlagValues) -> None:
    """Refuses runs whose data set is in no folder.

    Args:
        runs: Resolved settings that are to be trained.
        flag_values: absl's, with the flags of `command_line.define_flags`.

    Raises:
        UserError: One line that says how to fetch it.
    """
    for name in sorted({run.dataset for run in runs if run.needs_files}):
        folder = root_folder(flag_values.data_dir) / name
        if folder.exists() and not folder.is_dir():
            raise UserError(f"{folder}: is a file, not the folder of {DATASETS[name].title}")
        if not flag_values.download and not folder.is_dir():
            raise UserError(f"no {DATASETS[name].title} in {folder}; --download fetches it")


def _print_table(study, runs, options):
    """Prints a row a finished run, the data, and where the records are."""
    folders = [(run, run_folder(study, run, options.out_dir)) for run in runs]
    if finished := [(run, folder) for run, folder in folders if folder.finished]:
        import pandas as pd

        rows = [study.experiment().table_row(run, folder) for run, folder in finished]
        print(pd.DataFrame(rows).fillna("").to_string(index=False))
        if names := sorted({folder.record["data"] for _, folder in finished if folder.record.get("data")}):
            print(f"data: {' and '.join(names)}")
        print(f"records: {pathlib.Path(options.out_dir) / study.name}")


def main(study: Study, argv: Sequence[str] | None = None) -> None:
    """Runs a replication's command line and exits with its status."""
    flag_values = flags.FlagValues()
    define_flags(study, flag_values)
    usage = (
        f"python -m replications.{study.name} [--flag=value ...]\n"
        "A setting also takes a comma-separated list: one run for each value."
        + f"\n{study.usage}"
        * bool(study.usage)
    )
    with exit_status(study.name):
        parse_flags(flag_values, sys.argv if argv is None else argv, usage)
        runs = expand(study, flag_values)
        check_options(study, runs, flag_values)
        if flag_values.dry_run:
            _print_plan(study, runs, flag_values.out_dir, machine_of(study, runs, flag_values.device))
            return
        if study.images:
            check_data(unfinished(study, runs, flag_values.out_dir), flag_values)
        options = given_options(flag_values)
        _run_all(study, runs, options)
        _print_table(study, runs, options)


def _run_all(study, runs, options):
    """Makes the runs one after the other; one that cannot go on here holds up none that can."""
    study.prepare(runs)
    experiment, names, begun = study.experiment(), differing(runs), 0
    alone, held_up = current_worker(options.strategy).count == 1, []
    for group in _groups(study, runs, options.together):
        folders = [run_folder(study, run, options.out_dir) for run in group]
        try:
            if all(folder.finished for folder in folders):
                for folder in folders:
                    folder.drop_work()
            elif len(group) == 1:
                label = f"run {begun + 1} of {len(runs)} {named(group[0], names)}".strip()
                experiment.run(study, group[0], options, label)
            else:
                label = f"runs {begun + 1} to {begun + len(group)} of {len(runs)}"
                experiment.run_together(study, group, options, label)
        except (BusyError, LayoutError) as error:
            if not alone:  # the other workers wait in this run
                raise
            held_up.append(error)
        begun += len(group)
    if held_up:
        # A process that only met another one is worth another try; it is told by its last line.
        held_up.sort(key=lambda error: isinstance(error, LayoutError))
        for other in held_up[:-1]:
            print(f"{study.name}: {other}", file=sys.stderr)
        raise held_up[-1]


def _groups(study, runs, together):
    """The runs that one ensemble trains: of those that differ in `trains_together` alone, so many at once.

    Finished runs count, so that a command groups the unfinished as it did before.
    """
    if together == 1:
        return [[run] for run in runs]
    alike: dict[Settings, list[Settings]] = {}
    for run in runs:
        alike.setdefault(without(run, study.trains_together), []).append(run)
    return [some[i : i + together] for some in alike.values() for i in range(0, len(some), together)]
