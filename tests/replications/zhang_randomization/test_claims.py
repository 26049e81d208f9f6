"""Every claim on made-up rows: as the papers have it, contradicted, open, and missing."""

import dataclasses
import math

import numpy as np
import pytest

from common.study.claims import judge
from replications.zhang_randomization import results
from replications.zhang_randomization.claims import CLAIMS, DISAGREEMENTS
from replications.zhang_randomization.presets import STUDY, runs_of_figure
from replications.zhang_randomization.published import TABLE_1, table_row
from tests.made_rows import made_run

pytestmark = pytest.mark.usefixtures("records_in_memory")
NUMBERS = {claim.number: claim for claim in CLAIMS}
EPOCHS = {
    "true_labels": 15,
    "shuffled_pixels": 20,
    "gaussian_pixels": 30,
    "random_pixels": 35,
    "random_labels": 50,
}
AT_PAPER_SCALE_ONLY = [claim.number for claim in CLAIMS if claim.out_of_reach]


def exploratory(number):
    """The seeds that were looked at before a claim's check."""
    return tuple(range(NUMBERS[number].confirmatory_from))


def enough(number):
    """These, and enough confirmatory seeds for values that do not differ: 0.5^5 < 0.05."""
    return tuple(range(NUMBERS[number].confirmatory_from + 5))


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of a run: epoch at which it fits (None: never), percent at the end and halfway.

    `rise` is how far its training loss rises once, in nats; after `starts` of the epochs to fit 90 % of the
    training images are right. At epoch `begins` more than a fifth of them are: by default the later, the more
    labels are wrong.
    """

    fits: int | None
    test: float
    train: float = 100.0
    halfway: float = math.nan
    rise: float = 0.0
    starts: float = 0.8
    begins: int | None = None


def fate(settings):
    """A run in a world where every claim holds."""
    if settings.protocol == "ee411":
        return fate_by_ee411(settings)
    fits = 40 + round(10 * settings.label_noise) if settings.label_noise else EPOCHS[settings.condition]
    if settings.network == "alexnet" and settings.condition == "random_labels" and settings.decay_weights:
        return Fate(None, 10.0, train=60.0)
    if not settings.trains:
        accuracy = np.log2((settings.num_train or 2**20) / 8)
        return Fate(1, 54.0 if settings.num_train == 50_000 else 25 + accuracy)
    rows = [r for r in TABLE_1 if all(getattr(settings, n) == v for n, v in r.settings.items())]
    if rows:
        rise = 0.3 if settings.batch_norm == "none" else 0.1
        return Fate(fits, rows[0].test, halfway=rows[0].test, rise=rise)
    clean = table_row(network=settings.network, batch_norm=True, crop=False, decay=False, random_labels=False)
    return Fate(fits, 10 + (clean.test - 10) * (1 - settings.label_noise))


def fate_by_ee411(settings):
    if settings.dropout:
        return Fate(None, 85.0, train=95.0, halfway=80.0)
    if settings.batch_norm == "none":
        return Fate(None, 10.0, train=10.0)
    if settings.batch_norm == "downsample":
        return Fate(25, 85.5)
    if settings.label_noise > 0 and settings.target_accuracy == 0.98:  # figures 1b and 1c
        return Fate(None, 30.0, train=60.0)
    if settings.condition != "true_labels":
        return Fate(60 if settings.condition.endswith("pixels") else 20, 10.0)
    return Fate(30, 89.5, halfway=88.9) if settings.decay_weights else Fate(20, 87.5, halfway=87.2)


def rows_of(settings, run, end):
    """Rows at the first epochs, halfway, where the run fits, and at its end."""

    def at(epoch, **values):
        place = {"statistic": "run", "epoch": epoch, "step": epoch}
        return [{"metric": metric, "value": value} | place for metric, value in values.items()]

    rows = at(1, batch_loss=2.0, batch_accuracy=0.1) + at(2, batch_loss=2.0 + run.rise)
    rows += at(run.begins or 1 + 4 * settings.label_noise, batch_accuracy=0.3)
    if not math.isnan(run.halfway) and settings.stop == "epochs":
        rows += at(settings.epochs // 2, test_accuracy=run.halfway / 100)
    if run.fits:
        rows += at(run.starts * run.fits, batch_accuracy=0.95)
        rows += at(run.fits, batch_loss=0.05, batch_accuracy=1.0)
    ends = {"train_accuracy": run.train, "test_accuracy": run.test, "batch_accuracy": run.train}
    rows += at(end, **{metric: value / 100 for metric, value in ends.items()})
    if settings.network == "theorem_1":
        rows += at(end, num_weights=2 * (settings.num_train or 50_000) + 2352)
    if settings.stop == "fitted":
        rows += at(end, fit=float(run.fits is not None))
    return rows


def made(settings, rows, status="done"):
    """What checks need of a finished run."""
    record = {"settings": dataclasses.asdict(settings), "data": "CIFAR-10", "times": {}}
    return made_run(rows, record=record, seed=settings.seed, diverged=status == "diverged")


def write(records, settings, change=lambda settings, run: run, seeds=tuple(range(6))):
    """Adds the runs of some seeds; a seed moves all accuracies, and each a little by itself."""
    for seed in seeds:
        chosen = dataclasses.replace(settings, seed=seed).resolve()
        run = change(chosen, fate(chosen))
        shift = 0.001 * seed + 0.0001 * np.random.default_rng(len(str(chosen)) + seed).uniform()
        run = dataclasses.replace(run, test=run.test + shift, halfway=run.halfway + shift)
        end = run.fits if run.fits and chosen.stop == "fitted" else chosen.epochs
        records[chosen] = made(chosen, rows_of(chosen, run, end))


def outcome_of(number, records, scale):
    (judgement,) = judge([NUMBERS[number]], STUDY, records, scale)
    return judgement.outcome


def world_of(number, scale, change=lambda settings, run: run, seeds=None):
    records, seeds = {}, seeds or enough(number)
    for name in NUMBERS[number].figures:
        for settings in runs_of_figure(name, scale):
            write(records, settings, change, seeds)
    return outcome_of(number, records, scale)


@pytest.mark.parametrize("number", NUMBERS)
def test_reproduced(number):
    scale = "paper" if number in AT_PAPER_SCALE_ONLY else "laptop"
    outcome = world_of(number, scale)
    assert outcome.verdict == "reproduced", outcome.seen
    assert outcome.seen[0].isupper() and outcome.seen.endswith(".")


PUBLISHED = [12, 17, 20, 21, 23]


@pytest.mark.parametrize("number", PUBLISHED)
def test_published_numbers_are_judged_at_paper_scale_only(number):
    outcome = world_of(number, "paper")
    assert outcome.verdict == "reproduced", outcome.seen
    parts = [part for part in outcome.parts if part.verdict != "not judged"]
    smaller = world_of(number, "smoke", seeds=(0, 1))
    assert len([part for part in smaller.parts if part.verdict != "not judged"]) < len(parts)
    assert any("published" in part.seen for part in smaller.parts if part.verdict == "not judged")


@pytest.mark.parametrize("number", [n for n in NUMBERS if not NUMBERS[n].out_of_reach])
def test_not_run(number):
    outcome = outcome_of(number, {}, "laptop")
    assert outcome.verdict == "not run"
    assert "0 of the" in outcome.seen


@pytest.mark.parametrize("number", AT_PAPER_SCALE_ONLY)
def test_what_a_part_of_the_images_cannot_decide_is_out_of_reach(number):
    assert world_of(number, "smoke").verdict == "out of reach"


@pytest.mark.parametrize("number", [n for n in NUMBERS if n not in AT_PAPER_SCALE_ONLY])
def test_exploratory_seeds_and_a_single_one_decide_nothing(number):
    outcome = world_of(number, "smoke", seeds=exploratory(number))
    assert outcome.verdict == "open"
    assert "were looked at when this was written" in outcome.seen
    if number not in SHARES:  # where several runs of a seed count
        more = range(NUMBERS[number].confirmatory_from + 1)
        assert world_of(number, "smoke", seeds=tuple(more)).verdict == "open"


SHARES = (1, 5, 18, 27, 28)


def test_every_claim_says_what_is_tested_and_from_which_seed_on():
    for claim in CLAIMS:
        assert claim.tests.endswith(".") and claim.confirmatory_from == (6 if claim.number > 35 else 1)
        assert set(claim.figures) <= set(STUDY.figures)


def changed(where, **values):
    """A change of the world: the runs with the settings `where` have this fate."""

    def change(settings, run):
        hit = all(getattr(settings, name) == value for name, value in where.items())
        return dataclasses.replace(run, **values) if hit else run

    return change


MLP, RANDOM, TRUE = {"network": "mlp_1x512"}, {"condition": "random_labels"}, {"condition": "true_labels"}
CROP, NO_DECAY = {"augmentation": "random_crop"}, {"decay_weights": False}
NEVER = {"fits": None, "train": 60.0}
CONTRADICTIONS = [
    (1, changed({}, **NEVER)),
    (2, lambda s, run: dataclasses.replace(run, fits=65 - run.fits, begins=6 - 5 * round(s.label_noise))),
    (3, lambda settings, run: dataclasses.replace(run, fits=65 - run.fits)),
    (4, changed({"condition": "random_pixels"}, fits=1)),
    (5, changed({}, **NEVER)),
    (6, changed(RANDOM, fits=5)),
    (7, changed({"label_noise": 0.0}, fits=5)),
    (9, changed(RANDOM, test=14.0)),
    (10, lambda settings, run: dataclasses.replace(run, test=50.0 + 10 * settings.label_noise)),
    (11, changed({}, test=50.0)),
    (12, changed({"decay_weights": True}, halfway=80.0, test=80.0)),
    (13, changed({"decay_weights": True}, fits=5)),
    (14, changed({"dropout": 0.05}, train=100.0)),
    (15, changed({"batch_norm": "all"}, test=50.0)),
    (16, changed({"batch_norm": "none"}, train=100.0, test=80.0)),
    (17, changed({}, test=15.0)),
    (18, changed({}, test=14.0, **NEVER)),
    (20, changed(CROP | NO_DECAY, test=70.0)),
    (21, changed({"batch_norm": "none"}, test=95.0)),
    (22, changed({}, test=50.0)),
    (23, changed(MLP, test=60.0)),
    (24, changed({"decay_weights": True}, test=95.0)),
    (25, changed(TRUE, test=12.0)),
    (26, changed(RANDOM, starts=0.3)),
    (27, changed({}, **NEVER)),
    (28, changed({}, **NEVER)),
    (30, changed({"batch_norm": "all"}, halfway=99.0)),
    (31, changed({"batch_norm": "all"}, rise=0.5)),
    (34, changed({}, **NEVER)),
    (36, lambda settings, run: dataclasses.replace(run, test=99 - run.test)),
    (37, lambda settings, run: dataclasses.replace(run, test=99 - run.test)),
    (35, lambda settings, run: dataclasses.replace(run, test=15 - run.test / 10, **NEVER)),
]
PAPER_CONTRADICTIONS = [
    (8, changed({}, fits=30, train=99.0)),
    (19, lambda settings, run: dataclasses.replace(run, test=99 - run.test)),
    (29, changed({"network": "alexnet"}, fits=40, train=100.0)),
    (32, changed({}, test=60.0)),
    (33, changed({}, test=14.0, **NEVER)),
]


@pytest.mark.parametrize(("number", "change"), CONTRADICTIONS)
def test_contradicted(number, change):
    outcome = world_of(number, "laptop", change)
    expected = "no difference" if number in (11, 22) else "contradicted"  # equal for all networks
    assert outcome.verdict == expected, outcome.seen


@pytest.mark.parametrize(("number", "change"), PAPER_CONTRADICTIONS)
def test_contradicted_at_paper_scale(number, change):
    outcome = world_of(number, "paper", change)
    assert outcome.verdict == "contradicted", outcome.seen


def test_every_claim_can_be_contradicted():
    assert {number for number, _ in CONTRADICTIONS + PAPER_CONTRADICTIONS} == set(NUMBERS)


@pytest.mark.parametrize(("first", "second"), [("mlp_1x512", "alexnet"), ("alexnet", "inception")])
def test_one_of_two_orders_of_networks_holds_in_part(first, second):
    outcome = world_of(11, "laptop", changed({"network": first, "label_noise": 0.0}, test=95.0))
    assert outcome.words == "reproduced in part (1 of 2)", outcome.seen


CAPPED = changed(MLP | RANDOM, **NEVER)


@pytest.mark.parametrize("number", [9, 10, 26])
def test_a_capped_run_is_no_number(number):
    outcome = world_of(number, "laptop", CAPPED)
    assert outcome.words == "reproduced in part (2 of 3)", outcome.seen
    assert {part.verdict for part in outcome.parts} == {"reproduced", "open"}


def test_a_capped_run_took_four_times_as_long_or_tells_nothing():
    def slower(settings, run):
        if settings.network == "mlp_1x512" and not settings.label_noise:
            return dataclasses.replace(run, fits=settings.epochs // 4 + 1)
        return CAPPED(settings, run)

    assert [p.verdict for p in world_of(7, "laptop", CAPPED).parts].count("contradicted") == 1
    parts = world_of(7, "laptop", slower).parts
    assert [p.verdict for p in parts].count("open") == 1
    assert any("5 of 5 runs did not get there in time to tell" in part.seen for part in parts)


def test_a_capped_run_helps_no_order():
    """One kind of pixels never gets there: counted with its cap, it would make random labels the last."""
    true = changed({"condition": "true_labels"}, fits=40)
    order = [("random_labels", 40), ("shuffled_pixels", 20), ("random_pixels", 20), ("gaussian_pixels", None)]

    def change(settings, run):
        for condition, fits in order:
            run = changed({"condition": condition}, fits=fits)(settings, run)
        return true(settings, run)

    random_last = world_of(3, "laptop", change).parts[2]
    assert random_last.verdict == "open" and "did not get there" in random_last.seen


@pytest.mark.parametrize("number", [1, 5, 18, 27])
def test_a_setting_that_never_fits_contradicts(number):
    """Its share is the bound itself, which no number of seeds would decide."""

    def change(settings, run):
        first = {1: RANDOM, 5: MLP | RANDOM, 27: MLP | RANDOM, 18: MLP | RANDOM | NO_DECAY}[number]
        return changed(first, **NEVER)(settings, run)

    part = world_of(number, "laptop", change).parts[0]
    assert part.verdict == "contradicted" and "if 99 % of all runs fit" in part.seen


def test_single_runs_that_do_not_fit_leave_it_open():
    """Of 15 runs two: 99 % of all runs do not fit, but more than four of five do."""

    def change(settings, run):
        return changed(MLP | RANDOM | {"seed": 1}, **NEVER)(settings, run)

    assert world_of(5, "laptop", change, seeds=range(4)).parts[0].verdict == "open"

    def capped_twice(settings, run):
        lost = settings.condition == "random_labels" and settings.seed in (1, 2)
        return dataclasses.replace(run, **NEVER) if lost else run

    part = world_of(1, "laptop", capped_twice, seeds=range(4)).parts[0]
    assert part.verdict == "open" and "13 of 15" in part.seen


def test_a_run_that_is_fitted_is_past_what_is_measured_as_it_is_trained():
    settings = runs_of_figure("1a", "smoke")[0].resolve()
    run = run_with(settings, [("batch_loss", 0.2, 1), ("batch_loss", 0.12, 2), ("fit", 1, 2)])
    assert results.epochs_to_low_loss(run) == 2
    run = run_with(settings, [("batch_accuracy", 0.9, 1), ("batch_accuracy", 0.98, 2), ("fit", 1, 2)])
    assert results.epochs_to_accuracy(0.99)(run) == 2 and results.epochs_to_accuracy(0.9)(run) == 1


def test_a_capped_run_takes_at_least_all_its_epochs():
    outcome = world_of(6, "laptop", CAPPED)
    assert outcome.verdict == "reproduced"
    assert "(5 of 25 runs did not get there and count with all epochs)" in outcome.seen
    never = world_of(13, "laptop", changed({}, **NEVER))
    assert never.verdict == "open"


@pytest.mark.parametrize("number", [20, 21, 24, 25])
def test_accuracies_of_networks_that_did_not_fit_are_not_compared(number):
    outcome = world_of(number, "smoke", changed(TRUE, fits=None, train=80.0))
    assert outcome.verdict == "open"
    assert "not measured" in outcome.seen


def test_networks_whose_order_is_judged_saw_equally_many_images():
    for name in ("1c", "table1"):
        assert len({settings.num_train for settings in runs_of_figure(name, "laptop")}) == 1


def test_a_diverged_run_stays_at_chance():
    records = {}
    for settings in runs_of_figure("2b_ee411", "smoke"):
        write(records, settings)
        if settings.batch_norm == "none":
            for seed in (6, 7):
                other = dataclasses.replace(settings, seed=seed).resolve()
                rows = [("train_accuracy", 0.1, 3), ("test_accuracy", 0.1, 3), ("diverged", 1, 3)]
                records[other] = run_with(other, rows, "diverged")
    outcome = outcome_of(16, records, "smoke")
    assert outcome.verdict == "reproduced" and "over 7 seeds" in outcome.seen


def test_early_stopping_is_judged_at_the_epoch_that_the_pilot_chose():
    def change(settings, run):
        return dataclasses.replace(run, halfway=20.0) if settings.seed else run

    assert world_of(30, "smoke", change).verdict == "reproduced"


@pytest.mark.parametrize(("part", "values"), [(0, {"begins": 1}), (1, {"fits": 15})])
def test_random_labels_may_start_late_and_be_fitted_with_true_ones_or_the_other_way_round(part, values):
    outcome = world_of(2, "laptop", changed(RANDOM, **values))
    assert outcome.verdict == "in part"
    assert [one.verdict for one in outcome.parts][part] == "no difference"


def test_a_claim_names_its_data():
    records = {}
    for settings in runs_of_figure("1b", "smoke"):
        write(records, settings)
    (judgement,) = judge([NUMBERS[2]], STUDY, records)
    assert judgement.verdict == "reproduced at smoke scale, CIFAR-10"
    assert judgement.seeds == (1, 2, 3, 4, 5)


def run_with(settings, rows, status="done"):
    place = {"statistic": "run"}
    return made(settings, [dict(zip(("metric", "value", "epoch"), r)) | place for r in rows], status)  # noqa: B905


def test_a_run_with_a_target_fits_when_it_is_reached():
    settings = runs_of_figure("1b", "smoke")[0].resolve()
    rows = [("batch_loss", 0.05, 1), ("train_accuracy", 1.0, 7), ("fit", 1, 7)]
    run = run_with(settings, rows)
    assert results.epochs_to_fit(run) == 7
    assert not results.is_capped(run)
    assert results.fits(run) and results.at_least(results.epochs_to_fit)(run) == 7


def test_a_loss_is_low_at_a_tenth_of_a_nat():
    settings = runs_of_figure("1a", "paper")[0].resolve()
    rows = [("batch_loss", 0.5, 1), ("batch_loss", 0.1, 2), ("batch_loss", 0.01, 3)]
    assert results.epochs_to_low_loss(run_with(settings, rows)) == 2
    assert math.isnan(results.epochs_to_low_loss(run_with(settings, rows[:1])))


def test_a_capped_run_has_no_time_and_an_accuracy_only_if_it_counts_as_fitted():
    settings = runs_of_figure("1b", "smoke")[0].resolve()
    low = [("batch_loss", 0.05, 1), ("train_accuracy", 0.98, 9), ("test_accuracy", 0.5, 9), ("fit", 0, 9)]
    run = run_with(settings, low)
    assert math.isnan(results.epochs_to_fit(run)) and results.is_capped(run)
    assert not results.fits(run)
    assert results.at_least(results.epochs_to_fit)(run) == 9
    assert math.isnan(results.fitted_test_accuracy(run))
    high = [("train_accuracy", 0.995, 9), ("test_accuracy", 0.5, 9), ("fit", 0, 9)]
    run = run_with(settings, high)
    assert results.fits(run)
    assert results.fitted_test_accuracy(run) == 50


def test_a_diverged_run_has_no_accuracy():
    settings = runs_of_figure("2b", "smoke")[0].resolve()
    rows = [("train_accuracy", 0.1, 3), ("test_accuracy", 0.1, 3), ("diverged", 1, 3)]
    assert math.isnan(results.accuracy("test")(run_with(settings, rows)))


def test_table_1_is_transcribed_as_its_differences_are_published():
    def test_accuracy(network, crop=False, decay=False, batch_norm=True):
        place = {"crop": crop, "decay": decay, "batch_norm": batch_norm, "random_labels": False}
        return table_row(network=network, **place).test

    for network, crop, decay in (("inception", 3.56, 0.28), ("alexnet", 3.59, 1.29)):
        assert test_accuracy(network, crop=True) - test_accuracy(network) == pytest.approx(crop)
        assert test_accuracy(network, decay=True) - test_accuracy(network) == pytest.approx(decay)
    for decay, gain in ((False, 3.75), (True, 3.03)):
        without = test_accuracy("inception", decay=decay, batch_norm=False)
        assert test_accuracy("inception", decay=decay) - without == pytest.approx(gain)
    assert len(TABLE_1) == 19
    assert [row.settings for row in TABLE_1] == [
        {name: getattr(settings.resolve(), name) for name in TABLE_1[0].settings}
        for settings in runs_of_figure("table1", "paper")
    ]


def test_a_row_that_is_not_in_table_1():
    with pytest.raises(LookupError, match="Received: {'network': 'vgg'}"):
        table_row(network="vgg")


def test_the_disagreements_of_the_two_reports_are_stated():
    text = " ".join(DISAGREEMENTS)
    for words in ("1.5 %", "3.75", "10 % in training and test", "82 and 83 %", "invalid"):
        assert words in text
