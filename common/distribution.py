"""Where computation runs: the devices of this process, and replicas on them."""

import functools

import numpy as np
import tensorflow as tf

from .cluster import current_worker, in_tf_config, step_ports
from .errors import UserError
from .machine import usable_cores


def num_cores() -> int:
    """Number of processor cores this process may use."""
    return len(usable_cores())


def usable_gpus(device: str) -> list[tf.config.PhysicalDevice]:
    """Returns the GPUs of this process, which from now on take only the memory that they need.

    Args:
        device: One of `command_line.DEVICES`; "cpu" has none.

    Raises:
        UserError: "gpu", and TensorFlow finds none.
    """
    gpus = [] if device == "cpu" else tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise UserError("--device=gpu: TensorFlow finds no GPU; python -m launch.doctor --gpu says why")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return gpus


def ensemble_devices(strategy: str, device: str = "auto", fills_gpu: bool = True) -> list[str]:
    """Devices for independent models: every GPU, or else a logical CPU device for every core.

    Independent models need no communication, so each device runs its own program; one XLA program uses one
    core, hence a CPU device for each. Must be called before TensorFlow's devices are in use.

    Args:
        strategy: One of `command_line.STRATEGIES`.
        device: One of `command_line.DEVICES`.
        fills_gpu: Whether the models are large enough for a GPU; what "auto" goes by.

    Returns:
        Device names, one only for --strategy=one_device.

    Raises:
        UserError: A GPU is asked for, and there is none.
    """
    gpus = usable_gpus(device if fills_gpu or device == "gpu" else "cpu")
    count = 1 if strategy == "one_device" else len(gpus) or num_cores()
    if gpus:
        return [f"/GPU:{i}" for i in range(count)]
    logical_cpu_devices(count)
    return [f"/CPU:{i}" for i in range(count)]


def logical_cpu_devices(count: int) -> None:
    """Splits the CPU into `count` logical devices, once in a process.

    Raises:
        RuntimeError: TensorFlow already runs with fewer.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    configured = tf.config.get_logical_device_configuration(cpu)
    if configured is not None and len(configured) >= count:
        return
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    )


def replica_strategy(name: str, device: str = "auto") -> tf.distribute.Strategy:
    """Returns the tf.distribute strategy that trains one model on several replicas of it.

    Must be called before TensorFlow's devices are in use. On a machine without a GPU, "mirrored" makes a
    replica on each of two or more logical CPU devices: for tests, since one replica uses all cores already.

    Args:
        name: One of `command_line.STRATEGIES`; "auto" mirrors over two or more GPUs, else takes one device.
        device: One of `command_line.DEVICES`.

    Raises:
        UserError: multi_worker without a usable cluster, or a GPU is asked for and there is none.
    """
    gpus = usable_gpus(device)
    if device == "cpu":
        tf.config.set_visible_devices([], "GPU")
    if name == "multi_worker":
        current_worker(name)
        return _multi_worker()
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        if gpus:
            return _mirrored_gpus(len(gpus))
        return _mirrored_cpus(max(2, num_cores()))
    return tf.distribute.get_strategy()


class _StepResolver(tf.distribute.cluster_resolver.SlurmClusterResolver):
    """The tasks of a Slurm step as a cluster; each uses the GPUs that Slurm shows it."""

    def __init__(self) -> None:
        # Numbers of GPUs only keep it from asking nvidia-smi, or dividing by none; it is to set nothing.
        most = max(self._resolve_task_configuration().values())
        super().__init__(port_base=step_ports(), gpus_per_node=most, gpus_per_task=1, auto_set_gpu=False)

    def num_accelerators(
        self, task_type: str | None = None, task_id: int | None = None, config_proto: object = None
    ) -> dict[str, int]:
        """Returns the number of GPUs of this process."""
        return {"GPU": len(tf.config.get_visible_devices("GPU"))}


# A process has one server in its cluster; all its runs train on it.
@functools.cache
def _multi_worker():
    return tf.distribute.MultiWorkerMirroredStrategy(None if in_tf_config() else _StepResolver())


@functools.cache
def _mirrored_gpus(count):
    # Without names it would take those of a TF_CONFIG that is left in the environment.
    return tf.distribute.MirroredStrategy([f"/GPU:{i}" for i in range(count)])


@functools.lru_cache
def _mirrored_cpus(count):
    logical_cpu_devices(count)
    # TensorFlow's own reduction for CPU devices aborts when a process makes a second strategy.
    return tf.distribute.MirroredStrategy(
        [f"/CPU:{i}" for i in range(count)], cross_device_ops=tf.distribute.ReductionToOneDevice()
    )


def on_replicas(
    strategy: tf.distribute.Strategy, value: np.ndarray
) -> tf.Tensor | tf.distribute.DistributedValues:
    """Puts a copy of an array on the device of every replica of this process.

    Args:
        strategy: Of which the replicas are.
        value: What is copied.

    Returns:
        What `strategy.run` takes as an argument: each replica sees its copy.
    """
    if strategy.num_replicas_in_sync == 1:
        return tf.constant(value)
    devices = strategy.extended.worker_devices

    def place(context):
        with tf.device(devices[context.replica_id_in_sync_group % len(devices)]):
            return tf.constant(value)

    return strategy.experimental_distribute_values_from_function(place)
