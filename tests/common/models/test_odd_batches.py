"""Networks on batches of odd sizes, whose weight gradients TensorFlow may write outside their memory."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("train_odd_batches.py")
ROOT = pathlib.Path(__file__).parents[3]


def train(networks, batch_sizes, steps):
    """Losses of each network and batch size, trained in another process, whose signal is a failure."""
    command = [sys.executable, str(SCRIPT), networks, batch_sizes, str(steps)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    ended = f"exit status {process.returncode}"
    if process.returncode < 0:
        ended = f"ended by {signal.Signals(-process.returncode).name}"
    assert process.returncode == 0, f"{ended}: {process.stderr[-2000:]}"
    return json.loads(process.stdout)


def check(losses):
    for what, values in losses.items():
        assert np.isfinite(values).all(), what
        # Full-batch steps of a small rate: the loss falls.
        assert values[-1] < values[0], what


def test_a_narrow_resnet_trains_on_an_odd_batch():
    check(train("resnet18w", "25", 20))


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet18", "resnet18k", "resnet18w", "wide_resnet"])
def test_narrow_resnets_train_on_odd_batches(network):
    check(train(network, "1,7,25,27,33", 60))
