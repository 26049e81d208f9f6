"""Every claim on made-up records: as the paper has it, contradicted, and not decided."""

import dataclasses
import math
import zlib

import numpy as np
import pytest

from common.study.claims import judge
from common.study.runs import run_folder
from replications.somepalli_boundaries.claims import CLAIMS, DISAGREEMENTS, networks, shared, wrong_labels
from replications.somepalli_boundaries.presets import STUDY, runs_of_figure
from replications.somepalli_boundaries.published import (
    MATRIX_NETWORKS,
    OPTIMIZER_ACCURACY,
    OPTIMIZER_NAMES,
    OPTIMIZER_NETWORKS,
    OPTIMIZER_REPRODUCIBILITY,
    PICTURES,
    REPRODUCIBILITY_MATRIX,
)
from replications.somepalli_boundaries.results import late_test_error
from tests.made_rows import made_rows, made_run

NUMBERS = {claim.number: claim for claim in CLAIMS}
THRESHOLD = 4
MATRIX_CLAIMS = (1, 2, 3, 4, 23)
PLANE_CLAIMS = (11, 12, 32, 33)
OPTIMIZER_CLAIMS = (6, 7, 8, 24)
WIDTH_CLAIMS = (13, 14, 15, 16, 17, 18, 19, 21, 25, 28, 29, 31)
# Of networks without noise, which do not depend on what noise does.
CLEAN_CLAIMS = (26, 27)
FITTED = {("accuracy", "all"): 1.0}


@pytest.fixture(autouse=True, scope="module")
def no_git():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.study.run_folders.provenance", dict)
        yield


def write(folder, settings, values, arrays=None, status="done"):
    settings = settings.resolve()
    place = {"epoch": settings.epochs, "step": 1}
    with run_folder(STUDY, settings, str(folder)) as run:
        run.start({}, "CIFAR-10")
        run.finish(status, made_rows(values, place), arrays or {})


def seeded(figure, seeds, scale="laptop"):
    """The resolved settings of a figure's runs, each with these seeds."""
    runs = dict.fromkeys(dataclasses.replace(s, seed=0) for s in runs_of_figure(figure, scale))
    return [dataclasses.replace(s, seed=seed).resolve() for s in runs for seed in seeds]


def judged(folder, number, scale="laptop"):
    (judgement,) = judge([NUMBERS[number]], STUDY, str(folder), scale)
    return judgement.outcome


def verdicts(folder, numbers, scale="laptop"):
    found = judge([NUMBERS[n] for n in numbers], STUDY, str(folder), scale)
    return {judgement.claim.number: judgement.outcome.verdict for judgement in found}


def own(settings, seed):
    """What a network adds to a value, fixed and small."""
    names = ("network", "width", "label_noise", "optimizer", "sam_radius")
    name = " ".join(str(settings[name]) for name in names) + f" {seed}"
    return (zlib.crc32(name.encode()) % 201 - 100) / 1e7


@pytest.fixture
def scores(monkeypatch):
    """Lets networks agree by a function of both settings, and a little of their own."""

    def let(score):
        def agreement(first, second):
            a, b = first.record["settings"], second.record["settings"]
            return score(a, b) + own(a, a["seed"]) + own(b, b["seed"])

        monkeypatch.setattr(shared, "agreement", agreement)

    return let


def matrix_score(matrix):
    places = {name: i for i, name in enumerate(MATRIX_NETWORKS)}
    return lambda a, b: matrix[places[a["network"]], places[b["network"]]]


def random_planes(winners, num_classes):
    """Maps of both kinds, on planes of these winners and numbers of classes."""
    planes = np.zeros((len(winners), 4, 4), np.uint8)
    for plane, winner, number in zip(planes, winners, num_classes, strict=True):
        plane[:] = winner
        plane.ravel()[: number - 1] = (winner + np.arange(1, number)) % 10
    return {"random_classes": np.tile(planes, (2, 1, 1, 1))}


def striped_planes(numbers, size=24):
    """Planes of so many stripes each, which are its regions."""
    rows = np.arange(size)[:, None] * np.ones((1, size), int)
    return {"score_classes": np.stack([rows * number // size % 2 for number in numbers]).astype(np.uint8)}


def few_classes(settings):
    """Planes of images that are no data, and of images: most regions with the fully connected network."""
    most = 2 * (settings.network == "fully_connected")
    stripes = striped_planes([4 + most * 4, 4 + settings.seed % 3 + most * 4])
    winner = max(MATRIX_NETWORKS.index(settings.network) - 5, 0)
    other = 4 + zlib.crc32(f"{settings.network} {settings.seed}".encode()) % 3
    return stripes | random_planes([winner] * 4 + [other], [1, 2, 1, 2, 1 + settings.seed % 3])


@pytest.fixture(scope="module")
def matrix_records(tmp_path_factory):
    """Of the paper's scale the numbers are judged as well."""
    folder = tmp_path_factory.mktemp("matrix")
    for scale in ("laptop", "paper"):
        for settings in seeded("reproducibility", range(5), scale):
            write(folder, settings, FITTED, few_classes(settings))
    return folder


def test_the_published_matrix_is_reproduced_by_itself(matrix_records, scores):
    scores(matrix_score(REPRODUCIBILITY_MATRIX))
    assert set(verdicts(matrix_records, (*MATRIX_CLAIMS, *PLANE_CLAIMS)).values()) == {"reproduced"}
    assert verdicts(matrix_records, (5,)) == {5: "out of reach"}
    assert verdicts(matrix_records, (5,), "paper") == {5: "reproduced"}


def test_the_opposite_of_the_published_matrix_contradicts(matrix_records, scores):
    scores(matrix_score(1 - REPRODUCIBILITY_MATRIX))
    assert set(verdicts(matrix_records, MATRIX_CLAIMS).values()) == {"contradicted"}
    assert verdicts(matrix_records, (5,), "paper") == {5: "contradicted"}


def test_networks_that_are_all_alike_show_no_difference(matrix_records, scores):
    scores(lambda a, b: 0.6 + 1e-4 * np.sin(a["seed"] * b["seed"] * (a["width"] + b["width"])))
    assert judged(matrix_records, 1).parts[0].verdict == "no difference"


def test_the_pilot_alone_decides_nothing(tmp_path, scores):
    scores(matrix_score(REPRODUCIBILITY_MATRIX))
    for settings in seeded("reproducibility", (0,)):
        write(tmp_path, settings, FITTED, few_classes(settings))
    assert set(verdicts(tmp_path, (*MATRIX_CLAIMS, *PLANE_CLAIMS)).values()) == {"open"}


def test_regions_by_hand(tmp_path):
    """The fully connected network has 2 regions where others have 4; planes of noise have 8."""
    noise = {"random_classes": np.tile(striped_planes([8])["score_classes"], (2, 1, 1, 1))}
    for settings in seeded("reproducibility", range(5)):
        # Of two planes; one region more or less in some seeds.
        number = 2 if settings.network == "fully_connected" else 4 + (settings.seed == 2)
        write(tmp_path, settings, FITTED, striped_planes([number, number]) | noise)
    found = judged(tmp_path, 32)
    assert found.verdict == "contradicted"
    assert "FullyCon 2.0" in found.seen and "ResNet18 4.2" in found.seen
    found = judged(tmp_path, 33)
    assert found.verdict == "contradicted"
    assert "FullyCon 0.25" in found.seen and "ResNet18 0.53" in found.seen


@pytest.mark.parametrize("changed", ["unfitted", "unfitted once", "diverged once"])
def test_a_network_that_has_not_fitted_or_diverged(changed, tmp_path, scores):
    scores(matrix_score(REPRODUCIBILITY_MATRIX))
    for settings in seeded("reproducibility", range(5)):
        chosen = settings.network == "vit" and (changed == "unfitted" or settings.seed == 2)
        if chosen and changed == "diverged once":
            write(tmp_path, settings, {"diverged": 1.0}, status="diverged")
        else:
            write(tmp_path, settings, {("accuracy", "all"): 0.5 if chosen else 1.0}, few_classes(settings))
    outcome = judged(tmp_path, 1)
    lost = {"unfitted": "50 %, 50 %, 50 %, 50 %", "unfitted once": "50 %", "diverged once": "diverged"}
    assert f"labels fitted below 99 %: vit ({lost[changed]})." in outcome.seen
    seen = [part.seen for part in outcome.parts[:4]]
    if changed == "unfitted":
        # Three of four parts hold, but nobody knows of the other.
        assert outcome.verdict == "open" and "not measured" in seen[1]
    else:
        assert outcome.verdict == "reproduced"
        assert "over 3 seeds" in seen[1] and all("over 4 seeds" in seen[i] for i in (0, 2, 3))


def test_a_lost_training_costs_no_seed_of_other_networks(tmp_path, scores):
    """Three of 36 trainings, each of another network and seed."""
    scores(matrix_score(REPRODUCIBILITY_MATRIX))
    lost = {("wide_resnet_20", 1), ("vgg19", 2), ("densenet121", 3)}
    for settings in seeded("reproducibility", range(5)):
        share = 0.5 if (settings.network, settings.seed) in lost else 1.0
        write(tmp_path, settings, {("accuracy", "all"): share}, few_classes(settings))
    assert set(verdicts(tmp_path, (1, 4, 23, 32, 33)).values()) == {"reproduced"}


def test_one_network_that_has_fitted_is_compared_with_none(tmp_path, scores):
    scores(matrix_score(REPRODUCIBILITY_MATRIX))
    for settings in seeded("reproducibility", range(5)):
        fitted = {("accuracy", "all"): 1.0 if settings.network == "vit" else 0.5}
        write(tmp_path, settings, fitted, few_classes(settings))
    assert set(verdicts(tmp_path, MATRIX_CLAIMS).values()) == {"open"}


def test_the_widest_is_not_the_most_reproducible(matrix_records, scores):
    matrix = REPRODUCIBILITY_MATRIX.copy()
    matrix[3, 3] = 0.95  # ResNet18 above WideRN30
    scores(matrix_score(matrix))
    outcome = judged(matrix_records, 2)
    assert outcome.verdict == "contradicted" and outcome.parts[1].verdict == "contradicted"


def test_classes_that_fill_a_plane_but_for_a_twentieth_by_hand():
    plane = np.zeros((10, 10), int)
    plane[0, :5] = np.arange(1, 6)  # five single points
    assert networks._num_classes(plane) == 1
    plane[1, 0] = 6
    assert networks._num_classes(plane) == 2
    assert networks._num_classes(np.repeat([3, 7], 50)) == 2


def test_many_classes_off_the_manifold_and_winners_of_seeds(tmp_path):
    for settings in seeded("off_manifold", range(5)):
        place = (MATRIX_NETWORKS.index(settings.network) + settings.seed) % 3
        winners = [place] * 5 if settings.seed else [9] * 5
        write(tmp_path, settings, FITTED, random_planes(winners, [5, 5, 6, 5, 4 + settings.seed]))
    assert verdicts(tmp_path, (11,)) == {11: "contradicted"}
    assert verdicts(tmp_path, (12,))[12] in ("contradicted", "open")


def table(array, settings):
    optimizer = list(OPTIMIZER_NAMES).index("sam" if settings["sam_radius"] else settings["optimizer"])
    return array[OPTIMIZER_NETWORKS.index(settings["network"]), optimizer]


def write_optimizers(folder, accuracies, scale="laptop"):
    for settings in seeded("optimizers", range(5), scale):
        found = dataclasses.asdict(settings)
        accuracy = table(accuracies, found) + 1e3 * own(found, settings.seed)
        write(folder, settings, FITTED | {("accuracy", "test"): accuracy / 100})


@pytest.fixture(scope="module")
def optimizer_records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("optimizers")
    for scale in ("laptop", "paper"):
        write_optimizers(folder, OPTIMIZER_ACCURACY, scale)
    return folder


def test_the_published_optimizers_are_reproduced_by_themselves(optimizer_records, scores):
    scores(lambda a, b: table(OPTIMIZER_REPRODUCIBILITY, a) / 100)
    assert set(verdicts(optimizer_records, OPTIMIZER_CLAIMS).values()) == {"reproduced"}
    assert verdicts(optimizer_records, (9,)) == {9: "out of reach"}
    assert verdicts(optimizer_records, (9,), "paper") == {9: "reproduced"}


def test_other_optimizers_contradict(tmp_path, scores):
    # The published differences of claim 8 are ties: here they are twenty and five times as large.
    scores(lambda a, b: 1 - table(OPTIMIZER_REPRODUCIBILITY, a) / 5)
    write_optimizers(tmp_path, 500 - 5 * OPTIMIZER_ACCURACY)
    found = verdicts(tmp_path, OPTIMIZER_CLAIMS)
    assert found == dict.fromkeys(OPTIMIZER_CLAIMS, "contradicted")


@pytest.mark.parametrize(
    "distilled,vanilla,verdict", [(0.05, 0.2, "reproduced"), (0.2, 0.05, "contradicted")]
)
def test_distillation(distilled, vanilla, verdict, tmp_path):
    rng = np.random.default_rng(0)
    teacher = rng.integers(0, 10, (20, 10, 10)).astype(np.uint8)
    for settings in runs_of_figure("distillation", "laptop"):
        changed = distilled if settings.teacher else 0 if settings.seed else vanilla
        other = rng.random(teacher.shape) < changed
        classes = np.where(other, (teacher + 1) % 10, teacher)
        write(tmp_path, settings, {("accuracy", "test"): 0.5}, {"score_classes": classes})
    assert verdicts(tmp_path, (10,)) == {10: verdict}


@pytest.mark.parametrize(
    "one,gains", [(("vgg19", None, 0), 12), (("vgg19", "resnet18", 0), 15)], ids=["vanilla", "student"]
)
def test_a_diverged_network_costs_its_gains_alone(one, gains, tmp_path):
    for settings in runs_of_figure("distillation", "laptop"):
        if (settings.network, settings.teacher, settings.seed) == one:
            write(tmp_path, settings, {"diverged": 1.0}, status="diverged")
        else:
            rng = np.random.default_rng(settings.seed)
            maps = {"score_classes": rng.integers(0, 10, (3, 4, 4)).astype(np.uint8)}
            write(tmp_path, settings, {("accuracy", "test"): 0.5}, maps)
    outcome = judged(tmp_path, 10)
    assert f"of {gains} positive" in outcome.seen
    assert "1 of 24 runs diverged and are left out: " in outcome.seen


def bump(width, low, high, center):
    """A curve over the width that is `low` far from the center and `high` at it."""
    return low + (high - low) * np.exp(-2 * (np.log(width / center) ** 2))


def sweep_values(settings, effect=1.0, center=THRESHOLD, clean_gain=1.0, clean_rise=2.0):
    """Values with the published effect of noise, times a number."""
    part = effect * (settings.label_noise > 0)
    found = dataclasses.asdict(settings)
    jitter = 1 + 1e3 * own(found, settings.seed)
    fragments = bump(settings.width, 10, 10 + clean_rise + 18 * part, center)
    margin = 1 / bump(settings.width, 0.1 + 0.02 * part, 0.11 + 0.4 * part, center)
    error = 0.5 - 0.01 * np.log(settings.width) + bump(settings.width, 0, 0.2 * part, center)
    fitted = min(1.0, 0.5 + 0.5 * settings.width / THRESHOLD)
    unfitted = 1 - fitted
    return {
        "train_accuracy": fitted + unfitted * (0 if settings.label_noise else 0.5 * clean_gain) * jitter,
        ("accuracy", "clean"): fitted + unfitted * 0.2 * effect * jitter,
        ("accuracy", "noisy"): fitted - unfitted * 0.6 * effect,
        ("margin", "noisy", "median"): bump(settings.width, 1, np.exp(-effect), center) * jitter,
        "test_accuracy": 1 - error * jitter,
        ("fragmentation", "all"): fragments * jitter,
        ("fragmentation", "clean"): fragments * jitter,
        ("margin", "all", "median"): margin * jitter,
    }


def write_sweep(folder, name, seeds=range(5), **effects):
    for settings in seeded(name, seeds):
        write(folder, settings, sweep_values(settings, **effects))


def dip(effect=0.3, center=THRESHOLD, clean=0.1):
    def score(a, b):
        return 0.7 - bump(a["width"], 0, effect if a["label_noise"] else clean, center)

    return score


@pytest.fixture(scope="module")
def sweep_records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sweep")
    write_sweep(folder, "10")
    return folder


def test_double_descent_as_the_paper_has_it(sweep_records, scores):
    scores(dip())
    numbers = (*WIDTH_CLAIMS, *CLEAN_CLAIMS)
    assert verdicts(sweep_records, numbers) == dict.fromkeys(numbers, "reproduced")


def test_the_threshold_is_that_of_the_seeds_that_choose(sweep_records):
    outcome = judged(sweep_records, 13)
    assert "k = 4 against the least before it, k = 1" in outcome.seen
    assert (
        "the interpolation threshold is k = 4, published near 10, judged at paper scale only" in outcome.seen
    )


def test_noise_with_the_opposite_effect_contradicts(tmp_path, scores):
    write_sweep(tmp_path, "10", effect=-0.2, clean_gain=-1.0)
    scores(dip(-0.1, clean=0.0))
    found = verdicts(tmp_path, WIDTH_CLAIMS)
    assert found == dict.fromkeys(found, "contradicted")


@pytest.mark.parametrize("center,verdict", [(2, "reproduced"), (4, "contradicted")])
def test_where_the_test_error_has_its_peak(center, verdict, tmp_path):
    """Of the labels 75 % are fitted at k = 2, all at k = 4."""
    for settings in seeded("10", range(5)):
        fitted = sweep_values(settings)["train_accuracy"] - 1e-3 * (settings.seed % 3)
        values = sweep_values(settings, center=center) | {"train_accuracy": fitted}
        write(tmp_path, settings, values)
    assert verdicts(tmp_path, (30,)) == {30: verdict}


def test_networks_without_noise_that_do_the_opposite(tmp_path, scores):
    write_sweep(tmp_path, "10", clean_rise=-5.0)
    scores(dip(clean=-0.1))
    assert verdicts(tmp_path, CLEAN_CLAIMS) == dict.fromkeys(CLEAN_CLAIMS, "contradicted")


def test_seeds_that_were_looked_at_decide_nothing(tmp_path, scores):
    write_sweep(tmp_path, "10", seeds=(0, 1))
    write_sweep(tmp_path, "nakkiran_1", seeds=(0, 1))
    scores(dip())
    assert set(verdicts(tmp_path, (*WIDTH_CLAIMS, *CLEAN_CLAIMS, 22)).values()) == {"open"}


def test_without_a_threshold_nothing_at_it_is_decided(tmp_path):
    for settings in seeded("10", (0, 1, 2)):
        write(tmp_path, settings, sweep_values(settings) | {"train_accuracy": 0.9})
    for number in (13, 14, 15, 16, 17, 19, 21, 25, 26, 27, 28, 29, 30, 31):
        assert judged(tmp_path, number).seen.startswith("No width fits all noisy labels")


def test_a_seed_with_a_diverged_network_or_a_missing_value_is_left_out(tmp_path, scores):
    for settings in seeded("10", range(6)):
        values = sweep_values(settings)
        if (settings.label_noise, settings.width, settings.seed) == (0.2, 3, 4):
            write(tmp_path, settings, {"diverged": 1.0, "train_accuracy": 0.1}, status="diverged")
            continue
        if (settings.label_noise, settings.width, settings.seed) == (0.2, 12, 5):
            del values[("margin", "all", "median")]  # no image kept a margin
        write(tmp_path, settings, values)
    scores(dip())
    assert verdicts(tmp_path, (13, 15)) == {13: "reproduced", 15: "reproduced"}
    # Width 3 is in neither comparison, width 12 in that of margins.
    assert "over 4 seeds" in judged(tmp_path, 13).seen
    assert "over 3 seeds" in judged(tmp_path, 17).seen


@pytest.mark.parametrize("effect,expected", [(1.0, "reproduced"), (-0.2, "in part")])
def test_nakkirans_figure(effect, expected, tmp_path):
    write_sweep(tmp_path, "nakkiran_1", effect=effect)
    assert verdicts(tmp_path, (22,)) == {22: expected}  # the training error falls in any case


def test_the_test_error_is_read_over_the_last_tenth_of_the_epochs():
    rows = [
        {"metric": "test_accuracy", "value": v, "epoch": e} for e, v in enumerate([0.1] * 18 + [0.4, 0.6], 1)
    ]
    assert late_test_error(made_run(rows)) == pytest.approx(50.0)
    assert late_test_error(made_run(rows[-1:])) == pytest.approx(40.0)


def picture_arrays(classes, window=(0.0, 19.0, 0.0, 19.0), third=(19.0, 19.0)):
    """The same picture of every plane, whose third image, of label 7, is at a place."""
    names = [picture.name for picture in PICTURES["double_descent"]]
    number = len(names)
    return {
        "picture_names": np.array(names),
        "picture_classes": np.tile(np.array(classes, np.uint8), (number, 1, 1)),
        "picture_windows": np.tile(window, (number, 1)),
        "picture_coordinates": np.tile([[0, 0], [5, 0], third], (number, 1, 1)).astype(np.float32),
        "picture_labels": np.tile([1, 1, 7], (number, 1)).astype(np.int8),
    }


def depth(arrays):
    return wrong_labels.depth_of_wrong_label(type("Run", (), {"arrays": arrays}), "9_0")


def rows_of_seven(share):
    """Of 20 rows the last part has class 7."""
    return np.where(np.arange(20)[:, None] >= 20 * (1 - share), 7, 1) * np.ones((1, 20))


def test_the_distance_of_a_wrong_label_from_another_class_by_hand():
    """The image is in the last of 20 rows, the first two are 5 apart."""
    assert depth(picture_arrays(rows_of_seven(0.25))) == 5 / 5
    assert depth(picture_arrays(rows_of_seven(0.05))) == 1 / 5
    other = picture_arrays(rows_of_seven(0.25))
    other["picture_labels"][:, 2] = 3  # which the network does not give it
    assert depth(other) == 0


def test_the_distance_in_a_window_of_other_lengths():
    """Points are 2 apart in one direction and 1 in the other; the image is at row 15 and column 5."""
    classes = np.full((20, 20), 7)
    classes[12, 5] = classes[15, 8] = 1  # 6 and 3 away
    place = {"window": (-10.0, 28.0, 2.0, 21.0), "third": (20.0, 7.0)}
    assert depth(picture_arrays(classes, **place)) == 3 / 5
    classes[15, 8] = 7
    assert depth(picture_arrays(classes, **place)) == 6 / 5


def test_the_distance_on_a_plane_of_one_class_is_that_to_a_corner():
    assert depth(picture_arrays(np.full((20, 20), 7), third=(16.0, 15.0))) == 5 / 5


@pytest.mark.parametrize(
    "wide,regions,verdict",
    [(0.8, 10, "reproduced"), (0.1, 10, "in part"), (0.1, 50, "contradicted")],
)
def test_wrong_labels_in_wide_networks(wide, regions, verdict, tmp_path):
    for settings in seeded("9", range(5)):
        is_wide = settings.width == 12
        share = 0.05 * (settings.seed % 3) * is_wide + (wide if is_wide else 0.4)
        found = (regions + settings.seed if is_wide else 30) + settings.seed
        write(tmp_path, settings, {("fragmentation", "clean"): found}, picture_arrays(rows_of_seven(share)))
    assert verdicts(tmp_path, (20,)) == {20: verdict}


def test_missing_runs_are_not_judged(tmp_path):
    assert {j.outcome.verdict for j in judge(CLAIMS, STUDY, str(tmp_path))} == {"not run", "out of reach"}


def test_claims_are_numbered_and_name_their_figures():
    assert [claim.number for claim in CLAIMS] == list(range(1, len(CLAIMS) + 1))
    for claim in CLAIMS:
        assert set(claim.figures) <= set(STUDY.figures)
        assert claim.tests
    assert len(DISAGREEMENTS) == len(set(DISAGREEMENTS))


@pytest.mark.parametrize("threshold,verdict", [(5, "reproduced"), (20, "reproduced"), (30, "contradicted")])
def test_the_published_threshold_is_judged_at_paper_scale(threshold, verdict):
    sweeps = type("Made", (), {"threshold": float(threshold), "scale": "paper"})
    assert shared.near_published(sweeps, 10).verdict == verdict
    sweeps.scale = "laptop"
    assert shared.near_published(sweeps, 10).verdict == "not judged"


def test_a_run_is_fitted_from_a_width_on_if_all_wider_networks_are():
    assert shared._own_threshold([1, 2, 3, 4], [0.96, 0.5, 0.97, 0.99]) == 3
    assert math.isnan(shared._own_threshold([1, 2], [0.99, 0.5]))
