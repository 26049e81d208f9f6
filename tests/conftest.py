import os

import hypothesis
import pytest

# No test is timed: a busy machine is slower than any deadline.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture(scope="session", autouse=True)
def two_devices():
    """Two logical CPU devices, as the programs configure them, before anything uses TensorFlow."""
    from common.distribution import logical_cpu_devices

    logical_cpu_devices(2)
