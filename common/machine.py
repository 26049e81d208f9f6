"""What this process may use of the machine: processor cores and memory; loads no TensorFlow."""

import contextlib
import os
import pathlib

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_OWN_CGROUP = pathlib.Path("/proc/self/cgroup")


def usable_cores() -> list[int]:
    """Returns the sorted numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_memory() -> int:
    """Returns the bytes of memory that this process may use: the machine's, or the limit of its group.

    A container or a job of a cluster has such a limit, on its control group (v2) or on one above it.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with contextlib.suppress(OSError, IndexError):
        own = _CGROUPS / _OWN_CGROUP.read_text().split("::", 1)[1].splitlines()[0].lstrip("/")
        for group in (own, *own.parents):
            with contextlib.suppress(OSError, ValueError):  # none here, or "max"
                found.append(int((group / "memory.max").read_text()))
    return min(found)
