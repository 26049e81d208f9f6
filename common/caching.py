"""What is expensive to build and large, such as compiled programs with their weights, is held once."""

import functools
import gc
from collections.abc import Callable
from typing import TypeVar

Built = TypeVar("Built")


def keep_latest(build: Callable[..., Built]) -> Callable[..., Built]:
    """Keeps the last value that a function of hashable arguments returned.

    Unlike `functools.lru_cache(maxsize=1)` it lets go of the value before it builds another one, so that
    memory holds one of them. What was compiled refers to itself: only the garbage collector frees it.

    Args:
        build: The function; it is called again only when its arguments change.
    """
    latest = {}

    @functools.wraps(build)
    def kept(*arguments):
        if arguments not in latest:
            latest.clear()
            gc.collect()
            latest[arguments] = build(*arguments)
        return latest[arguments]

    kept.cache_clear = latest.clear
    kept.latest = lambda: next(iter(latest.values()), None)
    return kept
