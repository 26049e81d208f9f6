"""Distillation: objectives under which a student learns the outputs of a trained teacher."""

import tensorflow as tf


def softened_divergence(teacher_logits, student_logits, temperature):
    """Kullback-Leibler divergence of softened probabilities, scaled so that gradients keep their size.

    Formula:

    ```
    T^2 * sum over classes of t * log(t / s),  t = softmax(teacher / T), s = softmax(student / T)
    ```

    Args:
        teacher_logits: Tensor of shape (batch, classes).
        student_logits: Tensor of the same shape.
        temperature: T, greater than 0.

    Returns:
        Tensor of shape (batch,), in nats times T^2.

    Reference:

    - [Hinton et al. 2015](https://arxiv.org/abs/1503.02531)
    - somepago/dbViz, evaluation.py (train_og_distillation), whose mean runs over the classes as well
    """
    teacher = tf.nn.log_softmax(teacher_logits / temperature)
    student = tf.nn.log_softmax(student_logits / temperature)
    return temperature**2 * tf.reduce_sum(tf.exp(teacher) * (teacher - student), axis=-1)


def logit_difference(teacher_logits, student_logits):
    """Mean squared difference of logits over the classes.

    Args:
        teacher_logits: Tensor of shape (batch, classes).
        student_logits: Tensor of the same shape.

    Returns:
        Tensor of shape (batch,).

    Reference:

    - somepago/dbViz, evaluation.py (train_soft_distillation with `criterion` MSE)
    """
    return tf.reduce_mean(tf.math.squared_difference(teacher_logits, student_logits), axis=-1)


def distillation(teacher, loss):
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
