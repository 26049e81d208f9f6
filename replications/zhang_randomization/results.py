"""What the claims of Zhang et al. 2017 read from runs: one value a run, and tables of seeds and settings.

Runs of one seed share their images and initial weights, so settings are compared seed by seed.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from common.study.claims import Evidence
from common.study.decisions import ordering, rate
from common.study.effects import Effect
from common.study.records import last, rows_of
from common.study.run_folders import Run
from common.study.setting import Value
from common.study.verdicts import Outcome

Place = Mapping[str, Value]
Measure = Callable[[Run], float]

# A training accuracy that counts as fitted where only accuracies are compared: table 1 has 99.34 to 100 %.
FITTED_ACCURACY = 0.99
# A mean training loss that counts as zero in figure 1a: the threshold of a public rerun of it, which EE-411
# tried as well (section IV.B).
_LOW_LOSS = 0.1


def is_capped(run: Run) -> bool:
    """Whether the run ended at its cap, or diverged, before its training set was fitted."""
    return last(run, "fit") == 0


def first_epoch(run: Run, metric: str, reached: Callable[[pd.Series], pd.Series]) -> float:
    """The first epoch at whose end `reached` holds of a metric's value; nan if it never does."""
    rows = rows_of(run, metric)
    epochs = rows.epoch[reached(rows.value)]
    return float(epochs.min()) if len(epochs) else math.nan


def epochs_to_fit(run: Run) -> float:
    """Epochs until the target on the training set was reached; nan for a run that ended before."""
    return first_epoch(run, "fit", lambda value: value == 1)


def epochs_to_low_loss(run: Run) -> float:
    """Epochs until the mean loss of one, as it was trained, is at most 0.1 nats; nan if it never is."""
    return first_epoch(run, "batch_loss", lambda value: value <= _LOW_LOSS)


def epochs_to_accuracy(accuracy: float) -> Measure:
    """Returns the function run -> epochs until so many images, as they are trained, are right, or nan."""

    def measure(run):
        return first_epoch(run, "batch_accuracy", lambda value: value >= accuracy)

    return measure


def at_least(measure: Measure) -> Measure:
    """Returns a measure of epochs that counts a run which did not get there with all epochs that it had.

    So a difference between two runs can only shrink, never turn: an ordering of two such times holds, their
    ratio does not.
    """

    def bounded(run):
        epochs = measure(run)
        return float(run.rows.epoch.max()) if math.isnan(epochs) else epochs

    return bounded


def accuracy(name: str) -> Measure:
    """Returns the function run -> last accuracy on `name`, "train" or "test", in percent; nan if diverged."""

    def value(run):
        return math.nan if "diverged" in set(run.rows.metric) else 100 * last(run, f"{name}_accuracy")

    return value


def fits(run: Run) -> bool:
    """Whether a run ends with 99 % of its training images right."""
    return last(run, "train_accuracy") >= FITTED_ACCURACY


def fitted_test_accuracy(run: Run) -> float:
    """The test accuracy, in percent, of a run that fits its training set to 99 %; else nan."""
    return accuracy("test")(run) if fits(run) else math.nan


def fitted_test_error(run: Run) -> float:
    """The test error, in percent, of a run that fits its training set to 99 %; else nan."""
    return 100 - fitted_test_accuracy(run)


def compared(
    evidence: Evidence,
    label: str,
    measure: Measure,
    first: Place,
    second: Place,
    factor: bool = False,
) -> Effect:
    """The Effect of settings `first` minus, or over, settings `second`."""
    found = evidence.table([first, second], measure)
    return Effect(label, found.values, np.array([1.0, -1.0]), factor)


def longer(
    evidence: Evidence,
    question: str,
    label: str,
    measure: Measure,
    places: Sequence[Place],
    coefficients: Sequence[float],
    margin: float | None = None,
) -> Outcome:
    """The Outcome of a claim that some settings take longer, by a factor; see `at_least` for capped runs.

    Args:
        evidence: Evidence.
        question: What takes time.
        label: What is compared.
        measure: Function run -> epochs, nan if they did not suffice.
        places: Settings of each cell.
        coefficients: Of the logarithms of their times; they sum to 0.
        margin: A factor within which times are equal; not used where a run was capped.
    """
    capped = int(np.isnan(evidence.table(places, measure).values).sum())
    values = evidence.table(places, at_least(measure)).values
    effect = Effect(label, values, np.asarray(coefficients, np.float64), factor=True)
    outcome = ordering(question, effect, margin=None if capped else margin)
    if not capped:
        return outcome
    return outcome.noting(f"({capped} of {values.size} runs did not get there and count with all epochs)")


def fitted_share(evidence: Evidence, what: str, places: Sequence[Place]) -> Outcome:
    """The Outcome of a claim that all of some settings fit their training sets.

    A run either fits or does not, so seeds differ in nothing where all do. The share is held against that of
    all settings but one.

    Args:
        evidence: Evidence.
        what: Which runs, in words.
        places: The settings.
    """
    values = evidence.table(places, lambda run: float(fits(run))).values
    fitted = int(np.nansum(values))  # one that diverged did not fit
    bound = (len(places) - 1) / len(places) if len(places) > 1 else 0.5
    return rate(f"Training images are fitted to 99 % by {what}", fitted, values.size, bound)
