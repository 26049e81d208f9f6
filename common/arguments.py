"""What layers and measures ask of their arguments."""

import numbers


def whole_number(name: str, value: int, least: int = 1) -> int:
    """Returns an integer argument, also one of NumPy, as a Python integer, which a saved config can hold.

    Args:
        name: Its name.
        value: What was given.
        least: 1 for a positive integer, 0 for one that is not negative.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, numbers.Integral) or isinstance(value, bool) or value < least:
        kind = "positive" if least else "non-negative"
        raise ValueError(f"`{name}` must be a {kind} integer. Received: {name}={value!r}")
    return int(value)
