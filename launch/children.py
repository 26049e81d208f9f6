"""Processes that end with the program that started them."""

import ctypes
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterable

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def preparation(cores: Iterable[int] | None = None) -> Callable[[], None]:
    """Returns what a new process does before it becomes its program, for `subprocess.Popen(preexec_fn=)`.

    It is terminated when the process that started it is killed, also by SIGKILL.

    Args:
        cores: The processor cores to which it keeps; None: those of the process that starts it.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return functools.partial(_prepare, os.getpid(), None if cores is None else set(cores), libc)


def _prepare(parent, cores, libc):
    if cores is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    if libc:
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # killed in the meantime
            os._exit(1)
