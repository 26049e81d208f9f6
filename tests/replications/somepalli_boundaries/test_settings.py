import dataclasses
import os
import subprocess
import sys

import pytest

from common.errors import UserError
from common.study import command_line, program
from common.study.setting import identity
from common.study.variation import changed_figure
from replications.somepalli_boundaries.presets import STUDY, runs_of_figure
from replications.somepalli_boundaries.published import MATRIX_NETWORKS
from replications.somepalli_boundaries.settings import Settings


def resolved(name, scale):
    return [s.resolve() for s in runs_of_figure(name, scale)]


@pytest.mark.parametrize(
    "values,expected",
    [
        (
            {},
            {
                "network": "resnet18",
                "width": 64,
                "optimizer": "sgd",
                "learning_rate": 0.1,
                "weight_decay": 5e-4,
                "schedule": "step",
                "epochs": 100,
                "batch_size": 128,
                "num_triplets": 500,
                "resolution": 50,
                "picture_resolution": 500,
                "pictures": "mixup",
                "checkpoint": "last",
                "augmentation": "pad_crop_flip",
                "label_noise": 0.0,
                "depth": None,
                "window": "code",
            },
        ),
        ({"network": "wide_resnet_30"}, {"width": 30, "depth": 28, "pictures": "planes"}),
        ({"network": "vit"}, {"learning_rate": 0.02, "width": 512}),
        ({"network": "fully_connected"}, {"learning_rate": 0.01}),
        (
            {"protocol": "optimizers", "network": "vgg19", "optimizer": "adam"},
            {
                "learning_rate": 0.002,
                "weight_decay": 0.0,
                "schedule": "constant",
                "epochs": 200,
                "batch_size": 64,
            },
        ),
        ({"protocol": "optimizers"}, {"learning_rate": 0.05, "schedule": "step"}),
        (
            {"protocol": "double_descent"},
            {
                "network": "resnet18k",
                "optimizer": "adam",
                "learning_rate": 1e-4,
                "weight_decay": 0.0,
                "schedule": "constant",
                "epochs": 4000,
                "batch_size": 128,
                "num_triplets": 1000,
                "num_fragmentation_triplets": 1000,
                "num_margin_images": 5000,
                "pictures": "double_descent",
            },
        ),
        ({"protocol": "double_descent", "optimizer": "sgd"}, {"schedule": "cosine", "weight_decay": 5e-4}),
        (
            {"teacher": "vgg19"},
            {"distillation": "kl", "temperature": 30.0, "teacher_width": 64, "teacher_seed": 1},
        ),
        ({"teacher": "vgg19", "distillation": "logits"}, {"temperature": None}),
        ({"teacher": "wide_resnet_10"}, {"depth": 28}),
    ],
)
def test_defaults_are_the_papers_or_the_codes(values, expected):
    settings = Settings(**values).resolve()
    assert {name: getattr(settings, name) for name in expected} == expected


def test_one_run_has_one_folder():
    same = Settings(seed=1, order_seed=0, augmentation_seed=0).resolve()
    assert Settings(seed=0, init_seed=1).resolve() == same
    assert Settings(seed=7, init_seed=1, order_seed=0, augmentation_seed=0).resolve() == same
    assert Settings(seed=3, init_seed=3, order_seed=3).resolve() == Settings(seed=3).resolve()
    assert same.resolve() == same
    assert same.seeds == {"init_seed": 1, "order_seed": 0, "augmentation_seed": 0}
    assert Settings(margin_direction="gaussian").resolve() == Settings().resolve()


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"teacher": "vgg19"},
        {"teacher": "vgg19", "temperature": 4.0},
        {"teacher": "vgg19", "distillation": "kl_mean", "temperature": 4.0},
        {"teacher": "vgg19", "distillation": "logits", "teacher_width": 8, "teacher_seed": 3},
    ],
)
def test_resolved_settings_stay_as_they_are(values):
    settings = Settings(**values).resolve()
    assert settings.resolve() == settings
    assert {name: getattr(settings, name) for name in values} == values
    if settings.teacher:
        assert settings.teacher_settings().temperature is None


def test_the_released_triplets_make_another_run_and_ours_the_one_before_the_flag():
    ours, released = (Settings(triplets=triplets).resolve() for triplets in ("ours", "released"))
    assert Settings().resolve() == ours
    assert "triplets" not in identity(ours)
    assert identity(released) == identity(ours) | {"triplets": "released"}


def test_pictures_of_another_window_are_another_run():
    assert "picture_overhang" not in identity(Settings().resolve())
    assert identity(Settings(picture_overhang=0.1).resolve())["picture_overhang"] == 0.1


def test_a_seed_varies_initialization_order_and_augmentation_together_unless_one_is_given():
    assert set(Settings(seed=5).resolve().seeds.values()) == {5}
    assert Settings(seed=5, order_seed=2).resolve().seeds == {
        "init_seed": 5,
        "order_seed": 2,
        "augmentation_seed": 5,
    }


@pytest.mark.parametrize(
    "values,message",
    [
        ({"width": 0}, "--width=0: must be from 1 to 100000"),
        ({"network": "vit", "width": 12}, "--width=12: vit takes multiples of 8"),
        ({"teacher": "fully_connected", "teacher_width": 20}, "--teacher_width=20: fully_connected"),
        ({"network": "wide_resnet_10", "depth": 12}, "--depth=12: must be 4 plus"),
        ({"sam_radius": -0.1}, "--sam_radius=-0.1"),
        ({"teacher": "vgg19", "temperature": 0.0}, "--temperature=0.0"),
        ({"teacher": "vgg19", "mixup": True}, "--mixup: not with --teacher"),
        ({"distillation": "logits"}, "--distillation=logits: needs --teacher"),
        ({"temperature": 2.0}, "--temperature=2.0: needs --teacher"),
        ({"teacher_width": 8}, "--teacher_width=8: needs --teacher"),
        ({"teacher_seed": 0}, "--teacher_seed=0: needs --teacher"),
        (
            {"teacher": "vgg19", "distillation": "logits", "temperature": 2.0},
            "--temperature=2.0: needs --distillation=kl",
        ),
        (
            {"triplets": "released", "num_test": 500},
            "--triplets=released: is drawn from all 10,000 test images, not from --num_test=500; "
            "--num_test=10000 takes all",
        ),
        ({"num_triplets": 0}, "--num_triplets=0: must be from 1 to 1000000"),
        ({"num_margin_images": -1}, "--num_margin_images=-1: must be from 0 to 50000"),
        ({"resolution": 1}, "--resolution=1: must be from 2 to 10000"),
        ({"order_seed": -1}, "--order_seed=-1"),
        ({"label_noise": 1.5}, "--label_noise=1.5"),
        ({"learning_rate": float("inf")}, "--learning_rate=inf"),
        ({"num_train": 100, "batch_size": 128}, "larger than the training set"),
    ],
)
def test_values_outside_their_limits(values, message):
    with pytest.raises(UserError, match=message):
        Settings(**values).resolve()


@pytest.mark.parametrize("scale", command_line.SCALES)
@pytest.mark.parametrize("name", STUDY.figures)
def test_presets(name, scale):
    settings = resolved(name, scale)
    assert len(set(settings)) == len(settings)
    for s in settings:
        assert (s.dataset == "synthetic") == (scale == "smoke")
        assert (s.num_train is None) == (scale == "paper")
        assert s.resolution == {"smoke": 8, "paper": 50, "laptop": 25 if s.num_train == 500 else 50}[scale]
        assert s.checkpoint == "last"
        assert STUDY.estimate(s) > 0


@pytest.mark.parametrize("name", ["planes", "off_manifold", "reproducibility", "optimizers"])
def test_networks_of_the_laptop_are_trained_to_fit_and_drawn_finely(name):
    for s in resolved(name, "laptop"):
        assert (s.num_train, s.augmentation, s.picture_resolution) == (500, "none", 200)
        assert s.num_random_planes == (0 if name == "optimizers" else 50)
        assert s.epochs == (160 if s.network == "vit" else 100)
        if s.network == "vit":
            assert s.learning_rate == (0.001 if s.optimizer == "adam" else 0.05)


def test_the_paper_scale_is_the_published_protocol():
    matrix = resolved("reproducibility", "paper")
    assert len(matrix) == 45
    assert {(s.network, s.seed) for s in matrix} == {(n, seed) for n in MATRIX_NETWORKS for seed in range(5)}
    assert {(s.epochs, s.batch_size, s.num_triplets) for s in matrix} == {(100, 128, 500)}
    optimizers = resolved("optimizers", "paper")
    assert {(s.optimizer_name, s.network, s.learning_rate) for s in optimizers} == {
        (optimizer, network, rates[optimizer == "adam"])
        for network, rates in {
            "resnet18": (0.05, 0.001),
            "vit": (0.02, 0.001),
            "mlp_mixer": (0.02, 0.001),
            "vgg19": (0.005, 0.002),
        }.items()
        for optimizer in ("adam", "sgd", "sam")
    }
    assert {s.sam_radius for s in optimizers} == {0.0, 0.01}
    assert all(s.optimizer == "sgd" for s in optimizers if s.sam_radius)
    sweep = resolved("10", "paper")
    assert {s.width for s in sweep} >= {13, 14, 15, 64}
    assert {(s.label_noise, s.label_noise_rule) for s in sweep} == {(0.0, "somepalli"), (0.2, "somepalli")}
    assert {s.epochs for s in sweep} == {4000}
    nakkiran = resolved("nakkiran_1", "paper")
    assert {(s.label_noise, s.label_noise_rule) for s in nakkiran} == {(0.15, "nakkiran")}


@pytest.mark.parametrize("scale", command_line.SCALES)
def test_figures_share_runs(scale):
    matrix = resolved("reproducibility", scale)
    assert resolved("planes", scale) == resolved("off_manifold", scale) == matrix
    distillation = resolved("distillation", scale)
    ordinary = {s for s in distillation if s.teacher is None}
    if scale != "laptop":  # where the matrix has networks that have fitted, the others not
        assert ordinary <= set(matrix)
    assert {s.teacher_settings() for s in distillation if s.teacher} <= ordinary
    assert len(set(resolved("mixup", scale)) - (ordinary | set(matrix))) == 1
    sweep = set(resolved("10", scale))
    for name in ("7", "8", "9", "11", "12"):
        runs = set(resolved(name, scale))
        assert runs <= sweep
        if name in ("7", "8", "9"):
            assert {s.pictures for s in runs} == {"double_descent"}


def test_sources_differ_from_the_reference_run_in_their_streams():
    counts = {}
    for s in resolved("sources", "paper"):
        if s.network == "resnet18":
            varied = tuple(name for name, seed in s.seeds.items() if seed)
            counts[varied] = counts.get(varied, 0) + 1
    everything = ("init_seed", "order_seed", "augmentation_seed")
    assert counts == {(): 1, everything: 2, everything[:2]: 2} | {(name,): 2 for name in everything}


def test_a_teacher_never_starts_as_its_student():
    for flags in ({}, {"seed": 3}, {"init_seed": 1}, {"seed": 2, "init_seed": 5}):
        student = Settings(network="resnet18", teacher="resnet18", **flags).resolve()
        assert student.teacher_settings().seeds["init_seed"] != student.seeds["init_seed"]


def test_a_teacher_is_an_ordinary_run():
    student = Settings(network="vgg19", teacher="resnet18", seed=4, learning_rate=0.3).resolve()
    assert student.teacher_settings() == Settings(network="resnet18", seed=5).resolve()
    student = dataclasses.replace(student, teacher_seed=0, num_train=500, teacher_width=8)
    teacher = student.teacher_settings()
    assert (teacher.seed, teacher.num_train, teacher.width) == (0, 500, 8)


@pytest.mark.parametrize(
    "flag",
    [
        "--network=alexnet",
        "--width=abc",
        "--figure=13",
        "--checkpoint=best",
        "--dataset=cifar100",
        "--num_triplets=0",
        "--models=a.keras",
        "--models=a.keras,b.keras",
        "word",
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(flag, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        program.main(STUDY, ["somepalli_boundaries", flag])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("somepalli_boundaries: ")
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


def test_settings_load_no_tensorflow():
    code = (
        "import sys, replications.somepalli_boundaries.settings; "
        "import launch.compare; sys.exit('tensorflow' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_figure_of_distillation_changes_its_students_alone():
    flag_values = command_line.flags.FlagValues()
    command_line.define_flags(STUDY, flag_values)
    flag_values(["program", "--figure=distillation", "--scale=smoke", "--distillation=logits"])
    runs = program.expand(STUDY, flag_values)
    assert {(s.teacher is None, s.distillation, s.temperature) for s in runs} == {
        (True, None, None),
        (False, "logits", None),
    }


def test_the_radius_of_the_optimizers_figure_is_that_of_its_runs_with_one():
    runs = changed_figure(STUDY, "optimizers", "paper", {"sam_radius": (0.01,)})
    names = [settings.resolve().optimizer_name for settings in STUDY.runs_of_figure("optimizers", "paper")]
    assert [settings.resolve().optimizer_name for settings in runs] == names
    assert {settings.sam_radius for settings in runs} == {0.0, 0.01}
    mixup = changed_figure(STUDY, "mixup", "paper", {"sam_radius": (0.01,)})
    assert {settings.sam_radius for settings in mixup} == {0.01}
