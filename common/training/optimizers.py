"""Optimizers as the image papers set them."""

import keras


def build_optimizer(
    name: str, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.01
) -> keras.optimizers.Optimizer:
    """Returns a Keras optimizer; weight decay is the trainer's.

    Args:
        name: "sgd": momentum 0.9, or "adam": epsilon 1e-8, PyTorch's default (Keras's is 1e-7).
        learning_rate: Number or Keras schedule; `Trainer.load` can give another.

    Raises:
        ValueError: If the name is another.
    """
    if name not in ("sgd", "adam"):
        raise ValueError(f'`name` must be "sgd" or "adam". Received: name={name!r}')
    if name == "adam":
        return keras.optimizers.Adam(learning_rate, epsilon=1e-8)
    return keras.optimizers.SGD(learning_rate, momentum=0.9)
