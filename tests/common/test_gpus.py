import pytest

from common.gpus import gpu_environment, visible_gpus


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("0,1", ("0", "1")),
        ("3", ("3",)),
        (" GPU-8a, MIG-12 ", ("GPU-8a", "MIG-12")),
        ("", ()),
        ("-1", ()),
        ("0,-1,1", ("0",)),  # as CUDA reads it
    ],
)
def test_the_list_of_the_environment_counts(listed, expected):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": listed}) == expected


def test_without_a_list_it_is_what_nvidia_smi_says(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert visible_gpus({}) == ()
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 0\necho 1\n")
    program.chmod(0o755)
    assert visible_gpus({}) == ("0", "1")
    program.write_text("#!/bin/sh\nexit 9\n")  # no driver
    assert visible_gpus({}) == ()


def test_the_variables_of_a_process(monkeypatch):
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert gpu_environment(("2", "3")) == {
        "CUDA_VISIBLE_DEVICES": "2,3",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
    }
    assert gpu_environment(())["CUDA_VISIBLE_DEVICES"] == ""
