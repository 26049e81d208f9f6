import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures import style
from figures.style import Label, LogAxis, Measured, Stroke
from tests.figures.conftest import smallest_text

positive = st.floats(1e-12, 1e6)


def test_spread_moves_equal_numbers_apart_around_their_place():
    np.testing.assert_allclose(style.spread([5.0, 5.0, 9.0], 1.0), [4.5, 5.5, 9.0])


def test_spread_keeps_the_order_of_a_crowd():
    # Three at 0, 0.1, 0.2 become a block one apart around their mean 0.1.
    np.testing.assert_allclose(style.spread([0.2, 0.0, 0.1], 1.0), [1.1, -0.9, 0.1])


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=20), st.floats(0.01, 2))
def test_spread_leaves_the_gap_and_the_mean(positions, gap):
    moved = style.spread(positions, gap)
    assert np.all(np.diff(np.sort(moved)) >= gap - 1e-9)
    assert np.mean(moved) == pytest.approx(np.mean(positions), abs=1e-9)


def test_log_axis_marks_zero_a_decade_below_the_lowest():
    axis = LogAxis([0.0, 3e-7], [2e-2, np.nan])
    assert axis.zero == pytest.approx(1e-8)
    np.testing.assert_allclose(axis.place([0.0, 3e-7, np.nan]), [1e-8, 3e-7, np.nan])
    assert axis.low < 1e-8 and axis.high > 2e-2


def test_log_axis_labels_zero_and_whole_decades():
    figure = style.new_figure(4, 4, "title")
    panel = figure.subplots()
    LogAxis([0.0, 3e-7, 2e-5]).apply(panel)
    labels = [text.get_text() for text in panel.get_yticklabels()]
    assert labels == ["0", "$10^{-7}$", "$10^{-6}$", "$10^{-5}$"]


def test_log_axis_has_ticks_within_a_decade():
    figure = style.new_figure(4, 4, "title")
    panel = figure.subplots()
    LogAxis([0.011, 0.019]).apply(panel, "x")
    assert [text.get_text() for text in panel.get_xticklabels()] == ["0.01", "0.015", "0.02"]


@given(st.lists(positive, min_size=1, max_size=30), st.booleans())
def test_log_axis_shows_every_value(values, with_zero):
    axis = LogAxis([*values, 0.0] if with_zero else values)
    placed = axis.place(values)
    assert axis.low < placed.min() and placed.max() < axis.high
    np.testing.assert_array_equal(placed, values)
    if with_zero:
        assert axis.low < axis.zero < min(values)


def test_points_show_mean_interval_median_and_every_run():
    figure = style.new_figure(4, 4, "title")
    panel = figure.subplots()
    y = Measured(2.0, 1.0, 4.0, 1.5, np.array([1.0, 1.5, 2.0, 2.5, 5.0]))
    style.draw_points(panel, [style.position(10, y.runs)], [y], Stroke("black", "o", "--"), "curve")
    lines = {line.get_label(): line for line in panel.lines if len(line.get_xdata()) == 1}
    np.testing.assert_array_equal(lines["curve"].get_xydata(), [[10, 2]])
    assert lines["curve"].get_linestyle() == "--"
    np.testing.assert_array_equal(lines["_median"].get_xydata(), [[10, 1.5]])
    assert lines["_median"].get_markerfacecolor() == "white"
    raw = next(line for line in panel.lines if line.get_label() == "_runs")
    np.testing.assert_array_equal(raw.get_ydata(), [1.0, 1.5, 2.0, 2.5, 5.0])
    assert raw.get_alpha() < 0.5
    interval = next(line for line in panel.lines if line.get_label() == "_interval")
    np.testing.assert_array_equal(interval.get_ydata(), [1.0, 4.0])


def test_up_to_four_runs_have_thin_lines_and_no_interval():
    panel = style.new_figure(4, 4, "title").subplots()
    ys = [Measured(2.0, 1.0, 4.0, 1.5, np.array(runs)) for runs in ([1.0, 3.0], [2.0, np.nan])]
    xs = [style.position(x, y.runs) for x, y in zip((10, 20), ys, strict=True)]
    style.draw_points(panel, xs, ys, Stroke("black", "o"), "curve")
    runs = [line.get_xydata() for line in panel.lines if line.get_label() == "_runs"]
    np.testing.assert_array_equal(runs, [[[10, 1], [20, 2]], [[10, 3], [20, np.nan]]])
    assert {line.get_label() for line in panel.lines} == {"_runs", "curve"}


@pytest.mark.parametrize(
    ("count", "words"),
    [(1, "one seed: no interval"), (2, "two seeds: no interval"), (4, "four seeds: no interval")],
)
def test_the_legend_says_why_there_is_no_interval(count, words):
    assert style.value_handles("seed", count)[-1].get_label() == words
    assert "95 % interval of the mean" in [h.get_label() for h in style.value_handles("seed", 5)]


def _heights(panel):
    return {text.get_text(): text.xyann[1] for text in panel.texts}


def test_labels_of_one_place_are_moved_apart():
    panel = style.new_figure(4, 4, "title").subplots()
    panel.set(xlim=(0, 1), ylim=(0, 1))
    style.label_points(panel, [Label(0.5, 0.5, text, "k") for text in "ab"], gap=0.1)
    assert _heights(panel) == pytest.approx({"a": 0.45, "b": 0.55})


def test_a_line_leads_to_labels_that_moved_far():
    panel = style.new_figure(4, 4, "title").subplots()
    panel.set(xlim=(0, 1), ylim=(0, 1))
    style.label_points(panel, [Label(0.5, 0.5, text, "k") for text in "abc"], gap=0.1)
    assert _heights(panel) == pytest.approx({"a": 0.4, "b": 0.5, "c": 0.6})
    assert [text.arrow_patch is not None for text in panel.texts] == [True, False, True]


def test_labels_far_apart_stay_beside_their_points():
    panel = style.new_figure(4, 4, "title").subplots()
    panel.set(xscale="log", xlim=(1e-4, 1), ylim=(0, 1))
    style.label_points(panel, [Label(1e-3, 0.5, "a", "k"), Label(1e-1, 0.5, "b", "k")], gap=0.1)
    assert [text.xyann for text in panel.texts] == [pytest.approx((0.25, 0.5)), pytest.approx((0.75, 0.5))]


def test_stamp_joins_the_title():
    figure = style.new_figure(4, 4, "title")
    style.stamp(figure, "laptop scale: 2^22 examples")
    assert figure.get_suptitle() == "title\nlaptop scale: 2^22 examples"


def test_style_does_not_leak():
    import matplotlib

    before = dict(matplotlib.rcParams)
    with style.applied():
        assert matplotlib.rcParams["font.size"] == 9
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize(("low", "faint"), [(1.0, False), (0.0, True), (-3.0, True)])
def test_an_interval_below_zero_is_drawn_faintly_down_to_the_place_of_zero(low, faint):
    axis = LogAxis([low, 2.0, 4.0])
    panel = style.new_figure(2, 2, "").subplots()
    y = Measured(2.0, low, 4.0, 2.0, np.array([1.0, 1.0, 2.0, 3.0, 3.0])).placed(axis)
    style.draw_points(panel, [style.position(1, y.runs)], [y], Stroke("black", "o"), "curve")
    interval = next(line for line in panel.lines if line.get_label() == "_interval")
    assert interval.get_ydata()[0] == (axis.zero if faint else low)
    assert (interval.get_alpha() is not None) == faint


def test_the_smallest_text_is_measured_on_the_page():
    figure = style.new_figure(8.38, 2, "title")
    figure.text(0.5, 0.5, "words", fontsize=7.2)
    assert smallest_text(figure) == (pytest.approx(10), "words")
    figure.text(0.5, 0.2, "$10^{-3}$", fontsize=7.2 * 0.95 / 0.7)
    assert smallest_text(figure) == (pytest.approx(9.5), "$10^{-3}$")
