"""The command line that all replications share: flags from a settings class, presets, runs, exit status.

Flags are parsed and checked before TensorFlow is imported. Exit status: 0 when every run finished, 2 for
bad input (one line says what), 130 after Ctrl-C or SIGTERM (the same command goes on), 1 for anything else.
"""

import contextlib
import dataclasses
import importlib
import itertools
import os
import pathlib
import re
import signal
import sys
import types
import typing

import pandas as pd
from absl import flags

from common.errors import UserError
from common.progress import duration
from common.records import RunFolder, find_run

SCALES = ("smoke", "laptop", "paper")
STRATEGIES = ("auto", "one_device", "mirrored", "multi_worker")


def setting(default, help, choices=None, used=None):
    """A dataclass field that is also a command-line flag.

    Args:
        default: Its default.
        help: One full sentence.
        choices: The values it may have, if they are few.
        used: Function of the settings of a run, saying whether it has a use for this one. A flag leaves the
            runs of a figure that have none as they are.
    """
    return dataclasses.field(default=default, metadata={"help": help, "choices": choices, "used": used})


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


@dataclasses.dataclass(frozen=True)
class Options:
    """Flags that say where and how a run happens, not what it computes."""

    out_dir: str
    strategy: str
    tensorboard: bool
    data_dir: str | None = None
    download: bool = False


class _ListParser(flags.ArgumentParser):
    """Parses `0,5,10` into a tuple of values of one type."""

    def __init__(self, kind, choices):
        super().__init__()
        self.kind, self.choices = kind, choices
        names = {int: "a whole number", float: "a number", str: "a name"}
        self._wanted = f"one of {', '.join(choices)}" if choices else names[kind]

    def flag_type(self):
        """Returns what absl shows as the flag's type."""
        return f"list of {self.kind.__name__}"

    def parse(self, argument):
        """Returns a tuple of values."""
        if isinstance(argument, tuple):
            return argument
        return tuple(self._parse_one(text.strip()) for text in argument.split(","))

    def _parse_one(self, text):
        try:
            value = self.kind(text)
        except ValueError:
            value = None
        if value is None or (self.choices and value not in self.choices):
            raise ValueError(f"{text!r} is not {self._wanted}")
        return value


def _kind(settings, field):
    """The type of a settings field, without its None."""
    kind = typing.get_type_hints(settings)[field.name]
    if isinstance(kind, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    return kind


def define_setting_flags(replication, flag_values):
    """Defines a flag for every setting."""
    for field in dataclasses.fields(replication.settings):
        kind, metadata = _kind(replication.settings, field), field.metadata
        help = metadata["help"]
        if metadata["choices"]:
            help += f" One of {', '.join(metadata['choices'])}."
        if field.default is not None and kind is not bool:
            help += f" Default: {field.default}."
        if kind is bool:
            flags.DEFINE_bool(field.name, None, help, flag_values=flag_values)
        else:
            parser = _ListParser(kind, metadata["choices"])
            flags.DEFINE(parser, field.name, None, help, flag_values=flag_values)


def define_flags(replication, flag_values):
    """Defines a flag for every setting, and the shared flags."""
    define_setting_flags(replication, flag_values)
    if replication.images:
        flags.DEFINE_string(
            "data_dir",
            None,
            "Folder of the image data sets as tensorflow-datasets keeps them; by default its own, "
            "~/tensorflow_datasets or TFDS_DATA_DIR.",
            flag_values=flag_values,
        )
        flags.DEFINE_bool(
            "download",
            False,
            "Fetches and checks an image data set that is not there.",
            flag_values=flag_values,
        )
    figures = ", ".join(replication.figures)
    flags.DEFINE_enum(
        "figure",
        None,
        replication.figures,
        f"Runs the settings of one of the paper's figures ({figures}); any other flag overrides them.",
        flag_values=flag_values,
    )
    flags.DEFINE_enum(
        "scale",
        "paper",
        SCALES,
        "Scale of the figure: the published protocol, or a smaller one that the record names.",
        flag_values=flag_values,
    )
    flags.DEFINE_integer(
        "num_seeds", 1, "Number of runs with consecutive root seeds.", flag_values=flag_values
    )
    flags.DEFINE_string(
        "out_dir", "results/runs", "Folder that holds the run folders.", flag_values=flag_values
    )
    flags.DEFINE_enum(
        "strategy",
        "auto",
        STRATEGIES,
        "Devices: auto and mirrored use all, one_device one, multi_worker its share of a TF_CONFIG cluster.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "dry_run",
        False,
        "Only prints the settings, the runs and an estimate of the time they take.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "tensorboard", False, "Also writes TensorBoard scalars into the run folder.", flag_values=flag_values
    )


def flag_text(name, value):
    """Returns the argument that gives a setting a value: "--pairs=2", "--nomixup"."""
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no{name}"
    return f"--{name}={value}"


def given_settings(replication, flag_values):
    """Returns the settings that flags give: name -> tuple of values."""
    values = {field.name: flag_values[field.name].value for field in dataclasses.fields(replication.settings)}
    return {
        name: value if isinstance(value, tuple) else (value,)
        for name, value in values.items()
        if value is not None
    }


def changed_figure(replication, figure, scale, given):
    """Returns the settings of a figure with some of them given other values, in every combination.

    Args:
        replication: The paper's Replication.
        figure: One of its figures.
        scale: One of SCALES.
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
    return RunFolder(out_dir, replication.name, replication.protocol_version, values, worker)


def find_runs(replication, settings, records):
    """Returns (settings, finished `records.Run` or None) for each of the settings."""
    return [
        (s, find_run(records, replication.name, replication.protocol_version, dataclasses.asdict(s)))
        for s in (setting.resolve() for setting in settings)
    ]


def finished_seeds(found, fewest=1):
    """Leaves out of a figure's runs the seeds that are not finished yet.

    Args:
        found: (settings, Run or None) of every run, as `find_runs` returns them.
        fewest: How many seeds the figure needs, if it has as many.

    Returns:
        The runs of the first seeds, up to the first of which a run is missing; all of `found` if those are
        too few.
    """
    seeds = sorted({settings.seed for settings, _ in found})
    missing = {settings.seed for settings, run in found if run is None}
    finished = list(itertools.takewhile(lambda seed: seed not in missing, seeds))
    if len(finished) < min(fewest, len(seeds)):
        return found
    return [(settings, run) for settings, run in found if settings.seed in finished]


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
    print(f"{len(runs)} runs, about {duration(total)} on two cores, results in {out_dir}")


def check_out_dir(out_dir):
    """Refuses a results folder that cannot be written, before anything is imported or made."""
    path = pathlib.Path(out_dir).absolute()
    existing = next(p for p in (path, *path.parents) if p.exists())
    if not existing.is_dir():
        raise UserError(f"--out_dir={out_dir}: {existing} is a file; choose a folder")
    if not os.access(existing, os.W_OK) or str(existing).split(os.sep)[1:2] in (["proc"], ["sys"]):
        raise UserError(f"--out_dir={out_dir}: {existing} is not writable; choose another folder")


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


def _interrupt(*_):
    raise KeyboardInterrupt


@contextlib.contextmanager
def exit_status(name):
    """Turns what may go wrong in a program into one line on standard error and its exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    except (UserError, flags.Error) as error:
        print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"{name}: {error}; mend it and the same command goes on", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted; the same command goes on", file=sys.stderr)
        sys.exit(130)


def parse_flags(flag_values, argv, usage):
    """Parses a command line that consists of flags alone; --help prints them and exits.

    Raises:
        UserError or flags.Error: An argument is not a flag, or not a valid one.
    """
    if any(argument in ("--help", "-help", "-h", "--helpfull") for argument in argv[1:]):
        print(f"usage: {usage}")
        # Without absl's headings, the names of the modules that define the flags.
        print(re.sub(r"^[\w.]+:\n", "", flag_values.get_help(), flags=re.MULTILINE).strip("\n"))
        sys.exit(0)
    rest = flag_values(argv)
    if len(rest) > 1:
        raise UserError(f"unexpected argument {rest[1]!r}; every option is a flag, --name=value")


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
        if flag_values.dry_run:
            _print_plan(replication, runs, flag_values.out_dir)
        else:
            options = Options(flag_values.out_dir, flag_values.strategy, flag_values.tensorboard)
            if replication.images:
                place = {"data_dir": flag_values.data_dir, "download": flag_values.download}
                options = dataclasses.replace(options, **place)
            _run_all(replication, runs, options)


def replication_names():
    """Returns the package names of all papers."""
    folder = pathlib.Path(__file__).parents[1] / "replications"
    return sorted(path.parent.name for path in folder.glob("*/settings.py"))


def replication(name):
    """Returns the `Replication` of a paper by its package name, without importing TensorFlow."""
    return importlib.import_module(f"replications.{name}.settings").REPLICATION
