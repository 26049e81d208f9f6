"""The reference records, which no change of a settings class may orphan."""

import dataclasses
import pathlib

import pytest

from common.study.archive import Archive
from common.study.files import digest, read_sums
from common.study.runs import find_runs, load_study, study_names
from common.study.setting import completed, setting

REFERENCE = pathlib.Path(__file__).parents[2] / "results" / "reference"


def papers():
    """Those that have reference records."""
    return [name for name in study_names() if (REFERENCE / name).exists()]


def recorded(paper):
    """(name, settings in the class of today) of every reference record."""
    for name, run in Archive(REFERENCE / paper.name).runs().items():
        yield name, completed(paper.settings, run.record["settings"])


def found(paper, settings):
    ((_, run),) = find_runs(paper, [settings], REFERENCE)
    return run


@pytest.mark.parametrize("name", papers())
def test_every_reference_record_is_found_by_its_settings(name):
    paper = load_study(name)
    records = list(recorded(paper))
    assert records
    for run_name, settings in records:
        assert found(paper, settings).path.stem == run_name
        assert settings.resolve() == settings


@pytest.mark.parametrize("name", papers())
def test_a_new_setting_orphans_no_record(name):
    paper = load_study(name)
    extended = dataclasses.make_dataclass(
        "Extended",
        [("brand_new", str, setting("new", "Something new.", absent="old"))],
        bases=(paper.settings,),
        frozen=True,
    )
    for run_name, settings in recorded(paper):
        values = dataclasses.asdict(settings)
        assert found(paper, extended(**values, brand_new="old")).path.stem == run_name
        changed = extended(**values).resolve()  # a run that has no use for it is the same run
        assert (found(paper, changed) is None) == (changed.brand_new == "new")


@pytest.mark.parametrize("name", papers())
def test_the_reference_records_are_what_was_packed(name):
    folder = REFERENCE / name
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    sums = read_sums(folder)
    assert files - {"SHA256SUMS", ".lock"} == set(sums)
    assert {file: digest(folder / file) for file in sums} == sums


# Before this time 1x1 convolutions of stride 2 were computed by TensorFlow's own gradient.
SLICED_FROM = "2026-11-27T03:10:00+00:00"


def trained_in_odd_batches(record):
    """Whether a residual network was trained with batches whose weight gradient is not to be trusted.

    An epoch's batches are `batch_size` images, and the rest at its end; replicas share each of them out.
    """
    settings = record["settings"]
    if "resnet" not in (settings.get("network") or ""):
        return False
    num_train = (settings["num_train"] or 50_000) - (settings.get("num_validation") or 0)
    batches = {settings["batch_size"], num_train % settings["batch_size"]}
    return any((batch // record["layout"]["replicas"]) % 2 for batch in batches)


def test_suspect_records_are_marked_and_no_others():
    for name in papers():
        for run_name, run in Archive(REFERENCE / name).runs().items():
            started = run.record["times"]["started"]
            wrong = started < SLICED_FROM and trained_in_odd_batches(run.record)
            assert wrong == bool(run.record.get("suspect")), run_name
