import dataclasses
import math
import subprocess
import sys
import types

import numpy as np
import pytest

from common.errors import UserError
from common.study.runs import run_folder
from common.study.variation import changed_figure
from figures import drawing, report, style
from figures.zhang_randomization.curves import chance, num_classes, smoothed
from figures.zhang_randomization.noise import relative_times
from figures.zhang_randomization.paper_figures import FIGURES, PAPER_FIGURES, Cell, cells, table_1
from replications.zhang_randomization.presets import STUDY, runs_of_figure
from replications.zhang_randomization.published import TABLE_1
from replications.zhang_randomization.settings import Settings

SYNTHETIC = "synthetic images"


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    provenance = {"argv": ["x"], "commit": "c" * 40, "dirty": False, "versions": {}, "machine": "toy"}
    monkeypatch.setattr("common.study.run_folders.provenance", lambda: dict(provenance))


def rows(epochs, fitted, train, test, every=None, diverged=False):
    """The rows of a run of two steps an epoch; its accuracies rise linearly."""
    found = []
    for epoch in range(1, epochs + 1):
        place = {"statistic": "run", "epoch": epoch, "step": 2 * epoch}
        share = epoch / epochs
        values = {"batch_loss": 2 - 2 * share, "batch_accuracy": share * train}
        if epoch == epochs:
            values |= {"train_loss": 0.1, "train_accuracy": train}
        if epoch == epochs or (every and epoch % every == 0):
            values |= {"test_loss": 1.0, "test_accuracy": share * test}
        found += [{"metric": metric, "value": value} | place for metric, value in values.items()]
    if fitted is not None:
        found.append({"metric": "fit", "value": int(fitted)} | place)
    if diverged:
        found.append({"metric": "diverged", "value": 1} | place)
    return found


def write(out_dir, settings, seed=0, title=SYNTHETIC, epochs=4, losses=None, status="done", **values):
    """Writes a finished run by hand."""
    settings = dataclasses.replace(settings, seed=seed).resolve()
    values = {"fitted": settings.stop == "fitted" or None, "train": 1.0, "test": 0.5} | values
    losses = np.linspace(2, 0, 2 * epochs) if losses is None else losses
    with run_folder(STUDY, settings, str(out_dir)) as folder:
        folder.start({}, title)
        folder.finish(status, rows(epochs, **values), {"batch_losses": np.asarray(losses, np.float32)})


def lines(panel, label):
    return [line for line in panel.lines if line.get_label() == label]


def texts(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_every_figure_of_the_paper_can_be_drawn():
    assert tuple(FIGURES) == STUDY.figures


def test_the_picture_says_how_small_its_runs_are():
    runs = [
        Settings(num_train=512, seed=s, label_noise=p, network=n)
        for s in (0, 1, 2)
        for p, n in ((0.5, "inception"), (1.0, "inception"), (1.0, "mlp_1x512"))
    ]
    assert PAPER_FIGURES.size("2a", runs) == "512 training images; seeds 0 to 2"
    assert PAPER_FIGURES.size("2a", runs[:-1]) == "512 training images; seeds 0 to 2 (not of all runs)"
    runs = [Settings(num_train=2000, network="alexnet"), *runs[:1]]
    assert PAPER_FIGURES.size("2a", runs) == "training images: 2,000 (AlexNet), 512 (Inception); seed 0"


def test_losses_are_averaged_over_the_epoch_before(tmp_path):
    settings = runs_of_figure("1a", "smoke")[0]
    with run_folder(STUDY, settings.resolve(), str(tmp_path)) as folder:
        folder.start({}, SYNTHETIC)
        place = {"metric": "batch_loss", "value": 1, "epoch": 1, "step": 5}
        losses = np.float32([1, 3, 2, 4, 5, 8, 9])  # five steps an epoch
        folder.finish("done", [place], {"batch_losses": losses})
    ((_, run), *_) = PAPER_FIGURES.runs("1a", "smoke", str(tmp_path))
    steps, means = smoothed(run)
    assert steps.tolist() == [5, 6, 7]
    assert means == pytest.approx([3, 4.4, 5.6])


@pytest.fixture
def figure_1a(draw, tmp_path):
    """Two seeds of true labels, one of the other conditions; random labels end at their cap."""
    for settings in runs_of_figure("1a", "smoke"):
        capped = settings.condition == "random_labels"
        write(tmp_path, settings, fitted=not capped, losses=[2, 2, 1, 1, 0.5, 0.5, 0.25, 0.25])
        if settings.condition == "true_labels":
            write(tmp_path, settings, seed=1, epochs=2, losses=[4, 4, 3, 3])
    return draw(PAPER_FIGURES, "1a", tmp_path)


def test_figure_1a_shows_the_mean_as_far_as_all_seeds_go(figure_1a):
    (panel,) = figure_1a.axes
    (mean,) = lines(panel, "true labels")
    assert mean.get_xdata().tolist() == [2, 3, 4]
    assert mean.get_ydata().tolist() == [3, 2.5, 2]
    seeds = lines(panel, "_seed")
    assert [line.get_ydata().tolist() for line in seeds] == [
        [2, 1.5, 1, 0.75, 0.5, 0.375, 0.25],
        [4, 3.5, 3],
    ]
    assert all(line.get_alpha() < 0.5 for line in seeds)
    (single,) = lines(panel, "shuffled pixels")
    assert len(single.get_ydata()) == 7


def test_figure_1a_marks_ends_filled_or_at_the_cap(figure_1a):
    ends = lines(figure_1a.axes[0], "_end")
    assert [(*line.get_xydata()[0], line.get_markerfacecolor() == "white") for line in ends] == [
        (8, 0.25, False),
        (4, 3, False),
        (8, 0.25, True),
        (8, 0.25, False),
        (8, 0.25, False),
        (8, 0.25, False),
    ]
    assert {"training set fitted", "not fitted at the cap"} < set(texts(figure_1a))


def write_figure_1b(out_dir, capped=(), clean_capped=False):
    """Three seeds at laptop scale; epochs grow with p; `capped` are (network, noise, seed)."""
    for settings in runs_of_figure("1b", "laptop"):
        settings = settings.resolve()
        for seed in range(3):
            place = settings.network, settings.label_noise, seed
            fitted = place not in capped
            epochs = 10 + seed + round(20 * settings.label_noise) if fitted else 80
            write(out_dir, settings, seed, epochs=epochs, fitted=fitted, test=0.6 - settings.label_noise / 2)


def noises(out_dir, network):
    runs = PAPER_FIGURES.runs("1b", "laptop", str(out_dir))
    groups = {}
    for settings, run in runs:
        if settings.network == network:
            groups.setdefault(settings.label_noise, []).append(run)
    return groups


def test_times_are_relative_to_the_same_seeds_clean_labels(tmp_path):
    write_figure_1b(tmp_path)
    points = relative_times(noises(tmp_path, "alexnet"))
    assert [point.noise for point in points] == [0, 0.25, 0.5, 0.75, 1]
    assert points[0].fitted == (1, 1, 1)
    np.testing.assert_allclose(points[-1].fitted, [30 / 10, 31 / 11, 32 / 12])
    assert points[-1].measured.mean == pytest.approx(np.mean([30 / 10, 31 / 11, 32 / 12]))


def test_a_capped_run_is_never_in_a_mean(tmp_path):
    write_figure_1b(tmp_path, capped=[("alexnet", 1.0, 1)])
    point = relative_times(noises(tmp_path, "alexnet"))[-1]
    np.testing.assert_allclose(point.fitted, [3, 32 / 12])
    np.testing.assert_allclose(point.capped, [80 / 11])
    assert np.isnan(point.measured.mean)
    assert np.isnan([point.measured.low, point.measured.high]).all()


def test_without_fitted_clean_labels_there_is_no_relative_time(tmp_path):
    write_figure_1b(tmp_path, capped=[("alexnet", 0.0, 2)])
    points = relative_times(noises(tmp_path, "alexnet"))
    assert points[0].fitted == (1, 1) and points[0].capped == ()
    assert all((len(point.fitted), point.num_without) == (2, 1) for point in points)
    # Each seed keeps its place: no thin line goes from one to another.
    assert [np.isnan(point.by_seed).tolist() for point in points] == [[False, False, True]] * len(points)
    # Seeds that are left are not a fair sample.
    assert all(math.isnan(point.measured.mean) for point in points)


def test_figure_1b_says_how_many_seeds_did_not_fit_clean_labels(draw, tmp_path):
    write_figure_1b(tmp_path, capped=[("alexnet", 0.0, 2)])
    shown = texts(draw(PAPER_FIGURES, "1b", tmp_path, "laptop"))
    assert "AlexNet (clean: 1 of 3 seeds not fitted)" in shown


def test_figures_of_the_other_protocol_say_so(draw, tmp_path):
    for settings in runs_of_figure("1b_ee411", "smoke"):
        write(tmp_path, settings.resolve(), 0, epochs=2)
    picture = draw(PAPER_FIGURES, "1b_ee411", tmp_path, "smoke")
    assert "protocol of EE-411" in picture.get_suptitle()


def test_figure_1b_draws_capped_runs_hollow_at_the_cap_with_an_arrow(draw, tmp_path):
    write_figure_1b(tmp_path, capped=[("alexnet", 1.0, 1), ("inception", 1.0, 0)])
    figure_1b = draw(PAPER_FIGURES, "1b", tmp_path, "laptop")
    (panel,) = figure_1b.axes
    capped = lines(panel, "_capped")
    assert [line.get_ydata()[0] for line in capped] == pytest.approx([80 / 10, 80 / 11])
    assert all(line.get_markerfacecolor() == "white" for line in capped)
    arrows = [a.arrow_patch for a in panel.texts if a.get_text() == ""]
    assert len(arrows) == 2
    means = {line.get_color(): line.get_ydata() for line in lines(panel, "_mean")}
    (inception, alexnet, mlp) = means.values()
    assert np.isnan(inception[-1]) and np.isnan(alexnet[-1])
    assert np.isfinite(mlp).all() and np.isfinite(alexnet[:-1]).all()
    assert "not fitted at the cap: longer" in texts(figure_1b)
    assert texts(figure_1b)[0] == "Inception (clean: 11 epochs)"


def test_figure_1c_draws_errors_of_capped_runs_hollow(draw, tmp_path):
    write_figure_1b(tmp_path, capped=[("mlp_1x512", 1.0, 2)])
    (panel,) = draw(PAPER_FIGURES, "1c", tmp_path, "laptop").axes
    (capped,) = lines(panel, "_capped")
    assert capped.get_ydata()[0] == pytest.approx(0.9)
    assert capped.get_markerfacecolor() == "white"
    inception, _, mlp = lines(panel, "_mean")
    np.testing.assert_allclose(inception.get_ydata(), [0.4, 0.65, 0.9])
    assert np.isnan(mlp.get_ydata()[-1])
    assert any(np.all(line.get_ydata() == 0.9) for line in panel.lines)


def test_figure_2a_shows_accuracies_in_percent(draw, tmp_path):
    for settings, test in zip(runs_of_figure("2a", "smoke"), (0.4, 0.5, 0.6), strict=True):
        write(tmp_path, settings, test=test, train=0.8, every=1)
    figure_2a = draw(PAPER_FIGURES, "2a", tmp_path)
    train, test = figure_2a.axes
    names = ["no regularizer", "weight decay", "weight decay, dropout, augmentation"]
    assert texts(figure_2a)[:3] == names
    for name, top in zip(names, (40, 50, 60), strict=True):
        np.testing.assert_allclose(lines(test, name)[0].get_ydata(), np.linspace(0.25, 1, 4) * top)
        np.testing.assert_allclose(lines(train, name)[0].get_ydata(), [20, 40, 60, 80])
    assert [line.get_ydata()[0] for line in lines(train, "_end")] == pytest.approx([80] * 3)


def test_figure_2b_labels_networks_that_do_not_train(draw, tmp_path):
    for settings in runs_of_figure("2b", "smoke"):
        stuck = settings.batch_norm == "none"
        values = {"train": 0.1, "test": 0.1} if stuck else {}
        diverged = stuck and settings.learning_rate < 0.01
        write(tmp_path, settings, every=1, diverged=diverged, **values)
        if stuck and not diverged:
            write(tmp_path, settings, seed=1, every=1)
    assert texts(draw(PAPER_FIGURES, "2b", tmp_path))[:3] == [
        "BN in all modules, rate 0.03",
        "no BN, rate 0.003 (diverges)",
        "no BN, rate 0.03 (1 of 2 seeds stays at chance)",
    ]
    for settings in runs_of_figure("2b_ee411", "smoke"):
        write(tmp_path, settings, every=1)
    shown = texts(draw(PAPER_FIGURES, "2b_ee411", tmp_path))[:3]
    assert shown == ["BN in all modules", "BN in the downsample modules", "no BN"]


def test_accuracies_of_kernels_against_the_number_of_images(draw, tmp_path):
    for settings, test in zip(runs_of_figure("kernel", "smoke"), (0.2, 0.3, 0.4), strict=True):
        write(tmp_path, settings, epochs=1, train=1.0, test=test)
    (panel,) = draw(PAPER_FIGURES, "kernel", tmp_path).axes
    (line,) = lines(panel, "_test")
    np.testing.assert_allclose(line.get_xydata(), [(60, 20), (120, 30), (240, 40)])


def test_random_labels_with_weight_decay(draw, tmp_path):
    for settings, train in zip(runs_of_figure("random_decay", "smoke"), (1.0, 0.6, 1.0, 1.0), strict=True):
        write(tmp_path, settings, fitted=train == 1, train=train, test=0.1)
    (panel,) = draw(PAPER_FIGURES, "random_decay", tmp_path).axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ["Inception", "AlexNet (not fitted)", "MLP 3x512", "MLP 1x512"]
    assert [line.get_xdata()[0] for line in lines(panel, "_train")] == [100, 60, 100, 100]


@pytest.fixture
def table_records(tmp_path):
    """Two seeds of table 1 with its own numbers, one off; AlexNet with random labels capped once."""
    for settings, row in zip(runs_of_figure("table1", "laptop"), TABLE_1, strict=True):
        for seed in range(2):
            capped = seed == 1 and row.name == "AlexNet (random labels)"
            accuracies = {"train": row.train / 100, "test": row.test / 100 - 0.01 * seed}
            write(tmp_path, settings, seed, fitted=not capped, **accuracies)
    return tmp_path


def test_rows_of_table_1_stand_beside_the_published_ones(table_records, draw):
    found = cells(PAPER_FIGURES.runs("table1", "laptop", str(table_records)))
    assert tuple(found) == TABLE_1
    for row, cell in found.items():
        assert cell.test.mean == pytest.approx(row.test - 0.5)
        # Student's t of one degree of freedom is 12.706, the standard error 0.5: on the scale of logits.
        part = (row.test - 0.5) / 100
        factor = np.exp(0.06353 / (part * (1 - part)))
        odds = part / (1 - part)
        ends = (100 * o / (1 + o) for o in (odds / factor, odds * factor))
        assert (cell.test.low, cell.test.high) == pytest.approx(tuple(ends), abs=1e-3)
        assert cell.train.mean == pytest.approx(row.train)
        assert cell.fitted == (row.name != "AlexNet (random labels)")
    panel, numbers = draw(PAPER_FIGURES, "table1", table_records, "laptop").axes
    ours = lines(panel, "_ours")
    assert [line.get_xdata()[0] for line in ours] == pytest.approx([row.test - 0.5 for row in TABLE_1])
    assert [row.name for row, o in zip(TABLE_1, ours, strict=True) if o.get_markerfacecolor() == "white"] == [
        "AlexNet (random labels)"
    ]
    published = [line.get_xydata()[0] for line in lines(panel, "_published")]
    assert [x for x, _ in published] == [row.test for row in TABLE_1]
    assert [y for _, y in published] == [line.get_ydata()[0] for line in ours]
    written = [text.get_text() for text in numbers.texts]
    assert {"89.05", "88.5 [80.5, 93.5]", "99.34", "99.3"} < set(written)


def test_the_report_has_table_1_and_the_values_of_each_run(table_records, monkeypatch):
    monkeypatch.setattr(report, "judge", lambda *arguments: [])
    paper = report.collect(["zhang_randomization"], table_records, ("laptop",))[0]
    (table,) = (f for f in paper.figures if f.name == "table1")
    assert len(table.runs) == table.expected == 2 * len(TABLE_1)
    assert table.picture.startswith(b"\x89PNG")
    page = report.page([paper])
    assert "<h3>Table 1</h3>" in page
    assert "<td>Inception</td><td>crop, weight decay</td>" in page
    assert "<td class=number>88.5 [80.5, 93.5]</td><td class=number>89.05</td>" in page
    assert (
        "<th class=number scope=col>test accuracy</th>" in page
        and "<th class=number scope=col>epochs run</th>" in page
    )


def test_rows_without_runs_are_left_out(draw, tmp_path):
    for settings in runs_of_figure("table1_mlp", "laptop"):
        write(tmp_path, settings)
    rows = [row for row in TABLE_1 if row.network.startswith("mlp")]
    assert len(table_1(PAPER_FIGURES.runs("table1_mlp", "laptop", str(tmp_path)))[1]) == len(rows) == 6
    panel, _ = draw(PAPER_FIGURES, "table1_mlp", tmp_path, "laptop").axes
    assert [line.get_xdata()[0] for line in lines(panel, "_published")] == [row.test for row in rows]


def test_table_1_counts_seeds_and_names_capped_rows(table_records):
    head, found = table_1(PAPER_FIGURES.runs("table1", "laptop", str(table_records)))
    assert all(len(row) == len(head) for row in found)
    row = dict(zip(head, found[12], strict=True))
    assert (row["network"], row["variant"]) == ("AlexNet", "random labels")
    assert (row["seeds"], row["fitted"]) == (2, "no, capped")


def test_diverged_seeds_are_in_no_mean(tmp_path):
    settings = runs_of_figure("table1", "laptop")[0]
    for seed, test in enumerate((0.8, 0.6)):
        write(tmp_path, settings, seed, test=test)
    write(tmp_path, settings, 2, test=0.1, train=0.1, fitted=False, status="diverged")
    seeds = [dataclasses.replace(settings, seed=seed).resolve() for seed in range(3)]
    found = Cell.of([run_folder(STUDY, one, str(tmp_path)).run() for one in seeds])
    assert found.test.mean == pytest.approx(70) and found.fate == "1 of 3 diverged" and found.fitted


def test_a_mean_is_drawn_where_all_seeds_that_do_not_diverge_have_a_point(tmp_path, draw):
    for settings in runs_of_figure("2a", "laptop"):
        for seed, (epochs, status) in enumerate(((8, "done"), (6, "done"), (3, "diverged"))):
            write(tmp_path, settings, seed, epochs=epochs, status=status)
    left, _ = draw(PAPER_FIGURES, "2a", tmp_path, "laptop").axes
    mean = next(line for line in lines(left, "no regularizer"))
    assert mean.get_xdata()[-1] == 6 and len(lines(left, "_seed")) == 9


@pytest.mark.parametrize("dataset", ["synthetic", "cifar100"])
def test_published_numbers_stand_beside_runs_on_the_papers_data_alone(dataset, tmp_path, draw):
    changed = PAPER_FIGURES.changed({"dataset": dataset})
    for figure in ("table1_mlp", "kernel"):
        for settings in runs_of_figure(figure, "laptop"):
            write(tmp_path, dataclasses.replace(settings, dataset=dataset))
    panel, _ = draw(changed, "table1_mlp", tmp_path, "laptop").axes
    assert lines(panel, "_ours") and not lines(panel, "_published")
    head, found = table_1(changed.runs("table1_mlp", "laptop", str(tmp_path)))
    assert not [name for name in head if "Zhang" in name] and {len(row) for row in found} == {len(head)}
    (legend,) = draw(changed, "kernel", tmp_path, "laptop").legends
    assert [text.get_text() for text in legend.get_texts()][-1] == "chance"


def stamped(monkeypatch, out_dir, records_dir, scale):
    seen = []
    monkeypatch.setattr(
        style, "stamp", lambda figure, text: seen.append(text.replace("\N{NO-BREAK SPACE}", " "))
    )
    drawing.draw(PAPER_FIGURES, "2a", str(records_dir), scale, out_dir)
    return seen


@pytest.mark.parametrize(
    ("scale", "title", "stamp"),
    [
        ("smoke", SYNTHETIC, "smoke scale: 64 training images; seed 0\nsynthetic images"),
        (
            "paper",
            "CIFAR-10 (JPEG re-encoding)",
            "paper scale: all training images; seed 0\nCIFAR-10 (JPEG re-encoding)",
        ),
    ],
)
def test_the_data_stands_in_the_picture(monkeypatch, tmp_path, scale, title, stamp):
    for settings in runs_of_figure("2a", scale):
        write(tmp_path, settings, title=title, every=1)
    assert stamped(monkeypatch, tmp_path / "out", tmp_path, scale) == [stamp]


def test_two_data_sets_are_refused_in_one_line(tmp_path, capsys):
    for settings, title in zip(
        runs_of_figure("2a", "smoke"), ("CIFAR-10", "CIFAR-10", "CIFAR-10 (JPEG re-encoding)"), strict=True
    ):
        write(tmp_path, settings, title=title, every=1)
    with pytest.raises(UserError, match=r"its runs are on CIFAR-10 and CIFAR-10 \(JPEG re-encoding\)"):
        drawing.choose(PAPER_FIGURES, "2a", str(tmp_path))
    with pytest.raises(SystemExit) as stopped:
        drawing.main(
            PAPER_FIGURES, ["figures", "--figure=2a", f"--records={tmp_path}", f"--out_dir={tmp_path}/o"]
        )
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and error.count("\n") == 1
    assert not (tmp_path / "o").exists()
    (found,) = (f for f in report.collect(["zhang_randomization"], tmp_path)[0].figures if f.name == "2a")
    assert found.picture is None and "never in one picture" in found.reason


def test_the_data_of_further_seeds_counts_too(tmp_path):
    for settings in runs_of_figure("2a", "smoke"):
        write(tmp_path, settings, every=1)
    write(tmp_path, runs_of_figure("2a", "smoke")[0], seed=3, title="CIFAR-10", every=1)
    with pytest.raises(UserError, match="CIFAR-10 and synthetic images"):
        drawing.choose(PAPER_FIGURES, "2a", str(tmp_path))


def test_further_seeds_are_shown_but_not_required(tmp_path):
    first, second, third = runs_of_figure("2a", "smoke")
    write(tmp_path, first, seed=1, every=1)
    write(tmp_path, first, every=1)
    with pytest.raises(UserError, match="2 of 3 runs are missing"):
        drawing.choose(PAPER_FIGURES, "2a", str(tmp_path))
    for settings in (second, third):
        write(tmp_path, settings, every=1)
    write(tmp_path, first, seed=6, every=1)  # not one of the six seeds that a figure shows
    _, runs = drawing.choose(PAPER_FIGURES, "2a", str(tmp_path))
    assert [settings.seed for settings, _ in runs] == [0, 0, 0, 1]
    alone = dataclasses.replace(PAPER_FIGURES, num_seeds=1)
    assert len(alone.runs("2a", "smoke", str(tmp_path))) == 3


def test_drawing_does_not_load_tensorflow():
    code = "import sys, figures.zhang_randomization; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["1b", "1c"])
def test_a_figure_of_another_network_has_that_one_alone(draw, tmp_path, name):
    changes = {"network": "mlp_3x512"}
    runs = changed_figure(STUDY, name, "smoke", {"network": ("mlp_3x512",)})
    for settings in runs:
        write(tmp_path, settings)
    shown = draw(PAPER_FIGURES.changed(changes), name, tmp_path)
    assert any(text.startswith("MLP 3x512") for text in texts(shown))
    assert not any("Inception" in text for text in texts(shown))
    resolved = {settings.resolve() for settings in runs}
    assert {s.label_noise for s in resolved} == {0.0, 1.0} and len(resolved) == 2


def test_a_figure_of_batch_normalization_cannot_do_without(tmp_path):
    paper_figures = PAPER_FIGURES.changed({"network": "mlp_3x512"})
    with pytest.raises(UserError, match="--network=mlp_3x512: figure 2b compares runs by this setting"):
        drawing.draw(paper_figures, "2b", str(tmp_path), "smoke", tmp_path)


def test_a_network_without_dropout_says_what_regularizes_it(draw, tmp_path):
    for settings in changed_figure(STUDY, "2a", "smoke", {"network": ("mlp_1x512",)}):
        write(tmp_path, settings, every=1)
    shown = texts(draw(PAPER_FIGURES.changed({"network": "mlp_1x512"}), "2a", tmp_path))
    assert {"no regularizer", "weight decay", "weight decay, augmentation"} <= set(shown)


@pytest.mark.parametrize(("dataset", "level"), [("cifar10", 10), ("synthetic", 10), ("cifar100", 1)])
def test_chance_is_that_of_the_data(dataset, level):
    run = types.SimpleNamespace(record={"settings": {"dataset": dataset}})
    assert chance(run) == level and num_classes(run) == 100 / level
