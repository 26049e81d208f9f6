"""`python -m launch.freeze`: freezes the checks of all claims, before the seeds that decide them are run.

It writes digest, commit and first deciding seed of each check that is new or edited, and refuses one whose
deciding seeds are recorded already: whoever edits a check has seen them. Commit the files that it writes.
"""

import json
import pathlib
import subprocess
import sys
from typing import Any

from absl import flags

from common.errors import UserError
from common.study.claims import Claim, Evidence
from common.study.command_line import SCALES, exit_status, parse_flags
from common.study.folders import check_folder
from common.study.frozen import claims_to_freeze, digest_of, frozen_file, read_frozen
from common.study.runs import Study, load_study, study_names

_ROOT = pathlib.Path(__file__).parents[1]
_RUNS = "results/runs"  # of runs that are not packed yet


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(["git", *arguments], cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        words = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
        raise UserError(
            f"a frozen check names its commit, and git says: {words[-1] if words else error}"
        ) from None
    return done.stdout.strip()


def recorded_seeds(study: Study, claim: Claim, records: str) -> list[int]:
    """Returns the seeds from `confirmatory_from` on that a claim's figures have at any scale."""
    seeds: set[int] = set()
    for scale in SCALES:
        evidence = Evidence(study, claim.figures, records, scale, claim.confirmatory_from)
        seeds |= evidence.deciding_seeds()
    return sorted(seeds)


def _freeze(study: Study, records: str, commit: str) -> dict[str, Any]:
    new = {}
    for claim in claims_to_freeze(study.name):
        for folder in (records, _RUNS):
            if seeds := recorded_seeds(study, claim, folder):
                raise UserError(
                    f"{study.name} claim {claim.number}: its check is new, and seed {seeds[-1]} is in "
                    f"{folder}; confirmatory_from must be above it"
                )
        digest, first = digest_of(claim.check), claim.confirmatory_from
        new[str(claim.number)] = {"digest": digest, "commit": commit, "confirmatory_from": first}
    return new


def _freeze_all(records: str) -> None:
    if _git("status", "--porcelain", "--untracked-files=no", "--", "replications", "common"):
        raise UserError("replications and common: commit the checks first, a frozen check names its commit")
    commit = _git("rev-parse", "HEAD")
    for name in study_names():
        if new := _freeze(load_study(name), records, commit):
            entries = read_frozen(name) | new
            text = json.dumps({key: entries[key] for key in sorted(entries, key=int)}, indent=1)
            frozen_file(name).write_text(text + "\n")
        print(f"{name}: froze claims {', '.join(new)}" if new else f"{name}: nothing to freeze")


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status."""
    flag_values = flags.FlagValues()
    flags.DEFINE_string(
        "records", "results/reference", "Folder of the packed records.", flag_values=flag_values
    )
    with exit_status("freeze", goes_on=False):
        parse_flags(
            flag_values, sys.argv if argv is None else argv, "python -m launch.freeze [--records=DIR]"
        )
        check_folder("records", flag_values.records, "name the folder of the packed records")
        _freeze_all(flag_values.records)


if __name__ == "__main__":
    main()
