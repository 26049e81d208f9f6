"""Checkpoints of unfinished runs: sealed folders, of which the newest sound one counts."""

import dataclasses
import pathlib
import shutil
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from .files import (
    DamagedError,
    is_sound,
    read_arrays,
    read_rows,
    sealing,
    write_arrays,
    write_rows,
)

_KEPT = 2
_STATE, _ROWS, _ARRAYS = "state", "rows.jsonl", "arrays.npz"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint holds beside the state of the training: the rows and arrays given to `keep`."""

    rows: list[dict]
    arrays: dict[str, np.ndarray]


class Checkpoints:
    """The last two checkpoints of what a run trains, each complete in itself.

    Args:
        checkpoint: `tf.train.Checkpoint` of the state.
        folder: Their folder; a checkpoint is the folder below it named by its step.
    """

    def __init__(self, checkpoint: tf.train.Checkpoint, folder: pathlib.Path) -> None:
        self._checkpoint, self.folder = checkpoint, pathlib.Path(folder)

    def steps(self) -> list[int]:
        """Returns the steps of the checkpoints that are there, in order."""
        if not self.folder.is_dir():
            return []
        return sorted(int(path.name) for path in self.folder.iterdir() if path.name.isdecimal())

    def keep(
        self, step: int, rows: Sequence[Mapping] = (), arrays: Mapping[str, np.ndarray] | None = None
    ) -> None:
        """Writes the state after a step, and what was measured until then.

        Raises:
            OSError: It cannot be written. Programs report it in one line, unlike TensorFlow's own error.
        """
        with sealing(self.folder / str(step)) as folder:
            try:
                self._checkpoint.write(str(folder / _STATE))
            except tf.errors.OpError as error:
                raise OSError(f"{self.folder}: {error.message}") from None
            write_rows(folder / _ROWS, rows)
            write_arrays(folder / _ARRAYS, arrays or {})
        # A later one was found to be damaged, or it would have been restored.
        current = [kept for kept in self.steps() if kept <= step][-_KEPT:]
        for other in set(self.steps()) - set(current):
            shutil.rmtree(self.folder / str(other), ignore_errors=True)

    def restore(self) -> Restored | None:
        """Restores the newest sound checkpoint; says on standard error if a newer one is damaged.

        Returns:
            What was kept with it, or None where there is no checkpoint.

        Raises:
            DamagedError: There are checkpoints, but none is sound.
        """
        steps = self.steps()
        if not steps:
            return None
        sound = next((step for step in reversed(steps) if is_sound(self.folder / str(step))), None)
        if sound is None:
            raise DamagedError(f"no checkpoint in {self.folder} is sound; remove that folder to begin anew")
        folder = self.folder / str(sound)
        if sound != steps[-1]:
            print(f"{self.folder / str(steps[-1])} is damaged; going on from step {sound}", file=sys.stderr)
        self._checkpoint.read(str(folder / _STATE)).assert_existing_objects_matched()
        return Restored(read_rows(folder / _ROWS), read_arrays(folder / _ARRAYS))
