"""How fast this suite is, side by side with what one would write otherwise, measured in one process.

    python -m launch.benchmark --models=linear,wide --seconds=3 --json
    python -m launch.benchmark --suite=images --models=inception,planes_k8

Every contender of a model is compiled and calibrated first; then they take turns (A B C A B C), so that
whatever else the machine does meets all of them.
"""

from common.study import interruption

if __name__ == "__main__":
    interruption.listen("benchmark", goes_on=False)  # also while the rest is imported

import contextlib
import dataclasses
import importlib.metadata
import json
import os
import re
import resource
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from absl import flags

from common.errors import UserError
from common.study.command_line import exit_status, parse_flags
from common.study.run_folders import provenance
from common.study.startup import import_quietly

REPETITIONS = 3
_MAX_SECONDS = 3600


@dataclasses.dataclass(frozen=True)
class Suite:
    """A group of models and what is timed on each.

    Args:
        module: Name of a module with `contenders(model)` and `notes()`; it imports TensorFlow. A contender
            has a `name`, a line `about` what its time includes, `num_models` that it runs at once,
            `batch_size`, `unit` (it runs multiples of so many steps), `max_steps`, `run(num_steps)` and, if
            runs an hour are of interest, `steps_per_run`. The first contender is ours.
        baseline: For each model, the contender whose rate the goal is a multiple of.
        goals: For each model, the rate of ours that we aim at, as a multiple of the baseline's.
    """

    module: str
    baseline: dict
    goals: dict


_ENSEMBLE = {"linear": 1000, "single": 1000, "double": 400, "tower": 150, "wide": 25, "quadratic": 3}
_NETWORKS = (
    *("inception", "alexnet", "mlp_1x512", "mlp_3x512", "convnet_w4", "convnet_w16", "resnet18k_k4"),
    *("resnet18w_w8", "resnet18", "wide_resnet_w2", "densenet_w4", "vgg19_w8", "vit_w64", "mlp_mixer_w32"),
)
_PLANES, _VOLUMES = ("planes_k8", "planes_k64"), ("volumes_w4", "volumes_w16")

SUITES = {
    "ensemble": Suite("launch.ensemble_benchmark", dict.fromkeys(_ENSEMBLE, "fit"), _ENSEMBLE),
    "images": Suite(
        "launch.image_benchmark",
        dict.fromkeys(_NETWORKS, "fit")
        | dict.fromkeys(_PLANES, "forward")
        | dict.fromkeys(_VOLUMES, "backward")
        | {"svd_paths": "decomposition"},
        dict.fromkeys(_NETWORKS, 0.97)
        | dict.fromkeys(_PLANES, 0.85)
        # At most 1.5 times the passes, at most 3 times the decomposition.
        | dict.fromkeys(_VOLUMES, 1 / 1.5)
        | {"svd_paths": 1 / 3},
    ),
}


def calibrate(contender, seconds, clock=time.perf_counter):
    """Compiles a contender and returns the number of steps that take it about `seconds`.

    At least one unit and at most `max_steps`, so a repetition may be longer or shorter.
    """
    contender.run(contender.unit)
    steps = contender.unit
    elapsed = timed(contender, steps, clock)
    while elapsed < seconds / 8 and steps < contender.max_steps:
        steps = min(4 * steps, contender.max_steps)
        elapsed = timed(contender, steps, clock)
    units = round(seconds / elapsed * steps / contender.unit)
    return min(max(units, 1), contender.max_steps // contender.unit) * contender.unit


def timed(contender, num_steps, clock=time.perf_counter):
    """Returns the seconds of `num_steps` steps."""
    started = clock()
    contender.run(num_steps)
    return clock() - started


def measure(contenders, seconds, clock=time.perf_counter):
    """Times contenders in turns.

    Returns:
        For each contender's name, its `summarize`.
    """
    steps = [calibrate(contender, seconds, clock) for contender in contenders]
    samples = [[] for _ in contenders]
    for _ in range(REPETITIONS):
        for contender, num_steps, times in zip(contenders, steps, samples, strict=True):
            times.append(timed(contender, num_steps, clock))
    return {
        contender.name: summarize(
            *(times, num_steps, contender.num_models, contender.batch_size),
            getattr(contender, "steps_per_run", None),
        )
        for contender, num_steps, times in zip(contenders, steps, samples, strict=True)
    }


def summarize(times, num_steps, num_models, batch_size, steps_per_run=None):
    """Returns what repetitions say of one contender.

    Args:
        times: Seconds of each repetition.
        num_steps: Steps of a repetition.
        num_models: Models trained in each step.
        batch_size: Examples of a step of one model.
        steps_per_run: Steps of a whole run of one model, or None.

    Returns:
        Microseconds of a step of one model (median, min, max, and of each repetition), examples x models a
        second at the median, steps, and runs an hour if the steps of a run are known.
    """
    microseconds = np.array(times) * 1e6 / (num_steps * num_models)
    median = float(np.median(microseconds))
    return {
        "microseconds": {
            "median": median,
            "min": float(microseconds.min()),
            "max": float(microseconds.max()),
        },
        "repetitions": microseconds.tolist(),
        "examples_models_per_second": batch_size * 1e6 / median,
        "num_steps": num_steps,
        "runs_per_hour": steps_per_run and 3600e6 / (steps_per_run * median),
    }


def ratio(measured, name, baseline):
    """How many times the rate of `baseline` the rate of `name` is: the median over repetitions, paired."""
    paired = zip(measured[baseline]["repetitions"], measured[name]["repetitions"], strict=True)
    return float(np.median([theirs / ours for theirs, ours in paired]))


def _number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def tables(results, suite):
    """Returns a table for each set of contenders: one row a model and contender.

    Args:
        results: For each model, what `measure` returned.
        suite: The Suite.
    """
    groups = {}
    for model, measured in results.items():
        groups.setdefault(tuple(measured), {})[model] = measured
    return [_table(group, suite) for group in groups.values()]


def _table(results, suite):
    rows = []
    for model, measured in results.items():
        ours = next(iter(measured))
        for name, summary in measured.items():
            microseconds = summary["microseconds"]
            row = {
                "model": model,
                "contender": name,
                "us/step of one model": _number(microseconds["median"]),
                "min-max": f"{_number(microseconds['min'])}-{_number(microseconds['max'])}",
                "examples x models / s": f"{summary['examples_models_per_second']:.3g}",
            }
            if summary["runs_per_hour"]:
                row["runs/hour"] = _number(summary["runs_per_hour"])
            for other in measured:
                if other != ours:
                    row[f"ratio to {other}"] = _number(ratio(measured, name, other))
            row["goal"] = f"{suite.goals[model]} x {suite.baseline[model]}" if name == ours else ""
            rows.append(row)
    return pd.DataFrame(rows)


def report(results, suite_name, seconds, notes):
    """Returns everything measured, and where, as plain values for one JSON object."""
    suite = SUITES[suite_name]
    made_by = provenance()
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        made_by["versions"]["jax"] = importlib.metadata.version("jax")
    models = {}
    for model, measured in results.items():
        ours = next(iter(measured))
        models[model] = {
            "contenders": measured,
            "ratios": {f"{ours}/{name}": ratio(measured, ours, name) for name in measured if name != ours},
            "goal": {f"{ours}/{suite.baseline[model]}": suite.goals[model]},
        }
    return {"suite": suite_name, "seconds": seconds, "models": models, "notes": notes} | made_by


def run(suite_name, models, seconds):
    """Measures the models of a suite.

    Returns:
        (results, notes): what `measure` returned for each model; lines that a reader of the numbers needs.
    """
    load = f"load average {os.getloadavg()[0]:.1f} at the start; the less, the surer the numbers"
    module = import_quietly(SUITES[suite_name].module)
    results, about = {}, {}
    for model in models:
        contenders = module.contenders(model)
        about |= {contender.name: contender.about for contender in contenders}
        results[model] = measure(contenders, seconds)
        for name, summary in results[model].items():
            microseconds = summary["microseconds"]["median"]
            print(f"{model} {name}: {_number(microseconds)} us a step of one model", file=sys.stderr)
    memory = f"peak memory of this process, all of these models after another: {peak_memory():.2f} GiB"
    notes = [f"{name}: {text}" for name, text in about.items()] + module.notes() + [memory, load]
    return results, notes


def peak_memory() -> float:
    """Returns the GiB of memory that this process has held at most.

    On Linux `ru_maxrss` of a started process begins at what the process that started it has held.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+) kB", status.read_text())[1]) / 2**20
    unit = 2**30 if sys.platform == "darwin" else 2**20  # macOS counts bytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _define_flags(flag_values):
    every = {name: ", ".join(suite.goals) for name, suite in SUITES.items()}
    flags.DEFINE_enum("suite", "ensemble", SUITES, "What is measured.", flag_values=flag_values)
    flags.DEFINE_list(
        "models",
        None,
        "Comma-separated models; by default all of the suite: "
        + "; ".join(f"{name}: {models}" for name, models in every.items())
        + ".",
        flag_values=flag_values,
    )
    flags.DEFINE_float(
        "seconds",
        3.0,
        f"Seconds of one of the {REPETITIONS} repetitions of a contender, about.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "costs",
        False,
        "Instead measures how fast this machine trains each network, for the plans of --dry_run: about half "
        "a minute each; --models names some.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool(
        "json", False, "Also prints one JSON object, as the last line.", flag_values=flag_values
    )


def _check(flag_values):
    """Returns the models to measure, each once."""
    known = SUITES[flag_values.suite].goals
    if flag_values.costs:
        if flag_values["suite"].present or flag_values.json:
            raise UserError("--costs: goes with --models and --seconds alone")
        known = (*_ENSEMBLE, *_NETWORKS)
    models = list(known) if flag_values.models is None else list(dict.fromkeys(flag_values.models))
    unknown = [model for model in models if model not in known]
    if unknown or not models:
        names = ",".join(unknown)
        what = "--costs" if flag_values.costs else "the suite"
        raise UserError(f"--models={names}: not a model of {what}; choose from {', '.join(known)}")
    if not 0 < flag_values.seconds <= _MAX_SECONDS:
        raise UserError(
            f"--seconds={flag_values.seconds}: must be a finite number above 0, at most {_MAX_SECONDS}"
        )
    return models


def main(argv=None):
    """Runs the command line and exits with its status."""
    with exit_status("benchmark", goes_on=False):
        flag_values = flags.FlagValues()
        _define_flags(flag_values)
        usage = "python -m launch.benchmark [--flag=value ...]"
        parse_flags(flag_values, sys.argv if argv is None else argv, usage)
        models = _check(flag_values)
        if flag_values.costs:
            with interruption.deferred():
                import_quietly("launch.costs").measure(models, flag_values.seconds)
            return
        results, notes = run(flag_values.suite, models, flag_values.seconds)
        for table in tables(results, SUITES[flag_values.suite]):
            print(table.to_string(index=False))
        print("\n".join(notes))
        if flag_values.json:
            values = report(results, flag_values.suite, flag_values.seconds, notes)
            print(json.dumps(values, allow_nan=False))


if __name__ == "__main__":
    main()
