import os

import pytest

from common import machine

MACHINE = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def limit_groups(tmp_path, monkeypatch):
    """Gives control groups a limit each in a file of a name; this process is in slurm/job_1."""

    def limit(name, limits):
        for group, text in limits.items():
            (tmp_path / group).mkdir(parents=True, exist_ok=True)
            (tmp_path / group / name).write_text(f"{text}\n")
        own = tmp_path / "own"
        own.write_text("1:cpu:/elsewhere\n0::/slurm/job_1\n")
        monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
        monkeypatch.setattr(machine, "_OWN_CGROUP", own)

    return limit


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
def test_memory_is_the_least_limit_of_the_own_group_and_those_above(limits, expected, limit_groups):
    limit_groups("memory.max", limits)
    assert machine.usable_memory() == expected


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 8),
        ({"slurm/job_1": "max 100000"}, 8),
        ({"slurm/job_1": "200000 100000"}, 2),
        ({"slurm/job_1": "max 100000", "slurm": "150000 100000"}, 2),
        ({"slurm/job_1": "10000 100000"}, 1),
        ({"slurm/job_1": "6400000 100000"}, 8),
    ],
)
def test_cores_are_as_many_as_the_group_has_time_for(limits, expected, limit_groups, monkeypatch):
    limit_groups("cpu.max", limits)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3, 8, 9, 10, 11})
    cores = machine.usable_cores()
    assert len(cores) == expected and cores == sorted(set(cores) & {0, 1, 2, 3, 8, 9, 10, 11})


def test_without_control_groups_it_is_the_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_OWN_CGROUP", tmp_path / "none")
    assert machine.usable_memory() == MACHINE
