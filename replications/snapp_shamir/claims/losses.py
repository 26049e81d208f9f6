"""Checks of the claims of section 3 on losses, and on what a second hidden unit changes (figure 2)."""

import itertools

import numpy as np

from common.study.claims import claim
from common.study.decisions import MARGINS, choosing_and_deciding, equality, ordering, together
from common.study.effects import level
from replications.snapp_shamir.claims.thetas import (
    NEW,
    ONE_ORDER,
    cell_at,
    changes,
    inits,
    listed,
    ratios,
    smallest,
    typical,
    with_dead,
)
from replications.snapp_shamir.results import (
    DISTINCT,
    IDENTICAL,
    IDENTITY_1,
    IDENTITY_2,
    LINEAR,
    LOSS,
    PD,
    RELU_1,
    RELU_2,
    SIMPLE,
)

_EQUAL = MARGINS["factor"]


@claim(
    10,
    "A model's loss depends neither on the window nor on the initialization.",
    "section 3, figure 2",
    ("2",),
    quote="loss on evaluation data appears to be equal for a given model regardless of these factors",
    tests="Whether the factor by which excess loss changes is below 1.5, of the model where it is largest: "
    "from the smallest to the largest window (least squares), and between the initializations (mean over "
    "windows). Pairs with a dead model left out.",
    confirmatory_from=NEW,
)
def loss_is_flat(evidence):
    windows = evidence.values("shuffle_log2", **LINEAR)
    places = [model | init for model in SIMPLE.values() for init in (IDENTICAL, DISTINCT)]
    over_windows = changes(evidence, LOSS, places, windows)
    comparisons = [inits(z, model) for model in SIMPLE.values() for z in windows]
    values = np.log(ratios(evidence, LOSS, comparisons).values)
    values = values.reshape(-1, len(SIMPLE), len(windows)).mean(axis=2)
    question = "the smaller loss over the larger one, of the model where they differ most"
    relu = [inits(z, RELU_1) for z in windows]
    return together(
        ordering(f"{question}, over windows", smallest("by least squares", over_windows), 1 / _EQUAL),
        ordering(f"{question}, over initializations", smallest("mean", np.exp(-np.abs(values))), 1 / _EQUAL),
        listed("loss of distinct over identical initialization", list(SIMPLE), np.exp(values)),
        with_dead(evidence, LOSS, "the same of ReLU1", relu),
    )


@claim(
    11,
    "One identity and one ReLU unit have losses of the same order, both above the linear model's; a "
    "second unit can improve loss and raises PD.",
    "sections 1 and 3, figure 2",
    ("2",),
    quote="We next move to two units, and demonstrate that while accuracy can improve, PDs actually increase "
    "with more degrees of freedom",
    tests="Means over windows and initializations, pairs with a dead model left out: whether ReLU1's loss "
    "is within a factor of 10 of identity1's; both are above the linear model's; a second unit lowers the "
    "loss of that activation for which it does so in seed 0; and raises PD, over both activations.",
    confirmatory_from=NEW,
)
def more_units(evidence):
    windows = evidence.values("shuffle_log2", **LINEAR)
    places = list(itertools.product(windows, (IDENTICAL, DISTINCT)))
    models = [
        (IDENTITY_2, IDENTITY_1),
        (RELU_2, RELU_1),
        (RELU_1, IDENTITY_1),
        (IDENTITY_1, LINEAR),
        (RELU_1, LINEAR),
    ]
    comparisons = [
        (cell_at(z, top, init), cell_at(z, bottom, init)) for top, bottom in models for z, init in places
    ]

    def over(metric):
        """Mean ratios over windows and initializations: of the thetas that chose before, of all."""
        table = ratios(evidence, metric, comparisons)
        shape = (-1, len(models), len(places))
        return [np.exp(np.log(a).reshape(shape).mean(axis=2)) for a in (table.pilot, table.values)]

    pilot, loss = over(LOSS)
    pd = over(PD)[1][:, :2]
    chooser, deciding = choosing_and_deciding(pilot, loss)
    activations = ["identity", "ReLU"]
    best = int(np.argmin(np.nan_to_num(chooser[:2], nan=np.inf)))
    improved = level(f"{activations[best]} (chosen by other thetas)", 1 / deciding[:, best], factor=True)
    return together(
        equality("excess loss of ReLU1 over identity1", typical("mean", loss[:, 2:3]), ONE_ORDER),
        ordering("excess loss over the linear model's", smallest("the smaller of two ratios", loss[:, 3:])),
        ordering("excess loss of one unit over two", improved),
        ordering("PD of two units over one", typical("identity and ReLU", pd)),
        listed("excess loss of two units over one", activations, loss[:, :2]),
        listed("PD of two units over one", activations, pd),
    )
