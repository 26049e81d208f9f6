"""Learning rates over training, as Keras schedules of the optimizer's step count."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import keras

from ..registration import registered

if TYPE_CHECKING:
    import tensorflow as tf


@registered
class LinearWarmup(keras.optimizers.schedules.LearningRateSchedule):
    """A rate that rises linearly from epoch to epoch, then stays.

    Epoch e < `epochs` trains at start + (rate - start) * e / (epochs - 1). The rate changes once an epoch, as
    with ignite's `create_lr_scheduler_with_warmup` when it is attached to epochs (Gamba et al. 2022,
    official code magamba/double_descent, train.py): both ends of the warm-up belong to it.

    Args:
        start: Rate of the first epoch.
        rate: Rate of the last epoch of the warm-up and of all later ones.
        epochs: Number of epochs of the warm-up, at least 2.
        steps_per_epoch: Steps in an epoch.

    Raises:
        ValueError: If there are fewer than 2 epochs.
    """

    def __init__(self, start: float, rate: float, epochs: int, steps_per_epoch: int) -> None:
        if epochs < 2:
            raise ValueError(f"`epochs` must be at least 2. Received: epochs={epochs}")
        self.start, self.rate, self.epochs, self.steps_per_epoch = start, rate, epochs, steps_per_epoch

    def __call__(self, step: "int | tf.Tensor") -> "tf.Tensor":
        """Returns the rate at a step."""
        epoch = keras.ops.floor_divide(keras.ops.cast(step, "float32"), self.steps_per_epoch)
        part = keras.ops.minimum(epoch / (self.epochs - 1), 1.0)
        return self.start + (self.rate - self.start) * part

    def get_config(self) -> dict[str, float]:
        """Returns the constructor's arguments."""
        return {
            "start": self.start,
            "rate": self.rate,
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
        }


def exponential(
    rate: float, decay: float, steps_per_epoch: int
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Multiplies the rate by `decay` after every epoch (Zhang et al. 2017, appendix A: 0.95).

    Given the steps of 150 epochs, it does so every 150 epochs.
    """
    return keras.optimizers.schedules.ExponentialDecay(rate, steps_per_epoch, decay, staircase=True)


def step(
    rate: float,
    epochs: int,
    steps_per_epoch: int,
    factor: float = 0.1,
    divisors: Sequence[float] = (2.667, 1.6, 1.142),
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Multiplies the rate by `factor` at epochs epochs // divisor.

    Somepalli et al. 2022, official code somepago/dbViz, utils.py: called "linear" there; 100 epochs drop at
    37, 62 and 87.
    """
    boundaries = [int(epochs // divisor) * steps_per_epoch for divisor in divisors]
    values = [rate * factor**i for i in range(len(boundaries) + 1)]
    # Keras changes the value after its boundary, the original from the first step of the epoch on.
    return keras.optimizers.schedules.PiecewiseConstantDecay([b - 1 for b in boundaries], values)


@registered
class EpochCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine from the rate to 0 over some epochs, then up again and so on, changed once an epoch.

    PyTorch's CosineAnnealingLR with T_max = epochs, as Somepalli et al. 2022 step it.

    Args:
        rate: Rate of the first epoch.
        epochs: Number of epochs of half a cosine.
        steps_per_epoch: Steps in an epoch.
    """

    def __init__(self, rate: float, epochs: int, steps_per_epoch: int) -> None:
        self.rate, self.epochs, self.steps_per_epoch = rate, epochs, steps_per_epoch

    def __call__(self, step: "int | tf.Tensor") -> "tf.Tensor":
        """Returns the rate at a step."""
        epoch = keras.ops.floor_divide(keras.ops.cast(step, "float32"), self.steps_per_epoch)
        return self.rate * 0.5 * (1 + keras.ops.cos(math.pi * epoch / self.epochs))

    def get_config(self) -> dict[str, float]:
        """Returns the constructor's arguments."""
        return {"rate": self.rate, "epochs": self.epochs, "steps_per_epoch": self.steps_per_epoch}
