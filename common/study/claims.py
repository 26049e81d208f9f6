"""A paper's claims, judged on finished runs.

A claim's check reads the runs it needs from an `Evidence` and returns an `Outcome` (verdicts.py).
"""

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import ModuleType

import numpy as np
from scipy import stats

from .command_line import SCALES
from .progress import duration
from .run_folders import Run
from .runs import Study, find_runs, finished_seeds
from .setting import Settings, Value
from .verdicts import DECIDED, Outcome

_USUAL = "laptop"
_FEWEST = 3  # confirmatory seeds are asked for where there are fewer
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
        quote: A few of the paper's own words.
        tests: What the check tests, in a sentence, with its margin.
        confirmatory_from: The first seed that decides it. Those before were looked at when the check was
            written: they are reported, and decide nothing.
        out_of_reach: {scale: why runs at this scale cannot decide it}.
    """

    number: int
    statement: str
    source: str
    figures: tuple[str, ...]
    check: "Callable[[Evidence], Outcome]"
    quote: str = ""
    tests: str = ""
    confirmatory_from: int = 0
    out_of_reach: Mapping[str, str] = dataclasses.field(default_factory=dict, hash=False)


def claim(
    number: int,
    statement: str,
    source: str,
    figures: tuple[str, ...],
    *,
    quote: str = "",
    tests: str = "",
    confirmatory_from: int = 0,
    out_of_reach: Mapping[str, str] | None = None,
) -> Callable:
    """Makes a function Evidence -> Outcome the check of a claim; it stands above the check as a decorator.

    Args:
        number: See `Claim`, as for all others.
        statement: What the paper says.
        source: Section and figure of the paper.
        figures: Names of figure presets.
        quote: The paper's words.
        tests: What the check tests.
        confirmatory_from: The first seed that decides.
        out_of_reach: {scale: why}.
    """

    def decorate(check):
        this = Claim(
            number, statement, source, figures, check, quote, tests, confirmatory_from, out_of_reach or {}
        )
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
    """A claim, its outcome, and the scale (None: not run at any), data sets and runs that decided it.

    `needed` has the seconds, on two cores, of each run that would decide what is open or not run; None: it is
    not known how many seeds would. `exploratory` are the seeds that were looked at and do not decide.
    """

    claim: Claim
    outcome: Outcome
    scale: str | None
    data: tuple[str, ...] = ()
    runs: tuple[Run, ...] = ()
    needed: Mapping[Settings, float] | None = None
    exploratory: tuple[int, ...] = ()

    @property
    def key(self) -> tuple[Claim, str | None]:
        """The claim and the scale at which it is judged."""
        return self.claim, self.scale

    @property
    def minutes(self) -> float | None:
        """About how long the runs take that would decide the claim; None: it is decided, or not known."""
        return None if self.needed is None else sum(self.needed.values()) / 60

    @property
    def verdict(self) -> str:
        """The verdict with its scale and data, such as "reproduced at laptop scale, linear data"."""
        words = self.outcome.words
        if self.outcome.verdict in ("open", "not run") and self.minutes is not None:
            more = self.outcome.more
            seeds = f"about {more} more seed{'s' * (more > 1)}, " if more else "about "
            words += f" ({seeds}{duration(60 * self.minutes)})"
        if self.scale is None:
            return words
        data = f", {' and '.join(self.data)}" if self.data else ""
        return f"{words} at {self.scale} scale{data}"

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the runs that decided; none of what is out of reach."""
        if self.outcome.verdict == "out of reach":
            return ()
        return tuple(sorted({run.seed for run in self.runs} - set(self.exploratory)))


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """One value per seed and cell.

    Args:
        values: Array of shape (seeds, cells): the seeds that decide.
        pilot: Array of shape (exploratory seeds, cells): what was looked at before.
        seeds: The seeds that decide.
    """

    values: np.ndarray
    pilot: np.ndarray
    seeds: tuple[int, ...]


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
        self._last: dict[Settings, int] = {}  # of each cell that was read, named by its seed 0
        self.exploratory: set[int] = set()
        self._fell_back = False
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
        self._read(dict(matching))
        return matching

    def run(self, **coordinates: Value) -> Run:
        """Returns the one Run with these settings; raises like `runs`."""
        ((_, run),) = self.runs(**coordinates)
        return run

    def seeds(self, **coordinates: Value) -> list[Run]:
        """Returns the Run with these settings and those that differ from it only by the next seeds.

        If some of them are confirmatory, those alone.
        """
        found = self._with_further_seeds(coordinates)
        confirmatory = {s: finished for s, finished in found.items() if s.seed >= self._first_seed}
        self._use(confirmatory or found)
        return list((confirmatory or found).values())

    def table(self, cells: Sequence[Mapping[str, Value]], measure: Callable[[Run], float]) -> Table:
        """Returns a `Table` of a measure for the seeds that all cells have, diverged runs nan.

        Args:
            cells: The settings of each cell, without its seed.
            measure: Function of a run.
        """
        found, common = self._of_common_seeds(cells)
        later = tuple(seed for seed in common if seed >= self._first_seed)
        deciding = later or tuple(common)
        self._use(dict(members[seed] for members in found for seed in deciding))

        pilot = [seed for seed in common if later and seed not in later]
        return Table(_values(found, deciding, measure), _values(found, pilot, measure), deciding)

    def choosing(self, cells: Sequence[Mapping[str, Value]], measure: Callable[[Run], float]) -> np.ndarray:
        """Returns a measure of runs that choose what others decide, an array of shape (seeds, cells).

        The seeds are those below the first that decides that all cells have; diverged runs are nan.

        Args:
            cells: The settings of each cell, without its seed.
            measure: Function of a run.
        """
        found, common = self._of_common_seeds(cells)
        seeds = [seed for seed in common if seed < self._first_seed]
        if not seeds:
            raise MissingRunsError(self.state)
        self._read(dict(members[seed] for members in found for seed in seeds))
        return _values(found, seeds, measure)

    def _of_common_seeds(self, cells):
        """For each cell {seed: (settings, Run)}; the seeds that all cells have, in order."""
        found = [{s.seed: (s, run) for s, run in self._with_further_seeds(cell).items()} for cell in cells]
        return found, sorted(set.intersection(*map(set, found)))

    def _use(self, runs):
        self._fell_back |= bool(runs) and all(settings.seed < self._first_seed for settings in runs)
        if any(settings.seed >= self._first_seed for settings in runs):
            for exploratory in [s for s in self.used if s.seed < self._first_seed]:
                del self.used[exploratory]
        self._read(runs)

    def _read(self, runs):
        self.used |= runs
        for settings in runs:
            cell = dataclasses.replace(settings, seed=0)
            self._last[cell] = max(self._last.get(cell, 0), settings.seed)

    def _with_further_seeds(self, coordinates):
        """{settings: Run} of the run with these settings and the least seed, and of the seeds after it."""
        matching = self._matching(coordinates)
        least = min(settings.seed for settings, _ in matching)
        ((settings, run),) = [(s, r) for s, r in matching if s.seed == least]
        if run is None:
            raise MissingRunsError(self.state)
        found, gap = {settings: run}, 0
        for i in range(1, _MAX_SEEDS):
            other = dataclasses.replace(settings, seed=settings.seed + i)
            ((resolved, finished),) = find_runs(self._study, [other], self._records)
            # Those that decide may be there without those that were looked at.
            gap = 0 if finished or other.seed < self._first_seed else gap + 1
            if finished:
                found[resolved] = finished
            if gap == _MAX_GAP:
                break
        self.exploratory |= {s.seed for s in found if s.seed < self._first_seed}
        return found

    def deciding_seeds(self) -> set[int]:
        """Returns the confirmatory seeds of which any run of the figures is finished."""
        found: set[int] = set()
        for settings in {dataclasses.replace(settings, seed=0) for settings, _ in self._runs}:
            later = [dataclasses.replace(settings, seed=self._first_seed + i) for i in range(_MAX_SEEDS)]
            found |= {s.seed for s, run in find_runs(self._study, later, self._records) if run}
        return found

    def missing_runs(self, first: int) -> dict[Settings, float]:
        """Returns {settings: seconds on two cores} of the runs that are missing.

        Args:
            first: The first confirmatory seed; if it is above 0, the runs of the fewest such seeds count too.
        """
        wanted = [settings for settings, run in self._runs if run is None]
        seeds = range(first, first + _FEWEST) if first else ()
        wanted += [dataclasses.replace(settings, seed=seed) for settings, _ in self._runs for seed in seeds]
        return self._unfinished(wanted)

    def further_runs(self, more: int) -> dict[Settings, float]:
        """Returns the same of so many further seeds of every cell that was read."""
        wanted = [
            dataclasses.replace(cell, seed=max(last + 1, self._first_seed) + i)
            for cell, last in self._last.items()
            for i in range(more)
        ]
        return self._unfinished(wanted)

    def _unfinished(self, wanted):
        found = find_runs(self._study, dict.fromkeys(wanted), self._records)
        return {settings: self._study.estimate(settings) for settings, run in found if run is None}

    @property
    def is_exploratory(self) -> bool:
        """Whether any part rests on runs alone that were looked at when the check was written."""
        only = bool(self.used) and all(settings.seed < self._first_seed for settings in self.used)
        return self._fell_back or only

    def values(self, name: str, **coordinates: Value) -> list:
        """Returns the sorted values of a setting over the runs that a complete figure has."""
        return sorted({getattr(settings, name) for settings, _ in self._matching(coordinates)})


def _values(found, seeds, measure):
    """A measure of the runs of some seeds, an array of shape (seeds, cells)."""
    rows = [[_measured(measure, members[seed][1]) for members in found] for seed in seeds]
    return np.array(rows, float).reshape(len(seeds), len(found))


def _measured(measure, run):
    return math.nan if run.diverged else measure(run)


def _judge_at(claim, evidence):
    try:
        outcome = claim.check(evidence)
    except MissingRunsError as error:
        if why := claim.out_of_reach.get(evidence.scale):
            return Judgement(claim, Outcome("out of reach", f"Out of reach: {why}."), evidence.scale)
        outcome = Outcome("not run", str(error))
        return Judgement(
            claim, outcome, evidence.scale, needed=evidence.missing_runs(claim.confirmatory_from)
        )
    # With confirmatory seeds a check reads those of its own cells, whatever else of the figure is finished.
    if evidence.left_out and not claim.confirmatory_from:
        outcome = outcome.noting(evidence.left_out)
    runs = tuple(evidence.used.values())
    if why := claim.out_of_reach.get(evidence.scale):
        outcome = outcome.noting(f"Out of reach: {why}.")
        outcome = dataclasses.replace(outcome, verdict="out of reach", p=math.nan)
    elif evidence.is_exploratory:
        first, would = claim.confirmatory_from, outcome.words
        note = f"Seeds below {first} were looked at when this was written (they would say: {would})."
        outcome = dataclasses.replace(outcome.noting(note), verdict="open", p=math.nan, more=_FEWEST)
    if copies := _copies_of_one_data_set(runs):
        outcome = dataclasses.replace(
            outcome.noting(f"Runs on {copies} do not count together."), verdict="open", p=math.nan, more=None
        )
    seen, needed = {run.seed for run in runs}, None
    if outcome.verdict == "open" and len(seen) < _FEWEST:
        outcome = dataclasses.replace(outcome, more=max(outcome.more or 0, _FEWEST - len(seen)))
    if outcome.verdict == "open" and outcome.more:
        needed = evidence.further_runs(outcome.more)
    names = {name + stands_in_for(run) for run in runs if (name := data_name(run))}
    exploratory = tuple(sorted(evidence.exploratory))
    return Judgement(claim, outcome, evidence.scale, tuple(sorted(names)), runs, needed, exploratory)


def _copies_of_one_data_set(runs):
    """The titles of copies of one data set, in words; empty if each data set has one title."""
    read = {(run.record["settings"].get("dataset"), data_name(run)) for run in runs}
    times = Counter(dataset for dataset, _ in read if dataset)
    return " and ".join(sorted(str(title) for dataset, title in read if times[dataset] > 1))


def stands_in_for(run: Run) -> str:
    """Words that say for which data set a run's images stand in, empty if for none."""
    name = run.record["settings"].get("stand_in_for")
    return f" in place of {name}" if name else ""


def q_values(judgements: Sequence[Judgement]) -> dict[tuple[Claim, str | None], float]:
    """Returns the Benjamini-Hochberg q values (1995) of judgements with a p value, by `Judgement.key`.

    A p value is that of the direction that was found, and every test looks both ways: it counts twice.
    """
    tested = [j for j in judgements if not math.isnan(j.outcome.p)]
    found = stats.false_discovery_control([min(1.0, 2 * j.outcome.p) for j in tested]) if tested else []
    return {j.key: float(q) for j, q in zip(tested, found, strict=True)}


def headline(judgements: Sequence[Judgement]) -> str:
    """Returns "decided d of n, out of reach r, open o (h hours)"; a claim that is not run is open."""
    verdicts = Counter(j.outcome.verdict for j in judgements)
    decided, unreachable = sum(verdicts[verdict] for verdict in DECIDED), verdicts["out of reach"]
    left = [j.needed for j in judgements if j.outcome.verdict in ("open", "not run")]
    # Claims share runs.
    seconds = {settings: time for needed in left for settings, time in (needed or {}).items()}
    priced = (
        f" ({sum(seconds.values()) / 3600:.1f} hours"
        + (", some without a price" if None in left else "")
        + ")"
    )
    return (
        f"decided {decided} of {len(judgements)}, out of reach {unreachable}, open {len(left)}"
        + priced * bool(left)
    )


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
        tried = []
        for s in scales:
            evidence = Evidence(study, claim.figures, records, s, claim.confirmatory_from)
            judgement = _judge_at(claim, evidence)
            if judgement.outcome.verdict != "not run":
                break
            tried.append((evidence.num_finished, s != _USUAL, judgement))
        else:
            # The scale that has most of its runs; of none the one at which the claim is usually decided.
            *_, judgement = min(tried, key=lambda found: (-found[0], found[1]))
            judgement = dataclasses.replace(judgement, scale=scale)
        judgements.append(judgement)
    return judgements
