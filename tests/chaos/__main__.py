"""`python -m tests.chaos [--report] [WORD ...]`: tries everything, or the kinds whose names hold a word.

With --report the page docs/reliability.md is written. Ends with status 1 if there was a problem.
"""

import sys

from common.study.command_line import exit_status
from tests.chaos import report

if __name__ == "__main__":
    with exit_status("tests.chaos"):
        words = [word for word in sys.argv[1:] if word != "--report"]
        chosen = {
            kind: tried
            for kind, tried in report.kinds().items()
            if not words or any(word in kind for word in words)
        }
        tallies = list(report.run_kinds(chosen))
        if "--report" in sys.argv:
            report.PAGE.write_text(report.page(tallies))
    sys.exit(any(tally.problems for tally in tallies))
