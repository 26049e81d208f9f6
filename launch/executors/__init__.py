"""Where the processes of a sweep run: on this machine, in Slurm, or wherever their lines are pasted.

An executor has one method, `run(study, jobs, out_dir)`: it runs `jobs.SweepProcess`es and returns those that
failed.
"""

from collections.abc import Sequence
from typing import Protocol

from common.study.runs import Study
from launch.jobs import SweepProcess


class Executor(Protocol):
    """Runs the processes of a sweep."""

    def run(self, study: Study, jobs: Sequence[SweepProcess], out_dir: str) -> list[SweepProcess]:
        """Runs them all and returns those that failed.

        Raises:
            KeyboardInterrupt: A signal came.
        """
