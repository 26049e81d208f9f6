"""Damage to every file that an unfinished and a finished run leave, whatever files these are."""

import os
import pathlib
import re
import shutil

import numpy as np

from tests.chaos import faults, programs
from tests.chaos.result import Tally

KIND = "damaged files"


def _cut(path):
    path.write_bytes(path.read_bytes()[:-1])


def _empty(path):
    path.write_bytes(b"")


def _flip(path):
    content = bytearray(path.read_bytes())
    if content:
        content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _randomize(path):
    rng = np.random.default_rng(path.stat().st_size)
    path.write_bytes(rng.bytes(max(1, path.stat().st_size)))


WAYS = {
    "cut": _cut,
    "emptied": _empty,
    "flipped": _flip,
    "removed": pathlib.Path.unlink,
    "random": _randomize,
}


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All files of a run, relative to its folder."""
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def unfinished(chosen: programs.Program, folder: pathlib.Path) -> list[pathlib.Path]:
    """Leaves runs that were killed at two thirds and at one of their way; returns their `out_dir`s."""
    num_steps = faults.count_steps(chosen, folder / "counted")
    found = []
    for number, first in enumerate((2 * num_steps // 3, num_steps // 3)):
        found.append(folder / f"unfinished-{number}")
        faults.kill(chosen, found[-1], first)
    return found


def _cases(chosen, states, ways):
    """Every file in every way; of a state after the first, files of a kind that no state before it has."""
    kinds = set()
    for state in states:
        names = files(chosen.folder(state))
        new = [name for name in names if _kind(name) not in kinds]
        kinds |= set(map(_kind, names))
        yield from ((state, name, way) for name in new for way in ways)


def _kind(name):
    return re.sub(r"\d+", "N", str(name))


def try_damage(
    tally: Tally, chosen: programs.Program, folder: pathlib.Path, ways: tuple = tuple(WAYS), every: int = 1
) -> None:
    """Damages files of a finished and of unfinished runs in each way; one case in `every` is tried."""
    whole = folder / "whole"
    assert programs.run(chosen, whole).status == 0
    expected = programs.results(chosen.folder(whole))
    cases = [*_cases(chosen, (whole,), ways), *_cases(chosen, unfinished(chosen, folder), ways)]
    for number, (state, name, way) in enumerate(cases[::every]):
        out_dir = folder / f"damaged-{number}"
        shutil.copytree(state, out_dir)
        WAYS[way](chosen.folder(out_dir) / name)
        verdict = _judge(chosen, out_dir, expected)
        tally.add(f"{chosen.name}, {state.name}, {name} {way}", verdict)
        shutil.rmtree(out_dir)


def _judge(chosen, out_dir: os.PathLike, expected):
    outcome = programs.run(chosen, out_dir)
    if outcome.is_one_line and str(chosen.folder(out_dir)) not in outcome.error:
        return f"a line without the folder: {outcome.error!r}"
    return programs.judge_with_recovery(chosen, out_dir, outcome, expected)
