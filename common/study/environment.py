"""What a program may expect of the process it runs in: open standard streams, and a home folder."""

import os
import pathlib
import sys


def complete_environment() -> None:
    """Gives this process what its surroundings left out, so that nothing later fails for the want of it."""
    _open_closed_streams()
    _name_a_home()


def _open_closed_streams() -> None:
    """Opens the null device in the place of standard streams that were closed, as by `2>&-`.

    Else the next file that is opened would take the place, and what is printed would be written into it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        # A name that the terminal's encoding lacks is printed escaped.
        elif hasattr(stream := getattr(sys, name), "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _name_a_home() -> None:
    """Names the root folder as home where the system knows none, as login does; libraries ask for one."""
    try:
        pathlib.Path.home()
    except RuntimeError:
        os.environ["HOME"] = "/"


def close_standard_output() -> None:
    """Lets what is still printed go nowhere, once the reader of a pipe has gone."""
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    os.close(null)
