"""Makes the strategy of a search, and says what is wrong with its settings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from infinito.search.rungs import ONE_RUNG, Rungs
from infinito.search.space.sampling import Sampler
from infinito.search.strategies.random_search import RandomSearch
from infinito.search.strategies.strategy import Strategy
from infinito.search.strategies.tree_search import SELECTIONS, TreeSearch
from infinito.search.strategies.uct import UCT
from infinito.search.surrogate.fitting import Fits

STRATEGIES = ("tree", "uct", "random")

AUTO = "auto"
"""As `repeats`: the search decides which points to try again."""


def make_strategy(
    name: str,
    sampler: Sampler,
    selection: str,
    exploration: float,
    max_depth: int,
    fits: Fits | None = None,
    repeats: int | str = 1,
    rungs: Rungs = ONE_RUNG,
) -> Strategy:
    """Make the strategy of this name; see `Search` for the arguments."""
    match name:
        case "tree":
            return TreeSearch(
                sampler,
                selection,
                exploration,
                max_depth,
                fits,
                is_noisy=repeats != 1,
                replicates=repeats == AUTO,
                learns_curves=rungs is not ONE_RUNG,
            )
        case "uct":
            return UCT(sampler, exploration, max_depth)
        case "random":
            return RandomSearch(sampler)
    raise AssertionError(f"strategy {name!r} has no class")


def repeats_faults(
    repeats: Any, strategy: str, directions: Sequence[str], prefix: str = ""
) -> Iterator[str]:
    """Yield what is wrong with `repeats`, whose key begins with a prefix."""
    key = f"`{prefix}repeats`={repeats}"
    is_count = isinstance(repeats, int) and not isinstance(repeats, bool)
    if repeats != AUTO and not (is_count and repeats >= 1):
        yield f"{key}: expected a whole number of at least 1, or `{AUTO}`"
    elif repeats == AUTO and strategy != "tree":
        yield f"{key} needs `{prefix}strategy=tree`, not {strategy}; or give a number"
    if repeats != 1 and len(directions) > 1:
        yield f"{key} needs one objective, and there are {len(directions)}; expected 1"


def strategy_faults(
    strategy: str, selection: str, exploration: float, max_depth: int, prefix: str = ""
) -> Iterator[str]:
    """Yield what is wrong with a strategy's settings, whose keys begin with a prefix."""
    for key, word, known in (
        ("strategy", strategy, STRATEGIES),
        ("selection", selection, SELECTIONS),
    ):
        if word not in known:
            yield f"`{prefix}{key}`={word!r}; expected one of {', '.join(known)}"
    for key, number in (("exploration", exploration), ("max_depth", max_depth)):
        if not number >= 0:
            yield f"`{prefix}{key}`={number}; expected 0 or more"
