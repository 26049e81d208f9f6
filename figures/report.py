"""`python -m figures.report`: the ledger of all claims, and one self-contained HTML page about the records.

Reads records alone; trains nothing and loads no TensorFlow. Exit status 2 for bad input (one line says what).
"""

import base64
import dataclasses
import html
import importlib
import importlib.util
import pathlib
import sys
import tempfile
import textwrap
from collections import Counter

from absl import flags

from common.claims import VERDICTS, judge, number
from common.errors import UserError
from common.program import SCALES, exit_status, find_runs, parse_flags, replication
from common.records import replacing

REPLICATIONS = ("snapp_shamir",)
_WIDTH = 110
_MARKS = {"reproduced": "+", "contradicted": "-", "unclear": "?", "not judged": " "}
_KINDS = ("mean", "low", "high", "median")


@dataclasses.dataclass(frozen=True)
class FigureRecords:
    """The finished runs of one figure at one scale.

    `runs` are pairs (settings, `records.Run`), `expected` is their number when the figure is complete, and
    `picture` holds a PNG file's bytes, or None if the figure is incomplete or nothing draws it.
    """

    name: str
    scale: str
    runs: list
    expected: int
    picture: bytes | None


@dataclasses.dataclass(frozen=True)
class Paper:
    """What the report says about one paper."""

    name: str
    title: str
    judgements: list
    figures: list
    disagreements: tuple


def collect(name, records, scales=()):
    """Judges a paper's claims and gathers its figures: a Paper.

    Args:
        name: Package name below `replications`.
        records: Folder of all runs.
        scales: Scales to judge, each on its own; empty takes for each claim and figure the largest at which
            its runs are finished.
    """
    study = replication(name)
    claims = importlib.import_module(f"replications.{name}.claims")
    judgements = [j for scale in scales or (None,) for j in judge(claims.CLAIMS, study, records, scale)]
    judgements.sort(key=lambda judgement: judgement.claim.number)
    figures = [_figure_records(study, figure, records, scales or SCALES) for figure in study.figures]
    return Paper(name, claims.TITLE, judgements, list(filter(None, figures)), claims.DISAGREEMENTS)


def _figure_records(study, figure, records, scales):
    """The largest complete scale of a figure, else the largest with any run, else None."""
    found = {s: find_runs(study, study.figure(figure, s), records) for s in reversed(SCALES) if s in scales}
    complete = [scale for scale, runs in found.items() if all(run for _, run in runs)]
    begun = [scale for scale, runs in found.items() if any(run for _, run in runs)]
    if not begun:
        return None
    scale = (complete or begun)[0]
    finished = [(settings, run) for settings, run in found[scale] if run]
    picture = _picture(study.name, figure, records, scale) if complete else None
    return FigureRecords(figure, scale, finished, len(found[scale]), picture)


def _picture(name, figure, records, scale):
    if importlib.util.find_spec(f"figures.{name}") is None:
        return None
    module = importlib.import_module(f"figures.{name}")
    if figure not in module.FIGURES:
        return None
    with tempfile.TemporaryDirectory() as folder:
        paths = module.draw(figure, records, scale, folder)
        return next(pathlib.Path(path).read_bytes() for path in paths if str(path).endswith(".png"))


def counts(judgements):
    """Returns {scale: Counter of verdicts}, largest scale first; scale None holds what was never run."""
    by_scale = {scale: Counter() for scale in (*reversed(SCALES), None)}
    for judgement in judgements:
        by_scale[judgement.scale][judgement.outcome.verdict] += 1
    return {scale: counter for scale, counter in by_scale.items() if counter}


def _count_texts(judgements):
    """One text a scale, such as "paper scale: 9 reproduced, 2 contradicted"."""
    for scale, counter in counts(judgements).items():
        verdicts = ", ".join(f"{counter[verdict]} {verdict}" for verdict in VERDICTS if counter[verdict])
        yield f"{scale} scale: {verdicts}" if scale else f"not run at any scale: {counter.total()}"


def ledger(paper):
    """Returns the ledger of a paper as text: number, verdict, statement, what was seen; counts per scale."""
    legend = ", ".join(f"{mark} {verdict}" for verdict, mark in _MARKS.items() if mark.strip())
    lines = [paper.title, "", f"Parts of a claim: {legend}; brackets hold 95 % intervals over pairs."]
    for judgement in paper.judgements:
        claim, outcome = judgement.claim, judgement.outcome
        lines.append(f"{claim.number:3d}  {judgement.verdict} ({claim.source})")
        texts = [("", claim.statement)]
        texts += [(f"{_MARKS[part.verdict]} ", part.seen) for part in outcome.parts] or [("", outcome.seen)]
        for mark, text in texts:
            indent = " " * (5 + len(mark))
            lines.append(textwrap.fill(indent[:5] + mark + text, _WIDTH, subsequent_indent=indent))
    return "\n".join([*lines, "", *_count_texts(paper.judgements)])


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


def _differing(settings):
    """Names of the settings in which runs differ."""
    names = [field.name for field in dataclasses.fields(settings[0])]
    return [name for name in names if len({getattr(s, name) for s in settings}) > 1]


def _final(run):
    """(metric, statistic) -> value at the end of a run."""
    rows = run.rows
    if "examples" in rows:
        rows = rows[rows.examples == rows.examples.max()]
    return {(row.metric, row.statistic): row.value for row in rows.itertuples()}


def _runs_html(figure):
    """The measured values of each run of a figure; counts, such as dead models, where any is not zero."""
    names = _differing([settings for settings, _ in figure.runs])
    final = [_final(run) for _, run in figure.runs]
    means = sorted({metric for values in final for metric, kind in values if kind == "mean"}, reverse=True)
    tallies = sorted({metric for v in final for metric, kind in v if kind == "count" and v[metric, kind]})
    head = [name.replace("_", " ") for name in names]
    for metric in means:
        head += [f"{metric.replace('_', ' ')}, mean [95 % interval]", "median"]
    head += [*(metric.replace("_", " ") for metric in tallies), "minutes"]
    rows = []
    for (settings, run), values in zip(figure.runs, final, strict=True):
        row = ["" if getattr(settings, name) is None else getattr(settings, name) for name in names]
        for metric in means:
            value = {kind: number(values.get((metric, kind), float("nan"))) for kind in _KINDS}
            row += [f"{value['mean']} [{value['low']}, {value['high']}]", value["median"]]
        row += [f"{values.get((metric, 'count'), 0):g}" for metric in tallies]
        rows.append([*row, f"{_seconds(run) / 60:.2g}"])
    return _table(head, rows, numeric=range(len(names), len(head)))


def _seconds(run):
    return sum(value for name, value in run.record["times"].items() if name.endswith("_seconds"))


def _figure_html(figure):
    state = f"{len(figure.runs)} of {figure.expected} runs, {figure.scale} scale"
    parts = [f"<section><h3>Figure {html.escape(figure.name)}</h3><p class=source>{state}</p>"]
    if figure.picture:
        picture = base64.b64encode(figure.picture).decode()
        parts.append(f'<img alt="Figure {html.escape(figure.name)}" src="data:image/png;base64,{picture}">')
    elif len(figure.runs) < figure.expected:
        parts.append("<p>Drawn when all its runs are finished.</p>")
    return "\n".join([*parts, _runs_html(figure), "</section>"])


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
        hours = sum(map(_seconds, members)) / 3600
        rows.append([command, len(members), number(hours), *origin, days])
    head = ["command", "runs", "hours", "commit", "versions", "machine", "finished"]
    return _table(head, rows, numeric=(1, 2))


def _paper_html(paper):
    summary = "".join(f"<li>{html.escape(text)}</li>" for text in _count_texts(paper.judgements))
    disagreements = "".join(f"<li>{html.escape(text)}</li>" for text in paper.disagreements)
    figures = "\n".join(map(_figure_html, paper.figures))
    return f"""<article id={paper.name}>
<h1>{html.escape(paper.title)}</h1>
<ul class=summary>{summary}</ul>
<h2>Claims</h2>
<p>Brackets hold 95 % intervals over pairs or runs unless another level is named; "median" is the same
quantity from medians; + marks what holds, &minus; what is contradicted, ? what is unclear. A scaled-down
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
ul.seen .unclear::before { content: "?"; }
ul.seen .not-judged::before { content: "\b7"; }
.reproduced { --tone: #05603a; --tint: #e7f6ee; }
.contradicted { --tone: #9b1c1c; --tint: #fdecec; }
.unclear { --tone: #854a0e; --tint: #fdf4e0; }
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
    """Returns the report of some papers as one HTML document without external resources."""
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


def _define_flags(flag_values):
    for name, default, help in (
        ("records", "results/reference", "Folder that holds the run folders."),
        ("out", "report.html", "File that the HTML page is written to."),
    ):
        flags.DEFINE_string(name, default, help, flag_values=flag_values)
    flags.DEFINE_enum(
        "replication",
        None,
        REPLICATIONS,
        "Reports on this paper only; by default on all that have records.",
        flag_values=flag_values,
    )
    flags.DEFINE_list(
        "scale",
        [],
        f"Scales to judge ({', '.join(SCALES)}); by default, for each claim the largest that its runs have.",
        flag_values=flag_values,
    )


def _check(flag_values):
    """Refuses bad input before anything is read or written."""
    for scale in flag_values.scale:
        if scale not in SCALES:
            raise UserError(f"--scale={scale}: must be one of {', '.join(SCALES)}")
    if not pathlib.Path(flag_values.records).is_dir():
        raise UserError(f"--records={flag_values.records}: no such folder; name the one with the runs")
    out = pathlib.Path(flag_values.out)
    if out.is_dir() or not out.parent.is_dir():
        raise UserError(f"--out={out}: must be a file in a folder that exists")


def _report(flag_values):
    _check(flag_values)
    names = [flag_values.replication] if flag_values.replication else REPLICATIONS
    papers = [collect(name, flag_values.records, tuple(flag_values.scale)) for name in names]
    papers = [paper for paper in papers if paper.figures]
    if not papers:
        scales = f" at {' or '.join(flag_values.scale)} scale" if flag_values.scale else ""
        raise UserError(
            f"--records={flag_values.records}: no finished run of a figure{scales}; "
            f"`python -m replications.{names[0]} --figure=2 --scale=laptop "
            f"--out_dir={flag_values.records}` makes some"
        )
    for paper in papers:
        print(ledger(paper), end="\n\n")
    with replacing(flag_values.out) as temporary:
        temporary.write_text(page(papers))
    print(f"page: {flag_values.out}")


def main(argv=None):
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    with exit_status("report"):
        argv = sys.argv if argv is None else argv
        parse_flags(flag_values, argv, "python -m figures.report [--flag=value ...]")
        _report(flag_values)


if __name__ == "__main__":
    main()
