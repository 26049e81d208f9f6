import html.parser
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from common.study.claims import Claim, Judgement, headline, q_values
from common.study.decisions import ordering, together
from common.study.effects import Effect
from common.study.runs import run_folder
from common.study.verdicts import Outcome
from figures import report
from figures.ledger import finding
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


def grows(evidence):
    first, last = evidence.values("shuffle_log2")
    means = [evidence.run(shuffle_log2=z).by_metric[METRICS[0]].value.mean() for z in (first, last)]
    text = f"PD at log2 z = {last} is {means[1] / means[0]:,.0f} times that at {first}"
    return Outcome("reproduced", f"{text}.", (Outcome("reproduced", text),), p=0.01)


def everything(evidence):
    return Outcome("reproduced", f"{len(evidence.runs())} runs.")


CLAIMS = (
    Claim(
        12,
        "PD grows with the window.",
        "section 3, figure 4",
        ("4",),
        grows,
        "grows <a lot>",
        "Whether it does.",
    ),
    Claim(13, "All runs of figure 2 are there.", "section 3, figure 2", ("2",), everything),
)


@pytest.fixture
def smoke_records(tmp_path, monkeypatch):
    monkeypatch.setattr("replications.snapp_shamir.claims.CLAIMS", CLAIMS)
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
        if self.open and (self.open[-1][1] or "").startswith("chip"):
            self.chips.append(data)


def test_the_page_needs_no_other_file(smoke_records, tmp_path, capsys):
    out = tmp_path / "page.html"
    report.main(["report", f"--records={smoke_records}", f"--out={out}"])
    text = out.read_text()
    page = Page(text)
    assert page.open == []
    assert page.resources
    pictures = [src for tag, src in page.resources if tag == "img"]
    assert pictures and all(src.startswith("data:image/png;base64,") for src in pictures)
    assert {src for tag, src in page.resources if tag != "img"} == {None}  # scripts in the page
    assert not re.search(r"url\(|@import|https?://", text)
    # Each claim stands in the table and beside its figure.
    assert page.chips.count("reproduced, smoke") == 2
    assert page.chips.count("not run") == 2 * (len(CLAIMS) - 1)
    links = re.findall(r"href=#([\w.-]+)", text)
    assert links and set(links) <= set(re.findall(r"id=([\w.-]+)", text))
    assert all(len(words) > 40 for words in re.findall(r'<img alt="([^"]*)"', text))
    assert "&ldquo;grows &lt;a lot&gt;&rdquo;" in text
    assert "x --scale=&lt;b&gt;" in text and "--scale=<b>" not in text
    assert "cccccccccccc with local changes" in text and "toy, 2 cores" in text
    assert "<td class=number>2</td><td class=number>1</td>" in text  # two runs, one hour


def test_the_ledger_says_the_scale_and_the_count(smoke_records, tmp_path, capsys):
    write_figure_4(smoke_records, "laptop")
    out = f"--out={tmp_path / 'page.html'}"
    report.main(["report", f"--records={smoke_records}", out])
    printed = capsys.readouterr().out
    assert " 12  reproduced at laptop scale, linear data (section 3, figure 4)" in printed
    assert "     + PD at log2 z = 16 is 10,000 times that at 0" in printed
    assert "decided 1 of 2, out of reach 0, open 1 (" in printed
    report.main(["report", f"--records={smoke_records}", out, "--scale=laptop,smoke"])
    printed = capsys.readouterr().out
    assert " 12  reproduced at laptop scale" in printed and " 12  reproduced at smoke scale" in printed


def test_the_headline_counts_what_is_decided_and_prices_what_is_open():
    claim = Claim(1, "s", "f", (), None)
    verdicts = ["reproduced", "in part", "no difference", "contradicted", "out of reach", "open", "not run"]
    # Both claims that are left need the same run.
    judgements = [Judgement(claim, Outcome(v, ""), "laptop", needed={"a run": 5400.0}) for v in verdicts]
    assert headline(judgements) == "decided 4 of 7, out of reach 1, open 2 (1.5 hours)"
    unknown = [Judgement(claim, Outcome("open", ""), "laptop")]
    assert headline(unknown) == "decided 0 of 1, out of reach 0, open 1 (0.0 hours, some without a price)"


def test_a_finding_says_of_every_judged_part_what_was_measured():
    seeds = np.array([[1.0], [1.1], [0.9]])
    holds = ordering("rate of a, in percent", Effect("at the end", seeds, np.ones(1)))
    opposite = ordering("rate of b, in percent", Effect("at the end", -seeds, np.ones(1)))
    open_part = Outcome("open", "No width fits all labels.")
    reported = Outcome("not judged", "the rest")
    interval = "[0.831, 1.17] over 3 seeds"  # 1 -+ t(2, 95 %) 0.1 / sqrt(3) = 1 -+ 2.920 * 0.05774
    a = f"rate of a, in percent, at the end, is 1 {interval}, expected above 0"
    b = "rate of b, in percent, at the end, is -1"

    def lines(*parts):
        return finding(Judgement(Claim(1, "s", "f", (), None), together(*parts), "laptop")).lines

    assert lines(holds) == [f"Our runs show it: {a}."]
    assert lines(holds, holds, reported) == ["Our runs show it.", f"Holds: {a}.", f"Holds: {a}."]
    assert lines(opposite)[0].startswith(f"Our runs show the opposite: {b} [-1.17, -0.831]")
    in_part = lines(holds, opposite, open_part, reported, holds)
    assert in_part[:2] == ["2 of 4 parts hold.", f"Holds: {a}."]
    assert in_part[2].startswith(f"The opposite: {b} [")
    assert in_part[3:] == ["Open: No width fits all labels.", f"Holds: {a}."]
    assert lines(open_part) == ["Not decided yet: No width fits all labels."]
    alone = Judgement(Claim(1, "s", "f", (), None), Outcome("not run", "runs are missing"), "laptop")
    assert finding(alone).lines == ["Not run."]


def test_q_values_by_hand():
    claims = [Claim(number, "s", "f", (), None) for number in range(2)]
    judged = [(claims[0], "laptop", 0.01), (claims[1], "laptop", 0.04), (claims[1], "paper", 0.03)]
    judged.append((claims[0], "paper", float("nan")))
    found = q_values([Judgement(c, Outcome("open", "", p=p), scale) for c, scale, p in judged])
    # Twice each, sorted, .02, .06, .08: three times each over its rank, made monotone from the right.
    expected = {(claims[0], "laptop"): 0.06, (claims[1], "laptop"): 0.08, (claims[1], "paper"): 0.08}
    assert found == pytest.approx(expected)


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
    if not any("--records" in argument for argument in arguments):
        arguments.append(f"--records={smoke_records}")
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
    assert not (smoke_records / "page.html").exists()


def test_a_scale_that_is_named_twice_counts_once(smoke_records, tmp_path, capsys):
    printed = []
    for scale in ("smoke", "smoke,smoke"):
        out = f"--out={tmp_path / 'page.html'}"
        report.main(["report", f"--records={smoke_records}", f"--scale={scale}", out])
        printed.append(re.findall("decided [0-9]+ of [0-9]+", capsys.readouterr().out))
    assert printed[0] and printed[0] == printed[1]


def test_no_tensorflow_is_loaded():
    code = (
        "import sys, figures.report as r, replications.snapp_shamir.claims, figures.snapp_shamir;"
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(params=[1280, 390])
def browser(request):
    """Chromium without a window at two widths in CSS pixels; skipped where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("wants Chromium and ChromeDriver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    started = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    size = {"width": request.param, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    started.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    yield started
    started.quit()


@pytest.mark.slow
def test_the_page_in_a_browser(browser, smoke_records, tmp_path):
    out = tmp_path / "page.html"
    report.main(["report", f"--records={smoke_records}", f"--out={out}"])
    browser.get(out.as_uri())
    width, room = browser.execute_script("return [document.documentElement.scrollWidth, innerWidth]")
    assert width <= room  # nothing to scroll sideways
    verdict = browser.find_element("css selector", "select[data-filter=verdict]")
    verdict.find_element("css selector", "option[value=reproduced]").click()
    rows = browser.find_elements("css selector", "#ledger tbody tr")
    shown = [row for row in rows if row.is_displayed()]
    assert len(rows) == len(CLAIMS) and len(shown) == 1
    assert browser.find_element("id", "shown").text == f"1 of {len(CLAIMS)} claims"
    shown[0].find_element("tag name", "a").click()
    claim = browser.find_element("css selector", ".claim:target")
    place = browser.execute_script("return arguments[0].getBoundingClientRect().top", claim)
    assert 0 <= place < 900  # in view, not below the contents
    assert not claim.find_element("class name", "seen").is_displayed()
    claim.find_element("tag name", "summary").click()
    assert claim.find_element("class name", "seen").is_displayed()
    assert browser.get_screenshot_as_png().startswith(b"\x89PNG")
