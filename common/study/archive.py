"""Packed records: finished runs as data, a table of runs with their rows as CSV.

`<folder>/<paper>/` holds `runs.csv` (one line per run: name, settings, provenance), `rows/<name>.csv` (its
tidy rows), `arrays/<name>.npz` where a figure or a claim reads arrays, and the SHA-256 of all of them. A cell
of `runs.csv` is empty for None, JSON for numbers, switches and lists, and else plain text.
"""

import contextlib
import fcntl
import functools
import io
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UserError
from .files import (
    SUMS,
    DamagedError,
    digest,
    known_digest,
    read_arrays,
    read_sums,
    replacing,
    state_of,
    sums_text,
)
from .rows import EarlierNames, renamed
from .run_folders import Run
from .setting import Value

RUNS = "runs.csv"
# The checksums of a table that is being written: whichever fits the table that is there holds.
_NEXT = f"{SUMS}.next"
_TIMES = ("started", "finished")
# Columns of a run that are not settings; those that end with _seconds are its times.
_COLUMNS = (
    *("run", "id", "status", "suspect", "data_name", "commit", "dirty", *_TIMES, "layout", "versions"),
    *("machine", "argv", "schema", "protocol_version"),
)

# Those that are a column only where a run has one.
_OPTIONAL = ("continued_at",)

if TYPE_CHECKING:
    import pandas as pd


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, str) and not _is_json(value):
        return value
    return json.dumps(value, allow_nan=False)


def _row_cell(value: object) -> object:
    """A value of a row for a CSV file; text that would be read as a number or a truth value gets quotes."""
    if isinstance(value, bool | np.bool_):
        return json.dumps(bool(value))
    return json.dumps(value) if isinstance(value, str) and not _is_plain(value) else value


def _row_value(cell: str) -> object:
    """What `_row_cell` wrote in a column that is not all of numbers."""
    if cell == "":
        return math.nan
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(cell)
    return cell if _is_plain(cell) else json.loads(cell)


def _is_plain(text: str) -> bool:
    with contextlib.suppress(ValueError):
        float(text)
        return False
    return text not in ("", "true", "false") and not text.startswith('"')


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return text == ""
    return True


def _value(cell: str) -> object:
    if cell == "":
        return None
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def _columns(name: str, identity_hash: str, record: Mapping) -> dict[str, object]:
    """A record as the columns of `runs.csv`, settings last."""
    times = dict(record["times"])
    known = {"run": name, "id": identity_hash, "data_name": record.get("data")}
    known |= {key: record.get(key) for key in _COLUMNS if key not in known}
    known |= {key: times.pop(key, None) for key in _TIMES}
    known |= {key: record[key] for key in _OPTIONAL if key in record}
    return known | times | dict(record["settings"])


def _record(study: str, columns: Mapping[str, object]) -> dict:
    """The record that `_columns` took apart."""
    columns = dict(columns)
    known = {key: columns.pop(key) for key in _COLUMNS}
    times = {key: known.pop(key) for key in _TIMES}
    seconds = {key: columns.pop(key) for key in list(columns) if key.endswith("_seconds")}
    times |= {key: value for key, value in seconds.items() if value is not None}
    record: dict[str, object] = {"replication": study, "settings": columns, "times": times}
    record |= {key: value for key, value in known.items() if key not in ("run", "id", "data_name")}
    record |= {key: value for key in _OPTIONAL if (value := columns.pop(key, None)) is not None}
    if known["data_name"] is not None:
        record["data"] = known["data_name"]
    if record["suspect"] is None:
        del record["suspect"]
    return record


class PackedRun(Run):
    """A run of an archive, which is read like one of a run folder; `path` is its file of rows."""

    def _read_rows(self) -> "pd.DataFrame":
        import pandas as pd

        frame = _read_csv(_checked(self.path.parents[1], f"rows/{self.path.name}"))
        if not frame.metric.isin(list(self.earlier_names)).any():
            return frame
        return pd.DataFrame(renamed(frame.to_dict("records"), self.earlier_names))

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that were kept, by name; empty if none was packed with the run."""
        folder, name = self.path.parents[1], f"arrays/{self.path.stem}.npz"
        if name not in _sums(folder):
            return {}
        return read_arrays(_checked(folder, name))


def _read_csv(path: pathlib.Path) -> "pd.DataFrame":
    """Reads rows; Python's own parser of numbers gives back what was written, to the last bit."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError as error:
        raise DamagedError(f"cannot read {path} ({error})") from None
    return pd.DataFrame({name: _typed(frame[name].to_list()) for name in frame})


def _typed(cells: list[str]) -> list:
    """Cells of a column as integers, else numbers, else text; an empty one is nan."""
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return [math.nan if cell == "" and kind is float else kind(cell) for cell in cells]
    values = {cell: _row_value(cell) for cell in set(cells)}  # they repeat
    return [values[cell] for cell in cells]


def _checked(folder: pathlib.Path, name: str) -> pathlib.Path:
    """Returns the path of an archive's file, once it is seen to be what was packed."""
    path = folder / name
    try:
        if _sums(folder).get(name) == known_digest(path):
            return path
        reason = f"its SHA-256 is not that of {SUMS}"
    except OSError as error:
        reason = str(error.strerror)
    raise DamagedError(f"{path} is damaged ({reason}); restore it, or pack its run again")


def _sums(folder: pathlib.Path) -> dict[str, str]:
    """The checksums of an archive; while another process writes it, those that its table fits."""
    for file in (SUMS, _NEXT, SUMS):  # the last: it was moved there meanwhile
        with contextlib.suppress(FileNotFoundError):
            sums = _sums_at(folder, file, state_of(folder / file))
            if sums.get(RUNS) == known_digest(folder / RUNS):
                return sums
    return _sums_at(folder, SUMS, state_of(folder / SUMS))


@functools.cache
def _sums_at(folder: pathlib.Path, file: str, state: tuple[int, int, int]) -> dict[str, str]:
    return read_sums(folder, file)


@functools.cache
def _table(path: pathlib.Path, state: tuple[int, int, int]) -> dict[str, dict[str, object]]:
    import pandas as pd

    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    lines = frame.itertuples(index=False, name=None)
    rows = ({name: _value(cell) for name, cell in zip(frame, line, strict=True)} for line in lines)
    return {str(row["id"]): row for row in rows}


class Archive:
    """The packed records of one paper.

    Args:
        folder: Their folder, named like the paper; it need not exist.
        earlier_names: What metrics were called once, see `rows.renamed`.
    """

    def __init__(self, folder: str | os.PathLike, earlier_names: EarlierNames | None = None) -> None:
        self.folder = pathlib.Path(folder)
        self._earlier_names = earlier_names or {}

    def _columns(self) -> dict[str, dict[str, object]]:
        """The columns of each run by its id."""
        if not (self.folder / RUNS).exists() and not (self.folder / SUMS).exists():
            return {}
        path = _checked(self.folder, RUNS)
        return _table(path, state_of(path))

    def _run(self, columns: Mapping[str, object]) -> PackedRun:
        path = self.folder / "rows" / f"{columns['run']}.csv"
        return PackedRun(path, _record(self.folder.name, columns), self._earlier_names)

    def find(self, identifier: str) -> PackedRun | None:
        """Returns the run of an id, `run_folders.settings_hash`; None if it is not there, or suspect.

        Raises:
            DamagedError: The table of runs is not what was packed.
        """
        columns = self._columns().get(identifier)
        return None if columns is None or columns["suspect"] else self._run(columns)

    def runs(self) -> dict[str, PackedRun]:
        """Returns all runs by their names, suspect ones as well."""
        return {str(columns["run"]): self._run(columns) for columns in self._columns().values()}

    def holds(self, identifier: str, suspect: bool = True) -> bool:
        """Whether the run of an id is here and its files are what was packed.

        Args:
            identifier: The id.
            suspect: Whether one with the mark of a suspect counts.
        """
        columns = self._columns().get(identifier)
        if columns is None or (columns["suspect"] and not suspect):
            return False
        rows, arrays = f"rows/{columns['run']}.csv", f"arrays/{columns['run']}.npz"
        try:
            for file in (rows, arrays) if arrays in _sums(self.folder) else (rows,):
                _checked(self.folder, file)
        except DamagedError:
            return False
        return True

    def add(
        self, name: str, identifier: str, run: Run, settings: Mapping[str, Value], arrays: Sequence[str]
    ) -> None:
        """Packs one run; nothing happens if its id is there, sound, and no more suspect than this one.

        Args:
            name: Its readable name, that of its files.
            identifier: Its id.
            run: The finished run.
            settings: Its settings, those that its record lacks included.
            arrays: Names of the arrays that are kept.

        Raises:
            UserError: The name is another run's.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._settle()
            if self.holds(identifier, suspect=bool(run.record.get("suspect"))):
                return
            known = {key: columns for key, columns in self._columns().items() if key != identifier}
            if any(columns["run"] == name for columns in known.values()):
                raise UserError(f"{self.folder}: two runs have the name {name}")
            files = {f"rows/{name}.csv": run.rows.map(_row_cell).to_csv(index=False).encode()}
            kept = {array: run.arrays[array] for array in arrays}
            columns = _columns(name, identifier, run.record | {"settings": dict(settings)})
            if kept:
                buffer = io.BytesIO()
                np.savez_compressed(buffer, **dict[str, Any](kept))
                files[f"arrays/{name}.npz"] = buffer.getvalue()
            table = sorted([*known.values(), columns], key=lambda row: str(row["run"]))
            self._write(files, table, without=f"arrays/{name}.npz")

    def _settle(self) -> None:
        """Ends what a process began to write that was killed: with its table, or with the one before."""
        if (self.folder / _NEXT).exists():
            table = self.folder / RUNS
            if table.exists() and read_sums(self.folder, _NEXT).get(RUNS) == digest(table):
                os.replace(self.folder / _NEXT, self.folder / SUMS)
            else:
                (self.folder / _NEXT).unlink()

    def _write(self, files: Mapping[str, bytes], table: Sequence[Mapping[str, object]], without: str) -> None:
        """Writes files, their checksums, then the table, with which they hold: a reader finds all or none."""
        import pandas as pd

        names = dict.fromkeys(name for row in table for name in row)
        frame = pd.DataFrame([{name: _cell(row.get(name)) for name in names} for row in table])
        sums = read_sums(self.folder) if (self.folder / SUMS).exists() else {}
        sums.pop(without, None)  # of a run that is replaced
        for name, content in files.items():
            (self.folder / name).parent.mkdir(exist_ok=True)
            with replacing(self.folder / name) as temporary:
                temporary.write_bytes(content)
            sums[name] = digest(self.folder / name)
        with replacing(self.folder / RUNS) as temporary:
            temporary.write_bytes(frame.to_csv(index=False).encode())
            sums[RUNS] = digest(temporary)
            with replacing(self.folder / _NEXT) as sums_file:
                sums_file.write_text(sums_text(dict(sorted(sums.items()))))
        os.replace(self.folder / _NEXT, self.folder / SUMS)
