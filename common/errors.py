"""The one exception of the suite that is a message to the user."""


class UserError(Exception):
    """Something the user can mend: printed as one line, exit status 2."""
