"""Run folders: what was run, by what, and what was measured.

`<out_dir>/<replication>/<hash of the settings>/` holds `run.json` (settings, provenance and the SHA-256 of
the other files), `rows.jsonl` (tidy rows: one measured value each) and `arrays.npz`; `work/` holds the state
of an unfinished run. Every file is written to a temporary name and renamed, so a reader or a killed process
never sees half of one, and is held against its SHA-256 when it is read.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..errors import BusyError, LayoutError, UserError
from .files import (
    DamagedError,
    digest,
    known_digest,
    read_arrays,
    read_rows,
    write_arrays,
    write_json,
    write_rows,
)
from .rows import EarlierNames, by_metric, renamed
from .setting import Value

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1
FINISHED = ("done", "diverged")
_FIELDS = (("schema", int), ("settings", dict), ("status", str), ("times", dict))
_RESULTS = ("rows.jsonl", "arrays.npz", "weights.npz")
_LOCK_ATTEMPTS = 5
_RERUN = "remove its folder and run it again"
_PACKAGES = ("tensorflow", "keras", "numpy", "scipy")


def settings_hash(study: str, protocol_version: int, identity: Mapping[str, Value]) -> str:
    """Returns the name of a run folder: a hash of everything that determines its numbers.

    Args:
        study: Name of the replication.
        protocol_version: Its protocol version.
        identity: What `setting.identity` returns: settings by name.
    """
    values = {
        "replication": study,
        "protocol_version": protocol_version,
        "settings": identity,
    }
    return _hash(values)[:12]


def _hash(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _commit(folder: pathlib.Path) -> tuple[str | None, bool | None]:
    """The commit of a folder's repository, and whether files of it are changed; None where there is none.

    Records are no code: those of `results` may be added while runs are made.
    """

    def git(*arguments):
        try:
            command = ["git", "-C", str(folder), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    status = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)results")
    return git("rev-parse", "HEAD"), None if status is None else bool(status)


def provenance() -> dict[str, Any]:
    """Returns what made a run: command, commit, versions, machine."""
    commit, dirty = _commit(pathlib.Path(__file__).parent)
    versions = {"irreproducibility": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    main = sys.modules["__main__"].__spec__
    program = ["python", "-m", main.name.removesuffix(".__main__")] if main else ["python", sys.argv[0]]
    return {
        "argv": program + sys.argv[1:],
        "commit": commit,
        "dirty": dirty,
        "versions": versions,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def measured_seconds(times: Mapping[str, float | str]) -> float:
    """Returns the seconds that the times of a record add up to, of training, evaluation and all else."""
    return sum(float(value) for name, value in times.items() if name.endswith("_seconds"))


def now() -> str:
    """Returns the current time, UTC, as ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def read_record(folder: pathlib.Path) -> dict | None:
    """Returns the content of a run folder's `run.json`, None if there is none.

    Raises:
        UserError: It cannot be read, is no record, or one of another schema.
    """
    path = folder / "run.json"
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"--out_dir: cannot read {folder}: {error.strerror}") from None
    except ValueError:  # undecodable bytes as well
        record = None
    if not (isinstance(record, dict) and all(isinstance(record.get(n), kind) for n, kind in _FIELDS)):
        raise DamagedError(f"{path} is not a record; move the folder away")
    if record["schema"] != SCHEMA:
        raise UserError(
            f"{folder} was made by record schema {record['schema']}, this program writes schema "
            f"{SCHEMA}; move the folder away or choose another --out_dir"
        )
    sums = record.get("sha256", {})
    if not isinstance(sums, dict) or sums.get("run.json", _own_hash(record)) != _own_hash(record):
        raise DamagedError(f"{path} is damaged; {_RERUN}")
    return record


def _lock_now(file: IO) -> None:
    """Locks a file for this process alone; one that only looks whether it is locked holds it for a moment.

    Raises:
        BlockingIOError: Another process holds it.
    """
    for attempt in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if attempt == _LOCK_ATTEMPTS - 1:
                raise
            time.sleep(0.02)


class RunFolder:
    """One run's folder; as a context manager it belongs to this process alone.

    Args:
        out_dir: Folder of all runs.
        study: Name of the replication.
        protocol_version: Its protocol version; raised whenever its numbers change.
        settings: Resolved settings as a dictionary of plain values.
        worker: Index of this worker; each has a lock of its own, and worker 0, the chief, writes the record.
        identity: Those of the settings that name the folder, see `setting.identity`; by default all.
        earlier_names: What metrics were called once, see `rows.renamed`.

    Raises:
        UserError: The folder cannot be made or read, another process holds it, or another schema made it.
    """

    def __init__(
        self,
        out_dir: str | os.PathLike,
        study: str,
        protocol_version: int,
        settings: Mapping[str, Value],
        worker: int = 0,
        identity: Mapping[str, Value] | None = None,
        earlier_names: EarlierNames | None = None,
    ) -> None:
        name = settings_hash(study, protocol_version, settings if identity is None else identity)
        self.path = pathlib.Path(out_dir) / study / name
        self.work = self.path / "work"
        self._identity = {
            "schema": SCHEMA,
            "replication": study,
            "protocol_version": protocol_version,
            "settings": settings,
        }
        self._earlier_names = earlier_names or {}
        self._chief = worker == 0
        self._lock_path = self.path / (".lock" if self._chief else f".lock-{worker}")
        self.record: dict[str, Any] = self._read()  # type: ignore[assignment]

    def _read(self) -> dict[str, Any] | None:
        record = read_record(self.path)
        if record is not None:
            self._check_record(self.path / "run.json", record)
        return record

    def _check_record(self, path, record):
        """Refuses a record that is not of this run, or not what was written."""
        # A record made before a setting existed lacks it.
        expected = {name: self._identity["settings"].get(name) for name in record["settings"]}
        of_this_run = record["settings"] == expected and all(
            record.get(name) == self._identity[name] for name in ("replication", "protocol_version")
        )
        if not of_this_run:
            raise DamagedError(f"{path} is damaged; {_RERUN}")

    @property
    def finished(self) -> bool:
        """Whether the run's results are there."""
        return self._counts() and self.record["status"] in FINISHED

    def _counts(self):
        """Whether there is a record, and none that is marked: its `suspect` says why numbers may be wrong."""
        return self.record is not None and not self.record.get("suspect")

    def run(self) -> "Run | None":
        """Returns the `Run`, if it is finished, else None."""
        return Run(self.path, self.record, self._earlier_names) if self.finished else None

    @property
    def held(self) -> bool:
        """Whether another process is working on the run."""
        try:
            with open(self._lock_path) as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # not begun yet, or not ours to look at
            return False
        return False

    def rows(self) -> list[dict]:
        """The rows of a finished run."""
        return renamed(read_rows(checked_file(self.path, self.record, "rows.jsonl")), self._earlier_names)

    def __enter__(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._lock_path, "w")
        except OSError as error:
            raise UserError(
                f"--out_dir: cannot write {self.path}: {error.strerror}; choose a folder you can write"
            ) from None
        try:
            _lock_now(self._lock)
        except BlockingIOError:
            self._lock.close()
            raise BusyError(f"{BusyError.WORDS} {self.path}; wait for it or stop it") from None
        except OSError as error:  # such as a file system without locks
            self._lock.close()
            raise UserError(
                f"--out_dir: cannot lock {self._lock_path}: {error.strerror}; choose a folder on another "
                "file system"
            ) from None
        # Another process may have finished the run before the lock was ours.
        self.record = self._read()
        return self

    def __exit__(self, *_):
        self._lock.close()

    def start(self, layout: Mapping[str, Value | list[str]], data: str | None = None) -> None:
        """Marks the run incomplete, or checks that this process may go on with it.

        Args:
            layout: What an unfinished run must find again to give the same numbers: devices and tile.
            data: How results on the run's data must be named; None for data that the settings determine.

        Raises:
            LayoutError: The run was begun on another layout or other data.
        """
        if not self._counts():
            if self._chief and self.record is not None:
                self._drop_results()
            times = {"started": now(), "finished": None}
            self.record = self._identity | {"status": "incomplete", "layout": layout, "times": times}
            self.record |= provenance()
            if data is not None:
                self.record["data"] = data
        elif self.record.get("data") != data:
            raise LayoutError(
                f"{self.path} was begun on {self.record.get('data')} and cannot go on with {data}; give the "
                "same --data_dir, or delete the folder"
            )
        elif self.record["layout"] != layout:
            raise LayoutError(
                f"{self.path} was begun with {self.record['layout']} and cannot go on with {layout}, whose "
                "rounding differs; go on where it was begun, or delete the folder"
            )
        else:
            self._goes_on_with(provenance())
        self.work.mkdir(exist_ok=True)
        self.record["status"] = "incomplete"
        self.record.pop("error", None)
        self.save()

    def _goes_on_with(self, made_by):
        """Says in the record where other code than that of its commit went on with the run."""
        self.record["dirty"] = self.record.get("dirty") or made_by["dirty"]
        before = self.record.get("continued_at", [])
        if made_by["commit"] not in (self.record.get("commit"), *before):
            self.record["continued_at"] = [*before, made_by["commit"]]

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Adds the duration of the block, in seconds, to the record's times; `save` writes them."""
        started = time.monotonic()
        yield
        times = self.record["times"]
        times[name] = times.get(name, 0.0) + time.monotonic() - started

    def finish(self, status: str, rows: Sequence[Mapping], arrays: Mapping[str, np.ndarray] | None) -> None:
        """Writes the results and drops the working state."""
        write_rows(self.path / "rows.jsonl", rows)
        if arrays:
            write_arrays(self.path / "arrays.npz", arrays)
        self.record["status"] = status
        self.record["times"]["finished"] = now()
        self.record["sha256"] = {
            name: digest(self.path / name) for name in _RESULTS if (self.path / name).exists()
        }
        self.save()
        self.drop_work()

    def _drop_results(self):
        """Removes what a run with the mark of a suspect left: its numbers are not those of the next."""
        self.drop_work()
        for name in _RESULTS:
            (self.path / name).unlink(missing_ok=True)

    def drop_work(self) -> None:
        """Removes the working state of a finished run, also where a process was killed before it could."""
        shutil.rmtree(self.work, ignore_errors=True)

    def fail(self, error: Exception) -> None:
        """Notes that the run stopped at an error; the same command goes on from its last checkpoint."""
        if self.record is not None:
            self.record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"[:500]}
            self.save()

    def save(self) -> None:
        """Writes the record, with a checksum of its own."""
        if self._chief:
            self.record["sha256"] = self.record.get("sha256", {}) | {"run.json": _own_hash(self.record)}
            write_json(self.path / "run.json", self.record)


def _own_hash(record):
    """The SHA-256 of a record without those of its files."""
    return _hash({name: value for name, value in record.items() if name != "sha256"})


def checked_file(folder: pathlib.Path, record: Mapping[str, Any], name: str) -> pathlib.Path:
    """Returns the path of one of a finished run's files, once it is seen to be what was written.

    Args:
        folder: The run's folder.
        record: The content of its `run.json`; one made before records had checksums is not checked.
        name: Name of the file.

    Raises:
        DamagedError: It is not there, or another.
    """
    path = folder / name
    if expected := record.get("sha256", {}).get(name):
        try:
            found = known_digest(path)
        except OSError as error:
            raise DamagedError(f"cannot read {path} ({error.strerror}); {_RERUN}") from None
        if found != expected:
            raise DamagedError(f"{path} is damaged (its SHA-256 is not that of run.json); {_RERUN}")
    return path


# Run -> what its rows were read from, and they.
_known: dict[pathlib.Path, tuple[tuple, tuple]] = {}


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as figures and claims read it.

    Args:
        path: Its folder.
        record: The content of `run.json`: settings, status, times, provenance.
        earlier_names: What metrics were called once, see `rows.renamed`.
    """

    path: pathlib.Path
    record: dict[str, Any]
    earlier_names: Mapping = dataclasses.field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        # What was read of it stays in its process.
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @property
    def diverged(self) -> bool:
        """Whether the training diverged; then what is measured at the end of a run may be missing."""
        return self.record["status"] == "diverged"

    @property
    def seed(self) -> int:
        """Its root seed."""
        return self.record["settings"]["seed"]

    @property
    def rows(self) -> "pd.DataFrame":
        """The tidy rows."""
        return self._frames[0]

    @property
    def by_metric(self) -> "dict[str, pd.DataFrame]":
        """The rows of each metric, in their order."""
        return self._frames[1]

    @functools.cached_property
    def _frames(self) -> "tuple[pd.DataFrame, dict[str, pd.DataFrame]]":
        # Figures and claims ask for the same runs again and again.
        from pandas.api.types import is_numeric_dtype

        known, made_from = _known.get(self.path), (self.record, self.earlier_names)
        if known is None or known[0] != made_from:
            rows = self._read_rows()
            # Text as Python's own: pandas's has its price in each of the many small selections.
            rows = rows.astype({name: object for name in rows if not is_numeric_dtype(rows[name])})
            known = _known[self.path] = made_from, (rows, by_metric(rows))
        return known[1]

    def _read_rows(self) -> "pd.DataFrame":
        import pandas as pd

        rows = read_rows(checked_file(self.path, self.record, "rows.jsonl"))
        return pd.DataFrame(renamed(rows, self.earlier_names))

    @functools.cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        """The saved arrays by name; none of a run that saved none."""
        known = self.record.get("sha256")
        if known and "arrays.npz" not in known:
            return {}
        return read_arrays(checked_file(self.path, self.record, "arrays.npz"))
