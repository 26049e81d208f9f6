"""Runs Zhang's program, and keeps the trained network's variables as well: keep_weights.py FOLDER FLAGS."""

import os
import pathlib
import sys

from common.study import program
from common.study.startup import import_quietly
from replications.zhang_randomization.presets import STUDY


def main():
    import_quietly("replications.zhang_randomization.experiment")
    import numpy as np

    from common.training.fit import Fit

    folder, keep = pathlib.Path(sys.argv[1]), Fit.keep

    def keep_weights(fit, arrays=None):
        weights = {f"{i:03d} {v.path}": v.numpy() for i, v in enumerate(fit.trainer.model.variables)}
        np.savez(folder / f"{fit.opened.chief}-{os.getpid()}.npz", **weights)
        keep(fit, arrays)

    Fit.keep = keep_weights
    program.main(STUDY, ["zhang_randomization", *sys.argv[2:]])


if __name__ == "__main__":
    main()
