"""What a kind of disturbance found."""

import collections
import contextlib
import dataclasses
import os
import pathlib
import sys

from tests.chaos.programs import EQUAL, REFUSED


@dataclasses.dataclass
class Tally:
    """Counts of one kind.

    Args:
        kind: Its name.
        tried: What is counted, such as "moments".
        verdicts: How often each end.
        problems: What ended badly, a text each.
    """

    kind: str
    tried: str
    verdicts: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    problems: list = dataclasses.field(default_factory=list)

    def add(self, what: str, verdict: str, good: tuple = (EQUAL, REFUSED)) -> None:
        """Counts a scenario; a verdict that is not good is a problem, shown at once."""
        if verdict in good:
            self.verdicts[verdict] += 1
        else:
            self.verdicts["problem"] += 1
            self.problems.append(f"{what}: {verdict}")
            print(f"\n{self.kind}, {self.problems[-1]}", file=sys.stderr)

    def add_leaks(self, what: str, before: "Held") -> None:
        """Adds a problem if this process holds more than before a scenario."""
        after = Held.now()
        if more := after.more_than(before):
            self.problems.append(f"{what}: {more}")
            print(f"\n{self.kind}, {self.problems[-1]}", file=sys.stderr)

    @property
    def number(self) -> int:
        """How many scenarios were tried."""
        return self.verdicts.total()


def _children() -> frozenset:
    """The processes of all threads of this one; looked at again if a thread ended meanwhile."""
    while True:
        with contextlib.suppress(FileNotFoundError):
            tasks = pathlib.Path("/proc/self/task").iterdir()
            return frozenset(child for task in tasks for child in (task / "children").read_text().split())


@dataclasses.dataclass(frozen=True)
class Held:
    """What a process must give back: open files and children."""

    descriptors: frozenset
    children: frozenset

    @classmethod
    def now(cls) -> "Held":
        """What this process holds."""
        descriptors = set()
        for name in os.listdir("/proc/self/fd"):
            try:
                target = os.readlink(f"/proc/self/fd/{name}")
            except OSError:  # the descriptor of the listing itself
                continue
            descriptors.add((name, target))
        return cls(frozenset(descriptors), _children())

    def more_than(self, before: "Held") -> str:
        """Says what is held now and was not before; empty if nothing is."""
        files = sorted(target for _, target in self.descriptors - before.descriptors)
        found = [f"still open: {', '.join(files)}"] if files else []
        if self.children - before.children:
            found.append(f"{len(self.children - before.children)} processes left")
        return "; ".join(found)
