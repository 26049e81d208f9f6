"""Run folders: what was run, by what, and what was measured.

`<out_dir>/<replication>/<hash of the settings>/` holds `run.json` (settings and provenance), `rows.jsonl`
(tidy rows: one measured value each) and `arrays.npz`; `work/` holds the state of an unfinished run. Every
file is written to a temporary name and renamed, so a reader or a killed process never sees half of one.
"""

import contextlib
import dataclasses
import datetime
import fcntl
import functools
import hashlib
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import time
import zipfile

import numpy as np
import pandas as pd

from common.errors import BusyError, UserError

SCHEMA = 1
FINISHED = ("done", "diverged")
_PACKAGES = ("tensorflow", "keras", "numpy", "scipy")


def settings_hash(replication, protocol_version, settings):
    """Returns the name of a run folder: a hash of everything that determines its numbers."""
    identity = {
        "replication": replication,
        "protocol_version": protocol_version,
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]


@contextlib.contextmanager
def replacing(path):
    """Gives a temporary path whose file takes the place of `path` when the block succeeds."""
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path, value):
    """Writes a JSON file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_rows(path, rows):
    """Writes tidy rows, one JSON object a line; values that are not finite become null."""
    lines = []
    for row in rows:
        value = row["value"]
        row = row | {"value": float(value) if np.isfinite(value) else None}
        lines.append(json.dumps(row, allow_nan=False) + "\n")
    with replacing(path) as temporary:
        temporary.write_text("".join(lines))


def read_rows(path):
    """Reads tidy rows; null values become nan."""
    try:
        rows = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is damaged ({error}); remove its folder and run it again") from None
    return [row | {"value": np.nan if row["value"] is None else row["value"]} for row in rows]


def write_arrays(path, arrays):
    """Writes a compressed .npz whole or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def provenance():
    """Returns what made a run: command, commit, versions, machine."""

    def git(*arguments):
        try:
            root = pathlib.Path(__file__).parent
            command = ["git", "-C", str(root), *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    status = git("status", "--porcelain", "--untracked-files=no")
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    main = sys.modules["__main__"].__spec__
    program = ["python", "-m", main.name.removesuffix(".__main__")] if main else ["python", sys.argv[0]]
    return {
        "argv": program + sys.argv[1:],
        "commit": git("rev-parse", "HEAD"),
        "dirty": None if status is None else bool(status),
        "versions": versions,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def now():
    """Returns the current time, UTC, as ISO 8601 to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class RunFolder:
    """One run's folder; as a context manager it belongs to this process alone.

    Args:
        out_dir: Folder of all runs.
        replication: Name of the replication.
        protocol_version: Its protocol version; raised whenever its numbers change.
        settings: Resolved settings as a dictionary of plain values.
        worker: Index of this worker; each has a lock of its own, and worker 0, the chief, writes the record.

    Raises:
        UserError: The folder cannot be made or read, another process holds it, or another schema made it.
    """

    def __init__(self, out_dir, replication, protocol_version, settings, worker=0):
        name = settings_hash(replication, protocol_version, settings)
        self.path = pathlib.Path(out_dir) / replication / name
        self.work = self.path / "work"
        self._identity = {
            "schema": SCHEMA,
            "replication": replication,
            "protocol_version": protocol_version,
            "settings": settings,
        }
        self._chief = worker == 0
        self._lock_path = self.path / (".lock" if self._chief else f".lock-{worker}")
        self.record = self._read()

    def _read(self):
        try:
            text = (self.path / "run.json").read_text()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"--out_dir: cannot read {self.path}: {error.strerror}") from None
        try:
            record = json.loads(text)
        except json.JSONDecodeError:
            raise UserError(f"{self.path}/run.json is not a record; move the folder away") from None
        if record.get("schema") != SCHEMA:
            raise UserError(
                f"{self.path} was made by record schema {record.get('schema')}, this program writes schema "
                f"{SCHEMA}; move the folder away or choose another --out_dir"
            )
        return record

    @property
    def finished(self):
        """Whether the run's results are there."""
        return self.record is not None and self.record["status"] in FINISHED

    def rows(self):
        """The rows of a finished run."""
        return read_rows(self.path / "rows.jsonl")

    def __enter__(self):
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = open(self._lock_path, "w")
        except OSError as error:
            raise UserError(
                f"--out_dir: cannot write {self.path}: {error.strerror}; choose a folder you can write"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise BusyError(f"another process is working on {self.path}; wait for it or stop it") from None
        # Another process may have finished the run before the lock was ours.
        self.record = self._read()
        return self

    def __exit__(self, *_):
        self._lock.close()

    def start(self, layout, data=None):
        """Marks the run incomplete, or checks that this process may go on with it.

        Args:
            layout: What an unfinished run must find again to give the same numbers: devices and tile.
            data: How results on the run's data must be named; None for data that the settings determine.

        Raises:
            UserError: The run was begun on another layout or other data.
        """
        self.work.mkdir(exist_ok=True)
        if self.record is None:
            times = {"started": now(), "finished": None}
            self.record = self._identity | {"status": "incomplete", "layout": layout, "times": times}
            self.record |= provenance()
            if data is not None:
                self.record["data"] = data
        elif self.record.get("data") != data:
            raise UserError(
                f"{self.path} was begun on {self.record.get('data')} and cannot go on with {data}; give the "
                "same --data_dir, or delete the folder"
            )
        elif self.record["layout"] != layout:
            raise UserError(
                f"{self.path} was begun with {self.record['layout']} and cannot go on with {layout}, whose "
                "rounding differs; go on where it was begun, or delete the folder"
            )
        self.record["status"] = "incomplete"
        self.record.pop("error", None)
        self.save()

    @contextlib.contextmanager
    def timed(self, name):
        """Adds the duration of the block, in seconds, to the record's times; `save` writes them."""
        started = time.monotonic()
        yield
        times = self.record["times"]
        times[name] = times.get(name, 0.0) + time.monotonic() - started

    def finish(self, status, rows, arrays):
        """Writes the results and drops the working state."""
        write_rows(self.path / "rows.jsonl", rows)
        if arrays:
            write_arrays(self.path / "arrays.npz", arrays)
        self.record["status"] = status
        self.record["times"]["finished"] = now()
        self.save()
        shutil.rmtree(self.work, ignore_errors=True)

    def fail(self, error):
        """Notes that the run stopped at an error; the same command goes on from its last checkpoint."""
        if self.record is not None:
            self.record |= {"status": "failed", "error": f"{type(error).__name__}: {error}"[:500]}
            self.save()

    def save(self):
        """Writes the record."""
        if self._chief:
            write_json(self.path / "run.json", self.record)


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run, as figures and claims read it.

    Args:
        path: Its folder.
        record: The content of `run.json`: settings, status, times, provenance.
    """

    path: pathlib.Path
    record: dict

    @property
    def diverged(self):
        """Whether the training diverged; then what is measured at the end of a run may be missing."""
        return self.record["status"] == "diverged"

    @property
    def seed(self):
        """Its root seed."""
        return self.record["settings"]["seed"]

    @functools.cached_property
    def rows(self):
        """The tidy rows: a pandas DataFrame."""
        return pd.DataFrame(read_rows(self.path / "rows.jsonl"))

    @functools.cached_property
    def arrays(self):
        """The saved arrays by name."""
        path = self.path / "arrays.npz"
        try:
            with np.load(path) as arrays:
                return dict(arrays)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UserError(f"cannot read {path} ({error}); remove its folder and run it again") from None


def rows_of(run, metric, **coordinates):
    """The rows of a metric with these coordinates, in order; a diverged run has none of most."""
    chosen = run.rows.metric.to_numpy() == metric
    for name, value in coordinates.items():
        chosen &= run.rows[name].to_numpy() == value if name in run.rows else False
    return run.rows[chosen]


def last(run, metric, **coordinates):
    """The last value of a metric with these coordinates; nan if there is none."""
    values = rows_of(run, metric, **coordinates).value
    return float(values.iloc[-1]) if len(values) else math.nan


def find_run(records, replication, protocol_version, settings):
    """Returns the finished `Run` of exactly these settings below the folder `records`, or None."""
    folder = RunFolder(records, replication, protocol_version, settings)
    return Run(folder.path, folder.record) if folder.finished else None
