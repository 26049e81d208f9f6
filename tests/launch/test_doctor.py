import subprocess
import types

import pytest

from launch import doctor


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Leaves out what takes seconds; it is tried below."""
    monkeypatch.setattr(doctor, "mirrored", lambda: iter([doctor.Finding("mirrored", "fine")]))


def run(capsys, *arguments):
    status = 0
    try:
        doctor.main(["doctor", *arguments])
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr()


def line_of(written, name):
    (line,) = [line for line in written.out.splitlines() if line[6:].startswith(name)]
    return line


def test_nothing_asked_for_is_no_trouble(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    status, written = run(capsys)
    assert status == 0 and "FAIL" not in written.out and written.err == ""
    assert "TensorFlow is built for" in line_of(written, "cuDNN")
    assert line_of(written, "CIFAR-10 ").startswith("note") and "--download" in line_of(written, "CIFAR-10 ")
    assert line_of(written, "Slurm") == "ok    Slurm               none here"


def test_what_was_asked_for_and_is_not_there_fails_with_its_cure(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: [])
    status, written = run(capsys, "--gpu", "--slurm", f"--data_dir={tmp_path}")
    assert status == 1
    assert line_of(written, "GPUs") == (
        "FAIL  GPUs                0; install NVIDIA's driver, until nvidia-smi lists the GPU"
    )
    assert line_of(written, "Slurm").startswith("FAIL") and "login node" in line_of(written, "Slurm")
    assert line_of(written, "CIFAR-10 ").startswith("FAIL")


def program(folder, name, text):
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_a_driver_without_cudnn_names_the_requirements(capsys, monkeypatch, tmp_path):
    program(tmp_path, "nvidia-smi", "echo 550.54.15")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("tensorflow.config.list_physical_devices", lambda kind=None: [])
    monkeypatch.setattr(doctor, "_nvidia_packages", dict)
    status, written = run(capsys)
    assert status == 0  # not asked for
    assert "driver 550.54.15" in line_of(written, "CUDA")
    assert line_of(written, "GPUs").startswith("note") and "requirements-gpu.txt" in line_of(written, "GPUs")


def test_slurm_that_does_not_answer(capsys, monkeypatch, tmp_path):
    program(tmp_path, "sbatch", "exit 0")
    program(tmp_path, "sinfo", "echo 'slurm_load_partitions: Unable to contact' >&2; exit 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    status, written = run(capsys, "--slurm")
    assert status == 1 and "Unable to contact" in line_of(written, "Slurm")


def test_half_a_slurm(capsys, monkeypatch, tmp_path):
    program(tmp_path, "sbatch", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    status, written = run(capsys, "--slurm")
    assert status == 1 and "sinfo" in line_of(written, "Slurm")


def test_devices_that_fail_are_a_finding(monkeypatch):
    def out_of_memory():
        raise RuntimeError("RESOURCE_EXHAUSTED:\nout of memory")

    monkeypatch.undo()
    monkeypatch.setattr("launch.mirrored_check.compare", out_of_memory)
    (finding,) = doctor.mirrored()
    assert "RESOURCE_EXHAUSTED: out of memory" in finding.text and finding.cure and finding.asked


@pytest.mark.parametrize(
    ("version", "limits", "fits"),
    [
        ("2.21.0", ">=2.21,<2.22", True),
        ("2.22.0", ">=2.21,<2.22", False),
        ("2.20.1", ">=2.21,<2.22", False),
        ("6.5.2", ">=6", True),
        ("3.0.0rc1", ">=2.2,<4", True),
    ],
)
def test_ranges_of_versions(version, limits, fits):
    assert doctor._fits(version, limits) == fits


def test_little_disk_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: types.SimpleNamespace(free=10**9))
    found = list(doctor.disk(str(tmp_path)))
    assert [finding.cure is None for finding in found] == [False, False]


def test_a_folder_that_is_not_there_is_one_line(capsys):
    status, written = run(capsys, "--data_dir=nowhere")
    assert status == 2 and written.err.count("\n") == 1 and written.out == ""


def test_two_logical_devices_train_as_one_does(monkeypatch):
    monkeypatch.undo()
    (found,) = doctor.mirrored()
    assert found.cure is None and found.text.startswith("CPU devices, weights after 4 steps differ")


@pytest.mark.slow
def test_the_program(tmp_path):
    done = subprocess.run(
        [doctor.sys.executable, "-m", "launch.doctor"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
