"""Folders and files that the command line names, looked at before anything is made. Loads no TensorFlow."""

import os
import pathlib

from ..errors import UserError


def is_writable(folder: pathlib.Path) -> bool:
    """Whether files can be made in a folder; root may write to /proc and /sys by their permissions alone."""
    return os.access(folder, os.W_OK) and folder.absolute().parts[1:2] not in (("proc",), ("sys",))


def check_folder_to_make(flag: str, name: str, written: bool = True) -> None:
    """Refuses a folder that cannot be made or written.

    Args:
        flag: Name of the flag that names it.
        name: The folder.
        written: Whether something will be written to it.

    Raises:
        UserError: One line that names the flag.
    """
    if not name:
        raise UserError(f"--{flag}=: names no folder")
    path = pathlib.Path(name).absolute()
    _check_names(flag, path)
    existing = next(p for p in (path, *path.parents) if _exists(flag, p))
    if existing != path and path.is_symlink():
        raise UserError(f"--{flag}={name}: is a link to nothing; choose a folder")
    if not existing.is_dir():
        raise UserError(f"--{flag}={name}: {existing} is a file; choose a folder")
    if written and not is_writable(existing):
        raise UserError(f"--{flag}={name}: {existing} is not writable; choose another folder")


def check_folder(flag: str, name: str, advice: str) -> None:
    """Refuses a folder that is not there.

    Args:
        flag: Name of the flag that names it.
        name: The folder.
        advice: What to do if there is no such folder.

    Raises:
        UserError: One line that names the flag.
    """
    if not name:
        raise UserError(f"--{flag}=: names no folder")
    _check_names(flag, pathlib.Path(name))
    if not _exists(flag, pathlib.Path(name)):
        raise UserError(f"--{flag}={name}: no such folder; {advice}")
    if not pathlib.Path(name).is_dir():
        raise UserError(f"--{flag}={name}: is a file; choose a folder")


def check_file_to_make(flag: str, name: str) -> None:
    """Refuses a file that cannot be made: its folder must be there.

    Args:
        flag: Name of the flag that names it.
        name: The file.

    Raises:
        UserError: One line that names the flag.
    """
    path = pathlib.Path(name)
    _check_names(flag, path)
    if not name or not _exists(flag, path.absolute().parent) or path.is_dir() or not path.parent.is_dir():
        raise UserError(f"--{flag}={name}: must be a file in a folder that exists")
    if not is_writable(path.parent):
        raise UserError(f"--{flag}={name}: its folder is not writable; choose another one")


_LONGEST_NAME = 240  # bytes; file systems take 255, and temporary names are a little longer


def _check_names(flag, path):
    longest = max((len(part.encode()) for part in path.parts), default=0)
    if longest > _LONGEST_NAME:
        raise UserError(f"--{flag}: has a name of {longest} bytes; at most {_LONGEST_NAME} will do")


def _exists(flag, path):
    try:
        return path.exists()
    except OSError as error:
        raise UserError(f"--{flag}: cannot look into {path.parent}: {error.strerror}") from None
