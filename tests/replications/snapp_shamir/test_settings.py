import os
import re
import subprocess
import sys
import types

import pytest

from common.errors import UserError
from common.study import command_line, program
from replications.snapp_shamir.presets import STUDY
from replications.snapp_shamir.settings import Settings


def test_defaults_are_the_papers():
    settings = Settings().resolve()
    assert (settings.model, settings.activation, settings.init) == ("single", "relu", "identical")
    assert (settings.optimizer, settings.learning_rate) == ("adagrad", 0.1)
    assert (settings.batch_size, settings.pairs) == (32, 16)
    assert (settings.examples_log2, settings.evaluation_log2) == (26, 16)
    assert settings.num_steps == 2**21


def test_defaults_that_depend_on_other_settings():
    assert Settings(model="quadratic").resolve().data == "quadratic"
    assert Settings(model="quadratic", data="linear").resolve().data == "linear"
    assert Settings(model="linear").resolve().activation == "identity"
    assert Settings(activation="smelu").resolve().beta == 1.0
    assert Settings(warm_start=True).resolve().warm_start_learning_rate == pytest.approx(0.01)


@pytest.mark.parametrize(
    "values,message",
    [
        ({"shuffle_log2": 22}, "from 0 to 21; the largest window is all 2\\^21 mini-batches of 32"),
        ({"shuffle_log2": 11, "examples_log2": 15}, "from 0 to 10"),
        ({"shuffle_log2": -1}, "from 0 to 21"),
        ({"pairs": 0}, "--pairs=0"),
        ({"beta": 0.0, "activation": "smelu"}, "--beta=0.0: must be a finite number above 0"),
        ({"beta": 1.0}, "relu has no beta"),
        ({"learning_rate": float("nan")}, "--learning_rate=nan"),
        ({"batch_size": 33}, "--batch_size=33: does not divide"),
        ({"batch_size": 0}, "--batch_size=0"),
        ({"batch_size": 64, "examples_log2": 5}, "larger than the data"),
        ({"evaluate_every_log2": 4}, "from 5"),
        ({"model": "linear", "activation": "relu"}, "no hidden unit"),
        ({"warm_start_learning_rate": 0.1}, "only with --warm_start"),
        ({"warm_start": True, "init": "distinct"}, "the donor's weights"),
        ({"batch_order": "fixed", "shuffle_log2": 1}, "only with --shuffle_log2=0"),
    ],
)
def test_values_outside_their_limits(values, message):
    with pytest.raises(UserError, match=message):
        Settings(**values).resolve()


@pytest.mark.parametrize("scale", command_line.SCALES)
@pytest.mark.parametrize("name", STUDY.figures)
def test_presets(name, scale):
    settings = [s.resolve() for s in STUDY.runs_of_figure(name, scale)]
    assert len(set(settings)) == len(settings)
    for s in settings:
        largest = s.num_steps.bit_length() - 2
        assert s.shuffle_log2 <= largest
        if scale == "paper":
            assert (s.examples_log2, s.pairs, s.evaluation_log2) == (26, 16, 16)
    if name not in ("7", "9"):  # the others reach half of the data
        assert max(s.shuffle_log2 for s in settings) == largest


def parse(*arguments):
    flag_values = command_line.flags.FlagValues()
    command_line.define_flags(STUDY, flag_values)
    flag_values(["program", *arguments])
    return program.expand(STUDY, flag_values)


def test_a_list_is_one_run_for_each_value():
    runs = parse("--shuffle_log2=0,5", "--model=linear,single", "--num_seeds=2", "--seed=7")
    assert {(r.shuffle_log2, r.model, r.seed) for r in runs} == {
        (z, model, seed) for z in (0, 5) for model in ("linear", "single") for seed in (7, 8)
    }


@pytest.mark.parametrize(
    ("flag", "warm"),
    [
        ("--warm_start", {True}),
        ("--nowarm_start", {False}),
        ("--warm_start=false", {False}),
        ("--warm_start=1,0", {True, False}),
    ],
)
def test_a_switch_takes_a_list_as_well(flag, warm):
    assert {run.warm_start for run in parse(flag)} == warm


def test_an_explicit_flag_overrides_the_preset():
    runs = parse("--figure=4", "--scale=smoke", "--pairs=2")
    assert [r.shuffle_log2 for r in runs] == [0, 8]
    assert {r.pairs for r in runs} == {2}


def test_a_flag_leaves_the_runs_of_a_figure_alone_that_have_no_use_for_it():
    runs = parse("--figure=10", "--scale=smoke", "--beta=3", "--warm_start_learning_rate=0.05")
    assert {(r.activation, r.beta) for r in runs} == {
        ("identity", None),
        ("relu", None),
        ("smelu", 3.0),
        ("swish", 3.0),
    }
    assert {(r.warm_start, r.warm_start_learning_rate) for r in runs} == {(False, None), (True, 0.05)}
    with pytest.raises(UserError, match="--beta: no run of figure 4 has a use for it"):
        parse("--figure=4", "--beta=3")


def test_only_leaves_the_runs_with_the_wanted_values_as_they_are():
    every = parse("--figure=10", "--scale=laptop", "--num_seeds=2")
    some = parse(
        "--figure=10",
        "--scale=laptop",
        "--num_seeds=2",
        "--only=activation=relu,smelu shuffle_log2=14 beta=None,.1",
    )
    assert some == [
        run
        for run in every
        if run.shuffle_log2 == 14
        and (run.activation == "relu" or (run.activation == "smelu" and run.beta == 0.1))
    ]
    assert {(run.activation, run.beta, run.warm_start, run.seed) for run in some} == {
        *(("relu", None, warm, seed) for warm in (False, True) for seed in (0, 1)),
        *(("smelu", 0.1, False, seed) for seed in (0, 1)),
    }
    assert len(parse("--shuffle_log2=0,5", "--only=shuffle_log2=5")) == 1
    assert len(parse("--figure=10", "--scale=laptop", "--only=warm_start=true")) == 3


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("relu", "'relu' is not a setting with its values, NAME=VALUE"),
        ("colour=red", "'colour=red' is not a setting"),
        ("beta=", "'beta=' is not a setting"),
        ("beta=0.1 beta=2", "names beta twice"),
        ("activation=elu", "activation: 'elu' is not one of"),
        ("shuffle_log2=0,,7", "shuffle_log2: '' is not a whole number"),
        ("shuffle_log2=3", "no run has shuffle_log2=3; shuffle_log2 is 0, 7, 14"),
        ("activation=smelu beta=10", "no run has beta=10.0; beta is 0.1, 0.5, 2.0"),
    ],
)
def test_only_says_what_it_did_not_find(only, message):
    with pytest.raises(UserError, match=re.escape(message)):
        parse("--figure=10", "--scale=laptop", f"--only={only}")


@pytest.mark.parametrize(
    "flag",
    [
        "--unknown_flag=1",
        "--shuffle_log2=-1",
        "--shuffle_log2=abc",
        "--pairs=0",
        "--warm_start=1,maybe",
        "--beta=1",
        "--model=cnn",
        "--num_seeds=0",
        "--out_dir=/proc/results",
        "--out_dir=file",
        "--figure=5",
        "word",
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(flag, tmp_path, monkeypatch, capsys):
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        program.main(STUDY, ["snapp_shamir", flag])
    assert ended.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("snapp_shamir: ")
    assert err.count("\n") == 1
    assert os.listdir(tmp_path) == ["file"]


def test_dry_run_lists_the_runs_and_writes_nothing(tmp_path):
    command = [sys.executable, "-m", "replications.snapp_shamir", "--figure=4", "--dry_run"]
    done = subprocess.run([*command, f"--out_dir={tmp_path}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stdout.count("run: shuffle_log2=") == 2
    assert "2 runs, about" in done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("models", "is_wide"),
    [("linear", True), ("single,double", True), ("linear,tower", False), ("wide", False)],
)
def test_the_width_of_vectors_depends_on_all_runs_of_a_process(models, is_wide, monkeypatch, tmp_path):
    """Not on the one that comes first, which changes when some are finished: it changes the last digits."""
    monkeypatch.setenv("XLA_FLAGS", "")  # so that it is put back
    monkeypatch.delenv("XLA_FLAGS")
    made = []
    experiment = types.SimpleNamespace(run=lambda study, settings, options, label: made.append(settings))
    monkeypatch.setattr(type(STUDY), "experiment", lambda self: experiment)
    runs = parse(f"--model={models}")
    options = command_line.RunOptions(str(tmp_path))
    program._run_all(STUDY, runs, options)
    assert made == runs
    assert (os.environ.get("XLA_FLAGS") == "--xla_cpu_prefer_vector_width=512") is is_wide
