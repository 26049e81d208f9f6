"""Checks of the claims of section 3 on PD and loss: linear model, hidden layers of one or two (figure 2)."""

import itertools

import numpy as np

from common.study.claims import claim
from common.study.decisions import (
    MARGINS,
    described,
    equality,
    ordering,
    rate,
    together,
)
from common.study.effects import level
from replications.snapp_shamir.claims.thetas import (
    ABSOLUTE,
    NEW,
    ONE_ORDER,
    ORDERS,
    SAME_ORDER,
    cell_at,
    inits,
    listed,
    mean_of,
    ratios,
    smallest,
    typical,
    with_dead,
)
from replications.snapp_shamir.results import (
    DEEP,
    DISTINCT,
    IDENTICAL,
    IDENTITY_1,
    IDENTITY_2,
    LINEAR,
    LOSS,
    ONE_UNIT,
    PD,
    RELU_1,
    RELU_2,
    SIMPLE,
    living,
    measured,
    window,
)

_FIGURE_2 = "section 3, figure 2"
_EQUAL = MARGINS["factor"]
_SMOOTH = {"identity1": IDENTITY_1, "identity2": IDENTITY_2}
_RELUS = {"ReLU1": RELU_1, "ReLU2": RELU_2}
_UNITS = ((RELU_1, IDENTITY_1), (RELU_2, IDENTITY_2))
_NEGLIGIBLE = 1e-3  # of a probability


def _over_linear(z, model):
    return cell_at(z, model, IDENTICAL), cell_at(z, LINEAR, IDENTICAL)


def _order(evidence, quantity, expected, *cells):
    """The Outcome of a published order of magnitude: within a factor of 10, of several cells their mean."""
    values = evidence.table(cells, mean_of(PD)).values
    return equality(quantity, typical("the mean over pairs", values), ONE_ORDER, expected)


@claim(
    1,
    "One identity unit, identical initialization, no shuffling: PD is of order 1e-7.",
    _FIGURE_2,
    ("2",),
    quote="relative to the same activation with identical initialization (from O(10^-7) ...)",
    tests="Whether the mean PD is within a factor of 10 of 1e-7, over thetas.",
    confirmatory_from=NEW,
    out_of_reach=ABSOLUTE,
)
def identity_order(evidence):
    quantity = "PD of identity1 with identical initialization at log2 z = 0"
    return together(_order(evidence, quantity, 1e-7, cell_at(0, IDENTITY_1, IDENTICAL)))


@claim(
    2,
    "One identity unit: distinct initialization raises PD by orders of magnitude, to order 1e-4.",
    _FIGURE_2,
    ("2",),
    quote="degrades by orders of magnitude relative to the same activation with identical initialization "
    "(from O(10^-7) to O(10^-4))",
    tests="Whether the mean PD is within a factor of 10 of 1e-4, and more than 100 times that with identical "
    "initialization.",
    confirmatory_from=NEW,
    out_of_reach=ABSOLUTE,
)
def identity_initialization(evidence):
    distinct, identical = inits(0, IDENTITY_1)
    quantity = "PD of identity1 with distinct initialization at log2 z = 0"
    gap = typical("distinct over identical", ratios(evidence, PD, [(distinct, identical)]).values)
    return together(
        _order(evidence, quantity, 1e-4, distinct), ordering("the ratio of identity1's PD", gap, ORDERS)
    )


@claim(
    3,
    "ReLU with distinct initialization: PD is of order 1e-2 and stays there with more shuffling.",
    _FIGURE_2,
    ("2",),
    quote="ReLU degrades substantially to Delta_r = O(10^-2), which is retained with more shuffling",
    tests="Of ReLU1 and ReLU2 together, pairs with a dead model left out: whether the mean PD without "
    "shuffling is within a factor of 10 of 1e-2, and with most shuffling within a factor of 3 of that.",
    confirmatory_from=NEW,
    out_of_reach=ABSOLUTE,
)
def relu_level(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_1)
    bottoms = [cell_at(first, model, DISTINCT) for model in _RELUS.values()]
    kept = [(bottom | {"shuffle_log2": last}, bottom) for bottom in bottoms]
    quantity = f"ReLU's PD at {window(last)} over that at {window(first)}, distinct initialization"
    effect = typical("one and two units", ratios(evidence, PD, kept).values)
    everyone = evidence.table(bottoms, mean_of(PD, everyone=True)).values
    levels = [(name, level("", values, factor=True)) for name, values in zip(_RELUS, everyone.T, strict=True)]
    return together(
        _order(evidence, f"PD of ReLU, distinct initialization, at {window(first)}", 1e-2, *bottoms),
        equality(quantity, effect, SAME_ORDER),
        described(f"PD at {window(first)} with the pairs that have a dead model", levels),
        with_dead(evidence, PD, quantity, kept),
    )


@claim(
    4,
    "The linear model has the lowest PD at every window (identical initialization) and the lowest loss.",
    _FIGURE_2,
    ("2",),
    quote="The baseline convex linear model, expectedly, exhibits the best PD curve ... also exhibits the "
    "best loss",
    tests="Whether the smallest of the ratios to the linear model, of four networks at every window, is "
    "above 1: of PD, and of excess loss.",
    confirmatory_from=NEW,
)
def linear_is_best(evidence):
    windows = evidence.values("shuffle_log2", **LINEAR)
    places = list(itertools.product(DEEP, windows))
    labels = [f"{name} at {window(z)}" for name, z in places]
    parts = []
    for metric, quantity in ((PD, "PD"), (LOSS, "excess loss")):
        values = ratios(evidence, metric, [_over_linear(z, DEEP[name]) for name, z in places]).values
        question = f"{quantity} relative to the linear model's"
        parts += [
            ordering(question, smallest(f"the smallest of {len(places)} ratios", values)),
            listed(question, labels, values),
        ]
    return together(*parts)


@claim(
    5,
    "Distinct initialization costs the linear model some PD without shuffling, much less than the deep "
    "models, and nothing with aggressive shuffling.",
    _FIGURE_2,
    ("2",),
    quote="While the PD of the convex baseline somewhat degrades with little shuffling (but not with more "
    "shuffling), PDs of the deep models degrade much more with little shuffling",
    tests="PD of distinct over identical initialization: of the linear model without shuffling above 1, and "
    "below 10 (somewhat); of the one-unit models above that; of the linear model with most shuffling "
    "equal to 1 within a factor of 1.5.",
    confirmatory_from=NEW,
)
def linear_initialization(evidence):
    first, *_, last = evidence.values("shuffle_log2", **LINEAR)
    comparisons = [inits(first, LINEAR), inits(last, LINEAR)]
    comparisons += [inits(first, model) for model in ONE_UNIT.values()]
    values = ratios(evidence, PD, comparisons).values
    cost, end, deep = values[:, :1], values[:, 1:2], values[:, 2:]
    quantity = "PD of the linear model, distinct over identical initialization"
    return together(
        ordering(quantity, typical(f"at {window(first)}", cost)),
        ordering("one over that", typical(f"at {window(first)}", 1 / cost), 1 / ONE_ORDER),
        ordering(
            "the cost for one unit over the linear model's", typical("identity1 and ReLU1", deep / cost)
        ),
        equality(quantity, typical(f"at {window(last)}", end), _EQUAL),
    )


def _per_doubling(run):
    """The factor by which PD changes with each of the last doublings of the data, at most three."""
    examples = sorted(run.rows.examples.unique())[-4:]
    means = [living(run, PD, n).mean() for n in examples]
    return float(np.exp(np.polyfit(np.log2(examples), np.log(means), 1)[0]))


@claim(
    6,
    "At aggressive shuffling the linear model's PD is high too, but improves with more training "
    "examples; the deep models' does so less.",
    "section 3, time series",
    ("2",),
    quote="while for the other models there are limited improvements with more training examples, for the "
    "linear model, PD improves with more training examples",
    tests="With most shuffling: whether the linear model's PD is more than 100 times that without; falls per "
    "doubling of the data, over the last three; and falls faster than that of the four deep models.",
    confirmatory_from=NEW,
)
def more_training(evidence):
    first, *_, last = evidence.values("shuffle_log2", **LINEAR)
    rise = ratios(
        evidence, PD, [(cell_at(last, LINEAR, IDENTICAL), cell_at(first, LINEAR, IDENTICAL))]
    ).values
    cells = [cell_at(last, model, IDENTICAL) for model in SIMPLE.values()]
    slopes = evidence.table(cells, _per_doubling).values
    linear, deep = slopes[:, :1], slopes[:, 1:]
    question = f"PD of the linear model at half the data over that at all, at {window(last)}"
    return together(
        ordering("the linear model's PD", typical(f"{window(last)} over {window(first)}", rise), ORDERS),
        ordering(question, typical("per doubling", 1 / linear)),
        ordering(
            "change of the deep models' PD over the linear model's", typical("their mean", deep / linear)
        ),
        listed("change of PD per doubling", list(SIMPLE), slopes),
    )


@claim(
    7,
    "With identical initialization and no shuffling one-unit models are not far behind the linear one; "
    "with shuffling there is a sustained gap between it and the deep models.",
    _FIGURE_2,
    ("2",),
    quote="other models are not far behind. As shuffling increases, there is a sustained gap between the "
    "linear baseline and the deep models",
    tests="Whether the larger ratio of the one-unit models' PD to the linear model's is below 10 without "
    "shuffling, and the smallest of all four networks' with it, at every window, is above 1.",
    confirmatory_from=NEW,
)
def gap_to_linear(evidence):
    first, *windows = evidence.values("shuffle_log2", **LINEAR)
    near = ratios(evidence, PD, [_over_linear(first, model) for model in ONE_UNIT.values()]).values
    places = list(itertools.product(DEEP, windows))
    gaps = ratios(evidence, PD, [_over_linear(z, DEEP[name]) for name, z in places]).values
    question = f"PD of the linear model relative to a one-unit model's at {window(first)}"
    return together(
        ordering(question, smallest("the smaller of two ratios", 1 / near), 1 / ONE_ORDER),
        ordering(
            f"PD relative to the linear model's beyond {window(first)}",
            smallest(f"the smallest of {len(places)} ratios", gaps),
        ),
        listed(f"PD relative to the linear model's at {window(first)}", list(ONE_UNIT), near),
    )


@claim(
    8,
    "Two ReLU units have PD orders of magnitude above the linear model's even with identical "
    "initialization and no shuffling; two identity units do not.",
    _FIGURE_2,
    ("2",),
    quote="ReLU with two units, even with identical initialization already clearly demonstrates orders of "
    "magnitude higher PD than the baseline. Such degradation is not present with the smooth identity "
    "activation with 2 units",
    tests="Whether the mean PD relative to the linear model's is above 100 of two ReLU units, and below 10 "
    "of two identity units; medians over pairs are described.",
    confirmatory_from=NEW,
)
def relu2_stands_out(evidence):
    values = ratios(evidence, PD, [_over_linear(0, RELU_2), _over_linear(0, IDENTITY_2)]).values
    cells = [cell_at(0, model, IDENTICAL) for model in (RELU_2, LINEAR)]
    medians = evidence.table(cells, lambda run: float(measured(run, PD).median())).values
    question = "PD relative to the linear model's at log2 z = 0"
    return together(
        ordering(question, typical("ReLU2", values[:, :1]), ORDERS),
        ordering("one over that", typical("identity2", 1 / values[:, 1:]), 1 / ONE_ORDER),
        described(
            "of medians over pairs", [("ReLU2", level("", medians[:, 0] / medians[:, 1], factor=True))]
        ),
    )


@claim(
    9,
    "With enough shuffling identical initialization is as bad as distinct, and identity's advantage "
    "over ReLU diminishes and disappears.",
    _FIGURE_2,
    ("2",),
    quote="Enough shuffling with equal initialization leads to PD levels of equal or higher orders to those "
    "with different initializations. The benefits of the smooth identity diminish (and eventually "
    "disappear) with more shuffling",
    tests="With most shuffling: whether PD of identical over distinct initialization is above 1/3, of "
    "identity networks and of ReLU networks; whether ReLU's PD over identity's is below that without "
    "shuffling, and equal to 1 within a factor of 1.5.",
    confirmatory_from=NEW,
)
def aggressive_shuffling(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_1)
    question = f"PD of identical over distinct initialization at {window(last)}"
    parts = []
    for label, models in (("identity", _SMOOTH), ("ReLU", _RELUS)):
        comparisons = [tuple(reversed(inits(last, model))) for model in models.values()]
        effect = typical(label, ratios(evidence, PD, comparisons).values)
        parts.append(ordering(question, effect, 1 / SAME_ORDER))
    cases = list(itertools.product(_UNITS, (IDENTICAL, DISTINCT)))
    begin, end = (
        [(cell_at(z, relu, init), cell_at(z, identity, init)) for (relu, identity), init in cases]
        for z in (first, last)
    )
    values = ratios(evidence, PD, [*begin, *end]).values
    start, rest = values[:, : len(cases)], values[:, len(cases) :]
    advantage = "ReLU's PD over identity's"
    fading = f"{advantage} at {window(first)} over that at {window(last)}"
    return together(
        *parts,
        ordering(fading, typical("both numbers of units and initializations", start / rest)),
        equality(f"{advantage} at {window(last)}", typical("the same", rest), _EQUAL),
        with_dead(evidence, PD, question, [tuple(reversed(inits(last, m))) for m in _RELUS.values()]),
    )


@claim(
    27,
    "Even the linear model with identical initialization and no shuffling has a PD, although a negligible "
    "one.",
    "section 1, figure 2",
    ("2",),
    quote="prediction differences, although negligible, are observed even with convex models with identical "
    "initialization and no shuffling",
    tests="Whether more than half of all pairs have a PD above 0 (exact binomial test), and the mean PD is "
    "below a thousandth.",
    confirmatory_from=NEW,
)
def rounding_alone(evidence):
    cell = cell_at(0, LINEAR, IDENTICAL)
    values = np.concatenate([measured(run, PD).dropna().to_numpy() for run in evidence.seeds(**cell)])
    means = evidence.table([cell], mean_of(PD)).values
    return together(
        rate("the linear models of a pair differ", int((values > 0).sum()), len(values)),
        ordering("one over their PD", level("the mean over pairs", 1 / means, factor=True), 1 / _NEGLIGIBLE),
    )
