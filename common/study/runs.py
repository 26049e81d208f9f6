"""The runs of a study: what the shared programs need to know of a paper, and where its runs are found."""

import dataclasses
import importlib
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType
from typing import Any

from .archive import Archive
from .rows import EarlierNames
from .run_folders import Run, RunFolder, settings_hash
from .setting import Settings, identity


def _keeps_all(settings: Settings, name: str) -> bool:
    return True


def _takes_gpu(settings: Settings) -> bool:
    return True


def _never_raised(settings: Settings) -> int:
    return 0


def _nothing(runs: Sequence[Any]) -> None:
    pass


@dataclasses.dataclass(frozen=True)
class Study:
    """What the shared program needs to know of a paper.

    Args:
        name: Package name below `replications`, and folder of its runs.
        settings: Settings dataclass; its `resolve()` fills defaults and raises UserError.
        protocol_version: Raised whenever the numbers of all runs change.
        figures: Names of the figure presets.
        runs_of_figure: Function (figure, scale) -> list of settings.
        estimate: Function settings -> seconds on a machine with two cores.
        compiles_once_over: Name of the setting that one process best runs through: its values share programs.
        images: Whether it reads an image data set: adds --data_dir.
        min_seeds: Figure -> how many of the seeds of its preset it needs, where one is not enough.
        network_sizes: Scale -> network -> the values of settings that the scale has for this network.
        usage: A line for --help on what else the program does.
        named_by: The settings that a packed run's readable name is made of, the first one always: one text.
        keeps_array: Function (settings, name) -> whether an array of a run is packed with it.
        trains_together: The settings in which runs may differ that one ensemble trains: adds --together.
        takes_gpu: Function settings -> whether a GPU, where there is one, makes the run faster.
        earlier_names: What metrics were called once -> the columns they have now, see `rows.renamed`.
        raised: Function settings -> by how much the version of these runs alone was raised.
        prepare: Called with all runs of a process, finished ones too, before its first is made.
    """

    name: str
    settings: type[Settings]
    protocol_version: int
    figures: tuple[str, ...]
    runs_of_figure: Callable[[str, str], Sequence[Settings]]
    estimate: Callable[[Any], float]
    compiles_once_over: str
    images: bool = False
    min_seeds: Mapping[str, int] = dataclasses.field(default_factory=dict)
    network_sizes: Mapping[str, Mapping[str, Mapping]] = dataclasses.field(default_factory=dict)
    usage: str = ""
    named_by: str = "seed"
    keeps_array: Callable[[Any, str], bool] = _keeps_all
    trains_together: tuple[str, ...] = ()
    takes_gpu: Callable[[Any], bool] = _takes_gpu
    earlier_names: EarlierNames = dataclasses.field(default_factory=dict)
    raised: Callable[[Any], int] = _never_raised
    prepare: Callable[[Sequence[Any]], None] = _nothing

    def version(self, settings: Settings) -> int:
        """Returns the protocol version of a run."""
        return self.protocol_version + self.raised(settings)

    def run_id(self, settings: Settings) -> str:
        """Returns what names the folder of resolved settings, and their run in packed records."""
        return settings_hash(self.name, self.version(settings), identity(settings))

    def experiment(self) -> ModuleType:
        """Imports the module that trains; it imports TensorFlow.

        It has `run(study, settings, options, label)`, which trains and measures resolved settings, or goes on
        with them, and leaves a finished run folder; `options` are the `command_line.RunOptions`, `label` are
        words that name the run in its progress line. A UserError says that the data is not there, or the
        folder not ours to write. And it has `table_row(settings, folder)`: a finished run in the printed
        table, a dictionary of texts and numbers. `network(settings)` builds the Keras model of a run. With
        `trains_together` there is `run_together`, which is `run` for a list of settings.
        """
        from .startup import import_quietly

        return import_quietly(f"replications.{self.name}.experiment")


def differing(runs: Sequence[Settings]) -> list[str]:
    """Returns the names of the settings in which runs differ."""
    fields = dataclasses.fields(runs[0])
    return [field.name for field in fields if len({getattr(run, field.name) for run in runs}) > 1]


def named(settings: Settings, names: Iterable[str]) -> str:
    """Returns settings as words, such as "width=4 seed=0"."""
    return " ".join(f"{name}={getattr(settings, name)}" for name in names)


def describe(settings: Settings, among: Sequence[Settings]) -> str:
    """Names a run by the settings in which the runs differ."""
    return named(settings, differing(among))


def need_files(runs: Iterable[Settings]) -> bool:
    """Whether any of the runs reads a data set from files, of which --data_dir says where they are."""
    return any(getattr(run, "needs_files", False) for run in runs)


def run_folder(study: Study, settings: Settings, out_dir: str | os.PathLike, worker: int = 0) -> RunFolder:
    """Returns the `run_folders.RunFolder` of a run."""
    values, names = dataclasses.asdict(settings), study.earlier_names
    return RunFolder(out_dir, study.name, study.version(settings), values, worker, identity(settings), names)


def unfinished(study: Study, runs: Iterable[Settings], out_dir: str | os.PathLike) -> list[Settings]:
    """Returns those of the resolved settings whose runs are not finished."""
    return [run for run in runs if not run_folder(study, run, out_dir).finished]


def find_runs(
    study: Study, settings: Iterable[Settings], records: str | os.PathLike
) -> list[tuple[Settings, Run | None]]:
    """Returns (settings, finished `run_folders.Run` or None) for each, from run folders or packed records."""
    archive = Archive(pathlib.Path(records) / study.name, study.earlier_names)

    def find(resolved):
        name = study.run_id(resolved)
        run = None
        if (archive.folder / name).exists():
            run = run_folder(study, resolved, records).run()
        return run or archive.find(name)

    return [(resolved, find(resolved)) for resolved in (chosen.resolve() for chosen in settings)]


def finished_seeds(
    found: Sequence[tuple[Settings, Run | None]], min_seeds: int = 1
) -> list[tuple[Settings, Run | None]]:
    """Leaves out of a figure's runs the seeds that are not finished yet.

    Args:
        found: (settings, Run or None) of every run, as `find_runs` returns them.
        min_seeds: How many seeds the figure needs, if it has as many.

    Returns:
        The runs of the first seeds, up to the first of which a run is missing, but of as many seeds as the
        figure needs. A run whose streams have seeds of their own belongs to the largest of them.
    """

    def largest(settings):
        return max(getattr(settings, "seeds", {"seed": settings.seed}).values())

    seeds = sorted({largest(settings) for settings, _ in found})
    missing = {largest(settings) for settings, run in found if run is None}
    finished = list(itertools.takewhile(lambda seed: seed not in missing, seeds))
    shown = seeds[: max(len(finished), min_seeds)]
    return [(settings, run) for settings, run in found if largest(settings) in shown]


def study_names() -> list[str]:
    """Returns the package names of all papers."""
    folder = pathlib.Path(__file__).parents[2] / "replications"
    return sorted(path.parent.name for path in folder.glob("*/presets.py"))


def load_claims(name: str) -> ModuleType:
    """Returns the package of a paper's claims, with TITLE, CLAIMS and DISAGREEMENTS."""
    return importlib.import_module(f"replications.{name}.claims")


def load_study(name: str) -> Study:
    """Returns the `Study` of a paper by its package name, without importing TensorFlow."""
    return importlib.import_module(f"replications.{name}.presets").STUDY
