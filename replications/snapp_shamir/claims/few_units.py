"""Checks of the claims of section 3: linear data, no hidden unit, one or two (figures 2 to 4)."""

import itertools

import numpy as np

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import (
    about,
    above,
    below,
    compare,
    quotient,
    slope,
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
    mean_ratio,
    measured,
    order,
    pair_ratio,
    ratio_of_ratios,
    window,
    with_or_without_dead,
)

_FIGURE_2 = "section 3, figure 2"


# How the paper's words are read. "Orders of magnitude" are at least two, "not far behind" is less than one,
# and a level is "retained" within a factor of 3, that is the same order.
_ORDERS = 100.0
_ONE_ORDER = 10.0
SAME_ORDER = 3.0
# "Equal": PD changes by five orders where the loss changes by less than this.
_EQUAL = 1.5
# "Hardly" falls with more data: by less than a tenth per doubling.
_HARDLY = 0.9


@claim(
    1,
    "One identity unit, identical initialization, no shuffling: PD is of order 1e-7.",
    _FIGURE_2,
    ("2",),
)
def identity_order(evidence):
    quantity = "PD of identity1 with identical initialization at log2 z = 0"
    return together(order(evidence, quantity, 1e-7, **IDENTITY_1, **IDENTICAL, shuffle_log2=0))


@claim(
    2,
    "One identity unit: distinct initialization raises PD by orders of magnitude, to order 1e-4.",
    _FIGURE_2,
    ("2",),
)
def identity_initialization(evidence):
    place = IDENTITY_1 | {"shuffle_log2": 0}
    quantity = "PD of identity1 with distinct initialization at log2 z = 0"
    gap = pair_ratio(evidence, PD, "distinct over identical", place | DISTINCT, place | IDENTICAL)
    return together(
        order(evidence, quantity, 1e-4, **place, **DISTINCT),
        compare("its PD ratio", [gap], above(_ORDERS)),
    )


@claim(
    3,
    "ReLU with distinct initialization: PD is of order 1e-2 and stays there with more shuffling.",
    _FIGURE_2,
    ("2",),
)
def relu_level(evidence):
    windows = evidence.values("shuffle_log2", **RELU_1)
    parts, bottoms = [], []
    for name, model in (("ReLU1", RELU_1), ("ReLU2", RELU_2)):
        place = model | DISTINCT
        for z in (windows[0], windows[-1]):
            quantity = f"PD of {name} with distinct initialization at {window(z)}"
            parts.append(order(evidence, quantity, 1e-2, **place, shuffle_log2=z))
        bottoms.append((name, place | {"shuffle_log2": windows[0]}))

    def changes(living):
        flat = [
            pair_ratio(evidence, PD, f"{name} at {window(z)}", bottom | {"shuffle_log2": z}, bottom, living)
            for name, bottom in bottoms
            for z in windows[1:]
        ]
        return compare("PD relative to log2 z = 0", flat, about(1, SAME_ORDER))

    return together(*parts, with_or_without_dead(changes))


@claim(
    4,
    "The linear model has the lowest PD at every window (identical initialization) and the lowest loss.",
    _FIGURE_2,
    ("2",),
)
def linear_is_best(evidence):
    outcomes = []
    for metric, quantity in ((PD, "PD"), (LOSS, "excess loss")):
        contrasts = [
            pair_ratio(
                evidence,
                metric,
                f"{name} at {window(z)}",
                model | IDENTICAL | {"shuffle_log2": z},
                LINEAR | IDENTICAL | {"shuffle_log2": z},
            )
            for name, model in DEEP.items()
            for z in evidence.values("shuffle_log2", **model)
        ]
        outcomes.append(compare(f"{quantity} relative to the linear model's", contrasts, above()))
    return together(*outcomes)


def _init_gap(model, z):
    place = model | {"shuffle_log2": z}
    return place | DISTINCT, place | IDENTICAL


@claim(
    5,
    "Distinct initialization costs the linear model some PD without shuffling, less than one-unit "
    "models, and nothing with aggressive shuffling.",
    _FIGURE_2,
    ("2",),
)
def linear_initialization(evidence):
    first, *_, last = evidence.values("shuffle_log2", **LINEAR)
    cost = pair_ratio(evidence, PD, window(first), *_init_gap(LINEAR, first))
    deep = [
        ratio_of_ratios(evidence, PD, name, _init_gap(model, first), _init_gap(LINEAR, first))
        for name, model in ONE_UNIT.items()
    ]
    end = pair_ratio(evidence, PD, window(last), *_init_gap(LINEAR, last))
    return together(
        compare("PD of the linear model, distinct over identical initialization", [cost], above()),
        compare("that cost for one unit relative to the linear model's", deep, above()),
        compare("the linear model's cost", [end], about(1, _EQUAL)),
    )


@claim(
    6,
    "At aggressive shuffling the linear model's PD is high too, but improves with more training "
    "examples; the deep models' hardly does.",
    "section 3, time series",
    ("2",),
)
def more_training(evidence):
    first, *_, z = evidence.values("shuffle_log2", **LINEAR)
    places = [LINEAR | IDENTICAL | {"shuffle_log2": log2} for log2 in (z, first)]
    rise = pair_ratio(evidence, PD, f"{window(z)} over {window(first)}", *places)
    trends = {}
    for name, model in SIMPLE.items():
        run = evidence.run(**model, **IDENTICAL, shuffle_log2=z)
        examples = sorted(run.rows.examples.unique())[-4:]
        table = np.array([measured(run, PD, n) for n in examples])
        table = table[:, np.isfinite(table).all(axis=0)]
        trends[name] = slope(name, table, np.log2(examples))
    deep = [quotient(name, trends[name], trends["linear"]) for name in DEEP]
    span = f"from 2^{np.log2(examples[0]):.0f} to 2^{np.log2(examples[-1]):.0f} examples"
    return together(
        compare("the linear model's PD", [rise], above(_ORDERS)),
        compare(f"change of PD per doubling of the data {span} at {window(z)}", [trends["linear"]], below()),
        compare("that of the deep models", [trends[name] for name in DEEP], above(_HARDLY)),
        compare("that relative to the linear model's", deep, above()),
    )


@claim(
    7,
    "With identical initialization and no shuffling one-unit models are not far behind the linear one; "
    "the gap grows with shuffling.",
    _FIGURE_2,
    ("2",),
)
def gap_to_linear(evidence):
    near, growth = [], []
    for name, model in ONE_UNIT.items():
        windows = evidence.values("shuffle_log2", **model)

        def gap(z, model=model):
            return model | IDENTICAL | {"shuffle_log2": z}, LINEAR | IDENTICAL | {"shuffle_log2": z}

        near.append(pair_ratio(evidence, PD, name, *gap(windows[0])))
        growth += [
            ratio_of_ratios(evidence, PD, f"{name} at {window(z)}", gap(z), gap(windows[0]))
            for z in windows[1:]
        ]
    return together(
        compare("PD relative to the linear model's at log2 z = 0", near, below(_ONE_ORDER)),
        compare("that gap relative to its value at log2 z = 0", growth, above()),
    )


@claim(
    8,
    "Two ReLU units have PD orders of magnitude above the linear model's even with identical "
    "initialization and no shuffling; two identity units do not.",
    _FIGURE_2,
    ("2",),
)
def relu2_stands_out(evidence):
    place = IDENTICAL | {"shuffle_log2": 0}
    relu, identity = (
        pair_ratio(evidence, PD, name, DEEP[name] | place, LINEAR | place) for name in ("ReLU2", "identity2")
    )
    return together(
        compare("PD relative to the linear model's at log2 z = 0", [relu], above(_ORDERS)),
        compare("the same", [identity], below(_ONE_ORDER)),
    )


_UNITS = (("1 unit", RELU_1, IDENTITY_1), ("2 units", RELU_2, IDENTITY_2))


@claim(
    9,
    "With enough shuffling identical initialization is as bad as distinct, and identity's advantage "
    "over ReLU fades.",
    _FIGURE_2,
    ("2",),
)
def aggressive_shuffling(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_1)

    def catching_up(living):
        ratios = [
            pair_ratio(evidence, PD, name, *reversed(_init_gap(model, last)), living)
            for name, model in DEEP.items()
        ]
        quantity = f"PD of identical over distinct initialization at {window(last)}"
        return compare(quantity, ratios, above(1 / SAME_ORDER))

    def fading(living):
        ratios = []
        for (label, relu, identity), init in itertools.product(_UNITS, (DISTINCT, IDENTICAL)):
            advantages = [
                (relu | init | {"shuffle_log2": z}, identity | init | {"shuffle_log2": z})
                for z in (last, first)
            ]
            ratios.append(ratio_of_ratios(evidence, PD, f"{label}, {init['init']}", *advantages, living))
        quantity = f"ReLU's PD over identity's at {window(last)} relative to log2 z = 0"
        return compare(quantity, ratios, below())

    return together(with_or_without_dead(catching_up), with_or_without_dead(fading))


@claim(
    10,
    "A model's loss depends neither on the window nor on the initialization.",
    _FIGURE_2,
    ("2",),
)
def loss_is_flat(evidence):
    contrasts = []
    for name, model in SIMPLE.items():
        windows = evidence.values("shuffle_log2", **model)
        reference = model | IDENTICAL | {"shuffle_log2": windows[0]}
        for init in (IDENTICAL, DISTINCT):
            for z in windows:
                place = model | init | {"shuffle_log2": z}
                if place != reference:
                    label = f"{name} {init['init']} at {window(z)}"
                    contrasts.append(pair_ratio(evidence, LOSS, label, place, reference))
    quantity = "excess loss relative to identical initialization at log2 z = 0"
    return together(compare(quantity, contrasts, about(1, _EQUAL)))


@claim(
    11,
    "One identity and one ReLU unit have losses of the same order, both above the linear model's; a "
    "second unit improves loss and raises PD.",
    "sections 1 and 3, figure 2",
    ("2",),
)
def more_units(evidence):
    places = [
        init | {"shuffle_log2": z}
        for init in (IDENTICAL, DISTINCT)
        for z in evidence.values("shuffle_log2", **LINEAR)
    ]

    def over(label, top, bottom, metric=LOSS):
        tops, bottoms = ([model | place for place in places] for model in (top, bottom))
        return mean_ratio(evidence, metric, label, tops, bottoms)

    doubled = (("identity", IDENTITY_2, IDENTITY_1), ("ReLU", RELU_2, RELU_1))
    return together(
        compare(
            "excess loss (mean over windows and initializations)",
            [over("ReLU1 over identity1", RELU_1, IDENTITY_1)],
            about(1, _ONE_ORDER),
        ),
        compare(
            "excess loss relative to the linear model's",
            [over("identity1", IDENTITY_1, LINEAR), over("ReLU1", RELU_1, LINEAR)],
            above(),
        ),
        compare("excess loss, two units over one", [over(*models) for models in doubled], below()),
        compare("PD, two units over one", [over(*models, metric=PD) for models in doubled], above()),
    )
