"""What the checks of Somepalli et al. 2022 share: networks by seed, their scores, sweeps over width."""

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from common.study import effects
from common.study.claims import Evidence, Table
from common.study.decisions import choosing_and_deciding
from common.study.effects import Effect
from common.study.run_folders import Run
from common.study.verdicts import NOT_JUDGED, Outcome, Sample
from replications.somepalli_boundaries.results import FITTED, accuracy, agreement

# The share of its training labels that a network below paper scale must have fitted for its scores to count:
# the paper's networks have. Those of the paper's protocol count as they come.
_FITTED = 0.99
SWEEP = ("10",)
FIRST = 2  # of the sweep over width, whose seeds 0 and 1 were looked at
# "Near the threshold": from half to twice its width.
_NEAR = 2.0

Kernel = Callable[[Run, Run], float]


@dataclasses.dataclass(frozen=True, eq=False)
class Networks:
    """The trained networks of some cells, such as architectures, with the same seeds.

    Args:
        deciding: {cell: its runs, in the order of the seeds that decide}; None for one that was left out.
        pilot: {cell: its runs of the seeds that were looked at before}.
        note: A sentence on what was left out, or nothing.
    """

    deciding: Mapping[object, Sequence[Run | None]]
    pilot: Mapping[object, Sequence[Run | None]]
    note: str = ""

    def effect(
        self, label: str, terms: Sequence[tuple[float, tuple]], kernel: Kernel | None = None
    ) -> Effect:
        """The Effect of a sum of coefficients times mean scores between cells.

        Networks of two seeds are compared, and each seed gives one value, see `effects.over_pairs`.

        Args:
            label: What is compared.
            terms: (coefficient, pair of cells); a cell that was left out leaves the effect unmeasured.
            kernel: Function of two runs, symmetric; by default their agreement.
        """
        return effects.level(label, self.values(terms, kernel))

    def values(self, terms: Sequence[tuple[float, tuple]], kernel: Kernel | None = None) -> np.ndarray:
        """One value of such a sum for each seed that all its cells have: (seeds,)."""
        cells = {cell for _, pair in terms for cell in pair}
        if not cells or not cells <= self.deciding.keys():
            return np.empty(0)
        runs = _of_common_seeds(self.deciding, cells)
        return effects.over_pairs(_sum(runs, terms, kernel or agreement)[..., None])[:, 0]

    def measured(self, cell: object, measure: Callable[[Run], float]) -> np.ndarray:
        """A measure of each run of a cell, nan of one that was left out; empty if the whole cell was."""
        runs = self.deciding.get(cell, ())
        return np.array([math.nan if run is None else measure(run) for run in runs])

    def mean(self, *pair: object) -> float:
        """The mean score between two cells; nan without a pair of seeds."""
        values = self.values([(1.0, pair)])
        return float(values.mean()) if len(values) else math.nan

    def sample(self, label: str, terms: Sequence[tuple[float, tuple]]) -> Sample:
        """The same as a Sample, for published numbers."""
        return Sample(label, tuple(map(float, self.values(terms))))


def _of_common_seeds(runs, cells):
    """{cell: its runs of the seeds that all these cells have}."""
    whole = [members for members in zip(*(runs[cell] for cell in cells), strict=True) if None not in members]
    return {cell: [members[i] for members in whole] for i, cell in enumerate(cells)}


def _sum(runs, terms, kernel):
    """Scores of every pair of seeds, (seeds, seeds): the mean of both ways, undefined on the diagonal."""
    n = len(next(iter(runs.values())))
    total = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        for coefficient, (a, b) in terms:
            both = kernel(runs[a][i], runs[b][j]), kernel(runs[a][j], runs[b][i])
            total[i, j] += coefficient * sum(both) / 2
        total[j, i] = total[i, j]
    return total


def mean_of(pairs: Sequence[tuple], sign: float = 1.0) -> list[tuple[float, tuple]]:
    """Terms of the mean over pairs of cells, times a sign."""
    return [(sign / len(pairs), pair) for pair in pairs]


def networks_of(evidence: Evidence, cells: Mapping, must_fit: bool = True) -> Networks:
    """Returns the `Networks` of cells.

    Networks that diverged are left out, and below paper scale those that have not fitted; so is a cell that
    keeps less than half of its networks.

    Args:
        evidence: Of the claim.
        cells: {name: settings that are the cell's alone, without the seed}.
        must_fit: Whether networks that have not fitted their training labels are left out.
    """
    found: list[Run] = []

    def place(run):
        found.append(run)
        return len(found) - 1

    table = evidence.table(list(cells.values()), place)
    least = _FITTED if must_fit and evidence.scale != "paper" else 0.0

    def runs(places, least):
        columns = zip(cells, places.T, strict=True)
        members = {name: [None if np.isnan(i) else found[int(i)] for i in column] for name, column in columns}
        return {
            name: [r if r and accuracy(r, "train") >= least else None for r in rs]
            for name, rs in members.items()
        }

    every, deciding = runs(table.values, 0.0), runs(table.values, least)
    note = _left_out(every, deciding)
    deciding = {name: rs for name, rs in deciding.items() if 2 * rs.count(None) <= len(rs)}
    return Networks(deciding, runs(table.pilot, 0.0), note)


def _left_out(every, kept):
    """A sentence on the networks that are not kept, with their training accuracies; or nothing."""
    texts = []
    for name, runs in every.items():
        gone = [run for run, kept_run in zip(runs, kept[name], strict=True) if kept_run is None]
        shares = [f"{100 * accuracy(run, 'train'):.0f} %" if run else "diverged" for run in gone]
        if gone:
            texts.append(f"{_words(name)} ({', '.join(shares)})")
    reason = "diverged or with training labels fitted below 99 %"
    return f"Networks left out, {reason}: {', '.join(texts)}." if texts else ""


def _words(name):
    return " ".join(map(str, name)) if isinstance(name, tuple) else str(name)


def noting(outcome: Outcome, note: str) -> Outcome:
    """The Outcome with a sentence, if there is one."""
    return outcome.noting(note) if note else outcome


@dataclasses.dataclass(frozen=True, eq=False)
class Sweeps:
    """The runs of a figure over the width of ResNet18k, one sweep for each label noise.

    Args:
        evidence: Of the claim.
    """

    evidence: Evidence

    @property
    def scale(self) -> str:
        """Scale of the runs."""
        return self.evidence.scale

    @functools.cached_property
    def widths(self) -> list[int]:
        """All widths, increasing."""
        return self.evidence.values("width")

    @property
    def names(self) -> list[str]:
        """Names of the widths."""
        return [f"k = {width}" for width in self.widths]

    def by_width(self, values: np.ndarray) -> list[tuple[str, str]]:
        """(width, mean over the seeds) of values of shape (seeds, widths), for a description."""
        means = values.mean(axis=0) if len(values) else []
        return [(name, f"{value:.3g}") for name, value in zip(self.names, means, strict=False)]

    @functools.cached_property
    def noise(self) -> float:
        """The largest label noise."""
        return self.evidence.values("label_noise")[-1]

    def cells(self, noise: float) -> dict[tuple, dict]:
        """{(noise, width): the settings of the cell}."""
        return {(noise, width): {"label_noise": noise, "width": width} for width in self.widths}

    def noisy(self, measure: Callable[[Run], float]) -> Table:
        """`Table` of a function of a run with noise: (seeds, widths)."""
        return self.evidence.table(list(self.cells(self.noise).values()), measure)

    def clean(self, measure: Callable[[Run], float]) -> Table:
        """The same without noise."""
        return self.evidence.table(list(self.cells(0.0).values()), measure)

    def noisy_and_clean(self, measure: Callable[[Run], float]) -> Table:
        """Both, noise first, beside each other: (seeds, 2 widths)."""
        cells = [*self.cells(self.noise).values(), *self.cells(0.0).values()]
        return self.evidence.table(cells, measure)

    @functools.cached_property
    def threshold(self) -> float:
        """The interpolation threshold of the seeds that choose places, the median of theirs; nan if none.

        A seed's own is the narrowest width from which on 95 % of the labels, wrong ones too, are fitted.
        """
        table = self.noisy(lambda run: accuracy(run, "train"))
        rows = table.pilot if len(table.pilot) else table.values[:1]
        return float(np.median([_own_threshold(self.widths, row) for row in rows]))

    @property
    def near(self) -> np.ndarray:
        """Which widths are near the threshold: (widths,)."""
        widths = np.array(self.widths)
        return (widths >= self.threshold / _NEAR) & (widths <= self.threshold * _NEAR)

    @property
    def at_threshold(self) -> int:
        """Index of the narrowest width at the threshold or above it."""
        return int(np.argmax(np.array(self.widths) >= self.threshold))

    def no_threshold(self) -> Outcome | None:
        """The Outcome where there is no threshold between the widths; else None."""
        if math.isnan(self.threshold):
            return Outcome("open", "No width fits all noisy labels: there is no interpolation threshold.")
        if not self.widths[0] < self.threshold < self.widths[-1]:
            at = f"k = {self.threshold:g}"
            return Outcome("open", f"The interpolation threshold, {at}, is at an end of the widths.")
        return None

    def extreme(self, pilot: np.ndarray, values: np.ndarray) -> tuple[int, int | None, np.ndarray]:
        """Where a curve is highest near the threshold, and lowest before it.

        Args:
            pilot: See `decisions.choosing_and_deciding`.
            values: See there.

        Returns:
            Indices of both widths, None if there is none before; the values that decide.
        """
        chooser, deciding = choosing_and_deciding(pilot, values)
        top = int(np.argmax(np.where(self.near, chooser, -np.inf)))
        return top, int(np.argmin(chooser[:top])) if top else None, deciding

    def scores(self, noise: float) -> tuple[np.ndarray, np.ndarray]:
        """Scores between seeds at every width: (pilot pairs, widths) and (seeds, widths), by `over_pairs`."""
        return self._scores(self.cells(noise))

    def gap_of_scores(self, width: int) -> np.ndarray:
        """Score between seeds at a width without noise minus with: (seeds,)."""
        cells = {(noise, width): {"label_noise": noise, "width": width} for noise in (0.0, self.noise)}
        _, values = self._scores(cells)
        return values[:, 0] - values[:, 1]

    def _scores(self, cells):
        networks = networks_of(self.evidence, cells, must_fit=False)
        found = []
        for members in (networks.pilot, networks.deciding):
            runs = _of_common_seeds(members, cells)
            sums = [_sum(runs, [(1.0, (cell, cell))], agreement) for cell in cells]
            found.append(effects.over_pairs(np.stack(sums, axis=-1)))
        return tuple(found)


def _own_threshold(widths, shares):
    fitted = math.nan
    for width, share in zip(reversed(widths), reversed(shares), strict=True):
        if not share >= FITTED:
            break
        fitted = width
    return fitted


def near_published(sweeps: Sweeps, published: int) -> Outcome:
    """Whether the threshold is the published one, from half to twice; judged at paper scale only."""
    text = f"the interpolation threshold is k = {sweeps.threshold:g}, published near {published}"
    if sweeps.scale != "paper":
        return Outcome(NOT_JUDGED, f"{text}, judged at paper scale only")
    factor = max(sweeps.threshold / published, published / sweeps.threshold)
    return Outcome("reproduced" if factor <= _NEAR else "contradicted", text)


def with_threshold(check: Callable[[Sweeps], Outcome]) -> Callable[[Evidence], Outcome]:
    """Makes a check of `Sweeps` with a threshold between their ends into one of an Evidence."""

    @functools.wraps(check)
    def checked(evidence):
        sweeps = Sweeps(evidence)
        return sweeps.no_threshold() or check(sweeps)

    return checked


def at_end(question: str) -> Outcome:
    """The Outcome where the exploratory seeds have an extreme at the narrowest width."""
    return Outcome("open", f"{question}: the extreme of the seeds that choose is the narrowest width")


def effect_of(label: str, values: np.ndarray, signs: Mapping[int, float], factor: bool = False) -> Effect:
    """The Effect of some columns of values of shape (seeds, cells): {column: coefficient}."""
    coefficients = np.zeros(np.shape(values)[1])
    coefficients[list(signs)] = list(signs.values())
    return Effect(label, values, coefficients, factor)
