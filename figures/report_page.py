"""The report as one HTML document without external resources: claims, pictures, tables, provenance."""

import base64
import html

from common.study.verdicts import number
from figures.run_table import seconds


def _table(head, rows, numeric=()):
    """An HTML table; `numeric` are the indices of right-aligned columns."""

    def line(cells, tag):
        classes = (" class=number" if i in numeric else "" for i in range(len(cells)))
        marked = (
            f"<{tag}{c}>{html.escape(str(cell))}</{tag}>" for c, cell in zip(classes, cells, strict=True)
        )
        return f"<tr>{''.join(marked)}</tr>"

    body = "\n".join(line(row, "td") for row in rows)
    return f"<div class=wide><table><thead>{line(head, 'th')}</thead><tbody>\n{body}\n</tbody></table></div>"


def _class(verdict):
    return verdict.replace(" ", "-")


def _claims_html(paper):
    items = []
    for judgement in paper.judgements:
        claim, outcome = judgement.claim, judgement.outcome
        place = judgement.verdict.removeprefix(outcome.verdict).strip()
        seen = f"<p class=seen>{html.escape(outcome.seen)}</p>"
        if len(outcome.parts) > 1:
            parts = [f"<li class={_class(p.verdict)}>{html.escape(p.seen)}</li>" for p in outcome.parts]
            seen = f"<ul class=seen>{''.join(parts)}</ul>"
        items.append(
            f"<li class={_class(outcome.verdict)} value={claim.number}>"
            f"<p class=statement>{html.escape(claim.statement)} "
            f"<span class=source>{html.escape(claim.source)}</span></p>"
            f"<p><span class=chip>{outcome.verdict}</span> <span class=source>{html.escape(place)}</span></p>"
            f"{seen}</li>"
        )
    return "<ol class=claims>\n" + "\n".join(items) + "\n</ol>"


def _numeric(rows):
    """Indices of the columns of a table that hold numbers, also with an interval, or nothing."""
    return [i for i in range(len(rows[0])) if all(str(row[i])[:1] in "0123456789-+" for row in rows)]


def _figure_html(figure):
    state = f"{len(figure.runs)} of {figure.expected} runs, {figure.scale} scale"
    name = html.escape(f"Figure {figure.name}".replace("Figure table", "Table "))
    parts = [f"<section><h3>{name}</h3><p class=source>{state}</p>"]
    if figure.picture:
        picture = base64.b64encode(figure.picture).decode()
        parts.append(f'<img alt="{name}" src="data:image/png;base64,{picture}">')
    elif figure.reason:
        parts.append(f"<p>{html.escape(figure.reason)}</p>")
    if figure.table:
        head, rows = figure.table
        parts.append(_table(head, rows, numeric=_numeric(rows)))
    head, rows, num_names = figure.run_table
    return "\n".join([*parts, _table(head, rows, numeric=range(num_names, len(head))), "</section>"])


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
        hours = sum(map(seconds, members)) / 3600
        rows.append([command, len(members), number(hours), *origin, days])
    head = ["command", "runs", "hours", "commit", "versions", "machine", "finished"]
    return _table(head, rows, numeric=(1, 2))


def _paper_html(paper):
    summary = "".join(f"<li>{html.escape(text)}</li>" for text in paper.summary)
    disagreements = "".join(f"<li>{html.escape(text)}</li>" for text in paper.disagreements)
    figures = "\n".join(map(_figure_html, paper.figures))
    return f"""<article id={paper.name}>
<h1>{html.escape(paper.title)}</h1>
<ul class=summary>{summary}</ul>
<h2>Claims</h2>
<p>Brackets hold 95 % intervals over pairs or runs unless another level is named; "median" is the same
quantity from medians; + marks what holds, &minus; what is contradicted, ? what is open. A scaled-down
run is judged on orderings and ratios, never on an absolute number.</p>
{_claims_html(paper)}
<h2>Figures and runs</h2>
{figures}
<h2>Where the paper disagrees with itself or leaves a choice</h2>
<ul>{disagreements}</ul>
<h2>Provenance</h2>
{_provenance_html(paper)}
</article>"""


_STYLE = r"""
:root { --ink: #1f2430; --faint: #667085; --line: #e4e7ec; --paper: #ffffff; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.5rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.55 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6em; line-height: 1.25; margin: 1em 0 .6em; text-wrap: balance; }
h2 { font-size: 1.2em; margin: 2.5rem 0 .75rem; padding-bottom: .3rem;
  border-bottom: 1px solid var(--line); }
h3 { font-size: 1em; margin: 2rem 0 0; }
p { margin: .3rem 0; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0; }
.source { color: var(--faint); font-size: .85em; }
.summary { list-style: none; margin: 0; padding: 0; display: flex; flex-wrap: wrap; gap: .5rem 1rem; }
.summary li { border: 1px solid var(--line); border-radius: .5rem; padding: .3rem .8rem; }
.claims { padding-left: 2.2rem; }
.claims > li { margin: 0 0 1.3rem; padding-left: .3rem; break-inside: avoid; }
.claims > li::marker { color: var(--faint); font-variant-numeric: tabular-nums; }
.statement { font-weight: 600; }
.statement .source { font-weight: 400; white-space: nowrap; }
.seen { font-size: .9em; margin: .3rem 0; }
ul.seen { list-style: none; padding: 0; }
ul.seen li { margin: .2rem 0; padding-left: 1.2rem; text-indent: -1.2rem; }
ul.seen li::before { display: inline-block; width: 1.2rem; text-indent: 0; font-weight: 700;
  color: var(--tone); }
ul.seen .reproduced::before { content: "+"; }
ul.seen .contradicted::before { content: "\2212"; }
ul.seen .open::before { content: "?"; }
ul.seen .not-judged::before { content: "\b7"; }
.reproduced { --tone: #05603a; --tint: #e7f6ee; }
.contradicted { --tone: #9b1c1c; --tint: #fdecec; }
.open { --tone: #854a0e; --tint: #fdf4e0; }
.not-run, .not-judged { --tone: #475467; --tint: #f2f4f7; }
.chip { display: inline-block; border-radius: 1rem; padding: 0 .7rem; font-size: .85em; font-weight: 600;
  border: 1px solid currentColor; color: var(--tone); background: var(--tint); }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .82em; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .8rem .25rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; vertical-align: bottom; border-bottom: 2px solid var(--ink); }
.number { text-align: right; white-space: nowrap; }
th.number { white-space: normal; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  .wide { overflow: visible; } table { font-size: 7pt; } tr, img { break-inside: avoid; }
  h2, h3, h3 + p { break-after: avoid; } thead { display: table-header-group; }
  .chip { print-color-adjust: exact; }
}
"""


def page(papers):
    """Returns the report of some papers, a list of `report.Paper`, as one HTML document."""
    articles = "\n".join(map(_paper_html, papers))
    return f"""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>Replication report</title>
<style>{_STYLE}</style>
<body>
{articles}
</body>
</html>
"""
