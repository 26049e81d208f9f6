import dataclasses
import shutil

import numpy as np
import pytest

from common.study.runs import run_folder
from replications.smooth_interpolation.presets import STUDY
from tests.made_rows import made_rows

METRICS = ("accuracy", "cross_entropy", "jacobian_norm", "tangent_hessian_norm")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a finished run by hand and returns the folder of all runs."""
    provenance = {"argv": ["x"], "commit": "c" * 40, "dirty": False, "versions": {}, "machine": "toy"}
    monkeypatch.setattr("common.study.run_folders.provenance", lambda: dict(provenance))

    def write(settings, value, finals, seed=0, predictions=None):
        """`value(metric, subset, anchors, share)` gives a measure at a share of the epochs."""
        settings = dataclasses.replace(settings, seed=seed).resolve()
        rows = []
        for epoch in (*settings.checkpoint_epochs, settings.epochs):
            place = {"statistic": "run", "epoch": epoch, "step": 3 * epoch}
            end = epoch == settings.epochs
            share = epoch / settings.epochs
            test = 1 - value("test_error", None, None, share)
            rows.append({"metric": "test_accuracy", "value": test} | place)
            for subset in ("noisy", "clean", "all"):
                for anchors in range(1 + len(settings.erased) * end, 0, -1):
                    for metric in METRICS:
                        number = value(metric, subset, anchors, share)
                        where = {"subset": subset, "anchors": anchors}
                        rows.append({"metric": metric, "value": number} | place | where)
        rows += made_rows(finals, place)
        predictions = predictions or {}
        with run_folder(STUDY, settings, str(tmp_path)) as folder:
            folder.start({}, "synthetic images")
            folder.finish("done", rows, {name: np.asarray(array) for name, array in predictions.items()})
        return str(tmp_path)

    return write


@pytest.fixture
def write_diverged(tmp_path, write):
    """Writes a run that diverged in its third epoch, in the place of one that is there."""

    def write_diverged(settings):
        settings = settings.resolve()
        place = {"statistic": "run", "epoch": 3, "step": 9}
        measured = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
        rows = [{"metric": metric, "value": float("nan")} | place for metric in measured]
        folder = run_folder(STUDY, settings, str(tmp_path))
        if folder.path.exists():
            shutil.rmtree(folder.path)
        with run_folder(STUDY, settings, str(tmp_path)) as folder:
            folder.start({}, "synthetic images")
            folder.finish("diverged", [*rows, {"metric": "diverged", "value": 1} | place], {})

    return write_diverged


@pytest.fixture
def write_scalar(tmp_path, write):
    """Writes a finished fit of scalar data by hand."""

    def write_scalar(settings, values, seed=0):
        settings = dataclasses.replace(settings, seed=seed).resolve()
        place = {"statistic": "run", "epoch": settings.epochs, "step": settings.epochs}
        with run_folder(STUDY, settings, str(tmp_path)) as folder:
            folder.start({}, "noisy samples of a cubic")
            rows = [{"metric": metric, "value": value} | place for metric, value in values.items()]
            folder.finish("done", rows, {})
        return str(tmp_path)

    return write_scalar
