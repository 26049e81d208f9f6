import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from common.study.runs import run_folder
from common.study.widths import by_width
from figures import drawing, style
from figures.smooth_interpolation.maps import grid
from figures.smooth_interpolation.paper_figures import FIGURES, PAPER_FIGURES
from figures.smooth_interpolation.widths import format_width_axis, wrong_labels
from replications.smooth_interpolation import results as read
from replications.smooth_interpolation.presets import STUDY, runs_of_figure
from tests.made_rows import made_rows

METRICS = ("accuracy", "cross_entropy", "jacobian_norm", "tangent_hessian_norm")
SUBSETS = {"noisy": 3, "clean": 2, "all": 1}
# Of the three widths 1, 2 and 4 the largest two are fitted.
TRAIN_ACCURACY = {1: 0.5, 2: 1.0, 4: 1.0}


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    provenance = {"argv": ["x"], "commit": "c" * 40, "dirty": False, "versions": {}, "machine": "toy"}
    monkeypatch.setattr("common.study.run_folders.provenance", lambda: dict(provenance))


def measure(metric, width, seed, subset="all", anchors=1, epoch=40):
    """A different number for every metric, width, seed, subset, volume and epoch."""
    if metric == "test_error":
        return (50 + width + 0.1 * seed + 0.01 * epoch) / 100
    base = METRICS.index(metric) * 100 + SUBSETS[subset] * 10 + anchors
    return (base + width + 0.1 * seed) / (1000 if metric == "accuracy" else 1)


def predictions(width, seed):
    """Seed 0 is certain of class 0; another is of class 1 on as many of the images as its width."""
    logits = np.zeros((10, 10))
    logits[:, 0] = 9.0
    if seed:
        logits[:width] = np.eye(10)[1] * 9.0
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return {"test_log_probabilities": logits.astype(np.float16), "test_labels": np.zeros(10, np.uint8)}


def write(out_dir, settings, seed=0, accuracies=TRAIN_ACCURACY):
    settings = dataclasses.replace(settings, seed=seed).resolve()
    width, rows = settings.width, []
    for epoch in (*settings.checkpoint_epochs, settings.epochs):
        place = {"statistic": "run", "epoch": epoch, "step": 3 * epoch}
        error = measure("test_error", width, seed, epoch=epoch)
        rows.append({"metric": "test_accuracy", "value": 1 - error} | place)
        for subset in SUBSETS:
            for anchors in range(7 if epoch == settings.epochs else 1, 0, -1):
                for metric in METRICS:
                    value = measure(metric, width, seed, subset, anchors)
                    rows.append(
                        {"metric": metric, "value": value, "subset": subset, "anchors": anchors} | place
                    )
    finals = {"train_accuracy": accuracies.get(width, 1.0), "train_loss": 0.1}
    finals |= {("accuracy", "test_perturbed"): 0.1, ("accuracy", "test_unperturbed"): 0.1 * width}
    rows += made_rows(finals, place)
    with run_folder(STUDY, settings, str(out_dir)) as folder:
        folder.start({}, "synthetic images")
        folder.finish("done", rows, predictions(width, seed))


def write_scalar(out_dir, settings, seed):
    settings = dataclasses.replace(settings, seed=seed).resolve()
    size = settings.degree or settings.width
    place = {"statistic": "run", "epoch": settings.epochs, "step": settings.epochs}
    values = {"train_loss": 0.1, "test_loss": 0.01 * size, "slope": float(size), "noise_kept": 0.5}
    x = np.linspace(-1, 1, 11)
    arrays = {"grid": x, "curve": x * size, "inputs": x[::2], "targets": x[::2] + 0.1 * (seed + 1)}
    with run_folder(STUDY, settings, str(out_dir)) as folder:
        folder.start({}, "noisy samples of a cubic")
        folder.finish("done", [{"metric": m, "value": v} | place for m, v in values.items()], arrays)


@pytest.fixture
def drawn(tmp_path):
    """Writes the runs of a smoke figure and draws it."""

    def drawn(name, seeds=1, **values):
        for settings in runs_of_figure(name, "smoke"):
            for seed in range(seeds) if not settings.seed else ():
                if settings.dataset == "scalar":
                    write_scalar(tmp_path, settings, seed)
                else:
                    write(tmp_path, settings, seed, **values)
        with style.applied():
            picture = FIGURES[name](PAPER_FIGURES.runs(name, "smoke", str(tmp_path)))
            picture.draw_without_rendering()
        return picture

    return drawn


def curves(panel):
    return {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}


def thresholds(panel):
    return [line.get_xdata()[0] for line in panel.lines if line.get_label() == "_threshold"]


def legend(picture):
    return [text.get_text() for legend in picture.legends for text in legend.get_texts()]


def test_every_figure_of_the_paper_can_be_drawn():
    assert tuple(FIGURES) == STUDY.figures


def test_the_test_error_and_the_threshold(drawn):
    picture = drawn("1c", seeds=3)
    (panel,) = picture.axes
    line = curves(panel)["test error"]
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 4])
    # Mean over seeds 0, 1 and 2 after 40 epochs.
    np.testing.assert_allclose(line.get_ydata(), [51.5, 52.5, 54.5])
    assert thresholds(panel) == [2]
    runs = [line for line in panel.lines if line.get_label() == "_runs"]
    # A thin line for each of few seeds.
    np.testing.assert_allclose(
        [line.get_ydata() for line in runs], np.add.outer([-0.1, 0, 0.1], [51.5, 52.5, 54.5])
    )
    assert not panel.collections
    assert "three seeds: no interval" in legend(picture)
    assert "interpolation threshold, width 2" in legend(picture)
    assert "one seed" in legend(picture)


def test_five_seeds_have_an_interval(drawn):
    picture = drawn("1c", seeds=5)
    (band,) = picture.axes[0].collections
    heights = {y for x, y in band.get_paths()[0].vertices if x == 1}
    # 51.4 to 51.8 in steps of 0.1: the standard error of the mean is 0.1 / sqrt(2).
    reach = stats.t.ppf(0.975, 4) * 0.1 / np.sqrt(2)
    assert (min(heights), max(heights)) == pytest.approx((51.6 - reach, 51.6 + reach))
    assert "95 % interval of the mean over seeds" in legend(picture)


def test_without_a_fitted_width_there_is_no_line(drawn):
    picture = drawn("1c", accuracies=dict.fromkeys((1, 2, 4), 0.99))
    assert thresholds(picture.axes[0]) == []
    assert "no width has a training error of 0" in legend(picture)
    assert "one seed" not in legend(picture)


@pytest.mark.parametrize(("name", "subsets"), [("2", ["all"]), ("4", ["all"]), ("3", ["clean", "noisy"])])
def test_one_curve_for_every_volume(drawn, name, subsets):
    picture = drawn(name)
    assert len(picture.axes) == 4 * len(subsets)
    for i, panel in enumerate(picture.axes):
        metric, subset = METRICS[i // len(subsets)], subsets[i % len(subsets)]
        found = curves(panel)
        assert sorted(found) == list("1234567")
        for anchors in (1, 4, 7):
            wanted = [measure(metric, width, 0, subset, anchors) for width in (1, 2, 4)]
            factor = 100 if metric == "accuracy" else 1
            np.testing.assert_allclose(found[str(anchors)].get_ydata(), factor * np.array(wanted))
        assert found["1"].get_color() == style.BLUE
        assert thresholds(panel) == [2]
    assert picture.get_suptitle().split("\n")[1] == "at the images: at the end"
    assert legend(picture)[:3] == [
        "images",
        "2 anchors (5 erased)",
        "3 anchors (10 erased)",
    ]
    if name == "3":  # what is compared shares an axis, and all of it is seen
        for left, right in np.reshape(picture.axes, (4, 2)):
            assert left.get_ylim() == right.get_ylim()
            heights = np.concatenate([line.get_ydata() for p in (left, right) for line in curves(p).values()])
            assert left.get_ylim()[0] <= heights.min() and heights.max() <= left.get_ylim()[1]


def test_figure_6_has_test_error_and_volumes(drawn):
    panels = drawn("6").axes
    titles = [panel.get_title() for panel in panels[:5]]
    assert titles[0] == "test error (%)" and titles[3] == "Jacobian norm"
    assert panels[5].get_legend().get_texts()[0].get_text() == "images"


def test_figure_7_has_perturbed_and_unperturbed_classes(drawn):
    panels = drawn("7").axes
    np.testing.assert_allclose(curves(panels[4])["unperturbed"].get_ydata(), [90, 80, 60])
    np.testing.assert_allclose(curves(panels[5])["perturbed"].get_ydata(), [90, 90, 90])
    wanted = [measure("tangent_hessian_norm", width, 0, "noisy", 3) for width in (1, 2, 4)]
    np.testing.assert_allclose(curves(panels[3])["3"].get_ydata(), wanted)


def test_heat_maps_hold_the_mean_of_the_seeds(drawn, tmp_path):
    picture = drawn("5", seeds=2)
    groups = by_width(PAPER_FIGURES.runs("5", "smoke", str(tmp_path)))
    epochs, values = grid(groups, "test_error")
    np.testing.assert_array_equal(epochs, [1, 2, 3, 6, 12, 22, 40])
    wanted = 50 + np.array([1, 2, 4]) + 0.05 + 0.01 * epochs[:, np.newaxis]
    np.testing.assert_allclose(values, wanted)
    assert [panel.get_title() for panel in picture.axes[:3]] == [
        "test error (%)",
        "training loss (nats)",
        "Jacobian norm",
    ]
    (mesh,) = [c for c in picture.axes[0].collections if hasattr(c, "norm")]
    np.testing.assert_allclose(mesh.get_array().reshape(values.shape), values)
    # The second column.
    assert thresholds(picture.axes[0]) == [1]
    assert "width 2; mean of 2 seeds" in picture.texts[-1].get_text()
    assert len(drawn("heatmaps").axes) == 8


def test_where_a_run_diverged_is_no_row_of_a_map(drawn, tmp_path):
    drawn("5", seeds=2)
    groups = by_width(PAPER_FIGURES.runs("5", "smoke", str(tmp_path)))
    run = groups[4][0]
    rows = run.rows[run.rows.epoch <= 3]
    end = rows[rows.metric == "test_accuracy"].iloc[-1:].assign(epoch=5.3, value=0.1)
    rows = pd.concat([rows, end, end.assign(metric="diverged", value=1)])
    vars(run)["_frames"] = rows, dict(list(rows.groupby("metric")))  # in place of what it has read
    epochs, values = grid({2: {0: groups[2][0]}, 4: {0: run}}, "test_error")
    np.testing.assert_array_equal(epochs, [1, 2, 3, 6, 12, 22, 40])
    assert np.isfinite(values[:, 0]).all() and (np.isnan(values[:, 1]) == (epochs > 3)).all()


def test_pairs_of_seeds_stand_below_errors_and_sharpness(drawn):
    picture = drawn("pd", seeds=2)
    labels = [panel.get_ylabel() for panel in picture.axes]
    assert labels[0] == "test error (%)" and labels[3:] == ["relative PD", "disagreement (%)"]
    for panel in picture.axes:
        assert thresholds(panel) == [2]
    # As many of ten images as the width.
    np.testing.assert_allclose(curves(picture.axes[4])["disagreement (%)"].get_ydata(), [10, 20, 40])
    sure = np.exp(9) / (np.exp(9) + 9)
    other = 1 / (np.exp(9) + 9)
    relative = 2 * (sure - other) / (sure + other)
    found = curves(picture.axes[3])["relative PD"].get_ydata()
    np.testing.assert_allclose(found, relative * np.array([0.1, 0.2, 0.4]), rtol=1e-3)
    fitted = [100 * measure("accuracy", width, seed, "noisy") for width in (1, 2, 4) for seed in (0, 1)]
    line = curves(picture.axes[1])["wrong labels fitted (%)"]
    np.testing.assert_allclose(line.get_ydata(), np.mean(np.reshape(fitted, (3, 2)), axis=1))


def test_the_interval_over_pairs_leaves_out_a_seed(drawn):
    panel = drawn("pd", seeds=5).axes[4]
    (band,) = panel.collections
    heights = {y for x, y in band.get_paths()[0].vertices if x == 1}
    # At width 1 the four pairs with seed 0 disagree on 10 %, the six others on 0: the mean is 4 %. Without
    # seed 0 it is 0, without another one 10 x 3 / 6 = 5 %.
    reach = stats.t.ppf(0.975, 4) * np.sqrt(4 / 5 * (16 + 4 * 1))
    # On the logit's scale, whose derivative at 4 % is 1 / (4 x 0.96) in percent.
    ends = special.logit(0.04) + np.array([-1, 1]) * reach / (4 * 0.96)
    assert (min(heights), max(heights)) == pytest.approx(tuple(100 * special.expit(ends)), rel=1e-4)


@pytest.mark.parametrize(("name", "sizes"), [("1a", (3, 20, 200)), ("1b", (2, 16))])
def test_scalar_fits(drawn, name, sizes):
    picture = drawn(name, seeds=2)
    what = "degree" if name == "1a" else "width"
    assert picture.axes[2].get_title() == f"{what} {sizes[-1]}"
    fit = curves(picture.axes[2])
    np.testing.assert_allclose(fit["points"].get_ydata(), np.linspace(-1, 1, 11)[::2] + 0.1)
    panel = picture.axes[4]
    line = curves(panel)["mean slope\nwithin 0.01 of a point"]
    np.testing.assert_allclose(line.get_xydata(), [(size, size) for size in sizes])
    # 20 points: as many coefficients at degree 19.
    assert thresholds(panel) == ([19] if name == "1a" else [])


def test_many_widths_have_few_ticks():
    picture = style.new_figure(4, 3, "toy")
    panel = picture.subplots()
    groups = {width: {} for width in range(1, 65)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "interpolation_threshold", lambda groups: None)
        format_width_axis(panel, groups)
    assert list(panel.get_xticks()) == [1, 2, 4, 8, 16, 32, 64]
    assert {*panel.get_xticks(), *panel.get_xticks(minor=True)} == set(groups)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "interpolation_threshold", lambda groups: None)
        format_width_axis(panel, {width: {} for width in (1, 2, 3, 4, 5, 6, 7, 8, 12)})
        assert list(panel.get_xticks()) == [1, 2, 4, 8, 12]
        format_width_axis(panel, {width: {} for width in (3, 5, 6, 7, 9, 10, 11, 12, 13)})
    assert list(panel.get_xticks()) == [3, 13]  # none is a power of two


def test_the_picture_says_how_small_its_runs_are():
    runs = [
        dataclasses.replace(s, seed=seed).resolve()
        for seed in range(3)
        for s in runs_of_figure("2", "laptop")
    ]
    words = "2,000 training images, 600 epochs; widths 1 to 12; seeds 0 to 2"
    assert PAPER_FIGURES.size("2", runs) == words
    # The last seed is not there at every width.
    assert PAPER_FIGURES.size("2", runs[:-1]) == words.replace("0 to 2", "0 to 1")
    runs = [s.resolve() for s in runs_of_figure("4", "laptop")]
    assert PAPER_FIGURES.size("2", runs).endswith("\nstand-in for CIFAR-100: 200 images per class")
    runs = [s.resolve() for s in runs_of_figure("7", "laptop")]
    assert PAPER_FIGURES.size("2", runs).endswith("\nstand-in for CIFAR-100: 2 of 10 classes perturbed")
    (smallest,) = runs_of_figure("smallest", "laptop")
    assert (
        PAPER_FIGURES.size("smallest", [smallest.resolve()])
        == "10,000 training images, 120 epochs; width 1; seed 0"
    )
    runs = [s.resolve() for s in runs_of_figure("1a", "laptop")]
    assert PAPER_FIGURES.size("2", runs) == "20 points, 100,000 steps; seed 0"


def test_the_smallest_network_on_true_and_wrong_labels(drawn):
    (panel,) = drawn("smallest").axes
    found = curves(panel)
    for subset, label in (("clean", "true labels"), ("noisy", "wrong labels")):
        np.testing.assert_allclose(
            found[label].get_xydata()[-1], (40, 100 * measure("accuracy", 1, 0, subset))
        )


def test_draw_writes_both_files(tmp_path):
    for settings in runs_of_figure("2", "smoke"):
        write(tmp_path, settings)
    paths = drawing.draw(PAPER_FIGURES, "2", str(tmp_path), "smoke", tmp_path / "out")
    assert [path.name for path in paths] == [
        f"smooth_interpolation_figure_2.{kind}" for kind in ("png", "pdf")
    ]
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_titles_say_which_labels_are_wrong():
    def words(**settings):
        return wrong_labels([(STUDY.settings(**settings).resolve(), None)])

    assert words() == "20 % wrong labels"
    assert words(label_noise=0.5) == "50 % wrong labels"
    assert words(label_noise=0.0) == "true labels"
    asymmetric = {"noise": "asymmetric", "num_corrupted_classes": 2, "corrupted_fraction": 0.8}
    assert words(**asymmetric) == "80 % wrong labels in 2 classes"
