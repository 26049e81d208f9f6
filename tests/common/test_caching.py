import gc
import weakref

import pytest

from common import caching
from common.caching import keep_latest


class Large:
    """Refers to itself, as what TensorFlow compiles does."""

    def __init__(self):
        self.itself = self


@pytest.fixture
def alive():
    """How many were alive when each was built."""
    return []


@pytest.fixture
def build(alive, monkeypatch):
    monkeypatch.setattr(caching, "MOST", 1)
    built = []

    @keep_latest
    def build(*arguments):
        alive.append(sum(reference() is not None for reference in built))
        value = Large()
        built.append(weakref.ref(value))
        return value

    return build


def test_equal_arguments_give_the_same_value(build):
    assert build(1, "a") is build(1, "a")


def test_one_is_held_and_let_go_before_the_next_is_built(build, alive):
    gc.disable()
    try:
        for argument in (1, 2, 3, 1):
            build(argument)
    finally:
        gc.enable()
    assert alive == [0, 0, 0, 0]


def test_of_several_the_one_that_was_asked_for_first_goes(build, alive, monkeypatch):
    monkeypatch.setattr(caching, "MOST", 2)
    for argument in (1, 2, 1, 3):  # 2 goes
        build(argument)
    assert alive == [0, 1, 1]
    assert build.latest() is build(3)
    build(1)
    assert len(alive) == 3
    build(2)
    assert len(alive) == 4


def test_the_latest_is_shown_until_the_cache_is_cleared(build):
    assert build.latest() is None
    value = build(1)
    assert build.latest() is value
    build.cache_clear()
    assert build.latest() is None
