"""Ctrl-C and SIGTERM, obeyed where it is safe to stop.

Python raises KeyboardInterrupt between any two of its instructions, also within those that native code calls
back; TensorFlow may crash on that. So nothing is raised in the midst of work:

- by default a signal ends the process at once, with one line: no work is in progress, nothing can be lost;
- within `deferred()` it is noted, and `check()`, called between two blocks of work, raises KeyboardInterrupt.

A second signal ends the process at once, and so does the first if no `check()` comes in time. That loses what
a kill would: every file is replaced whole, and a run goes on from its last checkpoint. A thread waits for the
signals, because handlers written in Python have to wait until native code returns.
"""

import contextlib
import os
import select
import signal
import threading
from collections.abc import Iterator

STATUS = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_GRACE_SECONDS = 10.0


def _duplicate(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError:  # it is closed
        return os.open(os.devnull, os.O_WRONLY)


class _Listener:
    """Waits for signals in a thread until it is closed.

    Args:
        message: The line that is written to standard error when a signal ends the process.
    """

    def __init__(self, message: str) -> None:
        self.received = threading.Event()
        self.deferring = False
        self.message = message
        # Standard error is redirected while TensorFlow is imported.
        self._stderr = _duplicate(2)
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._handlers = {}
        for number in _SIGNALS:
            # A program that was started to run on after Ctrl-C, as by nohup, does.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, lambda *_: None)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Gives the signals back to whoever had them."""
        signal.set_wakeup_fd(self._wakeup)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        os.close(self._writer)
        self._thread.join()
        os.close(self._reader)
        os.close(self._stderr)

    def _listen(self) -> None:
        while byte := os.read(self._reader, 1):
            if byte[0] not in self._handlers:
                continue
            if self.deferring and not self.received.is_set():
                self.received.set()
                if not select.select([self._reader], [], [], _GRACE_SECONDS)[0]:
                    self._end()
            else:
                self._end()

    def _end(self) -> None:
        start = "\r\x1b[K" if os.isatty(self._stderr) else ""
        with contextlib.suppress(OSError):
            os.write(self._stderr, f"{start}{self.message}\n".encode())
        os._exit(STATUS)


_listener: _Listener | None = None


def last_line(name: str, goes_on: bool = True) -> str:
    """Returns what an interrupted program says.

    Args:
        name: Name of the program.
        goes_on: Whether the same command goes on with what was interrupted.
    """
    return f"{name}: interrupted" + "; the same command goes on" * goes_on


def listen(name: str, goes_on: bool = True) -> None:
    """Obeys signals as the module says, to the end of the process; arguments as for `last_line`."""
    global _listener
    _listener = _Listener(last_line(name, goes_on))


@contextlib.contextmanager
def listening(name: str, goes_on: bool = True) -> Iterator[None]:
    """Obeys signals within the block; in a process that listens already it changes what is said alone."""
    global _listener
    is_main = threading.current_thread() is threading.main_thread()
    listener = _listener or (_Listener("") if is_main else None)
    if listener is None:  # only the main thread may handle signals
        yield
        return
    outer, listener.message = listener.message, last_line(name, goes_on)
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener, listener.message = before, outer
        if before is None:
            listener.close()


@contextlib.contextmanager
def deferred() -> Iterator[None]:
    """Within the block a signal waits for the next `check()`, at the latest for the block's end.

    Raises:
        KeyboardInterrupt: At the end of the block, if a signal came.
    """
    if _listener is None or _listener.deferring:
        yield
        return
    _listener.deferring = True
    try:
        yield
        check()
    finally:
        _listener.deferring = False


def check() -> None:
    """Ends the work in progress if a signal came; called between two blocks of it.

    Raises:
        KeyboardInterrupt: A signal came.
    """
    if _listener and _listener.received.is_set():
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """Sleeps, but not through a signal.

    Raises:
        KeyboardInterrupt: A signal came.
    """
    if _listener is None:
        threading.Event().wait(seconds)
        return
    _listener.received.wait(seconds)
    check()
