import gc
import os
import signal

import hypothesis
import pytest

from common.study.startup import prefer_onednn

# No test is timed: a busy machine is slower than any deadline.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
# What TensorFlow makes are millions of objects, which the garbage collector looks through too often.
gc.set_threshold(100_000, 20, 100)
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# As the programs do.
prefer_onednn()
# A shell that starts the tests in the background makes them, and the programs that they start, ignore
# Ctrl-C: a test that interrupts one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def programs_are_shared():
    """Tests that train the same small network share its compiled programs."""
    from common import caching

    caching.MOST = 6


@pytest.fixture(scope="session", autouse=True)
def no_disk_is_waited_for():
    """What a test writes need not outlast a power failure; the tests of `fsync` bring their own."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda descriptor: None)
    yield
    patch.undo()


@pytest.fixture(scope="session", autouse=True)
def two_devices():
    """Two logical CPU devices, as the programs configure them, before anything uses TensorFlow."""
    from common.distribution import logical_cpu_devices

    logical_cpu_devices(2)


def pytest_runtest_setup(item):
    """Leaves tests of bfloat16 out where oneDNN is held below the processor: TensorFlow crashes there."""
    if "bfloat16" in item.name and os.environ.get("ONEDNN_MAX_CPU_ISA"):
        pytest.skip("TensorFlow computes in bfloat16 by what ONEDNN_MAX_CPU_ISA forbids")
