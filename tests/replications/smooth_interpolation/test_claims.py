from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from common import statistics
from common.study.claims import Table, judge
from common.study.rows import by_metric
from replications.smooth_interpolation.claims import CLAIMS, DISAGREEMENTS, epochs
from replications.smooth_interpolation.claims.epochs import _bump_if_any, top_of_bump
from replications.smooth_interpolation.claims.shared import Curve, peaks, peaks_near
from replications.smooth_interpolation.presets import STUDY, runs_of_figure

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 12)
THRESHOLD = 6
EPOCHS = (1, 10, 30, 60, 92, 94, 96, 98, 100)  # four of them late
FACTORS = {"noisy": 2.0, "clean": 1.0, "all": 1.2}
# In percent: the smallest network errs too, then a trough, a peak at the threshold, a second descent.
ERRORS = dict(zip(WIDTHS, (74, 70, 71, 73, 75, 77, 74, 72, 64), strict=True))
NORMS = dict(zip(WIDTHS, (0.6, 0.4, 0.6, 0.8, 1.0, 1.3, 0.5, 0.2, 0.001), strict=True))
BY_NUMBER = {claim.number: claim for claim in CLAIMS}
CONVNET_CLAIMS = (4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 23, 24, 25, 26, 27, 28, 29)


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    monkeypatch.setattr(statistics, "_RESAMPLES", 199)


def as_published(width):
    """Measures as the paper describes them: (metric, subset, anchors, share of the epochs) -> value."""
    wide = width >= THRESHOLD

    def value(metric, subset, anchors, share):
        middle = 0.25 < share < 0.8
        if metric == "test_error":
            course = (4 * middle - 3 * (share < 0.05)) if wide else 4 * (share - 1)
            return (ERRORS[width] + course) / 100
        if metric == "train_accuracy":
            return min(1.0, 0.4 + 0.6 * width / THRESHOLD)
        if metric == "accuracy":
            fitted = width / (1 + width) if subset != "noisy" else (width / (1 + width)) ** 2
            return fitted - 0.005 * anchors
        course = (3 if middle else 0.5 if share < 0.05 else 1) if wide else 0.5 + 0.5 * share
        return NORMS[width] * FACTORS[subset] * (0.5 + 0.5 * anchors) * course

    return value


def falling(width):
    """No double descent of anything: what the claims say the opposite of."""

    def value(metric, subset, anchors, share):
        if metric == "test_error":
            return (80 - 1.5 * width + 10 * (1 - share) * (-1 if width >= THRESHOLD else 1)) / 100
        if metric == "train_accuracy":
            return 1.0 if width == THRESHOLD else 0.9 - 0.02 * width
        if metric == "accuracy":
            return 0.4 - 0.03 * width
        course = (1 + share) / 2 if width >= THRESHOLD else 3 - 2 * share
        return course / (width * FACTORS[subset] * (0.5 + 0.5 * anchors))

    return value


def sharper(width):
    """The test error falls and sharpness grows with the width, wherever it is measured."""
    published = as_published(width)

    def value(metric, subset, anchors, share):
        if metric in ("test_error", "train_accuracy"):
            return (80 - width) / 100 if metric == "test_error" else published(metric, subset, anchors, share)
        return (0.5 - 0.02 * width) if metric == "accuracy" else 0.1 * width

    return value


def predictions(width, seed, spread=None):
    """Seeds disagree most at the threshold, unless a spread is given."""
    rng, logits = np.random.default_rng([seed, width]), np.random.default_rng(99).normal(size=(200, 10))
    spread = 1 / (1 + abs(np.log2(width / THRESHOLD))) if spread is None else spread
    logits = logits + 2 * spread * rng.normal(size=(200, 10))
    logits -= np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return {"test_log_probabilities": logits, "test_labels": np.arange(200) % 10}


def made_run(width, seed, behaviour, network="convnet", spread=None, finals=None):
    """A run in memory; seeds differ by about a hundredth."""
    value, rng = behaviour(width), np.random.default_rng([width, seed])
    rows = []

    def add(metric, number, epoch, subset=None, anchors=None):
        statistic = "late" if 90 < epoch < 100 else "run"
        place = {"epoch": epoch, "statistic": statistic, "subset": subset, "anchors": anchors}
        rows.append({"metric": metric, "value": number} | place)

    for epoch in EPOCHS:
        share = 1.0 if epoch > 90 else epoch / 100
        add("test_accuracy", 1 - value("test_error", None, 1, share) + 0.001 * rng.normal(), epoch)
        if epoch > 90:
            add("train_accuracy", value("train_accuracy", None, 1, share), epoch)
        for subset in FACTORS:
            for anchors in range(1, 8 if epoch == 100 else 2):
                add("accuracy", value("accuracy", subset, anchors, share), epoch, subset, anchors)
                for metric in ("cross_entropy", "jacobian_norm", "tangent_hessian_norm"):
                    number = value(metric, subset, anchors, share) * np.exp(0.01 * rng.normal())
                    add(metric, number, epoch, subset, anchors)
    for name, number in (finals or {}).items():
        add("accuracy", number + 0.001 * seed, 100, name)
    settings = {"network": network, "num_train": 2000, "num_validation": 0, "strengths": "5-10-15-20-22-25"}
    return SimpleNamespace(
        by_metric=by_metric(pd.DataFrame(rows)),
        record={"settings": settings},
        arrays=predictions(width, seed, spread),
        diverged=False,
        seed=seed,
    )


class Made:
    """`claims.Evidence` of runs in memory; the first seeds are exploratory."""

    def __init__(self, behaviour, pilots=3, seeds=5, widths=WIDTHS, **values):
        self.pilots, self.seeds, self.widths = range(pilots), range(pilots, pilots + seeds), widths
        finals = values.pop("finals", lambda width: {})
        self.made = {
            (w, s): made_run(w, s, behaviour, finals=finals(w), **values)
            for s in range(pilots + seeds)
            for w in widths
        }

    def values(self, name):
        return list(self.widths)

    def runs(self):
        return list(self.made.items())

    def table(self, cells, measure):
        def of(seeds):
            found = [[self.made[cell["width"], s] for cell in cells] for s in seeds]
            rows = [[np.nan if run.diverged else measure(run) for run in members] for members in found]
            return np.array(rows, float).reshape(len(rows), len(cells))

        return Table(of(self.seeds), of(self.pilots), tuple(self.seeds))


def verdicts(evidence, numbers):
    return {number: BY_NUMBER[number].check(evidence).verdict for number in numbers}


@pytest.fixture(scope="module")
def published():
    return Made(as_published)


def test_claims_are_numbered_and_name_presets():
    assert list(BY_NUMBER) == list(range(1, len(CLAIMS) + 1))
    assert {name for claim in CLAIMS for name in claim.figures} == set(STUDY.figures)
    assert all(text.endswith(".") for text in DISAGREEMENTS)
    assert all(claim.tests.endswith(".") for claim in CLAIMS)
    undecided = {claim.number for claim in CLAIMS if not claim.confirmatory_from}
    assert undecided == {claim.number for claim in CLAIMS if claim.out_of_reach} == {3, 16}


def test_nothing_is_judged_without_runs(tmp_path):
    found = judge(CLAIMS, STUDY, str(tmp_path))
    assert {judgement.outcome.verdict for judgement in found} == {"not run", "out of reach"}


def test_the_papers_behaviour_is_reproduced(published):
    assert verdicts(published, CONVNET_CLAIMS) == dict.fromkeys(CONVNET_CLAIMS, "reproduced")


def test_the_opposite_contradicts():
    numbers = (4, 5, 6, 7, 8, 9, 10, 11, 14, 25, 28, 29)
    assert verdicts(Made(falling), numbers) == dict.fromkeys(numbers, "contradicted")
    assert verdicts(Made(sharper), (24, 26, 27)) == dict.fromkeys((24, 26, 27), "contradicted")


def test_narrow_networks_are_judged_from_the_bump_of_the_wider_ones_on():
    def recovering(width):
        published = as_published(width)
        course = {"test_error": lambda share: (ERRORS[width] + 8 * (1 - share)) / 100}

        def value(metric, subset, anchors, share):
            if width >= THRESHOLD or metric in ("train_accuracy", "accuracy"):
                return published(metric, subset, anchors, share)
            return course.get(metric, lambda share: NORMS[width] * (3 - 2 * share))(share)

        return value

    assert verdicts(Made(recovering), (14, 15)) == {14: "reproduced", 15: "contradicted"}
    flat = BY_NUMBER[15].check(Made(falling))
    assert flat.verdict == "open" and "no bump by 1.5" in flat.seen


def test_a_seed_and_pilots_decide_nothing():
    found = verdicts(Made(as_published, seeds=1), CONVNET_CLAIMS)
    assert found == dict.fromkeys(CONVNET_CLAIMS, "open")


def test_without_pilots_the_first_seed_chooses_and_decides_nothing():
    numbers = (4, 7, 8, 9, 10, 14, 15, 25)
    assert verdicts(Made(as_published, pilots=0, seeds=6), numbers) == dict.fromkeys(numbers, "reproduced")
    assert verdicts(Made(as_published, pilots=0, seeds=2), numbers) == dict.fromkeys(numbers, "open")


def test_without_a_threshold_peaks_are_open():
    def unfitted(width):
        value = as_published(width)
        return lambda metric, *where: 0.9 if metric == "train_accuracy" else value(metric, *where)

    found = BY_NUMBER[7].check(Made(unfitted, seeds=2))
    assert found.verdict == "open"
    assert found.seen.startswith("No width up to 12 is fitted in half of the seeds that choose")
    numbers = (4, 6, 8, 9, 10, 14, 15, 23, 27, 28)
    assert verdicts(Made(unfitted, seeds=2), numbers) == dict.fromkeys(numbers, "open")


def test_the_published_threshold_is_judged_at_paper_scale_only(published):
    # Six of 2,000 images is not fifteen of 50,000: out of reach, whatever the check says.
    assert "is 6 [6, 6] over 5 seeds, expected from 12 to 18" in BY_NUMBER[3].check(published).seen
    assert all("laptop" in BY_NUMBER[number].out_of_reach for number in (3, 16))
    at_15 = Made(as_published, widths=(1, 6, 12))
    for run in at_15.made.values():
        run.by_metric["train_accuracy"] = run.by_metric["train_accuracy"].assign(value=0.5)
    for seed in range(8):
        run = at_15.made[12, seed]
        run.by_metric["train_accuracy"] = run.by_metric["train_accuracy"].assign(value=1.0)
    assert BY_NUMBER[3].check(at_15).verdict == "open"  # 12 is at the border of three widths from 15


def test_diverged_runs_are_left_out_seed_by_seed():
    evidence = Made(as_published, seeds=6)
    evidence.made[6, 4].diverged = True
    numbers = [number for number in CONVNET_CLAIMS if number != 5]
    assert verdicts(evidence, numbers) == dict.fromkeys(numbers, "reproduced")
    assert " over 5 seeds" in BY_NUMBER[7].check(evidence).seen
    evidence.made[6, 0].diverged = True  # a seed that chooses has no threshold, and the others have theirs
    assert set(verdicts(evidence, numbers).values()) <= {"open", "reproduced"}


def test_a_curve_that_falls_from_an_earlier_peak_has_none_near_the_threshold():
    """As the ResNets' norms do in the records: highest at width 3, the threshold is 8."""
    widths, rng = (1, 2, 3, 4, 6, 8, 12, 16, 24), np.random.default_rng(0)
    sweep = SimpleNamespace(widths=widths, near=np.array([4 <= w <= 16 for w in widths]))
    earlier = np.array([0.6, 1.6, 2.7, 1.0, 0.8, 0.4, 0.03, 0.06, 0.06])
    there = np.array([0.6, 0.7, 0.9, 1.2, 1.6, 2.7, 0.03, 0.06, 0.06])
    plateau = np.array([0.6, 1.6, 2.7, 2.7, 0.8, 0.4, 0.03, 0.06, 0.06])

    def verdict(curve):
        values = curve * np.exp(0.05 * rng.normal(size=(6, len(widths))))
        return peaks("", sweep, Curve(values[:2], values[2:], values[2:]), True).verdict

    assert [verdict(earlier), verdict(there), verdict(plateau)] == [
        "contradicted",
        "reproduced",
        "reproduced",
    ]


def test_a_peak_at_a_third_of_the_threshold_is_not_near_it():
    """Norms that only fall from width 2 on; the threshold is 6, so that widths from 3 on are near."""
    widths, rng = (1, 2, 3, 4, 5, 6, 7, 8, 12), np.random.default_rng(0)
    sweep = SimpleNamespace(widths=widths, near=np.array([w >= 3 for w in widths]))

    def outcome(curve):
        values = curve * np.exp(0.05 * rng.normal(size=(6, len(widths))))
        return peaks_near("", sweep, Curve(values[:2], values[2:], values[2:]), True)

    falling = outcome(np.array([5, 8, 6, 5.5, 5, 4, 3, 2, 0.01]))
    assert falling.verdict == "open" and "highest at width 2" in falling.seen
    assert outcome(np.array([5, 5.5, 6, 8, 5, 4, 3, 2, 0.01])).verdict == "reproduced"
    # What lies before the least value is no peak either.
    assert outcome(np.array([9, 5, 6, 8, 5, 4, 3, 2, 0.01])).verdict == "reproduced"


def test_noise_is_no_peak():
    rng = np.random.default_rng(0)
    sweep = SimpleNamespace(widths=WIDTHS, near=np.array([3 <= w <= 12 for w in WIDTHS]))
    found = []
    for _ in range(100):
        values = 50 + rng.normal(size=(8, len(WIDTHS)))
        found.append(peaks("", sweep, Curve(values[:3], values[3:], values[3:]), False).verdict)
    assert found.count("reproduced") <= 5


def test_small_networks_fit_true_labels():
    def small(wrong):
        return lambda width: lambda metric, subset, *_: {"noisy": wrong, "clean": 0.4}.get(subset, 0.3)

    found = [BY_NUMBER[12].check(Made(small(wrong), pilots=1, widths=(1,))) for wrong in (0.1, 0.2, 0.5)]
    assert [outcome.words for outcome in found] == [
        "reproduced",
        "reproduced in part (1 of 2)",
        "contradicted",
    ]


def resnets(peak_at, volume):
    """The test error has its peak at a width; volumes are sharper by a factor, and less accurate."""

    def behaviour(width):
        published = as_published(width)

        def value(metric, subset, anchors, share):
            if metric == "test_error":
                return 0.5 + 0.1 / (1 + abs(np.log2(width / peak_at)))
            if metric == "train_accuracy":
                return 0.985 if width >= THRESHOLD else 0.9
            if metric == "accuracy":
                return 0.9 - 0.1 * np.log(volume) * (anchors > 1)
            near = NORMS[width] if volume > 1 else 1 / width
            return near * (volume if anchors > 1 else 1) * published(metric, "clean", 1, share) / NORMS[width]

        return value

    return behaviour


@pytest.mark.parametrize("peak_at,volume,verdict", [(4, 2.0, "reproduced"), (8, 0.5, "contradicted")])
def test_resnets_peak_early_and_are_sharper_over_the_largest_volume(peak_at, volume, verdict):
    evidence = Made(resnets(peak_at, volume), pilots=1, network="resnet18w")
    assert verdicts(evidence, (17, 18, 19)) == dict.fromkeys((17, 18, 19), verdict)


def by_class(perturbed):
    return lambda w: {"test_unperturbed": 1 - ERRORS[w] / 100, "test_perturbed": 1 - perturbed(w) / 100}


@pytest.mark.parametrize(
    "perturbed,words",
    [
        (lambda w: 90 + 0.1 * w, "reproduced"),
        (lambda w: ERRORS[w], "contradicted"),
    ],
)
def test_double_descent_of_unperturbed_classes_alone(perturbed, words):
    evidence = Made(as_published, pilots=1, seeds=8, finals=by_class(perturbed))
    assert BY_NUMBER[22].check(evidence).words == words


def test_perturbed_classes_that_do_not_descend_are_no_half_of_a_claim_whose_others_do_not_either():
    finals = lambda w: {"test_unperturbed": 0.2 + 0.02 * w, "test_perturbed": 0.1}  # noqa: E731
    assert BY_NUMBER[22].check(Made(as_published, pilots=1, seeds=8, finals=finals)).words == "contradicted"


def test_underfitting_is_not_the_peak_before_the_threshold():
    """Width 1 errs most and width 2 more than 3; the peak is at 4."""
    errors = dict(zip(WIDTHS, (80, 74, 70, 77, 72, 70, 69, 68, 64), strict=True))

    def behaviour(width):
        published = resnets(4, 2.0)(width)
        return lambda metric, *place: (
            errors[width] / 100 if metric == "test_error" else published(metric, *place)
        )

    found = BY_NUMBER[18].check(Made(behaviour, pilots=1, network="resnet18w"))
    assert found.verdict == "reproduced" and "4 against the least before it, 3" in found.seen


def test_norms_fall_around_both_kinds_of_labels():
    def smoother(width):
        return lambda metric, *where: 1 / width if metric != "train_accuracy" else min(1.0, width / THRESHOLD)

    assert verdicts(Made(smoother, pilots=1, seeds=3), (21,)) == {21: "reproduced"}
    assert verdicts(Made(sharper, pilots=1, seeds=3), (21,)) == {21: "contradicted"}


def test_without_label_noise(published):
    assert verdicts(published, (13, 20)) == {13: "reproduced", 20: "reproduced"}
    # A course without a bump has no place at which another seed could show the opposite.
    assert verdicts(Made(falling), (13, 20)) == {13: "contradicted", 20: "open"}


def test_seeds_that_differ_alike_or_more_with_the_width():
    assert verdicts(Made(as_published, spread=0.5), (23,)) == {23: "open"}
    alike = Made(as_published)
    for (width, seed), run in alike.made.items():
        run.arrays = predictions(width, seed, 0.1 * width)
    assert verdicts(alike, (23,)) == {23: "contradicted"}


def test_records_of_seeds_that_were_looked_at_decide_nothing(write):
    """Through the packed form and `judge`: the smallest network, seed 0 alone, then four more seeds."""

    def value(metric, subset, anchors, share):
        return {"noisy": 0.1, "clean": 0.4}.get(subset, 0.3)

    (settings,) = runs_of_figure("smallest", "laptop")
    for seed in range(6):
        records = write(settings, value, {"train_accuracy": 0.4}, seed)
        if seed == 0:
            (judgement,) = judge([BY_NUMBER[12]], STUDY, records, "laptop")
            assert judgement.outcome.verdict == "open"
    (judgement,) = judge([BY_NUMBER[12]], STUDY, records, "laptop")
    assert (judgement.outcome.verdict, judgement.seeds) == ("reproduced", (1, 2, 3, 4, 5))


@pytest.mark.parametrize(
    ("course", "top"),
    [
        ([5.0, 1.0, 4.0, 2.0], 2),  # not the first value, from which it only falls
        ([1.0, 4.0, 0.5, 0.5], 1),
        ([4.0, 1.0, 2.0, 1.5, 3.0, 3.0], 4),  # what rises to the end and falls no more
        ([3.0, 2.0, 1.0, 0.5], 1),
    ],
)
def test_top_of_a_bump_over_epochs(course, top):
    assert top_of_bump(np.array(course)) == top


def test_a_course_that_only_falls_has_no_bump(monkeypatch):
    """Of the exploratory seed; what the others do in its first epochs decides nothing."""
    falling = np.array([[2.305, 2.302, 2.297, 1.0, 0.1]])
    curve = Curve(falling, np.array([[1, 0.999, 0.5, 2, 0.1]]), np.array([[1, 0.999, 0.5, 2, 0.1]]))
    monkeypatch.setattr(epochs, "_of_widths", lambda *_: curve)
    outcome = _bump_if_any(SimpleNamespace(wide=None), "cross_entropy")
    assert outcome.verdict == "open" and "nowhere rise and fall" in outcome.seen
