"""Every claim on made-up records: as the paper has it, contradicted, and missing."""

import dataclasses

import numpy as np
import pytest

from common.study.claims import Evidence, judge
from common.study.runs import run_folder
from common.study.verdicts import Outcome
from replications.snapp_shamir.claims import CLAIMS
from replications.snapp_shamir.claims.deep_networks import _tuned
from replications.snapp_shamir.presets import STUDY, runs_of_figure
from replications.snapp_shamir.results import (
    PD,
    dead_pairs,
    order,
    pair_ratio,
    pair_values,
    with_or_without_dead,
)

NUMBERS = {claim.number: claim for claim in CLAIMS}
# PD without, with some and with aggressive shuffling, and excess loss, as the paper describes them.
LEVELS = {
    ("linear", "identity", "identical"): ((6e-8, 1e-4, 6e-3), 1e-5),
    ("linear", "identity", "distinct"): ((1e-6, 1e-4, 6e-3), 1e-5),
    ("single", "identity", "identical"): ((1e-7, 3e-3, 2e-2), 2e-5),
    ("single", "identity", "distinct"): ((1e-4, 4e-3, 2e-2), 2e-5),
    ("single", "relu", "identical"): ((3e-7, 1e-2, 4e-2), 4e-5),
    ("single", "relu", "distinct"): ((3e-2, 3e-2, 4e-2), 4e-5),
    ("double", "identity", "identical"): ((2e-7, 6e-3, 3e-2), 15e-6),
    ("double", "identity", "distinct"): ((2e-4, 8e-3, 3e-2), 15e-6),
    ("double", "relu", "identical"): ((2e-2, 3e-2, 5e-2), 3e-5),
    ("double", "relu", "distinct"): ((4e-2, 4e-2, 5e-2), 3e-5),
    ("tower", "identity", "identical"): ((1e-6, 1e-2, 1e-1), 1e-3),
    ("tower", "relu", "identical"): ((1e-1, 2e-1, 3e-1), 2e-3),
    ("wide", "identity", "identical"): ((1e-6, 1e-2, 1e-1), 5e-6),
    ("wide", "relu", "identical"): ((1e-2, 1e-1, 3e-1), 1e-4),
}


@pytest.fixture(autouse=True)
def no_git(monkeypatch):
    monkeypatch.setattr("common.study.run_folders.provenance", dict)


def level(settings):
    """(PD, excess loss) in a world where every claim holds."""
    last = settings.examples_log2 - 6
    shuffling = min(settings.shuffle_log2 / last * 2, 2)
    if settings.data == "quadratic":
        if settings.model == "linear":
            return 1e-2, 1.0
        # Smoother is better without shuffling and no better with all of it.
        smooth = {"smelu": settings.beta, "swish": 2 / (settings.beta or 1)}.get(settings.activation, 0.05)
        gain = {"smelu": 0.05}.get(settings.activation, 0.1) / (0.1 + (smooth or 0.1))
        if settings.activation == "relu":
            gain = 1.0
        pd = np.interp(shuffling, (0, 2), np.log((1e-2 * gain, 1e-1)))
        loss = 1e-2 if smooth is None or smooth <= 1 else 2e-2
        return np.exp(pd) * (0.3 if settings.warm_start else 1), loss
    activation = {"smelu": "identity", "swish": "identity"}.get(settings.activation, settings.activation)
    levels, loss = LEVELS[settings.model, activation, settings.init]
    pd = np.exp(np.interp(shuffling, (0, 1, 2), np.log(levels)))
    too_large = settings.learning_rate / {"adagrad": 0.1, "sgd": 0.01}[settings.optimizer] > 1
    return (3 * pd, 3 * loss) if too_large else (pd, loss)


def arrays(settings, generator):
    """Weights of the models whose weights a claim reads."""
    if settings.model not in ("linear", "single"):
        return None
    theta = generator.normal(size=32)
    common = 0.01 * generator.normal(size=(settings.pairs, 1, 32, 1))
    own = 0.01 * generator.normal(size=(settings.pairs, 2, 32, 1))
    share = 0.2 if settings.shuffle_log2 else 1 - 1e-8
    errors = np.sqrt(share) * common + np.sqrt(1 - share) * own
    weights = theta[:, None] + errors
    if settings.init == "distinct" and settings.model == "single":
        weights[::2, 1] *= -1
    output = np.ones((settings.pairs, 2, 1))
    return {"theta": theta, "weights_0": weights, "weights_1": output}


def unchanged(settings, doublings_left, pd, loss):
    return pd, loss


def rows_of(settings, change):
    noise = np.exp(0.05 * np.random.default_rng(5).normal(size=settings.pairs))
    last = settings.examples_log2
    stuck = (0, 1) if settings.model == "tower" and settings.activation == "relu" else ()
    rows = []
    for log2 in range(settings.evaluate_every_log2 or last, last + 1):
        pd, loss = level(settings)
        if settings.model == "linear":
            pd *= 2 ** ((last - log2) / 2)
        pd, loss = change(settings, last - log2, pd, loss)
        for pair, factor in enumerate(noise):
            factor *= 5 if pair in stuck else 1
            place = {"pair": pair, "examples": 2**log2}
            for metric, value in (("relative_prediction_difference", pd), ("excess_label_loss", loss)):
                rows.append({"metric": metric, "value": value * factor, "statistic": "pair"} | place)
            if pair in stuck:
                rows.append({"metric": "dead", "value": 1, "statistic": "run", "member": 0} | place)
    return rows


def write(out_dir, settings, change=unchanged, weights=lambda settings, a: a):
    settings = settings.resolve()
    with run_folder(STUDY, settings, out_dir) as folder:
        folder.start({})
        found = arrays(settings, np.random.default_rng(settings.shuffle_log2))
        folder.finish("done", rows_of(settings, change), weights(settings, found))


def verdict(number, out_dir, scale):
    (judgement,) = judge([NUMBERS[number]], STUDY, out_dir, scale)
    return judgement.outcome


# Claims on an order of magnitude need the paper's scale; the others a small one with several pairs.
SCALES = {1: "paper", 2: "paper", 3: "paper", 13: "paper", 12: "paper", 15: "paper"}
SCALES |= dict.fromkeys((17, 18, 19, 20), "laptop")
WORLD_FIGURES = ("2", "3", "4", "6", "8", "10")


def scale_of(number):
    return SCALES.get(number, "smoke")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Records in which every claim holds."""
    out_dir = tmp_path_factory.mktemp("world")
    wanted = {(f, scale_of(n)) for n, claim in NUMBERS.items() for f in claim.figures}
    everything = dict.fromkeys(s.resolve() for f, scale in sorted(wanted) for s in runs_of_figure(f, scale))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("common.study.run_folders.provenance", dict)
        for settings in everything:
            write(out_dir, settings)
    return out_dir


@pytest.mark.parametrize("number", NUMBERS)
def test_reproduced(number, world):
    outcome = verdict(number, world, scale_of(number))
    assert outcome.verdict == "reproduced", outcome.seen
    assert outcome.seen[0].isupper() and outcome.seen.endswith(".")


@pytest.mark.parametrize("number", NUMBERS)
def test_not_run(number, tmp_path):
    outcome = verdict(number, tmp_path, "smoke")
    assert outcome.verdict == "not run"
    assert "0 of the" in outcome.seen


def scaled(pd=1.0, loss=1.0, **coordinates):
    """A change of the world: PD and loss of the settings with these coordinates times a factor."""

    def change(settings, doublings_left, old_pd, old_loss):
        hit = all(getattr(settings, name) == value for name, value in coordinates.items())
        return (old_pd * pd, old_loss * loss) if hit else (old_pd, old_loss)

    return change


IDENTITY1 = {"model": "single", "activation": "identity"}
CONTRADICTIONS = [
    (1, scaled(pd=1000, **IDENTITY1, init="identical")),
    (2, scaled(pd=0.002, **IDENTITY1, init="distinct")),
    (3, scaled(pd=100, model="double", activation="relu", shuffle_log2=10)),
    (4, scaled(loss=10, model="linear")),
    (4, scaled(pd=0.01, model="double", shuffle_log2=8)),
    (5, scaled(pd=5, model="linear", init="distinct", shuffle_log2=8)),
    (6, lambda s, left, pd, loss: (pd * (1 if s.model == "linear" else 4.0**left), loss)),
    (6, lambda s, left, pd, loss: (pd * (1 if s.model == "linear" else 1.3**left), loss)),
    (7, scaled(pd=100, **IDENTITY1, shuffle_log2=0)),
    (8, scaled(pd=1e-5, model="double", activation="relu", shuffle_log2=0)),
    (8, scaled(pd=1000, model="double", activation="identity", shuffle_log2=0)),
    (9, scaled(pd=0.01, model="double", init="identical", shuffle_log2=8)),
    (9, scaled(pd=1e-5, activation="identity", shuffle_log2=8)),
    (10, scaled(loss=2, model="single", shuffle_log2=8)),
    (11, scaled(loss=0.1, **IDENTITY1)),
    (11, scaled(pd=1e-3, model="double")),
    (15, scaled(pd=1e-5, model="tower", activation="relu")),
    (16, scaled(pd=1e-6, model="wide", activation="relu")),
    (16, scaled(loss=10, model="wide", activation="identity")),
    (17, scaled(loss=1e-3, model="linear")),
    (18, scaled(pd=30, activation="smelu", shuffle_log2=0)),
    (18, scaled(pd=0.01, activation="swish", shuffle_log2=14)),
    (19, lambda s, left, pd, loss: (pd * (s.beta or 1) ** (2 if s.activation == "smelu" else -2), loss)),
    (20, scaled(pd=10, warm_start=True, shuffle_log2=7)),
    (20, scaled(loss=2, warm_start=True)),
]


@pytest.mark.parametrize("number,change", CONTRADICTIONS)
def test_contradicted(number, change, tmp_path):
    scale = scale_of(number)
    for name in NUMBERS[number].figures:
        for settings in runs_of_figure(name, scale):
            if number != 3 or (settings.activation == "relu" and settings.init == "distinct"):
                write(tmp_path, settings, change)
    outcome = verdict(number, tmp_path, scale)
    assert outcome.verdict == "contradicted", outcome.seen


def nearly_equal_after_shuffling(settings, a):
    if settings.shuffle_log2:
        a["weights_0"][:, 1] = a["weights_0"][:, 0] * (1 + 1e-9)
    return a


def test_weight_differences_that_do_not_grow(tmp_path):
    for settings in runs_of_figure("4", "smoke"):
        write(tmp_path, settings, weights=nearly_equal_after_shuffling)
    assert verdict(12, tmp_path, "smoke").verdict == "contradicted"


def test_errors_that_stay_aligned_contradict_the_cosine(tmp_path):
    aligned = lambda s, a: a | {"weights_0": np.repeat(a["weights_0"][:, :1], 2, axis=1)}  # noqa: E731
    for settings in runs_of_figure("3", "paper"):
        write(tmp_path, settings, weights=lambda s, a: a and aligned(s, a))
    assert verdict(13, tmp_path, "paper").verdict == "contradicted"


def test_one_flip_after_identical_initialization_contradicts_never(tmp_path):
    def flip(settings, a):
        if settings.model == "single" and settings.init == "identical" and settings.shuffle_log2:
            a["weights_0"][2, 1] *= -1
        return a

    for settings in runs_of_figure("2", "smoke"):
        write(tmp_path, settings, weights=flip)
    outcome = verdict(14, tmp_path, "smoke")
    assert outcome.verdict == "contradicted"
    assert outcome.seen == (
        "Opposite signs at some window in 2 of 4 distinctly initialized pairs; of the identically "
        "initialized in 1 of 4, at log2 z = 8."
    )


def test_orders_of_magnitude_are_not_judged_below_paper_scale(world):
    outcome = verdict(1, world, "smoke")
    assert outcome.verdict == "open"
    assert "judged at paper scale only" in outcome.seen


def test_five_seeds_of_an_order_of_magnitude(tmp_path):
    (settings,) = [
        s
        for s in runs_of_figure("2", "paper")
        if (s.model, s.activation, s.init) == ("single", "identity", "identical") and s.shuffle_log2 == 0
    ]
    for seed in range(5):
        write(tmp_path, dataclasses.replace(settings, seed=seed), scaled(pd=11, seed=4))
    outcome = verdict(1, tmp_path, "paper")
    assert outcome.verdict == "reproduced"
    assert "4 of 5 seeds within a factor of 10 of 1e-07" in outcome.seen


def test_an_order_of_magnitude_names_dead_models(world):
    evidence = Evidence(STUDY, ("6",), world, "paper")
    outcome = order(evidence, "PD of ReLU", 0.1, model="tower", activation="relu", shuffle_log2=0)
    assert outcome.seen.startswith("PD of ReLU (2 dead models) is ")


def test_pairs_with_a_dead_model_can_be_left_out(world):
    evidence = Evidence(STUDY, ("6",), world, "paper")
    place = {"model": "tower", "activation": "relu", "shuffle_log2": 0}
    assert pair_values(evidence, PD, **place).index.tolist() == list(range(16))
    assert pair_values(evidence, PD, living=True, **place).index.tolist() == list(range(2, 16))


@pytest.mark.parametrize(
    ("all_pairs", "living", "expected"),
    [
        ("reproduced", "reproduced", "reproduced"),
        ("contradicted", "open", "open"),
        ("reproduced", "contradicted", "open"),
    ],
)
def test_dead_models_decide_nothing(all_pairs, living, expected):
    found = with_or_without_dead(lambda only: Outcome(living if only else all_pairs, f"seen of {only}"))
    assert found.verdict == expected
    assert (found.seen == "seen of False") == (all_pairs == living)


def test_divergence_is_what_a_too_large_rate_does(tmp_path):
    for settings in runs_of_figure("8", "smoke"):
        write(tmp_path, settings, scaled(pd=np.nan, loss=np.nan, model="wide", learning_rate=1.0))
    outcome = verdict(16, tmp_path, "smoke")
    assert outcome.verdict == "reproduced"
    assert "identity, AdaGrad 1.0 over 0.1: models diverge in 4 of 4 pairs" in outcome.seen


def test_a_smooth_activation_that_always_diverges_leaves_its_gains_open(tmp_path):
    for settings in runs_of_figure("10", "smoke"):
        write(tmp_path, settings, scaled(pd=np.nan, loss=np.nan, activation="smelu"))
    assert verdict(18, tmp_path, "smoke").verdict == "open"


def test_diverged_pairs_drop_out(tmp_path):
    for settings in runs_of_figure("2", "smoke"):
        diverging = scaled(pd=np.nan, loss=np.nan, model="double", activation="relu", shuffle_log2=0)
        write(tmp_path, settings, diverging)
    assert verdict(8, tmp_path, "smoke").verdict == "open"
    assert verdict(7, tmp_path, "smoke").verdict == "reproduced"


IDENTITY = {"model": "single", "activation": "identity", "init": "identical"}


def write_rows_of(out_dir, settings, values, dead=()):
    """A finished run of figure 2 with these values at the end; `dead` are (pair, examples)."""
    settings = settings.resolve()
    last = 2**settings.examples_log2
    rows = [
        {"metric": PD, "value": value, "statistic": "pair", "pair": pair, "examples": last}
        for pair, value in enumerate(values)
    ]
    rows += [
        {"metric": "dead", "value": 1, "statistic": "run", "member": 0, "pair": pair, "examples": examples}
        for pair, examples in dead
    ]
    with run_folder(STUDY, settings, out_dir) as folder:
        folder.start({})
        folder.finish("done", rows, None)


def runs_of_identity(out_dir):
    settings = {
        s.shuffle_log2: s
        for s in runs_of_figure("2", "smoke")
        if all(getattr(s, name) == value for name, value in IDENTITY.items())
    }
    return settings[0], settings[8], Evidence(STUDY, ("2",), out_dir, "smoke")


def test_contrasts_compare_the_same_pairs(tmp_path):
    """Each pair's ratio is 2; pair 1 diverged in one of the two runs, pair 0 is dead in the other."""
    bottom, top, _ = runs_of_identity(tmp_path)
    write_rows_of(tmp_path, bottom, [1.0, np.nan, 4.0, 9.0])
    write_rows_of(tmp_path, top, [5.0, 6.0, 8.0, 18.0], dead=[(0, 2**top.examples_log2)])
    places = [IDENTITY | {"shuffle_log2": z} for z in (8, 0)]
    contrast = pair_ratio(runs_of_identity(tmp_path)[2], PD, "label", *places, living=True)
    assert [sample.tolist() for sample in contrast.samples] == [[8, 18], [4, 9]]


def test_models_are_dead_at_the_end_of_a_run(tmp_path):
    settings, _, _ = runs_of_identity(tmp_path)
    end = 2**settings.examples_log2
    write_rows_of(tmp_path, settings, [1.0] * 4, dead=[(0, end // 2), (3, end // 2), (3, end), (3, end)])
    run = runs_of_identity(tmp_path)[2].run(**IDENTITY, shuffle_log2=0)
    assert dead_pairs(run).tolist() == [3, 3]


def test_the_tuned_width_has_the_lowest_pd_among_those_of_nearly_the_best_loss(tmp_path):
    losses, differences = {0.1: 1.0, 0.5: 1.019, 2.0: 1.03}, {0.1: 3e-3, 0.5: 2e-3, 2.0: 1e-3}

    def change(settings, doublings_left, pd, loss):
        if settings.activation != "smelu" or settings.shuffle_log2:
            return pd, loss
        return differences[settings.beta], losses[settings.beta]

    for settings in runs_of_figure("10", "laptop"):
        if settings.activation in ("smelu", "swish"):
            write(tmp_path, settings, change)
    label, place = _tuned(Evidence(STUDY, ("10",), tmp_path, "laptop"), "SmeLU")
    assert (label, place["beta"]) == ("SmeLU(0.5)", 0.5)
