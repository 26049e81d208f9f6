"""From records to picture files: which records, at which scale, under which name, and the command line.

A figure's runs are those of its preset; a flag of the replication changes them as it does when they are made.

Exit status as for the programs that train: 0 when the pictures are there, 2 for bad input and missing records
(one line says what to do).
"""

import contextlib
import dataclasses
import pathlib
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from absl import flags
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.figure import Figure

from common.errors import UserError
from common.study import interruption
from common.study.archive import RUNS as TABLE
from common.study.claims import data_name
from common.study.command_line import (
    SCALES,
    define_setting_flags,
    exit_status,
    flag_text,
    given_settings,
    parse_flags,
)
from common.study.files import replacing
from common.study.folders import check_folder, check_folder_to_make
from common.study.runs import describe, find_runs, finished_seeds, load_study, need_files
from common.study.variation import changed_figure
from figures import style

RECORDS, OUT_DIR = "results/runs", "figures/out"
# No dates and no program version: the same records give the same bytes.
_WRITERS = {
    "png": lambda figure, file: FigureCanvasAgg(figure).print_png(file, metadata={"Software": None}),
    "pdf": lambda figure, file: FigureCanvasPdf(figure).print_pdf(file, metadata={"CreationDate": None}),
}
KINDS = tuple(_WRITERS)
_NAMED = 3  # missing runs that a message names


@dataclasses.dataclass(frozen=True)
class PaperFigures:
    """The figures of one paper.

    Args:
        study: Package name below `replications`.
        figures: Figure name -> function of a list of (settings, Run), giving a matplotlib Figure.
        size: Function of a figure and a list of settings, giving the words for how large their runs are.
        num_seeds: How many consecutive seeds a figure shows of each run, where they exist and no change names
            one; it is complete with the seed that its preset names.
        tables: Figure name -> function of the same list, giving the head and the rows of a table that has
            ours beside the published numbers.
        curves: Figure -> the settings that tell its curves apart: a change to one may leave fewer curves.
        changes: Setting -> the value that it has in every run, other than in the published figure.
        styles: Name -> context manager within which pictures are drawn in another style.
        styled: The figures that these styles change; others stay in the house's.
        style: The one that is drawn in; None is the house's.
    """

    study: str
    figures: Mapping[str, Callable[[list], Figure]]
    size: Callable[[str, list], str]
    num_seeds: int = 1
    tables: Mapping[str, Callable[[list], tuple]] = dataclasses.field(default_factory=dict)
    curves: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    styles: Mapping[str, Callable[[], contextlib.AbstractContextManager]] = dataclasses.field(
        default_factory=dict
    )
    styled: Sequence[str] = ()
    style: str | None = None

    def caption(self, name):
        """Returns one sentence on what a figure shows."""
        return self.figures[name].__doc__.splitlines()[0]

    def style_of(self, name):
        """Returns the style that a figure is drawn in; None is the house's."""
        return self.style if name in self.styled else None

    def changed(self, changes):
        """Returns the `PaperFigures` whose figures have other values of some settings, name -> value."""
        return dataclasses.replace(self, changes=changes)

    def without_idle_changes(self, name, scale):
        """Returns the `PaperFigures` without changes that leave a figure's runs as the preset has them."""
        changes = self.changes
        for setting in self.changes:
            rest = {other: value for other, value in changes.items() if other != setting}
            with contextlib.suppress(UserError):  # another change may need this one
                if self._resolved(name, scale, rest) == self._resolved(name, scale, changes):
                    changes = rest
        return self.changed(changes)

    @property
    def arguments(self):
        """The flags that make its changes: ["--beta=0.5"]."""
        return [flag_text(setting, value) for setting, value in self.changes.items()]

    def settings(self, name, scale):
        """Returns the resolved settings of a figure's runs, changed as the `PaperFigures` say.

        Raises:
            UserError: No run has a use for a change, or it gives two runs the same settings which are not
                told apart by a setting of the curves.
        """
        published, changed = (self._resolved(name, scale, changes) for changes in ({}, self.changes))
        curves = self.curves.get(name, ())
        fewer = {setting: value for setting, value in self.changes.items() if setting in curves}
        if len(changed) in (len(published), len(self._resolved(name, scale, fewer))):
            return changed
        guilty = self.changes
        for setting, value in self.changes.items():
            alone = {setting: value}
            with contextlib.suppress(UserError):  # it may need another one
                if len(self._resolved(name, scale, alone)) < len(published):
                    guilty = alone
        does = "shows several seeds" if list(guilty) == ["seed"] else "compares runs by this setting"
        raise UserError(f"{' '.join(self.changed(guilty).arguments)}: figure {name} {does}")

    def _resolved(self, name, scale, changes):
        given = {setting: (value,) for setting, value in changes.items()}
        runs = changed_figure(load_study(self.study), name, scale, given)
        return list(dict.fromkeys(settings.resolve() for settings in runs))

    def runs(self, name, scale, records):
        """Returns (settings, `run_folders.Run`) for each run of a figure; None for one that is not finished.

        Seeds of the preset that are not finished are left out if the others are enough for the figure. Runs
        of further seeds follow those of the preset, and only finished ones.
        """
        paper = load_study(self.study)
        found = find_runs(paper, self.settings(name, scale), records)
        found = finished_seeds(found, paper.min_seeds.get(name, 1))
        if not all(run for _, run in found):
            return found
        known = {settings for settings, _ in found}
        further = dict.fromkeys(
            dataclasses.replace(settings, seed=settings.seed + i)
            for i in range(1, 1 if "seed" in self.changes else self.num_seeds)
            for settings, _ in found
        )
        further = find_runs(paper, [settings for settings in further if settings not in known], records)
        return found + [(settings, run) for settings, run in further if run]

    def largest(self, name, records, scales):
        """Finds the runs of a figure at the largest scale at which all are there, else with any.

        Args:
            name: Figure.
            records: Folder of run folders.
            scales: Those that count, smallest first or not.

        Returns:
            (scale, list of (settings, Run or None), whether all are there); None if there is no run.
        """
        begun = None
        for scale in filter(scales.__contains__, reversed(SCALES)):
            runs = self.runs(name, scale, records)
            if all(run for _, run in runs):
                return scale, runs, True
            if begun is None and any(run for _, run in runs):
                begun = scale, runs, False
        return begun


def choose(paper_figures, name, records, scale=None):
    """Finds the records of a figure.

    Args:
        paper_figures: The paper's `PaperFigures`.
        name: Figure.
        records: Folder of run folders.
        scale: Scale of the runs; None for the largest one at which all are there.

    Returns:
        (scale, list of (settings, Run)).

    Raises:
        UserError: Runs are missing; says which, and the command that makes them. Or they are not all on the
            same data.
    """
    check_records(records)
    found = paper_figures.largest(name, records, [scale] if scale else SCALES)
    if found is None:
        # The scale that takes at most about an hour.
        chosen = scale or "laptop"
        found = chosen, paper_figures.runs(name, chosen, records), False
    chosen, runs, is_complete = found
    if not is_complete:
        raise UserError(_missing(paper_figures, name, chosen, runs, records))
    check_data(name, chosen, runs)
    return chosen, runs


def check_records(records):
    """Refuses a folder of runs that is not there; the default one may be made yet.

    Raises:
        UserError: It is a file or missing.
    """
    if records != RECORDS or pathlib.Path(records).exists():
        check_folder("records", records, "name the folder that the runs were written to")


def check_data(name, scale, runs):
    """Refuses two data sets on one axis.

    Raises:
        UserError: A figure's runs are not all on the same.
    """
    titles = sorted({str(data_name(run)) for _, run in runs})
    if len(titles) > 1:
        raise UserError(
            f"figure {name} at {scale} scale: its runs are on {' and '.join(titles)}, never in one picture; "
            "keep them in two folders and give one of them as --records"
        )


def _missing(paper_figures, name, scale, runs, records):
    everything = [settings for settings, _ in runs]
    missing = [settings for settings, run in runs if run is None]
    names = "; ".join(describe(s, everything) or "the only one" for s in missing[:_NAMED])
    if len(missing) > _NAMED:
        names += f"; and {len(missing) - _NAMED} more"
    return (
        f"figure {name} at {scale} scale: {len(missing)} of {len(runs)} runs are missing in {records} "
        f"({names}); `{command(paper_figures, name, scale, records)}` makes them"
    )


def command(paper_figures, name, scale, records):
    """Returns the command that makes the runs of a figure; packed records are not trained into."""
    is_packed = (pathlib.Path(records) / paper_figures.study / TABLE).exists()
    place = "" if records == RECORDS or is_packed else f" --out_dir={shlex.quote(str(records))}"
    changes = "".join(f" {argument}" for argument in paper_figures.arguments)
    if need_files(paper_figures.settings(name, scale)):
        place = f" --data_dir=DIR{place}"
    return f"python -m replications.{paper_figures.study} --figure={name} --scale={scale}{changes}{place}"


def draw(paper_figures, name, records=RECORDS, scale=None, out_dir=OUT_DIR, kinds=KINDS):
    """Draws one figure, as PNG and PDF; the same records give the same bytes.

    Args:
        paper_figures: The paper's `PaperFigures`.
        name: Figure, a key of `paper_figures.figures`.
        records: Folder of run folders.
        scale: Scale of the runs; None for the largest complete one.
        out_dir: Folder of the pictures.
        kinds: Some of `KINDS`.

    Returns:
        Their paths.

    Raises:
        UserError: Runs are missing or not all on the same data, or the folder cannot be made.
    """
    scale, runs = choose(paper_figures, name, records, scale)
    paper_figures = paper_figures.without_idle_changes(name, scale)
    check_folder_to_make("out_dir", str(out_dir))
    return draw_runs(paper_figures, name, scale, runs, out_dir, kinds)


def draw_runs(paper_figures, name, scale, runs, out_dir, kinds=KINDS):
    """Draws one figure of runs that were found, (settings, Run) pairs; else as `draw`."""
    if all(run.diverged for _, run in runs):
        raise UserError(f"figure {name}: all of its {len(runs)} runs diverged")
    paths = []
    own = paper_figures.style_of(name)
    with style.applied(), paper_figures.styles[own]() if own else contextlib.nullcontext():
        figure = _figure(paper_figures, name, runs)
        if text := _stamp(paper_figures, name, scale, runs):
            style.stamp(figure, text)
        _lay_out(figure)
        folder = _made_folder(out_dir)
        for kind in kinds:
            paths.append(folder / f"{file_name(paper_figures, name)}.{kind}")
            # Figure.savefig would draw twice, to lay out what has its place.
            with replacing(paths[-1]) as temporary, open(temporary, "wb") as file:
                _WRITERS[kind](figure, file)
    return paths


def _lay_out(figure):
    """Gives everything its place, once for all files.

    Ticks settle on the first layout, their room is right on the second. The last digits of the solver depend
    on addresses in memory, so places are rounded: the same records give the same bytes.
    """
    figure.set_dpi(matplotlib.rcParams["savefig.dpi"])
    for _ in range(2):
        figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position(original=True).bounds, 6))


def _made_folder(out_dir):
    try:
        pathlib.Path(out_dir).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--out_dir={out_dir}: {error.strerror}; choose a folder you can write") from None
    return pathlib.Path(out_dir)


def _figure(paper_figures, name, runs):
    try:
        return paper_figures.figures[name](runs)
    except (LookupError, ValueError):
        if not paper_figures.changes:
            raise
        changes = " ".join(paper_figures.arguments)
        raise UserError(f"figure {name} cannot be drawn with {changes}: it shows other runs") from None


def file_name(paper_figures, name):
    """The name of a picture's file, without its ending."""
    changes = "".join(f"_{setting}_{value}" for setting, value in paper_figures.changes.items())
    style_name = f"_style_{own}" if (own := paper_figures.style_of(name)) else ""
    return f"{paper_figures.study}_figure_{name}{changes}{style_name}"


def _stamp(paper_figures, name, scale, runs):
    """What a picture must say of its runs: what was changed, how large they are, and on which images."""
    lines = []
    if paper_figures.changes:
        lines.append("changed: " + ", ".join(f"{n} {value}" for n, value in paper_figures.changes.items()))
    size = paper_figures.size(name, [settings for settings, _ in runs])
    lines.append(_unparted(f"{scale} scale: {size}"))
    if load_study(paper_figures.study).images:
        lines.append(data_name(runs[0][1]))
        diverged = sum(run.diverged for _, run in runs)
        if diverged:
            lines.append(f"{diverged} of {len(runs)} runs diverged")
    return "\n".join(lines)


def _unparted(text):
    """The same text, whose lines break between its clauses alone."""
    return re.sub("(?<![:,;]) ", "\N{NO-BREAK SPACE}", text)


def _draw_all(paper_figures, records, scale, out_dir):
    drawn, reasons = [], []
    for name in paper_figures.figures:
        interruption.check()
        try:
            drawn += draw(paper_figures, name, records, scale, out_dir)
        except UserError as error:
            reasons.append(str(error))
    if not drawn:
        first, *others = dict.fromkeys(reasons)
        if not others:
            raise UserError(first)
        raise UserError(f"no figure could be drawn from the runs in {records}; of the first, {first}")
    for reason in reasons:
        print(f"not drawn: {reason}")
    return drawn


def _define_flags(paper_figures, flag_values):
    flags.DEFINE_enum(
        "figure",
        "all",
        [*paper_figures.figures, "all"],
        "Draws this figure, or all that have records.",
        flag_values=flag_values,
    )
    flags.DEFINE_string("records", RECORDS, "Folder that the runs were written to.", flag_values=flag_values)
    flags.DEFINE_enum(
        "scale",
        None,
        SCALES,
        "Scale of the runs; by default the largest one at which all runs of the figure are there.",
        flag_values=flag_values,
    )
    flags.DEFINE_string("out_dir", OUT_DIR, "Folder of the pictures.", flag_values=flag_values)
    if paper_figures.styles:
        flags.DEFINE_enum(
            "style",
            None,
            list(paper_figures.styles),
            "Draws planes in this style; by default in one that shows confidences and wrong labels.",
            flag_values=flag_values,
        )
    define_setting_flags(load_study(paper_figures.study), flag_values)


def _changes(paper_figures, flag_values):
    """The settings that the flags change; a picture has one value of each."""
    given = given_settings(load_study(paper_figures.study), flag_values)
    for name, values in given.items():
        if len(values) > 1:
            raise UserError(f"--{name}={','.join(map(str, values))}: a picture takes one value")
    return {name: value for name, (value,) in given.items()}


def _check_style(paper_figures, name):
    if paper_figures.style and name != "all" and not paper_figures.style_of(name):
        raise UserError(
            f"--style={paper_figures.style}: figure {name} has none; it is one of "
            + ", ".join(paper_figures.styled)
        )


def main(paper_figures, argv=None):
    """Runs a paper's drawing command and exits with its status."""
    flag_values = flags.FlagValues()
    _define_flags(paper_figures, flag_values)
    program = f"figures.{paper_figures.study}"
    with exit_status(program, goes_on=False):
        argv = sys.argv if argv is None else argv
        parse_flags(flag_values, argv, f"python -m {program} [--flag=value ...]")
        paper_figures = paper_figures.changed(_changes(paper_figures, flag_values))
        if paper_figures.styles:
            paper_figures = dataclasses.replace(paper_figures, style=flag_values.style)
            _check_style(paper_figures, flag_values.figure)
        values = (flag_values.records, flag_values.scale, flag_values.out_dir)
        check_records(flag_values.records)
        check_folder_to_make("out_dir", flag_values.out_dir)
        with interruption.deferred():
            if flag_values.figure == "all":
                paths = _draw_all(paper_figures, *values)
            else:
                paths = draw(paper_figures, flag_values.figure, *values)
        for path in paths:
            print(path)
