import json
import os
import subprocess
import sys

import pytest

from tests.chaos.command_lines import ROOT, Line, Outcome, lines, lines_with_a_process, run_in_process


def test_every_bad_line_is_refused_with_one_line_and_without_tensorflow():
    """In one process of its own, since this one has loaded TensorFlow."""
    command = [sys.executable, "-m", "tests.chaos.command_lines"]
    environment = {name: text for name, text in os.environ.items() if name != "TF_CONFIG"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    found = json.loads(done.stdout)
    assert found["problems"] == {}
    assert found["tensorflow"] is False
    assert found["lines"] >= 400


def test_lines_differ_and_every_program_has_its_own():
    texts = [tuple(line.argv) for line in lines()]
    assert len(set(texts)) == len(texts)
    counts = {line.program: 0 for line in lines()}
    for line in lines():
        counts[line.program] += 1
    assert len(counts) == 13 and min(counts.values()) >= 12


LINE = Line("figures.report", ("--out=",), "--out=")
GOOD = {"status": 2, "output": "", "error": "report: --out=: names no file\n", "made": ()}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, None),
        ({"status": 1}, "status 1"),
        ({"status": 0}, "status 0"),
        ({"error": ""}, "0 lines"),
        ({"error": "--out=: names no file\nreally\n"}, "2 lines"),
        ({"error": "report: bad input\n"}, "is not in"),
        ({"output": "page"}, "standard output"),
        ({"made": ("results",)}, "made results"),
        ({"loaded": True}, "loaded TensorFlow"),
    ],
)
def test_what_counts_as_a_refusal(changes, words):
    found = Outcome(**(GOOD | changes)).problems(LINE)
    assert found == [] if words is None else any(words in text for text in found)


@pytest.mark.slow
@pytest.mark.parametrize("line", lines_with_a_process(), ids=lambda line: f"{line.program} {line.word}")
def test_lines_that_need_a_process(line):
    assert run_in_process(line).problems(line) == []
