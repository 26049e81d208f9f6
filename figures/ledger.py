"""The ledger of claims in words: on a terminal, and as tables of the pages."""

import dataclasses
import math
import textwrap
from collections.abc import Mapping, Sequence

from common.study.claims import Claim, Judgement, headline
from common.study.progress import duration
from common.study.runs import load_claims
from common.study.verdicts import Outcome
from figures.seeds import ranges

_WIDTH = 110
MARKS = {
    "reproduced": "+",
    "in part": "+",
    "contradicted": "-",
    "no difference": "=",
    "open": "?",
    "not judged": " ",
}
_FINDINGS = {
    "reproduced": "Our runs show it",
    "contradicted": "Our runs show the opposite",
    "no difference": "Our runs show no difference",
    "out of reach": "Out of reach",
    "open": "Not decided yet",
    "not run": "Not run",
}
PART_WORDS = {
    "reproduced": "Holds",
    "in part": "Holds in part",
    "contradicted": "The opposite",
    "no difference": "No difference",
    "open": "Open",
}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What the runs of a claim show.

    Args:
        start: In a few words.
        parts: The judged parts; of a claim without parts its own outcome, if it has numbers.
        price: A sentence on what would decide an open claim; empty where nothing or nobody knows.
    """

    start: str
    parts: tuple[Outcome, ...] = ()
    price: str = ""

    @property
    def several(self) -> tuple[Outcome, ...]:
        """The parts if there is more than one, which the summary does not tell."""
        return self.parts if len(self.parts) > 1 else ()

    @property
    def summary(self) -> str:
        """One sentence: of several parts how many hold, of one what was found."""
        clause = f": {self.parts[0].clause}" if len(self.parts) == 1 else ""
        return f"{self.start}{clause}."

    @property
    def lines(self) -> list[str]:
        """The summary, each of several parts, the price."""
        lines = [self.summary, *(f"{PART_WORDS[part.verdict]}: {part.clause}." for part in self.several)]
        return [*lines, self.price] if self.price else lines


def finding(judgement: Judgement) -> Finding:
    """What was found, in plain words: every judged part of a claim with its number."""
    outcome, claim = judgement.outcome, judgement.claim
    if outcome.verdict == "out of reach" and judgement.scale:
        return Finding(f"Out of reach: {claim.out_of_reach[judgement.scale]}")
    start = (
        _FINDINGS.get(outcome.verdict) or f"{outcome.words.partition('(')[2].removesuffix(')')} parts hold"
    )
    judged = tuple(part for part in outcome.parts if part.verdict in PART_WORDS)
    parts = judged or ((outcome,) if outcome.found or outcome.parts else ())
    price = ""
    if outcome.verdict in ("open", "not run") and judgement.minutes is not None:
        seeds = f"{outcome.more} more seed{'s' * (outcome.more > 1)}, " if outcome.more else ""
        price = f"To decide it: {seeds}about {duration(60 * judgement.minutes)}."
    return Finding(start, parts, price)


def ledger(
    title: str, judgements: Sequence[Judgement], q_of: Mapping[tuple[Claim, str | None], float]
) -> str:
    """Returns a paper's ledger as text: number, verdict, statement, the parts with their numbers."""
    legend = ", ".join(f"{mark} {verdict}" for verdict, mark in MARKS.items() if mark.strip())
    lines = [title, "", f"Parts of a claim: {legend}."]
    for judgement in judgements:
        claim, outcome = judgement.claim, judgement.outcome
        q = q_text(q_of.get(judgement.key))
        lines.append(f"{claim.number:3d}  {judgement.verdict} ({claim.source}){q}")
        texts = [("", claim.statement)]
        texts += [(f"{MARKS[part.verdict]} ", part.seen) for part in outcome.parts] or [("", outcome.seen)]
        for mark, text in texts:
            indent = " " * (5 + len(mark))
            lines.append(textwrap.fill(indent[:5] + mark + text, _WIDTH, subsequent_indent=indent))
    return "\n".join([*lines, "", headline(judgements)])


def q_text(q: float | None) -> str:
    """Words on a claim's q value, empty if it has none."""
    return "" if q is None or math.isnan(q) else f" (q = {q:.2g})"


def claims_table(judgements: Sequence[Judgement], q_of: Mapping[tuple[Claim, str | None], float]) -> str:
    """What a paper's page says: its headline, and its claims as a table."""
    lines = [
        f"**{headline(judgements).capitalize()}.** Intervals are at 90 %: each end is a one-sided limit",
        "at 95 %. q is Benjamini and Hochberg's over all claims of the four papers. The seeds that decide",
        "are in bold type; those before them are exploratory. The rest: `python -m figures.report`.",
        "",
        "| # | the paper says | verdict | found | seeds | q |",
        "|---|---|---|---|---|---|",
    ]
    for judgement in judgements:
        claim, q = judgement.claim, q_of.get(judgement.key)
        words = f'{claim.statement} "{claim.quote}"' if claim.quote else claim.statement
        deciding = f"**{ranges(judgement.seeds)}**" if judgement.seeds else "-"
        looked = f"{ranges(judgement.exploratory)}; " if judgement.exploratory else ""
        cells = (
            str(claim.number),
            f"{words} ({claim.source})",
            judgement.outcome.words + (f", {judgement.scale}" if judgement.scale else ""),
            "<br>".join(finding(judgement).lines),
            looked + deciding,
            f"{q:.2g}" if q is not None else "-",
        )
        lines.append(f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |")
    return "\n".join(lines)


def headlines(found: Mapping[str, Sequence[Judgement]]) -> str:
    """What README.md says: a line for each paper, and one for all."""
    lines = ["| paper | claims |", "|---|---|"]
    for name, judgements in found.items():
        title = load_claims(name).TITLE
        lines.append(f"| [{title}](docs/{name}.md) | {headline(judgements)} |")
    everything = [judgement for judgements in found.values() for judgement in judgements]
    return "\n".join([*lines, f"| **all** | **{headline(everything)}** |"])
