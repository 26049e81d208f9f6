"""The reference records, which no change of a settings class may orphan."""

import dataclasses
import json
import pathlib

import pytest

from common.study.runs import load_study, run_folder, study_names
from common.study.setting import completed, setting

REFERENCE = pathlib.Path(__file__).parents[2] / "results" / "reference"


def recorded(paper):
    """(folder, settings in the class of today) of every reference record."""
    for path in sorted((REFERENCE / paper.name).glob("*/run.json")):
        yield path.parent, completed(paper.settings, json.loads(path.read_text())["settings"])


def found(paper, settings):
    return run_folder(paper, settings, REFERENCE)


@pytest.mark.parametrize("name", study_names())
def test_every_reference_record_is_found_by_its_settings(name):
    paper = load_study(name)
    folders = list(recorded(paper))
    assert folders
    for path, settings in folders:
        assert found(paper, settings).path == path
        assert settings.resolve() == settings


@pytest.mark.parametrize("name", study_names())
def test_a_new_setting_orphans_no_record(name):
    paper = load_study(name)
    extended = dataclasses.make_dataclass(
        "Extended",
        [("brand_new", str, setting("new", "Something new.", absent="old"))],
        bases=(paper.settings,),
        frozen=True,
    )
    for path, settings in recorded(paper):
        values = dataclasses.asdict(settings)
        assert found(paper, extended(**values, brand_new="old")).record is not None
        assert found(paper, extended(**values)).path != path


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
    for path in REFERENCE.glob("*/*/run.json"):
        record = json.loads(path.read_text())
        wrong = record["times"]["started"] < SLICED_FROM and trained_in_odd_batches(record)
        assert wrong == bool(record.get("suspect")), path
