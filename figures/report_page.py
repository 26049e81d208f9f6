"""The report as one HTML document without external resources.

Contents that stay in view, a table of all claims with filters, then for each paper its figures, each with the
claims that it shows, tables, and where the runs come from.
"""

import html
import pathlib
from collections.abc import Mapping, Sequence

from common.study.claims import Claim, Judgement, headline, q_values
from common.study.command_line import SCALES
from common.study.run_folders import measured_seconds
from common.study.verdicts import VERDICTS, number
from figures.html_parts import picture, table
from figures.ledger import PART_WORDS, finding, q_text

_HERE = pathlib.Path(__file__).parent
_escape = html.escape


def _class(verdict):
    return verdict.replace(" ", "-")


def _chip(judgement):
    outcome, scale = judgement.outcome, f", {judgement.scale}" if judgement.scale else ""
    return f"<span class='chip {_class(outcome.verdict)}'>{_escape(outcome.words)}{scale}</span>"


def _anchor(paper, judgement):
    scale = f"-{judgement.scale}" if paper.several_scales else ""
    return f"{paper.name}-claim-{judgement.claim.number}{scale}"


def _figure_anchor(paper, figure):
    return f"{paper.name}-figure-{figure.name}"


def _title(figure):
    name = figure.name.replace("_", " ")
    return f"Figure {name}".replace("Figure table", "Table ")


def _parts_html(parts):
    """A list of Outcomes, each with a mark and a word for its verdict; empty without any."""
    marked = "".join(
        f"<li class={_class(part.verdict)}>{_part_words(part)}{_escape(part.seen)}</li>" for part in parts
    )
    return f"<ul class=seen>{marked}</ul>" if parts else ""


def _part_words(part):
    words = PART_WORDS.get(part.verdict)
    return f"<b>{words}:</b> " if words else ""


def _claim_html(paper, judgement, q):
    """A claim: verdict, what was found part by part, and the rest for whoever opens it."""
    claim, outcome, found = judgement.claim, judgement.outcome, finding(judgement)
    quote = f"<p class=quote>&ldquo;{_escape(claim.quote)}&rdquo;</p>" if claim.quote else ""
    rest = [part for part in outcome.parts or (outcome,) if part.seen and part not in found.several]
    facts = [claim.tests, f"{judgement.verdict[0].upper()}{judgement.verdict[1:]}."]
    if judgement.seeds:
        facts.append(f"Seeds that decide: {', '.join(map(str, judgement.seeds))}.")
    if judgement.exploratory:
        facts.append(f"Exploratory seeds: {', '.join(map(str, judgement.exploratory))}.")
    facts = "".join(f"<p>{_escape(fact)}</p>" for fact in facts if fact)
    return (
        f"<section class=claim id={_anchor(paper, judgement)}><h4>{_chip(judgement)} "
        f"{claim.number}. {_escape(claim.statement)}</h4>{quote}"
        f"<p class=finding>{_escape(found.summary)}{_escape(q_text(q))}</p>"
        f"{_parts_html(found.several)}{f'<p>{_escape(found.price)}</p>' if found.price else ''}"
        f"<p class=source>{_escape('; '.join([claim.source, *judgement.data]))}</p>"
        f"<details><summary>Statistics</summary>{facts}{_parts_html(rest)}</details></section>"
    )


def _numeric(rows):
    """Indices of the columns of a table that hold numbers, also with an interval, or nothing."""
    return [i for i in range(len(rows[0])) if all(str(row[i])[:1] in "0123456789-+" for row in rows)]


def _alternative_text(figure, title, judgements):
    """What a picture shows, for those who do not see it: its caption, the claims that are read off it."""
    shown = " ".join(f"{j.claim.statement} {finding(j).summary}" for j in judgements)
    return f"{title}, {figure.scale} scale, {len(figure.runs)} runs. {figure.caption} {shown}".strip()


def _figure_html(paper, figure, judgements, q_of):
    state = f"{len(figure.runs)} of {figure.expected} runs, {figure.scale} scale"
    title = _title(figure)
    parts = [
        f"<section id={_figure_anchor(paper, figure)}><h3>{_escape(title)}</h3>"
        f"<p>{_escape(figure.caption)}</p><p class=source>{state}</p>"
    ]
    if figure.picture:
        parts.append(picture(figure.picture, _alternative_text(figure, title, judgements)))
    elif figure.reason:
        parts.append(f"<p>{_escape(figure.reason)}</p>")
    if figure.table:
        head, rows = figure.table
        parts.append(table(head, rows, numeric=_numeric(rows)))
    parts += [_claim_html(paper, judgement, q_of.get(judgement.key)) for judgement in judgements]
    head, rows, num_names = figure.run_table
    runs = table(head, rows, numeric=range(num_names, len(head)))
    return "\n".join([*parts, f"<details><summary>All runs</summary>{runs}</details></section>"])


def _provenance_html(paper):
    """Commands, commits, versions, machines and hours of every run the page shows."""
    runs = {run.path: run for figure in paper.figures for _, run in figure.runs}
    runs |= {run.path: run for judgement in paper.judgements for run in judgement.runs}
    groups = {}
    for run in runs.values():
        record = run.record
        commit = (record["commit"] or "unknown")[:12] + (" with local changes" if record["dirty"] else "")
        versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
        key = " ".join(record["argv"]), commit, versions, record["machine"]
        groups.setdefault(key, []).append(run)
    rows = []
    for (command, *origin), members in groups.items():
        finished = sorted(run.record["times"]["finished"][:10] for run in members)
        days = " to ".join(dict.fromkeys((finished[0], finished[-1])))
        hours = sum(measured_seconds(run.record["times"]) for run in members) / 3600
        rows.append([command, len(members), number(hours), *origin, days])
    head = ["command", "runs", "hours", "commit", "versions", "machine", "finished"]
    return table(head, rows, numeric=(1, 2))


def _by_figure(paper):
    """{figure: its claims}: each beside the first of its figures that is shown; None: beside none."""
    shown = [figure.name for figure in paper.figures]
    groups: dict[str | None, list[Judgement]] = {name: [] for name in (*shown, None)}
    for judgement in paper.judgements:
        groups[next((name for name in judgement.claim.figures if name in shown), None)].append(judgement)
    return groups


def _paper_html(paper, q_of):
    groups = _by_figure(paper)
    figures = "\n".join(_figure_html(paper, f, groups[f.name], q_of) for f in paper.figures)
    rest = "\n".join(_claim_html(paper, j, q_of.get(j.key)) for j in groups[None])
    rest = f"<h3>Claims without a picture here</h3>{rest}" if rest else ""
    disagreements = "".join(f"<li>{_escape(text)}</li>" for text in paper.disagreements)
    return f"""<article id={paper.name}>
<h2>{_escape(paper.title)}</h2>
<p>{_escape(headline(paper.judgements))}.</p>
{figures}
{rest}
<h3 id={paper.name}-choices>Where the paper disagrees with itself or leaves a choice</h3>
<ul>{disagreements}</ul>
<h3 id={paper.name}-provenance>Provenance</h3>
<details><summary>Commands, commits, versions and hours of all runs</summary>
{_provenance_html(paper)}</details>
</article>"""


def _contents(papers):
    """The links that stay in view."""
    entries = []
    for paper in papers:
        links = [(_figure_anchor(paper, figure), _title(figure)) for figure in paper.figures]
        links += [(f"{paper.name}-choices", "Choices"), (f"{paper.name}-provenance", "Provenance")]
        items = "".join(f"<li><a href=#{anchor}>{_escape(text)}</a></li>" for anchor, text in links)
        entries.append(f"<li><a href=#{paper.name}>{_escape(paper.short_title)}</a><ul>{items}</ul></li>")
    links = "<ul><li><a href=#claims>All claims</a></li>" + "".join(entries) + "</ul>"
    return f"<nav aria-label=Contents><details open><summary>Contents</summary>{links}</details></nav>"


def _options(name, choices):
    options = "".join(f"<option value='{value}'>{_escape(text)}</option>" for value, text in choices)
    return f"<label>{name} <select data-filter={name}><option value=''>all</option>{options}</select></label>"


def _short_html(found):
    """What was found: of one part its number, of several how many hold, and the parts on a click."""
    summary, price = _escape(found.summary), _escape(found.price)
    if not found.several:
        return f"{summary} {price}"
    return f"<details><summary>{summary}</summary>{_parts_html(found.several)}</details>{price}"


def _claims_html(papers, q_of: Mapping[tuple[Claim, str | None], float]):
    """The table of all claims; a script hides the rows that the filters leave out."""
    rows = []
    for paper in papers:
        for judgement in paper.judgements:
            claim, outcome, q = judgement.claim, judgement.outcome, q_of.get(judgement.key)
            rows.append(
                f"<tr data-paper={paper.name} data-verdict={_class(outcome.verdict)} "
                f"data-scale='{judgement.scale or ''}'>"
                f"<td>{_escape(paper.short_title)}</td>"
                f"<td><a href=#{_anchor(paper, judgement)}>{claim.number}. "
                f"{_escape(claim.statement)}</a></td>"
                f"<td>{_chip(judgement)}</td><td>{_short_html(finding(judgement))}</td>"
                f"<td class=number>{'' if q is None else f'{q:.2g}'}</td></tr>"
            )
    verdicts = {judgement.outcome.verdict for paper in papers for judgement in paper.judgements}
    filters = _options("paper", [(paper.name, paper.short_title) for paper in papers])
    filters += _options("verdict", [(_class(v), v) for v in VERDICTS if v in verdicts])
    scales = {judgement.scale for paper in papers for judgement in paper.judgements}
    filters += _options("scale", [(scale, scale) for scale in SCALES if scale in scales])
    head = "".join(f"<th scope=col>{name}</th>" for name in ("paper", "claim", "verdict", "found"))
    head += "<th class=number scope=col>q</th>"
    body = "\n".join(rows)
    return f"""<section id=claims><h2>All claims</h2>
<p class=filters>{filters} <output id=shown></output></p>
<div class=wide tabindex=0><table id=ledger><thead><tr>{head}</tr></thead><tbody>
{body}
</tbody></table></div></section>"""


def page(papers: Sequence) -> str:
    """Returns the report of some papers, a list of `report.Paper`, as one HTML document."""
    judgements = [judgement for paper in papers for judgement in paper.judgements]
    q_of = q_values(judgements)
    articles = "\n".join(_paper_html(paper, q_of) for paper in papers)
    style, script = ((_HERE / f"report.{kind}").read_text() for kind in ("css", "js"))
    return f"""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>Replication report</title>
<style>{style}</style>
<body>
{_contents(papers)}
<main>
<h1>Replication report</h1>
<p class=headline>{_escape(headline(judgements).capitalize())}.</p>
<p>Each claim has one test, frozen before the seeds that decide it were run. Intervals are at 90 %, each end a
one-sided limit at 95 %, unless another level is named. q is Benjamini and Hochberg's over all claims with a
p value. A run at less than the paper's scale decides orderings and ratios, never an absolute number.</p>
{_claims_html(papers, q_of)}
{articles}
</main>
<script>{script}</script>
</body>
</html>
"""
