"""Settings of a run: dataclass fields that are also command-line flags, their limits and defaults.

Loads no TensorFlow.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, Self, TypeVar

from ..errors import UserError


@dataclasses.dataclass(frozen=True)
class Limits:
    """What a number may be.

    Args:
        low: The least it may be; a float where any finite number will do.
        high: The most it may be.
        above: Whether `low` itself is left out.
    """

    low: float
    high: float = math.inf
    above: bool = False

    def __contains__(self, value: float) -> bool:
        least = self.low < value if self.above else self.low <= value
        return least and value <= self.high and (isinstance(value, int) or math.isfinite(value))

    def __str__(self) -> str:
        low, high = (f"{limit:g}" if isinstance(limit, float) else limit for limit in (self.low, self.high))
        if self.above:
            return f"a finite number above {low}"
        if self.high < math.inf:
            return f"from {low} to {high}"
        return f"a finite number, {low} or above" if isinstance(self.low, float) else f"at least {low}"


POSITIVE = Limits(0.0, above=True)
SEED = Limits(0, 2**63 - 1)


# What a setting may be, or a column of a record.
Value = str | int | float | bool | None


class Settings(Protocol):
    """A paper's settings of a run: a frozen dataclass whose fields are made by `setting`."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def seed(self) -> int:
        """The root seed."""

    def resolve(self) -> Self:
        """Returns these settings with every default filled in; raises UserError for what does not fit."""


_Settings = TypeVar("_Settings", bound=Settings)


class _Always:
    """The `absent` of a setting that every record has; equal to nothing."""


def setting(
    default: Any,
    help: str,
    choices: Sequence[str] | None = None,
    applies_to: Callable[[Any], Any] | None = None,
    limits: Limits | None = None,
    needs: str | None = None,
    absent: Any = _Always,
) -> Any:
    """A dataclass field that is also a command-line flag.

    Args:
        default: Its default.
        help: One full sentence.
        choices: The values it may have, if they are few.
        applies_to: Function of the settings of a run: whether it has a use for this one. A flag leaves the
            runs of a figure that have none as they are, and is refused where no run has any.
        limits: `Limits` of a number, whatever the other settings are.
        needs: The flags that give a run a use for it, as words.
        absent: What a run did before the setting existed. While it has this value the setting is no part of a
            run's identity, so that records made without it are found. Give it to every setting that is added
            once there are records, and never change it; the default may change.
    """
    metadata = {"help": help, "choices": choices, "applies_to": applies_to, "limits": limits, "needs": needs}
    metadata |= {"absent": absent}
    return dataclasses.field(default=default, metadata=metadata)


def check_limits(settings: Settings) -> None:
    """Refuses numbers outside the limits of their fields; None is inside.

    Raises:
        UserError: One line that names the flag and the limits.
    """
    for field in dataclasses.fields(settings):
        value, limits = getattr(settings, field.name), field.metadata["limits"]
        if limits and value is not None and value not in limits:
            raise UserError(f"--{field.name}={value}: must be {limits}")


def identity(settings: Settings) -> dict[str, Value]:
    """Returns the settings that tell a run from others: name -> value, without those that are absent."""
    return {
        field.name: getattr(settings, field.name)
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) != field.metadata.get("absent", _Always)
    }


def idle_value(field: dataclasses.Field) -> Any:
    """Returns the value of a setting in a run that has no use for it: then a new one changes no identity."""
    absent = field.metadata.get("absent", _Always)
    return field.default if absent is _Always else absent


def completed(kind: type[_Settings], values: Mapping[str, Value]) -> _Settings:
    """Returns the settings of a record, those that it lacks with the values of runs before them.

    Args:
        kind: The settings class of today.
        values: Name -> value of the record.

    Raises:
        KeyError: It lacks a setting that every record has.
        TypeError: It has a setting that the class has not.
    """
    absent = {field.name: field.metadata.get("absent", _Always) for field in dataclasses.fields(kind)}
    missing = [name for name in absent if name not in values]
    if without_absent := [name for name in missing if absent[name] is _Always]:
        raise KeyError(without_absent[0])
    # In a table of records, those without a setting that others have lack a value.
    missing += [name for name, value in values.items() if value is None and absent.get(name) is not _Always]
    return kind(**dict(values) | {name: absent[name] for name in missing if name in absent})


def without(settings: _Settings, names: Iterable[str]) -> _Settings:
    """Returns settings with the named ones at their defaults: what runs that differ in these alone share."""
    fields = {field.name: field for field in dataclasses.fields(settings)}
    return dataclasses.replace(settings, **{name: fields[name].default for name in names})


def filled(settings: _Settings, defaults: Mapping[str, Value]) -> _Settings:
    """Returns settings with defaults, name -> value, in the place of None."""
    missing = {name: value for name, value in defaults.items() if getattr(settings, name) is None}
    return dataclasses.replace(settings, **missing)
