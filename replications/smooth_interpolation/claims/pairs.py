"""Beyond Gamba et al. 2022: how far two trainings disagree, over the width."""

import itertools

from common.study.claims import claim
from common.study.verdicts import Contrast, Outcome, above, compare
from replications.smooth_interpolation import results
from replications.smooth_interpolation.claims.shared import from_threshold


@from_threshold
def _differ_most_at_threshold(sweep):
    ends = sweep.widths[0], sweep.widths[-1]
    if sweep.threshold in ends:
        return [Outcome("open", f"the threshold, width {sweep.threshold}, is at an end of the widths")]
    seeds = sweep.members[sweep.threshold]
    pairs = tuple(itertools.combinations(seeds, 2))
    ratios = []
    for name, measure in (("PD", results.prediction_difference), ("disagreement", results.disagreement)):
        at_threshold = results.over_pairs(measure, seeds)
        for end in ends:
            there = results.over_pairs(measure, sweep.members[end])
            ratios.append(
                Contrast(f"{name}, width {end}", (at_threshold, there), (1.0, -1.0), groups=(pairs,))
            )
    return [compare(f"at the threshold, width {sweep.threshold}, over another width", ratios, above())]


@claim(
    23,
    "Two trainings on the same images and labels differ more at the interpolation threshold than for the "
    "narrowest and the widest network.",
    "Beyond the paper: Somepalli et al. 2022, section 5, asks it of decision regions",
    ("pd",),
)
def seeds_differ_most_at_threshold(evidence):
    """Beyond the papers: prediction difference and disagreement between seeds that share images and labels.

    The threshold, which training errors choose, against the narrowest and the widest network: a peak that
    pairs choose would be biased, since pairs share seeds.
    """
    evidence.runs()  # both seeds, or it is not run
    return _differ_most_at_threshold(evidence)
