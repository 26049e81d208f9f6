import json
import os
import pathlib
import pwd
import subprocess
import sys

import pytest
from absl import flags

from common.study import command_line, environment
from common.study.runs import study_names

ROOT = pathlib.Path(__file__).parents[3]


def test_a_home_is_named_where_the_system_knows_none(monkeypatch):
    def unknown(uid):
        raise KeyError(uid)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    monkeypatch.delenv("HOME")
    with pytest.raises(RuntimeError):
        pathlib.Path.home()
    environment.complete_environment()
    assert pathlib.Path("~/tensorflow_datasets").expanduser() == pathlib.Path("/tensorflow_datasets")


def test_a_home_that_is_there_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    environment.complete_environment()
    assert pathlib.Path.home() == tmp_path


def program(arguments, closed=None, **options):
    """Runs a program with a closed stream."""
    return subprocess.run(
        [sys.executable, *arguments],
        check=False,
        cwd=ROOT,
        preexec_fn=None if closed is None else lambda: os.close(closed),
        **options,
    )


def test_no_file_takes_the_place_of_a_closed_stream(tmp_path):
    """Else what is printed would be written into it."""
    path = tmp_path / "file"
    code = (
        "import sys, os; from common.study.environment import complete_environment; complete_environment();"
        f"file = open({str(path)!r}, 'w'); print('printed', file=sys.stderr, flush=True);"
        "os.write(2, b'by native code'); file.write('content'); file.close()"
    )
    done = program(["-c", code], closed=2, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"")
    assert path.read_text() == "content"


def test_a_folder_that_the_shell_left_with_a_tilde_is_in_the_home(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    flag_values = flags.FlagValues()
    flags.DEFINE_string("out_dir", "results", "Folder.", flag_values=flag_values)
    command_line.parse_flags(flag_values, ["program", "--out_dir=~/runs"], "usage")
    assert flag_values.out_dir == str(tmp_path / "runs") and flag_values["out_dir"].present


PLAN = ["-m", "replications.snapp_shamir", "--figure=4", "--scale=smoke", "--dry_run"]


@pytest.mark.parametrize("closed", [0, 1, 2])
def test_a_program_runs_without_a_standard_stream(closed, tmp_path):
    streams = {number: subprocess.PIPE for number in (1, 2) if number != closed}
    done = program(
        [*PLAN, f"--out_dir={tmp_path}"],
        closed,
        stdout=streams.get(1),
        stderr=streams.get(2),
    )
    assert done.returncode == 0
    assert not done.stderr
    assert closed == 1 or done.stdout.count(b"run: ") == 2


@pytest.mark.parametrize(
    "command", [PLAN, ["-m", "figures.report", "--help"], ["-m", "launch.sweep", "--help"]]
)
def test_a_reader_that_goes_away_ends_a_program_without_a_word(command):
    reader, writer = os.pipe()
    os.close(reader)
    done = program(command, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
def test_a_run_whose_table_nobody_reads_is_finished(tmp_path):
    reader, writer = os.pipe()
    os.close(reader)
    flags = ("--examples_log2=10", "--pairs=1", "--evaluation_log2=8", f"--out_dir={tmp_path}")
    done = program(["-m", "replications.snapp_shamir", *flags], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
    assert '"status": "done"' in next(tmp_path.glob("*/*/run.json")).read_text()


@pytest.mark.slow
def test_a_run_without_standard_error_is_that_with_it(tmp_path):
    flags = ("--examples_log2=10", "--pairs=1", "--evaluation_log2=8", "--model=double")
    for name, closed in (("with", None), ("without", 2)):
        command = ["-m", "replications.snapp_shamir", *flags, f"--out_dir={tmp_path / name}"]
        assert program(command, closed, stdout=subprocess.PIPE).returncode == 0
    rows = [next((tmp_path / name).glob("*/*/rows.jsonl")).read_bytes() for name in ("with", "without")]
    assert rows[0] == rows[1]


MODULES = [
    *(f"{package}.{paper}" for package in ("replications", "figures") for paper in study_names()),
    *("figures.report", "launch.sweep", "launch.benchmark", "launch.archive"),
]
ASK_ALL = f"""
import contextlib, io, json, runpy, sys
found = {{}}
for module in {MODULES}:
    sys.argv = ["", "--help"]
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    found[module] = output.getvalue()
print(json.dumps(found))
"""


def test_help_shows_every_flag_and_no_folder_of_this_machine():
    done = program(["-c", ASK_ALL], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    helps = json.loads(done.stdout)
    for module, text in helps.items():
        assert text.startswith(f"usage: python -m {module} ")
        assert str(ROOT) not in text
        # Every line that is no usage is a flag or goes on with one.
        assert all(line.startswith("  ") or not line for line in text.splitlines()[3:])
    assert "--workers" in helps["launch.sweep"]
    assert "--models=A.keras,B.keras" in helps["replications.somepalli_boundaries"]


def test_signals_are_obeyed_before_anything_that_takes_long_is_imported():
    code = "import sys, common.study.interruption; print(*sys.modules)"
    loaded = program(["-c", code], capture_output=True, text=True).stdout.split()
    assert not {"absl", "numpy", "pandas", "matplotlib", "tensorflow"} & set(loaded)
