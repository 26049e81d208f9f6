"""A short case of each kind of disturbance; `python -m tests.chaos` tries them all, on all programs."""

import gc
import re
import signal
import time
import weakref

import pytest

from common.study.runs import run_folder
from replications.zhang_randomization import experiment
from tests.chaos import damage, data_sets, diverging, faults, memory, processes, programs, report
from tests.chaos.result import Held, Tally

SHORT = programs.PROGRAMS["zhang_randomization"]


@pytest.fixture
def tally():
    """Counts; at the end nothing may have gone wrong, and something must have been tried."""
    tally = Tally("test", "cases")
    yield tally
    assert tally.problems == []
    assert tally.number > 0


def test_a_kill_at_any_step_to_the_disk_changes_nothing(tally, tmp_path):
    faults.try_kills(tally, SHORT, tmp_path, 5)


def test_a_disk_that_fails_is_one_line_and_loses_nothing(tally, tmp_path):
    faults.try_errors(tally, SHORT, tmp_path, 2)


def test_damage_is_survived_or_one_line(tally, tmp_path):
    damage.try_damage(tally, SHORT, tmp_path, every=23)


def test_the_harness_sees_every_file_of_an_unfinished_run(tmp_path):
    names = {
        str(name)
        for out_dir in damage.unfinished(SHORT, tmp_path)
        for name in damage.files(SHORT.folder(out_dir))
    }
    checkpoint = ("SHA256SUMS", "arrays.npz", "rows.jsonl", "state.data-00000-of-00001", "state.index")
    assert {"run.json", ".lock"} < names
    steps = {name.split("/")[2] for name in names if name.startswith("work/checkpoints/")}
    assert all(f"work/checkpoints/{step}/{name}" in names for step in steps for name in checkpoint)
    assert len(steps) >= 2


def test_what_must_diverge_does(tally, tmp_path):
    diverging.try_rates(tally, SHORT, tmp_path, ("1e15",))


def test_the_second_of_two_says_so_in_one_line(tmp_path):
    with run_folder(SHORT.study, SHORT.settings, str(tmp_path)):
        outcome = programs.run(SHORT, tmp_path)
    assert outcome.status == 2 and outcome.is_one_line
    assert "another process is working on" in outcome.error


def test_a_signal_is_one_line_and_loses_nothing(tmp_path):
    chosen, sent = SHORT, signal.SIGTERM
    process = programs.start(chosen, tmp_path / "runs")
    while process.poll() is None and not chosen.folder(tmp_path / "runs").exists():
        time.sleep(0.01)
    process.send_signal(sent)
    outcome = programs.finish(process)
    assert outcome.status == 130 and outcome.error.strip().count("\n") == 0, outcome
    assert programs.run(chosen, tmp_path / "runs").status == 0
    assert programs.run(chosen, tmp_path / "whole").status == 0
    assert programs.read(chosen, tmp_path / "runs") == programs.read(chosen, tmp_path / "whole")


def test_a_new_learning_rate_compiles_nothing_and_another_network_frees_the_one_before(tmp_path):
    diverged = diverging.disturbed(SHORT, "1e9"), diverging.disturbed(SHORT, "0.02")
    programs.run(SHORT, tmp_path)
    trainer = experiment._trainer.latest()
    num_traces = trainer._block.experimental_get_tracing_count()
    for chosen in diverged:
        programs.run(chosen, tmp_path)
    assert experiment._trainer.latest() is trainer
    assert trainer._block.experimental_get_tracing_count() == num_traces
    weight = weakref.ref(trainer.model.trainable_variables[0].value)
    del trainer
    experiment._trainer.cache_clear()
    gc.collect()
    assert weight() is None


def test_held_names_what_is_open(tmp_path):
    before = Held.now()
    with open(tmp_path / "leak", "w"):
        assert Held.now().more_than(before) == f"still open: {tmp_path}/leak"
    assert Held.now().more_than(before) == ""


def test_the_harness_sees_what_is_wrong(tmp_path):
    outcome = programs.run(SHORT, tmp_path)
    folder = SHORT.folder(tmp_path)
    expected = programs.results(folder)

    def verdict(outcome=outcome, expected=expected):
        return programs.judge(SHORT, tmp_path, outcome, expected)

    assert verdict() == programs.EQUAL
    assert verdict(expected=expected | {"rows.jsonl": b""}) == "other results: rows.jsonl"
    assert verdict(programs.Outcome(1, "Traceback (most recent call last)\n")).startswith("status 1")
    assert verdict(programs.Outcome(2, "one\ntwo\n")).startswith("status 2")
    (folder / ".run.json.1").touch()
    assert verdict() == "left over: .run.json.1"


def test_the_page_has_exactly_the_kinds_of_the_code():
    rows = re.findall(r"^\| (.+?) \|", report.PAGE.read_text(), flags=re.MULTILINE)
    assert rows == ["kind", *report.kinds()]


@pytest.mark.slow
def test_damaged_data_sets(tally, tmp_path):
    data_sets.try_damage(tally, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", programs.PROGRAMS)
@pytest.mark.parametrize(
    "step",
    [
        lambda *arguments: faults.try_kills(*arguments, None),
        lambda *arguments: faults.try_errors(*arguments, 6),
        damage.try_damage,
        diverging.try_rates,
        memory.try_settings,
        lambda *arguments: processes.try_kills(*arguments, 3, 1),
        lambda *arguments: processes.try_signals(*arguments, 3, 1),
        processes.try_two,
    ],
    ids=["kills", "errors", "damage", "rates", "memory", "killed processes", "signals", "two"],
)
def test_all(step, name, tally, tmp_path):
    step(tally, programs.PROGRAMS[name], tmp_path)
