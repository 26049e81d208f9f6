"""Checkpoints of unfinished runs."""

import tensorflow as tf


class Checkpoints(tf.train.CheckpointManager):
    """The last two checkpoints of what a run trains.

    Args:
        checkpoint: `tf.train.Checkpoint`.
        folder: Its folder.
    """

    def __init__(self, checkpoint, folder):
        super().__init__(checkpoint, str(folder), max_to_keep=2)

    def keep(self, step):
        """Writes the state after a step.

        Raises:
            OSError: It cannot be written. Programs report it in one line, unlike TensorFlow's own error.
        """
        try:
            self.save(checkpoint_number=step)
        except tf.errors.OpError as error:
            raise OSError(f"{self.directory}: {error.message}") from None
