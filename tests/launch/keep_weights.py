"""Runs Zhang's program, and keeps the trained network's variables as well: keep_weights.py FOLDER FLAGS."""

import os
import pathlib
import sys
import time
import types

from common.study import program
from common.study.startup import import_quietly
from replications.zhang_randomization.presets import STUDY


def main():
    import_quietly("replications.zhang_randomization.experiment")
    import numpy as np

    from common.cluster import current_worker
    from common.training import fit as fits

    Fit = fits.Fit  # noqa: N806
    if "TF_CONFIG" in os.environ and not current_worker("multi_worker").chief:
        # Workers differ in speed, and never wait for each other because of it.
        monotonic = time.monotonic
        fits.time = types.SimpleNamespace(monotonic=lambda: 30 * monotonic())
    folder, keep = pathlib.Path(sys.argv[1]), Fit.keep

    def keep_weights(fit, arrays=None):
        weights = {f"{i:03d} {v.path}": v.numpy() for i, v in enumerate(fit.trainer.model.variables)}
        np.savez(folder / f"{fit.opened.chief}-{os.getpid()}.npz", **weights)
        keep(fit, arrays)

    Fit.keep = keep_weights
    program.main(STUDY, ["zhang_randomization", *sys.argv[2:]])


if __name__ == "__main__":
    main()
