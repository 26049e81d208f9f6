"""What the claims of Zhang et al. 2017 read from runs: one value a run, and tables of seeds and settings.

Runs of one seed share their images and initial weights, so settings are compared seed by seed.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from common.study.claims import Evidence
from common.study.decisions import ordering, rate
from common.study.effects import ERROR, Effect
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


def _until_fitted(run: Run, epochs: float) -> float:
    """Epochs to what is measured as it is trained, or those to a fitted training set, which ends the run.

    Measured after an epoch all images may be right when those trained along it were not yet.
    """
    return epochs_to_fit(run) if math.isnan(epochs) else epochs


def epochs_to_low_loss(run: Run) -> float:
    """Epochs until the mean loss of one, as it was trained, is at most 0.1 nats, or the set is fitted."""
    return _until_fitted(run, first_epoch(run, "batch_loss", lambda value: value <= _LOW_LOSS))


def epochs_to_accuracy(accuracy: float) -> Measure:
    """Returns the function run -> epochs until so many images, as they are trained, are right, or nan.

    Those to a fitted training set where it was fitted before.
    """

    def measure(run):
        return _until_fitted(run, first_epoch(run, "batch_accuracy", lambda value: value >= accuracy))

    return measure


def at_least(measure: Measure) -> Measure:
    """Returns a measure of epochs that counts a run which did not get there with all that it had: a bound."""

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
    """The Outcome of a claim that some settings take longer, by a factor.

    A run that did not get there counts with all its epochs, fewer than it needs. That may help neither side:
    the claim is open where such runs of the settings that are to be faster make it hold, or of those that are
    to be slower contradict it.

    Args:
        evidence: Evidence.
        question: What takes time.
        label: What is compared.
        measure: Function run -> epochs, nan if they did not suffice.
        places: Settings of each cell.
        coefficients: Of the logarithms of their times; they sum to 0.
        margin: A factor within which times are equal; not used where a run was capped.
    """
    missing = np.isnan(evidence.table(places, measure).values)
    values = evidence.table(places, at_least(measure)).values
    effect = Effect(label, values, np.asarray(coefficients, np.float64), factor=True)
    capped = int(missing.sum())
    outcome = ordering(question, effect, margin=None if capped else margin)
    if not capped:
        return outcome
    helped_by = effect.coefficients * {"reproduced": -1, "contradicted": 1}.get(outcome.verdict, 0) > 0
    if missing[:, helped_by].any():
        outcome = dataclasses.replace(outcome, verdict="open", p=math.nan)
    return outcome.noting(f"({capped} of {values.size} runs did not get there and count with all epochs)")


def shorter(
    evidence: Evidence,
    question: str,
    label: str,
    measure: Measure,
    place: Place,
    limit_measure: Measure,
    limit_place: Place,
    factor: float,
) -> Outcome:
    """The Outcome of a claim that a time is less than a factor times another one.

    A run that did not get there counts with all its epochs where they exceed the limit: against the claim.
    Where they do not, nothing is known of its seed, and the claim is open.

    Args:
        evidence: Evidence.
        question: The limit over the time, in words.
        label: What is compared.
        measure: Function run -> epochs, nan if they did not suffice.
        place: Settings whose time it is.
        limit_measure: Like `measure`, of the limit.
        limit_place: Settings of the limit.
        factor: What the limit is multiplied by.
    """
    places = [limit_place, place]
    limit = factor * evidence.table(places, at_least(limit_measure)).values[:, 0]
    times, bounds = (evidence.table(places, m).values[:, 1] for m in (measure, at_least(measure)))
    unknown = np.isnan(times) & ~(bounds > limit)
    if unknown.any():
        text = f"{question}, {label}: {unknown.sum()} of {len(times)} runs did not get there in time to tell"
        return Outcome("open", text)
    values = np.stack([limit, np.where(np.isnan(times), bounds, times)], axis=1)
    return ordering(question, Effect(label, values, np.array([1.0, -1.0]), factor=True))


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


_EVERY_RUN = 0.99  # of runs that fit where all settings do


def all_fit(evidence: Evidence, what: str, places: Sequence[Place]) -> Outcome:
    """The same, contradicted where one setting that never fits leaves it open for ever.

    That setting alone keeps the share at the bound, however many seeds there are. Where the share is not
    above the bound, the claim is contradicted by fewer fits than settings would have 99 % of whose runs fit.

    Args:
        evidence: Evidence.
        what: Which runs, in words.
        places: The settings.
    """
    outcome = fitted_share(evidence, what, places)
    values = evidence.table(places, lambda run: float(fits(run))).values
    if outcome.verdict != "open" or not values.size:
        return outcome
    fewer = float(stats.binomtest(int(np.nansum(values)), values.size, _EVERY_RUN, "less").pvalue)
    if fewer > ERROR:
        return outcome
    seen = f"{outcome.seen}; of so few fits, if 99 % of all runs fit, p = {fewer:.2g}"
    return dataclasses.replace(outcome, verdict="contradicted", seen=seen, p=fewer)
