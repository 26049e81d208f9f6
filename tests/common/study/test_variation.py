import dataclasses

import pytest

from common.errors import UserError
from common.study.command_line import SCALES
from common.study.runs import load_study, study_names
from common.study.setting import setting
from common.study.variation import MAX_RUNS, changed_defaults, changed_figure, check_number


@dataclasses.dataclass(frozen=True)
class Settings:
    network: str = setting("deep", "Network.")
    bend: float | None = setting(
        None, "Of smooth units.", applies_to=lambda s: s.units == "smooth", needs="--units=smooth"
    )
    depth: int | None = setting(
        None, "Layers.", applies_to=lambda s: s.network == "deep", needs="--network=deep"
    )
    units: str = setting("sharp", "Units.")
    num_images: int = setting(1000, "Images.")
    seed: int = setting(0, "Seed.")

    def resolve(self):
        return dataclasses.replace(self, depth=2) if self.network == "deep" and not self.depth else self


@dataclasses.dataclass(frozen=True)
class Paper:
    """As much of a Study as is needed: a figure with runs of two networks, of different sizes."""

    @property
    def network_sizes(self):
        return {"small": {"deep": {"num_images": 10, "depth": 3}, "wide": {"num_images": 50}}}

    def runs_of_figure(self, name, scale):
        if name == "units":
            return [Settings(units="smooth", bend=0.5), Settings()]
        return [Settings("deep", num_images=10, depth=3, seed=s) for s in (0, 1)] + [
            Settings("wide", num_images=50)
        ]


def test_of_the_defaults_every_combination():
    runs = changed_defaults(Settings, {"depth": (1, 4), "units": ("sharp", "smooth")})
    assert {(run.depth, run.units) for run in runs} == {(d, u) for d in (1, 4) for u in ("sharp", "smooth")}


def test_what_another_flag_gives_a_use_is_used_whatever_their_order():
    (run,) = changed_defaults(Settings, {"bend": (0.1,), "units": ("smooth",)})
    assert run == Settings(units="smooth", bend=0.1)


def test_of_several_runs_those_without_use_stay():
    runs = changed_defaults(Settings, {"bend": (0.1, 0.2), "units": ("sharp", "smooth")})
    assert {(run.units, run.bend) for run in runs} == {("sharp", None), ("smooth", 0.1), ("smooth", 0.2)}


def test_a_flag_without_effect_is_refused_by_name():
    with pytest.raises(UserError, match="^--bend=0.1,0.2: has no effect without --units=smooth$"):
        changed_defaults(Settings, {"bend": (0.1, 0.2)})
    with pytest.raises(UserError, match="^--depth=2: has no effect without --network=deep$"):
        changed_defaults(Settings, {"network": ("wide",), "depth": (2,)})


def test_a_value_that_the_run_has_anyway_is_no_change():
    (run,) = changed_defaults(Settings, {"bend": (None,)})
    assert run == Settings()


def test_of_a_figure_a_run_without_use_stays_as_it_is():
    runs = changed_figure(Paper(), "units", "small", {"bend": (0.1,)})
    assert runs == [Settings(units="smooth", bend=0.1), Settings()]


def test_a_figure_none_of_whose_runs_has_a_use_refuses():
    with pytest.raises(
        UserError, match="^--bend: no run of figure 1 has a use for it; it needs --units=smooth$"
    ):
        changed_figure(Paper(), "1", "small", {"bend": (0.1,)})


def test_what_only_the_former_units_used_is_dropped():
    runs = changed_figure(Paper(), "units", "small", {"units": ("sharp",)})
    assert runs == [Settings(), Settings()]


def test_another_network_has_its_own_size_at_the_scale():
    runs = changed_figure(Paper(), "1", "small", {"network": ("wide",)})
    assert set(runs) == {Settings("wide", num_images=50, seed=0), Settings("wide", num_images=50, seed=1)}
    runs = changed_figure(Paper(), "1", "small", {"network": ("deep",)})
    assert set(runs) == {Settings("deep", num_images=10, depth=3, seed=s) for s in (0, 1)}


@pytest.mark.parametrize(
    ("name", "figure", "optimizer", "rate"),
    [
        ("zhang_randomization", "2a", "adam", 0.001),
        ("smooth_interpolation", "2", "adam", 1e-4),
        ("smooth_interpolation", "6", "sgd", 0.005),
        ("somepalli_boundaries", "10", "sgd", 0.1),
    ],
)
def test_another_optimizer_has_its_own_rate(name, figure, optimizer, rate):
    """Not that of the preset, which goes with the preset's optimizer."""
    study = load_study(name)
    given = {"optimizer": (optimizer,)}
    found = [run.resolve() for run in changed_figure(study, figure, "laptop", given)]
    assert {run.learning_rate for run in found} == {rate}
    typed = changed_figure(study, figure, "laptop", given | {"learning_rate": (0.25,)})
    assert {run.learning_rate for run in typed} == {0.25}
    preset = [run.resolve() for run in study.runs_of_figure(figure, "laptop")]
    (own,) = {run.optimizer for run in preset}
    same = changed_figure(study, figure, "laptop", {"optimizer": (own,)})
    assert [run.resolve() for run in same] == preset


def test_a_typed_size_wins_over_that_of_the_network():
    runs = changed_figure(Paper(), "1", "small", {"network": ("wide",), "num_images": (7,)})
    assert {run.num_images for run in runs} == {7}


def test_without_sizes_another_network_keeps_the_runs_own():
    runs = changed_figure(Paper(), "1", "large", {"network": ("wide",)})
    # The depth is lost: the wide network has no use for it.
    assert {(run.num_images, run.depth) for run in runs} == {(10, None), (50, None)}


@pytest.mark.parametrize(
    ("given", "num_seeds", "num_runs", "words"),
    [
        ({}, 0, 1, "--num_seeds=0: must be from 1 to 10000"),
        ({}, 10**20, 1, "must be from 1 to 10000"),
        ({"seed": (0,) * 101, "depth": (1,) * 100}, 1, 1, "^--seed: the flags ask for 10,100 runs"),
        ({"seed": (0, 1)}, 10, 501, "^--num_seeds: the flags ask for 10,020 runs; one command makes 10,000"),
    ],
)
def test_more_runs_than_a_command_makes(given, num_seeds, num_runs, words):
    with pytest.raises(UserError, match=words):
        check_number(given, num_seeds, num_runs)


def test_as_many_runs_as_a_command_makes():
    check_number({"seed": (0,) * 100, "depth": (1,) * 10}, 10, 1)
    check_number({}, MAX_RUNS)


@pytest.mark.parametrize("name", study_names())
def test_a_figure_without_flags_is_the_preset_itself(name):
    paper = load_study(name)
    for figure in paper.figures:
        for scale in SCALES:
            published = [settings.resolve() for settings in paper.runs_of_figure(figure, scale)]
            assert [run.resolve() for run in changed_figure(paper, figure, scale, {})] == published


@pytest.mark.parametrize("name", study_names())
def test_every_setting_that_may_be_idle_says_what_it_needs(name):
    for field in dataclasses.fields(load_study(name).settings):
        assert bool(field.metadata["applies_to"]) == bool(field.metadata["needs"]), field.name


def resolved(name, figure, scale, **given):
    runs = changed_figure(load_study(name), figure, scale, given)
    return list(dict.fromkeys(run.resolve() for run in runs))


def test_time_to_fit_of_another_network():
    """Figure 1b of Zhang et al. compares three networks, each of its own size at laptop scale."""
    runs = resolved("zhang_randomization", "1b", "laptop", network=("mlp_3x512",))
    assert {run.label_noise for run in runs} == {0, 0.25, 0.5, 0.75, 1} and len(runs) == 5
    assert {(run.network, run.num_train, run.batch_size) for run in runs} == {("mlp_3x512", 512, 32)}
    assert {run.batch_norm_momentum for run in runs} == {0.99}
    paper = resolved("zhang_randomization", "1b", "paper", network=("mlp_3x512",))
    assert len(paper) == 11 and {run.num_train for run in paper} == {None}


def test_figure_2_with_another_activation():
    """Figure 2 of Snapp & Shamir has a linear model and two networks with identity and ReLU."""
    runs = resolved("snapp_shamir", "2", "paper", activation=("smelu",))
    assert {(run.model, run.activation, run.beta) for run in runs} == {
        ("linear", "identity", None),
        ("single", "smelu", 1.0),
        ("double", "smelu", 1.0),
    }
    assert len(runs) == 3 * 2 * 5  # initializations, windows


def test_planes_of_one_network_have_its_width():
    runs = resolved("somepalli_boundaries", "reproducibility", "laptop", network=("vit",))
    assert {(run.network, run.width, run.depth) for run in runs} == {("vit", 64, None)}
    assert sorted(run.seed for run in runs) == [0, 1, 2]
    assert {run.epochs for run in runs} == {160}


def test_a_network_that_trains_longer_in_a_figure_does_so_in_place_of_another():
    runs = resolved(
        "somepalli_boundaries", "optimizers", "laptop", network=("vgg19", "vit", "fully_connected")
    )
    epochs = {network: {run.epochs for run in runs if run.network == network} for network in ("vgg19", "vit")}
    assert epochs == {"vgg19": {100}, "vit": {160}}
    assert {run.epochs for run in runs if run.network == "fully_connected"} == {100}
    assert len(runs) == 3 * 3 * 3  # networks, optimizers, seeds
