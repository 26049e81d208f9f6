"""Settings of Snapp & Shamir 2021: one dataclass, its defaults (the paper's) and its limits.

Sections, equations and figures are those of arXiv 2102.10696. Importing this module loads no TensorFlow, so
that wrong flags are refused at once.
"""

import dataclasses

from common.errors import UserError
from common.study.setting import POSITIVE, SEED, Limits, check_limits, filled, setting
from replications.snapp_shamir.published import ACTIVATION_NAMES, OPTIMIZER_NAMES, SMOOTH

PROTOCOL_VERSION = 1

MODELS = ("linear", "single", "double", "tower", "wide", "quadratic")
MAX_EXAMPLES_LOG2 = 31  # positions are uint32


def _has_beta(settings):
    return settings.activation in SMOOTH


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
        choices=tuple(ACTIVATION_NAMES),
        applies_to=lambda settings: settings.model != "linear",
        needs="a --model with hidden units",
    )
    beta: float | None = setting(
        None,
        "Width of SmeLU's quadratic part, or slope of Swish; by default 1, and only with these.",
        applies_to=_has_beta,
        needs=f"--activation={' or '.join(SMOOTH)}",
        limits=POSITIVE,
    )
    optimizer: str = setting(
        "adagrad",
        "Optimizer: adagrad with accumulator 0.1, or sgd with momentum 0.9 and the learning rate divided by "
        "1 + 0.001 t at step t (sec. 2).",
        choices=tuple(OPTIMIZER_NAMES),
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
        0, "Logarithm (base 2) of the shuffling window z, in mini-batches; the paper goes from 0 to 20."
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
        applies_to=lambda settings: settings.warm_start,
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
            raise UserError(f"--beta={self.beta}: {self.activation} has no beta; {' and '.join(SMOOTH)} do")
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
