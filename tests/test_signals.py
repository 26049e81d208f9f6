"""Real signals to real programs, at many moments of their lives: one line, status 130, the run goes on."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

LONG = {
    "replications.snapp_shamir": ("--examples_log2=30", "--pairs=2", "--model=double"),
    "replications.zhang_randomization": (
        *("--dataset=synthetic", "--network=alexnet", "--num_train=640", "--num_test=50"),
        *("--batch_size=32", "--epochs=1000", "--stop=epochs"),
    ),
    "replications.somepalli_boundaries": (
        *("--dataset=synthetic", "--network=resnet18", "--width=4", "--num_train=640"),
        *("--num_test=100", "--batch_size=32", "--epochs=1000"),
    ),
    "replications.smooth_interpolation": (
        *("--dataset=synthetic", "--width=4", "--num_train=640", "--num_test=100"),
        *("--batch_size=32", "--epochs=4000", "--num_samples=20"),
    ),
}
SCALAR = ("replications.smooth_interpolation", "--dataset=scalar", "--network=mlp", "--epochs=1000000")
SWEEP = (
    *("launch.sweep", "--replication=snapp_shamir", "--examples_log2=30", "--pairs=2"),
    "--shuffle_log2=0,5",
)


def start(module, *arguments):
    """Starts a program and returns when it has begun to obey signals."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while process.poll() is None and not catches(process.pid, signal.SIGTERM):
        time.sleep(0.005)
    return process


def catches(number, sent):
    with open(f"/proc/{number}/status") as file:
        caught = next(line.split()[1] for line in file if line.startswith("SigCgt:"))
    return int(caught, 16) >> (sent - 1) & 1


def stop(process, delay, number=signal.SIGINT):
    """Sends a signal after so many seconds; returns status, standard error and seconds until the end."""
    time.sleep(delay)
    sent = time.monotonic()
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    return process.returncode, error, time.monotonic() - sent


def check_interrupted(stopped, name, goes_on=True):
    status, error, seconds = stopped
    assert error == f"{name}: interrupted" + "; the same command goes on" * goes_on + "\n"
    assert status == 130
    assert seconds < 30  # the longest that a run may take for its block, on a machine that does much else


@pytest.mark.parametrize("delay", [0.0, 0.7])
def test_while_tensorflow_is_imported(delay, tmp_path):
    process = start("replications.snapp_shamir", *LONG["replications.snapp_shamir"], f"--out_dir={tmp_path}")
    check_interrupted(stop(process, delay), "snapp_shamir")


MOMENTS = [
    *((signal.SIGINT, delay) for delay in (0.0, 0.3, 1, 2, 4, 7, 12, 30)),
    *((signal.SIGTERM, delay) for delay in (0.1, 3, 9, 20)),
]
# The studies of images share one stack: one of them at every moment, the others at every third.
FEWER = ("replications.somepalli_boundaries", "replications.smooth_interpolation")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "number", "delay"),
    [(module, *moment) for module in LONG for moment in (MOMENTS[1::3] if module in FEWER else MOMENTS)],
)
def test_at_any_moment_of_a_run(module, delay, number, tmp_path):
    process = start(module, *LONG[module], f"--out_dir={tmp_path}")
    check_interrupted(stop(process, delay, number), module.split(".")[1])
    for path in tmp_path.glob("*/*/run.json"):
        assert json.loads(path.read_text())["status"] == "incomplete"


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.01, 0.1, 1.0])
def test_twice(delay, tmp_path):
    """Two signals of one kind that come together are one, so these are of both kinds."""
    module = "replications.somepalli_boundaries"
    process = start(module, *LONG[module], f"--out_dir={tmp_path}")
    while not list(tmp_path.glob("*/*/run.json")):
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    status, error, _ = stop(process, delay, signal.SIGTERM)
    # The second may come when Python itself has ended and TensorFlow has not.
    assert status in (130, -signal.SIGTERM)
    assert error == "somepalli_boundaries: interrupted; the same command goes on\n"


@pytest.mark.slow
@pytest.mark.parametrize("delay", [4, 8, 12])
def test_a_fit_of_scalar_data_ends_at_once(delay, tmp_path):
    process = start(*SCALAR, f"--out_dir={tmp_path}")
    check_interrupted(stop(process, delay), "smooth_interpolation")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.5, 2, 6])
@pytest.mark.parametrize(
    ("command", "name"),
    [
        (("figures.report", "--records=results/reference", "--out={}/report.html"), "report"),
        (
            ("figures.snapp_shamir", "--records=results/reference", "--out_dir={}"),
            "figures.snapp_shamir",
        ),
        (("launch.benchmark", "--models=linear", "--seconds=100"), "benchmark"),
    ],
)
def test_programs_that_do_not_go_on(command, name, delay, tmp_path):
    process = start(*(word.format(tmp_path) for word in command))
    with contextlib.suppress(subprocess.TimeoutExpired):
        if process.wait(delay) == 0:
            pytest.skip(f"it ended by itself within {delay} s")
    check_interrupted(stop(process, 0), name, goes_on=False)
    assert not [path.name for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("delay", [2, 6, 12])
def test_a_sweep_takes_its_processes_along(delay, number, tmp_path):
    process = start(*SWEEP, f"--out_dir={tmp_path}")
    check_interrupted(stop(process, delay, number), "sweep")
    check_ended(tmp_path)


@pytest.mark.slow
def test_the_processes_of_a_killed_sweep_end(tmp_path):
    process = start(*SWEEP, f"--out_dir={tmp_path}")
    while not processes_of(tmp_path, "replications.snapp_shamir"):
        time.sleep(0.1)
    process.kill()
    process.communicate()
    check_ended(tmp_path)


def check_ended(folder):
    """On a machine with much else to do the sweep may be gone before its processes are."""
    ends = time.monotonic() + 60
    while processes_of(folder) and time.monotonic() < ends:
        time.sleep(0.1)
    assert not processes_of(folder)


def processes_of(folder, module=""):
    """Numbers of the processes whose command line names a folder and a module."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline") as file:
                line = file.read()
        except OSError:  # it has ended
            continue
        if f"--out_dir={folder}" in line and module in line:
            found.append(int(number))
    return found
