"""Checks of the claims on weights: differences, directions, signs, clouds (figures 3, 4, 7 and 9)."""

import numpy as np
from scipy import stats

from common.study.claims import claim
from common.study.decisions import correlation, described, equality, ordering, rate, together
from common.study.effects import level
from common.study.verdicts import number
from replications.snapp_shamir.claims.thetas import (
    ABSOLUTE,
    NEW,
    ONE_ORDER,
    SAME_ORDER,
    SOME,
    common_runs,
    typical,
)
from replications.snapp_shamir.results import (
    DISTINCT,
    FLIPPED,
    IDENTICAL,
    IDENTITY_1,
    LINEAR,
    RELU_1,
    RELU_2,
    dead_pairs,
    embedding_correlations,
    error_cosines,
    layers,
    member_cosines,
    relative_differences,
    root_mean_square_differences,
    weight_correlations,
    window,
)

_PUBLISHED_COSINE = 0.191
_COSINE_MARGIN = _PUBLISHED_COSINE * (1 - 1 / SAME_ORDER)
_PUBLISHED_PAIRS = 16
_UNSEEN = 0.17  # the rate at which none of 16 pairs is flipped in one study of twenty
_VISIBLE = 0.01  # of the weights' size: less is within the line width of a picture
_NARROW = 0.9  # a correlation of weights above it is a narrow cloud
_HIDDEN = slice(1, 4, 2)  # the input and the output edges of the wide model's hidden units


def _median_of(quantity):
    """The function of a run that gives the median over pairs of a quantity of its weights."""

    def measure(run):
        return float(np.median(quantity(run))) if layers(run) else np.nan

    return measure


def _medians(evidence, quantity, cells):
    return evidence.table(cells, _median_of(quantity)).values


@claim(
    12,
    "Weight differences of a ReLU pair are of order 1e-6 without and 1e-2 with maximum shuffling.",
    "section 3, figure 4",
    ("4",),
    quote="The scale of differences with minimum shuffling is O(10^-6) and increases to O(10^-2) with "
    "maximum shuffling",
    tests="Median over pairs of the root mean square weight difference of ReLU1: whether it is within a "
    "factor of 10 of 1e-6 without and of 1e-2 with most shuffling, and grows.",
    confirmatory_from=NEW,
    out_of_reach=ABSOLUTE,
)
def weight_differences(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_1)
    cells = [RELU_1 | IDENTICAL | {"shuffle_log2": z} for z in (first, last)]
    values = _medians(evidence, root_mean_square_differences, cells)
    small, large = values[:, :1], values[:, 1:]
    quantity = "root mean square weight difference of ReLU1"
    return together(
        equality(quantity, typical(f"at {window(first)}", small), ONE_ORDER, 1e-6),
        equality(quantity, typical(f"at {window(last)}", large), ONE_ORDER, 1e-2),
        ordering("the ratio", typical(f"{window(last)} over {window(first)}", large / small)),
    )


@claim(
    13,
    "The cosine between the errors of two distinctly initialized linear models is almost 1 without "
    "shuffling and 0.191 with maximum shuffling.",
    "section 3, with figure 3",
    ("3",),
    quote="we observe a cosine of almost 1 with no shuffling, but one of 0.191 with maximum shuffling",
    tests="Mean cosine over pairs: whether it is above 0.9 without shuffling, within 0.127 (two thirds of "
    "it) of 0.191 with most, and falls between them.",
    confirmatory_from=NEW,
    out_of_reach=ABSOLUTE,
)
def directions(evidence):
    first, *_, last = evidence.values("shuffle_log2", **LINEAR, **DISTINCT)
    cells = [LINEAR | DISTINCT | {"shuffle_log2": z} for z in (first, last)]
    start, end = evidence.table(cells, lambda run: float(error_cosines(run).mean())).values.T
    quantity = "mean cosine of the two models' errors"
    return together(
        ordering(quantity, level(f"at {window(first)}", start), 0.9),
        equality(quantity, level(f"at {window(last)}", end), _COSINE_MARGIN, _PUBLISHED_COSINE),
        ordering("the fall of the cosine", level("between them", start - end)),
    )


def _flipped(runs):
    """Whether each pair's models have opposite signs in one of the runs: boolean array of shape (pairs,)."""
    return np.any([member_cosines(run) < FLIPPED for run in runs], axis=0)


def _with(runs, **settings):
    return [run for run in runs if settings.items() <= run.record["settings"].items()]


@claim(
    14,
    "Some distinctly initialized pairs of one identity unit converge to weights of opposite signs; none of "
    "16 identically initialized ones did.",
    "section 3, figure 3",
    ("2",),
    quote="the other has weights that converge to opposite signs ... We were unable to observe the latter "
    "with identical initialization pairs, even with the most aggressive shuffling",
    tests="Exact binomial tests over pairs, at any window: whether more than 1 in 100 distinctly "
    "initialized pairs have opposite signs; and whether more than 83 in 100 identically initialized ones "
    "have not, so that none in 16 is no surprise.",
    confirmatory_from=NEW,
)
def sign_flips(evidence):
    windows = evidence.values("shuffle_log2", **IDENTITY_1)
    cells = [IDENTITY_1 | init | {"shuffle_log2": z} for init in (DISTINCT, IDENTICAL) for z in windows]
    of_seeds = common_runs(evidence, cells).values()
    distinct, identical = (
        np.concatenate([_flipped(_with(runs, init=init)) for runs in of_seeds])
        for init in ("distinct", "identical")
    )
    k, n = int(identical.sum()), len(identical)
    limits = stats.binomtest(k, n).proportion_ci(method="exact")
    fisher = stats.fisher_exact([[k, n - k], [0, _PUBLISHED_PAIRS]]).pvalue
    return together(
        rate("distinctly initialized pairs have opposite signs", int(distinct.sum()), len(distinct), SOME),
        rate("identically initialized pairs keep the same signs", n - k, n, 1 - _UNSEEN),
        described(
            "identically initialized pairs with opposite signs",
            [
                ("a share of", f"{number(k / n)} [{number(limits.low)}, {number(limits.high)}] (exact 95 %)"),
                ("against 0 of 16 in the paper by Fisher's exact test p =", number(fisher)),
            ],
        ),
    )


@claim(
    23,
    "The weights of two ReLU units of a pair deviate clearly with minimum shuffling, and more with maximum.",
    "section 3, figure 3",
    ("3", "4"),
    quote="The bottom images in Fig. 3 for two ReLU units show clearer deviations between the models with "
    "minimum shuffling, and stronger deviations with maximum shuffling",
    tests="Median over pairs of the root mean square weight difference relative to the weights: whether it "
    "is above 1 %, what a picture shows, with minimum shuffling; and whether it is larger with maximum.",
    confirmatory_from=NEW,
)
def visible_deviations(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_2)
    cells = [RELU_2 | {"shuffle_log2": z} for z in (first, last)]
    values = _medians(evidence, relative_differences, [*cells, RELU_1 | {"shuffle_log2": first}])
    quantity = "weight difference of ReLU2, relative to the weights"
    return together(
        ordering(quantity, typical(f"at {window(first)}", values[:, :1]), _VISIBLE),
        ordering(
            "the ratio of it", typical(f"{window(last)} over {window(first)}", values[:, 1:2] / values[:, :1])
        ),
        described(f"at {window(first)}", [("ReLU1 has", typical("", values[:, 2:]))]),
    )


def _living_scatter(run):
    """One minus the correlation of the two models' weights, of each pair without a dead model."""
    return 1 - np.delete(weight_correlations(run), np.unique(dead_pairs(run)))


@claim(
    24,
    "ReLU towers of a pair with identical initialization: a wide correlation cloud of the learned weights.",
    "section 4, figure 7",
    ("7",),
    quote='the "wide correlation cloud" between the learned weights of two models in an identically '
    "initialized pair of ReLU activated models",
    tests="Median over pairs without a dead model of the correlation of all weights: whether it is below "
    "0.9 with most shuffling. The paper gives no window; the others are described.",
    confirmatory_from=NEW,
)
def correlation_cloud(evidence):
    windows = evidence.values("shuffle_log2", model="tower")
    values = _medians(evidence, _living_scatter, [{"shuffle_log2": z} for z in windows])
    scatter = [(window(z), level("", column)) for z, column in zip(windows, values.T, strict=True)]
    question = "one minus the correlation of the two models' weights"
    return together(
        ordering(question, level(f"at {window(windows[-1])}", values[:, -1]), 1 - _NARROW),
        described(question, scatter),
    )


@claim(
    25,
    "Wide models: pairs with aligned embeddings have a narrow cloud of hidden weights, others deviate more.",
    "section 5, figure 9",
    ("9",),
    quote="If embeddings are aligned, a narrow cloud is observed for the hidden weights. However, in pairs "
    "in which embedding weights are less correlated, hidden weights also deviate more substantially",
    tests="Whether over the pairs of a theta the correlation of the two models' embeddings and that of their "
    "hidden weights go together: mean rank correlation above 0, over thetas.",
    confirmatory_from=NEW,
)
def aligned_embeddings(evidence):
    runs = [run for run in evidence.seeds(model="wide") if layers(run)]
    embeddings, hidden = (
        np.stack([quantity(run) for run in runs])
        for quantity in (embedding_correlations, lambda run: weight_correlations(run, _HIDDEN))
    )
    quantities = "the correlation of embeddings and that of hidden weights"
    return together(correlation(quantities, "over the pairs of a theta", embeddings, hidden))


@claim(
    26,
    "Pairs of single ReLU units are slightly noisier than pairs of identity units.",
    "section 3, figures 3 and 4",
    ("2", "4"),
    quote="Single ReLU models appeared slightly more noisy than those with identity activation",
    tests="Median over pairs of the relative weight difference, ReLU1 over identity1, identical "
    "initialization, mean of no and most shuffling: whether it is above 1, and below 3 (slightly).",
    confirmatory_from=NEW,
)
def noisier(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_1)
    cells = [model | IDENTICAL | {"shuffle_log2": z} for z in (first, last) for model in (RELU_1, IDENTITY_1)]
    values = _medians(evidence, relative_differences, cells)
    values = values[:, ::2] / values[:, 1::2]
    question = "weight difference of ReLU1 over that of identity1"
    return together(
        ordering(question, typical("no and most shuffling", values)),
        ordering("one over that", typical("the same", 1 / values), 1 / SAME_ORDER),
        described(
            "of it",
            [
                (window(z), typical("", column[:, None]))
                for z, column in zip((first, last), values.T, strict=True)
            ],
        ),
    )
