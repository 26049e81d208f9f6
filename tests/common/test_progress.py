import io

import pytest

from common import progress
from common.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize(
    "seconds,text",
    [(0.4, "0 s"), (59.4, "59 s"), (60, "1 min 00 s"), (3599, "59 min 59 s"), (7500, "2 h 05 min")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_log_writes_a_line_a_minute_with_rate_and_time_left(clock):
    log = io.StringIO()
    bar = Progress("job", total=1000, stream=log)
    bar.skip(200)
    for _ in range(8):
        clock[0] += 20
        bar.add(50)
    bar.close()
    # 150 done in 60 s, 650 left at 2.5/s; 300 in 120 s, 500 left.
    assert log.getvalue().splitlines() == [
        "job: 35.0%, 2.5/s, 4 min 20 s left",
        "job: 50.0%, 2.5/s, 3 min 20 s left",
    ]


def test_terminal_has_one_line_that_is_cleared(clock):
    terminal = Terminal()
    bar = Progress("job", total=10, stream=terminal)
    clock[0] += 1
    bar.add(5)
    assert terminal.getvalue() == "\rjob: 50.0%, 5/s, 1 s left"
    bar.close()
    assert terminal.getvalue().endswith("\r" + " " * 25 + "\r")
    assert "\n" not in terminal.getvalue()
