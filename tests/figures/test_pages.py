"""What pages say of the claims is what the records say."""

import pytest

from figures.ledger import ROOT, blocks, filled, judge_all


@pytest.fixture(scope="module")
def current():
    return blocks(judge_all(ROOT / "results" / "reference"))


def test_the_marked_blocks_are_current(current):
    stale = [
        path.name for path, block in current.items() if filled(path.read_text(), block) != path.read_text()
    ]
    assert stale == [], "python -m figures.report --write_docs"


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150
