import pytest

from common.study import claims


@pytest.fixture
def records_in_memory(monkeypatch):
    """Claims are judged on any object whose `get(settings)` gives the finished run of settings, or None."""

    def find(study, settings, records):
        return [(resolved, records.get(resolved)) for resolved in (chosen.resolve() for chosen in settings)]

    monkeypatch.setattr(claims, "find_runs", find)
