import os

import pytest

from common import machine

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, MACHINE),
        ({"slurm/job_1": "max"}, MACHINE),
        ({"slurm/job_1": "1073741824"}, 2**30),
        ({"slurm/job_1": "max", "slurm": "2147483648"}, 2**31),
        ({"slurm/job_1": "1073741824", "slurm": "max", "": "4294967296"}, 2**30),
        ({"slurm/job_2": "1"}, MACHINE),
    ],
)
def test_memory_is_the_least_limit_of_the_own_group_and_those_above(limits, expected, tmp_path, monkeypatch):
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "memory.max").write_text(f"{limit}\n")
    own = tmp_path / "own"
    own.write_text("1:cpu:/elsewhere\n0::/slurm/job_1\n")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_CGROUP", own)
    assert machine.usable_memory() == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 8),
        ({"pod/own": "max 100000"}, 8),
        ({"pod/own": "200000 100000"}, 2),
        ({"pod/own": "max 100000", "pod": "150000 100000"}, 2),
        ({"pod/own": "10000 100000"}, 1),
        ({"pod/own": "6400000 100000"}, 8),
    ],
)
def test_cores_are_as_many_as_the_group_has_time_for(limits, expected, tmp_path, monkeypatch):
    for group, limit in limits.items():
        (tmp_path / group).mkdir(parents=True, exist_ok=True)
        (tmp_path / group / "cpu.max").write_text(f"{limit}\n")
    own = tmp_path / "own_group"
    own.write_text("0::/pod/own\n")
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OWN_CGROUP", own)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 8, 9, 10, 11})
    cores = machine.usable_cores()
    assert len(cores) == expected and cores == sorted(set(cores) & {0, 1, 2, 3, 8, 9, 10, 11})


def test_without_control_groups_it_is_the_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_OWN_CGROUP", tmp_path / "none")
    assert machine.usable_memory() == MACHINE
