"""Sizes of the networks of Snapp & Shamir 2021, and which of them a GPU is for. Loads no TensorFlow."""

import itertools
import math

from replications.snapp_shamir.settings import Settings

NUM_FEATURES = 32
HIDDEN_UNITS = {
    "linear": (),
    "single": (1,),
    "double": (2,),
    "tower": (16, 8, 4, 2),
    "wide": (1000,),
    "quadratic": (1024, 512),
}
# A step of the smaller ensembles takes 8 to 340 us on two cores (`launch.benchmark`), a GPU some 5 us to
# begin each of its hundred and more operations. By that arithmetic, not by a measurement, 35
# weights lose there, and [1024, 512] with its half a million wins.
_GPU_PARAMETERS = 50_000


def weight_shapes(settings: Settings) -> list[tuple[int, ...]]:
    """Shapes of one model's weights, in the order of `build(settings).trainable_variables`."""
    sizes = [NUM_FEATURES, *HIDDEN_UNITS[settings.model], 1]
    shapes: list[tuple[int, ...]] = []
    if settings.model == "wide":
        shapes.append((2, NUM_FEATURES // 2, 2))
        sizes[0] = 4
    for inputs, outputs in itertools.pairwise(sizes):
        shapes += [(inputs, outputs), (outputs,)]
    return shapes


def num_parameters(settings: Settings) -> int:
    """Number of one model's weights."""
    return sum(math.prod(shape) for shape in weight_shapes(settings))


def fills_gpu(settings: Settings) -> bool:
    """Whether the models are large enough for a GPU to be faster than the processor."""
    return num_parameters(settings) >= _GPU_PARAMETERS
