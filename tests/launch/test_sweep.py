import contextlib
import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from common.study import command_line, program
from common.study.runs import load_study, run_folder, study_names
from launch import sweep
from launch.executors import local
from launch.jobs import make_jobs
from replications.snapp_shamir.presets import STUDY

PLACES = local.make_places(STUDY, workers=3)


def preset(name, scale):
    return [settings.resolve() for settings in STUDY.runs_of_figure(name, scale)]


FIGURES = [(name, figure) for name in study_names() for figure in load_study(name).figures]


@pytest.mark.parametrize("scale", ["laptop", "smoke"])
@pytest.mark.parametrize(("name", "figure"), FIGURES)
def test_the_commands_make_exactly_the_runs_of_the_figure(name, figure, scale, tmp_path):
    paper = load_study(name)
    runs = list(dict.fromkeys(settings.resolve() for settings in paper.runs_of_figure(figure, scale)))
    given = {"data_dir": "data", "download": True} if paper.images else {}
    options = command_line.RunOptions(str(tmp_path), "one_device", tensorboard=True, **given)
    jobs = make_jobs(paper, runs, options)
    made = []
    for job in jobs:
        flag_values = command_line.flags.FlagValues()
        command_line.define_flags(paper, flag_values)
        flag_values(job.argv[2:])
        assert command_line.given_options(flag_values) == options
        expanded = program.expand(paper, flag_values)
        assert expanded == job.runs
        made += expanded
    assert sorted(map(str, made)) == sorted(map(str, runs))
    compiles_once_over = paper.compiles_once_over
    assert len(jobs) == len({str(dataclasses.replace(run, **{compiles_once_over: 0})) for run in runs})


@pytest.mark.parametrize(
    ("num_seeds", "at_once", "seeds"),
    [
        (8, 1, [range(8)]),
        (8, 3, [(0, 1), (2, 3), (4, 5, 6, 7)]),
        (3, 2, [(0, 1), (2,)]),
        (2, 4, [(0,), (1,)]),
    ],
)
def test_seeds_are_spread_over_places_that_would_be_idle(num_seeds, at_once, seeds):
    base = load_study("zhang_randomization").settings(network="mlp_1x512", dataset="synthetic")
    runs = [dataclasses.replace(base, seed=seed).resolve() for seed in range(num_seeds)]
    jobs = make_jobs(load_study("zhang_randomization"), runs, command_line.RunOptions("out"), at_once)
    assert sorted(tuple(run.seed for run in job.runs) for job in jobs) == [tuple(some) for some in seeds]
    assert all(f"--seed={','.join(str(r.seed) for r in job.runs)}" in job.argv for job in jobs)


def test_it_goes_on_after_a_failed_run(tmp_path):
    runs = preset("4", "smoke")
    jobs = [make_jobs(STUDY, [run], command_line.RunOptions(str(tmp_path)))[0] for run in runs]
    for i, job in enumerate(jobs):
        job.log = tmp_path / f"{i}.log"
    jobs[0].argv = [sys.executable, "-c", "raise SystemExit('out of luck')"]
    marker = tmp_path / "second"
    jobs[1].argv = [sys.executable, "-c", f"open({str(marker)!r}, 'w')"]
    failed = local.run_jobs(STUDY, jobs, tmp_path, PLACES[:1])
    assert failed == jobs[:1]
    assert marker.exists()
    assert jobs[0].log.read_text().strip() == "out of luck"


@pytest.fixture
def started(tmp_path, monkeypatch):
    """Function of a figure that returns the first runs of its jobs as they start, and who was running."""

    def of(name, figure):
        paper = load_study(name)
        runs = list(dict.fromkeys(settings.resolve() for settings in paper.runs_of_figure(figure, "laptop")))
        jobs = make_jobs(paper, runs, command_line.RunOptions(str(tmp_path)))
        found = []

        def start(job, _):
            running = [other for other in jobs if other.process and other.process.poll() is None]
            found.append((job.runs[0], [other.runs[0] for other in running]))
            job.process = subprocess.Popen(["sleep", "0.05"])

        monkeypatch.setattr(local, "_start", start)
        monkeypatch.setattr(local, "_POLL_SECONDS", 0.02)
        assert local.run_jobs(paper, jobs, tmp_path, PLACES[:3]) == []
        return found

    return of


def test_the_longest_comes_first(started):
    widths = [run.width for run, _ in started("smooth_interpolation", "2")]
    assert widths == sorted(widths, reverse=True)


def test_students_wait_for_all_who_may_be_their_teachers(started):
    order = started("somepalli_boundaries", "distillation")
    students = [bool(run.teacher) for run, _ in order]
    assert students == sorted(students) and 0 < sum(students) < len(students)
    for run, running in order:
        assert not run.teacher or all(other.teacher for other in running)


def run_sweep(*arguments):
    command = [sys.executable, "-m", "launch.sweep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_plan_writes_nothing(tmp_path):
    done = run_sweep("--replication=snapp_shamir", "--figure=2", "--dry_run", f"--out_dir={tmp_path}")
    assert done.returncode == 0
    assert done.stdout.count("python -m replications.snapp_shamir") == 10
    assert "50 runs to do in 10 processes" in done.stdout
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--replication=other",),
        ("--replication=snapp_shamir", "--workers=0"),
        ("--replication=snapp_shamir",),
    ],
)
def test_bad_input_is_one_line(arguments):
    done = run_sweep(*arguments)
    assert done.returncode == 2
    assert done.stderr.startswith("sweep: ")
    assert done.stderr.count("\n") == 1


def test_help_without_a_name_is_no_mistake():
    done = run_sweep("--help")
    assert done.returncode == 0
    assert "must be one of smooth_interpolation, snapp_shamir" in done.stdout


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """The two jobs of figure 4, whose processes run a script in the place of a program."""
    monkeypatch.setattr(local, "_POLL_SECONDS", 0.02)
    runs = preset("4", "smoke")
    options = command_line.RunOptions(str(tmp_path))
    made = [make_jobs(STUDY, [run], options)[0] for run in runs]
    for i, job in enumerate(made):
        job.log = tmp_path / f"{i}.log"
        job.argv = [sys.executable, "-c", f"open({str(tmp_path / f'ran{i}')!r}, 'a').write('x')"]
    return made


def ran(tmp_path, i):
    path = tmp_path / f"ran{i}"
    return len(path.read_text()) if path.exists() else 0


def finish(run, out_dir):
    with run_folder(STUDY, run, out_dir) as folder:
        folder.start({})
        folder.finish("done", [{"metric": "m", "value": 1}], {})


def test_a_run_that_another_process_holds_is_waited_for(jobs, tmp_path, monkeypatch):
    """It is started neither while it is held nor after it was finished; the others go on."""
    held, seen = jobs[0].runs[0], []
    folder = run_folder(STUDY, held, tmp_path)
    with contextlib.ExitStack() as lock:
        lock.enter_context(folder)

        def sleep(seconds):
            time.sleep(seconds)
            seen.append((ran(tmp_path, 0), ran(tmp_path, 1)))
            if seen[-1][1] and len(seen) > 5 and not folder.finished:
                folder.start({})
                folder.finish("done", [{"metric": "m", "value": 1}], {})
                lock.close()

        monkeypatch.setattr(local.interruption, "sleep", sleep)
        assert local.run_jobs(STUDY, jobs, tmp_path, PLACES[:1]) == []
    assert seen[-1] == (0, 1)


def test_a_run_that_its_holder_left_unfinished_is_taken_over(jobs, tmp_path, monkeypatch):
    folder = run_folder(STUDY, jobs[0].runs[0], tmp_path)
    with contextlib.ExitStack() as lock:
        lock.enter_context(folder)

        def sleep(seconds):
            time.sleep(seconds)
            if ran(tmp_path, 1):
                lock.close()

        monkeypatch.setattr(local.interruption, "sleep", sleep)
        assert local.run_jobs(STUDY, jobs, tmp_path, PLACES[:1]) == []
    assert (ran(tmp_path, 0), ran(tmp_path, 1)) == (1, 1)


def test_a_process_that_met_another_comes_again(jobs, tmp_path):
    marker = tmp_path / "marker"
    jobs[0].argv = [
        sys.executable,
        "-c",
        f"""
import pathlib, sys
marker = pathlib.Path({str(marker)!r})
if not marker.exists():
    marker.touch()
    print("snapp_shamir: another process is working on FOLDER; wait for it or stop it", file=sys.stderr)
    sys.exit(2)
open({str(tmp_path / "ran0")!r}, "a").write("x")
""",
    ]
    assert local.run_jobs(STUDY, jobs, tmp_path, PLACES[:2]) == []
    assert (ran(tmp_path, 0), ran(tmp_path, 1)) == (1, 1)


def test_a_process_that_was_refused_does_not_come_again(jobs, tmp_path):
    code = f"import sys; open({str(tmp_path / 'ran0')!r}, 'a').write('x'); sys.exit(2)"
    jobs[0].argv = [sys.executable, "-c", code]
    assert local.run_jobs(STUDY, jobs, tmp_path, PLACES[:1]) == jobs[:1]
    assert ran(tmp_path, 0) == 1


def test_a_run_that_another_process_has_finished_is_not_started(jobs, tmp_path):
    finish(jobs[0].runs[0], tmp_path)
    jobs[1].argv = [sys.executable, "-c", "pass"]
    assert local.run_jobs(STUDY, jobs, tmp_path, PLACES[:1]) == []
    assert ran(tmp_path, 0) == 0


def test_logs_of_two_sweeps_have_different_names(monkeypatch):
    names = []
    for number in (11, 12):
        monkeypatch.setattr("os.getpid", lambda number=number: number)
        jobs = make_jobs(STUDY, preset("2", "smoke"), command_line.RunOptions("out"))
        names += [job.log for job in jobs]
    assert len(set(names)) == len(names) == 20


@pytest.mark.slow
def test_two_sweeps_share_the_work(tmp_path):
    flags = (
        "--replication=snapp_shamir",
        "--figure=2",
        "--scale=smoke",
        "--pairs=1",
        f"--out_dir={tmp_path}",
    )
    command = [sys.executable, "-m", "launch.sweep", *flags]
    sweeps = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ended = [(*process.communicate(), process.returncode) for process in sweeps]
    for output, error, status in ended:
        assert (status, "failed" in error) == (0, False), error
        assert "20 of 20 runs are done" in output
    logs = list(tmp_path.glob("*/logs/*.log"))
    assert len({path.name.rpartition("-")[0] for path in logs}) == 2  # each sweep has a name of its own
    records = [json.loads(path.read_text()) for path in tmp_path.glob("*/*/run.json")]
    assert len(records) == 20 and {record["status"] for record in records} == {"done"}


@pytest.mark.slow
def test_the_next_sweep_goes_on_after_a_killed_one(tmp_path):
    flags = ("--replication=snapp_shamir", "--figure=4", "--scale=smoke", "--examples_log2=20")
    command = [sys.executable, "-m", "launch.sweep", *flags, f"--out_dir={tmp_path}"]
    first = subprocess.Popen(command, stderr=subprocess.PIPE)
    while not list(tmp_path.glob("*/*/run.json")):
        time.sleep(0.05)
    first.kill()
    first.communicate()
    done = run_sweep(*flags, f"--out_dir={tmp_path}")
    assert (done.returncode, "failed" in done.stderr) == (0, False), done.stderr
    assert "2 of 2 runs are done" in done.stdout


@pytest.mark.slow
def test_a_sweep_runs_skips_and_says_what_failed(tmp_path):
    flags = ("--replication=snapp_shamir", "--figure=4", "--scale=smoke", f"--out_dir={tmp_path}")
    # One process makes both runs, this one last.
    with run_folder(STUDY, preset("4", "smoke")[1], tmp_path) as elsewhere:
        elsewhere.start({"devices": ["TPU"], "tile": 2, "workers": 1})
    done = run_sweep(*flags)
    assert done.returncode == 1
    assert "1 of 2 runs are done" in done.stdout
    assert "cannot go on with" in done.stderr
    shutil.rmtree(elsewhere.path)
    assert "2 of 2 runs are done" in run_sweep(*flags, "--workers=2").stdout
    plan = run_sweep(*flags, "--dry_run").stdout
    assert plan.startswith("0 runs to do")


def test_one_process_a_core_for_images_alone(monkeypatch):
    monkeypatch.setattr(local.os, "sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    monkeypatch.setattr(local, "usable_memory", lambda: 2**34)
    images = load_study("zhang_randomization")
    assert [len(local.make_places(study)) for study in (STUDY, images)] == [1, 3]
    assert [place.cores for place in local.make_places(images, workers=2)] == [{0}, {1}]
    monkeypatch.setattr(local, "usable_memory", lambda: 2**32)
    assert local.default_workers(images) == 2


def test_the_name_may_be_a_word_of_its_own():
    assert sweep._name_of_study(["sweep", "--replication", "snapp_shamir"]) == "snapp_shamir"
