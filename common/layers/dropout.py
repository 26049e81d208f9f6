"""Dropout that draws other masks on every replica."""

from typing import Any

import keras
import tensorflow as tf

from ..registration import registered


@registered
class ReplicaDropout(keras.layers.Dropout):
    """Dropout whose masks differ between the replicas of a `tf.distribute` strategy.

    `keras.layers.Dropout` keeps the same seed state on every replica, so that all of them drop the same
    positions of their shares of the batch. This layer gives call t on replica r of R the seed
    `(seed, t * R + r)`: no two masks share one, and with a single replica they are the masks of Keras's
    layer with that seed. The state is two integers from which the masks continue; unlike Keras's it is
    part of the model's `tf.train.Checkpoint`.

    Formula:

    ```
    output = input * mask / (1 - rate)   in training, with mask = 1 with probability 1 - rate, else 0
    output = input                       in inference
    ```

    Args:
        rate: From 0 to 1, the share of inputs to drop.
        noise_shape: Shape of the mask, to be broadcast to the input; None: that of the input.
        seed: Start of the masks' sequence.
        **kwargs: Base layer keyword arguments, such as `name` and `dtype`.

    Raises:
        ValueError: If `rate` lies outside [0, 1].

    Reference:

    - [Srivastava et al. 2014](https://jmlr.org/papers/v15/srivastava14a.html)
    """

    def __init__(
        self,
        rate: float,
        noise_shape: tuple[int | None, ...] | None = None,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(rate, noise_shape=noise_shape, seed=seed, **kwargs)
        if rate > 0:
            # A seed generator is no TensorFlow trackable: without this, checkpoints pass it over.
            self.checkpoint = tf.train.Checkpoint(state=self.seed_generator.state)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the inputs, in training with dropped positions."""
        if not training or self.rate == 0:
            return inputs
        if self.rate == 1:
            return tf.zeros_like(inputs)
        noise_shape = None
        if self.noise_shape is not None:
            sizes = tf.shape(inputs)
            noise_shape = [sizes[i] if size is None else size for i, size in enumerate(self.noise_shape)]
        # Philox by name: what "auto_select" takes in XLA on CPU is eighty times slower.
        return tf.nn.experimental.stateless_dropout(
            inputs, self.rate, seed=self._replica_seed(), noise_shape=noise_shape, rng_alg="philox"
        )

    def _replica_seed(self):
        """Advances the state and returns this replica's int32 seed of shape (2,)."""
        state = tf.convert_to_tensor(self.seed_generator.next())
        replica = tf.distribute.get_replica_context()
        if replica is not None:  # None while a model is built within a strategy's scope
            call = state[1] * replica.num_replicas_in_sync
            call += tf.cast(replica.replica_id_in_sync_group, state.dtype)
            state = tf.stack([state[0], call])
        return tf.cast(tf.math.floormod(state, tf.int32.max - 1), tf.int32)
