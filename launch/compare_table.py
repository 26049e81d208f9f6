"""The tables of a comparison, as rows for the page and as text for the terminal."""

from common.disagreement import MEASURES
from common.study.verdicts import number


def cell(measured):
    """Writes a value with its interval: 0.812 [0.801, 0.823]."""
    if measured is None:
        return "not measured"
    if measured.low != measured.low:
        return f"{number(measured.value)} [no interval]"
    return f"{number(measured.value)} [{number(measured.low)}, {number(measured.high)}]"


def of_models(found):
    """Returns the head and the rows of the measures of each model; with three and more also their mean."""
    several = bool(found.means_of_models)
    head = ["of each model", *found.names, *(["mean, interval over models"] if several else []), "over"]
    rows = []
    for name, measure in MEASURES.items():
        cells = [measures.get(name) for measures in found.of_models]
        if measure.of_pairs or not any(cells):
            continue
        mean = [cell(found.means_of_models.get(name))] if several else []
        n = min(c.n for c in cells if c)
        over = f"{n:,} {next(c.unit for c in cells if c)}"
        rows.append([measure.title, *map(cell, cells), *mean, over])
    return head, rows


def of_agreement(found):
    """Returns the head and the rows of what is measured of pairs; their mean, where there are several."""
    several = len(found.of_pairs) > 1
    what = f"mean of {len(found.of_pairs)} pairs" if several else "of the two models"
    head = [what, "value [95 %]", "over", *(["interval over models"] if several else [])]
    rows = []
    for name, measured in found.agreement.items():
        of_pairs = sum(name in measures for measures in found.of_pairs.values())
        part = f", {of_pairs} of {len(found.of_pairs)} pairs" * (of_pairs < len(found.of_pairs))
        row = [MEASURES[name].title, cell(measured), f"{measured.n:,} {measured.unit}{part}"]
        if several:
            over = measured.over_models
            row.append(f"[{number(over[0])}, {number(over[1])}]" if over else "none")
        rows.append(row)
    return head, rows


def of_pairs(found):
    """Returns the head and the rows of the measures of each pair of models, a column a pair."""
    head = ["of each pair", *(f"{found.names[i]} → {found.names[j]}" for i, j in found.of_pairs)]
    rows = [
        [MEASURES[name].title, *(cell(measures.get(name)) for measures in found.of_pairs.values())]
        for name in found.agreement
    ]
    return head, rows


def percent(fraction):
    """Writes a fraction in percent, rounded as the table beside it: 4.2 %."""
    return f"{100 * float(f'{fraction:.3g}'):.1f} %"


def summary(found):
    """Says in a sentence what changes."""
    agreement = found.agreement
    churn = agreement["churn"].value
    share = f"{percent(churn)} of the examples"
    if len(found.names) > 2:
        text = f"Two of the {len(found.names)} models predict different classes for {share} (mean over pairs)"
    else:
        text = f"{found.names[1]} predicts another class than {found.names[0]} for {share}"
    if "changes_for_the_worse" in agreement:
        worse, better = (agreement[f"changes_for_the_{w}"].value for w in ("worse", "better"))
        text += f": {percent(worse)} change for the worse, {percent(better)} for the better"
        rest = churn - worse - better
        text += f", {percent(rest)} from one wrong class to another" if rest > 0.0005 else ""
    return f"{text}."


def _aligned(head, rows):
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in (head, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)


def text(found, data):
    """Returns the tables for a terminal."""
    title = f"{found.num_examples:,} examples of {found.num_classes} classes, {data.title}"
    tables = [of_models(found), of_agreement(found)]
    parts = [_aligned(head, rows) for head, rows in tables if rows]
    return "\n\n".join([f"{title}; 95 % intervals in brackets", *parts, summary(found)])
