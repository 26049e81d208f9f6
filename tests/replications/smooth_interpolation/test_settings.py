import dataclasses

import pytest

from common.errors import UserError
from common.study import command_line, program
from common.study.command_line import SCALES
from common.study.setting import identity
from common.study.variation import changed_figure
from launch.sweep import make_jobs
from replications.smooth_interpolation.presets import STUDY
from replications.smooth_interpolation.settings import Settings


def test_defaults_are_the_papers():
    settings = Settings().resolve()
    assert (settings.dataset, settings.network, settings.width) == ("cifar10", "convnet", 15)
    assert (settings.optimizer, settings.learning_rate, settings.weight_decay) == ("sgd", 0.005, 0)
    assert (settings.warmup_epochs, settings.warmup_rate) == (5, 0.001)
    assert (settings.batch_size, settings.epochs, settings.augmentation) == (128, 4000, "none")
    assert (settings.noise, settings.label_noise) == ("symmetric", 0.2)
    assert (settings.num_validation, settings.split_seed) == (1000, 42)
    assert (settings.num_paths, settings.erased, settings.num_copies) == (4, (5, 10, 15, 20, 22, 25), 4)


def test_defaults_of_the_resnets():
    settings = Settings(network="resnet18w").resolve()
    assert (settings.width, settings.initialization, settings.augmentation) == (18, "fixup", "pad_crop_flip")
    assert (settings.optimizer, settings.learning_rate, settings.warmup_epochs) == ("adam", 1e-4, 0)
    assert settings.batch_size == 128


def test_asymmetric_noise_of_the_text_and_of_the_code():
    settings = Settings(dataset="cifar100", noise="asymmetric").resolve()
    assert (settings.num_corrupted_classes, settings.corrupted_fraction) == (20, 0.8)
    assert settings.label_noise == pytest.approx(0.16)
    # Classes of equal size: all 50,000 images.
    assert settings.num_validation == 0
    variant = dataclasses.replace(settings, label_noise=None, num_corrupted_classes=25).resolve()
    assert variant.label_noise == pytest.approx(0.2)
    assert Settings(noise="asymmetric").resolve().num_corrupted_classes == 2


def test_the_clip_of_colours_is_part_of_a_run_only_where_it_is_the_codes():
    ours, code = (Settings(colour_clip=clip).resolve() for clip in ("none", "code"))
    assert Settings().resolve() == ours
    assert "colour_clip" not in identity(ours)
    assert identity(code) == identity(ours) | {"colour_clip": "code"}


@pytest.mark.parametrize(
    ("given", "flag", "value"),
    [
        ({}, "hessian_step", "paper"),
        ({}, "pooling", "average"),
        ({"network": "resnet18w"}, "shortcuts", "normalized"),
        ({"network": "resnet18w"}, "schedule", "step"),
    ],
)
def test_what_the_sources_do_otherwise_is_part_of_a_run_only_where_it_is_asked_for(given, flag, value):
    plain, changed = Settings(**given).resolve(), Settings(**given, **{flag: value}).resolve()
    assert identity(changed) == identity(plain) | {flag: value}
    assert flag not in identity(plain)


def test_a_rate_with_steps_has_no_warm_up():
    settings = Settings(schedule="step", learning_rate=0.1).resolve()
    assert (settings.warmup_epochs, settings.warmup_rate) == (0, None)
    (changed, *_) = changed_figure(STUDY, "2", "laptop", {"schedule": ("step",)})
    assert (changed.resolve().schedule, changed.resolve().warmup_epochs) == ("step", 0)
    with pytest.raises(UserError, match="--warmup_epochs=5: not with --schedule=step"):
        Settings(schedule="step", warmup_epochs=5).resolve()


def test_scalar_data_take_a_polynomial_or_a_network():
    settings = Settings(dataset="scalar").resolve()
    assert (settings.network, settings.degree, settings.epochs) == ("polynomial", 1000, 100_000)
    assert (settings.num_train, settings.target_noise, settings.width) == (20, 0.12, None)
    assert Settings(dataset="scalar", signal="cubic").resolve().target_noise == 0.3
    with pytest.raises(UserError, match="--signal: only with --dataset=scalar"):
        Settings(signal="sine").resolve()
    settings = Settings(dataset="scalar", network="mlp").resolve()
    assert (settings.width, settings.epochs, settings.learning_rate) == (256, 20_000, 0.02)


def test_one_run_has_one_name():
    same = [
        (Settings(), Settings(width=15, epochs=4000)),
        (Settings(), Settings(warmup_rate=0.001)),
        (Settings(noise="asymmetric"), Settings(noise="asymmetric", corrupted_classes="random")),
        (Settings(dataset="cifar100"), Settings(dataset="cifar100", stand_in_for="cifar100")),
        (Settings(dataset="scalar"), Settings(dataset="scalar", network="polynomial", degree=1000)),
    ]
    for first, second in same:
        assert first.resolve() == second.resolve()
        assert first.resolve().resolve() == first.resolve()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", STUDY.figures)
def test_every_preset_resolves_once(name, scale):
    runs = [settings.resolve() for settings in STUDY.runs_of_figure(name, scale)]
    assert len(set(runs)) == len(runs)
    assert all(settings.resolve() == settings for settings in runs)
    if name not in ("1a", "1b"):
        assert all((settings.dataset == "synthetic") == (scale == "smoke") for settings in runs)
        stand_in = scale != "paper" and name in ("1d", "4", "7")
        assert all((settings.stand_in_for == "cifar100") == stand_in for settings in runs)


def test_presets_share_runs():
    for scale in SCALES:
        runs = {name: {s.resolve() for s in STUDY.runs_of_figure(name, scale)} for name in STUDY.figures}
        assert runs["1c"] == runs["2"] == runs["3"] == runs["5"]
        assert runs["1d"] == runs["4"]
        assert runs["6"] == runs["heatmaps"]
        assert {dataclasses.replace(s, seed=0) for s in runs["pd"]} == runs["2"]
        assert {s.seed for s in runs["pd"]} == {0, 1}


def test_published_widths_and_data():
    assert [s.width for s in STUDY.runs_of_figure("2", "paper")] == list(range(1, 65))
    assert {s.dataset for s in STUDY.runs_of_figure("4", "paper")} == {"cifar100"}
    assert {s.resolve().label_noise for s in STUDY.runs_of_figure("4", "paper")} == {0}
    assert {s.resolve().label_noise for s in STUDY.runs_of_figure("7", "paper")} == {0.16}


def test_checkpoints_are_spread_on_a_logarithmic_scale():
    settings = Settings(epochs=100, num_checkpoints=4).resolve()
    # 100^(0/4), 100^(1/4), 100^(2/4), 100^(3/4); the end is measured anyway.
    assert settings.checkpoint_epochs == [1, 3, 10, 32]
    assert dataclasses.replace(settings, evaluate_every=50).checkpoint_epochs == [1, 3, 10, 32, 50]
    assert settings.late_epochs == [92, 94, 96, 98]
    assert dataclasses.replace(settings, evaluate_every=49).late_epochs == [92, 94, 96]
    assert Settings().resolve().checkpoint_epochs == Settings().resolve().late_epochs == []
    assert Settings(epochs=2, num_checkpoints=2).resolve().late_epochs == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_noise": 1.5}, "--label_noise=1.5: must be from 0 to 1"),
        ({"label_noise": -0.1}, "--label_noise=-0.1: must be from 0 to 1"),
        ({"width": 0}, "--width=0: must be from 1 to 100000"),
        ({"epochs": 0}, "--epochs=0: must be from 1 to 1000000"),
        ({"learning_rate": float("inf")}, "must be a finite number above 0"),
        ({"warmup_rate": 0.0}, "--warmup_rate=0.0: must be a finite number above 0"),
        ({"warmup_epochs": -1}, "--warmup_epochs=-1: must be from 0 to 1000000"),
        ({"num_paths": 0}, "--num_paths=0: must be from 1 to 32"),
        ({"num_paths": 9}, "need 33 singular values, but an image has 32"),
        ({"strengths": "5-30", "num_paths": 4}, "need 33 singular values"),
        ({"strengths": "33", "num_paths": 1}, "need 33 singular values"),
        ({"strengths": "10-5"}, "must be rising positive whole numbers"),
        ({"strengths": "0-5"}, "must be rising positive whole numbers"),
        ({"strengths": "a"}, "must be rising positive whole numbers"),
        ({"num_copies": 0}, "--num_copies=0: must be from 1 to 1000"),
        ({"num_samples": 0}, "--num_samples=0: must be from 1 to 50000"),
        ({"num_train": 500, "num_samples": 501}, "--num_samples=501: must be from 1 to 500"),
        ({"num_train": 500, "num_validation": 400}, "leaves 100 training images"),
        ({"num_train": 100}, "--batch_size=128: larger than the training set"),
        ({"initialization": "fixup"}, "the ConvNet has PyTorch's alone"),
        ({"network": "polynomial"}, "only with --dataset=scalar"),
        ({"degree": 3}, "--degree: only with --dataset=scalar"),
        ({"num_corrupted_classes": 2}, "only with --noise=asymmetric"),
        ({"noise": "asymmetric", "num_corrupted_classes": 11}, "must be from 0 to 10"),
        ({"noise": "asymmetric", "corrupted_fraction": 1.1}, "--corrupted_fraction=1.1: must be from 0 to 1"),
        ({"noise": "asymmetric", "corrupted_fraction": -0.5}, "--corrupted_fraction=-0.5: must be"),
        ({"dataset": "scalar", "num_train": 1}, "--num_train=1: must be at least 2"),
        ({"noise": "asymmetric", "label_noise": 0.2}, "it follows from"),
        ({"corrupted_classes": "first"}, "--corrupted_classes: only with --noise=asymmetric"),
        ({"optimizer": "adam", "warmup_rate": 0.01}, "--warmup_rate=0.01: needs --warmup_epochs"),
        ({"warmup_epochs": 1}, "--warmup_epochs=1: must be 0, or at least 2"),
        ({"label_seed": -1}, "--label_seed=-1: must be from 0"),
        ({"dataset": "scalar", "network": "convnet"}, "one of polynomial, mlp"),
        ({"dataset": "scalar", "colour_clip": "code"}, "--colour_clip: not with --dataset=scalar"),
        ({"dataset": "scalar", "hessian_step": "paper"}, "--hessian_step: not with --dataset=scalar"),
        ({"shortcuts": "normalized"}, "--shortcuts=normalized: the ConvNet has none"),
        ({"network": "resnet18w", "pooling": "average"}, "--pooling=average: only with --network=convnet"),
        ({"dataset": "scalar", "width": 3}, "--width: not with --dataset=scalar --network=polynomial"),
        ({"dataset": "scalar", "label_noise": 0.2}, "--label_noise: not with --dataset=scalar"),
        ({"dataset": "scalar", "network": "mlp", "degree": 3}, "--degree: not with"),
        ({"dataset": "scalar", "degree": -1}, "--degree=-1: must be from 0 to 100000"),
        ({"dataset": "scalar", "target_noise": -1.0}, "must be a finite number, 0 or above"),
    ],
)
def test_bad_values_are_refused_with_one_line(values, message):
    with pytest.raises(UserError, match=message) as error:
        Settings(**values).resolve()
    assert "\n" not in str(error.value)


def test_eight_paths_are_the_most_that_an_image_allows():
    assert Settings(num_paths=8).resolve().num_paths == 8


def test_estimates_grow_with_the_work():
    small = Settings(num_train=512, epochs=10).resolve()
    for change in ({"width": 64}, {"epochs": 100}, {"num_checkpoints": 8}):
        assert STUDY.estimate(small) < STUDY.estimate(dataclasses.replace(small, **change))
    assert STUDY.estimate(Settings(dataset="scalar").resolve()) < 10


@pytest.mark.parametrize("flag", ["--network=vgg", "--noise=none", "--strengths=1-1", "--num_paths=10"])
def test_bad_flags_exit_with_status_2(flag, capsys):
    with pytest.raises(SystemExit) as status:
        program.main(STUDY, ["smooth_interpolation", flag])
    assert status.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["1a", "1b", "4", "6", "7", "pd"])
def test_a_sweep_asks_for_the_very_runs_of_the_figure(name):
    runs = [settings.resolve() for settings in STUDY.runs_of_figure(name, "laptop")]
    found = []
    for job in make_jobs(STUDY, runs, command_line.RunOptions("out")):
        flag_values = command_line.flags.FlagValues()
        command_line.define_flags(STUDY, flag_values)
        flag_values(["program", *job.argv[3:]])
        found += program.expand(STUDY, flag_values)
    assert sorted(map(repr, found)) == sorted(map(repr, runs))


def test_of_scalar_data_the_arrays_of_the_drawn_seed_are_packed():
    first, second = (Settings(dataset="scalar", seed=seed).resolve() for seed in (0, 1))
    kept = [STUDY.keeps_array(settings, "curve") for settings in (first, second, Settings().resolve())]
    assert kept == [True, False, True]
    assert not STUDY.keeps_array(Settings().resolve(), "batch_losses")
