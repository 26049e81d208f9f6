import types

import numpy as np
import pytest

from figures.snapp_shamir import weights as weights
from figures.snapp_shamir.paper_figures import PAPER_FIGURES

SHAPES = {
    "linear": [(32, 1), (1,)],
    "single": [(32, 1), (1,), (1, 1), (1,)],
    "double": [(32, 2), (2,), (2, 1), (1,)],
    "tower": [s for i, o in ((32, 16), (16, 8), (8, 4), (4, 2), (2, 1)) for s in ((i, o), (o,))],
    "wide": [(2, 16, 2), (4, 1000), (1000,), (1000, 1), (1,)],
}


def _arrays(settings, seed=0):
    generator = np.random.default_rng(seed)
    shapes = [(settings.pairs, 2, *shape) for shape in SHAPES[settings.model]]
    arrays = {f"weights_{i}": generator.normal(size=shape) for i, shape in enumerate(shapes)}
    return arrays | {"theta": generator.normal(size=32)}


def test_the_median_difference_has_an_interval_over_pairs():
    kernel = np.zeros((6, 2, 2, 1))
    # Mean squares: 5, 4, 26, 9, 8, 10.
    kernel[:, 1, :, 0] = [[1, 3], [2, -2], [-4, 6], [3, 3], [0, 4], [2, 4]]
    run = types.SimpleNamespace(arrays={"weights_0": kernel})
    median, low, high = weights.median_difference(run)
    assert median == pytest.approx((8**0.5 + 3) / 2)
    assert (low, high) == pytest.approx((2, 26**0.5))
    run = types.SimpleNamespace(arrays={"weights_0": kernel[:3]})
    median, low, high = weights.median_difference(run)
    assert median == pytest.approx(5**0.5) and np.isnan([low, high]).all()


@pytest.fixture
def single_run(write_run, paper, tmp_path):
    """Writes the run of figure 7 and returns it."""

    def write(differences, dead=()):
        settings = paper.runs_of_figure("7", "smoke")[0]
        write_run(tmp_path, settings, differences, dead=dead)
        return PAPER_FIGURES.runs("7", "smoke", str(tmp_path))[0][1]

    return write


def test_the_pair_of_median_difference_represents_a_run(single_run):
    run = single_run([0.4, 0.1, 0.3, 0.2])
    assert weights.representative_pair(run) == 3


def test_a_pair_with_a_dead_model_does_not_represent_a_run(single_run):
    run = single_run([0.4, 0.1, 0.3, 0.2], dead=(1, 3))
    assert weights.representative_pair(run) == 2


def test_where_every_pair_has_a_dead_model_any_represents_the_run(single_run):
    run = single_run([0.4, 0.1, 0.3, 0.2], dead=(0, 1, 2, 3))
    assert weights.representative_pair(run) == 3


@pytest.fixture
def figure_3(write_run, paper, draw, tmp_path):
    """Figure 3 of random weights; the identity1 pairs 1 and 2 are flipped, pair 2 exactly."""
    written = {}
    for i, settings in enumerate(paper.runs_of_figure("3", "smoke")):
        arrays = _arrays(settings, seed=i)
        if settings.model == "single":
            kernel = arrays["weights_0"]
            kernel[:, 1] = kernel[:, 0]
            kernel[1, 1] = -kernel[1, 0] + 0.01
            kernel[2, 1] = -kernel[2, 0]
        key = settings.model, settings.resolve().activation, settings.shuffle_log2
        written[key] = arrays
        # The pair of median PD is 2 (index) at the largest window and 1 at the smallest.
        differences = [0.4, 0.2, 0.3, 0.1] if settings.shuffle_log2 == 0 else [0.4, 0.1, 0.2, 0.3]
        write_run(tmp_path, settings, differences, arrays=arrays)
    return draw(PAPER_FIGURES, "3", tmp_path), written


def _points(panel, label):
    return next(line.get_ydata() for line in panel.lines if line.get_label() == label)


def test_figure_3_shows_the_flipped_pair_and_counts_them(figure_3):
    figure, written = figure_3
    panel, kernel = figure.axes[1], written["single", "identity", 0]["weights_0"]
    np.testing.assert_array_equal(_points(panel, "first model of the pair")[:32], kernel[2, 0, :, 0])
    np.testing.assert_array_equal(_points(panel, "second model")[:32], -kernel[2, 0, :, 0])
    title = panel.get_title()
    assert "pair 3 of 4 (most negative cosine" in title
    assert "$-1.000$" in title
    assert "in 2 of 4 pairs" in title


def test_figure_3_shows_theta_and_both_cosines(figure_3):
    figure, written = figure_3
    panel = figure.axes[0]
    last, first = written["linear", "identity", 8], written["linear", "identity", 0]
    np.testing.assert_array_equal(_points(panel, r"true weights $\theta$"), last["theta"])
    np.testing.assert_array_equal(_points(panel, "second model")[:32], last["weights_0"][2, 1, :, 0])
    for arrays in (last, first):
        errors = arrays["weights_0"][..., 0] - arrays["theta"]
        errors /= np.linalg.norm(errors, axis=-1, keepdims=True)
        assert f"${(errors[:, 0] * errors[:, 1]).sum(axis=1).mean():.3f}$ [" in panel.get_title()


def test_figure_3_shows_relu2_at_both_windows_with_one_pair(figure_3):
    figure, written = figure_3
    for panel, window in zip(figure.axes[3:], (0, 8), strict=True):
        kernel = written["double", "relu", window]["weights_0"]
        shown = _points(panel, "first model of the pair")[:64]
        np.testing.assert_array_equal(shown, kernel[2, 0].T.ravel())
        assert rf"ReLU2, $\log_2 z$ = {window}: pair 3 of 4" in panel.get_title()


def test_figure_4_shows_the_differences(write_run, paper, draw, tmp_path):
    written = []
    for i, settings in enumerate(paper.runs_of_figure("4", "smoke")):
        written.append(_arrays(settings, seed=i))
        write_run(tmp_path, settings, [0.1, 0.2, 0.3, 0.4], arrays=written[-1])
    figure = draw(PAPER_FIGURES, "4", tmp_path)
    assert len(figure.axes) == 2
    for panel, arrays in zip(figure.axes, written, strict=True):
        shown = _points(panel, "difference")
        kernel = arrays["weights_0"]
        assert shown.shape == (35,)
        np.testing.assert_array_equal(shown[:32], kernel[1, 0, :, 0] - kernel[1, 1, :, 0])
        assert len(_others(panel)) == 3 * 35


def _others(panel):
    return np.concatenate([line.get_xydata() for line in panel.lines if line.get_label() == "_other"])


def test_figure_4_marks_what_lies_beyond_the_axis(write_run, paper, draw, tmp_path):
    for settings in paper.runs_of_figure("4", "smoke"):
        arrays = {f"weights_{i}": np.zeros((4, 2, *shape)) for i, shape in enumerate(SHAPES["single"])}
        arrays["weights_0"][:, 0] = 1e-2
        arrays["weights_0"][2, 1, 5] = 9.0  # a difference of -8.99
        write_run(tmp_path, settings, [0.1, 0.2, 0.3, 0.4], arrays=arrays)
    for panel in draw(PAPER_FIGURES, "4", tmp_path).axes:
        (beyond,) = (line for line in panel.lines if line.get_marker() == "v")
        np.testing.assert_allclose(beyond.get_xydata(), [[5, -1.2e-2]])
        assert panel.get_ylim()[0] > -0.02


def test_figure_7_shows_every_weight_of_both_models_at_each_window(write_run, paper, draw, tmp_path):
    first, last = paper.runs_of_figure("7", "smoke")
    arrays = _arrays(first)
    arrays["weights_0"][3, 1] = arrays["weights_0"][3, 0]
    write_run(tmp_path, first, [0.4, 0.1, 0.3, 0.2], arrays=arrays, dead=(0,))
    write_run(tmp_path, last, [0.4, 0.1, 0.3, 0.2], arrays=_arrays(last, 1))
    figure = draw(PAPER_FIGURES, "7", tmp_path)
    panel, other = figure.axes
    assert [len(layer.get_offsets()) for layer in panel.collections] == [528, 136, 36, 10, 3]
    assert len({tuple(layer.get_facecolor()[0]) for layer in panel.collections}) == 5
    kernel = arrays["weights_2"][3].reshape(2, -1)
    np.testing.assert_array_equal(panel.collections[1].get_offsets()[:128], kernel.T)
    assert "1 of 8 models dead" in panel.get_title()
    assert "= 0:" in panel.get_title() and "= 8:" in other.get_title()
    flat = np.concatenate([arrays[f"weights_{i}"][3].reshape(2, -1) for i in range(10)], axis=1)
    assert f"correlation ${np.corrcoef(flat)[0, 1]:.3f}$" in panel.get_title()


def test_figure_7_shows_the_windows_whose_weights_were_kept(write_run, paper, draw, tmp_path):
    first, last = paper.runs_of_figure("7", "smoke")
    write_run(tmp_path, first, [0.4, 0.1, 0.3, 0.2])
    write_run(tmp_path, last, [0.4, 0.1, 0.3, 0.2], arrays=_arrays(last))
    figure = draw(PAPER_FIGURES, "7", tmp_path)
    assert len(figure.axes) == 1
    assert figure.get_suptitle().startswith("Snapp & Shamir 2021, figure 7: tower")


def test_figure_9_shows_the_most_and_the_least_aligned_pair(write_run, paper, draw, tmp_path):
    (settings,) = paper.runs_of_figure("9", "smoke")
    arrays = _arrays(settings)
    embeddings = arrays["weights_0"]
    for pair, share in enumerate((0.5, 0.0, 1.0, -1.0)):
        embeddings[pair, 1] = share * embeddings[pair, 0] + (1 - abs(share)) * embeddings[pair, 1]
    write_run(tmp_path, settings, [0.1, 0.2, 0.3, 0.4], arrays=arrays)
    panels = draw(PAPER_FIGURES, "9", tmp_path).axes
    for left, right, pair in ((*panels[:2], 2), (*panels[2:], 3)):
        np.testing.assert_array_equal(left.collections[0].get_offsets(), embeddings[pair].reshape(2, -1).T)
        edges_in, edges_out = (edges.get_offsets() for edges in right.collections)
        np.testing.assert_array_equal(edges_in, arrays["weights_1"][pair].reshape(2, -1).T)
        np.testing.assert_array_equal(edges_out, arrays["weights_3"][pair].reshape(2, -1).T)
    assert "correlation $1.000$" in panels[0].get_title()
    assert "correlation $-1.000$" in panels[2].get_title()
