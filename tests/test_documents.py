"""Every link, program and flag that a page names exists, and every command is one that its program takes."""

import contextlib
import importlib
import io
import os
import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from common.study.program import main
from common.study.runs import load_study, study_names
from figures import drawing
from figures.pages import figures_of

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("README.md", "WORKSPACE.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
PAPERS = study_names()
LAUNCH = ("archive", "benchmark", "compare", "doctor", "freeze", "reference", "sweep", "workers")
PROGRAMS = [
    *(f"{package}.{paper}" for package in ("replications", "figures") for paper in PAPERS),
    *(f"launch.{name}" for name in LAUNCH),
    "figures.report",
]
# Of every program, of Slurm, and of our tests' own small programs.
FOREIGN = {"version", "write_docs", "report"}
FOREIGN |= {"gpus-per-task", "job-name", "kill-on-bad-exit", "nodes", "output", "requeue", "time"}
FOREIGN |= {"cpus-per-task", "gpus-per-node", "ntasks", "ntasks-per-node"}


def parsers(program):
    """The `main` of a program, as a function of its arguments."""
    package, _, name = program.partition(".")
    if package == "replications":
        return lambda argv: main(load_study(name), argv)
    if package == "figures" and name != "report":
        return lambda argv: drawing.main(figures_of(name), argv)
    return importlib.import_module(program).main


def run(program, *arguments):
    """Runs a program in this process: its exit status and both outputs."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        try:
            parsers(program)([program, *arguments])
            status = 0
        except SystemExit as stopped:
            status = stopped.code or 0
    return status, output.getvalue()


@pytest.fixture(scope="module")
def known_flags():
    """Flags of each program, from its help; a sweep's with those of the paper that it names."""
    found = {
        program: set(re.findall(r"--(?:\[no\])?(\w+)", run(program, "--help")[1])) for program in PROGRAMS
    }
    for paper in PAPERS:
        found["launch.sweep"] |= found[f"replications.{paper}"]
    return found


def words(page):
    """A page without what the programs write into it."""
    text = re.sub(r"<!-- ledger -->.*?<!-- end of ledger -->", "", page.read_text(), flags=re.DOTALL)
    return text.replace("\\\n", " ")


def commands(page):
    """(program, arguments) of each command of a page that begins with python -m."""
    prose, blocks = (words(page).split("```")[part::2] for part in (0, 1))
    # In a code block to the end of the line, in a sentence to the end of the code.
    lines = [line for block in blocks for line in block.splitlines()]
    lines += [code.replace("\n", " ") for text in prose for code in re.findall("`([^`]*)`", text)]
    found = []
    for line in re.findall("python -m (.*)", "\n".join(lines)):
        text = re.split(r"\s[#>|&]|;", line)[0].replace("...", "").rstrip()
        # A page of ours may quote a command whole.
        program, *arguments = shlex.split(text.removesuffix('"') if text.count('"') % 2 else text)
        is_placeholder = re.search("NAME|<", program)
        if program.startswith(("replications.", "figures.", "launch.")) and not is_placeholder:
            found.append((program, [a for a in arguments if a != "--"]))
    return found


def heads(text):
    """GitHub's anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        path, _, anchor = link.partition("#")
        if not re.match(r"[a-z]+:", link):
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in heads(target.read_text()), link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_flag_that_a_page_names_exists(page, known_flags):
    every = set().union(*known_flags.values()) | FOREIGN
    given = re.findall(r"(?<![\w-])--([a-z][\w-]*)", words(page))
    assert {flag for flag in given if not {flag, flag.removeprefix("no")} & every} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_has_flags_of_its_program(page, known_flags):
    for program, arguments in commands(page):
        assert program in PROGRAMS, program
        allowed = set().union(*known_flags.values()) if program == "launch.workers" else known_flags[program]
        for flag in re.findall(r"--(\w+)", " ".join(arguments)):
            assert {flag, flag.removeprefix("no")} & allowed, (program, flag)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_trains_can_be_planned(page, tmp_path, monkeypatch):
    """With --dry_run: presets, values and what they need beside them, without training."""
    monkeypatch.setattr("common.study.costs._operations", lambda study, settings: 1e6)
    monkeypatch.chdir(tmp_path)
    for program, arguments in commands(page):
        elsewhere = re.search("NAME|multi_worker|slurm|--gpus", " ".join(arguments))
        if program.startswith(("replications.", "launch.sweep")) and not elsewhere:
            flags = [argument.replace("DIR", str(tmp_path)) for argument in arguments]
            status, printed = run(program, *dict.fromkeys([*flags, "--dry_run"]))
            assert status == 0, (program, arguments, printed)


def test_the_commands_are_found():
    found = commands(ROOT / "README.md")
    assert ("figures.snapp_shamir", ["--figure=2", "--scale=laptop"]) in found
    assert len(found) >= 12
    assert all(len(commands(ROOT / "docs" / f"{paper}.md")) >= 3 for paper in PAPERS)


def test_every_figure_that_a_page_shows_can_be_drawn_from_the_records():
    """A picture of runs that are not there could not be made again."""
    for page in PAGES:
        for paper, name in re.findall(r"images/(\w+?)_figure_(\w+)\.png", page.read_text()):
            if paper in PAPERS:
                drawing.choose(figures_of(paper), name, str(ROOT / "results" / "reference"))


def smoke(arguments):
    """A command of the README as a test runs it: the same, but seconds long."""
    changed = [re.sub(r"--scale=\w+", "--scale=smoke", argument) for argument in arguments]
    if any(argument.startswith("--figure") for argument in changed) and "--scale=smoke" not in changed:
        changed.append("--scale=smoke")
    return changed


@pytest.mark.slow
def test_the_readme_from_a_figure_to_its_report(tmp_path):
    """The commands of a first hour, one after the other, in an empty folder."""
    wanted = [
        ("replications.snapp_shamir", ["--figure=2", "--scale=laptop"]),
        ("figures.snapp_shamir", ["--figure=2", "--scale=laptop"]),
        ("figures.report", ["--records=results/runs"]),
    ]
    assert all(command in commands(ROOT / "README.md") for command in wanted)
    for program, arguments in wanted:
        command = [sys.executable, "-m", program, *smoke(arguments)]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, (command, done.stderr[-2000:])
    assert (tmp_path / "figures" / "out" / "snapp_shamir_figure_2.png").stat().st_size > 10_000
    assert any(tmp_path.rglob("*.html"))
