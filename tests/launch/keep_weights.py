"""Runs Zhang's program, and keeps the trained network's variables: keep_weights.py FOLDER KIND FLAGS.

KIND is "paper"; or "rounded": the images are changed by parts in ten million; or "smooth": with softplus for
ReLU and means for maxima, so that no rounding flips a unit.
"""

import os
import pathlib
import sys
import time
import types

from common.study import program
from common.study.startup import import_quietly
from replications.zhang_randomization.presets import STUDY


def smooth(layer):
    """A layer of Inception without corners, with the same name and weights."""
    import keras

    if isinstance(layer, keras.layers.MaxPooling2D):
        return keras.layers.AveragePooling2D.from_config(layer.get_config())
    if isinstance(layer, keras.layers.ReLU):
        return keras.layers.Activation("softplus", name=layer.name)
    return layer.__class__.from_config(layer.get_config())


def main():
    experiment = import_quietly("replications.zhang_randomization.experiment")
    import keras
    import numpy as np

    from common.cluster import current_worker
    from common.training import fit as fits

    folder, kind, keep = pathlib.Path(sys.argv[1]), sys.argv[2], fits.Fit.keep
    build, randomize = experiment.build_network, experiment.randomize
    if "TF_CONFIG" in os.environ and not current_worker("multi_worker").chief:
        # Workers differ in speed, and are not to wait for each other because of it.
        monotonic = time.monotonic
        fits.time = types.SimpleNamespace(monotonic=lambda: 30 * monotonic())

    def keep_weights(fit, arrays=None):
        weights = {f"{i:03d} {v.path}": v.numpy() for i, v in enumerate(fit.trainer.model.variables)}
        np.savez(folder / f"{os.getpid()}.npz", losses=fit.batch_losses, **weights)
        keep(fit, arrays)

    def rounded(*arguments):
        (images, labels), test = randomize(*arguments)
        noise = np.random.default_rng(0).standard_normal(images.shape).astype(np.float32)
        return (images * (1 + 1e-7 * noise), labels), test

    fits.Fit.keep = keep_weights
    if kind == "rounded":
        experiment.randomize = rounded
    if kind == "smooth":
        experiment.build_network = lambda *of: keras.models.clone_model(build(*of), clone_function=smooth)
    program.main(STUDY, ["zhang_randomization", *sys.argv[3:]])


if __name__ == "__main__":
    main()
