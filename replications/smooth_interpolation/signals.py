"""The noise-free functions of figures 1a and 1b, on [-1, 1]; no TensorFlow."""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Signal:
    """A function of scalars, and how its noisy points are drawn.

    Args:
        function: Function of an array of inputs in [-1, 1].
        even: Whether the inputs of the points are evenly spaced, from -1 to 1; else they are uniform draws.
        noise: Standard deviation of the noise, by default.
    """

    function: Callable[[np.ndarray], np.ndarray]
    even: bool
    noise: float


SIGNALS = {
    # The pictures in the authors' repository (magamba/double_descent) have sin(x) on [0, 2 pi], about 20 even
    # points and noise of about 0.12; here that interval is [-1, 1].
    "sine": Signal(lambda x: np.sin(np.pi * (x + 1)), even=True, noise=0.12),
    # The example that the paper names (Nakkiran et al. 2019): the Legendre polynomial of degree 3.
    "cubic": Signal(lambda x: 2.5 * x**3 - 1.5 * x, even=False, noise=0.3),
}
