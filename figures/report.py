"""`python -m figures.report`: the ledger of all claims, and one self-contained HTML page about the records.

Reads records alone; trains nothing and loads no TensorFlow. Exit status 2 for bad input (one line says what).
"""

from common.study import interruption
from common.study.run_folders import Run
from common.study.setting import Settings

if __name__ == "__main__":
    interruption.listen("report", goes_on=False)  # also while the rest is imported

import contextlib
import dataclasses
import gc
import multiprocessing
import os
import pathlib
import signal
import sys
import tempfile
import threading
import time
from concurrent.futures import ProcessPoolExecutor

from absl import flags

from common.errors import UserError
from common.machine import usable_cores
from common.study.claims import Judgement, headline, judge, q_values
from common.study.command_line import SCALES, exit_status, parse_flags
from common.study.files import replacing
from common.study.folders import check_file_to_make
from common.study.progress import Progress
from common.study.runs import load_claims, load_study, study_names
from figures import drawing
from figures.ledger import ledger
from figures.pages import figures_of, write_docs
from figures.report_page import page
from figures.run_table import run_table

_WORTH_PROCESSES = 8  # figures; fewer are drawn before other processes have started


@dataclasses.dataclass(frozen=True)
class FigureRecords:
    """The finished runs of one figure at one scale.

    `caption` says what the figure shows. `runs` are pairs (settings, Run), `expected` is their number with
    all seeds of the preset, `run_table` is what `run_table.run_table` gives of them, and `picture` holds a
    PNG file's bytes, or None if there is none; `reason` then says why. `table` holds the head and the rows of
    our numbers beside the published ones, or None.
    """

    name: str
    scale: str
    caption: str
    runs: list[tuple[Settings, Run]]
    expected: int
    run_table: tuple
    picture: bytes | None = None
    reason: str = ""
    table: tuple | None = None


@dataclasses.dataclass(frozen=True)
class Paper:
    """What the report says about one paper."""

    name: str
    title: str
    judgements: list[Judgement]
    figures: list[FigureRecords]
    disagreements: tuple[str, ...]

    @property
    def short_title(self):
        """Authors and year."""
        return self.title.split(",")[0]

    @property
    def several_scales(self):
        """Whether a claim is judged at more than one scale."""
        numbers = [judgement.claim.number for judgement in self.judgements]
        return len(set(numbers)) < len(numbers)


def collect(names, records, scales=()):
    """Judges the claims of papers and gathers their figures; the pictures are drawn meanwhile, on all cores.

    Args:
        names: Package names below `replications`.
        records: Folder of all runs.
        scales: Scales to judge, each on its own; empty takes for each claim and figure the largest at which
            its runs are finished.

    Returns:
        A `Paper` for each name.
    """
    wanted = [(n, figure, records, scales or SCALES) for n in names for figure in load_study(n).figures]
    progress = Progress("figures", len(wanted))
    with _mapped(_figure_records, wanted) as found:
        claims = {name: load_claims(name) for name in names}
        judged = {name: _judgements(name, claims[name].CLAIMS, records, scales) for name in names}
        figures = {name: [] for name in names}
        for (name, *_), figure in zip(wanted, found, strict=True):
            figures[name] += [figure] if figure else []
            progress.add(1)
    progress.close()
    return [
        Paper(name, claims[name].TITLE, judged[name], figures[name], claims[name].DISAGREEMENTS)
        for name in names
    ]


def _judgements(name, claims, records, scales):
    study = load_study(name)
    found = []
    for scale in scales or (None,):
        interruption.check()
        found += judge(claims, study, records, scale)
    return sorted(found, key=lambda judgement: judgement.claim.number)


def _figure_records(name, figure, records, scales):
    """A figure at the largest complete scale, drawn, else at the largest with any run, else None."""
    interruption.check()
    paper_figures = figures_of(name)
    largest = paper_figures.largest(figure, records, scales)
    if largest is None:
        return None
    scale, found, complete = largest
    runs = [(settings, run) for settings, run in found if run]
    expected = {*paper_figures.settings(figure, scale), *(settings for settings, _ in found)}
    shown = FigureRecords(figure, scale, paper_figures.caption(figure), runs, len(expected), run_table(runs))
    if not complete:
        return dataclasses.replace(shown, reason="Drawn when all its runs are finished.")
    try:
        drawing.check_data(figure, scale, runs)
        picture = _picture(paper_figures, figure, scale, runs)
    except UserError as error:
        return dataclasses.replace(shown, reason=f"Not drawn: {error}.")
    table = paper_figures.tables[figure](runs) if figure in paper_figures.tables else None
    return dataclasses.replace(shown, picture=picture, table=table)


def _picture(paper_figures, figure, scale, runs):
    with tempfile.TemporaryDirectory() as folder:
        (path,) = drawing.draw_runs(paper_figures, figure, scale, runs, folder, kinds=("png",))
        return path.read_bytes()


@contextlib.contextmanager
def _mapped(function, arguments):
    """Yields an iterator over a function's values, in order; many are made on all cores."""
    if len(arguments) < _WORTH_PROCESSES or len(usable_cores()) == 1:
        yield (function(*one) for one in arguments)
        return
    # A fork starts at once; elsewhere than on Linux it is not safe.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    with ProcessPoolExecutor(len(usable_cores()), context, _follow, (os.getpid(),)) as pool:
        try:
            yield pool.map(function, *zip(*arguments, strict=True))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _follow(parent):
    """Called in a process that draws: signals are for its parent alone, and it ends with it."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    def watch():
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _define_flags(flag_values):
    for name, default, help in (
        ("records", "results/reference", "Folder that holds the run folders."),
        ("out", "report.html", "File that the HTML page is written to."),
    ):
        flags.DEFINE_string(name, default, help, flag_values=flag_values)
    flags.DEFINE_enum(
        "replication",
        None,
        study_names(),
        "Reports on this paper only; by default on all that have records.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "scale",
        [],
        f"Scales to judge ({', '.join(SCALES)}); by default, for each claim the largest that its runs have.",
        flag_values=flag_values,
    )

    flags.DEFINE_bool(
        "write_docs",
        False,
        "Writes verdicts and pictures into README.md and docs/, and stops.",
        flag_values=flag_values,
    )


def _check(flag_values):
    """Refuses bad input before anything is read or written."""
    for scale in flag_values.scale:
        if scale not in SCALES:
            raise UserError(f"--scale={scale}: must be one of {', '.join(SCALES)}")
    drawing.check_records(flag_values.records)
    check_file_to_make("out", flag_values.out)


def _check_docs(flag_values):
    """Refuses to write pages from a part of the records, or from none: they lose pictures without runs."""
    for name in ("replication", "scale", "out"):
        if flag_values[name].present:
            raise UserError(f"--{name}: not with --write_docs, which writes all pages from all records")
    drawing.check_records(flag_values.records)
    lacking = [name for name in study_names() if not (pathlib.Path(flag_values.records) / name).exists()]
    if lacking:
        raise UserError(
            f"--records={flag_values.records}: --write_docs needs all papers, not without {lacking[0]}"
        )


def _report(flag_values):
    _check(flag_values)
    # Pictures are millions of small objects, which the collector would look through a tenth of the time.
    gc.set_threshold(100_000, 20, 100)
    names = [flag_values.replication] if flag_values.replication else study_names()
    papers = collect(names, flag_values.records, tuple(dict.fromkeys(flag_values.scale)))
    papers = [paper for paper in papers if paper.figures]
    if not papers:
        scales = f" at {' or '.join(flag_values.scale)} scale" if flag_values.scale else ""
        scale = [*flag_values.scale, "laptop"][0]
        command = drawing.command(
            figures_of(names[0]), load_study(names[0]).figures[0], scale, flag_values.records
        )
        raise UserError(
            f"--records={flag_values.records}: no finished run of a figure{scales}; `{command}` makes some"
        )
    judgements = [judgement for paper in papers for judgement in paper.judgements]
    q_of = q_values(judgements)
    for paper in papers:
        print(ledger(paper.title, paper.judgements, q_of), end="\n\n")
    print(f"all: {headline(judgements)}")
    with replacing(flag_values.out) as temporary:
        temporary.write_text(page(papers))
    print(f"page: {flag_values.out}")


def main(argv=None):
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    with exit_status("report", goes_on=False):
        argv = sys.argv if argv is None else argv
        parse_flags(flag_values, argv, "python -m figures.report [--flag=value ...]")
        with interruption.deferred():
            if flag_values.write_docs:
                _check_docs(flag_values)
                write_docs(flag_values.records)
            else:
                _report(flag_values)


if __name__ == "__main__":
    main()
