import dataclasses

import pytest

from common.errors import UserError
from common.study import program
from common.study.command_line import SCALES
from common.study.setting import identity
from replications.zhang_randomization.presets import STUDY
from replications.zhang_randomization.settings import Settings


def test_defaults_are_zhangs():
    settings = Settings().resolve()
    assert (settings.network, settings.condition, settings.label_noise) == ("inception", "true_labels", 0)
    assert (settings.batch_size, settings.learning_rate, settings.learning_rate_decay) == (128, 0.1, 0.95)
    assert (settings.initialization, settings.target_accuracy) == ("glorot", 1.0)
    assert (settings.weight_decay, settings.dropout, settings.augmentation) == (0, 0, "central_crop")
    assert Settings(network="alexnet").resolve().learning_rate == 0.01


def test_the_other_protocol_is_ee411s():
    settings = Settings(protocol="ee411", condition="gaussian_pixels", decay_weights=True).resolve()
    assert (settings.batch_size, settings.epochs, settings.target_accuracy) == (60, 40, 0.98)
    assert (settings.initialization, settings.gaussian_statistics) == ("pytorch", "image")
    assert settings.weight_decay == 1e-3
    assert Settings(protocol="ee411", batch_size=32).resolve().batch_size == 32


@pytest.mark.parametrize(("network", "decay"), [("inception", 5e-4), ("alexnet", 5e-4), ("mlp_3x512", 1e-4)])
def test_weight_decay_of_the_zhang_protocol(network, decay):
    assert Settings(network=network, decay_weights=True).resolve().weight_decay == decay


def test_what_decays_is_part_of_a_run_only_where_it_matters():
    assert "decayed_weights" not in identity(Settings(decay_weights=True).resolve())
    kernels = Settings(decay_weights=True, decayed_weights="kernels").resolve()
    assert identity(kernels)["decayed_weights"] == "kernels"
    assert Settings(decayed_weights="kernels").resolve() == Settings().resolve()


def test_one_run_has_one_name():
    same = [
        (Settings(condition="random_labels"), Settings(label_noise=1.0)),
        (Settings(), Settings(condition="corrupted_labels", label_noise=0.0)),
        (Settings(), Settings(gaussian_statistics="image")),
        (Settings(decay_weights=True), Settings(weight_decay=5e-4)),
        (Settings(), Settings(target_accuracy=1.0)),
    ]
    for first, second in same:
        assert first.resolve() == second.resolve()
    assert Settings(label_noise=0.3).resolve().condition == "corrupted_labels"


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDY.figures)
def test_every_preset_resolves_once(name, scale):
    runs = [settings.resolve() for settings in STUDY.runs_of_figure(name, scale)]
    assert len(set(runs)) == len(runs)
    assert all(settings.resolve() == settings for settings in runs)
    assert all((settings.dataset == "synthetic") == (scale == "smoke") for settings in runs)
    if scale == "laptop" and name != "kernel":
        # An order of networks needs equal images.
        assert len({s.num_train for s in runs}) == 1


def test_learning_curves_are_of_more_images_than_an_image_has_values():
    for name in ("1a", "1b", "1a_ee411"):
        assert all(s.num_train > 28 * 28 * 3 for s in STUDY.runs_of_figure(name, "laptop"))


def test_presets_share_runs():
    for scale in SCALES:
        curves = {s.resolve() for s in STUDY.runs_of_figure("1a", scale)}
        fitted = {s.resolve() for s in STUDY.runs_of_figure("1b", scale)}
        assert fitted == {s.resolve() for s in STUDY.runs_of_figure("1c", scale)}
        # At paper scale the learning curves have a fixed length.
        assert len(curves & fitted) == (0 if scale == "paper" else 2)


def test_a_coefficient_is_that_of_the_runs_with_weight_decay(capsys):
    assert Settings(decay_weights=False, weight_decay=0.1).resolve().weight_decay == 0
    assert Settings(weight_decay=0.1).resolve().decay_weights
    program.main(STUDY, ["zhang", "--figure=2a", "--weight_decay=0.25", "--dry_run"])
    plan = capsys.readouterr().out
    assert "3 runs" in plan
    assert plan.count("weight_decay=0.25") == 2


def test_runs_of_the_other_protocol_differ_in_nothing_else():
    for name in ("1b", "1c"):
        for scale in SCALES:
            pairs = zip(
                STUDY.runs_of_figure(name, scale), STUDY.runs_of_figure(f"{name}_ee411", scale), strict=True
            )
            assert all(dataclasses.replace(ours, protocol="ee411") == theirs for ours, theirs in pairs)
    fitting = [s.resolve() for s in STUDY.runs_of_figure("1b_ee411", "paper")]
    assert {(s.batch_size, s.epochs, s.target_accuracy) for s in fitting} == {(60, 40, 0.98)}


def test_the_scale_is_that_of_a_figure(capsys):
    with pytest.raises(SystemExit) as status:
        program.main(STUDY, ["zhang", "--scale=laptop", "--dry_run"])
    assert status.value.code == 2
    assert "--scale=laptop: is the scale of a figure, and needs --figure" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["1a", "1a_ee411"])
def test_published_lengths(name):
    (steps,) = {
        -(-50_000 // s.batch_size) * s.epochs
        for s in (s.resolve() for s in STUDY.runs_of_figure(name, "paper"))
    }
    assert 25_000 <= steps < 25_100
    assert {s.epochs for s in STUDY.runs_of_figure("2a", "paper")} == {100}
    assert {s.epochs for s in STUDY.runs_of_figure("2b", "paper")} == {50}
    assert len(STUDY.runs_of_figure("table1", "paper")) == 19


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_train": 0}, "--num_train=0: must be from 1 to 50000"),
        ({"label_noise": 1.5}, "--label_noise=1.5: must be from 0 to 1"),
        ({"label_noise": -0.1}, "--label_noise=-0.1: must be from 0 to 1"),
        ({"condition": "corrupted_labels"}, "needs --label_noise"),
        ({"condition": "random_labels", "label_noise": 0.5}, "random labels are --label_noise=1"),
        ({"condition": "random_pixels", "label_noise": 0.5}, "not with --condition=random_pixels"),
        ({"stop": "epochs", "target_accuracy": 0.9}, "only with --stop=fitted"),
        ({"target_accuracy": 1.2}, "must be from 0.01 to 1"),
        ({"target_accuracy": 0.0}, "must be from 0.01 to 1"),
        ({"target_loss": 0.0}, "must be a finite number above 0"),
        ({"target_loss": float("inf")}, "must be a finite number above 0"),
        ({"network": "alexnet", "batch_norm": "none"}, "only Inception"),
        ({"network": "alexnet", "batch_norm_momentum": 0.9}, "only Inception"),
        ({"batch_norm_momentum": 1.0}, "must be from 0 to 0.9999"),
        ({"decay_weights": True, "weight_decay": 0.0}, "not with --decay_weights"),
        ({"batch_size": 60_000}, "larger than the training set of 50,000 images"),
        ({"network": "mlp_1x512", "dropout": 0.1}, "only the convolutional networks have it"),
        ({"condition": "random_pixels", "augmentation": "random_crop"}, "nothing to crop from"),
        ({"batch_size": 100, "num_train": 50}, "larger than the training set"),
        ({"learning_rate": 0.0}, "must be a finite number above 0"),
        ({"learning_rate": float("nan")}, "must be a finite number above 0"),
        ({"weight_decay": -1.0}, "0 or above"),
        ({"epochs": 0}, "must be from 1 to 1000000"),
        ({"seed": -1}, "--seed=-1"),
        ({"dropout": 1.0}, "--dropout=1.0: must be from 0 to 0.99"),
    ],
)
def test_bad_values_are_refused_with_one_line(values, message):
    with pytest.raises(UserError, match=message) as error:
        Settings(**values).resolve()
    assert "\n" not in str(error.value)


def test_a_target_loss_replaces_the_accuracy():
    settings = Settings(target_loss=0.1).resolve()
    assert settings.target_accuracy is None


def test_estimates_grow_with_the_work():
    small = Settings(num_train=512, epochs=10).resolve()
    large = dataclasses.replace(small, num_train=5120)
    assert 0 < STUDY.estimate(small) < STUDY.estimate(large)


@pytest.mark.parametrize("flag", ["--condition=noise", "--network=vgg", "--num_train=many"])
def test_unknown_values_exit_with_status_2(flag, capsys):
    with pytest.raises(SystemExit) as status:
        program.main(STUDY, ["zhang_randomization", flag])
    assert status.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1
