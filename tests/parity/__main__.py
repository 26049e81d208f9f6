"""`python -m tests.parity`: our greatest differences from the official code, and the page that shows them."""

import os
import pathlib
import sys

from absl import flags

from common.errors import UserError
from common.study.command_line import exit_status, parse_flags
from common.study.files import replacing
from common.study.startup import import_quietly

_USAGE = "python -m tests.parity [--data_dir=DIR] [--write_docs]"


def main(argv: list[str] | None = None) -> None:
    """Runs the command line and exits with its status: 1 if a difference is above its tolerance."""
    flag_values = flags.FlagValues()
    flags.DEFINE_string(
        "data_dir",
        os.environ.get("PARITY_DATA"),
        "Folder of the official code's outputs; by default that of the environment variable PARITY_DATA.",
        flag_values=flag_values,
    )
    flags.DEFINE_bool("write_docs", False, "Also writes docs/parity.md.", flag_values=flag_values)
    with exit_status("parity"):
        parse_flags(flag_values, sys.argv if argv is None else argv, _USAGE)
        if not flag_values.data_dir:
            raise UserError(
                "--data_dir: names the folder of the official code's outputs; so does PARITY_DATA"
            )
        if not pathlib.Path(flag_values.data_dir).is_dir():
            raise UserError(f"--data_dir={flag_values.data_dir}: no such folder")
        sys.exit(_compare(flag_values.data_dir, flag_values.write_docs))


def _compare(folder: str, write_docs: bool) -> int:
    """Prints all differences; returns the exit status."""
    page = import_quietly("tests.parity.page")
    from tests.parity.checks import CHECKS
    from tests.parity.outputs import OfficialOutputs

    found = page.differences(OfficialOutputs(folder))
    for check in CHECKS:
        print(f"{check.name:38} {found[check.name]:8.2g}  tolerance {check.tolerance:.2g}")
    above = [check.name for check in CHECKS if not found[check.name] <= check.tolerance]
    if above:
        print(f"parity: above tolerance: {', '.join(above)}", file=sys.stderr)
        return 1
    if write_docs:
        with replacing(page.PATH) as temporary:
            temporary.write_text(page.text(found))
        print(f"page: {page.PATH}")
    return 0


if __name__ == "__main__":
    main()
