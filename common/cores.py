"""Processor cores of this process; loads no TensorFlow."""

import os


def usable_cores() -> list[int]:
    """Returns the sorted numbers of the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
