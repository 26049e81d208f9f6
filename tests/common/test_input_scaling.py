import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from common import input_scaling
from common.data.augmentation import normalize
from common.data.datasets import CIFAR10_MEAN, CIFAR10_STD
from common.errors import UserError
from common.input_scaling import SCALINGS
from common.metrics.logits import as_logits

SHAPE = (8, 8, 3)
IMAGES = np.random.default_rng(0).random((6, *SHAPE), dtype=np.float32)
Rescaling, Normalization = keras.layers.Rescaling, keras.layers.Normalization


def network(*first, last=None, shape=SHAPE, dtype=None):
    keras.utils.set_random_seed(0)
    inputs = x = keras.Input(shape, dtype=dtype)
    for layer in first:
        x = layer(x)
    x = keras.layers.Conv2D(4, 3, 2)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, keras.layers.Dense(10, activation=last)(x))


def on_standardized(model, scaling, mean, std, examples):
    return as_logits(input_scaling.outputs_on_standardized(model, scaling, mean, std), examples)


def standardizing(white=1.0):
    mean, std = (white * np.array(values) for values in (CIFAR10_MEAN, CIFAR10_STD))
    return Normalization(mean=mean, variance=std**2)


def sequential(*layers, shape=SHAPE):
    return keras.Sequential([keras.Input(shape), *layers])


@pytest.mark.parametrize(
    "first,expected",
    [
        (lambda: [], None),
        (lambda: [Rescaling(1 / 255)], "0-255"),
        (lambda: [Rescaling(1 / 127.5, -1)], "0-255"),
        (lambda: [Rescaling(2.0, -1)], "0-1"),
        (lambda: [Rescaling(1.0)], None),  # says nothing
        (lambda: [Rescaling(CIFAR10_STD, CIFAR10_MEAN)], None),  # takes standardized pixels
        (lambda: [standardizing()], "0-1"),
        (lambda: [standardizing(255)], "0-255"),
        (lambda: [Normalization(mean=[0.5] * 3, variance=[0.05] * 3)], "0-1"),
        (lambda: [Normalization(mean=[120.0] * 3, variance=[1.0] * 3)], None),  # of the kind of Caffe
        (lambda: [Rescaling(1 / 255), standardizing()], "0-255"),
        (lambda: [sequential(Rescaling(1 / 255), standardizing())], "0-255"),
        (lambda: [sequential(sequential(Rescaling(1 / 255))), standardizing()], "0-255"),
        (lambda: [standardizing(255), Rescaling(1.0)], "0-255"),
        (lambda: [Rescaling(255.0), standardizing(255)], "0-1"),
        (lambda: [standardizing(255), Rescaling(1 / 255)], None),  # too dark for either
        (lambda: [keras.layers.RandomFlip(), keras.layers.Resizing(8, 8), Rescaling(1 / 255)], "0-255"),
        (lambda: [keras.layers.BatchNormalization(), Rescaling(1 / 255)], None),  # is not the first layer
        (lambda: [keras.layers.Conv2D(3, 1), standardizing()], None),
        (lambda: [lambda x: x / 255.0], None),  # arithmetic is not read
        (lambda: [Rescaling(1 / 255), lambda x: x * 255.0], None),
    ],
)
def test_the_first_layers_together_say_what_a_model_takes(first, expected):
    first = first()
    assert input_scaling.expected_scaling(network(*first)) == expected
    if all(isinstance(layer, keras.Layer) for layer in first):
        as_layers = sequential(*first, keras.layers.Flatten(), keras.layers.Dense(2))
        assert input_scaling.expected_scaling(as_layers) == expected


def test_branches_are_followed_no_further():
    inputs = keras.Input(SHAPE)
    both = keras.layers.Concatenate()([Rescaling(1 / 255)(inputs), standardizing()(inputs)])
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(both)))
    assert input_scaling.expected_scaling(model) is None
    scaled = Rescaling(1 / 255)(inputs)
    both = keras.layers.Concatenate()([scaled, standardizing()(scaled)])
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(both)))
    assert input_scaling.expected_scaling(model) == "0-255"


def test_a_layer_after_the_first_ones_says_nothing_of_the_order_in_which_it_was_made():
    """Layers that were made first stand later in the graph."""
    later = Rescaling(1 / 255)
    inputs = keras.Input(SHAPE)
    x = later(keras.layers.Conv2D(4, 3)(inputs))
    assert input_scaling.expected_scaling(keras.Model(inputs, keras.layers.Flatten()(x))) is None


def test_what_is_given_decides_and_whole_numbers_are_from_0_to_255():
    model = network(Rescaling(1 / 255))
    assert input_scaling.decide_scaling(model, "a.keras", None) == "0-255"
    for given in input_scaling.SCALINGS:
        assert input_scaling.decide_scaling(model, "a.keras", given) == given
    with pytest.raises(UserError, match="a.keras does not begin with layers that say .*; say 0-255, 0-1 or"):
        input_scaling.decide_scaling(network(), "a.keras", None)
    whole = network(keras.layers.Rescaling(1.0), dtype="uint8")
    assert input_scaling.decide_scaling(whole, "a.keras", None) == "0-255"
    with pytest.raises(UserError, match=r"--input_scaling=0-1: a.keras takes whole numbers \(uint8\)"):
        input_scaling.decide_scaling(whole, "a.keras", "0-1")


def test_probabilities_are_taken_for_what_they_are():
    x = tf.constant(np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32))
    inside = network(last="softmax")
    operation = keras.Model(inside.inputs, keras.ops.softmax(network()(inside.inputs[0])))
    for model in (inside, sequential(Rescaling(1.0), inside), operation):
        logits = on_standardized(model, "standardized", CIFAR10_MEAN, CIFAR10_STD, x)(x)
        np.testing.assert_allclose(tf.nn.softmax(logits), model(x), rtol=1e-5)
    plain = network()
    pixels = normalize(x, CIFAR10_MEAN, CIFAR10_STD)
    logits = on_standardized(plain, "0-255", CIFAR10_MEAN, CIFAR10_STD, pixels)(pixels)
    np.testing.assert_allclose(logits, plain(255 * x), rtol=1e-3)


def test_a_softmax_in_half_precision_is_taken_for_probabilities():
    """Also where the smallest of them are 0 in float16."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(10, activation="softmax", dtype="mixed_float16")]
    model = sequential(*layers, keras.layers.Activation("linear", dtype="float32"))
    x = tf.constant(IMAGES)
    logits = on_standardized(model, "standardized", CIFAR10_MEAN, CIFAR10_STD, x)(x)
    assert logits.dtype == tf.float32
    np.testing.assert_allclose(tf.nn.softmax(logits), model(x), atol=2e-3)
    layers[1].kernel.assign(100 * layers[1].kernel)
    logits = on_standardized(model, "standardized", CIFAR10_MEAN, CIFAR10_STD, x)(x)
    assert np.isfinite(logits).all()


def test_whole_numbers_are_rounded_to_the_nearest():
    inputs = keras.Input((1, 1, 3), dtype="uint8")
    model = keras.Model(inputs, keras.layers.Reshape((3,))(keras.layers.Rescaling(1.0)(inputs)))
    pixels = np.array([[[[254.6, 12.4, 99.5]]], [[[-3.0, 300.0, 100.4]]]], np.float32) / 255
    standardized = normalize(pixels, CIFAR10_MEAN, CIFAR10_STD)
    found = on_standardized(model, "0-255", CIFAR10_MEAN, CIFAR10_STD, standardized)
    np.testing.assert_array_equal(found(standardized)[:, :2], [[255, 12], [0, 255]])


@pytest.mark.parametrize("scaling", input_scaling.SCALINGS)
def test_both_ways_to_the_classes_agree(scaling):
    """Through standardized pixels, and through the model's own predict."""
    model = network()
    standardized = normalize(IMAGES, CIFAR10_MEAN, CIFAR10_STD)
    logits = on_standardized(model, scaling, CIFAR10_MEAN, CIFAR10_STD, standardized)
    found = input_scaling.predicted_classes(model, IMAGES, scaling, CIFAR10_MEAN, CIFAR10_STD)
    np.testing.assert_array_equal(found, np.argmax(logits(standardized), axis=1))


def test_a_scaling_with_which_a_model_is_right_more_often_is_found():
    """Its labels are its own classes on pixels of 0 to 255."""
    model, images = network(), np.random.default_rng(1).random((200, *SHAPE), dtype=np.float32)
    statistics = CIFAR10_MEAN, CIFAR10_STD
    labels = input_scaling.predicted_classes(model, images, "0-255", *statistics)
    labels[:100] = np.arange(100) % 10  # it is right about half and more of them
    found = {
        s: np.mean(input_scaling.predicted_classes(model, images, s, *statistics) == labels) for s in SCALINGS
    }
    assert input_scaling.better_scaling(model, images, labels, "0-255", *statistics) is None
    expected = ("0-255", found["0-255"], found["standardized"])
    assert expected[1] - expected[2] > 0.3
    assert (
        input_scaling.better_scaling(model, images, labels[:, None], "standardized", *statistics) == expected
    )
    guessing = np.random.default_rng(2).integers(0, 10, 200)
    assert input_scaling.better_scaling(model, images, guessing, "0-255", *statistics) is None


def test_importing_the_modules_loads_no_tensorflow():
    code = "import sys, common.saved_models, common.input_scaling; "
    code += "sys.exit(bool({'tensorflow', 'keras'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
