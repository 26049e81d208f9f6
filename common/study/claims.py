"""A paper's claims, judged on finished runs.

A claim's check reads the runs it needs from an `Evidence` and returns an `Outcome` (verdicts.py).
"""

import dataclasses
import os
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

from .command_line import SCALES
from .run_folders import Run
from .runs import Study, find_runs, finished_seeds
from .setting import Settings, Value
from .verdicts import Outcome

_MAX_SEEDS, _MAX_GAP = 64, 5  # beyond so many seeds in a row that are not there none is looked for


@dataclasses.dataclass(frozen=True)
class Claim:
    """A published number or ordering.

    Args:
        number: Its number in the list of the paper's claims.
        statement: What the paper says, in one sentence.
        source: Section and figure of the paper.
        figures: Names of the figure presets whose runs it needs.
        check: Function Evidence -> Outcome.
        confirmatory_from: The first seed that decides it. Those before were looked at when the check was
            written, and count only while there is no other.
    """

    number: int
    statement: str
    source: str
    figures: tuple[str, ...]
    check: "Callable[[Evidence], Outcome]"
    confirmatory_from: int = 0


def claim(
    number: int, statement: str, source: str, figures: tuple[str, ...], confirmatory_from: int = 0
) -> Callable:
    """Makes a function Evidence -> Outcome the check of a claim; it stands above the check as a decorator.

    Args:
        number: Its number in the list of the paper's claims.
        statement: What the paper says, in one sentence.
        source: Section and figure of the paper.
        figures: Names of the figure presets whose runs it needs.
        confirmatory_from: The first seed that decides it.
    """

    def decorate(check):
        this = Claim(number, statement, source, figures, check, confirmatory_from)
        check.claims = [this, *getattr(check, "claims", ())]
        return check

    return decorate


def claims_of(*modules: ModuleType) -> tuple[Claim, ...]:
    """Returns the claims of modules in the order of their numbers, a tuple.

    Raises:
        ValueError: Two claims have one number.
    """
    found = [c for module in modules for check in vars(module).values() for c in getattr(check, "claims", ())]
    found = sorted(set(found), key=lambda c: c.number)
    numbers = [c.number for c in found]
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"Claims have numbers of their own. Received: {numbers}")
    return tuple(found)


@dataclasses.dataclass(frozen=True)
class Judgement:
    """A claim, its outcome, and the scale (None: not run at any), data sets and runs that decided it."""

    claim: Claim
    outcome: Outcome
    scale: str | None
    data: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()

    @property
    def verdict(self) -> str:
        """The verdict with its scale and data, such as "reproduced at laptop scale, linear data"."""
        if self.scale is None:
            return self.outcome.verdict
        data = f", {' and '.join(self.data)}" if self.data else ""
        return f"{self.outcome.verdict} at {self.scale} scale{data}"


class MissingRunsError(Exception):
    """A check asked for runs that are not finished."""


class Evidence:
    """The finished runs of some figures at one scale.

    Args:
        study: A `runs.Study`.
        figures: Names of its figure presets.
        records: Folder of all runs.
        scale: One of `command_line.SCALES`.
        confirmatory_from: See `Claim`.
    """

    def __init__(
        self,
        study: Study,
        figures: Sequence[str],
        records: str | os.PathLike,
        scale: str,
        confirmatory_from: int = 0,
    ) -> None:
        self.scale, self._first_seed = scale, confirmatory_from
        self.used: dict[Settings, Run] = {}
        self._study, self._records, self._figures = study, records, " and ".join(figures)
        settings = dict.fromkeys(s.resolve() for f in figures for s in study.runs_of_figure(f, scale))
        every = find_runs(study, settings, records)
        self._runs = finished_seeds(every, max(study.min_seeds.get(f, 1) for f in figures))
        self._all_seeds = len(every) == len(self._runs)

    @property
    def left_out(self) -> str:
        """A sentence on the seeds that are not finished, empty if all are."""
        if self._all_seeds:
            return ""
        seeds = sorted({settings.seed for settings, _ in self._runs})
        words = " and ".join(map(str, seeds))
        return f"Seed{'s' * (len(seeds) > 1)} {words} alone: further seeds of the figure are not finished."

    @property
    def num_finished(self) -> int:
        """How many of the runs are finished."""
        return sum(run is not None for _, run in self._runs)

    @property
    def state(self) -> str:
        """How many runs are finished, in words."""
        finished = f"{self.num_finished} of the {len(self._runs)} runs"
        return f"{finished} of figure {self._figures} at {self.scale} scale are finished."

    def _matching(self, coordinates):
        matching = [
            (settings, run)
            for settings, run in self._runs
            if all(getattr(settings, name) == value for name, value in coordinates.items())
        ]
        if not matching:
            raise LookupError(f"No figure has a run with these settings. Received: {coordinates}")
        return matching

    def runs(self, **coordinates: Value) -> list[tuple[Settings, Run]]:
        """Returns (settings, Run) of every run with these settings.

        Raises:
            MissingRunsError: Not all of them are finished.
        """
        matching = self._matching(coordinates)
        if any(run is None for _, run in matching):
            raise MissingRunsError(self.state)
        self.used |= dict(matching)
        return matching

    def run(self, **coordinates: Value) -> Run:
        """Returns the one Run with these settings; raises like `runs`."""
        ((_, run),) = self.runs(**coordinates)
        return run

    def seeds(self, **coordinates: Value) -> list[Run]:
        """Returns the Run with these settings and those that differ from it only by the next seeds.

        If some of them are confirmatory, those alone.
        """
        ((settings, run),) = self.runs(**coordinates)
        found, gap = {settings: run}, 0
        for i in range(1, _MAX_SEEDS):
            other = dataclasses.replace(settings, seed=settings.seed + i)
            ((resolved, finished),) = find_runs(self._study, [other], self._records)
            gap = 0 if finished else gap + 1
            if finished:
                found[resolved] = finished
            if gap == _MAX_GAP:
                break
        confirmatory = {s: finished for s, finished in found.items() if s.seed >= self._first_seed}
        if confirmatory:
            for exploratory in found.keys() - confirmatory.keys():
                self.used.pop(exploratory, None)
        self.used |= confirmatory or found
        return list((confirmatory or found).values())

    @property
    def only_exploratory(self) -> bool:
        """Whether every run that was asked for was looked at when the check was written."""
        return bool(self.used) and all(settings.seed < self._first_seed for settings in self.used)

    def values(self, name: str, **coordinates: Value) -> list:
        """Returns the sorted values of a setting over the runs that a complete figure has."""
        return sorted({getattr(settings, name) for settings, _ in self._matching(coordinates)})


def _judge_at(claim, evidence):
    try:
        outcome = claim.check(evidence)
    except MissingRunsError as error:
        return Judgement(claim, Outcome("not run", str(error)), evidence.scale)
    if evidence.left_out:
        outcome = outcome.noting(evidence.left_out)
    if evidence.only_exploratory:
        first = claim.confirmatory_from
        outcome = outcome.noting(f"Exploratory: seeds before {first} were looked at when this was written.")
    runs = tuple(evidence.used.values())
    names = {name for run in runs if (name := data_name(run))}
    return Judgement(claim, outcome, evidence.scale, tuple(sorted(names)), runs)


def data_name(run: Run) -> str | None:
    """How results on a run's data must be named, such as "linear data" or "CIFAR-10"; None: not said."""
    synthetic = run.record["settings"].get("data")
    return run.record.get("data") or (synthetic and f"{synthetic} data")


def judge(
    claims: Iterable[Claim], study: Study, records: str | os.PathLike, scale: str | None = None
) -> list[Judgement]:
    """Judges claims on the finished runs below a folder.

    Args:
        claims: Claims of one paper.
        study: Its `runs.Study`.
        records: Folder of all runs.
        scale: Scale of the runs; None takes for each claim the largest at which its runs are finished.

    Returns:
        A Judgement for each claim; of one that is not run it says how many runs are there at the scale that
        has most of them.
    """
    scales = tuple(reversed(SCALES)) if scale is None else (scale,)
    judgements = []
    for claim in claims:
        most, closest = -1, None
        for s in scales:
            evidence = Evidence(study, claim.figures, records, s, claim.confirmatory_from)
            judgement = _judge_at(claim, evidence)
            if judgement.outcome.verdict != "not run":
                break
            if evidence.num_finished > most:
                most, closest = evidence.num_finished, dataclasses.replace(judgement, scale=scale)
        else:
            judgement = closest
        judgements.append(judgement)
    return judgements
