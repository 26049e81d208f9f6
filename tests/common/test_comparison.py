"""What `compare` makes of models and examples as users have them; its numbers are in tests/launch."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import boundaries, comparison
from common.arrays import examples_at_once
from common.comparison import Options, compare
from common.metrics.margin import Margins

NOTHING = Options(num_planes=0, num_margins=0, num_gradients=0)
MARGINS = Options(num_planes=0, num_margins=50, num_gradients=0)


def identity(x):
    return x


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-3, 1e4])
def test_margins_are_in_the_unit_of_the_examples_whatever_it_is(scale):
    """Two classes that part where the first number is 0: examples at 2 units, on a line across it."""
    x = np.repeat(np.array([[-2.0, 0.0], [2.0, 0.0]], np.float32), 30, axis=0) * np.float32(scale)
    found = compare([identity, identity], x, options=MARGINS)
    # All directions with a crossing lead along the line: the margin is 2. Logits are x0 and 0.
    margin = found.of_models[0]["margin"]
    assert margin.value == pytest.approx(2 * scale, rel=1e-3) and margin.n == 50


def test_a_margin_that_few_examples_have_is_left_out():
    """One example of a hundred is of the other class, and few of the directions lead to it."""
    x = np.random.default_rng(0).normal(size=(100, 50)).astype(np.float32)
    x[:, 0] = -1000
    x[0, 0] = 1
    found = compare([lambda x: x[:, :2] * [1.0, 0.0]] * 2, x, names=["a", "b"], options=MARGINS)
    assert "margin" not in found.of_models[0]
    assert any("a change of class was met around" in line for line in found.left_out)


def test_a_wrong_example_of_probability_0_is_not_flat():
    """Logits x0 and 0: at 100 the other probability is below 1e-30, and its logarithm is cut there."""
    x = np.array([[100.0], [-3.0], [3.0]], np.float32)
    options = Options(num_planes=0, num_margins=0)

    def model(x):
        return keras.ops.softmax(x * [1.0, 0.0])

    assert compare([model] * 2, x[1:], [0, 1], ["a", "b"], options).of_models[0]["jacobian_norm"].n == 2
    right = compare([model] * 2, x, [0, 1, 0], ["a", "b"], options)
    assert "jacobian_norm" in right.of_models[0]
    wrong = compare([model] * 2, x, [1, 1, 0], ["a", "b"], options)
    assert "jacobian_norm" not in wrong.of_models[0]
    assert "the loss of 1 wrong examples has no slope" in wrong.left_out[0]


def test_what_outputs_are_is_seen_on_all_examples():
    """A thousand numbers from 0 to 1 say nothing of the last two, which are no probabilities."""
    x = np.concatenate([np.linspace(0.01, 0.99, 1000), [3.0, -3.0]]).astype(np.float32)[:, None]
    y = (x[:, 0] > 0).astype(int)
    found = compare([identity, identity], x, y, options=NOTHING)
    assert found.outputs == ("logits", "logits")
    assert found.of_models[0]["accuracy"].value == 1
    assert found.of_models[0]["loss"].value == pytest.approx(np.mean(np.log1p(np.exp(-np.abs(x)))), rel=1e-5)


def test_one_number_an_example_that_may_be_either_is_asked_for():
    x = np.float32([[0.05], [0.95]])
    models = [identity, lambda x: 3 * x]
    with pytest.raises(ValueError, match="model 1 gives numbers from 0 to 1 alone, model 2 does not; say"):
        compare(models, x, options=NOTHING)
    found = compare(models, x, [1, 1], options=Options("logits", 0, num_margins=0, num_gradients=0))
    assert found.agreement["churn"].value == 0


def test_a_softmax_beside_logits_needs_no_word():
    x = np.float32([[0.5, 1.5], [2.0, -1.0], [0.0, 3.0]])
    found = compare([identity, keras.ops.softmax], x, options=NOTHING)
    assert found.outputs == ("logits", "probabilities")
    assert found.agreement["prediction_difference"].value == pytest.approx(0, abs=1e-6)
    with pytest.raises(ValueError, match="model 2: The model must give logits, as `outputs` says; it gives"):
        compare([identity, keras.ops.softmax], x, options=Options("logits", 0, num_margins=0))


@pytest.mark.parametrize(
    "option,message",
    [
        ({"resolution": 1}, "`resolution` must be at least 2"),
        ({"picture_resolution": 0}, "`picture_resolution` must be a positive integer"),
        ({"num_margins": -2}, "`num_margins` must be a non-negative integer"),
        ({"num_gradients": 1.5}, "`num_gradients` must be a non-negative integer"),
        ({"num_planes": -1}, "`num_planes` must be a non-negative integer"),
        ({"batch_size": 2.5}, "`batch_size` must be a positive integer"),
    ],
)
def test_options_are_refused_before_a_model_is_called(option, message):
    def model(x):
        raise AssertionError("called")

    with pytest.raises(ValueError, match=message):
        compare([model, model], np.ones((4, 2), np.float32), options=Options(**({"num_planes": 0} | option)))


def test_what_is_no_model_is_said_in_one_line():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
    x = np.ones((4, 2), np.float32)
    with pytest.raises(ValueError, match="model 1 must be .*keras.models.load_model reads a file.* str$"):
        compare(["a.keras", "b.keras"], x, options=NOTHING)
    with pytest.raises(ValueError, match="model 2 must be a Keras model, not its `predict`"):
        compare([model, model.predict], x, options=NOTHING)


def test_what_an_operation_says_is_one_line():
    model = keras.Sequential([keras.Input((1,), dtype="int32"), keras.layers.Embedding(10, 3)])
    tokens = keras.Model(model.inputs, model.outputs[0][:, 0])
    with pytest.raises(ValueError, match=r"^model 1: indices\[2,0\] = 17 is not in \[0, 10\)$"):
        compare([tokens, tokens], np.array([[1], [2], [17]]), options=NOTHING)


def test_memory_that_does_not_suffice_names_what_to_lower(monkeypatch):
    def refused(batch):
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor")

    monkeypatch.setattr(comparison, "compiled", lambda function: refused)
    with pytest.raises(ValueError, match="^model 1: out of memory; .*`batch_size`"):
        compare([identity, identity], np.eye(3, dtype=np.float32), options=NOTHING)


@pytest.mark.parametrize(
    "shape,expected", [((784,), 500), ((32, 32, 3), 500), ((224, 224, 3), 10), ((2000, 2000, 3), 1)]
)
def test_large_examples_come_in_small_batches(shape, expected):
    assert examples_at_once(shape) == expected


def test_batches_are_small_by_default_where_examples_are_large():
    sizes = []

    def model(x):
        sizes.append(x.shape[0])
        return tf.reduce_mean(x, axis=(1, 2))

    compare([model, model], np.zeros((30, 224, 224, 3), np.float32), options=NOTHING)
    assert max(sizes) == 10


def test_labels_of_two_classes_may_be_booleans():
    x = np.float32([[3.0], [-1.0], [2.0], [1.0]])
    found = compare([identity, identity], x, np.array([True, False, True, False]), options=NOTHING)
    assert found.of_models[0]["accuracy"].value == 0.75


def test_the_margin_is_the_median_over_examples(monkeypatch):
    found = Margins(np.array([1.0, 2.0, 9.0, np.nan]), np.zeros(4), np.zeros(4))
    monkeypatch.setattr(boundaries, "margins", lambda *_, **__: found)
    measured = boundaries.Boundaries([identity], np.eye(4), None, ["a"], MARGINS, boundaries.Silent)._margin(
        0
    )
    assert (measured.value, measured.n) == (2, 3)
