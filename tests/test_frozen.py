"""Frozen checks are older than the runs that decide them, and edits are noticed."""

import dataclasses
import importlib.util
import subprocess
import types
from pathlib import Path

import pytest

from common.study.claims import judge
from common.study.frozen import _collect, claims_to_freeze, digest_of, read_frozen
from common.study.runs import load_claims, load_study, study_names
from launch import freeze
from tests.common.study import test_claims as toy

ROOT = Path(__file__).parents[1]


def _git(*arguments):
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("name", study_names())
def test_every_check_with_confirmatory_seeds_is_frozen_as_it_is(name):
    assert [claim.number for claim in claims_to_freeze(name)] == []


@pytest.mark.parametrize("name", study_names())
def test_a_frozen_check_is_older_than_the_runs_that_decide_it(name):
    shallow = _git("rev-parse", "--is-shallow-repository")
    if shallow.returncode or shallow.stdout.strip() != "false":
        pytest.skip("wants the whole history of the repository")
    frozen = read_frozen(name)
    claims = load_claims(name).CLAIMS
    deciding = [claim for claim in claims if claim.confirmatory_from]
    found = judge(deciding, load_study(name), ROOT / "results" / "reference")
    commits = {
        (frozen[str(j.claim.number)]["commit"], run.record["commit"])
        for j in found
        for run in j.runs
        if run.seed >= j.claim.confirmatory_from
    }
    younger = {pair for pair in commits if _git("merge-base", "--is-ancestor", *pair).returncode}
    assert younger == set()
    dirty = {
        run.path
        for j in found
        for run in j.runs
        if run.seed >= j.claim.confirmatory_from and run.record["dirty"]
    }
    assert dirty == set()


def _module(text, path):
    """A module of a made-up paper, from a file, since the digest reads the source."""
    path.write_text(text)
    spec = importlib.util.spec_from_file_location("replications.toy.claims", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOY = '''
LIMIT = 2.0
def helper(x):
    """Text."""
    return x > LIMIT  # why
def check(evidence):
    return helper(evidence)
'''


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (("LIMIT = 2.0", "LIMIT = 3.0"), True),
        (("x > LIMIT", "x >= LIMIT"), True),
        (("return helper(evidence)", "return not helper(evidence)"), True),
        (('"""Text."""', '"""Other."""'), False),
        (("# why", "# because"), False),
    ],
)
def test_a_digest_changes_with_what_the_check_does(change, counts, tmp_path):
    first: types.ModuleType = _module(TOY, tmp_path / "first.py")
    second = _module(TOY.replace(*change), tmp_path / "second.py")
    assert (digest_of(first.check) != digest_of(second.check)) == counts


NESTED = """
def check(evidence):
    total = 0
    for x in evidence:
        if x > 0:
            total += x
            total += 1
    return f"a  # {total}"
"""


@pytest.mark.parametrize(
    ("change", "counts"),
    [
        (("    " * 3 + "total += 1", "    " * 2 + "total += 1"), True),  # after the `if`
        (("    " * 3 + "total += 1", "    " + "total += 1"), True),  # after the loop
        (("a  # {", "a  # b{"), True),  # no comment: a text
        (("    total = 0", "    total = 0  # none yet"), False),
        (("    total = 0", "    # none yet\n    total = 0"), False),
        (("total += 1", "total  +=  1"), False),
        (("    total = 0", '    """Text."""\n    total = 0'), False),
    ],
)
def test_a_digest_knows_what_is_nested_and_what_is_a_comment(change, counts, tmp_path):
    first, second = (
        _module(t, tmp_path / name) for t, name in ((NESTED, "a.py"), (NESTED.replace(*change), "b.py"))
    )
    assert (digest_of(first.check) != digest_of(second.check)) == counts


HELD = """
import functools
def helper(x, limit):
    return x > limit
LEAST = functools.partial(helper, limit=2)
TABLE = {"least": [helper]}
def made(limit):
    def inner(x):
        return helper(x, limit)
    return inner
FIRST = made(2)
def check(evidence, measure=LEAST):
    return USED
"""


@pytest.mark.parametrize(
    "used", ["LEAST(evidence)", 'TABLE["least"][0](evidence, 2)', "FIRST(evidence)", "measure(evidence)"]
)
@pytest.mark.parametrize(
    "change", [("x > limit", "x >= limit"), ("limit=2", "limit=3"), ("made(2)", "made(3)")]
)
def test_a_digest_follows_functions_that_something_holds(used, change, tmp_path):
    text = HELD.replace("USED", used)
    first, second = (
        _module(t, tmp_path / name) for t, name in ((text, "a.py"), (text.replace(*change), "b.py"))
    )
    # The default argument holds the partial application, whether or not it is called.
    counts = change != ("made(2)", "made(3)") or used.startswith("FIRST")
    assert (digest_of(first.check) != digest_of(second.check)) == counts


@pytest.mark.parametrize("name", study_names())
def test_no_digest_has_a_folder_in_it(name):
    found = {}
    for claim in load_claims(name).CLAIMS:
        _collect(claim.check, f"replications.{name}", found)
    assert [key for key, code in found.items() if str(ROOT) in code or "site-packages" in code] == []


@pytest.mark.parametrize(("records", "words"), [("", "names no folder"), ("nowhere", "no such folder")])
def test_a_folder_that_is_not_there_is_refused(records, words, capsys):
    """Without records every check would look as if no seed of it were recorded."""
    with pytest.raises(SystemExit) as end:
        freeze.main(["freeze", f"--records={records}"])
    assert end.value.code == 2
    assert words in (error := capsys.readouterr().err) and error.count("\n") == 1


def test_deciding_seeds_are_looked_for_at_every_scale(tmp_path):
    toy.write(tmp_path, toy.Settings(1, 4, seed=2))  # 4 examples: laptop
    given = dataclasses.replace(toy.claim(lambda evidence: None), confirmatory_from=1)
    assert freeze.recorded_seeds(toy.TOY, given, tmp_path) == [2]
