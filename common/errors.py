"""The exceptions of the suite that are messages to the user."""


class UserError(Exception):
    """Something the user can mend: printed as one line, exit status 2."""


class LayoutError(UserError):
    """A run was begun on other data or devices, and cannot go on with these."""


class BusyError(UserError):
    """Another process is working on the same run; WORDS begin its line."""

    WORDS = "another process is working on"
