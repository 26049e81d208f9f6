"""The exceptions of the suite that are messages to the user, and what others say in one line."""

import re

_LONGEST = 200
# TensorFlow names first the places that an error passed.
_PLACES = ("File ", "Detected at", "Graph execution error", "[[")


class UserError(Exception):
    """Something the user can mend: printed as one line, exit status 2."""


class LayoutError(UserError):
    """A run was begun on other data or devices, and cannot go on with these."""


class BusyError(UserError):
    """Another process is working on the same run; WORDS begin its line."""

    WORDS = "another process is working on"


def in_one_line(error: BaseException) -> str:
    """Returns what an error says, in one line without a full stop; of TensorFlow's without their places."""
    said = getattr(error, "strerror", None) or str(error)
    # An operation's begins with "{{function_node ...}}" and ends with "[Op:...] name: ".
    said = re.sub(r"\{\{.*?\}\}|\[Op:.*", "", said)
    lines = [line.strip() for line in said.splitlines()]
    if any(base.__name__ == "OpError" for base in type(error).__mro__):
        lines = [line for line in lines if line and not line.startswith(_PLACES)][:1] or lines
    return " ".join(" ".join(lines).split())[:_LONGEST].rstrip(".")
