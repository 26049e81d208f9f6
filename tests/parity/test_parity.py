import os
import pathlib

import numpy as np
import pytest

from common.errors import UserError
from tests.parity import __main__ as program
from tests.parity import page
from tests.parity.checks import CHECKS, greatest, num_different, of_largest
from tests.parity.outputs import OfficialOutputs


@pytest.fixture(scope="module")
def official():
    folder = os.environ.get("PARITY_DATA")
    if not folder:
        pytest.skip("PARITY_DATA does not say where the outputs of the official code are")
    return OfficialOutputs(folder)


@pytest.fixture(scope="module")
def found(official):
    return page.differences(official)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_ours_is_the_official_code_s(check, found):
    assert found[check.name] <= check.tolerance


def test_every_array_of_every_file_is_compared(official, found):
    assert not official.unread


def page_rows():
    lines = page.PATH.read_text().splitlines()
    return [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")][2:]


def test_the_page_lists_exactly_the_checks():
    rows = page_rows()
    assert [[*row[:3], *row[4:]] for row in rows] == [page.cells(check) for check in CHECKS]
    assert all(float(row[3]) <= check.tolerance for row, check in zip(rows, CHECKS, strict=True))


def test_the_page_is_what_the_command_writes():
    assert page.text({check.name: float(row[3]) for row, check in zip(page_rows(), CHECKS, strict=True)}) == (
        page.PATH.read_text()
    )


def test_names_are_unique():
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_differences_by_hand():
    assert greatest([1.0, -2.0], [1.5, -1.0]) == 1.0
    assert greatest([1.0, -2.0], [1.5, -1.0], np.array([1.0, 4.0])) == 0.5
    assert of_largest([1.0, -2.0], [1.5, -4.0]) == 0.5
    assert num_different([1, 2, 3], [1, 0, 0]) == 2
    assert np.isnan(greatest([np.nan], [1.0]))


@pytest.mark.parametrize("compare", [greatest, num_different])
def test_shapes_must_be_equal(compare):
    with pytest.raises(ValueError, match=r"Received: \(2, 1\) and \(2,\)$"):
        compare(np.zeros((2, 1)), np.zeros(2))


def test_a_difference_above_its_tolerance_is_found_and_not_written(tmp_path, monkeypatch, capsys):
    found = {check.name: check.tolerance for check in CHECKS} | {"plane_points": float("nan"), "score": 1.0}
    monkeypatch.setattr(page, "differences", lambda official: found)
    monkeypatch.setattr(page, "PATH", tmp_path / "parity.md")
    monkeypatch.setattr("tests.parity.outputs.FILES", ())
    assert program._compare(str(tmp_path), write_docs=True) == 1
    assert capsys.readouterr().err == "parity: above tolerance: plane_points, score\n"
    assert list(tmp_path.iterdir()) == []
    found |= {"plane_points": 0.0, "score": 0.0}
    assert program._compare(str(tmp_path), write_docs=True) == 0
    assert page.PATH.read_text() == page.text(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data_dir=nowhere"], "--data_dir=nowhere: no such folder"),
        (["--data_dir="], "--data_dir: names the folder"),
        (["--data_dir=tests"], "--data_dir=tests: holds no planes.npz"),
        (["docs"], "unexpected argument 'docs'"),
        (["--write_page"], "Unknown command line flag 'write_page'"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, message, capsys, monkeypatch):
    monkeypatch.chdir(page.PATH.parents[1])
    with pytest.raises(SystemExit) as ended:
        program.main(["parity", *arguments])
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"parity: {message}")
    assert printed.err.count("\n") == 1


def test_files_that_are_none_are_refused(tmp_path):
    pathlib.Path(tmp_path, "planes.npz").write_text("not an archive")
    with pytest.raises(UserError, match=r"planes.npz: cannot be read"):
        OfficialOutputs(tmp_path)
