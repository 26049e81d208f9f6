import dataclasses
import itertools
import json
import subprocess
import sys

import numpy as np
import pytest

from common.errors import UserError
from common.metrics.reproducibility import group_reproducibility
from common.study.runs import load_study, run_folder
from figures import drawing, style
from figures.somepalli_boundaries.paper_figures import FIGURES, PAPER_FIGURES, TABLES
from figures.somepalli_boundaries.pictures import class_shares
from figures.somepalli_boundaries.planes import (
    CLASS_COLORS,
    COLORS,
    Plane,
    draw_plane,
    mark_handles,
    paint,
    paper_style,
    plane,
)
from figures.somepalli_boundaries.scores import distillation_cells, figure_distillation, source_groups
from replications.somepalli_boundaries.published import NETWORK_NAMES, PICTURES, REPRODUCIBILITY_MATRIX
from replications.somepalli_boundaries.settings import Settings
from tests.made_rows import made_rows

PAPER = load_study("somepalli_boundaries")
RESOLUTION = 9


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    monkeypatch.setattr("common.study.run_folders.provenance", dict)


def picture_arrays(settings, rng):
    wanted = PICTURES[settings.pictures]
    number = len(wanted)
    labels = np.tile([1, 1, 2], (number, 1)).astype(np.int8)
    true_labels = labels.copy()
    if settings.label_noise:
        true_labels[[p.name.startswith("9") for p in wanted], 2] = 1
    is_data = np.array([[bool(p.ids)] for p in wanted])
    return {
        "picture_names": np.array([p.name for p in wanted]),
        "picture_classes": rng.integers(0, 3, (number, RESOLUTION, RESOLUTION)).astype(np.uint8),
        "picture_confidences": rng.integers(100, 256, (number, RESOLUTION, RESOLUTION)).astype(np.uint8),
        "picture_windows": np.tile([-5.0, 15.0, -4.0, 12.0], (number, 1)).astype(np.float32),
        "picture_coordinates": np.tile([[0, 0], [10, 0], [4, 8]], (number, 1, 1)).astype(np.float32),
        "picture_images": rng.integers(0, 256, (number, 3, 32, 32, 3)).astype(np.uint8),
        "picture_labels": np.where(is_data, labels, -1),
        "picture_true_labels": np.where(is_data, true_labels, -1),
    }


def world(settings):
    """Rows and arrays of a run that depend on its settings in a known way."""
    noise = settings.label_noise
    rng = np.random.default_rng(
        [settings.seed, settings.width, round(100 * noise), *settings.network.encode()]
    )
    values = {
        "train_accuracy": 0.5 if settings.width == 1 else 1.0,
        "test_accuracy": 0.4 + settings.seed / 100,
        ("accuracy", "test"): 0.4 + settings.seed / 100,
        "class_skips": 1.5,
        ("fragmentation", "all"): 10 + 100 * noise + settings.width,
        ("fragmentation", "test"): 11 + 100 * noise + settings.width,
        ("fragmentation", "clean"): 5 + 100 * noise + settings.width,
        ("margin", "all", "median"): 2.0 / settings.width,
        ("margin", "clean", "median"): 3.0 / settings.width,
        ("margin", "noisy", "median"): 1.0 / settings.width,
        "lemma_needed_lipschitz": 7.0,
        "lemma_measured_slope": 0.5,
    }
    place = {"statistic": "run", "epoch": settings.epochs, "step": 10}
    rows = [{"metric": "test_accuracy", "value": 0.2} | place | {"epoch": 0.5, "step": 5}]
    rows += made_rows(values, place)
    arrays = {
        "score_classes": rng.integers(0, 2, (3, 4, 4)).astype(np.uint8),
        "random_classes": rng.integers(0, 2, (2, 2, 4, 4)).astype(np.uint8),
        "lemma_distances": (settings.seed + 1) * np.linspace(0, 0.1, 101, dtype=np.float32),
    }
    return rows, arrays | (picture_arrays(settings, rng) if settings.pictures != "none" else {})


def write(folder, name, scale="smoke", num_diverged=0):
    for i, settings in enumerate(PAPER.runs_of_figure(name, scale)):
        settings = settings.resolve()
        with run_folder(PAPER, settings, str(folder)) as run:
            run.start({}, "synthetic images" if scale == "smoke" else "CIFAR-10")
            if i < num_diverged:
                place = {"statistic": "run", "epoch": 1, "step": 3}
                names = ("train_accuracy", "test_accuracy", "diverged")
                rows = [{"metric": metric, "value": 1.0} | place for metric in names]
                run.finish("diverged", rows, {"batch_losses": np.ones(3)})
            else:
                run.finish("done", *world(settings))


@pytest.fixture
def drawn(tmp_path):
    """Draws a figure from made-up records; returns the figure and its (settings, Run)."""

    def draw(name, scale="smoke", num_diverged=0):
        write(tmp_path, name, scale, num_diverged)
        runs = PAPER_FIGURES.runs(name, scale, str(tmp_path))
        with style.applied():
            figure = FIGURES[name](runs)
            figure.draw_without_rendering()
        return figure, runs

    return draw


def test_every_figure_can_be_drawn():
    assert set(FIGURES) == set(PAPER.figures)
    assert set(TABLES) <= set(FIGURES)


def test_drawing_loads_no_tensorflow():
    code = "import sys, figures.somepalli_boundaries; sys.exit('tensorflow' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


# Machado et al. 2009, "A physiologically-based model for simulation of color vision deficiency": complete
# protanopia, deuteranopia and tritanopia, for linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
XYZ = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]


def lab(color, sight):
    """CIE L*a*b* (white point D65) of an sRGB color as a kind of sight has it."""
    color = np.asarray(color)
    linear = np.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    x, y, z = XYZ @ np.clip(sight @ linear, 0, 1) / [0.95047, 1, 1.08883]
    f = [np.cbrt(t) if t > (6 / 29) ** 3 else t / (3 * (6 / 29) ** 2) + 4 / 29 for t in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("sight", SIGHT)
def test_class_colors_differ_for_every_kind_of_sight(sight):
    colors = [lab(color, np.array(SIGHT[sight])) for color in COLORS]
    distances = [np.linalg.norm(a - b) for a, b in itertools.combinations(colors, 2)]
    assert min(distances) > (41 if sight == "normal" else 24)
    white = lab([1, 1, 1], np.eye(3))
    assert min(np.linalg.norm(color - white) for color in colors) > 33


def test_a_point_has_its_class_color_faded_by_its_confidence():
    classes = np.array([[0, 1], [2, 3]], np.uint8)
    confidences = np.array([[255, 51], [0, 255]], np.uint8)
    shown = Plane(classes, confidences, np.array([0, 1, 0, 1.0]), None, None, None, None)
    painted = paint(shown)  # rows along the second direction
    np.testing.assert_allclose(painted[0, 0], COLORS[0])
    np.testing.assert_allclose(painted[1, 0], 0.2 * COLORS[1] + 0.8)
    np.testing.assert_allclose(painted[0, 1], 1)
    np.testing.assert_allclose(painted[1, 1], COLORS[3])


def test_a_cross_marks_the_wrong_label():
    labels, true = np.array([1, 1, 6]), np.array([1, 1, 1])
    coordinates = np.array([[0, 0], [10, 0], [4, 8.0]])
    square = np.zeros((4, 4), np.uint8)
    shown = Plane(square, square, np.array([-5, 15, -4, 12.0]), coordinates, None, labels, true)
    with style.applied():
        panel = style.new_figure(3, 3, "").subplots()
        draw_plane(panel, shown)
    assert [line.get_marker() for line in panel.lines] == ["o", "o", "X"]
    np.testing.assert_allclose([line.get_xydata()[0] for line in panel.lines], coordinates)


@pytest.mark.parametrize("name,opacity", [("9_0", 0.5), ("planes", 0.2)])
def test_the_papers_style_has_its_marks_no_lines_and_flat_double_descent(name, opacity):
    classes, confidences = np.array([[0, 1], [1, 0]], np.uint8), np.full((2, 2), 51, np.uint8)
    coordinates, labels = np.array([[0, 0], [10, 0], [4, 8.0]]), np.array([1, 1, 1])
    shown = Plane(classes, confidences, np.array([-5, 15, -4, 12.0]), coordinates, None, labels, labels, name)
    with style.applied(), paper_style():
        panel = style.new_figure(3, 3, "").subplots()
        draw_plane(panel, shown)
        np.testing.assert_allclose(paint(shown)[0, 0], opacity * COLORS[0] + 1 - opacity)
        assert [handle.get_marker() for handle in mark_handles()] == ["o", "^", "X"]
    assert [line.get_marker() for line in panel.lines] == ["o", "^", "X"]
    assert not panel.collections  # no contours


def titled(figure):
    return [panel for panel in figure.axes if panel.images and panel.get_title()]


def test_planes_has_a_panel_for_each_network_and_seed(drawn):
    figure, runs = drawn("planes")
    panels = titled(figure)
    assert len(panels) == len(runs)
    networks = [n for n in NETWORK_NAMES if any(s.network == n for s, _ in runs)]
    first_row = [panel.get_title().split("\n")[0] for panel in panels if "\n" in panel.get_title()]
    assert first_row == [NETWORK_NAMES[n] for n in networks]
    assert {panel.get_ylabel() for panel in panels} == {"", "seed 0", "seed 1"}
    assert sorted({panel.get_title().split("\n")[-1] for panel in panels}) == ["40.0%", "41.0%"]


def test_off_manifold_shows_shares_of_all_planes(drawn):
    figure, runs = drawn("off_manifold_classes")
    _, run = runs[0]
    for i, kind in enumerate(("uniform", "shuffled")):
        maps = run.arrays["random_classes"][i]
        shares = class_shares(run, kind)
        assert shares.sum() == pytest.approx(1)
        assert shares[1] == np.mean(maps == 1)
    bars = next(panel for panel in figure.findobj(lambda a: hasattr(a, "patches")) if panel.patches)
    assert len(bars.patches) == len(runs) * 2 * len(CLASS_COLORS)


def test_the_lemma_has_a_line_a_seed(drawn):
    figure, runs = drawn("lemma")
    distances = next(panel for panel in figure.axes if panel.get_xlabel() == "|f - median|")
    assert len(distances.lines) == len(runs)
    # Half of the images of seed 0 lie within 0.05.
    x, y = np.transpose(distances.lines[0].get_xydata())
    assert np.interp(0.05, x, y) == pytest.approx(0.5)


def numbers(panel):
    return {(round(t.get_position()[1]), round(t.get_position()[0])): t.get_text() for t in panel.texts}


def test_the_matrix_has_the_scores_of_the_class_maps(drawn):
    figure, runs = drawn("reproducibility")
    shown = numbers(figure.axes[0])
    names = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    by_name = {}
    for settings, run in runs:
        by_name.setdefault(NETWORK_NAMES[settings.network], []).append(run.arrays["score_classes"])
    for (i, a), (j, b) in itertools.product(enumerate(names), repeat=2):
        pairs = [
            np.mean(first == second)
            for k, first in enumerate(by_name[a])
            for m, second in enumerate(by_name[b])
            if a != b or k != m
        ]
        assert shown[i, j] == f"{np.mean(pairs):.2f}".lstrip("0")


def test_published_numbers_stand_beside_ours_at_paper_scale_only(drawn, tmp_path):
    figure, runs = drawn("reproducibility")
    assert len([panel for panel in figure.axes if panel.images]) == 1
    head, _ = TABLES["reproducibility"](runs)
    assert "published" not in head
    figure, runs = drawn("reproducibility", "paper")
    panels = [panel for panel in figure.axes if panel.images]
    assert [panel.get_title() for panel in panels] == ["ours", "published"]
    assert numbers(panels[1])[0, 8] == ".45"
    head, rows = TABLES["reproducibility"](runs)
    assert head[-1] == "published"
    assert len(rows) == 45
    assert rows[0][-1] == f"{REPRODUCIBILITY_MATRIX[0, 0]:.2f}"
    shorter = [(dataclasses.replace(settings, epochs=5), run) for settings, run in runs]
    assert "published" not in TABLES["reproducibility"](shorter)[0]


def test_optimizers_table(drawn):
    _, runs = drawn("optimizers")
    head, rows = TABLES["optimizers"](runs)
    assert len(rows) == len({(s.network, s.resolve().optimizer_name) for s, _ in runs})
    assert {row[head.index("test accuracy (%)")] for row in rows} == {"40.50"}
    assert {row[head.index("pairs")] for row in rows} == {"1"}
    _, runs = drawn("optimizers", "paper")
    head, rows = TABLES["optimizers"](runs)
    assert rows[0][-2:] == ["79.81", "93.04"]


def test_distillation_compares_with_the_teachers_run(drawn):
    figure, runs = drawn("distillation")
    maps = {(s.teacher, s.network, s.seed): run.arrays["score_classes"] for s, run in runs}
    shown = numbers(figure.axes[0])
    teacher, student = maps[None, "fully_connected", 1], maps["fully_connected", "resnet18", 0]
    assert shown[1, 0] == f"{np.mean(teacher == student):.2f}".lstrip("0")
    vanilla = numbers(figure.axes[1])
    assert vanilla[1, 0] == f"{np.mean(teacher == maps[None, 'resnet18', 0]):.2f}".lstrip("0")


def test_distillation_shows_means_over_students(drawn):
    _, runs = drawn("distillation")
    by_seed = {(s.teacher, s.network, s.seed): run for s, run in runs}
    again = []  # students of seed 1 with teachers of seed 2, which are vanilla networks under other names
    for settings, run in runs:
        if settings.teacher:
            second = dataclasses.replace(settings, seed=1, teacher_seed=2)
            again.append((second, by_seed[None, settings.network, 0]))
        elif settings.seed == 1:
            again.append((dataclasses.replace(settings, seed=2), run))
    names, distilled, vanilla = distillation_cells([*runs, *again])
    i, j = names.index("fully_connected"), names.index("resnet18")
    maps = {key: run.arrays["score_classes"] for key, run in by_seed.items()}
    teacher = maps[None, "fully_connected", 1]
    first = np.mean(teacher == maps["fully_connected", "resnet18", 0])
    second = np.mean(teacher == maps[None, "resnet18", 0])
    assert distilled[i, j] == pytest.approx((first + second) / 2)
    alone = np.mean(teacher == maps[None, "resnet18", 1])
    assert vanilla[i, j] == pytest.approx((second + alone) / 2)
    title = figure_distillation([*runs, *again]).get_suptitle()
    assert title.endswith("means over 2 seeds each")


def curves(panel):
    return {line.get_label(): line for line in panel.lines if not line.get_label().startswith("_")}


def test_figure_10_shows_means_over_seeds(drawn):
    figure, _ = drawn("10")
    for panel, base in zip(figure.axes, (10, 11, 5), strict=False):
        shown = curves(panel)
        np.testing.assert_allclose(shown["no label noise"].get_xydata(), [[1, base + 1], [2, base + 2]])
        np.testing.assert_allclose(shown["20% label noise"].get_ydata(), [base + 21, base + 22])
    errors = curves(figure.axes[3])["20% label noise"]
    np.testing.assert_allclose(errors.get_ydata(), [0.5, 0])


def test_the_threshold_is_marked_where_noisy_labels_are_fitted(drawn):
    figure, _ = drawn("10")
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in lines] == [2]


def test_figure_11_shows_scores_between_seeds(drawn):
    figure, runs = drawn("11")
    maps = {(s.label_noise or 0.0, s.width, s.seed): run.arrays["score_classes"] for s, run in runs}
    for noise, label in ((0.0, "no label noise"), (0.2, "20% label noise")):
        expected = [np.mean(maps[noise, width, 0] == maps[noise, width, 1]) for width in (1, 2)]
        np.testing.assert_allclose(curves(figure.axes[0])[label].get_ydata(), expected)


def test_figure_11_has_a_mark_for_each_pair_of_three_seeds(drawn):
    figure, runs = drawn("11", "laptop")
    cell = (0.2, 3)
    maps = [run.arrays["score_classes"] for s, run in runs if (s.label_noise, s.width) == cell]
    expected = group_reproducibility(maps)
    pairs = [np.mean(a == b) for a, b in itertools.combinations(maps, 2)]
    points = [line.get_ydata() for line in figure.axes[0].lines if line.get_marker() == "."]
    for score in pairs:
        assert any(np.isclose(score, found[0]) for found in points)
    assert not [line for line in figure.axes[0].lines if line.get_label() == "_interval"]
    head, rows = TABLES["11"](runs)
    (row,) = (row for row in rows if row[:2] == ["20%", "3"])
    assert row[head.index("reproducibility")] == f"{expected.value:.3f}"
    assert row[head.index("95 % interval")] == f"{expected.low:.3f} to {expected.high:.3f}"


@pytest.mark.parametrize("name", FIGURES)
def test_diverged_runs_are_left_out_and_the_picture_says_so(name, drawn):
    figure, runs = drawn(name, num_diverged=1)
    assert "left out, since diverged: " in figure.get_suptitle()
    if name in TABLES:
        head, rows = TABLES[name](runs)
        assert {len(row) for row in rows} == {len(head)}


def test_a_picture_without_a_seed_keeps_the_others_in_their_rows(drawn):
    figure, runs = drawn("planes", num_diverged=1)  # the first network's seed 0
    panels = [panel for panel in figure.axes if panel.get_title()]
    first = next(panel for panel in panels if panel.get_title() == "ResNet18\ndiverged")
    assert not first.images
    assert first.get_ylabel() == "seed 0"
    assert sum(bool(panel.images) for panel in panels) == len(runs) - 1


def test_nothing_is_drawn_of_diverged_runs_alone(drawn):
    with pytest.raises(UserError, match="all of its 2 runs diverged"):
        drawn("8", num_diverged=2)


def test_figure_12_shows_medians(drawn):
    figure, _ = drawn("12")
    np.testing.assert_allclose(curves(figure.axes[0])["no label noise"].get_ydata(), [2, 1])
    shown = curves(figure.axes[1])
    np.testing.assert_allclose(shown["right labels"].get_ydata(), [3, 1.5])
    np.testing.assert_allclose(shown["wrong labels"].get_ydata(), [1, 0.5])


def test_nakkirans_figure_shows_last_errors_and_all_epochs(drawn):
    figure, _ = drawn("nakkiran_1")
    shown = curves(figure.axes[0])
    np.testing.assert_allclose(shown["train error"].get_ydata(), [0.5, 0])
    np.testing.assert_allclose(shown["test error"].get_ydata(), [0.6, 0.6])
    surface = figure.axes[1].collections[0].get_array().reshape(2, 2)
    np.testing.assert_allclose(surface, [[0.8, 0.8], [0.6, 0.6]])


@pytest.mark.parametrize("name,num_planes", [("7", 8), ("8", 6), ("9", 40), ("mixup", 10)])
def test_pictures_have_a_panel_for_each_plane(name, num_planes, drawn):
    figure, _ = drawn(name)
    assert sum(bool(panel.images) for panel in figure.axes) == num_planes


def test_figure_7_shows_each_run_in_its_row_and_column(drawn):
    figure, runs = drawn("7")
    found = {(s.label_noise or 0.0, s.width): run for s, run in runs if s.seed == 0}
    rows = itertools.product(("7_same_class", "7_random"), (0.0, 0.2))
    for (name, noise), panels in zip(rows, np.reshape(figure.axes, (4, 3)), strict=True):
        for panel, width in zip(panels[1:], (1, 2), strict=True):
            (image,) = panel.images
            np.testing.assert_allclose(image.get_array(), paint(plane(found[noise, width], name)))
            # A point is a cell: half of 20 / 8 and of 16 / 8 beyond the window.
            assert image.get_extent() == pytest.approx((-6.25, 16.25, -5, 13))


def test_figure_8_has_a_column_a_plane_and_a_row_a_noise(drawn):
    figure, runs = drawn("8")
    found = {s.label_noise or 0.0: run for s, run in runs if s.seed == 0}
    for noise, panels in zip((0.0, 0.2), np.reshape(figure.axes, (3, 3))[1:], strict=True):
        for i, panel in enumerate(panels):
            np.testing.assert_allclose(panel.images[0].get_array(), paint(plane(found[noise], f"8_{i}")))
        assert panels[0].get_ylabel().endswith("20% label noise" if noise else "no label noise")


def test_sources_hold_the_runs_that_differ_in_their_streams(drawn):
    _, runs = drawn("sources")
    groups = source_groups(runs)
    seeds = {
        source: [
            tuple(run.record["settings"][n] for n in ("seed", "order_seed", "augmentation_seed"))
            for run in found
        ]
        for (_, source), found in groups.items()
    }
    assert seeds == {
        "initialization": [(0, None, None), (1, 0, 0)],
        "order": [(0, None, None), (0, 1, None)],
        "augmentation": [(0, None, None), (0, None, 1)],
        "initialization and order": [(0, None, None), (1, None, 0)],
        "all": [(0, None, None), (1, None, None)],
    }


def test_the_picture_says_how_small_its_runs_are():
    small = [Settings(num_train=4000, epochs=20, num_triplets=60, width=w) for w in (8, 16)]
    assert PAPER_FIGURES.size("reproducibility", small) == (
        "4,000 images, 20 epochs, 60 planes of 50 x 50 points, narrow networks; seed 0"
    )
    sweep = PAPER.runs_of_figure("10", "smoke")
    assert PAPER_FIGURES.size("11", sweep) == (
        "320 images, 1 epoch, 2 planes of 8 x 8 points, widths 1 to 2; seeds 0 to 1"
    )


@pytest.mark.parametrize("figure", ["off_manifold", "7", "8", "9", "mixup"])
def test_a_picture_of_one_seed_names_that_alone(figure):
    runs = PAPER.runs_of_figure(figure, "smoke")
    again = [dataclasses.replace(settings, seed=seed) for settings in runs for seed in (5, 6)]
    assert PAPER_FIGURES.size(figure, again).endswith("; seed 5")


@pytest.mark.parametrize(
    ("figure", "words"),
    [
        ("7", ", planes of 64 x 64 points, widths"),
        ("10", ", 3 x 30 planes of 50 x 50 points, widths"),
        ("12", ", margins of 60 images, widths"),
        ("off_manifold_classes", ", 2 x 50 planes of 25 x 25 points, narrow"),
        ("lemma", ", 100 random images, narrow"),
    ],
)
def test_a_picture_names_the_planes_that_it_shows(figure, words):
    runs = [settings.resolve() for settings in PAPER.runs_of_figure(figure, "laptop")]
    assert words in PAPER_FIGURES.size(figure, runs)


def test_the_line_of_figure_11_is_open_where_a_network_diverged(drawn):
    figure, runs = drawn("11", num_diverged=1)
    first = runs[0][0]
    label = "20% label noise" if first.label_noise else "no label noise"
    line = curves(figure.axes[0])[label]
    assert list(line.get_xdata()) == [1, 2]
    assert [bool(np.isnan(y)) for y in line.get_ydata()] == [width == first.width for width in (1, 2)]


def test_the_title_stays_inside_the_picture(drawn):
    figure, _ = drawn("reproducibility", num_diverged=3)
    style.stamp(figure, "word " * 60)
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_seeds_of_single_sources_belong_to_the_largest(tmp_path):
    """Sources with two whole seeds and a third that is not finished."""
    write(tmp_path, "sources", "laptop")
    for record in tmp_path.glob("*/*/run.json"):
        settings = json.loads(record.read_text())["settings"]
        if 2 in (settings["seed"], settings["order_seed"], settings["augmentation_seed"]):
            record.unlink()
    kept = PAPER_FIGURES.runs("sources", "laptop", str(tmp_path))
    assert kept and all(run for _, run in kept)
    assert {max(s.seeds.values()) for s, _ in kept} == {0, 1}


def test_unfinished_seeds_are_left_out_of_a_picture(tmp_path):
    def drop_seed_one(name):
        write(tmp_path / name, name)
        for record in (tmp_path / name).glob("*/*/run.json"):
            settings = json.loads(record.read_text())["settings"]
            if settings["seed"] == 1 and settings["width"] == 2:
                record.unlink()
        return str(tmp_path / name)

    kept = PAPER_FIGURES.runs("10", "smoke", drop_seed_one("10"))
    assert {s.seed for s, _ in kept} == {0}
    assert all(run for _, run in kept)
    # Scores between seeds need two.
    assert any(run is None for _, run in PAPER_FIGURES.runs("11", "smoke", str(tmp_path / "10")))


def test_draw_writes_both_files(tmp_path):
    write(tmp_path, "sources")
    paths = drawing.draw(PAPER_FIGURES, "sources", str(tmp_path), out_dir=tmp_path / "out")
    assert [path.suffix for path in paths] == [".png", ".pdf"]
    assert all(path.stat().st_size > 10_000 for path in paths)


def test_a_figure_without_planes_has_no_other_style():
    papers = dataclasses.replace(PAPER_FIGURES, style="paper")
    assert papers.style_of("planes") == "paper" and papers.style_of("10") is None
    assert drawing.file_name(papers, "10") == drawing.file_name(PAPER_FIGURES, "10")
    drawing._check_style(papers, "all")
    with pytest.raises(UserError, match="^--style=paper: figure 10 has none; it is one of planes"):
        drawing._check_style(papers, "10")
