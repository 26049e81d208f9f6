"""Checks of the claims on double descent: what happens over the width of ResNet18k."""

import dataclasses
import functools
import itertools
import math

import numpy as np
from scipy import ndimage

from common.records import last
from common.verdicts import NOT_JUDGED, Outcome, Sample, about, above, compare, quotient, ratio, together
from replications.somepalli_boundaries.claims_runs import (
    Scores,
    no_threshold,
    width_sweep,
)
from replications.somepalli_boundaries.published import FIGURE_8_WIDTH
from replications.somepalli_boundaries.scores import PairScores

# "Near the threshold": from half to twice its width. Bounds leave out their ends, so a little beyond.
_NEAR = about(1.0, 2.01)


def _at_threshold(check):
    """Makes a check of a `WidthSweep` with a threshold between its ends into one of an Evidence."""

    @functools.wraps(check)
    def checked(evidence):
        sweep = width_sweep(evidence)
        return no_threshold(sweep) or check(sweep)

    return checked


def _peaks(sweep, metric, highest):
    """Sample of the width of each seed's extreme, as a factor of the threshold; nan where a value is."""
    curves = np.array([sweep.values(metric, sweep.noise, width) for width in sweep.widths])
    places = (curves.argmax if highest else curves.argmin)(axis=0)
    factors = np.array(sweep.widths)[places] / sweep.threshold
    factors[np.isnan(curves).any(axis=0)] = math.nan
    return Sample(f"threshold k = {sweep.threshold}", tuple(map(float, factors)), discrete=True)


def _near(sweep, metric, quantity, highest=True):
    """The Outcome of an extreme near the threshold."""
    sample = _peaks(sweep, metric, highest)
    return compare(f"width of the {quantity} over that of the threshold", [sample], _NEAR)


def _threshold_over_ends(sweep, metric):
    noise, top = sweep.noise, sweep.values(metric, sweep.noise, sweep.threshold)
    return [
        ratio(f"k = {sweep.threshold} over k = {width}", top, sweep.values(metric, noise, width))
        for width in sweep.ends()
    ]


def _published_threshold(sweep):
    """The Outcome that the threshold is the published one, from half to twice; judged at paper scale only."""
    text = f"the interpolation threshold is k = {sweep.threshold}, published near {FIGURE_8_WIDTH}"
    if sweep.scale != "paper":
        return Outcome(NOT_JUDGED, f"{text}, judged at paper scale only")
    near = _NEAR.verdict(*[sweep.threshold / FIGURE_8_WIDTH] * 2)
    return Outcome(near, text)


@_at_threshold
def fragmentation_peaks_at_the_threshold(sweep):
    """Claim 13."""
    metric = "fragmentation_all"
    return together(
        compare("fragmentation with noise", _threshold_over_ends(sweep, metric), above()),
        _near(sweep, metric, "highest fragmentation"),
        _published_threshold(sweep),
    )


@_at_threshold
def fragmentation_without_noise(sweep):
    """Claim 14."""
    metric = "fragmentation_all"

    def values(noise, width):
        return sweep.values(metric, noise, width)

    lower = [ratio(f"k = {width}", values(sweep.noise, width), values(0.0, width)) for width in sweep.widths]
    widest = sweep.widths[-1]
    rises = [
        ratio(f"k = {sweep.threshold} over k = {widest}", values(n, sweep.threshold), values(n, widest))
        for n in (sweep.noise, 0.0)
    ]
    flatter = quotient(f"k = {sweep.threshold} over k = {widest}, with noise over without", *rises)
    return together(
        compare("fragmentation, with noise over without", lower, above()),
        compare("fragmentation", [flatter], above()),
    )


def _seed_scores(sweep):
    return PairScores(sweep.runs)


def _score(noise, width):
    return (1.0, ((noise, width), (noise, width)))


@dataclasses.dataclass(frozen=True)
class _Lowest:
    """The width with the lowest mean score between seeds, as a factor of the threshold."""

    label: str
    pairs: PairScores
    factors: dict

    def estimate(self, confidence=0.95, center=np.mean):
        """Returns the Estimate; `center` has no part, since scores are means over pairs."""
        return self.pairs.lowest(self.factors, confidence)


@_at_threshold
def reproducibility_dips_at_the_threshold(sweep):
    """Claim 15."""
    pairs, (_, dip) = _seed_scores(sweep), _score(sweep.noise, sweep.threshold)
    gaps = [
        Scores(f"k = {width} minus k = {sweep.threshold}", pairs, (_score(sweep.noise, width), (-1.0, dip)))
        for width in sweep.ends()
    ]
    factors = {(sweep.noise, width): width / sweep.threshold for width in sweep.widths}
    lowest = _Lowest(f"threshold k = {sweep.threshold}", pairs, factors)
    return together(
        compare("difference of reproducibility between seeds, with noise", gaps, above(0)),
        compare("width of the lowest mean score over that of the threshold", [lowest], _NEAR),
    )


@_at_threshold
def noise_lowers_reproducibility(sweep):
    """Claim 16."""
    pairs = _seed_scores(sweep)
    terms = (_score(0.0, sweep.threshold), (-1.0, _score(sweep.noise, sweep.threshold)[1]))
    gap = Scores(f"k = {sweep.threshold}", pairs, terms)
    return together(compare("reproducibility without noise minus with", [gap], above(0)))


@_at_threshold
def margins_are_smallest_at_the_threshold(sweep):
    """Claim 17."""
    metric = "margin_aa_median"
    bottom = sweep.values(metric, sweep.noise, sweep.threshold)
    gains = [
        ratio(f"k = {width} over k = {sweep.threshold}", sweep.values(metric, sweep.noise, width), bottom)
        for width in sweep.ends()
    ]
    return together(
        compare("median margin with noise", gains, above()),
        _near(sweep, metric, "smallest margin", highest=False),
    )


def noise_lowers_margins(evidence):
    """Claim 18."""
    sweep = width_sweep(evidence)
    gains = [
        ratio(
            f"k = {width}",
            sweep.values("margin_aa_median", 0.0, width),
            sweep.values("margin_aa_median", sweep.noise, width),
        )
        for width in sweep.widths
    ]
    return together(compare("median margin, without noise over with", gains, above()))


@_at_threshold
def islands_near_right_labels(sweep):
    """Claim 19."""
    values = (sweep.values("fragmentation_correct", n, sweep.threshold) for n in (sweep.noise, 0.0))
    gain = ratio(f"k = {sweep.threshold}", *values)
    return together(
        compare("fragmentation between right labels of one class, with noise over without", [gain], above())
    )


def region_share(run, name):
    """Part of a picture that belongs to the region around the mislabelled image with the label it was given.

    Args:
        run: `records.Run` with pictures.
        name: Picture whose third image is mislabelled.

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


def wrong_labels_are_absorbed(evidence):
    """Claim 20."""
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

    regions = difference(lambda run: last(run, "fragmentation_correct"))
    return together(
        compare("share of a wrong label's region in the plane", difference(_mean_share), above(0)),
        compare("regions on a plane through right labels of one class", regions, above(0)),
    )


def _test_error(sweep, noise, width):
    return 100 * (1 - sweep.accuracies("test", noise, width))


def _rise(sweep, noise):
    """How much the test error rises from the best narrower width to the threshold, by seed."""
    narrower = [width for width in sweep.widths if width < sweep.threshold]
    best = min(narrower, key=lambda width: _test_error(sweep, noise, width).mean())
    rise = _test_error(sweep, noise, sweep.threshold) - _test_error(sweep, noise, best)
    return f"k = {sweep.threshold} minus k = {best}", rise


def _double_descent(sweep, noise):
    label, rise = _rise(sweep, noise)
    widest = sweep.widths[-1]
    fall = _test_error(sweep, noise, sweep.threshold) - _test_error(sweep, noise, widest)
    return compare(
        "difference of test error with noise (points)",
        [
            Sample(label, tuple(map(float, rise))),
            Sample(f"k = {sweep.threshold} minus k = {widest}", tuple(map(float, fall))),
        ],
        above(0),
    )


@_at_threshold
def error_descends_twice(sweep):
    """Claim 21."""
    (_, noisy), (label, clean) = _rise(sweep, sweep.noise), _rise(sweep, 0.0)
    milder = Sample(f"{label}", tuple(map(float, noisy - clean)))
    return together(
        _double_descent(sweep, sweep.noise),
        compare("rise of the test error, with noise minus without (points)", [milder], above(0)),
    )


@_at_threshold
def nakkiran_descends_twice(sweep):
    """Claim 22."""
    errors = [100 * (1 - sweep.accuracies("train", sweep.noise, width)) for width in sweep.widths]
    falls = [
        Sample(f"k = {a} minus k = {b}", tuple(map(float, first - second)))
        for (a, first), (b, second) in itertools.pairwise(zip(sweep.widths, errors, strict=True))
        if a < sweep.threshold
    ]
    return together(
        _double_descent(sweep, sweep.noise),
        compare("fall of the training error up to the threshold (points)", falls, above(0)),
    )
