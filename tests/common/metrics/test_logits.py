import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.metrics.concentration import outputs_and_slopes
from common.metrics.logits import as_logits, check_logits, logits_of, padded_batches
from common.metrics.plane import plane_through, predict_planes
from common.metrics.sharpness import jacobian_norm

SHAPE = (4, 4, 3)
IMAGES = np.random.default_rng(0).random((8, *SHAPE), np.float32)
LABELS = np.arange(8) % 3


def dense_model(*outputs):
    inputs = keras.Input(SHAPE)
    return keras.Model(inputs, [make(keras.layers.Flatten()(inputs)) for make in outputs])


def test_the_network_is_in_inference_mode():
    noisy = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dropout(0.5)])
    np.testing.assert_array_equal(logits_of(noisy, IMAGES), IMAGES.reshape(8, -1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: dense_model(keras.layers.Dense(1)), r"at least two classes.*of shape \(8, 1\)$"),
        (lambda: dense_model(keras.layers.Dense(1, activation="sigmoid")), "of one logit z an example"),
        (lambda: tf.identity, r"of shape \(batch, classes\).*of shape \(8, 4, 4, 3\)$"),
        (lambda: dense_model(keras.layers.Dense(3), keras.layers.Dense(3)), "list of 2 outputs$"),
        (lambda: lambda x: {"a": x, "b": x}, "one of its outputs.*dict of 2 outputs$"),
    ],
)
def test_what_is_no_classifier_is_refused_by_every_measure(make, message):
    model = make()

    def of_eight(x):  # the measures take their own numbers of inputs
        return model(tf.concat([x] * 8, 0)[:8])

    planes = [plane_through(IMAGES[:3], 4, 0.1)]
    for measure in (
        lambda: logits_of(model, IMAGES),
        lambda: predict_planes([of_eight], planes),
        lambda: jacobian_norm(of_eight, IMAGES, LABELS),
        lambda: outputs_and_slopes(of_eight, SHAPE, 8, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match=message):
            measure()


@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
def test_probabilities_are_refused_also_where_they_are_0_and_1(scale, policy):
    softmax = keras.layers.Dense(3, activation="softmax", dtype=policy)
    model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(dtype=policy), softmax])
    softmax.kernel.assign(scale * softmax.kernel)
    planes = [plane_through(IMAGES[:3], 4, 0.1)]
    for measure in (
        lambda: check_logits(model, IMAGES),
        lambda: predict_planes([model], planes, confidences=True),
        lambda: jacobian_norm(model, IMAGES, LABELS),
        lambda: outputs_and_slopes(model, SHAPE, 8, np.random.default_rng(0)),
    ):
        with pytest.raises(ValueError, match="logits, not their softmax"):
            measure()
    # The class alone is right for probabilities too.
    assert predict_planes([model], planes).shape == (1, 1, 4, 4)


def half_softmax(dtype, classes, scale=3.0):
    """Gives probabilities that half precision has computed, as float32."""
    kernel = np.random.default_rng(classes).standard_normal((48, classes)).astype("float32")

    def model(x):
        logits = scale * tf.reshape(x, (-1, 48)) @ kernel
        return tf.cast(tf.nn.softmax(tf.cast(logits, dtype)), tf.float32)

    return model


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_probabilities_are_refused_also_after_a_cast(dtype, classes):
    model = half_softmax(dtype, classes)
    other = half_softmax(dtype, classes, scale=1.0)
    for given in (model, lambda x: (model(x) + other(x)) / 2, lambda x: tf.cast(model(x), tf.float64)):
        with pytest.raises(ValueError, match="logits, not their softmax"):
            check_logits(given, IMAGES)


def test_probabilities_are_known_beside_rows_that_are_not_finite():
    def model(x):
        probabilities = tf.nn.softmax(tf.reshape(x, (-1, 48))[:, :3])
        return tf.where(tf.range(len(x))[:, None] == 2, np.nan, probabilities)

    with pytest.raises(ValueError, match="logits, not their softmax"):
        check_logits(model, IMAGES)
    assert check_logits(lambda x: np.nan * model(x), IMAGES) == 3  # nothing is known of them


def test_a_softmax_before_a_layer_of_float32_is_refused_by_every_measure():
    layers = [keras.layers.Flatten(), keras.layers.Dense(3, activation="softmax", dtype="mixed_float16")]
    linear = keras.layers.Activation("linear", dtype="float32")
    model = keras.Sequential([keras.Input(SHAPE), *layers, linear])
    for measure in (
        lambda: jacobian_norm(model, IMAGES, LABELS),
        lambda: predict_planes([model], [plane_through(IMAGES[:3], 4, 0.1)], confidences=True),
    ):
        with pytest.raises(ValueError, match="logits, not their softmax"):
            measure()


def test_logits_are_taken_also_where_they_lie_between_0_and_1():
    assert check_logits(lambda x: tf.fill([len(x), 4], 0.5), IMAGES) == 4


@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("classes", [2, 3, 10])
def test_logits_of_networks_are_taken(classes, policy):
    """Those of a fresh network are small, and some rows have a sum near 1."""
    for seed in range(20):
        keras.utils.set_random_seed(seed)
        head = keras.layers.Dense(classes, dtype=policy)
        model = keras.Sequential([keras.Input(SHAPE), keras.layers.Flatten(), head])
        assert check_logits(model, IMAGES) == classes


def test_functions_are_given_tensors():
    mean = np.array([0.1, 0.2, 0.3])  # float64, which TensorFlow makes that of the images

    def model(x):
        assert x.shape.rank == 4
        return tf.reshape((x - mean) / 0.5, (-1, 48))[:, :3]

    planes = [plane_through(IMAGES[:3], 4, 0.1)]
    predict_planes([model], planes, confidences=True)
    outputs_and_slopes(model, SHAPE, 8, np.random.default_rng(0))
    np.testing.assert_array_less(0, jacobian_norm(model, IMAGES, LABELS))


def test_a_function_is_measured_like_the_model_that_it_calls():
    model = dense_model(keras.layers.Dense(3))
    found = jacobian_norm(lambda x: logits_of(model, x), IMAGES, LABELS)
    np.testing.assert_array_equal(found, jacobian_norm(model, IMAGES, LABELS))


def test_measuring_many_networks_does_not_warn_of_their_many_traces(monkeypatch):
    warned = []
    monkeypatch.setattr(tf.get_logger(), "handle", lambda record: warned.append(record.getMessage()))
    for number in range(7):
        jacobian_norm(lambda x, number=number: x * number, np.ones((2, 3), np.float32), np.array([0, 1]))
    assert not warned


def test_batches_have_one_shape_and_repeat_the_last_row():
    batches = list(padded_batches(3, np.arange(7), np.arange(7) * 10))
    rows = [batch[0] for batch in batches]
    assert rows == [slice(0, 3), slice(3, 6), slice(6, 7)]
    assert [batch[1].tolist() for batch in batches] == [[0, 1, 2], [3, 4, 5], [6, 6, 6]]
    assert batches[2][2].tolist() == [60, 60, 60]
    assert len(list(padded_batches(320, np.arange(7)))) == 1


ODDS = np.array([[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], np.float32)


@pytest.mark.parametrize(
    "given,outputs,expected",
    [
        (ODDS, "auto", [math.log(0.25), math.log(0.75)]),
        (ODDS, "logits", [0.25, 0.75]),
        (ODDS + 1, "auto", [1.25, 1.75]),
        (ODDS[:, 1:], "auto", [math.log(0.25), math.log(0.75)]),  # one probability, that of class 1
        (ODDS[:, 1:], "logits", [0, 0.75]),
        (ODDS[:, 1:] - 1, "auto", [0, -0.25]),
    ],
)
def test_logits_of_whatever_a_model_gives(given, outputs, expected):
    found = as_logits(lambda x: x, given, outputs)(given)
    np.testing.assert_allclose(found[0], expected, rtol=1e-6)
    assert np.isfinite(found).all()


def test_what_a_model_gives_is_seen_a_batch_at_a_time():
    """All rows decide, as at once: one alone, of logits 0.25 and 0.75, looks like its softmax."""
    sizes = []

    def model(x):
        sizes.append(len(x))
        return x

    given = np.concatenate([ODDS[:1], ODDS + 1])
    np.testing.assert_array_equal(as_logits(model, given, batch_size=1)(given), given)
    assert check_logits(model, given, batch_size=3) == 2
    assert sizes == [1, 1, 1, 1, 4, 3, 1]
    with pytest.raises(ValueError, match="not their softmax"):
        check_logits(model, ODDS, batch_size=2)


@pytest.mark.parametrize("dtype,least", [(np.float32, 25), (np.float64, 54), (np.float16, 12)])
def test_a_probability_that_is_rounded_to_one_has_the_least_loss_that_it_may_have(dtype, least):
    """Not 69 nats: in float32 sigmoid(17) is 1, and what is left is below half a step, 2^-25."""
    p = np.array([[1.0], [0.5], [1 - np.finfo(dtype).epsneg]], dtype)
    logits = as_logits(lambda x: tf.cast(x, dtype), p)(p).numpy()
    np.testing.assert_allclose(logits[0], [-least * math.log(2), 0], rtol=1e-6)
    np.testing.assert_allclose(logits[2, 0], (1 - least) * math.log(2), rtol=1e-6)


def test_a_probability_that_float16_rounds_to_zero_was_below_half_its_least_number():
    p = np.array([[0.0, 1.0], [0.5, 0.5]], np.float16)
    found = as_logits(lambda x: tf.cast(x, tf.float16), p)(p).numpy()
    np.testing.assert_allclose(found[0], [-25 * math.log(2), 0], rtol=1e-6)
    assert as_logits(lambda x: x, p)(p.astype(np.float32)).numpy()[0, 0] == pytest.approx(math.log(1e-30))


def test_a_sigmoid_for_each_class_is_neither_logits_nor_probabilities():
    shares = np.array([[0.9, 0.2, 0.1], [0.3, 0.8, 0.6]], np.float32)
    with pytest.raises(ValueError, match="a sigmoid for each class"):
        as_logits(lambda x: x, shares)
    np.testing.assert_array_equal(as_logits(lambda x: x, shares, "logits")(shares), shares)
    np.testing.assert_array_equal(as_logits(lambda x: x, shares * 0)(shares), shares)  # of an idle layer


def test_undefined_probabilities_stay_undefined():
    function = as_logits(lambda x: x, ODDS)
    assert np.isnan(function(np.array([[np.nan, 0.5]], np.float32))).any()


@pytest.mark.parametrize(
    "given,outputs,message",
    [
        (np.ones((2, 3, 4)), "auto", r"\(batch, classes\)"),
        (ODDS, "odds", "Received: outputs='odds'"),
        (ODDS + 1, "probabilities", "must give probabilities"),
        (ODDS[:, 1:] - 1, "probabilities", "must give probabilities"),
    ],
)
def test_what_gives_no_logits(given, outputs, message):
    with pytest.raises(ValueError, match=message):
        as_logits(lambda x: x, given, outputs)


def test_a_model_of_whole_numbers_gets_the_nearest_that_its_type_holds():
    inputs = keras.Input((2,), dtype="uint8")
    model = keras.Model(inputs, keras.ops.cast(inputs, "float32"))
    given = np.array([[-3.0, 300.0], [1.4, 1.6]], np.float32)
    assert logits_of(model, given).numpy().tolist() == [[0, 255], [1, 2]]
    large = keras.Input((2,), dtype="int64")
    model = keras.Model(large, keras.ops.cast(large - 2**40, "float32"))
    assert logits_of(model, np.array([[2**40, 2**40 + 1]])).numpy().tolist() == [[0, 1]]
