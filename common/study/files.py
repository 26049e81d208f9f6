"""Files that are written whole or not at all, and that show when they were damaged.

A sealed folder holds files that belong together and their SHA-256, as `sha256sum -c SHA256SUMS` reads it.
"""

import contextlib
import functools
import hashlib
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import UserError

SUMS = "SHA256SUMS"


class DamagedError(UserError):
    """A file is not what was written."""


def digest(path: str | os.PathLike) -> str:
    """Returns the SHA-256 of a file, in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_digest(path: pathlib.Path) -> str:
    """The same of a file that is read often: computed once in a process, and anew when the file changes."""
    return _digest_at(path, state_of(path))


def state_of(path: pathlib.Path) -> tuple[int, int, int]:
    """Returns what changes with a file; its time alone may be in whole seconds.

    Raises:
        OSError: It is not there.
    """
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


@functools.cache
def _digest_at(path: pathlib.Path, state: tuple[int, int, int]) -> str:
    return digest(path)


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    """Adds the path to an OSError that names none, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise


def _sync(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_another_alive(process: int) -> bool:
    if process == os.getpid():  # the same number as that of one that was killed, as in a new container
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it is somebody else's
        pass
    return True


def _temporary(path: pathlib.Path) -> pathlib.Path:
    """The temporary name of `path` in this process; removes what killed processes left under theirs."""
    for leftover in path.parent.glob(f".{_escaped(path.name)}.*"):
        process = leftover.name.rpartition(".")[2]
        if process.isdecimal() and not _is_another_alive(int(process)):
            _remove(leftover)
    return path.with_name(f".{path.name}.{os.getpid()}")


def _escaped(name: str) -> str:
    return re.sub(r"([*?[])", r"[\1]", name)


def _remove(path: pathlib.Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextlib.contextmanager
def _taking_place(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Gives a temporary name, of a file or a folder, that becomes `path` when the block succeeds."""
    temporary = _temporary(path)
    try:
        with _naming(path):
            yield temporary
            os.replace(temporary, path)
    finally:
        _remove(temporary)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary path whose file takes the place of `path` when the block succeeds.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    with _taking_place(pathlib.Path(path)) as temporary:
        yield temporary
        _sync(temporary)


@contextlib.contextmanager
def sealing(folder: str | os.PathLike) -> Iterator[pathlib.Path]:
    """Gives a temporary folder that is sealed and takes the place of `folder` when the block succeeds.

    Raises:
        OSError: It cannot be written; the error names `folder`.
    """
    folder = pathlib.Path(folder)
    with _taking_place(folder) as temporary:
        temporary.mkdir(parents=True)
        yield temporary
        files = sorted(temporary.iterdir())
        (temporary / SUMS).write_text(sums_text({path.name: digest(path) for path in files}))
        for path in (*files, temporary / SUMS, temporary):
            _sync(path)
        _remove(folder)
    with _naming(folder):
        _sync(folder.parent)


def sums_text(sums: Mapping[str, str]) -> str:
    """Writes checksums, file name -> SHA-256, as `sha256sum` does."""
    return "".join(f"{value}  {name}\n" for name, value in sums.items())


def read_sums(folder: pathlib.Path, file: str = SUMS) -> dict[str, str]:
    """Reads the checksums of a folder, from this file in it: file name -> SHA-256.

    Raises:
        OSError: There are none.
        DamagedError: They are cut, or no checksums.
    """
    try:
        text = (folder / file).read_text()
        if text.endswith("\n"):
            pairs = (line.split("  ", 1) for line in text.splitlines())
            return {name: found for found, name in pairs}
    except ValueError:  # undecodable bytes, or a line without a name
        pass
    raise DamagedError(f"{folder / file} is damaged; restore it")


def is_sound(folder: str | os.PathLike) -> bool:
    """Whether a sealed folder is there and holds what was written, to the last bit."""
    folder = pathlib.Path(folder)
    try:
        sums = read_sums(folder)
        complete = set(sums) == {path.name for path in folder.iterdir()} - {SUMS}
        return complete and all(digest(folder / name) == value for name, value in sums.items())
    except (OSError, DamagedError):
        return False


def check_sealed(folder: str | os.PathLike) -> None:
    """Refuses a sealed folder that was damaged.

    Raises:
        DamagedError: One line that names the folder.
    """
    if not is_sound(folder):
        raise DamagedError(f"{folder} is damaged: its files are not those of its {SUMS}")


def write_json(path: str | os.PathLike, value: object) -> None:
    """Writes a JSON file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n")


def write_rows(path: str | os.PathLike, rows: Sequence[Mapping]) -> None:
    """Writes tidy rows, one JSON object a line; values that are not finite become null."""
    lines = []
    for row in rows:
        value = row["value"]
        row = dict(row) | {"value": float(value) if np.isfinite(value) else None}
        lines.append(json.dumps(row, allow_nan=False) + "\n")
    with replacing(path) as temporary:
        temporary.write_text("".join(lines))


def read_rows(path: str | os.PathLike) -> list[dict]:
    """Reads tidy rows; null values become nan.

    Raises:
        DamagedError: A line is no row.
    """
    try:
        rows = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
        return [row | {"value": np.nan if row["value"] is None else float(row["value"])} for row in rows]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _unreadable(path, error) from None


def write_arrays(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
    """Writes a compressed .npz whole or not at all."""
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **dict[str, Any](arrays))


def read_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads all arrays of an .npz.

    Raises:
        DamagedError: It is none, or holds objects.
    """
    try:
        with np.load(path) as arrays:
            return dict(arrays)
    except Exception as error:  # NumPy, zipfile and zlib have a dozen types for what is no archive
        raise _unreadable(path, error) from None


def _unreadable(path: str | os.PathLike, error: Exception) -> DamagedError:
    reason = getattr(error, "strerror", None) or " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return DamagedError(f"cannot read {path} ({reason}); remove its folder and run it again")
