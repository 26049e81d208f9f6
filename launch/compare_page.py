"""The page of a comparison: one HTML document without external resources."""

import html
import io

import matplotlib
import numpy as np

from common.disagreement import MEASURES
from common.study.files import digest
from figures import comparison, style
from figures.html_parts import picture, table
from launch import compare_table

_MOST = 20


def _image(figure, text):
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return picture(file.getvalue(), text)


def _list(lines, name="plain"):
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<ul class={name}>{items}</ul>" if lines else ""


def _says(found, class_names, place):
    """What each model says of an example: "cat 0.97"."""
    return [
        f"{comparison.class_name(class_names, classes[place])} {confidences[place]:.2f}"
        for classes, confidences in zip(found.classes, found.confidences, strict=True)
    ]


def _plane_html(found, data):
    plane = found.picture
    if plane is None:
        return ""
    positions = plane.positions
    labels = np.full(3, -1) if data.y is None else data.y[positions]
    figure = comparison.figure_plane(
        plane,
        [found.names[model] for model in plane.models],
        data.numbers[positions],
        labels,
        found.num_classes,
        data.class_names,
        data.pictures(positions),
    )
    text = (
        "Every point of the plane is an input between and around three examples. Its colour is the class "
        "that the model predicts there, paler where it is less sure. Unless --triplet chose them, the models "
        "agree on half of the measured planes more than here, on half less."
    )
    return f"<h2>A plane through three examples</h2><p>{text}</p>{_image(figure, text)}"


def _examples_html(found, data):
    most = found.most_different(_MOST)
    if not most.size:
        return "<h2>Where the models differ most</h2><p>They give the same probabilities everywhere.</p>"
    rows = []
    for place in most:
        true = [] if data.y is None else [comparison.class_name(data.class_names, data.y[place])]
        says = _says(found, data.class_names, place)
        rows.append([data.numbers[place], *true, *says, f"{found.differences[place]:.3f}"])
    head = ["example", *([] if data.y is None else ["label"]), *found.names, "prediction difference"]
    parts = ["<h2>Where the models differ most</h2>"]
    parts.append(
        "<p>The predicted class and its probability, for the examples with the largest difference.</p>"
    )
    if (images := data.pictures(most)) is not None:
        captions = [_caption(found, data, place) for place in most]
        parts.append(_image(comparison.figure_examples(images, captions), "the examples of the table"))
    return "".join([*parts, table(head, rows)])


def _caption(found, data, place):
    own = f"{data.numbers[place]}"
    if data.y is not None:
        own += f": {comparison.class_name(data.class_names, data.y[place])}"
    says = _says(found, data.class_names, place)
    lines = [f"{_short(name)}: {words}" for name, words in zip(found.names, says, strict=True)]
    return "\n".join([own, *lines])


def _short(name, most=16):
    return name if len(name) <= most else f"{name[: most - 5]}...{name[-2:]}"


def _limits_html(limits, broken):
    if not limits:
        return ""
    asked = [
        f"{limit.measure} {'at most' if limit.above else 'at least'} {limit.bound:g}" for limit in limits
    ]
    state = "failed" if broken else "kept"
    words = "A limit is not kept" if broken else "All limits are kept"
    return (
        f"<p><span class='chip {state}'>{words}</span> <span class=source>{html.escape('; '.join(asked))}"
        f"</span></p>{_list(broken)}"
    )


def _definitions_html(found):
    measured = [*found.agreement, *(name for measures in found.of_models for name in measures)]
    rows = [
        f"<dt>{html.escape(measure.title)}</dt><dd>{html.escape(measure.definition)}</dd>"
        for name, measure in MEASURES.items()
        if name in measured
    ]
    text = (
        "Brackets hold 95 % intervals over examples or planes: they are about these models on others. "
        "Intervals over models, of three or more, say how the means would vary with other trainings."
    )
    return f"<h2>What the numbers are</h2><p>{text}</p><dl>{''.join(rows)}</dl>"


_STYLE = r"""
:root { --ink: #1f2430; --faint: #5d6679; --line: #e4e7ec; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 1.5rem 1.5rem 4rem; color: var(--ink); background: #fff;
  font: 16px/1.55 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; }
h1 { font-size: 1.6em; line-height: 1.25; margin: .5em 0; overflow-wrap: anywhere; }
h2 { font-size: 1.2em; margin: 2.5rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p { margin: .3rem 0; }
img { display: block; max-width: 100%; height: auto; margin: 1rem 0; }
.headline { font-size: 1.15em; font-weight: 600; margin: .6rem 0; }
.source { color: var(--faint); font-size: .85em; }
.plain { font-size: .9em; padding-left: 1.2rem; overflow-wrap: anywhere; }
.chip { display: inline-block; border-radius: 1rem; padding: 0 .7rem; font-size: .85em; font-weight: 600;
  border: 1px solid currentColor; }
.kept { color: #05603a; background: #e7f6ee; }
.failed { color: #9b1c1c; background: #fdecec; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .85em; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem 1.2rem .3rem 0; text-align: left; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; border-bottom: 2px solid var(--ink); }
dt { font-weight: 600; margin-top: .5rem; }
dd { margin: 0; font-size: .9em; }
code { font-size: .85em; overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } table { font-size: 7pt; }
  tr, img { break-inside: avoid; } .chip { print-color-adjust: exact; } }
"""


def page(found, data, paths, limits, broken, notes):
    """Returns the page.

    Args:
        found: `common.comparison.Comparison`.
        data: `compare_data.Data`.
        paths: The models' files.
        limits: The limits that were asked for.
        broken: A line for each that is not kept.
        notes: Lines on how the inputs were taken.
    """
    title = " and ".join([", ".join(found.names[:-1]), found.names[-1]])
    pairs = ""
    if len(found.of_pairs) > 1:
        pairs = f"<h2>Each pair</h2>{table(*compare_table.of_pairs(found))}"
    files = [f"{path}, SHA-256 {digest(path)}" for path in paths]
    # A "$" in a name begins no formula.
    with style.applied(), matplotlib.rc_context({"text.parse_math": False}):
        plane, examples = _plane_html(found, data), _examples_html(found, data)
    out = [f"left out: {line}" for line in found.left_out]
    tables = [compare_table.of_models(found), compare_table.of_agreement(found)]
    return f"""<!doctype html>
<html lang=en>
<meta charset=utf-8>
<meta name=viewport content="width=device-width, initial-scale=1">
<title>{html.escape(title)}</title>
<style>{_STYLE}</style>
<body>
<h1>How far {html.escape(title)} disagree</h1>
<p class=source>{found.num_examples:,} examples of {found.num_classes} classes, {html.escape(data.title)}</p>
<p class=headline>{html.escape(compare_table.summary(found))}</p>
{_limits_html(limits, broken)}
{"".join(table(head, rows) for head, rows in tables if rows)}
{_list([*notes, *out])}
{pairs}
{plane}
{examples}
{_definitions_html(found)}
<h2>Files</h2>
{_list(files)}
</body>
</html>
"""
