"""What this process may use of the machine: processor cores and memory; loads no TensorFlow."""

import contextlib
import math
import os
import pathlib
import platform
import zlib

_CGROUPS = pathlib.Path("/sys/fs/cgroup")
_OWN_CGROUP = pathlib.Path("/proc/self/cgroup")


def usable_cores() -> list[int]:
    """Returns the sorted numbers of the cores that this process may use.

    A container may have the time of fewer cores than it sees: then as many from a place that its name decides
    on, since processes are bound to cores and the containers next to it should be bound to others.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = sorted(os.sched_getaffinity(0))
    else:
        cores = list(range(os.cpu_count() or 1))
    number = len(cores)
    for text in _limits("cpu.max"):  # microseconds of a period, as "200000 100000"
        with contextlib.suppress(ValueError):
            time, period = map(int, text.split())
            number = min(number, max(1, math.ceil(time / period)))
    first = zlib.crc32(platform.node().encode())
    return sorted(cores[(first + i) % len(cores)] for i in range(number))


def usable_memory() -> int:
    """Returns the bytes of memory that this process may use: the machine's, or the limit of its group."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for text in _limits("memory.max"):
        with contextlib.suppress(ValueError):
            found.append(int(text))
    return min(found)


def _limits(name):
    """Yields what the own control group (v2) and those above it say; "max" where there is no limit.

    A container or a job of a cluster has such limits, on its own group or on one above it.
    """
    with contextlib.suppress(OSError, IndexError):
        own = _CGROUPS / _OWN_CGROUP.read_text().split("::", 1)[1].splitlines()[0].lstrip("/")
        for group in (own, *own.parents):
            with contextlib.suppress(OSError):
                yield (group / name).read_text()
