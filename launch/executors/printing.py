"""`--executor=print`: the processes of a sweep as lines to paste, teachers before their students."""

import shlex
from collections.abc import Sequence

from common.study.runs import Study
from launch.jobs import SweepProcess


class PrintExecutor:
    """Writes argv lines and runs nothing."""

    def run(self, study: Study, jobs: Sequence[SweepProcess], out_dir: str) -> list[SweepProcess]:
        """Prints one line a process."""
        for job in jobs:
            print(shlex.join(job.argv))
        return []
