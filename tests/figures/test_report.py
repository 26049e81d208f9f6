import html.parser
import re
import subprocess
import sys

import numpy as np
import pytest

from common.study.claims import Claim, Judgement
from common.study.runs import run_folder
from common.study.verdicts import Outcome
from figures import report
from replications.snapp_shamir.measure import summary_rows
from replications.snapp_shamir.presets import STUDY, runs_of_figure

METRICS = ("relative_prediction_difference", "excess_label_loss")


def write(out_dir, settings, pd):
    """A finished run of a few pairs with PD around `pd`."""
    settings = settings.resolve()
    place = {"statistic": "pair", "examples": 2**settings.examples_log2}
    rows = [
        {"metric": metric, "value": pd * (1 + pair / 10), "pair": pair} | place
        for metric in METRICS
        for pair in range(settings.pairs)
    ]
    generator = np.random.default_rng(0)
    shapes = {"weights_0": (32, 1), "weights_1": (1,), "weights_2": (1, 1), "weights_3": (1,)}
    arrays = {n: pd * generator.normal(size=(settings.pairs, 2, *shape)) for n, shape in shapes.items()}
    with run_folder(STUDY, settings, out_dir) as folder:
        folder.start({"devices": ["CPU"]})
        folder.record["times"]["train_seconds"] = 1800.0
        folder.finish("done", rows + summary_rows(rows), arrays)


def write_figure_4(out_dir, scale):
    """Weight differences grow with the window: claim 12."""
    for settings in runs_of_figure("4", scale):
        write(out_dir, settings, 1e-2 if settings.shuffle_log2 else 1e-6)


@pytest.fixture
def smoke_records(tmp_path, monkeypatch):
    record = {"argv": ["python", "-m", "x", "--scale=<b>"], "commit": "c" * 40, "dirty": True}
    record |= {"versions": {"keras": "3.15.1"}, "machine": "toy, 2 cores"}
    monkeypatch.setattr("common.study.run_folders.provenance", lambda: dict(record))
    write_figure_4(tmp_path, "smoke")
    return tmp_path


def run(*arguments):
    with pytest.raises(SystemExit) as stopped:
        report.main(["report", *arguments])
    return stopped.value.code


class Page(html.parser.HTMLParser):
    """Collects resources, chips, and checks that elements close in order."""

    VOID = ("meta", "img", "br")

    def __init__(self, text):
        super().__init__()
        self.resources, self.chips, self.open = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag in ("img", "script", "link", "iframe", "source", "video"):
            self.resources.append((tag, attributes.get("src") or attributes.get("href")))
        if tag not in self.VOID:
            self.open.append((tag, attributes.get("class")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and self.open[-1][1] == "chip":
            self.chips.append(data)


def test_the_page_needs_no_other_file(smoke_records, tmp_path, capsys):
    out = tmp_path / "page.html"
    report.main(["report", f"--records={smoke_records}", f"--out={out}"])
    text = out.read_text()
    page = Page(text)
    assert page.open == []
    assert page.resources
    assert all(tag == "img" and src.startswith("data:image/png;base64,") for tag, src in page.resources)
    assert not re.search(r"url\(|@import|https?://", text)
    assert page.chips.count("reproduced") == 1
    assert page.chips.count("not run") == 19
    assert "x --scale=&lt;b&gt;" in text and "--scale=<b>" not in text
    assert "cccccccccccc with local changes" in text and "toy, 2 cores" in text
    assert "<td class=number>2</td><td class=number>1</td>" in text  # two runs, one hour


def test_the_ledger_counts_verdicts_per_scale(smoke_records, tmp_path, capsys):
    write_figure_4(smoke_records, "laptop")
    report.main(["report", f"--records={smoke_records}", f"--out={tmp_path / 'page.html'}"])
    printed = capsys.readouterr().out
    assert " 12  reproduced at laptop scale, linear data (section 3, figure 4)" in printed
    assert "     + the ratio, log2 z = 16 over log2 z = 0, is 10,000 [10,000, 10,000]" in printed
    assert "laptop scale: 1 reproduced\nnot run at any scale: 19\n" in printed
    report.main(
        ["report", f"--records={smoke_records}", f"--out={tmp_path / 'page.html'}", "--scale=laptop,smoke"]
    )
    printed = capsys.readouterr().out
    assert " 12  reproduced at laptop scale" in printed and " 12  reproduced at smoke scale" in printed
    assert "laptop scale: 1 reproduced, 19 not run\nsmoke scale: 1 reproduced, 19 not run\n" in printed


def test_counts():
    claim = Claim(1, "s", "f", (), None)
    verdicts = [("paper", "reproduced"), ("smoke", "open"), ("paper", "reproduced"), (None, "not run")]
    judgements = [Judgement(claim, Outcome(verdict, ""), scale) for scale, verdict in verdicts]
    assert report.counts(judgements) == {
        "paper": {"reproduced": 2},
        "smoke": {"open": 1},
        None: {"not run": 1},
    }


def test_an_incomplete_figure_is_listed_but_not_drawn(smoke_records):
    paper = report.collect(["snapp_shamir"], smoke_records)[0]
    found = {f.name: f for f in paper.figures}
    assert (len(found["4"].runs), found["4"].expected) == (2, 2)
    assert (len(found["2"].runs), found["2"].expected, found["2"].picture) == (2, 20, None)
    assert "3" not in found


def test_the_same_records_give_the_same_page_in_one_process_and_in_several(smoke_records, monkeypatch):
    here = report.page(report.collect(["snapp_shamir"], smoke_records))
    monkeypatch.setattr(report, "_WORTH_PROCESSES", 0)
    monkeypatch.setattr(report, "usable_cores", lambda: [0, 1])
    assert report.page(report.collect(["snapp_shamir"], smoke_records)) == here


@pytest.mark.parametrize(
    "arguments,message",
    [
        (["--scale=large"], "--scale=large: must be one of smoke, laptop, paper"),
        (["--records={}/nowhere"], "no such folder"),
        (["--records={}/empty"], "no finished run of a figure; `python -m replications."),
        (["--records={}", "--scale=paper"], "no finished run of a figure at paper scale"),
        (["--out={}"], "must be a file in a folder that exists"),
        (["--replication=other"], "snapp_shamir"),
        (["--color=red"], "Unknown command line flag 'color'"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_bad_input_is_one_line(arguments, message, smoke_records, capsys):
    (smoke_records / "empty").mkdir()
    arguments = [argument.format(smoke_records) for argument in arguments]
    if not any("--out" in argument for argument in arguments):
        arguments.append(f"--out={smoke_records / 'page.html'}")
    assert run(f"--records={smoke_records}", *arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (smoke_records / "page.html").exists()


def test_no_tensorflow_is_loaded():
    code = (
        "import sys, figures.report as r, replications.snapp_shamir.claims, figures.snapp_shamir;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
