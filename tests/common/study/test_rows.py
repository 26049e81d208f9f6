import pandas as pd
import pytest

from common.study.archive import Archive
from common.study.records import last
from common.study.rows import renamed
from common.study.run_folders import Run, RunFolder

NAMES = {
    "margin_ma_kept": {"metric": "margin", "subset": "noisy", "statistic": "count"},
    "accuracy_test": {"metric": "accuracy", "subset": "test"},
    "norm_twice": None,
}
PLACE = {"statistic": "run", "epoch": 3}
EARLIER = [
    {"metric": "loss", "value": 0.1 + 0.2} | PLACE,
    {"metric": "margin_ma_kept", "value": 57.0} | PLACE,
    {"metric": "norm_twice", "value": 2.0, "subset": "all"} | PLACE,
    {"metric": "accuracy_test", "value": 0.5} | PLACE,
]
PRESENT = [
    {"metric": "loss", "value": 0.1 + 0.2} | PLACE,
    {"metric": "margin", "value": 57.0, "subset": "noisy"} | PLACE | {"statistic": "count"},
    {"metric": "accuracy", "value": 0.5, "subset": "test"} | PLACE,
]


def recorded(out_dir, rows):
    with RunFolder(out_dir, "paper", 1, {"seed": 0}, earlier_names=NAMES) as folder:
        folder.start({})
        folder.finish("done", rows, {})
    return RunFolder(out_dir, "paper", 1, {"seed": 0}, earlier_names=NAMES)


def same(found, expected):
    expected = pd.DataFrame(expected)
    text = {name: object for name in expected if not pd.api.types.is_numeric_dtype(expected[name])}
    pd.testing.assert_frame_equal(found, expected.astype(text), check_exact=True, check_like=True)


@pytest.mark.parametrize("rows", [EARLIER, PRESENT])
def test_earlier_names_of_a_run_folder_are_read_as_the_present_ones(rows, tmp_path):
    folder = recorded(tmp_path, rows)
    assert folder.rows() == PRESENT
    same(folder.run().rows, PRESENT)
    assert last(folder.run(), "margin", subset="noisy", statistic="count") == 57
    assert renamed(PRESENT, NAMES) == PRESENT


@pytest.mark.parametrize("rows", [EARLIER, PRESENT])
def test_earlier_names_of_a_packed_run_are_read_as_the_present_ones(rows, tmp_path):
    folder = recorded(tmp_path / "runs", rows)
    as_written = Run(folder.path, folder.record)
    Archive(tmp_path / "paper").add("a", "1" * 12, as_written, {"seed": 0}, [])
    assert ("margin_ma_kept" in (tmp_path / "paper" / "rows" / "a.csv").read_text()) == (rows is EARLIER)
    same(Archive(tmp_path / "paper", NAMES).find("1" * 12).rows, PRESENT)
    # Packed from now on, it has the present names.
    Archive(tmp_path / "other").add("a", "1" * 12, folder.run(), {"seed": 0}, [])
    same(Archive(tmp_path / "other").find("1" * 12).rows, PRESENT)
