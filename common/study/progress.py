"""Progress of long jobs: one line on a terminal, a log line a minute otherwise."""

import os
import shutil
import sys
import time
from typing import TextIO


def duration(seconds: float) -> str:
    """Writes a duration in seconds as 41 s, 3 min 20 s or 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Progress:
    """Shows how far a job is, its rate and the time left.

    The rate is that of the work after the first piece, which includes what is compiled for it.

    Args:
        label: What is being done, a few words.
        total: The amount of work.
        unit: What it is counted in, such as "images"; None for an amount whose rate says nothing.
        stream: Where to write; default: standard error.
    """

    def __init__(self, label: str, total: int, unit: str | None = None, stream: TextIO | None = None) -> None:
        self.label = label
        self._total = total
        self._unit = unit
        self._done = self._skipped = self._first = 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._interval = 0.2 if self._terminal else 60.0
        self._started: float | None = None
        self._shown = time.monotonic()
        self._width = 0

    def add(self, amount: int) -> None:
        """Counts finished work and shows it when it is time to."""
        self._done += amount
        now = time.monotonic()
        if self._started is None:
            self._started, self._first = now, amount
        if now - self._shown >= self._interval:
            self._shown = now
            self._write(self._line(now))

    def skip(self, amount: int) -> None:
        """Counts work that needs not be done again; it does not count for the rate."""
        self._skipped += amount
        self._done += amount

    def _line(self, now):
        rate = (self._done - self._skipped - self._first) / max(now - self._started, 1e-9)
        left = duration((self._total - self._done) / rate) if rate else "unknown time"
        numbers = f"{self._done / self._total:.1%}, "
        if self._unit and rate:
            numbers += f"{rate:,.3g} {self._unit}/s, "
        return self._fitted(f"{numbers}{left} left")

    def _fitted(self, numbers):
        """The line of the numbers, with as much of the label as the terminal has room for."""
        room = self._columns() - 1 - len(f": {numbers}") if self._terminal else len(self.label)
        if len(self.label) <= room:
            return f"{self.label}: {numbers}"
        if room > len("..."):
            return f"{self.label[: room - 3]}...: {numbers}"
        return numbers[: self._columns() - 1]

    def _columns(self):
        try:
            return os.get_terminal_size(self._stream.fileno()).columns or 80
        except (OSError, ValueError):
            return shutil.get_terminal_size().columns

    def _write(self, line):
        if self._terminal:
            # A terminal that was made narrower must not wrap.
            self._stream.write("\r" + line.ljust(min(self._width, self._columns() - 1)))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Clears the terminal's line."""
        if self._terminal and self._width:
            self._stream.write("\r" + " " * min(self._width, self._columns() - 1) + "\r")
            self._stream.flush()
            self._width = 0
