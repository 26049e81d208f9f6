"""Every claim on made-up rows: as the papers have it, contradicted, unclear, and missing."""

import dataclasses
import math

import numpy as np
import pytest

from common.study.claims import Evidence, judge
from common.study.runs import find_runs, run_folder
from replications.zhang_randomization import results
from replications.zhang_randomization.claims import CLAIMS, DISAGREEMENTS
from replications.zhang_randomization.presets import STUDY, runs_of_figure
from replications.zhang_randomization.published import TABLE_1, table_row

NUMBERS = {claim.number: claim for claim in CLAIMS}
EPOCHS = {
    "true_labels": 15,
    "shuffled_pixels": 20,
    "gaussian_pixels": 30,
    "random_pixels": 35,
    "random_labels": 50,
}


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    monkeypatch.setattr("common.study.run_folders.provenance", dict)


@dataclasses.dataclass(frozen=True)
class Fate:
    """What becomes of a run: epoch at which it fits (None: never), percent at the end and halfway."""

    fits: int | None
    test: float
    train: float = 100.0
    halfway: float = math.nan


def fate(settings):
    """A run in a world where every claim holds, but for EE-411's order of the conditions."""
    fits = 40 + round(10 * settings.label_noise) if settings.label_noise else EPOCHS[settings.condition]
    rows = [r for r in TABLE_1 if all(getattr(settings, n) == v for n, v in r.settings.items())]
    # Without batch normalization Inception trains at a small rate only.
    trains = settings.batch_norm != "none" or settings.learning_rate <= 0.01
    if rows and trains and settings.protocol == "zhang":
        return Fate(fits, rows[0].test)
    if settings.protocol == "ee411":
        if settings.dropout:
            return Fate(None, 85.0, train=95.0, halfway=80.0)
        return Fate(30, 89.5, halfway=88.9) if settings.decay_weights else Fate(20, 87.5, halfway=87.2)
    if settings.batch_norm == "none":
        return Fate(None, 10.0, train=10.0)
    if settings.batch_norm == "downsample":
        return Fate(25, 83.75)
    clean = table_row(network=settings.network, batch_norm=True, crop=False, decay=False, random_labels=False)
    return Fate(fits, 10 + (clean.test - 10) * (1 - settings.label_noise))


def rows_of(settings, run, end):
    """Rows at the first epoch, halfway, where the run fits, and at its end."""

    def at(epoch, **values):
        place = {"statistic": "run", "epoch": epoch, "step": epoch}
        return [{"metric": metric, "value": value} | place for metric, value in values.items()]

    rows = at(1, batch_loss=2.0, batch_accuracy=0.3)
    if not math.isnan(run.halfway):
        rows += at(settings.epochs // 2, test_accuracy=run.halfway / 100)
    if run.fits:
        rows += at(run.fits, batch_loss=0.05, batch_accuracy=1.0)
    rows += at(end, train_accuracy=run.train / 100, test_accuracy=run.test / 100)
    if settings.stop == "fitted":
        rows += at(end, fit=float(run.fits is not None))
    return rows


def write(out_dir, settings, change=lambda settings, run: run, num_seeds=2):
    """Writes the runs of some seeds; a seed moves all accuracies, and each a little by itself."""
    for seed in range(num_seeds):
        chosen = dataclasses.replace(settings, seed=seed).resolve()
        run = change(chosen, fate(chosen))
        shift = 0.001 * seed + 0.0001 * np.random.default_rng(len(str(chosen)) + seed).uniform()
        run = dataclasses.replace(run, test=run.test + shift, halfway=run.halfway + shift)
        end = run.fits if run.fits and chosen.stop == "fitted" else chosen.epochs
        with run_folder(STUDY, chosen, out_dir) as folder:
            if not folder.finished:
                folder.start({}, "CIFAR-10")
                folder.finish("done", rows_of(chosen, run, end), None)


def outcome_of(number, out_dir, scale):
    (judgement,) = judge([NUMBERS[number]], STUDY, str(out_dir), scale)
    return judgement.outcome


def world_of(number, out_dir, scale, change=lambda settings, run: run, num_seeds=2):
    for name in NUMBERS[number].figures:
        for settings in runs_of_figure(name, scale):
            write(str(out_dir), settings, change, num_seeds)
    return outcome_of(number, out_dir, scale)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Records at paper scale in which every claim but 4 holds."""
    out_dir = tmp_path_factory.mktemp("world")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.study.run_folders.provenance", dict)
        for name in ("1a", "1b", "2a", "2b", "table1"):
            for settings in runs_of_figure(name, "paper"):
                write(str(out_dir), settings)
    return out_dir


@pytest.mark.parametrize("number", [number for number in NUMBERS if number != 4])
def test_reproduced(number, world):
    outcome = outcome_of(number, world, "paper")
    assert outcome.verdict == "reproduced", outcome.seen
    assert outcome.seen[0].isupper() and outcome.seen.endswith(".")


@pytest.mark.parametrize("number", NUMBERS)
def test_not_run(number, tmp_path):
    outcome = outcome_of(number, tmp_path, "smoke")
    assert outcome.verdict == "not run"
    assert "0 of the" in outcome.seen


@pytest.mark.parametrize("number", NUMBERS)
def test_one_seed_has_no_interval(number, tmp_path):
    assert world_of(number, tmp_path, "smoke", num_seeds=1).verdict == "open"


def changed(where, **values):
    """A change of the world: the runs with the settings `where` have this fate."""

    def change(settings, run):
        hit = all(getattr(settings, name) == value for name, value in where.items())
        return dataclasses.replace(run, **values) if hit else run

    return change


def pixels_last(settings, run):
    return dataclasses.replace(run, fits=60) if settings.condition.endswith("pixels") else run


def test_the_two_orders_of_conditions_exclude_each_other(world, tmp_path):
    assert outcome_of(4, world, "paper").verdict == "contradicted"
    assert world_of(4, tmp_path, "paper", pixels_last).verdict == "reproduced"
    assert outcome_of(3, tmp_path, "paper").verdict == "contradicted"


@pytest.mark.parametrize("number", [3, 4])
def test_randomized_pixels_are_not_judged_on_fewer_images_than_values(number, tmp_path):
    outcome = world_of(number, tmp_path, "laptop", pixels_last)
    assert outcome.verdict == "open"
    assert "1,024 images, fewer than the 2,352 values of one" in outcome.seen
    assert outcome_of(2, tmp_path, "laptop").verdict == "reproduced"


MLP, RANDOM = {"network": "mlp_1x512"}, {"condition": "random_labels"}
CROP, PLAIN = {"augmentation": "random_crop"}, {"augmentation": "central_crop"}
CONTRADICTIONS = [
    (1, "paper", changed({"condition": "random_pixels"}, train=60.0)),
    (2, "smoke", changed(RANDOM, fits=5)),
    (3, "paper", changed({"condition": "true_labels"}, fits=60)),
    (3, "paper", changed(RANDOM, fits=32)),
    (3, "paper", changed({"condition": "shuffled_pixels"}, fits=60)),
    (5, "smoke", changed(MLP | RANDOM, test=14.0)),
    (6, "smoke", changed(RANDOM, fits=5)),
    (7, "smoke", changed(MLP | RANDOM, fits=80)),
    (8, "paper", changed(MLP | {"label_noise": 0.3}, fits=30)),
    (9, "smoke", changed(MLP | RANDOM, test=14.0)),
    (10, "smoke", changed(MLP | RANDOM, test=60.0)),
    (11, "paper", changed(MLP | {"label_noise": 0.0}, test=80.0)),
    (12, "paper", changed({"decay_weights": True}, halfway=80.0)),
    (12, "paper", changed({}, halfway=70.0)),
    (13, "smoke", changed({"decay_weights": True}, fits=5)),
    (14, "paper", changed({"dropout": 0.05}, train=100.0)),
    (15, "smoke", changed({"batch_norm": "all"}, test=50.0)),
    (16, "paper", changed({"batch_norm": "none"}, train=100.0, test=80.0)),
    (17, "paper", changed({"batch_norm": "downsample"}, test=90.0)),
    (17, "paper", changed({"batch_norm": "downsample"}, test=80.0)),
    (18, "smoke", changed(MLP | RANDOM, test=14.0)),
    (19, "paper", changed(MLP | {"condition": "true_labels"}, test=60.0)),
    (20, "smoke", changed(CROP | {"decay_weights": False}, test=70.0)),
    (20, "paper", changed(CROP | {"network": "alexnet"}, test=90.0)),
    (21, "smoke", changed({"batch_norm": "none"}, test=90.0)),
    (22, "paper", changed({"network": "alexnet"}, test=90.0)),
    (23, "smoke", changed(MLP, test=60.0)),
    (24, "smoke", changed(MLP | {"decay_weights": True}, test=60.0)),
    (25, "smoke", changed(MLP | {"condition": "true_labels"}, test=12.0)),
]


@pytest.mark.parametrize(("number", "scale", "change"), CONTRADICTIONS)
def test_contradicted(number, scale, change, tmp_path):
    outcome = world_of(number, tmp_path, scale, change)
    assert outcome.verdict == "contradicted", outcome.seen


CAPPED = changed(MLP | RANDOM, fits=None, train=80.0)


@pytest.mark.parametrize("number", [5, 6, 7, 9, 10, 18])
def test_a_capped_run_is_no_number(number, tmp_path):
    outcome = world_of(number, tmp_path, "smoke", CAPPED)
    assert outcome.verdict == "open", outcome.seen
    assert "MLP 1x512" in outcome.seen and "runs not fitted): not measured" in outcome.seen


def test_one_capped_seed_leaves_a_comparison_open(tmp_path):
    def change(settings, run):
        return CAPPED(settings, run) if settings.seed == 1 else run

    assert "(1 of 4 runs not fitted)" in world_of(7, tmp_path, "smoke", change).seen


@pytest.mark.parametrize("number", [15, 17, 20, 21, 23, 24, 25])
def test_accuracies_of_networks_that_did_not_fit_are_not_compared(number, tmp_path):
    outcome = world_of(
        number, tmp_path, "smoke", changed({"condition": "true_labels"}, fits=None, train=80.0)
    )
    assert outcome.verdict == "open"
    assert "not fitted" in outcome.seen


@pytest.mark.parametrize("number", [11, 22])
def test_networks_on_different_numbers_of_images_are_not_compared(number, tmp_path):
    outcome = world_of(number, tmp_path, "laptop")
    assert outcome.verdict == "open"
    assert [part.verdict for part in outcome.parts] == ["not judged"]
    assert "different numbers of images" in outcome.seen


@pytest.mark.parametrize(
    ("number", "reason"), [(8, "paper scale only"), (14, "100 epochs"), (16, "rate only")]
)
def test_what_needs_the_published_protocol_is_not_judged_below_it(number, reason, tmp_path):
    outcome = world_of(number, tmp_path, "laptop")
    assert outcome.verdict == "open"
    assert {part.verdict for part in outcome.parts} == {"not judged"}
    assert reason in outcome.seen


@pytest.mark.parametrize("number", [12, 17, 19, 20, 21, 23, 24])
def test_published_numbers_are_judged_at_paper_scale_only(number, tmp_path):
    parts = world_of(number, tmp_path, "smoke").parts
    numbers = [part for part in parts if "published" in part.seen]
    assert numbers
    assert all(part.verdict == "not judged" and "paper scale only" in part.seen for part in numbers)


def test_chance_is_narrower_with_all_test_images(tmp_path):
    change = changed(RANDOM, test=11.5)
    assert world_of(5, tmp_path, "laptop", change).verdict == "reproduced"
    assert world_of(5, tmp_path, "paper", change).verdict == "contradicted"


def test_a_claim_names_its_data(world):
    (judgement,) = judge([NUMBERS[2]], STUDY, str(world))
    assert judgement.verdict == "reproduced at paper scale, CIFAR-10"
    assert len(judgement.runs) == 4


@pytest.fixture
def evidence(world):
    return Evidence(STUDY, ("1b",), str(world), "paper")


def run_with(out_dir, settings, rows):
    with run_folder(STUDY, settings, str(out_dir)) as folder:
        folder.start({}, "CIFAR-10")
        place = {"statistic": "run"}
        folder.finish("done", [dict(zip(("metric", "value", "epoch"), r)) | place for r in rows], None)  # noqa: B905
    ((_, run),) = find_runs(STUDY, [settings], str(out_dir))
    return run


def test_a_run_with_a_target_fits_when_it_is_reached(tmp_path):
    settings = runs_of_figure("1b", "smoke")[0].resolve()
    rows = [("batch_loss", 0.05, 1), ("train_accuracy", 1.0, 7), ("fit", 1, 7)]
    run = run_with(tmp_path, settings, rows)
    assert results.epochs_to_fit(run) == 7
    assert not results.is_capped(run)
    assert results.final_training_accuracy(run) == 100


def test_a_loss_is_low_at_a_tenth_of_a_nat(tmp_path):
    settings = runs_of_figure("1a", "paper")[0].resolve()
    rows = [("batch_loss", 0.5, 1), ("batch_loss", 0.1, 2), ("batch_loss", 0.01, 3)]
    assert results.epochs_to_low_loss(run_with(tmp_path / "a", settings, rows)) == 2
    assert math.isnan(results.epochs_to_low_loss(run_with(tmp_path / "b", settings, rows[:1])))


def test_a_capped_run_has_no_time_and_an_accuracy_only_if_it_counts_as_fitted(tmp_path):
    settings = runs_of_figure("1b", "smoke")[0].resolve()
    low = [("batch_loss", 0.05, 1), ("train_accuracy", 0.98, 9), ("test_accuracy", 0.5, 9), ("fit", 0, 9)]
    run = run_with(tmp_path / "low", settings, low)
    assert math.isnan(results.epochs_to_fit(run)) and results.is_capped(run)
    assert math.isnan(results.final_training_accuracy(run))
    assert math.isnan(results.fitted_test_accuracy(run))
    high = [("train_accuracy", 0.995, 9), ("test_accuracy", 0.5, 9), ("fit", 0, 9)]
    run = run_with(tmp_path / "high", settings, high)
    assert results.final_training_accuracy(run) == pytest.approx(99.5)
    assert results.fitted_test_accuracy(run) == 50


def test_a_diverged_run_has_no_accuracy(tmp_path):
    settings = runs_of_figure("2b", "smoke")[0].resolve()
    rows = [("train_accuracy", 0.1, 3), ("test_accuracy", 0.1, 3), ("diverged", 1, 3)]
    assert math.isnan(results.accuracy("test")(run_with(tmp_path, settings, rows)))


def test_settings_are_compared_seed_by_seed(evidence):
    places = [{"network": "alexnet", "label_noise": noise} for noise in (0.2, 0.1)]
    found = results.difference(evidence, "label", results.accuracy("test"), *places)
    first, second = (results.by_seed(evidence, results.accuracy("test"), p) for p in places)
    assert found.values == pytest.approx([first[seed] - second[seed] for seed in (0, 1)])
    # The shift of a seed drops out.
    assert np.ptp(found.values) < 0.05
    assert found.estimate().value == pytest.approx(np.mean(found.values))


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
