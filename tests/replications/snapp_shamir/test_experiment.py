import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from common import distribution
from common.errors import UserError
from common.study import command_line
from common.study.runs import run_folder
from replications.snapp_shamir import engine, experiment
from replications.snapp_shamir.presets import STUDY
from replications.snapp_shamir.settings import Settings

TINY = Settings(examples_log2=13, pairs=3, evaluation_log2=10, evaluate_every_log2=12)


class Killed(Exception):
    pass


def run(settings, out_dir, strategy="auto"):
    settings = settings.resolve()
    options = command_line.RunOptions(str(out_dir), strategy, False)
    experiment.run(STUDY, settings, options)
    folder = run_folder(STUDY, settings, str(out_dir))
    return folder


def results(folder):
    rows = (folder.path / "rows.jsonl").read_bytes()
    with np.load(folder.path / "arrays.npz") as arrays:
        return rows, {name: arrays[name].tobytes() for name in arrays.files}


def kill_after(monkeypatch, num_blocks):
    """The process dies after this many blocks: nothing that follows them happens."""
    advance, count = engine.Ensemble.advance, iter(range(num_blocks))

    def dying(self, num_steps):
        if next(count, None) is None:
            raise Killed
        advance(self, num_steps)

    monkeypatch.setattr(engine.Ensemble, "advance", dying)


ONE_GROUP = dataclasses.replace(TINY, model="double", shuffle_log2=7), 2**21
# Donors, then pairs, in groups of one model a device: two blocks of donors, three of pairs.
GROUPS = dataclasses.replace(TINY, warm_start=True, evaluate_every_log2=None), 1


@pytest.mark.parametrize(
    "settings,tile_bytes,num_blocks", [(*ONE_GROUP, 0), (*ONE_GROUP, 1), (*GROUPS, 1), (*GROUPS, 3)]
)
def test_a_killed_run_goes_on_bit_for_bit(settings, tile_bytes, num_blocks, tmp_path, monkeypatch):
    monkeypatch.setitem(engine.TILE_BYTES, "CPU", tile_bytes)
    whole = results(run(settings, tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, num_blocks)
        run(settings, tmp_path / "killed")
    record = run_folder(STUDY, settings.resolve(), str(tmp_path / "killed")).record
    assert record["status"] == "failed"
    folder = run(settings, tmp_path / "killed")
    assert folder.record["status"] == "done"
    assert "error" not in folder.record
    assert results(folder) == whole
    assert not folder.work.exists()


def test_damage_to_an_unfinished_run_changes_nothing(tmp_path, monkeypatch, capsys):
    settings, tile_bytes = GROUPS
    monkeypatch.setitem(engine.TILE_BYTES, "CPU", tile_bytes)
    whole = results(run(settings, tmp_path / "whole"))
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 4)  # all donors and two of three pairs are trained
        run(settings, tmp_path / "killed")
    work = run_folder(STUDY, settings.resolve(), str(tmp_path / "killed")).work
    damaged = [work / "pair-00000" / "rows.jsonl", work / "donor-00001" / "arrays.npz"]
    for path in damaged:
        path.write_bytes(path.read_bytes()[:-1])
    shutil.rmtree(work / "donors-00000-checkpoints")  # a donor without its checkpoint is trained again
    assert results(run(settings, tmp_path / "killed")) == whole
    said = capsys.readouterr().err
    assert all(f"{path.parent} is damaged and will be made again" in said for path in damaged)


def test_a_finished_run_is_not_run_again(tmp_path, monkeypatch):
    folder = run(TINY, tmp_path)
    kill_after(monkeypatch, 0)
    assert run(TINY, tmp_path).record == folder.record


def test_rows_and_weights(tmp_path):
    folder = run(dataclasses.replace(TINY, model="double", init="distinct"), tmp_path)
    rows = folder.rows()
    assert {row["examples"] for row in rows} == {2**12, 2**13}
    pairs = [row for row in rows if row["statistic"] == "pair" and row["examples"] == 2**13]
    assert sorted((row["metric"], row["pair"]) for row in pairs) == [
        (metric, pair)
        for metric in ("excess_label_loss", "relative_prediction_difference")
        for pair in range(3)
    ]
    means = {row["metric"]: row for row in rows if row["statistic"] == "mean" and row["examples"] == 2**13}
    for metric, row in means.items():
        values = [r["value"] for r in pairs if r["metric"] == metric]
        assert row["value"] == pytest.approx(np.mean(values), rel=1e-12)
        assert row["n"] == 3
    members = [r["value"] for r in rows if r["statistic"] == "run" and r["examples"] == 2**13]
    assert np.mean(members) == pytest.approx(means["excess_label_loss"]["value"], rel=1e-12)
    with np.load(folder.path / "arrays.npz") as arrays:
        shapes = {name: arrays[name].shape for name in arrays.files}
    assert shapes == {
        "theta": (32,),
        "weights_0": (3, 2, 32, 2),
        "weights_1": (3, 2, 2),
        "weights_2": (3, 2, 2, 1),
        "weights_3": (3, 2, 1),
    }


def test_identical_models_in_fixed_order_agree_exactly(tmp_path):
    fixed = run(dataclasses.replace(TINY, batch_order="fixed"), tmp_path).rows()
    assert {r["value"] for r in fixed if r["metric"] == "relative_prediction_difference"} == {0.0}
    shuffled = run(TINY, tmp_path).rows()
    assert all(
        r["value"] > 0
        for r in shuffled
        if r["metric"] == "relative_prediction_difference" and r["statistic"] == "pair"
    )


def test_more_pairs_leave_the_first_ones_as_they_are(tmp_path):
    few, many = (
        run(dataclasses.replace(TINY, pairs=n, precision="float64"), tmp_path).rows() for n in (2, 3)
    )

    def pair_values(rows):
        return {
            (r["metric"], r["pair"], r["examples"]): r["value"]
            for r in rows
            if r["statistic"] == "pair" and r["pair"] < 2 and r["metric"] == "excess_label_loss"
        }

    assert pair_values(many) == pytest.approx(pair_values(few), rel=1e-9)


def test_warm_start_begins_at_the_donor(tmp_path):
    # So small a rate moves nothing: both models are still the donor.
    warm = dataclasses.replace(TINY, warm_start=True, warm_start_learning_rate=1e-30)
    rows = run(warm, tmp_path).rows()
    losses = {(r["pair"], r["member"], r["examples"]): r["value"] for r in rows if r["statistic"] == "run"}
    for pair in range(3):
        values = {losses[pair, member, 2**e] for member in range(2) for e in (12, 13)}
        assert len(values) == 1
    untrained = max(
        r["value"] for r in run(TINY, tmp_path).rows() if r["examples"] == 2**12 and r["statistic"] == "run"
    )
    assert max(losses.values()) < untrained


def test_a_diverged_run_is_a_result(tmp_path):
    wild = dataclasses.replace(
        TINY, model="tower", optimizer="sgd", learning_rate=1e9, evaluate_every_log2=None
    )
    folder = run(wild, tmp_path)
    assert folder.record["status"] == "diverged"
    diverged = [r for r in folder.rows() if r["metric"] == "diverged_models"]
    assert diverged[0]["value"] >= 1
    assert diverged[0]["n"] == 6
    assert "nan" not in (folder.path / "rows.jsonl").read_text().lower()
    assert experiment.table_row(wild.resolve(), folder)["diverged"] == diverged[0]["value"]


def test_other_devices_cannot_take_over(tmp_path, monkeypatch):
    monkeypatch.setattr(distribution, "num_cores", lambda: 2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        kill_after(patch, 1)
        run(TINY, tmp_path)
    with pytest.raises(UserError, match="was begun with .* and cannot go on with"):
        run(TINY, tmp_path, "one_device")


def test_tensorboard_scalars_are_written(tmp_path):
    options = command_line.RunOptions(str(tmp_path), "auto", True)
    experiment.run(STUDY, TINY.resolve(), options)
    folder = run_folder(STUDY, TINY.resolve(), str(tmp_path))
    assert list((folder.path / "tensorboard").glob("events.*"))


def start(out_dir, *arguments, **environment):
    command = [sys.executable, "-m", "replications.snapp_shamir", f"--out_dir={out_dir}", *arguments]
    return subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(pattern, folder, process):
    while process.poll() is None and not list(folder.glob(pattern)):
        time.sleep(0.02)


LONG = ("--examples_log2=24", "--pairs=2", "--evaluate_every_log2=14", "--model=double")


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.4])
def test_sigkill_then_the_same_command(delay, tmp_path):
    killed = start(tmp_path / "killed", *LONG)
    wait_for("**/*-checkpoints/*/SHA256SUMS", tmp_path, killed)
    time.sleep(delay)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    outputs = []
    for out_dir in ("killed", "whole"):
        process = start(tmp_path / out_dir, *LONG)
        outputs.append(process.communicate()[0])
        assert process.returncode == 0
    killed_rows, whole_rows = (
        next((tmp_path / d).glob("*/*/rows.jsonl")).read_bytes() for d in ("killed", "whole")
    )
    assert killed_rows == whole_rows


@pytest.mark.slow
def test_ctrl_c_and_a_second_process(tmp_path):
    flags = ("--examples_log2=30", *LONG[1:])
    process = start(tmp_path, *flags)
    wait_for("**/*-checkpoints/*/SHA256SUMS", tmp_path, process)
    second = start(tmp_path, *flags)
    _, error = second.communicate()
    assert second.returncode == 2
    assert error.startswith("snapp_shamir: another process is working on")
    assert error.count("\n") == 1
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in error
    record = json.loads(next(tmp_path.glob("*/*/run.json")).read_text())
    assert record["status"] == "incomplete"


@pytest.mark.slow
@pytest.mark.parametrize("places", [[("worker", 0), ("worker", 1)], [("chief", 0), ("worker", 0)]])
def test_two_workers_share_the_pairs(places, tmp_path):
    flags = ("--examples_log2=14", "--pairs=3", "--model=double", "--precision=float64")
    cluster = {}
    for number, (kind, _) in enumerate(places, start=20001):
        cluster.setdefault(kind, []).append(f"localhost:{number}")
    workers = [
        start(
            tmp_path / "two",
            *flags,
            "--strategy=multi_worker",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}}),
        )
        for kind, index in places
    ]
    assert [worker.wait() for worker in workers] == [0, 0]
    alone = start(tmp_path / "one", *flags)
    assert alone.wait() == 0
    two, one = (
        [json.loads(line) for line in next((tmp_path / d).glob("*/*/rows.jsonl")).open()]
        for d in ("two", "one")
    )
    assert [{**row, "value": 0} for row in two] == [{**row, "value": 0} for row in one]
    np.testing.assert_allclose(
        [r["value"] for r in two if r["metric"] == "excess_label_loss"],
        [r["value"] for r in one if r["metric"] == "excess_label_loss"],
        rtol=1e-9,
    )
