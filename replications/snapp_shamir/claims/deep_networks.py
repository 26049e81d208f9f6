"""Checks of the claims of sections 4 and 5: towers and wide embedding (figures 6 and 8)."""

import itertools

import numpy as np

from common.study.claims import claim
from common.study.decisions import (
    MARGINS,
    choosing_and_deciding,
    described,
    equality,
    ordering,
    rate,
    together,
)
from common.study.effects import level, slope
from replications.snapp_shamir.claims.thetas import (
    ABSOLUTE,
    NEW,
    NEW_TOWERS,
    NEW_WIDE,
    ONE_ORDER,
    ORDERS,
    SOME,
    SUBSTANTIAL,
    at,
    common_runs,
    ends,
    listed,
    mean_of,
    ratios,
    smallest,
    typical,
    with_dead,
)
from replications.snapp_shamir.published import ACTIVATION_NAMES, OPTIMIZER_NAMES
from replications.snapp_shamir.results import (
    IDENTICAL,
    LINEAR,
    LOSS,
    PD,
    RELU_1,
    dead_pairs,
    living,
    measured,
    window,
)

_COMPARABLE = MARGINS["factor"]

_TOWER = {"model": "tower"}
_TOWERS = {name: _TOWER | {"activation": name} for name in ("identity", "relu")}
_WIDE = {"model": "wide"}
_RATES = (("adagrad", 0.1), ("adagrad", 1.0), ("sgd", 0.1), ("sgd", 0.01))
_TOO_LARGE = (("adagrad", 1.0, 0.1), ("sgd", 0.1, 0.01))


def _stuck(runs):
    """Of each pair with a dead ReLU tower, at each window with one: how much more loss and PD has it?

    Returns:
        {(seed, pair): [(whether both models are dead, loss over the living pairs' median, PD over theirs)]};
        how many pairs there are.
    """
    found, pairs = {}, set()
    for run in runs:
        pairs |= {(run.seed, pair) for pair in measured(run, PD).index}
        stuck, counts = np.unique(dead_pairs(run), return_counts=True)
        for pair, count in zip(stuck, counts, strict=True):
            more = [measured(run, metric)[pair] / living(run, metric).median() for metric in (LOSS, PD)]
            found.setdefault((run.seed, pair), []).append((count == 2, *more))
    return found, len(pairs)


@claim(
    15,
    "Tower: ReLU has high PD even without shuffling, identity of order 1e-6; some ReLU models are stuck, "
    "with higher loss and PD.",
    "section 4, figure 6",
    ("6",),
    quote="this yields worse PD for the ReLU model even with minimal shuffling ... Some model instantiations "
    "(even with little shuffling) are stuck, unable to learn, degrading expected loss and PD substantially",
    tests="Without shuffling: whether ReLU's PD, pairs with a dead model left out, is more than 100 times "
    "identity's, and identity's within a factor of 10 of 1e-6. Exact binomial tests over pairs: whether "
    "more than 1 in 100 have a dead model; and whether most of those with one have more than twice the "
    "median loss of the living pairs, and where one model is dead and the other not, of their PD.",
    confirmatory_from=NEW,
    out_of_reach=ABSOLUTE,
)
def tower(evidence):
    windows = evidence.values("shuffle_log2", **_TOWERS["relu"])
    # All parts on the same thetas: those that have every window.
    cells = [*at(0, *_TOWERS.values()), *(at(z, _TOWERS["relu"])[0] for z in windows[1:])]
    identity, relu = evidence.table(cells, mean_of(PD)).values[:, :2].T
    runs = itertools.chain(*common_runs(evidence, cells).values())
    found, num_pairs = _stuck(run for run in runs if run.record["settings"]["activation"] == "relu")
    stuck = list(found.values())
    worse = sum(all(loss > SUBSTANTIAL for _, loss, _ in cases) for cases in stuck)
    one_dead = [[difference for both, _, difference in cases if not both] for cases in stuck]
    apart = [min(cases) > SUBSTANTIAL for cases in one_dead if cases]
    both = [f"{difference:.2g} times" for cases in stuck for both, _, difference in cases if both]
    return together(
        ordering("PD at log2 z = 0", level("ReLU over identity", relu / identity, factor=True), ORDERS),
        equality("identity's", level("the mean over pairs", identity, factor=True), ONE_ORDER, 1e-6),
        rate("pairs have a dead ReLU model", len(stuck), num_pairs, SOME),
        rate("pairs with a dead model lose more than twice what the living do", worse, len(stuck)),
        rate("of those with one dead model of two, PD is more than twice theirs", sum(apart), len(apart)),
        described("PD of pairs with two dead models", [("relative to theirs", ", ".join(both) or "none")]),
    )


@claim(
    16,
    "Wide embedding: linear has the best PD curve, ReLU's PD is worse even with minimal shuffling; too "
    "large a learning rate can degrade loss and PD.",
    "section 5, figure 8",
    ("8",),
    quote="with the baseline linear having the best PD curve ... too large learning rates can degrade "
    "loss and PD ... Again, ReLU exhibits worse PDs even with minimal shuffling",
    tests="Whether the smaller of the ratios of PD to the linear model's, of identity and ReLU (AdaGrad "
    "0.1, mean over three windows), is above 1; whether ReLU's PD without shuffling is above identity's and "
    "linear's; and whether the higher rate raises loss, and PD, in the case that seed 0 chose of four, over "
    "the pairs that both rates have.",
    confirmatory_from=NEW_WIDE,
)
def wide(evidence):
    windows = ends(evidence.values("shuffle_log2", **_WIDE))
    curves = [(_wide(name, "adagrad", 0.1), LINEAR) for name in _TOWERS]
    rates = {
        f"{ACTIVATION_NAMES[name]}, {OPTIMIZER_NAMES[optimizer]} {high} over {low}": (
            _wide(name, optimizer, high),
            _wide(name, optimizer, low),
        )
        for name in _TOWERS
        for optimizer, high, low in _TOO_LARGE
    }
    count = min(evidence.values("pairs", **_WIDE))

    def of_shared_pairs(metric):
        """As `mean_of`, over the pairs that the runs of all rates have."""

        def measure(run):
            values = living(run, metric)
            values = values[values.index < count]
            return float(values.mean()) if len(values) else np.nan

        return measure

    def over_windows(measure, places):
        """Mean ratios over windows: of the thetas that chose before, of all."""
        cells = [cell for pair in places for z in windows for cell in at(z, *pair)]
        table = evidence.table(cells, measure)
        shape = (-1, len(places), len(windows))
        return [
            np.exp(np.log(a[:, ::2] / a[:, 1::2]).reshape(shape).mean(axis=2))
            for a in (table.pilot, table.values)
        ]

    parts = []
    for metric, question in ((LOSS, "excess loss"), (PD, "PD")):
        found = over_windows(of_shared_pairs(metric), rates.values())
        chooser, deciding = choosing_and_deciding(*found)
        worst = int(np.argmax(np.nan_to_num(chooser, nan=-np.inf)))
        effect = level(list(rates)[worst], deciding[:, worst], factor=True)
        parts.append(ordering(f"{question} at too large a rate", effect))
    (identity, _), (relu, _) = curves
    minimal = ratios(evidence, PD, [at(0, relu, identity), at(0, relu, LINEAR)]).values
    above = over_windows(mean_of(PD), curves)[1]
    return together(
        ordering("PD relative to the linear model's", smallest("the smaller of two curves'", above)),
        ordering("ReLU's PD over identity's and linear's at log2 z = 0", smallest("the smaller", minimal)),
        *parts,
        listed("PD relative to the linear model's", ["identity", "ReLU"], above),
    )


def _wide(activation, optimizer, rate):
    return _WIDE | {"activation": activation, "optimizer": optimizer, "learning_rate": rate}


@claim(
    21,
    "With more shuffling too, PD of the ReLU and of the identity tower is worse than a single ReLU's.",
    "section 4, figures 2 and 6",
    ("2", "6"),
    quote="PDs of both the ReLU and the identity activation are high and worse than a single ReLU also with "
    "more shuffling",
    tests="PD of a tower over that of ReLU1, identical initialization, mean over the windows above the "
    "smallest, pairs with a dead model left out: whether it is above 1, of ReLU and of identity.",
    confirmatory_from=NEW,
)
def towers_are_worse(evidence):
    windows = evidence.values("shuffle_log2", **_TOWERS["relu"])[1:]
    parts = []
    for name, place in _TOWERS.items():
        comparisons = [at(z, place, RELU_1 | IDENTICAL) for z in windows]
        values = ratios(evidence, PD, comparisons).values
        question = f"PD of the {ACTIVATION_NAMES[name]} tower over a single ReLU's"
        parts += [
            ordering(question, typical(f"mean over log2 z = {windows[0]} to {windows[-1]}", values)),
            listed(question, [window(z) for z in windows], values),
        ]
    dead = [at(z, _TOWERS["relu"], RELU_1 | IDENTICAL) for z in windows]
    return together(*parts, with_dead(evidence, PD, "that of the ReLU tower", dead))


def _apart(run):
    """The smaller over the larger loss of the two models of a pair: the geometric mean over living pairs."""
    rows = run.rows
    rows = rows[(rows.metric == LOSS) & (rows.statistic == "run") & (rows.examples == rows.examples.max())]
    losses = rows.pivot(index="pair", columns="member", values="value").loc[living(run, LOSS).index]
    first, second = np.log(losses.to_numpy()).T
    return float(np.exp(-np.abs(first - second).mean())) if len(losses) else np.nan


@claim(
    30,
    "The two models of a pair of ReLU towers have similar losses where both learn, however different their "
    "weights.",
    "section 4, figure 7",
    ("7",),
    quote="these models converge to very different optima (although, despite that, when they manage to "
    "learn, excess loss on evaluation data is similar)",
    tests="Two parts, the smallest and the largest window: whether the smaller over the larger loss of the "
    "two models of a pair, geometric mean over the pairs without a dead model, is above 1/1.5.",
    confirmatory_from=NEW_TOWERS,
)
def pairs_lose_alike(evidence):
    windows = evidence.values("shuffle_log2", **_TOWERS["relu"])
    question = "the smaller over the larger loss of the two models of a pair"
    return together(
        *(
            ordering(
                question,
                typical(f"at {window(z)}", evidence.table(at(z, _TOWERS["relu"]), _apart).values),
                1 / _COMPARABLE,
            )
            for z in (windows[0], windows[-1])
        )
    )


@claim(
    22,
    "Towers with smooth activations have, without shuffling, PD above identity's and below ReLU's.",
    "sections 1 and 6, and figure 6 with smooth activations added",
    ("6",),
    quote="where a smooth activation, such as SmeLU ... or Swish ... exhibits prediction difference larger "
    "than identity, but smaller than ReLU",
    tests="At log2 z = 0, mean of SmeLU and Swish: whether their PD over identity's is above 1, and ReLU's "
    "over theirs.",
    confirmatory_from=NEW,
)
def smooth_towers(evidence):
    smooth = [_TOWER | {"activation": name} for name in ("smelu", "swish")]
    above = ratios(evidence, PD, [at(0, place, _TOWERS["identity"]) for place in smooth]).values
    below = ratios(evidence, PD, [at(0, _TOWERS["relu"], place) for place in smooth]).values
    return together(
        ordering("PD over identity's at log2 z = 0", typical("SmeLU and Swish", above)),
        ordering("ReLU's PD over theirs", typical("SmeLU and Swish", below)),
    )


@claim(
    28,
    "Wide models have a loss that hardly depends on the window.",
    "section 5, figure 8",
    ("8",),
    quote="Again, we observe mostly consistent excess loss for the same configurations while PDs change with "
    "shuffling",
    tests="The factor by which excess loss changes from the smallest to the largest of three windows (least "
    "squares), mean over optimizers and rates: whether it is 1 within a factor of 1.5, of identity and of "
    "ReLU. Pairs with a dead model left out.",
    confirmatory_from=NEW_WIDE,
)
def wide_losses_are_flat(evidence):
    windows = ends(evidence.values("shuffle_log2", **_WIDE))
    parts = []
    for name in _TOWERS:
        cells = [_wide(name, *rate) | {"shuffle_log2": z} for rate in _RATES for z in windows]
        losses = np.log(evidence.table(cells, mean_of(LOSS)).values).reshape(-1, len(_RATES), len(windows))
        positions = (np.asarray(windows) - windows[0]) / (windows[-1] - windows[0])
        change = slope(ACTIVATION_NAMES[name], np.exp(losses.mean(axis=1)), positions, factor=True)
        parts.append(equality("excess loss, largest window over smallest", change, _COMPARABLE))
    return together(*parts)


_TOO_FEW = (
    "the wide model's excess loss depends on the number of examples: 0.4 of the linear model's, then 1.4"
)


@claim(
    29,
    "With a well tuned learning rate the wide identity model has a lower loss than the linear model.",
    "section 5, figure 8",
    ("8",),
    quote="Interestingly, well tuned learning rates even lead to improved loss over the baseline linear "
    "with the identity activation",
    tests="At log2 z = 0: whether the linear model's loss is above that of the wide identity model, at the "
    "one of four optimizers and rates that loses least in seed 0.",
    confirmatory_from=NEW_WIDE,
    out_of_reach={"laptop": _TOO_FEW, "smoke": _TOO_FEW},
)
def tuned_identity(evidence):
    rates = {
        f"{OPTIMIZER_NAMES[optimizer]} {rate}": _wide("identity", optimizer, rate)
        for optimizer, rate in _RATES
    }
    chooser = evidence.choosing(at(0, *rates.values()), mean_of(LOSS)).mean(axis=0)
    best = list(rates)[int(np.argmin(np.nan_to_num(chooser, nan=np.inf)))]
    values = ratios(evidence, LOSS, [at(0, LINEAR, rates[best])]).values
    return together(
        ordering("the linear model's excess loss over the wide identity model's", typical(best, values)),
        listed("excess loss of the thetas that choose", list(rates), chooser[None]),
    )
