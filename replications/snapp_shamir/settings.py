"""Settings of Snapp & Shamir 2021: one dataclass, its defaults (the paper's) and its limits.

Sections, equations and figures are those of arXiv 2102.10696. Importing this module loads no TensorFlow, so
that wrong flags are refused at once.
"""

import dataclasses
import functools

from common.errors import UserError
from common.program import Replication
from common.setting import POSITIVE, SEED, Limits, check_limits, filled, setting

PROTOCOL_VERSION = 1

MODELS = ("linear", "single", "double", "tower", "wide", "quadratic")
ACTIVATIONS = ("identity", "relu", "smelu", "swish")
MAX_EXAMPLES_LOG2 = 31  # positions are uint32


def _has_beta(settings):
    return settings.activation in ("smelu", "swish")


@dataclasses.dataclass(frozen=True)
class Settings:
    """One experimental setting: all pairs of one model at one shuffling window.

    Fields that are None take a default that depends on other fields; `resolve` fills them in.
    """

    model: str = setting(
        "single",
        "Network: linear (eq. 4), single or double hidden unit (eq. 5, 6), tower [16, 8, 4, 2] (fig. 5a), "
        "wide embedding (fig. 5b), or quadratic [1024, 512] (sec. 6).",
        choices=MODELS,
    )
    data: str | None = setting(
        None,
        "True model of the data; by default quadratic for the quadratic model and linear otherwise.",
        choices=("linear", "quadratic"),
    )
    activation: str | None = setting(
        None,
        "Activation of the hidden units; by default relu (the linear model has none).",
        choices=ACTIVATIONS,
        used=lambda settings: settings.model != "linear",
        needs="a --model with hidden units",
    )
    beta: float | None = setting(
        None,
        "Width of SmeLU's quadratic part, or slope of Swish; by default 1, and only with smelu or swish.",
        used=_has_beta,
        needs="--activation=smelu or swish",
        limits=POSITIVE,
    )
    optimizer: str = setting(
        "adagrad",
        "Optimizer: adagrad with accumulator 0.1, or sgd with momentum 0.9 and the learning rate divided by "
        "1 + 0.001 t at step t (sec. 2).",
        choices=("adagrad", "sgd"),
    )
    learning_rate: float = setting(
        0.1,
        "Learning rate; the paper uses 0.1 and 1.0 with adagrad, 0.1 and 0.01 with sgd.",
        limits=POSITIVE,
    )
    init: str = setting(
        "identical",
        "Whether the two models of a pair start from identical or distinct weights.",
        choices=("identical", "distinct"),
    )
    shuffle_log2: int = setting(
        0, "Logarithm (base 2) of the shuffling window z, in mini-batches; the paper sweeps 0 to 20."
    )
    examples_log2: int = setting(
        26,
        "Logarithm (base 2) of the number of training examples, seen once each.",
        limits=Limits(0, MAX_EXAMPLES_LOG2),
    )
    pairs: int = setting(
        16, "Number of model pairs; every pair has its own data sequence.", limits=Limits(1, 2**16)
    )
    batch_size: int = setting(32, "Examples in a mini-batch, a power of two.")
    evaluation_log2: int = setting(
        16, "Logarithm (base 2) of the number of evaluation examples of each pair.", limits=Limits(0, 24)
    )
    evaluate_every_log2: int | None = setting(
        None,
        "Also evaluate along the way, whenever the number of examples seen is a power of two from two to "
        "this power on; by default only at the end.",
    )
    batch_order: str = setting(
        "shuffled",
        "Order of the examples inside a mini-batch: shuffled differently for the two models of a pair, or "
        "fixed (only with a window of one mini-batch).",
        choices=("shuffled", "fixed"),
    )
    warm_start: bool = setting(
        False, "Train a donor for each pair first and start both of its models from it (sec. 6, TL)."
    )
    warm_start_learning_rate: float | None = setting(
        None,
        "Learning rate after a warm start; by default a tenth of the learning rate.",
        used=lambda settings: settings.warm_start,
        needs="--warm_start",
        limits=POSITIVE,
    )
    precision: str = setting(
        "float32",
        "Arithmetic of training; evaluation is always in float64.",
        choices=("float32", "float64"),
    )
    seed: int = setting(0, "Root seed of every random stream.", limits=SEED)

    @property
    def num_steps(self):
        """Mini-batches of the whole run."""
        return 2**self.examples_log2 // self.batch_size

    def resolve(self):
        """Returns these settings with every default filled in.

        Raises:
            UserError: A value is outside its limits or does not go with another one.
        """
        defaults = {
            "data": "quadratic" if self.model == "quadratic" else "linear",
            "activation": "identity" if self.model == "linear" else "relu",
        }
        resolved = filled(self, defaults)
        if _has_beta(resolved):
            resolved = filled(resolved, {"beta": 1.0})
        if resolved.warm_start:
            resolved = filled(resolved, {"warm_start_learning_rate": self.learning_rate / 10})
        check_limits(resolved)
        resolved._check_sizes()
        resolved._check_combinations()
        return resolved

    def _check_sizes(self):
        batch_log2 = self.batch_size.bit_length() - 1
        if self.batch_size < 1 or 2**batch_log2 != self.batch_size:
            raise UserError(
                f"--batch_size={self.batch_size}: does not divide the 2^{self.examples_log2} training "
                f"examples; take a power of two"
            )
        largest = self.examples_log2 - batch_log2
        if largest < 0:
            raise UserError(
                f"--batch_size={self.batch_size}: larger than the data, 2^{self.examples_log2} examples"
            )
        if not 0 <= self.shuffle_log2 <= largest:
            raise UserError(
                f"--shuffle_log2={self.shuffle_log2}: must be from 0 to {largest}; the largest window is all "
                f"2^{largest} mini-batches of {self.batch_size}"
            )
        every = self.evaluate_every_log2
        if every is not None and not batch_log2 <= every <= self.examples_log2:
            raise UserError(
                f"--evaluate_every_log2={every}: must be from {batch_log2} (one mini-batch) to "
                f"{self.examples_log2} (all examples)"
            )

    def _check_combinations(self):
        if self.beta is not None and not _has_beta(self):
            raise UserError(f"--beta={self.beta}: {self.activation} has no beta; smelu and swish do")
        if self.model == "linear" and self.activation != "identity":
            raise UserError(
                f"--activation={self.activation}: the linear model has no hidden unit to activate"
            )
        if self.warm_start_learning_rate is not None and not self.warm_start:
            raise UserError("--warm_start_learning_rate: only with --warm_start")
        if self.warm_start and self.init == "distinct":
            raise UserError("--init=distinct: a warm start gives both models of a pair the donor's weights")
        if self.batch_order == "fixed" and self.shuffle_log2:
            raise UserError(
                f"--batch_order=fixed: only with --shuffle_log2=0; a window of 2^{self.shuffle_log2} "
                "mini-batches reorders the examples anyway"
            )


# Microseconds of one step of 32 models on two cores (batch 32, AdaGrad), data included.
_STEP_MICROSECONDS = {
    "linear": 11,
    "single": 11,
    "double": 15,
    "tower": 80,
    "wide": 400,
    "quadratic": 18000,
}


def estimate(settings):
    """Seconds that a run takes on two cores, start-up and compilation included; an estimate."""
    share = 2 * settings.pairs / 32 * settings.batch_size / 32
    seconds = settings.num_steps * share * _STEP_MICROSECONDS[settings.model] * 1e-6
    return 5 + seconds * (1.5 if settings.warm_start else 1)


# The largest window of a scaled preset stays half of the data, as 2^20 of 2^21 mini-batches in the paper.
_SCALES = {
    "paper": {"examples_log2": 26},
    "laptop": {"examples_log2": 22},
    "smoke": {"examples_log2": 14, "pairs": 4, "evaluation_log2": 12},
}
_QUADRATIC_SCALES = {
    "paper": {"examples_log2": 26},
    "laptop": {"examples_log2": 20, "pairs": 4},
    "smoke": {"examples_log2": 10, "pairs": 1, "evaluation_log2": 10},
}
_WINDOWS = {"paper": (0, 5, 10, 15, 20), "laptop": (0, 4, 8, 12, 16), "smoke": (0, 8)}
_QUADRATIC_WINDOWS = {"paper": (0, 5, 10, 15, 20), "laptop": (0, 7, 14), "smoke": (0, 4)}
# Section 3 speaks of "time series evaluations".
_SERIES = {"paper": 16, "laptop": 16, "smoke": 12}
# Below the paper's scale every second one, which keeps the range.
_SMELU_BETAS = (0.1, 0.25, 0.5, 1.0, 2.0)
_SWISH_BETAS = (0.5, 1.0, 2.0, 5.0, 10.0)
_OPTIMIZERS = (("adagrad", 0.1), ("adagrad", 1.0), ("sgd", 0.1), ("sgd", 0.01))


def _small(scale, **values):
    """Linear data and one of the smallest models, measured along the way."""
    return Settings(evaluate_every_log2=_SERIES[scale], **_SCALES[scale], **values)


def _figure_2(scale):
    models = [{"model": "linear"}]
    for activation in ("identity", "relu"):
        models += [{"model": m, "activation": activation} for m in ("single", "double")]
    return [
        _small(scale, **model, init=init, shuffle_log2=z)
        for model in models
        for init in ("identical", "distinct")
        for z in _WINDOWS[scale]
    ]


def _figure_3(scale):
    last = _WINDOWS[scale][-1]
    relu2 = {"model": "double", "activation": "relu"}
    return [
        _small(scale, model="linear", init="distinct", shuffle_log2=last),
        _small(scale, model="linear", init="distinct", shuffle_log2=0),
        _small(scale, model="single", activation="identity", init="distinct", shuffle_log2=0),
        _small(scale, model="double", activation="identity", shuffle_log2=last),
        # The caption names one ReLU panel, the text two: minimum and maximum shuffle.
        _small(scale, **relu2, shuffle_log2=0),
        _small(scale, **relu2, shuffle_log2=last),
    ]


def _figure_4(scale):
    ends = (0, _WINDOWS[scale][-1])
    return [_small(scale, model="single", activation="relu", shuffle_log2=z) for z in ends]


def _figure_6(scale):
    return [
        Settings(model="tower", activation=activation, shuffle_log2=z, **_SCALES[scale])
        for activation in ("identity", "relu", "smelu", "swish")
        for z in _WINDOWS[scale]
    ]


def _figure_7(scale):
    return [s for s in _figure_6(scale) if s.activation == "relu" and s.shuffle_log2 == 0]


def _figure_8(scale):
    settings = [Settings(model="linear", shuffle_log2=z, **_SCALES[scale]) for z in _WINDOWS[scale]]
    for optimizer, rate in _OPTIMIZERS:
        size = dict(_SCALES[scale])
        if scale == "laptop" and (optimizer, rate) != ("adagrad", 0.1):
            size["pairs"] = 8
        settings += [
            Settings(
                model="wide",
                activation=activation,
                optimizer=optimizer,
                learning_rate=rate,
                shuffle_log2=z,
                **size,
            )
            for activation in ("identity", "relu", "smelu", "swish")
            for z in _WINDOWS[scale]
        ]
    return settings


def _figure_9(scale):
    z = 8 if scale == "smoke" else 10
    return [Settings(model="wide", activation="relu", shuffle_log2=z, **_SCALES[scale])]


def _figure_10(scale):
    every = 1 if scale == "paper" else 2
    variants = [
        {"model": "linear", "data": "quadratic"},
        {"activation": "identity"},
        {"activation": "relu"},
        {"activation": "relu", "warm_start": True},
        *({"activation": "smelu", "beta": beta} for beta in _SMELU_BETAS[::every]),
        *({"activation": "swish", "beta": beta} for beta in _SWISH_BETAS[::every]),
    ]
    return [
        Settings(**({"model": "quadratic"} | variant), shuffle_log2=z, **_QUADRATIC_SCALES[scale])
        for variant in variants
        for z in _QUADRATIC_WINDOWS[scale]
    ]


def _figure_sources(scale):
    """Beyond the paper: each source of irreproducibility alone and together."""
    last = _WINDOWS[scale][-1]
    return [
        _small(scale, **model, init=init, batch_order=order, shuffle_log2=z)
        for model in (
            {"model": "linear"},
            {"model": "double", "activation": "relu"},
            {"model": "double", "activation": "smelu"},
        )
        for init in ("identical", "distinct")
        for order, z in (("fixed", 0), ("shuffled", 0), ("shuffled", last))
    ]


_FIGURES = {
    "2": _figure_2,
    "3": _figure_3,
    "4": _figure_4,
    "6": _figure_6,
    "7": _figure_7,
    "8": _figure_8,
    "9": _figure_9,
    "10": _figure_10,
    "sources": _figure_sources,
}


def figure(name, scale):
    """Returns the settings of every run of a figure of the paper, or of our figure "sources".

    Args:
        name: A key of `REPLICATION.figures`.
        scale: "paper": the published protocol; "laptop": fewer examples (and pairs, for figures 8 and 10);
            "smoke": seconds, for tests.
    """
    return _FIGURES[name](scale)


@functools.cache
def _with_weights() -> frozenset:
    """Settings of the runs whose weights figures show, or claims compare: those of one linear hidden unit."""
    shown = (s for name in ("3", "4", "7", "9") for scale in _SCALES for s in figure(name, scale))
    compared = (s for scale in _SCALES for s in figure("2", scale) if s.model == "single")
    return frozenset(
        settings.resolve() for settings in (*shown, *(s for s in compared if s.activation == "identity"))
    )


def _keeps_array(settings: Settings, name: str) -> bool:
    return dataclasses.replace(settings, seed=0) in _with_weights()


REPLICATION = Replication(
    name="snapp_shamir",
    settings=Settings,
    protocol_version=PROTOCOL_VERSION,
    figures=tuple(_FIGURES),
    figure=figure,
    estimate=estimate,
    swept="shuffle_log2",
    named_by="model activation beta init optimizer learning_rate batch_order warm_start examples_log2 "
    "shuffle_log2 seed",
    keeps_array=_keeps_array,
)
