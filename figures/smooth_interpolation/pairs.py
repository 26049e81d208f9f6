"""Beyond Gamba et al. 2022: what four papers ask of a network, against one axis of widths."""

from common.study.widths import by_width
from figures import style
from figures.smooth_interpolation.widths import draw_curve, format_width_axis, handles, when, wrong_labels
from figures.style import BLACK, BLUE, GREEN, PURPLE, VERMILLION
from replications.smooth_interpolation import results as read

_OF_PAIRS = (read.prediction_difference, read.disagreement)


def _fitted(run):
    return 100 * read.volume(run, "accuracy", "noisy")


def _jacobian(run):
    return read.volume(run, "jacobian_norm")


def figure_pd(runs):
    """Test error, wrong labels that are fitted, sharpness, and how far two seeds disagree."""
    groups = by_width(runs)
    title = f"Beyond the papers: four questions about the same networks, {wrong_labels(runs)}"
    figure = style.new_figure(7, 9.6, f"{title}\nof single seeds: {when(runs)}")
    rows = (
        ("test error (%)", "", read.test_error, BLACK, "percentage"),
        ("wrong labels fitted (%)", "Zhang et al. 2017", _fitted, VERMILLION, "percentage"),
        ("Jacobian norm", "Gamba et al. 2022", _jacobian, BLUE, "positive"),
        ("relative PD", "Snapp & Shamir 2021", read.prediction_difference, GREEN, "positive"),
        ("disagreement (%)", "Somepalli et al. 2022", read.disagreement, PURPLE, "percentage"),
    )
    panels = figure.subplots(len(rows), 1, sharex=True)
    for panel, (label, source, measure, color, quantity) in zip(panels, rows, strict=True):
        draw_curve(panel, groups, measure, color, label, of_pairs=measure in _OF_PAIRS, quantity=quantity)
        format_width_axis(panel, groups, "")
        panel.set_ylabel(label)
        panel.set_title(source, loc="right")
    panels[-1].set_xlabel("base width")
    panels[2].set_ylim(bottom=0)
    found = handles(groups)
    for entry in found:
        if entry.get_label() == "one seed":
            entry.set_label("one seed or pair of seeds")
    figure.legend(handles=found, loc="outside lower center", ncols=2)
    return figure
