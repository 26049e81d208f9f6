import io

import pytest

from common.study import progress
from common.study.progress import Progress, duration


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
    bar = Progress("job", total=1000, unit="images", stream=log)
    bar.skip(200)
    for _ in range(8):
        clock[0] += 20
        bar.add(50)
    bar.close()
    # After the first 50, 100 in 40 s, 650 left at 2.5/s; 250 in 100 s, 500 left.
    assert log.getvalue().splitlines() == [
        "job: 35.0%, 2.5 images/s, 4 min 20 s left",
        "job: 50.0%, 2.5 images/s, 3 min 20 s left",
    ]


def test_compilation_within_the_first_piece_does_not_count(clock):
    terminal = Terminal()
    bar = Progress("job", total=1000, unit="steps", stream=terminal)
    clock[0] += 100  # 10 steps, and what is compiled for them
    bar.add(10)
    assert terminal.getvalue() == "\rjob: 1.0%, unknown time left"
    clock[0] += 1
    bar.add(90)
    assert terminal.getvalue().endswith("\rjob: 10.0%, 90 steps/s, 10 s left")


def test_terminal_has_one_line_that_is_cleared(clock):
    terminal = Terminal()
    bar = Progress("job", total=10, stream=terminal)
    bar.add(0)
    clock[0] += 1
    bar.add(5)
    assert terminal.getvalue() == "\rjob: 50.0%, 1 s left"
    bar.close()
    assert terminal.getvalue().endswith("\r" + " " * 20 + "\r")
    assert "\n" not in terminal.getvalue()


LABEL = "run 12 of 45 model=double activation=identity init=distinct shuffle_log2=20"
NUMBERS = "50.0%, 1.2e+06 examples/s, 1 s left"


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        (200, f"{LABEL}: {NUMBERS}"),
        (len(LABEL) + len(NUMBERS) + 3, f"{LABEL}: {NUMBERS}"),
        # 59 columns, 35 of them numbers, 2 for the colon, 22 for the label.
        (60, f"run 12 of 45 model=...: {NUMBERS}"),
        (40, NUMBERS),
        (20, NUMBERS[:19]),
    ],
)
def test_a_line_is_never_as_wide_as_the_terminal(clock, monkeypatch, columns, line):
    monkeypatch.setenv("COLUMNS", str(columns))
    terminal = Terminal()
    bar = Progress(LABEL, total=2_400_000, unit="examples", stream=terminal)
    bar.add(0)
    clock[0] += 1
    bar.add(1_200_000)
    assert terminal.getvalue() == "\r" + line
    assert len(line) < columns
    bar.close()
    assert all(len(part) < columns for part in terminal.getvalue().split("\r"))


def test_a_log_keeps_the_whole_label(clock, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    log = io.StringIO()
    bar = Progress(LABEL, total=10, stream=log)
    clock[0] += 60
    bar.add(5)
    assert log.getvalue() == f"{LABEL}: 50.0%, unknown time left\n"
