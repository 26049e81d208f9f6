"""What pages say of the claims, and the pictures that they show, is what the records say."""

import re

import pytest

from common.study.runs import study_names
from figures.pages import DOCS, README, ROOT, blocks, drawable, filled, gallery, judge_all, picture_of

RECORDS = ROOT / "results" / "reference"


@pytest.fixture(scope="module")
def current():
    return blocks(judge_all(RECORDS), {name: drawable(name, RECORDS) for name in study_names()})


def test_the_marked_blocks_are_current(current):
    stale = [
        path.name for path, wanted in current.items() if filled(path.read_text(), wanted) != path.read_text()
    ]
    assert stale == [], "python -m figures.report --write_docs"


@pytest.mark.parametrize("name", study_names())
def test_a_page_shows_the_pictures_that_can_be_drawn_and_no_others(name):
    linked = re.findall(r"\]\((images/\w+_figure_\w+\.png)\)", (DOCS / f"{name}.md").read_text())
    assert sorted(linked) == sorted(picture_of(name, figure) for figure in drawable(name, RECORDS))


def test_what_a_page_shows_elsewhere_is_not_in_its_gallery():
    page = "![First](images/snapp_shamir_figure_2.png)\n<!-- pictures -->\n<!-- end of pictures -->\n"
    shown = drawable("snapp_shamir", RECORDS)
    found = gallery("snapp_shamir", page, shown)
    assert "figure_2.png" not in found and "figure_6.png" in found
    assert gallery("snapp_shamir", filled(page, {"pictures": found}), shown) == found


def test_a_page_has_each_of_its_blocks_once():
    page = "a\n<!-- x -->\nold\n<!-- end of x -->\nb\n"
    assert filled(page, {"x": r"new \1"}) == "a\n<!-- x -->\nnew \\1\n<!-- end of x -->\nb\n"
    for text in ("nothing", page + page):
        with pytest.raises(ValueError, match="one block named x"):
            filled(text, {"x": "new"})


def test_the_readme_is_short():
    assert len(README.read_text().splitlines()) <= 150
