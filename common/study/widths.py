"""The runs of one network over width, compared seed by seed."""

from collections.abc import Mapping, Sequence
from typing import Any

from .run_folders import Run

Members = Mapping[int, Mapping[int, Run]]


def with_common_seeds(groups: Members) -> dict[int, dict[int, Run]]:
    """Returns {width: {seed: Run}} with the seeds that all widths have, in increasing order.

    A seed with a diverged run is left out if two others stay, since a diverged run has no threshold.
    """
    seeds = sorted(set.intersection(*map(set, groups.values())))
    whole = [s for s in seeds if not any(members[s].diverged for members in groups.values())]
    seeds = whole if len(whole) > 1 else seeds
    return {width: {seed: members[seed] for seed in seeds} for width, members in groups.items()}


def by_width(runs: Sequence[tuple[Any, Run]]) -> dict[int, dict[int, Run]]:
    """Groups (settings, Run) by width: {width: {seed: Run}}, increasing, the seeds that all widths have."""
    groups: dict[int, dict[int, Run]] = {}
    for settings, run in sorted(runs, key=lambda pair: (pair[0].width, pair[0].seed)):
        groups.setdefault(settings.width, {})[settings.seed] = run
    return with_common_seeds(groups)
