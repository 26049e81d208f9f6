import numpy as np
import pytest

from common.study.runs import load_study, run_folder
from figures import style

PAPER = load_study("snapp_shamir")


def _rows(settings, metric, values, summary):
    place = {"metric": metric, "examples": 2**settings.examples_log2}
    rows = [{"value": v, "statistic": "pair", "pair": i} | place for i, v in enumerate(values)]
    # The middle of training, which no figure shows.
    rows += [row | {"value": 77.0, "examples": row["examples"] // 2} for row in rows]
    default = {"mean": np.mean(values), "low": min(values), "high": max(values), "median": np.median(values)}
    return rows + [
        {"value": v, "statistic": s, "n": len(values)} | place for s, v in (summary or default).items()
    ]


@pytest.fixture
def write_run():
    """Writes a finished run folder by hand, without training."""

    def write(records, settings, differences, losses=None, summary=None, arrays=None, dead=()):
        settings = settings.resolve()
        losses = [0.01] * len(differences) if losses is None else losses
        place = {"examples": 2**settings.examples_log2}
        rows = _rows(settings, "relative_prediction_difference", differences, summary)
        rows += _rows(settings, "excess_label_loss", losses, None)
        rows += [
            {"metric": "dead", "value": 1, "statistic": "run", "pair": p, "member": 0} | place for p in dead
        ]
        for metric, number in (("dead_models", len(dead)), ("diverged_models", 0)):
            rows.append({"metric": metric, "value": number, "statistic": "count"} | place)
        with run_folder(PAPER, settings, str(records)) as folder:
            folder.start({})
            folder.finish("done", rows, arrays or {})

    return write


@pytest.fixture
def paper():
    return PAPER


@pytest.fixture
def draw():
    """Draws a figure of a paper_figures in the house style and returns the matplotlib Figure, laid out."""

    def draw(paper_figures, name, records, scale="smoke"):
        with style.applied():
            figure = paper_figures.figures[name](paper_figures.runs(name, scale, str(records)))
            figure.draw_without_rendering()
        return figure

    return draw
