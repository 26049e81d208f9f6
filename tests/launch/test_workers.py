import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from common.cluster import Worker, current_worker
from launch import workers

ROOT = pathlib.Path(__file__).parents[2]


def launch(*arguments, **environment):
    command = [sys.executable, "-m", "launch.workers", *arguments]
    environment = {name: text for name, text in os.environ.items() if name != "TF_CONFIG"} | environment
    return subprocess.Popen(
        command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def script(text):
    return "--", sys.executable, "-c", text, "--strategy=multi_worker"


@pytest.mark.parametrize("chief", [False, True])
def test_every_process_has_a_place_of_its_own_and_one_is_the_chief(chief, monkeypatch):
    configs = workers.cluster_configs(3, chief)
    assert configs[0]["cluster"] == configs[2]["cluster"]
    addresses = [address for group in configs[0]["cluster"].values() for address in group]
    assert len(set(addresses)) == 3
    places = []
    for config in configs:
        monkeypatch.setenv("TF_CONFIG", json.dumps(config))
        places.append(current_worker("multi_worker"))
    assert places == [Worker(i, 3) for i in range(3)]
    expected = ["the chief", "worker 0", "worker 1"] if chief else ["worker 0", "worker 1", "worker 2"]
    assert [workers.name_of(config) for config in configs] == expected


def test_a_slurm_step_is_a_cluster_unless_tf_config_names_one(monkeypatch):
    for name, value in {"STEP_NUM_TASKS": "4", "PROCID": "2", "JOB_ID": "9"}.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert current_worker("multi_worker") == Worker(2, 4)
    assert current_worker("auto") == Worker()
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers.cluster_configs(2, False)[1]))
    assert current_worker("multi_worker") == Worker(1, 2)


TELL = """
import json, os
task = json.loads(os.environ["TF_CONFIG"])["task"]
print(task["type"], task["index"], os.environ.get("CUDA_VISIBLE_DEVICES"))
"""


def test_the_chief_speaks_for_all_and_each_has_its_share_of_the_gpus():
    process = launch("--workers=2", "--chief", *script(TELL), CUDA_VISIBLE_DEVICES="4,5,6")
    output, error = process.communicate()
    assert (process.returncode, output, error) == (0, "chief 0 4,6\n", "[worker 0] worker 0 5\n")


DIE = """
import json, os, signal, time
if json.loads(os.environ["TF_CONFIG"])["task"]["index"] == 1:
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(600)
"""


def test_the_first_that_dies_is_named_and_the_others_are_ended():
    process = launch("--workers=3", *script(DIE))
    _, error = process.communicate()  # not before all have closed their standard error
    assert process.returncode == 1
    assert error.startswith("workers: worker 1 was ended by SIGKILL") and error.count("\n") == 1


def test_one_that_hears_no_signal_is_killed(monkeypatch, tmp_path):
    monkeypatch.setattr(workers, "_PATIENCE_SECONDS", 0.2)
    deaf = "import os, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    deaf += f"; open(os.path.join({str(tmp_path)!r}, str(os.getpid())), 'w'); time.sleep(600)"
    running = workers.Workers([sys.executable, "-c", deaf], workers.cluster_configs(2, False))
    while len(list(tmp_path.iterdir())) < 2:
        time.sleep(0.05)
    running.stop()
    assert {process.poll() for process in running._processes} == {-signal.SIGKILL}


ZHANG = ("--", sys.executable, "-m", "replications.zhang_randomization", "--strategy=multi_worker")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "names no command to run after --"),
        (("--",), "names no command"),
        (("--", "ls"), "must have --strategy=multi_worker"),
        (("--workers=0", *ZHANG), "workers"),
        (("--workers=1", "--chief", *ZHANG), "needs --workers=2"),
        ((*ZHANG, "--width=3"), "width"),
        ((*ZHANG, "--batch_size=0"), "--batch_size=0"),
        ((*ZHANG, "--data_dir=nowhere"), "--data_dir=nowhere"),
        (("--", "nowhere/python", "--strategy=multi_worker"), "cannot start nowhere/python"),
    ],
)
def test_bad_input_is_one_line_before_anything_starts(arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(SystemExit) as end:
        workers.main(["workers", *arguments])
    monkeypatch.delenv("TF_CONFIG", raising=False)
    error = capsys.readouterr().err
    assert end.value.code == 2 and words in error and error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_has_a_place_already_starts_no_others(monkeypatch, capsys):
    monkeypatch.setenv("TF_CONFIG", "{}")
    with pytest.raises(SystemExit) as end:
        workers.main(["workers", *ZHANG])
    assert end.value.code == 2 and "TF_CONFIG is set" in capsys.readouterr().err


SMOKE = ("--figure=1a", "--scale=smoke", "--condition=true_labels")
KEEP = str(pathlib.Path(__file__).with_name("keep_weights.py"))


def trained(folder, kind, *flags):
    """What each process of a run keeps of its network; flags are those of `launch.workers`."""
    folder.mkdir()
    command = [sys.executable, KEEP, str(folder), kind, *SMOKE, f"--out_dir={folder / 'runs'}"]
    if flags:
        command = [sys.executable, "-m", "launch.workers", *flags, "--", *command, "--strategy=multi_worker"]
    environment = {name: text for name, text in os.environ.items() if name != "TF_CONFIG"}
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [dict(np.load(path)) for path in sorted(folder.glob("*.npz"))]


def difference(found, expected):
    """The greatest of a variable's elements, relative to its greatest; and of all variables as one vector."""
    names = [name for name in expected if name != "losses"]
    relative = [np.abs(found[n] - expected[n]).max() / max(np.abs(expected[n]).max(), 1e-3) for n in names]
    whole = [np.concatenate([one[name].ravel() for name in names]) for one in (found, expected)]
    return max(relative), np.linalg.norm(whole[0] - whole[1]) / np.linalg.norm(whole[1])


@pytest.mark.slow
@pytest.mark.parametrize("layout", [("--workers=2",), ("--workers=2", "--chief")])
def test_two_workers_train_the_smoke_preset_as_one_process_does(layout, tmp_path):
    """Inception in float32 with synchronized batch statistics, to the weights of one process.

    Rounding flips ReLU units: images changed by 1e-7 lead one process to other weights. Two workers part from
    it no further than that; and without corners, where nothing flips, they agree closely.
    """
    alone, smooth = (trained(tmp_path / kind, kind)[0] for kind in ("paper", "smooth"))
    (rounded,) = trained(tmp_path / "rounded", "rounded")
    found, found_smooth = (
        trained(tmp_path / f"workers-{kind}", kind, *layout) for kind in ("paper", "smooth")
    )
    assert len(found) == len(found_smooth) == 2
    noise = difference(rounded, alone)
    for one, other in zip(found, found_smooth, strict=True):
        print(
            "workers {:.1e} {:.1e}, rounding".format(*difference(one, alone)), "{:.1e} {:.1e}".format(*noise)
        )
        print("smooth {:.1e} {:.1e}".format(*difference(other, smooth)))
        assert one["losses"][0] == pytest.approx(alone["losses"][0], rel=1e-6)
        assert difference(one, alone)[1] < 3 * noise[1]
        assert difference(other, smooth)[0] < 1e-3
    (record,) = (tmp_path / "workers-paper").glob("runs/*/*/run.json")
    assert json.loads(record.read_text())["layout"] == {"device": "CPU", "replicas": 2, "workers": 2}


LONG = ("--network=mlp_1x512", "--dataset=synthetic", "--num_train=4000", "--batch_size=100", "--epochs=60")
LONG += ("--learning_rate=0.001", "--label_noise=1", "--condition=corrupted_labels")


@pytest.mark.slow
@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_all_within_a_minute_and_the_same_command_resumes(victim, tmp_path):
    command = ("--workers=2", *ZHANG, *LONG)
    killed = launch(*command, f"--out_dir={tmp_path / 'killed'}")
    while not list(tmp_path.glob("killed/**/checkpoints/*/SHA256SUMS")):
        assert killed.poll() is None, killed.communicate()[1]
        time.sleep(0.1)
    children = pathlib.Path(f"/proc/{killed.pid}/task/{killed.pid}/children").read_text().split()
    os.kill(int(children[victim]), signal.SIGKILL)
    started = time.monotonic()
    _, error = killed.communicate()
    assert killed.returncode == 1 and time.monotonic() - started < 60
    assert f"workers: worker {victim} was ended by SIGKILL" in error and "Traceback" not in error
    (record,) = tmp_path.glob("killed/*/*/run.json")
    assert json.loads(record.read_text())["status"] in ("incomplete", "failed")
    for out_dir in ("killed", "whole"):
        process = launch(*command, f"--out_dir={tmp_path / out_dir}")
        _, error = process.communicate()
        assert process.returncode == 0, error
    losses = [
        np.load(next(tmp_path.glob(f"{d}/*/*/arrays.npz")))["batch_losses"] for d in ("killed", "whole")
    ]
    np.testing.assert_allclose(*losses, rtol=1e-4)


def test_workers_that_take_no_gpu_need_none(monkeypatch):
    command = [sys.executable, "-m", "replications.zhang_randomization", "--dataset=synthetic"]
    command += ["--strategy=multi_worker", "--network=mlp_1x512", "--num_train=1000"]
    monkeypatch.setenv("TF_CONFIG", json.dumps(workers.cluster_configs(2, False)[0]))
    assert workers._check_command([*command, "--device=cpu"]) is False
    assert workers._check_command(command) is True
    assert workers._check_command([sys.executable, "train.py"]) is True


@pytest.mark.slow
def test_workers_train_the_teacher_that_is_missing_once(tmp_path):
    small = "--dataset=synthetic --num_train=160 --num_test=100 --epochs=1 --batch_size=80 --num_triplets=2"
    small += " --num_random_planes=1 --num_random_images=2 --resolution=8 --picture_resolution=16"
    network = "--network=fully_connected --width=32 --teacher=fully_connected --teacher_width=32"
    command = [sys.executable, "-m", "replications.somepalli_boundaries", "--strategy=multi_worker"]
    command += [*small.split(), *network.split(), f"--out_dir={tmp_path}"]
    process = launch("--workers=2", "--", *command)
    _, error = process.communicate()
    assert process.returncode == 0, error
    records = [json.loads(path.read_text()) for path in tmp_path.rglob("run.json")]
    assert sorted((r["status"], r["settings"]["teacher"] or "") for r in records) == [
        ("done", ""),
        ("done", "fully_connected"),
    ]
