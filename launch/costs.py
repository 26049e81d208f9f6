"""What `launch.benchmark --costs` measures: operations a second of each network of the suites, here.

Each network trains as a run does; its rate is kept for the plans of `--dry_run` (`common.study.costs`).
"""

from collections.abc import Callable, Iterable

import tensorflow as tf

from common.distribution import ensemble_devices
from common.errors import UserError
from common.machine import usable_cores
from common.study import costs, interruption
from common.training.operations import training_operations
from launch import benchmark, ensemble_benchmark, image_benchmark
from replications.snapp_shamir.engine import tile_size
from replications.snapp_shamir.models import build
from replications.snapp_shamir.settings import MODELS, Settings
from replications.snapp_shamir.sizes import fills_gpu


def _ensemble(model):
    """The engine on a model of Snapp & Shamir, its devices, and the operations of an example."""
    settings = Settings(model=model, shuffle_log2=20).resolve()
    devices = ensemble_devices("auto", fills_gpu=fills_gpu(settings))
    stream, members = ensemble_benchmark.stream_and_members(settings)
    tile = tile_size(settings, devices, len(members))
    engine = ensemble_benchmark.Engine(settings, stream, members, devices, tile)
    return engine, devices[0], training_operations(build(settings))


def _image_network(name):
    """Our loop on an image network, its device, and the operations of an example."""
    loop = image_benchmark.Loop(name)
    device = "GPU" if tf.config.get_visible_devices("GPU") else "CPU"
    return loop, device, training_operations(loop.trainer.model)


def networks() -> dict[str, Callable]:
    """Returns what can be measured: name -> function that builds it."""
    return dict.fromkeys(MODELS, _ensemble) | dict.fromkeys(image_benchmark.NETWORKS, _image_network)


def key_of(name: str) -> str:
    """Returns the name under which a network's rate is kept: "convnet_w16" -> "convnet 16"."""
    family, _, size = name.rpartition("_")
    # Of `mlp_3x512` all is its name.
    return f"{family} {size[1:]}" if size[:1] in ("w", "k") and size[1:].isdigit() else name


def measure(names: Iterable[str], seconds: float) -> None:
    """Measures networks, prints the rate of each, and keeps it.

    Args:
        names: Keys of `networks`.
        seconds: About how long each of three repetitions takes.
    """
    known = networks()
    for name in names:
        interruption.check()
        contender, device, operations = known[name](name)
        kind = "GPU" if "GPU" in device else "CPU"
        machine = costs.Machine(kind, len(usable_cores()) if kind == "CPU" else 1)
        found = benchmark.measure([contender], seconds)[contender.name]
        rate = found["examples_models_per_second"] * operations
        print(
            f"{name}: {found['examples_models_per_second']:,.3g}/s of {operations:,.3g} operations: "
            f"{rate / 1e9:,.3g} billion a second on {machine.name}, {machine.cores} cores",
            flush=True,
        )
        if not costs.keep(machine.name, {key_of(name): rate / machine.cores}):
            raise UserError(f"{costs.cache_path()}: cannot be written, so that no rate is kept")
    print(f"kept in {costs.cache_path()}")
