import dataclasses

import pytest

from common.errors import UserError
from common.study.setting import POSITIVE, SEED, Limits, check_limits, completed, filled, identity, setting

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("limits", "inside", "outside", "words"),
    [
        (Limits(1), (1, 10**400), (0, -1), "at least 1"),
        (Limits(0, 24), (0, 24), (-1, 25), "from 0 to 24"),
        (Limits(0.01, 1), (0.01, 0.5, 1), (0.0, 1.01, NAN), "from 0.01 to 1"),
        (Limits(0.0), (0.0, 1e300), (-1e-9, INF, NAN), "a finite number, 0 or above"),
        (POSITIVE, (1e-300, 5), (0.0, -1.0, INF, NAN), "a finite number above 0"),
        (SEED, (0, 2**63 - 1), (-1, 2**63), "from 0 to 9223372036854775807"),
    ],
)
def test_limits(limits, inside, outside, words):
    assert all(value in limits for value in inside)
    assert not any(value in limits for value in outside)
    assert str(limits) == words


@dataclasses.dataclass(frozen=True)
class _Settings:
    width: int | None = setting(None, "Width.", limits=Limits(1))
    name: str | None = setting(None, "Name.")
    rate: float = setting(0.5, "Rate.", limits=POSITIVE)


def test_numbers_outside_their_limits_are_refused_by_their_flag():
    check_limits(_Settings())
    check_limits(_Settings(width=1))
    with pytest.raises(UserError, match="^--width=0: must be at least 1$"):
        check_limits(_Settings(width=0))
    with pytest.raises(UserError, match="^--rate=0.0: must be a finite number above 0$"):
        check_limits(_Settings(rate=0.0))


def test_defaults_fill_what_is_none_and_nothing_else():
    defaults = {"width": 3, "name": "a", "rate": 2.0}
    assert filled(_Settings(width=1), defaults) == _Settings(width=1, name="a", rate=0.5)


@dataclasses.dataclass(frozen=True)
class _Extended(_Settings):
    clip: str = setting("code", "Clip.", absent="none")


def test_a_setting_with_the_value_of_runs_before_it_is_no_part_of_the_identity():
    old = {"width": None, "name": None, "rate": 0.5}
    assert identity(_Settings()) == old
    assert identity(_Extended(clip="none")) == old
    assert identity(_Extended()) == old | {"clip": "code"}


def test_a_record_is_completed_with_what_runs_did_before_a_setting():
    @dataclasses.dataclass(frozen=True)
    class Newer:
        width: int | None = setting(None, "Width.")
        signal: str | None = setting("sine", "Signal.", absent="cubic")

    complete = Newer(width=None, signal="cubic")
    assert completed(Newer, {"width": None}) == complete
    assert completed(Newer, {"width": None, "signal": None}) == complete  # a cell of a table
    assert completed(Newer, {"width": 2, "signal": "sine"}) == Newer(2, "sine")
    with pytest.raises(KeyError, match="width"):
        completed(Newer, {"signal": "sine"})
    with pytest.raises(TypeError, match="color"):
        completed(Newer, {"width": 2, "color": None})
