import numpy as np
import pytest
from matplotlib.text import Text

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


_PAGE = 838  # pixels that a picture has on a README page
_SMALLEST = 9  # pixels
_INDEX = 0.7  # size of an exponent or index, as a share of its font's


def smallest_text(figure):
    """Returns (pixels, words) of a figure's smallest text, where a page shows it 838 pixels wide."""
    found = []
    for text in figure.findobj(Text):
        words = text.get_text()
        if words.strip() and text.get_visible():
            has_index = words.count("$") > 1 and ("^" in words or "_" in words)
            found.append((text.get_fontsize() * (_INDEX if has_index else 1), words))
    size, words = min(found, default=(np.inf, ""))
    return size / 72 * _PAGE / figure.get_figwidth(), words


def cut_legends(figure):
    """The words of the legends that reach over the left or right edge of a figure."""
    if not figure.legends:
        return []
    figure.draw_without_rendering()
    extents = [(legend, legend.get_window_extent()) for legend in figure.legends]
    return [
        [text.get_text() for text in legend.get_texts()]
        for legend, extent in extents
        if extent.x0 < 0 or extent.x1 > figure.bbox.width
    ]


@pytest.fixture(autouse=True)
def every_text_is_legible(monkeypatch):
    """Looks at every figure that a test draws in the house style."""
    drawn = []
    new_figure = style.new_figure

    def noted(*args):
        drawn.append(new_figure(*args))
        return drawn[-1]

    monkeypatch.setattr(style, "new_figure", noted)
    yield
    for figure in drawn:
        pixels, words = smallest_text(figure)
        assert pixels >= _SMALLEST, (figure.get_suptitle(), words)
        assert cut_legends(figure) == [], figure.get_suptitle()
