"""What is expensive to build and large, such as compiled programs with their weights, is held once.

Tests, whose programs are small, hold more of them: see `MOST`.
"""

import functools
import gc
from collections.abc import Callable, Hashable
from typing import Protocol, TypeVar, cast

MOST = 1  # values of a function that are held

Built = TypeVar("Built")
_Held = TypeVar("_Held", covariant=True)


class Kept(Protocol[_Held]):
    """A function of hashable arguments whose last value is held."""

    def __call__(self, *arguments: Hashable) -> _Held:
        """Returns the value of these arguments."""

    def cache_clear(self) -> None:
        """Lets go of the value."""

    def latest(self) -> _Held | None:
        """Returns the value that is held; None if there is none."""


def keep_latest(build: Callable[..., Built]) -> Kept[Built]:
    """Keeps the last value, or the last `MOST`, that a function of hashable arguments returned.

    Unlike `functools.lru_cache` it lets go of the oldest value before it builds another one, so that
    memory never holds more of them. What was compiled refers to itself: only the garbage collector frees it.

    Args:
        build: The function; it is called again only when its arguments change.
    """
    latest: dict[tuple[Hashable, ...], Built] = {}

    @functools.wraps(build)
    def kept(*arguments: Hashable) -> Built:
        if arguments in latest:
            latest[arguments] = latest.pop(arguments)  # now the last to go
        else:
            while len(latest) >= MOST:
                del latest[next(iter(latest))]
                gc.collect()
            latest[arguments] = build(*arguments)
        return latest[arguments]

    held = cast(Kept[Built], kept)
    held.cache_clear = latest.clear  # type: ignore[method-assign]
    held.latest = lambda: next(reversed(latest.values()), None)  # type: ignore[method-assign]
    return held
