"""The claims of Snapp & Shamir 2021 on weights: differences, directions, signs (figures 3 and 4)."""

import numpy as np
from scipy import stats

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import (
    NOT_JUDGED,
    Outcome,
    about,
    above,
    compare,
    estimate_center,
    holds,
    magnitude,
    ratio,
)
from replications.snapp_shamir.claims.few_units import SAME_ORDER
from replications.snapp_shamir.results import (
    DISTINCT,
    FLIPPED,
    IDENTICAL,
    IDENTITY_1,
    LINEAR,
    RELU_1,
    error_cosines,
    member_cosines,
    root_mean_square_differences,
    window,
)

_PUBLISHED_COSINE = 0.191


@claim(
    12,
    "Weight differences of a ReLU pair are of order 1e-6 without and 1e-2 with maximum shuffling.",
    "section 3, figure 4",
    ("4",),
)
def weight_differences(evidence):
    first, *_, last = evidence.values("shuffle_log2", **RELU_1)
    place = RELU_1 | IDENTICAL

    def samples(z):
        return [root_mean_square_differences(run) for run in evidence.seeds(**place, shuffle_log2=z)]

    small, large = samples(first), samples(last)
    quantity = "median over pairs of the root mean square weight difference of ReLU1"
    growth = ratio(f"{window(last)} over {window(first)}", large[0], small[0])
    return together(
        magnitude(f"{quantity} at {window(first)}", small, 1e-6, evidence.scale, center=np.median),
        magnitude(f"that at {window(last)}", large, 1e-2, evidence.scale, center=np.median),
        compare("the ratio", [growth], above(), center=np.median),
    )


@claim(
    13,
    "The cosine between the errors of two distinctly initialized linear models is almost 1 without "
    "shuffling and 0.191 with maximum shuffling.",
    "section 3, with figure 3",
    ("3",),
)
def directions(evidence):
    first, *_, last = evidence.values("shuffle_log2", **LINEAR, **DISTINCT)
    runs = (evidence.run(**LINEAR, **DISTINCT, shuffle_log2=z) for z in (first, last))
    start, end = map(error_cosines, runs)
    quantity = "mean cosine of the two models' errors"
    begins = holds(f"{quantity} at {window(first)}", estimate_center(start), above(0.9))
    spread = f"that at {window(last)}, pairs from {end.min():.2g} to {end.max():.2g},"
    ends = holds(spread, estimate_center(end), about(_PUBLISHED_COSINE, SAME_ORDER))
    if evidence.scale != "paper":
        begins = Outcome(NOT_JUDGED, f"{quantity} is {estimate_center(start)} at {window(first)}")
        ends = Outcome(NOT_JUDGED, f"{spread} is {estimate_center(end)}")
    return together(begins, ends, holds("the fall between them", estimate_center(start - end), above(0)))


@claim(
    14,
    "Some distinctly initialized pairs of one identity unit converge to weights of opposite signs; "
    "identically initialized ones never do.",
    "section 3, figure 3",
    ("2",),
)
def sign_flips(evidence):
    flipped = {}
    for init in (DISTINCT, IDENTICAL):
        runs = evidence.runs(**IDENTITY_1, **init)
        flipped[init["init"]] = {s.shuffle_log2: member_cosines(run) < FLIPPED for s, run in runs}
    distinct, identical = (
        int(np.any(list(flipped[init].values()), axis=0).sum()) for init in ("distinct", "identical")
    )
    pairs = len(flipped["distinct"][0])
    bound = stats.binomtest(distinct, pairs).proportion_ci().high
    some = "reproduced" if distinct else "contradicted" if bound < 0.05 else "open"
    where = ", ".join(str(z) for z, found in flipped["identical"].items() if found.any())
    exceptions = f"{identical} of {pairs}, at log2 z = {where}" if identical else f"none of {pairs}"
    return together(
        Outcome(some, f"opposite signs at some window in {distinct} of {pairs} distinctly initialized pairs"),
        Outcome(
            "contradicted" if identical else "reproduced", f"of the identically initialized in {exceptions}"
        ),
    )
