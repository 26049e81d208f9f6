import dataclasses
import os
import subprocess
import sys

import pytest

from common.errors import UserError
from common.study.command_line import RunOptions
from common.study.runs import load_study, run_folder
from launch import sweep
from launch.executors import local, slurm
from launch.jobs import Started, identity, make_jobs, note_started, started, trained_with
from tests.launch.test_archive import record

ZHANG, SNAPP = load_study("zhang_randomization"), load_study("snapp_shamir")
TELL = """
import os, time
time.sleep(0.3)
print(os.environ.get("CUDA_VISIBLE_DEVICES"), sorted(os.sched_getaffinity(0)))
"""


def gpus_of_children(tmp_path, count, places):
    """What each process of a sweep, in the order of their starts, sees in CUDA_VISIBLE_DEVICES."""
    runs = [settings.resolve() for settings in ZHANG.runs_of_figure("1b", "smoke")][:count]
    jobs = [make_jobs(ZHANG, [run], RunOptions(str(tmp_path)))[0] for run in runs]
    for i, job in enumerate(jobs):
        job.log, job.argv = tmp_path / f"{i}.log", [sys.executable, "-c", TELL]
    assert local.LocalExecutor(places).run(ZHANG, jobs, str(tmp_path)) == []
    assert len(started(ZHANG, tmp_path)) == count
    return [job.log.read_text().split(" ")[0] for job in jobs]


def test_each_process_sees_its_gpu_alone(tmp_path):
    seen = gpus_of_children(tmp_path, 4, local.make_places(ZHANG, ("5", "7")))
    assert sorted(seen[:2]) == ["5", "7"] and sorted(seen) == ["5", "5", "7", "7"]


def test_mirrored_runs_see_all_gpus_one_after_the_other(tmp_path):
    places = local.make_places(ZHANG, ("5", "7"), strategy="mirrored")
    assert gpus_of_children(tmp_path, 2, places) == ["5,7", "5,7"]


def test_without_gpus_the_environment_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "mine")
    assert gpus_of_children(tmp_path, 2, local.make_places(ZHANG, workers=2)) == ["mine", "mine"]


def test_every_gpu_has_one_process_before_any_has_two():
    places = local.make_places(ZHANG, ("0", "1"), runs_per_gpu=2)
    assert [place.gpus for place in places] == [("0",), ("1",), ("0",), ("1",)]
    assert [place.gpus for place in local.make_places(ZHANG, ("0", "1"), 3, 2)] == [("0",), ("1",), ("0",)]


def test_cores_are_shared_out_equally_and_never_none(monkeypatch):
    monkeypatch.setattr(local, "usable_cores", lambda: [0, 1, 4])
    assert [place.cores for place in local.make_places(ZHANG, ("0", "1"))] == [{0}, {1}]
    crowded = [place.cores for place in local.make_places(ZHANG, ("0", "1"), runs_per_gpu=2)]
    assert crowded == [{0}, {1}, {4}, {0}]


def test_more_workers_than_places_are_refused():
    with pytest.raises(UserError, match="2 GPUs with --runs_per_gpu=1 take 2 processes"):
        local.make_places(ZHANG, ("0", "1"), workers=3)
    with pytest.raises(UserError, match="mirrored runs take all GPUs"):
        local.make_places(ZHANG, ("0", "1"), workers=2, strategy="mirrored")


def main(capsys, *arguments):
    status = 0
    try:
        sweep.main(["sweep", *arguments])
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr()


def test_print_writes_lines_to_paste_teachers_first(tmp_path, capsys):
    flags = ("--figure=distillation", "--scale=smoke", "--executor=print", f"--out_dir={tmp_path}")
    status, written = main(capsys, "--replication=somepalli_boundaries", *flags)
    lines = written.out.splitlines()
    assert status == 0 and written.err == ""
    assert all(line.startswith(f"{sys.executable} -m replications.somepalli_boundaries ") for line in lines)
    students = ["--teacher=" in line for line in lines]
    assert students == sorted(students) and any(students) and not all(students)
    assert list(tmp_path.iterdir()) == []


SMOKE = ("--replication=zhang_randomization", "--figure=1a", "--scale=smoke")
LAPTOP = (*SMOKE[:2], "--scale=laptop")


@pytest.mark.parametrize("executor", sweep.EXECUTORS)
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((*SMOKE, "--width=3"), "width"),
        ((*SMOKE, "--batch_size=-1"), "--batch_size=-1"),
        ((*LAPTOP, "--data_dir=nowhere"), "--data_dir=nowhere: no such folder"),
        ((*LAPTOP, "--data_dir=."), "no CIFAR-10 in cifar10; --download fetches it"),
        ((*SMOKE, "--out_dir=/proc/x"), "is not writable"),
    ],
)
def test_every_executor_refuses_before_anything_starts(
    executor, arguments, words, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TF_CONFIG", "[]")
    for kind in (local.LocalExecutor, slurm.SlurmExecutor, sweep.PrintExecutor):
        monkeypatch.setattr(kind, "run", None)
    status, written = main(capsys, *arguments, f"--executor={executor}")
    assert status == 2 and words in written.err and written.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("executor", sweep.EXECUTORS)
def test_several_workers_are_no_process_of_a_sweep(executor, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    flags = (f"--executor={executor}", "--strategy=multi_worker", f"--out_dir={tmp_path}")
    status, written = main(capsys, *SMOKE, *flags)
    assert status == 2 and "docs/launch.md says how one run trains on several workers" in written.err


def test_the_flags_of_a_sweep_hold_until_its_last_run(tmp_path, capsys):
    """Of its seven networks the one that takes a GPU is trained; the same command goes on."""
    flags = ("--replication=snapp_shamir", "--figure=10", "--scale=smoke", f"--out_dir={tmp_path}")
    runs = [settings.resolve() for settings in SNAPP.runs_of_figure("10", "smoke")]
    large = [run for run in runs if SNAPP.takes_gpu(run)]
    assert large and len(large) < len(runs)
    for run in large:
        record(run, tmp_path)
    status, written = main(capsys, *flags, "--gpus=0,1", "--dry_run")
    assert status == 0 and f"{len(runs) - len(large)} run" in written.out and "2 places" in written.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--partition=main",), "--partition: only with --executor=slurm"),
        (("--executor=print", "--workers=2"), "--workers: only with --executor=local or slurm"),
        (("--executor=slurm", "--gpus=0"), "--gpus: only with --executor=local"),
        (("--executor=slurm", "--time_limit=0"), "time_limit"),
        (("--runs_per_gpu=2",), "no run of this sweep uses a GPU"),
        (("--gpus=",), "--gpus=: names no GPU"),
        (("--gpus=0,,1",), "--gpus=0,,1: names no GPU"),
        (("--runs_per_gpu=0",), "runs_per_gpu"),
        (("--gpus=0,1", "--workers=3"), "take 2 processes"),
        (("--gpus=0,1", "--device=cpu"), "--gpus=0,1: no run of this sweep uses a GPU"),
        (("--executor=slurm", "--device=cpu", "--gpus_per_run=2"), "--gpus_per_run=2: no run of this sweep"),
        (
            ("--executor=slurm", "--device=gpu", "--gpus_per_run=0"),
            "--gpus_per_run=0: --device=gpu needs one",
        ),
        (("--executor=slurm", "--memory_gb=nan"), "--memory_gb=nan: must be a finite number"),
        (("--executor=cloud",), "cloud"),
    ],
)
def test_flags_that_do_not_go_together_are_one_line(arguments, words, tmp_path, capsys):
    status, written = main(capsys, *SMOKE, f"--out_dir={tmp_path}", *arguments)
    assert status == 2 and words in written.err and written.err.count("\n") == 1


def executor_of(study, figure, *arguments):
    flag_values = sweep.flags.FlagValues()
    sweep.command_line.define_flags(study, flag_values)
    sweep._define_flags(flag_values)
    flag_values(["sweep", *arguments])
    runs = [settings.resolve() for settings in study.runs_of_figure(figure, "smoke")]
    return sweep.make_executor(study, runs, flag_values)


def test_small_ensembles_take_no_gpu_and_large_ones_do():
    gpus = lambda *given: [place.gpus for place in executor_of(*given, "--gpus=0,1").places]  # noqa: E731
    assert [place.gpus for place in executor_of(SNAPP, "2").places] == [None]
    assert gpus(SNAPP, "10") == gpus(ZHANG, "1a") == [("0",), ("1",)]
    tasks = [executor_of(*of, "--executor=slurm").resources.gpus for of in ((SNAPP, "2"), (ZHANG, "1a"))]
    assert tasks == [0, 1]


def test_a_task_asks_slurm_for_what_the_flags_say():
    flags = ("--partition=gpu", "--account=mine", "--time_limit=30", "--gpus_per_run=2", "--workers=5")
    parameters = executor_of(ZHANG, "1a", "--executor=slurm", *flags, "--memory_gb=1.5").resources.parameters(
        "n"
    )
    assert parameters["partition"] == "gpu" and parameters["account"] == "mine" and parameters["time"] == 30
    assert parameters["gpus_per_node"] == 2 and parameters["array_parallelism"] == 5
    assert parameters["mem"] == "1536MB" and parameters["additional_parameters"] == {"requeue": True}
    assert "gpus_per_node" not in slurm.Resources().parameters("n")


def test_more_tasks_than_an_array_may_have_are_several_arrays(tmp_path, monkeypatch):
    scontrol = tmp_path / "scontrol"
    scontrol.write_text("#!/bin/sh\necho 'ClusterName = c'; echo 'MaxArraySize            = 2'\n")
    scontrol.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "queue", dict)
    submitted = []

    def submit(self, study, jobs, out_dir, before):
        submitted.append((len(jobs), list(before)))
        return [f"{len(submitted)}_{i}" for i in range(len(jobs))]

    monkeypatch.setattr(slurm.SlurmExecutor, "_submit_array", submit)
    paper = load_study("somepalli_boundaries")
    runs = [settings.resolve() for settings in paper.runs_of_figure("distillation", "smoke")]
    jobs = [make_jobs(paper, [run], RunOptions(str(tmp_path / "runs")))[0] for run in runs]
    students = sum(job.has_students for job in jobs)
    assert students > 2 and len(jobs) - students > 2
    slurm.SlurmExecutor(slurm.Resources(), wait=False).run(paper, jobs, str(tmp_path / "runs"))
    assert sum(count for count, _ in submitted) == len(jobs) and {count for count, _ in submitted} <= {1, 2}
    teachers = [before for _, before in submitted if not before]
    waiting = {tuple(before) for _, before in submitted if before}
    assert sum(count for count, before in submitted if not before) == len(jobs) - students
    assert len(teachers) == -(-(len(jobs) - students) // 2) and len(waiting) == 1


def test_without_an_answer_an_array_is_as_large_as_by_default(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.most_tasks() == 1001


def test_the_last_words_of_a_program_that_said_nothing():
    error = subprocess.CalledProcessError(1, "squeue", stderr=" \n\n")
    assert "squeue" in slurm.last_words(error)
    assert slurm.last_words(subprocess.CalledProcessError(1, "x", stderr="a\nb\n \n")) == "b"


def test_one_line_where_there_is_no_slurm(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    status, written = main(capsys, *SMOKE, f"--out_dir={tmp_path / 'runs'}", "--executor=slurm")
    assert status == 2 and "there is no sbatch here" in written.err and written.err.count("\n") == 1
    assert not (tmp_path / "runs").exists()


def test_the_status_of_runs_that_were_never_started(tmp_path, capsys):
    status, written = main(capsys, *SMOKE, f"--out_dir={tmp_path}", "--status")
    assert status == 0 and written.out.splitlines()[-1] == "5 not started"
    assert list(tmp_path.iterdir()) == []


def test_runs_whose_tasks_nobody_knows_of_or_that_no_sweep_began(tmp_path, monkeypatch, capsys):
    runs = [settings.resolve() for settings in ZHANG.runs_of_figure("1a", "smoke")]
    jobs = [make_jobs(ZHANG, [run], RunOptions(str(tmp_path)))[0] for run in runs[:2]]
    jobs[1].log = tmp_path / "another.log"
    note_started(ZHANG, tmp_path, jobs, ["26_0", "26_1"])
    with run_folder(ZHANG, runs[2], str(tmp_path)) as folder:
        folder.start({"devices": ["CPU"]})
    monkeypatch.setenv("PATH", str(tmp_path))
    status, written = main(capsys, *SMOKE, f"--out_dir={tmp_path}", "--status")
    assert status == 0 and "1 unfinished, 2 unknown, 2 not started" in written.out
    assert "there is no squeue here" in written.out


def test_a_line_that_was_cut_costs_no_other(tmp_path):
    runs = [settings.resolve() for settings in ZHANG.runs_of_figure("1a", "smoke")]
    jobs = [make_jobs(ZHANG, [run], RunOptions(str(tmp_path)))[0] for run in runs[:2]]
    note_started(ZHANG, tmp_path, jobs[:1], ["26_0"])
    file = tmp_path / ZHANG.name / "logs" / "started.jsonl"
    file.write_bytes(file.read_bytes()[:-20] + b"\xff\xfe")
    note_started(ZHANG, tmp_path, jobs[1:], ["27_0"])
    assert [one.task for one in started(ZHANG, tmp_path).values()] == ["27_0"]


def test_runs_that_are_queued_in_another_grouping_are_not_submitted_again(tmp_path, monkeypatch):
    runs = [SNAPP.settings(model="linear", shuffle_log2=z).resolve() for z in range(6)]
    (queued,) = make_jobs(SNAPP, runs, RunOptions(str(tmp_path), together=6))
    note_started(SNAPP, tmp_path, [queued], ["30_0"])
    monkeypatch.setattr(slurm, "queue", lambda: {"30_0": "PENDING"})
    monkeypatch.setattr(slurm.SlurmExecutor, "_submit_array", None)  # nothing is submitted
    jobs = [make_jobs(SNAPP, [run], RunOptions(str(tmp_path)))[0] for run in runs]
    slurm.SlurmExecutor(slurm.Resources(), wait=False).run(SNAPP, jobs, str(tmp_path))
    assert [tasks for _, tasks in slurm.live_tasks(SNAPP, jobs, str(tmp_path))] == [["30_0"]] * 6


def test_a_task_that_wrote_nothing_has_the_words_of_slurm(tmp_path):
    run = next(iter(ZHANG.runs_of_figure("1a", "smoke"))).resolve()
    (job,) = make_jobs(ZHANG, [run], RunOptions(str(tmp_path)))
    note_started(ZHANG, tmp_path, [job], ["26_0"])
    log = slurm.task_log(ZHANG, tmp_path, "26_0")
    assert sweep._last_words(ZHANG, job, str(tmp_path)) == ("ended without a word", log)
    log.parent.mkdir(parents=True)
    log.write_text("slurmstepd: error: Detected 1 oom_kill event\n")
    assert sweep._last_words(ZHANG, job, str(tmp_path)) == (
        "slurmstepd: error: Detected 1 oom_kill event",
        log,
    )


def test_a_process_is_alive_on_its_machine_until_it_ends(monkeypatch):
    process = subprocess.Popen(["sleep", "60"])
    one = Started(["a run"], "a log", process=identity(process.pid))
    assert one.alive and not Started(["a run"], "a log", task="12").alive
    # Another process that was given the same number, and one of another machine.
    assert not dataclasses.replace(one, process=one.process + "0").alive
    monkeypatch.setattr("platform.node", lambda: "another")
    assert not one.alive
    monkeypatch.undo()
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # nobody has read its status yet
    assert not one.alive
    process.wait()
    assert not one.alive


def test_a_job_names_its_settings_whatever_its_place():
    runs = [settings.resolve() for settings in ZHANG.runs_of_figure("1a", "smoke")]
    options = dataclasses.replace(RunOptions("out"), device="cpu")
    assert all("--device=cpu" in job.argv for job in make_jobs(ZHANG, runs, options))


def test_runs_that_are_trained_together_share_a_process_also_when_some_are_finished():
    options = RunOptions(out_dir="runs", together=2)
    runs = [
        SNAPP.settings(model="linear", shuffle_log2=z, init=init).resolve()
        for init in ("identical", "distinct")
        for z in (0, 4)
    ]
    (job,) = make_jobs(SNAPP, runs, options)
    assert {"--shuffle_log2=0,4", "--init=identical,distinct", "--together=2"} < set(job.argv)
    assert job.runs == runs
    assert trained_with(SNAPP, runs, runs[1:2], 2) == runs
    assert trained_with(SNAPP, runs, runs[1:2], 1) == runs[1:2]
    holes = make_jobs(SNAPP, runs[:3], options)
    assert sorted(len(job.runs) for job in holes) == [1, 1, 1]


@pytest.fixture
def job(tmp_path):
    """A process of two runs."""
    runs = [settings.resolve() for settings in SNAPP.runs_of_figure("4", "smoke")]
    (found,) = make_jobs(SNAPP, runs, RunOptions(str(tmp_path)))
    found.log = tmp_path / "log"
    assert len(runs) == 2
    return found


def test_a_process_of_which_one_run_is_left_is_started(job, tmp_path):
    with run_folder(SNAPP, job.runs[0], tmp_path) as folder:
        folder.start({})
        folder.finish("done", [{"metric": "m", "value": 1}], {})
    job.argv = [sys.executable, "-c", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"]
    assert local.run_jobs(SNAPP, [job], tmp_path, local.make_places(SNAPP, workers=1)) == []
    assert (tmp_path / "ran").read_text() == "x"


def test_a_process_that_was_killed_has_failed(job, tmp_path):
    job.argv = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert local.run_jobs(SNAPP, [job], tmp_path, local.make_places(SNAPP, workers=1)) == [job]


def test_a_task_lives_for_a_process_if_it_makes_all_its_runs(job, tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "queue", lambda: {"30_0": "RUNNING", "31_0": "RUNNING"})
    note_started(SNAPP, tmp_path, make_jobs(SNAPP, job.runs[:1], RunOptions(str(tmp_path))), ["30_0"])
    assert slurm.live_tasks(SNAPP, [job], str(tmp_path)) == []
    note_started(SNAPP, tmp_path, make_jobs(SNAPP, job.runs[1:], RunOptions(str(tmp_path))), ["31_0"])
    assert slurm.live_tasks(SNAPP, [job], str(tmp_path)) == [(job, ["30_0", "31_0"])]


def test_students_wait_for_teachers_that_are_queued_already(tmp_path, monkeypatch):
    paper = load_study("somepalli_boundaries")
    runs = [settings.resolve() for settings in paper.runs_of_figure("distillation", "smoke")]
    jobs = [make_jobs(paper, [run], RunOptions(str(tmp_path)))[0] for run in runs]
    teacher, student = (next(j for j in jobs if j.has_students == kind) for kind in (False, True))
    waited = []

    def submit(self, study, array, out_dir, before):
        waited.append(list(before))
        return ["31_0"]

    monkeypatch.setattr(slurm, "live_tasks", lambda *_: [(teacher, ["30_0"])])
    monkeypatch.setattr(slurm, "most_tasks", lambda: 10)
    monkeypatch.setattr(slurm.SlurmExecutor, "_submit_array", submit)
    slurm.SlurmExecutor(slurm.Resources(), wait=False).run(paper, [teacher, student], str(tmp_path))
    assert waited == [["30_0"]]
