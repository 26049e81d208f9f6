import dataclasses

import numpy as np
import pytest

from common import statistics
from common.study.claims import judge
from common.study.verdicts import above, compare
from common.study.widths import WidthSweep, rise_and_fall
from replications.smooth_interpolation.claims import CLAIMS, DISAGREEMENTS
from replications.smooth_interpolation.claims.epochs import rise_and_recovery
from replications.smooth_interpolation.presets import STUDY, runs_of_figure

THRESHOLD = 8
FACTORS = {"noisy": 2.0, "clean": 1.0, "all": 1.2}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "_RESAMPLES", 199)


def peak(width):
    """1 at the threshold, falling to both sides."""
    return 1 / (1 + abs(np.log2(width / THRESHOLD)))


def as_published(width, seed):
    """Measures of a run as the paper describes them; seeds differ a little."""
    little = 1 + 0.01 * seed
    wide = width >= THRESHOLD

    def value(metric, subset, anchors, share):
        grown = min(1.0, width / THRESHOLD)
        if metric == "test_error":
            # Falls, rises to its peak at a third of the epochs, and falls again for wide networks alone.
            bump = min(share, 0.3) / 0.3 - (max(share - 0.3, 0) if wide else 0)
            descent = 0.1 * max(0, np.log2(width / THRESHOLD))
            return (0.6 + 0.1 * peak(width) + 0.2 * (share < 0.03) + 0.05 * bump - descent) * little
        if metric == "accuracy":
            return grown**2 if subset == "noisy" else 0.4 + 0.6 * grown
        over_epochs = 1 if not wide else max(0.02, 1 - share) if share > 0.1 else 0.5
        at_end = over_epochs if share < 1 else (0.6 if width == THRESHOLD else 0.001 if wide else 1)
        return peak(width) * FACTORS[subset] * (1 + 0.1 * anchors) * at_end * little

    return value


def finals(width):
    return {"train_accuracy": min(1.0, 0.3 + 0.7 * width / THRESHOLD), "train_loss": 0.1}


def predictions(width, seed):
    """Two seeds disagree most at the threshold."""
    return predictions_of(2 * peak(width), seed)


def predictions_of(spread, seed):
    rng = np.random.default_rng(seed)
    logits = np.random.default_rng(99).normal(size=(200, 10)) + spread * rng.normal(size=(200, 10))
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return {"test_log_probabilities": logits, "test_labels": np.arange(200) % 10}


def write_sweep(write, name, seeds, behaviour=as_published, scale="laptop"):
    for seed in range(seeds):
        for settings in runs_of_figure(name, scale):
            if settings.seed == 0:
                value, kept = behaviour(settings.width, seed), predictions(settings.width, seed)
                records = write(settings, value, finals(settings.width), seed, kept)
    return records


def verdicts(records, numbers, scale="laptop"):
    claims = [claim for claim in CLAIMS if claim.number in numbers]
    return {j.claim.number: j.outcome.verdict for j in judge(claims, STUDY, records, scale)}


def outcome(records, number, scale="laptop"):
    (judgement,) = judge([claim for claim in CLAIMS if claim.number == number], STUDY, records, scale)
    return judgement.outcome


def test_claims_are_numbered_and_name_presets():
    assert [claim.number for claim in CLAIMS] == list(range(1, len(CLAIMS) + 1))
    assert {name for claim in CLAIMS for name in claim.figures} == set(STUDY.figures)
    assert all(text.endswith(".") for text in DISAGREEMENTS)


def test_nothing_is_judged_without_runs(tmp_path):
    found = judge(CLAIMS, STUDY, str(tmp_path))
    assert {judgement.outcome.verdict for judgement in found} == {"not run"}


CONVNET_CLAIMS = (4, 6, 7, 8, 9, 10, 12, 14, 15)


def test_the_papers_behaviour_is_reproduced(write):
    records = write_sweep(write, "2", seeds=3)
    found = verdicts(records, CONVNET_CLAIMS)
    # The loss stands at 0.6 of its peak at the threshold, and falls to a thousandth of it.
    assert found == dict.fromkeys(CONVNET_CLAIMS, "reproduced")
    assert verdicts(records, (5, 11)) == {5: "reproduced", 11: "reproduced"}


def test_one_seed_decides_nothing(write):
    records = write_sweep(write, "2", seeds=1)
    assert set(verdicts(records, CONVNET_CLAIMS).values()) == {"open"}


def test_a_diverged_run_leaves_claims_open(write, write_diverged):
    records = write_sweep(write, "pd", seeds=2)
    diverged = runs_of_figure("2", "laptop")[0]
    write_diverged(dataclasses.replace(diverged, seed=1))
    numbers = (*CONVNET_CLAIMS, 23)
    assert set(verdicts(records, numbers).values()) <= {"open", "reproduced"}
    assert outcome(records, 7).seen.startswith("1 of 22 runs diverged; ")
    assert outcome(records, 7).verdict == outcome(records, 23).verdict == "open"


def flat(width, seed):
    """Measures without a peak: they grow with the width."""

    def value(metric, subset, anchors, share):
        if metric == "test_error":
            return 0.8 - 0.01 * width + 0.001 * seed
        return (0.5 + 0.02 * width + 0.001 * seed) / FACTORS.get(subset, 1)

    return value


def test_behaviour_without_a_peak_contradicts(write):
    records = write_sweep(write, "2", seeds=3, behaviour=flat)
    found = verdicts(records, (4, 6, 7, 8, 9, 10, 12, 14))
    # The test error of flat runs only falls: its largest value near the threshold is at half of it.
    assert found[7] == found[6] == found[9] == found[10] == found[12] == found[14] == "contradicted"


def test_the_published_threshold_is_judged_at_paper_scale_only(write):
    records = write_sweep(write, "1c", seeds=2)
    found = outcome(records, 3)
    assert found.verdict == "open"
    assert "is 8 [8, 8], published 15, judged at paper scale only" in found.seen


def test_without_a_threshold_peaks_are_unclear(write):
    for seed in range(2):
        for settings in runs_of_figure("2", "laptop"):
            value = as_published(settings.width, seed)
            records = write(settings, value, {"train_accuracy": 0.9, "train_loss": 1}, seed)
    found = outcome(records, 7)
    assert found.verdict == "open"
    assert found.seen.startswith("No width up to 16 has a training error of 0 in all seeds")


def test_what_stands_in_for_cifar100_stays_unclear(write):
    def finals_by_class(width):
        errors = {"unperturbed": 0.5 - 0.01 * width, "perturbed": 0.1}
        return finals(width) | {("accuracy", f"test_{name}"): value for name, value in errors.items()}

    for name in ("4", "7"):
        for seed in range(2):
            for settings in runs_of_figure(name, "laptop"):
                value = as_published(settings.width, seed)
                records = write(settings, value, finals_by_class(settings.width), seed)
    assert verdicts(records, (13, 21, 22)) == {13: "open", 21: "open", 22: "open"}
    found = outcome(records, 21)
    note = "Left open: CIFAR-10 stands in for CIFAR-100."
    assert found.seen.endswith(note)
    assert [(part.verdict, part.seen == note) for part in found.parts] == [
        ("reproduced", False),
        ("not judged", True),
    ]


def resnets(peak_at, volume):
    """The test error has its peak at a width; the volumes are sharper by a factor, and less accurate."""

    def behaviour(width, seed):
        def value(metric, subset, anchors, share):
            little = 1 + 0.01 * seed
            if metric == "test_error":
                return (0.5 + 0.1 / (1 + abs(np.log2(width / peak_at)))) * little
            if metric == "accuracy":
                return 0.9 - 0.1 * np.log(volume) * (anchors > 1) + 0.001 * seed
            return peak(width) * little * (volume if anchors > 1 else 1)

        return value

    return behaviour


@pytest.mark.parametrize("peak_at,volume,verdict", [(5, 2.0, "reproduced"), (12, 0.5, "contradicted")])
def test_resnets_peak_early_and_are_sharper_over_the_largest_volume(write, peak_at, volume, verdict):
    records = write_sweep(write, "6", seeds=3, behaviour=resnets(peak_at, volume))
    assert verdicts(records, (18, 19)) == dict.fromkeys((18, 19), verdict)


@pytest.mark.parametrize(
    "perturbed,last",
    [(lambda w: 0.3 + 0.01 * w, "reproduced"), (lambda w: 0.3 + 0.1 * peak(w), "contradicted")],
)
def test_double_descent_of_unperturbed_classes_alone(write, perturbed, last):
    for seed in range(3):
        for settings in runs_of_figure("7", "laptop"):
            errors = {"unperturbed": 0.3 + 0.1 * peak(settings.width), "perturbed": perturbed(settings.width)}
            accuracies = {("accuracy", f"test_{name}"): 1 - e - 0.001 * seed for name, e in errors.items()}
            behaviour = as_published(settings.width, seed)
            records = write(settings, behaviour, finals(settings.width) | accuracies, seed)
    parts = [part.verdict for part in outcome(records, 22).parts]
    assert parts == ["reproduced", "reproduced", last, "not judged"]


def test_seeds_that_differ_most_at_the_threshold(write):
    assert outcome(write_sweep(write, "pd", seeds=1), 23).verdict == "not run"
    assert outcome(write_sweep(write, "pd", seeds=2), 23).verdict == "open"  # one pair
    assert outcome(write_sweep(write, "pd", seeds=3), 23).verdict == "reproduced"


def test_a_seed_with_a_diverged_run_moves_no_threshold(write, write_diverged):
    records = write_sweep(write, "pd", seeds=4)
    (at_threshold,) = (s for s in runs_of_figure("pd", "laptop") if (s.width, s.seed) == (THRESHOLD, 0))
    write_diverged(dataclasses.replace(at_threshold, seed=1))
    found = outcome(records, 23)
    assert found.verdict == "reproduced"
    assert found.seen.startswith("1 of 44 runs diverged (seed 1 left out); at the threshold, width 8")
    write_diverged(dataclasses.replace(at_threshold, seed=2))
    write_diverged(dataclasses.replace(at_threshold, seed=3))
    assert outcome(records, 23).verdict == "open"


def test_seeds_that_differ_alike_at_every_width(write, monkeypatch):
    monkeypatch.setitem(globals(), "predictions", lambda width, seed: predictions_of(0.3 * width, seed))
    assert outcome(write_sweep(write, "pd", seeds=5), 23).verdict == "contradicted"


def test_a_threshold_at_an_end_leaves_open_where_seeds_differ_most(write):
    for seed in range(2):
        for settings in runs_of_figure("pd", "laptop"):
            value = as_published(settings.width, seed)
            records = write(settings, value, {"train_accuracy": 1.0, "train_loss": 0}, seed)
    assert "is at an end of the widths" in outcome(records, 23).seen


def scalar(write_scalar, name, values, scale="smoke"):
    for seed in range(3):
        for settings in runs_of_figure(name, scale):
            size = settings.degree or settings.width
            records = write_scalar(
                settings, {k: v[size] * (1 + 0.01 * seed) for k, v in values.items()}, seed
            )
    return records


def test_polynomials_and_networks(write_scalar):
    polynomials = {
        "train_loss": {3: 0.1, 20: 0.01, 200: 1e-12},
        "test_loss": {3: 0.01, 20: 5.0, 200: 0.005},
        "slope": {3: 2.0, 20: 30.0, 200: 20.0},
        "noise_kept": {3: 0.2, 20: 0.8, 200: 0.5},
    }
    networks = {
        "train_loss": {2: 0.1, 16: 1e-4},
        "slope": {2: 1.0, 16: 5.0},
        "noise_kept": {2: 0.1, 16: 0.9},
    }
    records = scalar(write_scalar, "1a", polynomials)
    scalar(write_scalar, "1b", networks)
    # Of these degrees the largest alone interpolates: there is no wider spike.
    assert verdicts(records, (1, 2), "smoke") == {1: "open", 2: "reproduced"}


@pytest.mark.parametrize(
    ("kept", "distance", "verdict"),
    [(0.4, 0.005, "reproduced"), (0.9, 0.005, "contradicted"), (0.4, 0.05, "contradicted")],
)
def test_a_spike_is_narrower_than_that_of_the_smallest_degree_that_interpolates(
    kept, distance, verdict, write_scalar
):
    degrees = [settings.degree for settings in runs_of_figure("1a", "paper")]
    polynomials = {
        "train_loss": {d: 1e-12 if d >= 60 else 0.01 for d in degrees},
        "test_loss": {d: distance if d == 1000 else 1.0 for d in degrees},
        "noise_kept": {d: kept if d == 1000 else 0.8 if d == 60 else 0.5 for d in degrees},
    }
    records = scalar(write_scalar, "1a", polynomials, "paper")
    assert outcome(records, 1).verdict == verdict
    assert "degree 60 minus degree 1,000" in outcome(records, 1).seen


def test_rough_networks_contradict(write_scalar):
    polynomials = {
        "train_loss": {3: 0.1, 20: 0.01, 200: 1e-12},
        "test_loss": {3: 0.01, 20: 0.05, 200: 0.1},
        "slope": {3: 2.0, 20: 30.0, 200: 20.0},
        "noise_kept": {3: 0.2, 20: 0.8, 200: 0.5},
    }
    networks = {
        "train_loss": {2: 0.1, 16: 1e-4},
        "slope": {2: 1.0, 16: 50.0},
        "noise_kept": {2: 0.1, 16: 0.3},
    }
    records = scalar(write_scalar, "1a", polynomials)
    scalar(write_scalar, "1b", networks)
    assert verdicts(records, (1, 2), "smoke") == {1: "contradicted", 2: "contradicted"}


@pytest.mark.parametrize(
    ("values", "any_fall", "fall_to_the_end"),
    [
        ([1.0, 2.0, 3.0], 0.0, 0.0),
        ([3.0, 2.0, 1.0], 0.0, 0.0),
        ([5.0, 1.0, 4.0, 2.0], 2.0, 2.0),
        ([1.0, 4.0, 0.5], 3.0, 3.0),
        ([4.0, 1.0, 2.0, 1.5, 3.0, 3.0], 0.5, 0.0),
    ],
)
def test_rise_and_recovery_over_epochs(values, any_fall, fall_to_the_end):
    values = np.array([values])
    assert rise_and_recovery("", values).values == (any_fall,)
    assert rise_and_recovery("", values, to_the_end=True).values == (fall_to_the_end,)
    if values.max() == values[0, -2]:
        assert rise_and_recovery("", values, relative=True).values == (any_fall / values.max(),)


def test_a_seed_is_read_where_the_others_have_their_extreme():
    bumps = np.array([[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0, 0.0], [0.0, 0.0, 0.0, 4.0, 0.0]])
    # The first two seeds do not rise where their partners do, the last one not at the second place.
    apart = rise_and_recovery("", bumps[:2])
    assert apart.values == (0.0, 0.0)
    # Each seed has a bump, if not at the epoch of the other: that contradicts no rise.
    assert compare("", [apart], above(1.0)).verdict == "open"
    assert rise_and_recovery("", bumps).values == (0.0, 2.0, 4.0)


def test_noise_is_no_double_descent():
    rng = np.random.default_rng(0)
    widths = (1, 2, 3, 4, 6, 8, 12, 16)
    found = []
    for _ in range(40):
        sweep = WidthSweep({width: {} for width in widths}, 8)
        rise, _ = rise_and_fall(sweep, {"error": 50 + rng.normal(size=(4, len(widths)))}, "points")
        found.append(rise.verdict)
    # Places chosen by a seed itself would reproduce nearly all.
    assert found.count("reproduced") <= 5


def test_a_curve_that_only_falls_does_not_rise_to_a_peak():
    widths = (1, 2, 3, 4, 6, 8, 12, 16)
    falling = np.array([[20.0 - i + 0.1 * seed for i in range(len(widths))] for seed in range(3)])
    for threshold in (6, 8, 12):
        sweep = WidthSweep({width: {} for width in widths}, threshold)
        rise, fall = rise_and_fall(sweep, {"error": falling}, "points")
        assert (rise.verdict, fall.verdict) == ("contradicted", "reproduced")


def test_peaks_are_looked_for_near_the_threshold():
    sweep = WidthSweep({width: {} for width in (1, 2, 4, 8, 16, 32)}, 8)
    # The largest value of all, at width 1, is another matter.
    curve = np.array([[9, 1, 3, 2, 1, 0], [9, 1, 2, 2.5, 1, 0]], float)
    assert sweep.peak(curve) == 2
    assert sweep.peak_distance("x", curve).values == (-4, 0)
    assert sweep.peak_distance("x", curve, origin=np.array([4, 8])).values == (0, 0)
    curve[1, 5] = np.nan
    assert np.isnan(sweep.peak_distance("x", curve).values[1])
