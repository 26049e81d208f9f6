"""Distillation: objectives under which a student learns the outputs of a trained teacher."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import tensorflow as tf

if TYPE_CHECKING:
    import keras


def softened_divergence(
    teacher_logits: tf.Tensor,
    student_logits: tf.Tensor,
    temperature: float | tf.Tensor | tf.Variable,
    mean_over_classes: bool = False,
) -> tf.Tensor:
    """Kullback-Leibler divergence of softened probabilities, scaled so that gradients keep their size.

    Formula:

    ```
    T^2 * sum over classes of t * log(t / s),  t = softmax(teacher / T), s = softmax(student / T)
    ```

    Args:
        teacher_logits: Tensor of shape (batch, classes).
        student_logits: Tensor of the same shape.
        temperature: T, greater than 0: a number, or a tensor or variable, whose value is not checked.
        mean_over_classes: Whether the sum over the classes is a mean, as in the reference's code.

    Returns:
        Tensor of shape (batch,) and of the type of the student's logits, in nats times T^2. It is computed in
        float64: at a large T it is a small difference of large terms.

    Raises:
        ValueError: If T is not greater than 0, or shapes differ.

    Reference:

    - [Hinton et al. 2015](https://arxiv.org/abs/1503.02531)
    - somepago/dbViz, evaluation.py (train_og_distillation), whose `nn.KLDivLoss()` takes the mean over the
      classes as well
    """
    is_number = not (tf.is_tensor(temperature) or isinstance(temperature, tf.Variable))
    if is_number and not temperature > 0:
        raise ValueError(f"`temperature` must be greater than 0. Received: temperature={temperature}")
    dtype = tf.convert_to_tensor(student_logits).dtype
    teacher_logits, student_logits = _of_one_type(teacher_logits, student_logits, tf.float64)
    temperature = tf.cast(temperature, tf.float64)
    teacher = tf.nn.log_softmax(teacher_logits / temperature)
    student = tf.nn.log_softmax(student_logits / temperature)
    reduce = tf.reduce_mean if mean_over_classes else tf.reduce_sum
    divergence = temperature**2 * reduce(tf.exp(teacher) * (teacher - student), axis=-1)
    return tf.cast(divergence, dtype)


def logit_difference(teacher_logits: tf.Tensor, student_logits: tf.Tensor) -> tf.Tensor:
    """Mean squared difference of logits over the classes.

    Args:
        teacher_logits: Tensor of shape (batch, classes).
        student_logits: Tensor of the same shape.

    Returns:
        Tensor of shape (batch,) and of the type of the student's logits.

    Raises:
        ValueError: If shapes differ.

    Reference:

    - somepago/dbViz, evaluation.py (train_soft_distillation with `criterion` MSE)
    """
    difference = tf.math.squared_difference(*_of_one_type(teacher_logits, student_logits))
    return tf.reduce_mean(difference, axis=-1)


def _of_one_type(teacher_logits, student_logits, dtype=None):
    student_logits = tf.convert_to_tensor(student_logits)
    dtype = dtype or student_logits.dtype
    teacher_logits, student_logits = tf.cast(teacher_logits, dtype), tf.cast(student_logits, dtype)
    if not teacher_logits.shape.is_compatible_with(student_logits.shape):
        raise ValueError(
            "`teacher_logits` and `student_logits` must have one shape. Received: "
            f"{teacher_logits.shape} and {student_logits.shape}"
        )
    return teacher_logits, student_logits


def distillation(
    teacher: "keras.Model", loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
) -> Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the objective of `training.trainer.Trainer` under which a network learns from a teacher.

    The teacher, in inference mode, sees each image as the student does, augmentation included. Labels have no
    part in it.

    Args:
        teacher: Keras model of logits.
        loss: Function (teacher logits, student logits) -> losses of shape (batch,).
    """

    def objective(images, labels, logits):
        targets = teacher(images, training=False)
        return loss(tf.stop_gradient(targets), logits)

    return objective
