"""Learning rates so large that training must diverge: the record has to say so, with the step."""

import dataclasses
import json
import math
import pathlib

from tests.chaos import programs
from tests.chaos.result import Tally

KIND = "learning rates that diverge"
RATES = ("1e6", "1e9", "1e15", "1e22", "1e30")
SAID, FINITE = "diverged, with the step", "finite numbers"


def disturbed(chosen: programs.Program, rate: str) -> programs.Program:
    """The program with another learning rate."""
    return dataclasses.replace(chosen, arguments=(*chosen.arguments, f"--learning_rate={rate}"))


def try_rates(tally: Tally, chosen: programs.Program, folder: pathlib.Path, rates: tuple = RATES) -> None:
    """Trains at each rate: the status is diverged and a row says at which step, or all numbers are finite."""
    for rate in rates:
        faster, out_dir = disturbed(chosen, rate), folder / f"rate-{rate}"
        verdict = _judge(faster, out_dir, programs.run(faster, out_dir))
        tally.add(f"{chosen.name}, --learning_rate={rate}", verdict, (SAID, FINITE))


def _judge(chosen, out_dir, outcome):
    if outcome.status or outcome.error:
        return f"status {outcome.status}: {outcome.error[-300:]}"
    folder = chosen.folder(out_dir)
    status = json.loads((folder / "run.json").read_text())["status"]
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    diverged = [row for row in rows if row["metric"] == "diverged" and row["value"] == 1]
    if status == "diverged":
        placed = all(row.get("step") or row.get("examples") for row in diverged)
        return SAID if diverged and placed else "no row says at which step"
    undefined = sorted(
        {row["metric"] for row in rows if row["value"] is None or not math.isfinite(row["value"])}
    )
    return f"{status} with {', '.join(undefined)} undefined" if undefined else FINITE
