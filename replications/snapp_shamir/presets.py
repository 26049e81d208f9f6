"""The runs of every figure of Snapp & Shamir 2021 at every scale, and what they cost."""

import dataclasses
import functools
import os
from collections.abc import Iterable, Sequence

from common.study.runs import Study
from replications.snapp_shamir.published import SMOOTH
from replications.snapp_shamir.settings import PROTOCOL_VERSION, Settings
from replications.snapp_shamir.sizes import fills_gpu

_FEW_UNITS = ("linear", "single", "double")
# Microseconds of one step of 32 models on two cores (batch 32, AdaGrad), data included.
_STEP_MICROSECONDS = {
    "linear": 8,
    "single": 8,
    "double": 11,
    "tower": 65,
    "wide": 340,
    "quadratic": 16000,
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
    """Several windows, since the paper gives none."""
    windows = _WINDOWS[scale]
    shown = {*windows[:3], windows[-1]}
    runs = [s for s in _figure_6(scale) if s.activation == "relu" and s.shuffle_log2 in shown]
    # Of seed 0 the weights were kept at the smallest window alone.
    seeds = (0, 1) if scale == "paper" else (0,)
    return [dataclasses.replace(settings, seed=seed) for seed in seeds for settings in runs]


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


def runs_of_figure(name, scale):
    """Returns the settings of every run of a figure of the paper, or of our figure "sources".

    Args:
        name: A key of `STUDY.figures`.
        scale: "paper": the published protocol; "laptop": fewer examples (and pairs, for figures 8 and 10);
            "smoke": seconds, for tests.
    """
    return _FIGURES[name](scale)


@functools.cache
def _with_weights() -> frozenset:
    """Settings of the runs whose weights figures show, or claims compare: those of one linear hidden unit."""
    shown = (s for name in ("3", "4", "7", "9") for scale in _SCALES for s in runs_of_figure(name, scale))
    compared = (s for scale in _SCALES for s in runs_of_figure("2", scale) if s.model == "single")
    compared = (s for s in compared if s.activation == "identity")
    return frozenset(dataclasses.replace(s, seed=0).resolve() for s in (*shown, *compared))


def _raised(settings: Settings) -> int:
    """Version 2: SmeLU and Swish in the precision that the rest of the network has, no longer in float32.

    Before, they were evaluated in float32, and trained in it under --precision=float64. Without shuffling PD
    is of the size of float32's rounding; with any it is at least a thousand times as large, and records stay.
    """
    return int(
        settings.activation in SMOOTH and (settings.shuffle_log2 == 0 or settings.precision == "float64")
    )


def prefer_wide_vectors(models: Iterable[str]) -> None:
    """Has XLA's vectors be as wide as the processor's, if all models of a process are of few units.

    These are then 1.2 to 1.5 times faster on a processor with AVX-512, where the small products of the others
    are slower. It is heard until a process compiles its first program, and changes the order of additions, so
    it must not depend on which run that is.

    Args:
        models: The models of all runs of the process, those too that are finished.
    """
    if all(model in _FEW_UNITS for model in models):
        os.environ.setdefault("XLA_FLAGS", "--xla_cpu_prefer_vector_width=512")


def _prepare(runs: Sequence[Settings]) -> None:
    prefer_wide_vectors(run.model for run in runs)


def _keeps_array(settings: Settings, name: str) -> bool:
    return dataclasses.replace(settings, seed=0) in _with_weights()


STUDY = Study(
    name="snapp_shamir",
    settings=Settings,
    protocol_version=PROTOCOL_VERSION,
    figures=tuple(_FIGURES),
    runs_of_figure=runs_of_figure,
    estimate=estimate,
    compiles_once_over="shuffle_log2",
    named_by="model activation beta init optimizer learning_rate batch_order warm_start examples_log2 "
    "shuffle_log2 seed",
    keeps_array=_keeps_array,
    trains_together=("shuffle_log2", "init"),
    takes_gpu=fills_gpu,
    raised=_raised,
    prepare=_prepare,
)
