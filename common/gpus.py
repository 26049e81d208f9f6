"""The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them. Loads no TensorFlow."""

import os
import subprocess
from collections.abc import Mapping

# As CUDA reads the variable: whatever follows the first name that is none does not count.
_NONE = ("", "-1", "NoDevFiles")


def visible_gpus(environment: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """Returns the names of the GPUs: those of CUDA_VISIBLE_DEVICES, or else all that nvidia-smi lists.

    Args:
        environment: Where the variable is looked up; by default this process's.
    """
    environment = os.environ if environment is None else environment
    if (listed := environment.get("CUDA_VISIBLE_DEVICES")) is not None:
        names = [name.strip() for name in listed.split(",")]
        return tuple(names[: next((i for i, name in enumerate(names) if name in _NONE), len(names))])
    command = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(found.stdout.split())


def gpu_environment(gpus: tuple[str, ...]) -> dict[str, str]:
    """Returns the variables with which a process sees these GPUs and no other; none of them hides all."""
    # nvidia-smi numbers them by their place on the bus, CUDA by their speed unless it is told otherwise.
    order = os.environ.get("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    return {"CUDA_VISIBLE_DEVICES": ",".join(gpus), "CUDA_DEVICE_ORDER": order}
