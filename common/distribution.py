"""Where computation runs: the devices of this process, and replicas on them."""

import functools

import numpy as np
import tensorflow as tf

from .cluster import current_worker
from .cores import usable_cores


def num_cores() -> int:
    """Number of processor cores this process may use."""
    return len(usable_cores())


def ensemble_devices(strategy: str) -> list[str]:
    """Devices for independent models: every GPU, or else a logical CPU device for every core.

    Independent models need no communication, so each device runs its own program; one XLA program uses one
    core, hence a CPU device for each. Must be called before TensorFlow's devices are in use.

    Returns:
        Device names, one only for --strategy=one_device.
    """
    gpus = tf.config.list_physical_devices("GPU")
    count = 1 if strategy == "one_device" else len(gpus) or num_cores()
    if gpus:
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
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


def replica_strategy(name: str) -> tf.distribute.Strategy:
    """Returns the tf.distribute strategy that trains one model on several replicas of it.

    Must be called before TensorFlow's devices are in use. On a machine without a GPU, "mirrored" makes a
    replica on each of two or more logical CPU devices: for tests, since one replica uses all cores already.

    Args:
        name: One of `command_line.STRATEGIES`; "auto" mirrors over two or more GPUs, else takes one device.

    Raises:
        UserError: multi_worker without a usable TF_CONFIG.
    """
    gpus = tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    if name == "multi_worker":
        current_worker(name)
        return tf.distribute.MultiWorkerMirroredStrategy()
    if name == "mirrored" or (name == "auto" and len(gpus) > 1):
        if gpus:
            return tf.distribute.MirroredStrategy()
        return _mirrored_cpus(max(2, num_cores()))
    return tf.distribute.get_strategy()


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
