"""Sweeps through a real Slurm; one node will do."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]


def _slurm_answers():
    if shutil.which("sinfo") is None:
        return False
    try:
        return bool(subprocess.run(["sinfo", "-h"], capture_output=True, timeout=10, check=True).stdout)
    except subprocess.SubprocessError:
        return False


pytestmark = pytest.mark.slow
if not _slurm_answers():
    pytestmark = pytest.mark.skip(reason="no Slurm answers here (sinfo)")
else:
    pytest.importorskip("submitit", reason="submitit is not installed (requirements-slurm.txt)")

SLURM = ("--executor=slurm", "--gpus_per_run=0", "--cpus_per_run=1", "--workers=2")
MLP = ("--replication=zhang_randomization", "--network=mlp_1x512", "--dataset=synthetic")
# Two tasks that take long enough to be met at work.
LONG = (
    *MLP,
    "--num_train=4000",
    "--batch_size=100",
    "--epochs=400",
    "--learning_rate=0.001",
    "--stop=epochs",
)
LONG += ("--condition=corrupted_labels", "--label_noise=0.9,1")


def start(*arguments):
    command = [sys.executable, "-m", "launch.sweep", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments):
    process = start(*arguments)
    output, error = process.communicate()
    print(output, error)
    return process.returncode, output, error


def wait_for(condition, seconds=600):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return found


def tasks(out_dir):
    """The numbers of the tasks that were submitted, in order."""
    logs = sorted(out_dir.glob("*/logs/started.jsonl"))
    return [json.loads(line)["task"] for path in logs for line in path.read_text().splitlines()]


def queue():
    done = subprocess.run(["squeue", "--me", "-rho", "%i %T"], capture_output=True, text=True, check=True)
    return dict(line.split() for line in done.stdout.splitlines())


def in_progress(out_dir, count):
    """Folders of runs that have a checkpoint."""
    found = {path.parents[3] for path in out_dir.glob("*/*/work/checkpoints/*/SHA256SUMS")}
    return sorted(found) if len(found) >= count else None


@pytest.fixture
def out_dir(tmp_path):
    """A folder of runs; what is still in the queue of it is cancelled at the end."""
    yield tmp_path
    if left := [task for task in tasks(tmp_path) if task in queue()]:
        subprocess.run(["scancel", *left], check=True)


def test_a_smoke_figure_of_two_papers_and_its_pictures(out_dir):
    for study, figure, more in (
        ("snapp_shamir", "4", ()),
        ("zhang_randomization", "1c", ("--network=mlp_1x512",)),
    ):
        flags = (
            f"--replication={study}",
            f"--figure={figure}",
            "--scale=smoke",
            f"--out_dir={out_dir}",
            *more,
        )
        status, output, error = run(*flags, *SLURM)
        assert status == 0, error
        assert "runs are done" in output
        status, output, _ = run(*flags, "--executor=slurm", "--status")
        assert output.splitlines()[-1].endswith(" done") and "," not in output.splitlines()[-1]
        assert run(*flags, *SLURM)[0] == 0
        drawn = [sys.executable, "-m", f"figures.{study}", f"--figure={figure}", "--scale=smoke", *more]
        done = subprocess.run(
            [*drawn, f"--records={out_dir}", f"--out_dir={out_dir / 'pictures'}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    assert len(list((out_dir / "pictures").glob("*.png"))) >= 2


def test_a_killed_task_is_reported_and_the_same_command_goes_on_in_its_folder(out_dir):
    flags = (*LONG, f"--out_dir={out_dir}", *SLURM)
    sweep = start(*flags)
    folders = wait_for(lambda: in_progress(out_dir, 2))
    killed, other = tasks(out_dir)
    subprocess.run(["scancel", "--signal=KILL", killed], check=True)
    output, error = sweep.communicate()
    print(output, error)
    assert sweep.returncode == 1 and "1 of 2 runs are done" in output and error.count("failed: ") == 1
    output = run(*flags, "--status")[1]
    (failed,) = [line for line in output.splitlines() if line.startswith("failed")]
    assert f"[{killed}]" in failed and "srun: Force Terminated" in failed
    assert "1 done, 1 failed" in output and f"[{other}]" in output
    begun = {folder: json.loads((folder / "run.json").read_text())["times"]["started"] for folder in folders}
    status, output, error = run(*flags)
    assert status == 0 and "0 tasks are in the queue already, 1 are new" in output, error
    records = {path.parent: json.loads(path.read_text()) for path in out_dir.glob("*/*/run.json")}
    assert {folder: record["times"]["started"] for folder, record in records.items()} == begun
    assert {record["status"] for record in records.values()} == {"done"}


@pytest.mark.parametrize("how", ["preempted", "requeued"])
def test_a_task_that_is_put_off_goes_on_in_its_folder(how, out_dir):
    """By submitit's signal, and by Slurm itself, as it preempts under PreemptMode=REQUEUE."""
    flags = (*LONG, f"--out_dir={out_dir}", *SLURM)
    assert run(*flags, "--nowait")[0] == 0
    folders = wait_for(lambda: in_progress(out_dir, 2))
    task = tasks(out_dir)[0]
    begun = [json.loads((folder / "run.json").read_text())["times"]["started"] for folder in folders]
    command = ["scancel", "--signal=USR2", task] if how == "preempted" else ["scontrol", "requeue", task]
    subprocess.run(command, check=True)
    wait_for(lambda: queue().get(task) == "PENDING")
    assert f"[{task}]" in run(*flags, "--status")[1].partition("waiting")[2].splitlines()[0]
    # Slurm waits two minutes of its own.
    wait_for(lambda: subprocess.run(["scontrol", "update", f"JobId={task}", "StartTime=now"]).returncode == 0)
    status, output, error = run(*flags)
    assert status == 0 and "2 tasks are in the queue already, 0 are new" in output, error
    records = [json.loads((folder / "run.json").read_text()) for folder in folders]
    assert [record["times"]["started"] for record in records] == begun
    assert [record["status"] for record in records] == ["done", "done"]
    assert len(tasks(out_dir)) == 2


def test_two_sweeps_submit_each_run_once(out_dir):
    short = [flag for flag in LONG if not flag.startswith("--epochs")]
    flags = (*short, "--epochs=5", f"--out_dir={out_dir}", *SLURM)
    sweeps = [start(*flags) for _ in range(2)]
    for sweep in sweeps:
        output, error = sweep.communicate()
        assert sweep.returncode == 0 and "2 of 2 runs are done" in output, error
    assert len(tasks(out_dir)) == 2


def test_a_task_that_slurm_refuses_is_one_line(out_dir):
    status, _, error = run(*LONG, f"--out_dir={out_dir}", *SLURM, "--partition=nowhere")
    assert status == 2 and error.count("\n") == 1 and "partition" in error


def test_the_tasks_of_a_step_train_together(out_dir):
    """Without TF_CONFIG: SlurmClusterResolver."""
    program = [sys.executable, "-m", *LONG[0].replace("--replication=", "replications.").split(), *MLP[1:]]
    program += ["--num_train=200", "--batch_size=100", "--epochs=2", "--strategy=multi_worker"]
    environment = {name: text for name, text in os.environ.items() if name != "TF_CONFIG"}
    step = ["srun", "--ntasks=2", "--kill-on-bad-exit=1", *program, f"--out_dir={out_dir}"]
    done = subprocess.run(step, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = out_dir.glob("*/*/run.json")
    assert json.loads(record.read_text())["layout"] == {"device": "CPU", "replicas": 2, "workers": 2}
