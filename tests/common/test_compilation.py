"""What XLA compiles where there is a GPU; a CPU can run it too."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.comparison import Options, compare
from common.compilation import compiled
from common.metrics.classifier import Classifier


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind: ["GPU"])


def look_up(x):
    """A hash table, which XLA does not know: 1 and 2 to classes 0 and 1."""
    return keras.ops.one_hot(table()(tf.cast(x[:, 0], tf.int64)), 3)


@functools.cache
def table():
    return keras.layers.IntegerLookup(vocabulary=[1, 2], output_mode="int")


def test_only_a_gpu_has_xla():
    assert compiled(tf.abs)._jit_compile is None


def test_xla_compiles_what_it_can_unless_it_must_not(gpu):
    function = compiled(tf.abs)
    assert function(tf.constant([-1.0])).numpy() == 1
    assert function.chosen._jit_compile
    assert compiled(tf.abs, xla=False)._jit_compile is None


def test_what_xla_does_not_know_runs_without_it(gpu):
    function = compiled(look_up)
    for _ in range(2):
        assert function(tf.constant([[2.0], [1.0]])).numpy().argmax(axis=1).tolist() == [2, 1]
        assert function.chosen is function.plain


def test_an_error_of_the_function_itself_is_raised(gpu):
    def refused(x):
        tf.debugging.assert_positive(look_up(x))
        return x

    with pytest.raises(tf.errors.InvalidArgumentError, match="x > 0"):
        compiled(refused)(tf.constant([[1.0]]))


def test_a_classifier_of_look_ups_finds_classes_at_points_and_along_rays(gpu):
    classifier = Classifier(look_up)
    origins, directions = tf.constant([[1.2]]), tf.constant([[1.0]])
    classes, _ = classifier.on_rays(origins, directions, tf.constant([0, 0]), tf.constant([0.0, 1.0]))
    assert classes.numpy().tolist() == [1, 2]
    assert classifier(origins)[0].numpy().tolist() == [1]


def test_models_of_look_ups_are_compared(gpu):
    x = np.array([[1], [2], [1], [2]])
    options = Options(num_planes=0, num_margins=0, num_gradients=0)
    found = compare([look_up, lambda x: look_up(3 - x)], x, options=options)
    assert found.agreement["churn"].value == 1
