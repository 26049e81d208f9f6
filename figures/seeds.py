"""Names of seeds, in pictures and tables."""

from collections.abc import Iterable


def ranges(seeds: Iterable[int], to: str = "-") -> str:
    """Writes seeds as ranges: "0-2, 8"."""
    groups: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if groups and seed == groups[-1][-1] + 1:
            groups[-1].append(seed)
        else:
            groups.append([seed])
    return ", ".join(str(g[0]) if len(g) == 1 else f"{g[0]}{to}{g[-1]}" for g in groups)


def named(seeds: Iterable[int]) -> str:
    """Writes seeds as words: "seed 3", "seeds 0 to 2, 8"."""
    seeds = set(seeds)
    return f"seed{'s' * (len(seeds) > 1)} {ranges(seeds, ' to ')}"
