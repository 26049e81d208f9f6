"""Checks of the claims on double descent: what happens over the width of ResNet18k."""

import dataclasses
import functools
import itertools

import numpy as np
from scipy import ndimage

from common.study.claims import claim
from common.study.decisions import together
from common.study.verdicts import (
    NOT_JUDGED,
    Outcome,
    Sample,
    about,
    above,
    compare,
    quotient,
    ratio,
)
from replications.somepalli_boundaries.claims.shared import Scores, no_threshold, noise_sweeps
from replications.somepalli_boundaries.published import FIGURE_8_WIDTH
from replications.somepalli_boundaries.results import PairScores, fragmentation, median_margin

_SWEEP = ("10",)
_clean_fragmentation = functools.partial(fragmentation, subset="clean")


# "Near the threshold": from half to twice its width. Bounds leave out their ends, so a little beyond.
_NEAR = about(1.0, 2.01)


def _at_threshold(check):
    """Makes a check of a `NoiseSweeps` with a threshold between its ends into one of an Evidence."""

    @functools.wraps(check)
    def checked(evidence):
        sweeps = noise_sweeps(evidence)
        return no_threshold(sweeps) or check(sweeps)

    return checked


def _peaks(sweeps, measure, highest):
    curve = sweeps.noisy.curve(measure)
    return sweeps.noisy.extreme_factor(f"threshold k = {sweeps.threshold}", curve, highest)


def _near(sweeps, measure, quantity, highest=True):
    """The Outcome of an extreme near the threshold."""
    sample = _peaks(sweeps, measure, highest)
    return compare(f"width of the {quantity} over that of the threshold", [sample], _NEAR)


def _threshold_over_ends(sweeps, measure):
    noise, top = sweeps.noise, sweeps.values(measure, sweeps.noise, sweeps.threshold)
    return [
        ratio(f"k = {sweeps.threshold} over k = {width}", top, sweeps.values(measure, noise, width))
        for width in sweeps.noisy.ends
    ]


def _published_threshold(sweeps):
    """The Outcome that the threshold is the published one, from half to twice; judged at paper scale only."""
    text = f"the interpolation threshold is k = {sweeps.threshold}, published near {FIGURE_8_WIDTH}"
    if sweeps.scale != "paper":
        return Outcome(NOT_JUDGED, f"{text}, judged at paper scale only")
    near = _NEAR.verdict(*[sweeps.threshold / FIGURE_8_WIDTH] * 2)
    return Outcome(near, text)


@claim(
    13,
    "With 20 % label noise fragmentation rises with the width to a peak at the interpolation threshold "
    "(k near 10), then falls.",
    "figure 10",
    _SWEEP,
)
@_at_threshold
def fragmentation_peaks_at_the_threshold(sweeps):
    return together(
        compare("fragmentation with noise", _threshold_over_ends(sweeps, fragmentation), above()),
        _near(sweeps, fragmentation, "highest fragmentation"),
        _published_threshold(sweeps),
    )


@claim(
    14,
    "Without label noise fragmentation is much lower and its curve flatter.",
    "figure 10",
    _SWEEP,
)
@_at_threshold
def fragmentation_without_noise(sweeps):
    def values(noise, width):
        return sweeps.values(fragmentation, noise, width)

    lower = [
        ratio(f"k = {width}", values(sweeps.noise, width), values(0.0, width)) for width in sweeps.widths
    ]
    widest = sweeps.widths[-1]
    rises = [
        ratio(f"k = {sweeps.threshold} over k = {widest}", values(n, sweeps.threshold), values(n, widest))
        for n in (sweeps.noise, 0.0)
    ]
    flatter = quotient(f"k = {sweeps.threshold} over k = {widest}, with noise over without", *rises)
    return together(
        compare("fragmentation, with noise over without", lower, above()),
        compare("fragmentation", [flatter], above()),
    )


def _score(noise, width):
    return (1.0, ((noise, width), (noise, width)))


@dataclasses.dataclass(frozen=True)
class _Lowest:
    """The width with the lowest mean score between seeds, as a factor of the threshold."""

    label: str
    pairs: PairScores
    factors: dict[tuple, float]

    def estimate(self, confidence=0.95, center=np.mean):
        """Returns the Estimate; `center` has no part, since scores are means over pairs."""
        return self.pairs.lowest(self.factors, confidence)


@claim(
    15,
    "With label noise reproducibility is lowest at the same width; very narrow and very wide networks "
    "are highly reproducible.",
    "figure 11",
    ("11",),
)
@_at_threshold
def reproducibility_dips_at_the_threshold(sweeps):
    pairs, (_, dip) = sweeps.seed_scores(), _score(sweeps.noise, sweeps.threshold)
    gaps = [
        Scores(f"k = {width} minus k = {sweeps.threshold}", pairs, (_score(sweeps.noise, width), (-1.0, dip)))
        for width in sweeps.noisy.ends
    ]
    factors = {(sweeps.noise, width): width / sweeps.threshold for width in sweeps.widths}
    lowest = _Lowest(f"threshold k = {sweeps.threshold}", pairs, factors)
    return together(
        compare("difference of reproducibility between seeds, with noise", gaps, above(0)),
        compare("width of the lowest mean score over that of the threshold", [lowest], _NEAR),
    )


@claim(
    16,
    "At the threshold label noise lowers reproducibility.",
    "figure 11",
    ("11",),
)
@_at_threshold
def noise_lowers_reproducibility(sweeps):
    pairs = sweeps.seed_scores()
    terms = (_score(0.0, sweeps.threshold), (-1.0, _score(sweeps.noise, sweeps.threshold)[1]))
    gap = Scores(f"k = {sweeps.threshold}", pairs, terms)
    return together(compare("reproducibility without noise minus with", [gap], above(0)))


@claim(
    17,
    "With label noise margins are smallest at the threshold and recover for wide networks.",
    "figure 12",
    ("12",),
)
@_at_threshold
def margins_are_smallest_at_the_threshold(sweeps):
    bottom = sweeps.values(median_margin, sweeps.noise, sweeps.threshold)
    gains = [
        ratio(
            f"k = {width} over k = {sweeps.threshold}",
            sweeps.values(median_margin, sweeps.noise, width),
            bottom,
        )
        for width in sweeps.noisy.ends
    ]
    return together(
        compare("median margin with noise", gains, above()),
        _near(sweeps, median_margin, "smallest margin", highest=False),
    )


@claim(
    18,
    "Label noise lowers margins at every width.",
    "figure 12",
    ("12",),
)
def noise_lowers_margins(evidence):
    sweeps = noise_sweeps(evidence)
    gains = [
        ratio(
            f"k = {width}",
            sweeps.values(median_margin, 0.0, width),
            sweeps.values(median_margin, sweeps.noise, width),
        )
        for width in sweeps.widths
    ]
    return together(compare("median margin, without noise over with", gains, above()))


@claim(
    19,
    "At the threshold label noise leaves many islands between images with right labels.",
    "figure 8",
    _SWEEP,
)
@_at_threshold
def islands_near_right_labels(sweeps):
    values = (sweeps.values(_clean_fragmentation, n, sweeps.threshold) for n in (sweeps.noise, 0.0))
    gain = ratio(f"k = {sweeps.threshold}", *values)
    return together(
        compare("fragmentation between right labels of one class, with noise over without", [gain], above())
    )


def region_share(run, name):
    """Part of a picture that belongs to the region around the noisy image with the label it was given.

    Args:
        run: `run_folders.Run` with pictures.
        name: Picture whose third image is noisy.

    Returns:
        Number in [0, 1]; 0 if the network gives the image another class.
    """
    arrays = run.arrays
    (place,) = np.flatnonzero(arrays["picture_names"] == name)
    classes, window = arrays["picture_classes"][place], arrays["picture_windows"][place]
    c1, c2 = arrays["picture_coordinates"][place][2]
    spans = window[1] - window[0], window[3] - window[2]
    sizes = np.array(classes.shape) - 1
    i, j = np.round(sizes * ((c1 - window[0]) / spans[0], (c2 - window[2]) / spans[1])).astype(int)
    label = arrays["picture_labels"][place][2]
    if classes[i, j] != label:
        return 0.0
    regions, _ = ndimage.label(classes == label, np.ones((3, 3)))
    return float(np.mean(regions == regions[i, j]))


def _mean_share(run):
    """Mean of `region_share` over the planes of figure 9."""
    names = [name for name in run.arrays["picture_names"] if name.startswith("9")]
    return float(np.mean([region_share(run, name) for name in names]))


@claim(
    20,
    "In wide networks the region around an image with a wrong label is small, and regions of a class are "
    "contiguous again.",
    "figure 9",
    ("9",),
)
def wrong_labels_are_absorbed(evidence):
    runs = evidence.runs()
    noise = max(settings.label_noise for settings, _ in runs)
    found = {settings.width: {} for settings, _ in runs}
    for settings, run in runs:
        if settings.label_noise == noise:
            found[settings.width][settings.seed] = run
    narrow, wide = sorted(found)
    seeds = sorted(found[narrow].keys() & found[wide].keys())

    def difference(measure):
        values = tuple(measure(found[narrow][seed]) - measure(found[wide][seed]) for seed in seeds)
        return [Sample(f"k = {narrow} minus k = {wide}", values)]

    regions = difference(_clean_fragmentation)
    return together(
        compare("share of a wrong label's region in the plane", difference(_mean_share), above(0)),
        compare("regions on a plane through right labels of one class", regions, above(0)),
    )


def _test_error(sweeps, noise, width):
    return 100 * (1 - sweeps.accuracies("test", noise, width))


def _rise(sweeps, noise):
    """How much the test error rises from the best narrower width to the threshold, by seed."""
    narrower = [width for width in sweeps.widths if width < sweeps.threshold]
    best = min(narrower, key=lambda width: _test_error(sweeps, noise, width).mean())
    rise = _test_error(sweeps, noise, sweeps.threshold) - _test_error(sweeps, noise, best)
    return f"k = {sweeps.threshold} minus k = {best}", rise


def _double_descent(sweeps, noise):
    label, rise = _rise(sweeps, noise)
    widest = sweeps.widths[-1]
    fall = _test_error(sweeps, noise, sweeps.threshold) - _test_error(sweeps, noise, widest)
    return compare(
        "difference of test error with noise (points)",
        [
            Sample(label, tuple(map(float, rise))),
            Sample(f"k = {sweeps.threshold} minus k = {widest}", tuple(map(float, fall))),
        ],
        above(0),
    )


@claim(
    21,
    "With label noise the test error descends twice, with a peak at the threshold; without noise mildly "
    "or not.",
    "section 4",
    _SWEEP,
)
@_at_threshold
def error_descends_twice(sweeps):
    (_, noisy), (label, clean) = _rise(sweeps, sweeps.noise), _rise(sweeps, 0.0)
    milder = Sample(f"{label}", tuple(map(float, noisy - clean)))
    return together(
        _double_descent(sweeps, sweeps.noise),
        compare("rise of the test error, with noise minus without (points)", [milder], above(0)),
    )


@claim(
    22,
    "With 15 % label noise the training error falls to zero with the width; the test error descends twice.",
    "Nakkiran et al. 2020, figure 1, as shown in section 4",
    ("nakkiran_1",),
)
@_at_threshold
def nakkiran_descends_twice(sweeps):
    errors = [100 * (1 - sweeps.accuracies("train", sweeps.noise, width)) for width in sweeps.widths]
    falls = [
        Sample(f"k = {a} minus k = {b}", tuple(map(float, first - second)))
        for (a, first), (b, second) in itertools.pairwise(zip(sweeps.widths, errors, strict=True))
        if a < sweeps.threshold
    ]
    return together(
        _double_descent(sweeps, sweeps.noise),
        compare("fall of the training error up to the threshold (points)", falls, above(0)),
    )
