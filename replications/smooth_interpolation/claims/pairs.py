"""Beyond Gamba et al. 2022: how far two trainings disagree, over the width."""

import numpy as np

from common.study import decisions, effects
from common.study.claims import claim
from common.study.verdicts import Outcome
from replications.smooth_interpolation import results
from replications.smooth_interpolation.claims.shared import Sweep
from replications.smooth_interpolation.claims.widths import NOISY


@claim(
    23,
    "Two trainings on the same images and labels differ more at the interpolation threshold than for the "
    "narrowest and the widest network.",
    "Beyond the paper: Somepalli et al. 2022, section 4.3, asks it of decision regions",
    ("pd",),
    tests="Prediction difference and disagreement, mean over pairs of seeds, each at the exploratory seeds' "
    "threshold above the narrowest and above the widest network.",
    confirmatory_from=NOISY,
)
def seeds_differ_most_at_threshold(evidence):
    """At a threshold that others choose: a peak that pairs choose is biased, since they share seeds."""
    evidence.runs()  # both seeds, or it is not run
    sweep = Sweep(evidence)
    ends = sweep.widths[0], sweep.widths[-1]
    if sweep.threshold is None or sweep.threshold in ends:
        return Outcome("open", f"The threshold, width {sweep.threshold}, is none or at an end of the widths.")
    place = sweep.widths.index(sweep.threshold)
    outcomes = []
    for name, measure in (("PD", results.prediction_difference), ("disagreement", results.disagreement)):
        pairs = sweep.over_pairs(measure)
        values = effects.over_pairs(np.stack(pairs, axis=-1))
        against = [
            effects.difference(
                f"width {sweep.threshold} minus {sweep.widths[end]}", values[:, place], values[:, end]
            )
            for end in (0, -1)
        ]
        outcomes.append(decisions.every(*(decisions.ordering(name, effect) for effect in against)))
    return decisions.together(*outcomes)
