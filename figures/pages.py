"""The marked blocks of README.md and of the papers' pages: what the records say, and the pictures of them."""

import contextlib
import importlib
import pathlib
import re
from collections.abc import Mapping, Sequence

from common.errors import UserError
from common.study import interruption
from common.study.claims import Judgement, judge, q_values
from common.study.files import replacing
from common.study.progress import Progress
from common.study.runs import load_claims, load_study, study_names
from figures import drawing
from figures.ledger import claims_table, headlines

ROOT = pathlib.Path(__file__).parents[1]
README, DOCS = ROOT / "README.md", ROOT / "docs"
_BLOCK = r"(?<=<!-- {0} -->\n).*?(?=<!-- end of {0} -->)"


def judge_all(records: str | pathlib.Path) -> dict[str, list[Judgement]]:
    """Judges all claims of all papers: {package name: judgements}."""
    return {name: judge(load_claims(name).CLAIMS, load_study(name), records) for name in study_names()}


def figures_of(name: str) -> drawing.PaperFigures:
    """Returns the figures of a paper."""
    return importlib.import_module(f"figures.{name}.paper_figures").PAPER_FIGURES


def drawable(name: str, records: str | pathlib.Path) -> dict[str, tuple]:
    """The figures of a paper whose runs are all there: {name: (scale, runs)}, in the paper's order."""
    found = {}
    for figure in figures_of(name).figures:
        with contextlib.suppress(UserError):
            found[figure] = drawing.choose(figures_of(name), figure, str(records))
    return found


def picture_of(name: str, figure: str) -> str:
    """Returns a picture's path from the folder of pages."""
    return f"images/{drawing.file_name(figures_of(name), figure)}.png"


def gallery(name: str, page: str, shown: Mapping[str, tuple]) -> str:
    """The pictures of a paper that its page does not show elsewhere, and the names of those that wait.

    Args:
        name: The paper's package.
        page: Its page, as text.
        shown: Its figures that can be drawn, as `drawable` returns them.
    """
    figures, lines = figures_of(name).figures, []
    for figure, (scale, _) in shown.items():
        picture, caption = picture_of(name, figure), figures_of(name).caption(figure)
        if f"]({picture})" not in _without("pictures", page):
            lines += [f"`--figure={figure}`, {scale} scale. {caption}", "", f"![{caption}]({picture})", ""]
    missing = [figure for figure in figures if figure not in shown]
    if missing:
        lines.append(f"Not drawn, since runs are missing: {', '.join(missing)}.")
    return "\n".join(lines).rstrip()


def blocks(
    found: Mapping[str, Sequence[Judgement]], shown: Mapping[str, Mapping[str, tuple]]
) -> dict[pathlib.Path, dict[str, str]]:
    """Returns {page: {name of a marked block: what it says}}.

    Args:
        found: The judgements of each paper.
        shown: What `drawable` returns of each.
    """
    q_of = q_values([judgement for judgements in found.values() for judgement in judgements])
    pages = {README: {"ledger": headlines(found)}}
    for name, judgements in found.items():
        page = DOCS / f"{name}.md"
        pictures = gallery(name, page.read_text(), shown[name])
        pages[page] = {"ledger": claims_table(judgements, q_of), "pictures": pictures}
    return pages


def filled(page: str, wanted: Mapping[str, str]) -> str:
    """Returns a page with its marked blocks replaced.

    Raises:
        ValueError: It has not one block of a name, between `<!-- name -->` and `<!-- end of name -->`.
    """
    for name, block in wanted.items():
        page, count = re.subn(_BLOCK.format(name), lambda _, b=block: f"{b}\n", page, flags=re.DOTALL)
        if count != 1:
            raise ValueError(f"A page must have one block named {name}. Received: {count}")
    return page


def _without(name, page):
    return re.sub(_BLOCK.format(name), "", page, flags=re.DOTALL)


def write_docs(records: str) -> None:
    """Fills the marked blocks of README.md and of the papers' pages, and draws their pictures anew."""
    shown = {name: drawable(name, records) for name in study_names()}
    for path, wanted in blocks(judge_all(records), shown).items():
        with replacing(path) as temporary:
            temporary.write_text(filled(path.read_text(), wanted))
    kept = set()
    progress = Progress("pictures", sum(map(len, shown.values())))
    for name, figures in shown.items():
        for figure, (scale, runs) in figures.items():
            interruption.check()
            drawn = drawing.draw_runs(figures_of(name), figure, scale, runs, DOCS / "images", ("png",))
            kept.update(drawn)
            progress.add(1)
    progress.close()
    for path in set((DOCS / "images").glob("*_figure_*.png")) - kept:
        path.unlink()
