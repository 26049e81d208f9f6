import os
import signal

import hypothesis
import pytest

# No test is timed: a busy machine is slower than any deadline.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A shell that starts the tests in the background makes them, and the programs that they start, ignore
# Ctrl-C: a test that interrupts one would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def two_devices():
    """Two logical CPU devices, as the programs configure them, before anything uses TensorFlow."""
    from common.distribution import logical_cpu_devices

    logical_cpu_devices(2)
