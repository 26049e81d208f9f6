import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training.distillation import distillation, logit_difference, softened_divergence

TEACHER = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]], np.float32)
STUDENT = np.array([[0.5, -1.0, 3.0], [1.0, 0.0, -1.0]], np.float32)


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 2.5, 30.0])
def test_divergence_by_hand(temperature):
    t, s = (softmax(logits.astype(np.float64) / temperature) for logits in (TEACHER, STUDENT))
    expected = temperature**2 * (t * np.log(t / s)).sum(axis=1)
    found = softened_divergence(tf.constant(TEACHER), tf.constant(STUDENT), temperature)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("loss", [lambda t, s: softened_divergence(t, s, np.float64(4)), logit_difference])
def test_the_loss_has_the_type_of_the_student(loss):
    expected = loss(tf.constant(TEACHER), tf.constant(STUDENT))
    for teacher in (TEACHER.astype(np.float64), tf.constant(TEACHER, tf.float64)):
        found = loss(teacher, tf.constant(STUDENT))
        assert found.dtype == tf.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    with pytest.raises(ValueError, match="must have one shape"):
        loss(TEACHER, STUDENT[:, :1])


def test_a_temperature_may_be_annealed():
    temperature = tf.Variable(2.0)
    loss = tf.function(lambda: softened_divergence(TEACHER, STUDENT, temperature))
    for value in (2.0, 5.0):
        temperature.assign(value)
        np.testing.assert_allclose(loss(), softened_divergence(TEACHER, STUDENT, value), rtol=1e-4)


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan")])
def test_temperatures_that_are_none(temperature):
    with pytest.raises(ValueError, match="`temperature` must be greater than 0"):
        softened_divergence(TEACHER, STUDENT, temperature)


def test_two_classes_with_odds_of_three():
    """t = (3/4, 1/4), s = (1/2, 1/2): ln 2 minus the entropy of t."""
    teacher = tf.constant([[np.log(3.0), 0.0]], tf.float32)
    found = softened_divergence(teacher, tf.zeros([1, 2]), 1.0)
    assert float(found[0]) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5), abs=1e-6)


def test_at_a_high_temperature_it_is_half_the_variance_of_the_difference():
    """T^2 KL tends to half the variance over classes (Hinton et al. 2015, section 2.1)."""
    found = softened_divergence(tf.constant(TEACHER), tf.constant(STUDENT), 300.0)
    np.testing.assert_allclose(found, np.var(TEACHER - STUDENT, axis=1) / 2, rtol=0.02)


def test_an_equal_student_has_no_loss():
    np.testing.assert_allclose(softened_divergence(TEACHER, TEACHER, 30.0), 0, atol=1e-6)
    np.testing.assert_allclose(softened_divergence(TEACHER, TEACHER + 5.0, 30.0), 0, atol=1e-3)
    np.testing.assert_array_equal(logit_difference(TEACHER, TEACHER), 0)


def test_logits_by_hand():
    np.testing.assert_allclose(logit_difference(TEACHER, STUDENT), [(0.25 + 9 + 9) / 3, (1 + 0 + 1) / 3])


def test_the_objective_shows_the_teacher_what_the_student_sees_and_trains_the_student_alone():
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.9), keras.layers.Dense(3)])
    images = tf.constant(np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32))
    objective = distillation(teacher, logit_difference)
    with tf.GradientTape() as tape:
        logits = tf.Variable(tf.zeros([2, 3]))
        losses = objective(images, None, logits)
    # In inference mode: without dropout.
    np.testing.assert_allclose(losses, np.mean(teacher(images).numpy() ** 2, axis=1), rtol=1e-5)
    gradients = tape.gradient(losses, [logits, *teacher.trainable_variables])
    assert gradients[0] is not None
    assert gradients[1:] == [None, None]


def test_the_divergence_is_from_the_teacher_to_the_student():
    objective = distillation(lambda images, training: images, lambda t, s: softened_divergence(t, s, 2.0))
    t, s = (softmax(logits.astype(np.float64) / 2) for logits in (TEACHER, STUDENT))
    losses = objective(tf.constant(TEACHER), None, tf.constant(STUDENT))
    np.testing.assert_allclose(losses, 4 * (t * np.log(t / s)).sum(axis=1), rtol=2e-4)
    mean = softened_divergence(TEACHER, STUDENT, 2.0, mean_over_classes=True)
    np.testing.assert_allclose(mean, 4 * (t * np.log(t / s)).mean(axis=1), rtol=2e-4)


@pytest.mark.parametrize("temperature", [30.0, 100.0])
def test_small_differences_keep_their_digits(temperature):
    """To second order it is the variance of the difference under the softened teacher, by half."""
    rng = np.random.default_rng(0)
    teacher = rng.normal(size=(200, 10)).astype(np.float32)
    student = teacher + rng.normal(scale=1e-3, size=teacher.shape).astype(np.float32)
    difference, t = (student - teacher).astype(np.float64), softmax(teacher / np.float64(temperature))
    expected = ((t * difference**2).sum(axis=1) - (t * difference).sum(axis=1) ** 2) / 2
    np.testing.assert_allclose(softened_divergence(teacher, student, temperature), expected, rtol=1e-3)


@pytest.mark.parametrize("dtype", [tf.float16, tf.bfloat16])
def test_a_student_in_half_precision_has_the_loss_of_its_logits(dtype):
    student = tf.constant(STUDENT, dtype)
    expected = softened_divergence(TEACHER, STUDENT, 100.0)
    np.testing.assert_allclose(
        tf.cast(softened_divergence(TEACHER, student, 100.0), tf.float32), expected, rtol=0.01
    )
