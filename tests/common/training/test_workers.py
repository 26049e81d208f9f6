import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).with_name("train_on_worker.py")
ROOT = pathlib.Path(__file__).parents[3]


def start(strategy, output, **environment):
    command = [sys.executable, str(SCRIPT), strategy, str(output)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | environment
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("localhost", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


WORKERS = [("worker", 0), ("worker", 1)]
CHIEF_AND_WORKER = [("chief", 0), ("worker", 0)]


@pytest.mark.slow
@pytest.mark.parametrize("places", [WORKERS, CHIEF_AND_WORKER])
def test_two_workers_train_as_one_process_does(places, tmp_path):
    """Weights, moving statistics, batch losses and evaluation; tolerance 1e-5: sums are split in two."""
    cluster = {}
    for (kind, _), port in zip(places, free_ports(2), strict=True):
        cluster.setdefault(kind, []).append(f"localhost:{port}")
    processes = [
        start(
            "multi_worker",
            tmp_path / f"worker{i}.npz",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}),
        )
        for i, (kind, index) in enumerate(places)
    ] + [start("one_device", tmp_path / "alone.npz")]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    alone, *workers = (dict(np.load(tmp_path / f"{name}.npz")) for name in ("alone", "worker0", "worker1"))
    assert alone.pop("replicas") == 1
    for worker in workers:
        assert worker.pop("replicas") == 2
        for name, value in alone.items():
            np.testing.assert_allclose(worker[name], value, rtol=1e-5, atol=1e-5, err_msg=name)
