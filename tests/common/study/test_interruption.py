import os
import signal
import subprocess
import sys

import pytest

from common.study import interruption

SIGNALS = (signal.SIGINT, signal.SIGTERM)
SCRIPT = """
import sys, time
from common.study import interruption
from common.study.command_line import exit_status

interruption._GRACE_SECONDS = {grace}
with exit_status("script", goes_on={goes_on}):
    {body}
"""


def start(body, grace=10.0, goes_on=True):
    """A process that has printed "ready" when its body prints it; its SIGINT is not ignored."""
    code = SCRIPT.format(body=body, grace=grace, goes_on=goes_on)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "ready\n"
    return process


def end(process):
    output, error = process.communicate(timeout=30)
    return process.returncode, output, error


READY = "print('ready', flush=True)"
NOTED = "interruption._listener.received.wait(); print('noted', flush=True)"
FOR_EVER = 3600.0
LINE = "script: interrupted; the same command goes on\n"


@pytest.mark.parametrize("number", SIGNALS)
def test_before_a_run_a_signal_ends_the_process_at_once(number):
    process = start(f"{READY}; time.sleep(60); print('slept')")
    process.send_signal(number)
    assert end(process) == (130, "", LINE)


def test_a_program_that_does_not_go_on_does_not_say_so():
    process = start(f"{READY}; time.sleep(60)", goes_on=False)
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", "script: interrupted\n")


WORK = """
    with interruption.deferred():
        for block in range(600):
            interruption.check()
            if block == 0:
                print('ready', flush=True)
            time.sleep(0.1)
            print('block', flush=True)
"""


@pytest.mark.parametrize("number", SIGNALS)
def test_within_a_run_the_block_is_finished(number):
    process = start(WORK, grace=FOR_EVER)
    process.send_signal(number)
    status, output, error = end(process)
    assert (status, error) == (130, LINE)
    assert 1 <= output.count("block") < 600


def test_a_second_signal_ends_a_block_at_once():
    process = start(
        f"""
    with interruption.deferred():
        {READY}
        {NOTED}
        time.sleep(600)
        print('block')
""",
        grace=FOR_EVER,
    )
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "noted\n"
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", LINE)


def test_a_block_without_end_is_left_after_a_while():
    process = start(
        f"""
    with interruption.deferred():
        {READY}
        time.sleep(60)
""",
        grace=0.2,
    )
    process.send_signal(signal.SIGTERM)
    assert end(process) == (130, "", LINE)


def test_a_signal_in_the_last_block_is_not_forgotten():
    process = start(f"""
    with interruption.deferred():
        {READY}
        {NOTED}
    print('further work')
""")
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "noted\n", LINE)


def test_it_does_not_sleep_through_a_signal():
    process = start(
        f"""
    with interruption.deferred():
        {READY}
        interruption.sleep(600)
""",
        grace=FOR_EVER,
    )
    process.send_signal(signal.SIGINT)
    assert end(process) == (130, "", LINE)


def test_a_signal_that_was_ignored_from_the_start_stays_ignored():
    code = SCRIPT.format(body=f"{READY}; time.sleep(0.5); print('went on')", grace=10, goes_on=True)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0] == "went on\n"
    assert process.returncode == 0


def test_without_a_program_nothing_is_listened_to():
    before = signal.getsignal(signal.SIGINT)
    with interruption.deferred():
        interruption.check()
        interruption.sleep(0.0)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_listener_gives_everything_back():
    handlers = [signal.getsignal(number) for number in SIGNALS]
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with interruption.listening("outer"), interruption.listening("inner"):
            assert [signal.getsignal(number) for number in SIGNALS] != handlers
    assert [signal.getsignal(number) for number in SIGNALS] == handlers
    assert len(os.listdir("/proc/self/fd")) == descriptors
