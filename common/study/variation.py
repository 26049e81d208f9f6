"""From the runs of a preset, or from the defaults, to those that flags ask for. Loads no TensorFlow."""

import dataclasses
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..errors import UserError
from .setting import Settings, without

if TYPE_CHECKING:
    from .runs import Study

MAX_RUNS = 10_000


def changed_figure(study: "Study", figure: str, scale: str, given: Mapping[str, tuple]) -> list:
    """Returns the settings of a figure with some of them given other values, in every combination.

    A run keeps what it has no use for as it is. A run that is given another network takes the size that the
    scale has for that network, and loses the preset's values that only the other one had a use for; one that
    is given another optimizer takes the rate that it has by default.

    Args:
        study: The paper's `runs.Study`.
        figure: One of its figures.
        scale: One of `command_line.SCALES`.
        given: Setting -> tuple of values.

    Raises:
        UserError: No run of the figure has a use for a setting.
    """
    presets = study.runs_of_figure(figure, scale)
    runs, idle = _varied(presets, given, _with_epochs(study.network_sizes.get(scale, {}), presets))
    for field in idle:
        needs = f"; it needs {field.metadata['needs']}" if field.metadata["needs"] else ""
        raise UserError(f"--{field.name}: no run of figure {figure} has a use for it{needs}")
    return runs


def _with_epochs(sizes: Mapping[str, Mapping], presets: Sequence) -> Mapping[str, Mapping]:
    """The sizes of networks, with the epochs of a figure some of whose networks train longer than others."""
    trained = [(run.network, getattr(run, "epochs", None)) for run in presets if sizes]
    epochs = dict(trained)
    if len(epochs) < len(set(trained)) or len(set(epochs.values())) < 2:
        return sizes
    ((common, _),) = Counter(of_run for _, of_run in trained).most_common(1)
    return {
        network: {"epochs": epochs.get(network, common)} | dict(values) for network, values in sizes.items()
    }


def changed_defaults(settings: type, given: Mapping[str, tuple]) -> list:
    """Returns the default settings with some of them given other values, in every combination.

    Args:
        settings: Settings dataclass.
        given: Setting -> tuple of values.

    Raises:
        UserError: A setting has no effect beside the others.
    """
    runs, idle = _varied([settings()], given)
    for field in idle:
        values = ",".join(map(str, given[field.name]))
        raise UserError(f"--{field.name}={values}: has no effect without {field.metadata['needs']}")
    return runs


def check_number(given: Mapping[str, tuple], num_seeds: int, num_runs: int = 1) -> None:
    """Refuses to make more runs than a command can name and count.

    Args:
        given: Setting -> tuple of values.
        num_seeds: Consecutive seeds of each run.
        num_runs: Runs before the settings are changed.

    Raises:
        UserError: One line with the flag that asks for most.
    """
    if not 1 <= num_seeds <= MAX_RUNS:
        raise UserError(f"--num_seeds={num_seeds}: must be from 1 to {MAX_RUNS}")
    total = math.prod(map(len, given.values())) * num_seeds * num_runs
    if total > MAX_RUNS:
        numbers = {name: len(values) for name, values in given.items()} | {"num_seeds": num_seeds}
        most = max(numbers, key=numbers.__getitem__)
        raise UserError(f"--{most}: the flags ask for {total:,} runs; one command makes {MAX_RUNS:,} at most")


def _varied(bases: Iterable, given: Mapping[str, tuple], sizes: Mapping | None = None) -> tuple[list, list]:
    """The changed runs, and the fields of the settings that none of them has a use for.

    A run of a figure, which has sizes, has to have a use for a setting as it is; the default run may have it
    with the new value alone.
    """
    runs, used = [], set()
    for base in bases:
        # Those that may have no use come last, in their order: they depend on the others.
        fields = sorted(_fields(base), key=lambda field: field.metadata["applies_to"] is not None)
        varied = [base]
        for field in fields:
            if field.name not in given:
                continue
            changed = []
            for run in varied:
                candidates = [_with_value(run, field, value, sizes, given) for value in given[field.name]]
                if any(has_use(r, field) for r in (candidates if sizes is None else [run])):
                    used.add(field.name)
                    changed += candidates
                else:
                    changed.append(run)
            varied = changed
        runs += [_without_lost_values(base, run) for run in varied]
    idle = [field for field in _fields(runs[0]) if field.name in given and field.name not in used]
    return runs, [field for field in idle if not _have_anyway(runs, field, given[field.name])]


def _fields(settings: Any) -> Sequence[dataclasses.Field]:
    return dataclasses.fields(settings)


def has_use(run: Settings, field: dataclasses.Field) -> bool:
    """Whether a run has a use for a setting.

    Args:
        run: Settings of a run.
        field: A field of them.
    """
    used = field.metadata["applies_to"]
    return used is None or bool(used(run))


def _with_value(
    run: Any, field: dataclasses.Field, value: Any, sizes: Mapping | None, given: Mapping[str, tuple]
) -> Any:
    if field.name == "network" and sizes:
        run = _of_size(run, value, sizes)
    if field.name == "optimizer" and value != run.resolve().optimizer and "learning_rate" not in given:
        run = without(run, ["learning_rate"])
    return dataclasses.replace(run, **{field.name: value})


def _of_size(run: Any, network: str, sizes: Mapping[str, Mapping]) -> Any:
    """A run in the size of another network, if the scale has one for both."""
    if network == run.network or not {network, run.network} <= sizes.keys():
        return run
    return dataclasses.replace(without(run, sizes[run.network]), **sizes[network])


def _without_lost_values(base: Any, run: Any) -> Any:
    """A changed run with defaults in the place of the values that only the base had a use for."""
    lost = [field.name for field in _fields(run) if has_use(base, field) and not has_use(run, field)]
    return without(run, lost)


def _have_anyway(runs: Iterable, field: dataclasses.Field, values: tuple) -> bool:
    return all(getattr(run.resolve(), field.name) in values for run in runs)
