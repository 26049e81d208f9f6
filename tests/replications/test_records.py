"""The reference records, which no change of a settings class may orphan."""

import dataclasses
import json
import pathlib

import pytest

from common import program
from common.records import RunFolder
from common.setting import identity, setting

REFERENCE = pathlib.Path(__file__).parents[2] / "results" / "reference"


def recorded(paper):
    """(folder, settings in the class of today) of every reference record."""
    known = {field.name for field in dataclasses.fields(paper.settings)}
    for path in sorted((REFERENCE / paper.name).glob("*/run.json")):
        record = json.loads(path.read_text())
        values = {name: value for name, value in record["settings"].items() if name in known}
        assert len(values) == len(record["settings"]), f"{path}: a setting was removed"
        absent = {
            field.name: field.metadata["absent"]
            for field in dataclasses.fields(paper.settings)
            if field.name not in values
        }
        yield path.parent, paper.settings(**values, **absent)


def found(paper, settings):
    values = dataclasses.asdict(settings)
    version = paper.protocol_version
    return RunFolder(REFERENCE, paper.name, version, values, identity=identity(settings))


@pytest.mark.parametrize("name", program.replication_names())
def test_every_reference_record_is_found_by_its_settings(name):
    paper = program.replication(name)
    folders = list(recorded(paper))
    assert folders
    for path, settings in folders:
        assert found(paper, settings).path == path
        assert settings.resolve() == settings


@pytest.mark.parametrize("name", program.replication_names())
def test_a_new_setting_orphans_no_record(name):
    paper = program.replication(name)
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
