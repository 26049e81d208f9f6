import dataclasses

import numpy as np
import pytest

from common.errors import UserError
from common.study.variation import changed_figure
from figures import drawing, style
from figures.snapp_shamir import curves as curves_module
from figures.snapp_shamir.curves import count, curve_name, summary
from figures.snapp_shamir.paper_figures import FIGURES, PAPER_FIGURES
from replications.snapp_shamir.results import LOSS, PD
from replications.snapp_shamir.settings import Settings


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"model": "linear"}, "linear"),
        ({"model": "single", "activation": "identity"}, "identity1"),
        ({"model": "double", "activation": "relu", "init": "distinct"}, "ReLU2 diff"),
        ({"model": "tower", "activation": "identity"}, "identity"),
        ({"model": "quadratic", "activation": "smelu", "beta": 0.5}, r"SmeLU $\beta$=0.5"),
        ({"model": "quadratic", "warm_start": True}, "ReLU TL"),
    ],
)
def test_curves_are_named_as_in_the_paper(values, name):
    assert curve_name(Settings(**values).resolve()) == name


def test_every_figure_can_be_drawn(paper):
    assert set(FIGURES) == set(paper.figures)


def test_the_picture_says_how_small_its_runs_are():
    settings = [Settings(examples_log2=22, pairs=pairs, seed=3) for pairs in (16, 8)]
    assert PAPER_FIGURES.size("6", settings) == "2^22 examples, 8 or 16 pairs, theta of seed 3"
    assert (
        PAPER_FIGURES.size("2", [Settings(examples_log2=10, pairs=1)])
        == "2^10 examples, 1 pair, theta of seed 0"
    )


def test_only_the_end_of_a_run_is_shown(write_run, paper, tmp_path):
    settings = paper.runs_of_figure("7", "smoke")[0]
    write_run(tmp_path, settings, [1.0, 2.0, 3.0, 10.0], losses=[4.0, 4.0, 4.0, 8.0], dead=(3,))
    run = PAPER_FIGURES.runs("7", "smoke", str(tmp_path))[0][1]
    found = summary(run, PD)
    assert (found.mean, found.low, found.high, found.median) == (4.0, 1.0, 10.0, 2.5)
    assert found.runs.tolist() == [1.0, 2.0, 3.0, 10.0]
    assert summary(run, LOSS).mean == 5.0
    assert count(run, "dead_models") == 1


@pytest.fixture
def figure_2(write_run, paper, draw, tmp_path):
    """Figure 2 from summaries that are unlike what its pairs would give, by curve name and window."""
    expected = {}
    for i, settings in enumerate(paper.runs_of_figure("2", "smoke")):
        mean = 1e-6 * (i + 1)
        summary = {"mean": mean, "low": 0.5 * mean, "high": 3 * mean, "median": 0.7 * mean}
        losses = [1e-3 * (i + 1)] * 4
        write_run(tmp_path, settings, [mean, mean, mean, 2 * mean], losses, summary)
        expected.setdefault(curve_name(settings), []).append((settings.shuffle_log2, mean, losses[0]))
    return draw(PAPER_FIGURES, "2", tmp_path), expected


def _curves(panel):
    return {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}


def test_figure_2_shows_the_means_of_the_records(figure_2):
    figure, expected = figure_2
    top, bottom = map(_curves, figure.axes)
    assert list(top) == list(expected)
    assert len(top) == 10
    for name, points in expected.items():
        windows, means, losses = zip(*points, strict=True)
        np.testing.assert_array_equal(top[name].get_ydata(), means)
        np.testing.assert_allclose(top[name].get_xdata(), windows, atol=0.2 * 8)
        np.testing.assert_allclose(bottom[name].get_xdata(), losses)
        np.testing.assert_array_equal(bottom[name].get_ydata(), means)


def test_figure_2_dashes_distinct_initialization(figure_2):
    for panel in figure_2[0].axes:
        for name, line in _curves(panel).items():
            assert line.get_linestyle() == ("--" if name.endswith(" diff") else "-")


def test_figure_2_joins_the_values_of_each_of_four_pairs(figure_2):
    figure, expected = figure_2
    lines = figure.axes[0].lines
    means = np.array([[mean for _, mean, _ in points] for points in expected.values()])
    pairs = np.array([line.get_ydata() for line in lines if line.get_label() == "_runs"])
    np.testing.assert_allclose(pairs, np.concatenate([np.outer([1, 1, 1, 2], mean) for mean in means]))
    assert not [line for line in lines if line.get_label() in ("_interval", "_median")]


def test_figure_2_names_curves_in_the_legend_and_windows_by_size(figure_2):
    figure, expected = figure_2
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[:10] == list(expected)
    assert r"bottom: larger for $\log_2 z$ = 0, 8" in texts and "four pairs: no interval" in texts
    sizes = [line.get_markersize() for line in figure.axes[1].lines if line.get_label() == "_mean"]
    assert sizes[::2] == [3.5] * 10 and min(sizes[1::2]) > 3.5


def test_a_pair_without_a_value_leaves_a_gap(write_run, paper, tmp_path):
    settings = paper.runs_of_figure("7", "smoke")[0]
    write_run(tmp_path, settings, [1.0, 2.0, 3.0])
    run = PAPER_FIGURES.runs("7", "smoke", str(tmp_path))[0][1]
    np.testing.assert_array_equal(summary(run, PD).runs, [1.0, 2.0, 3.0, np.nan])
    assert summary(run, PD).num_runs == 3


def test_figure_6_counts_dead_models_at_their_point(write_run, paper, draw, tmp_path):
    for settings in paper.runs_of_figure("6", "smoke"):
        dead = (0, 2, 3) if settings.activation == "relu" and settings.shuffle_log2 == 8 else ()
        write_run(tmp_path, settings, [1e-3, 1e-3, 2e-3, 4e-3], dead=dead)
    top = draw(PAPER_FIGURES, "6", tmp_path).axes[0]
    (text,) = top.texts
    assert text.get_text() == "3 dead"
    assert text.get_color() == style.BLACK  # 7 points of orange on white cannot be read


def test_exact_zeros_stand_at_the_marked_place(write_run, paper, draw, tmp_path):
    for settings in paper.runs_of_figure("6", "smoke"):
        write_run(tmp_path, settings, [0.0] * 4 if settings.shuffle_log2 == 0 else [2e-5] * 4)
    figure = draw(PAPER_FIGURES, "6", tmp_path)
    np.testing.assert_allclose(_curves(figure.axes[0])["identity"].get_ydata(), [1e-6, 2e-5])
    assert figure.axes[0].get_yticklabels()[0].get_text() == "0"


def test_figure_8_has_two_panels_an_optimizer_and_the_linear_model_in_each(write_run, paper, draw, tmp_path):
    for i, settings in enumerate(paper.runs_of_figure("8", "smoke")):
        write_run(tmp_path, settings, [1e-5 * (i + 1)] * 4)
    panels = draw(PAPER_FIGURES, "8", tmp_path).axes
    assert len(panels) == 8
    titled = [panel for panel in panels if panel.get_title()]
    assert [p.get_title() for p in titled] == ["AdaGrad 0.1", "AdaGrad 1", "SGD 0.1", "SGD 0.01"]
    for i, panel in enumerate(titled):
        curves = _curves(panel)
        assert list(curves) == ["linear", "identity", "ReLU", r"SmeLU $\beta$=1", r"Swish $\beta$=1"]
        np.testing.assert_allclose(curves["linear"].get_ydata(), [1e-5, 2e-5])
        # Runs 0 and 1 are linear, each optimizer has eight.
        np.testing.assert_allclose(curves["identity"].get_ydata(), [(3 + 8 * i) * 1e-5, (4 + 8 * i) * 1e-5])


def test_figure_10_has_all_betas_and_the_warm_start(write_run, paper, draw, tmp_path):
    for settings in paper.runs_of_figure("10", "smoke"):
        write_run(tmp_path, settings, [1e-4 * (settings.beta or 1) * (1 + settings.shuffle_log2)])
    panels = draw(PAPER_FIGURES, "10", tmp_path).axes
    smelu, swish = map(_curves, panels[:2])
    others = ["linear", "identity", "ReLU", "ReLU TL"]
    assert list(smelu) == others + [rf"SmeLU $\beta$={beta}" for beta in (0.1, 0.5, 2)]
    assert list(swish) == others + [rf"Swish $\beta$={beta}" for beta in (0.5, 2, 10)]
    np.testing.assert_allclose(swish[r"Swish $\beta$=2"].get_ydata(), [2e-4, 10e-4])
    assert smelu["ReLU TL"].get_linestyle() == "-."


def test_sources_stand_in_order_from_exact_zero(write_run, paper, draw, tmp_path):
    values = {
        ("identical", "fixed", 0): 0.0,
        ("identical", "shuffled", 0): 2e-7,
        ("distinct", "fixed", 0): 3e-3,
        ("distinct", "shuffled", 0): 4e-3,
        ("identical", "shuffled", 8): 5e-2,
        ("distinct", "shuffled", 8): 6e-2,
    }
    for settings in paper.runs_of_figure("sources", "smoke"):
        key = settings.init, settings.batch_order, settings.shuffle_log2
        write_run(tmp_path, settings, [values[key]] * 4)
    panels = draw(PAPER_FIGURES, "sources", tmp_path).axes
    assert [panel.get_title() for panel in panels] == ["linear", "ReLU2", r"SmeLU2 $\beta$=1"]
    for panel in panels:
        points = np.array([line.get_xydata()[0] for line in _curves(panel).values()])
        # Zero is drawn a decade below the lowest decade, 1e-7.
        np.testing.assert_allclose(points[:, 0], [1e-8, 2e-7, 3e-3, 4e-3, 5e-2, 6e-2])
        np.testing.assert_array_equal(points[:, 1], range(6))
        assert panel.get_xticklabels()[0].get_text() == "0"
    names = [text.get_text() for text in panels[0].get_yticklabels()]
    assert names[0] == "nothing"
    assert names[-1] == "initialization and\nwindow $\\log_2 z$ = 8"


def test_draw_writes_both_files(write_run, paper, tmp_path):
    for settings in paper.runs_of_figure("6", "smoke"):
        write_run(tmp_path, settings, [1e-3] * 4)
    paths = drawing.draw(PAPER_FIGURES, "6", str(tmp_path), out_dir=tmp_path / "out")
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_runs_of_another_seed_are_not_drawn(write_run, paper, tmp_path):
    for settings in paper.runs_of_figure("6", "smoke"):
        write_run(tmp_path, dataclasses.replace(settings, seed=1), [1e-3] * 4)
    assert all(run is None for _, run in PAPER_FIGURES.runs("6", "smoke", str(tmp_path)))


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("2", {"activation": "smelu"}, {"linear", "SmeLU1 $\\beta$=1", "SmeLU2 $\\beta$=1"}),
        ("2", {"activation": "swish", "beta": 0.5}, {"linear", "Swish1 $\\beta$=0.5", "Swish2 $\\beta$=0.5"}),
        ("2", {"activation": "relu"}, {"linear", "ReLU1", "ReLU2"}),
        ("2", {"model": "tower"}, {"identity", "ReLU"}),
        ("6", {"activation": "smelu"}, {"SmeLU $\\beta$=1"}),
        ("8", {"activation": "relu"}, {"linear (AdaGrad 0.1)", "ReLU"}),
        ("sources", {"activation": "smelu"}, set()),
    ],
)
def test_a_figure_with_another_activation_has_fewer_curves(
    write_run, paper, draw, tmp_path, name, changes, expected
):
    """Runs without an activation stay, and those that become the same are one."""
    given = {setting: (value,) for setting, value in changes.items()}
    runs = {settings.resolve() for settings in changed_figure(paper, name, "smoke", given)}
    for settings in runs:
        write_run(tmp_path, settings, [1e-3] * settings.pairs)
    paper_figures = PAPER_FIGURES.changed(changes)
    assert {settings for settings, _ in paper_figures.runs(name, "smoke", str(tmp_path))} == runs
    found = {
        text.get_text().removesuffix(" diff") for text in draw(paper_figures, name, tmp_path).legends[0].texts
    }
    assert expected <= found
    published = {curve_name(settings.resolve()) for settings in paper.runs_of_figure(name, "smoke")}
    assert not found & (published - expected)


def test_a_figure_of_two_activations_cannot_do_with_one(write_run, paper, tmp_path):
    with pytest.raises(UserError, match="--activation=relu: figure 3 compares runs by this setting"):
        drawing.draw(PAPER_FIGURES.changed({"activation": "relu"}), "3", str(tmp_path), "smoke", tmp_path)


def test_the_points_of_a_curve_are_in_the_order_of_their_windows(monkeypatch):
    monkeypatch.setattr(curves_module, "summary", lambda run, metric: run)
    monkeypatch.setattr(curves_module, "count", lambda run, metric: 0)
    (curve,) = curves_module.curves([(Settings(shuffle_log2=z), z) for z in (16, 0, 8)])
    assert [point.window_log2 for point in curve.points] == [0, 8, 16]
