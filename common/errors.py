"""The exceptions of the suite that are messages to the user."""


class UserError(Exception):
    """Something the user can mend: printed as one line, exit status 2."""


class BusyError(UserError):
    """Another process is working on the same run; WORDS begin its line."""

    WORDS = "another process is working on"
