"""Progress of long jobs: one line on a terminal, a log line a minute otherwise."""

import sys
import time


def duration(seconds):
    """Writes a duration in seconds as 41 s, 3 min 20 s or 2 h 05 min."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


class Progress:
    """Shows how far a job is, its rate and the time left.

    Args:
        label: What is being done, a few words.
        total: The amount of work, in any unit.
        stream: Where to write; default: standard error.
    """

    def __init__(self, label, total, stream=None):
        self.label = label
        self._total = total
        self._first = self._done = 0
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._interval = 0.2 if self._terminal else 60.0
        self._started = self._shown = time.monotonic()
        self._width = 0

    def add(self, amount):
        """Counts finished work and shows it when it is time to."""
        self._done += amount
        now = time.monotonic()
        if now - self._shown >= self._interval:
            self._shown = now
            self._write(self._line(now))

    def skip(self, amount):
        """Counts work that needs not be done again; it does not count for the rate."""
        self._first += amount
        self._done += amount

    def _line(self, now):
        rate = (self._done - self._first) / max(now - self._started, 1e-9)
        left = duration((self._total - self._done) / rate) if rate else "unknown time"
        return f"{self.label}: {self._done / self._total:.1%}, {rate:,.3g}/s, {left} left"

    def _write(self, line):
        if self._terminal:
            self._stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
        else:
            self._stream.write(line + "\n")
        self._stream.flush()

    def close(self):
        """Clears the terminal's line."""
        if self._terminal and self._width:
            self._stream.write("\r" + " " * self._width + "\r")
            self._stream.flush()
            self._width = 0
