"""Ask for trials, tell their scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from infinito.errors import ConfigError
from infinito.search.evidence import EARLIER_SEARCH, Evidence, compute_rewards
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler, exclude
from infinito.search.space.space import Space
from infinito.search.strategies.random_search import RandomSearch
from infinito.search.strategies.strategy import Strategy
from infinito.search.strategies.tree import Node, describe
from infinito.search.strategies.tree_search import SELECTIONS, TreeSearch, grow
from infinito.search.strategies.uct import UCT
from infinito.search.surrogate.fitting import Fits
from infinito.search.surrogate.threads import use_one_thread
from infinito.search.trials import Trial, tabulate_losses

STRATEGIES = ("tree", "uct", "random")

DIRECTIONS = {"minimize": 1.0, "maximize": -1.0}
"""Signs that turn a score into a loss."""


class Search:
    """A search whose proposals depend on the seed, the trial's number and the trials before it.

    Args:
        space: What is searched.
        directions: "minimize" or "maximize" for each objective.
        seed: Another seed, another search.
        strategy: "tree", "uct" (plain UCT over values cut into steps) or "random".
        exploration: The factor c of the confidence bound, for scores scaled to [0, 1].
        selection: "ucb1_tuned", "ucb1" or "puct".
        max_depth: The tree is not split below this depth.
        defaults: Points that are tried first; parameters that one leaves out are drawn.
        prior_trials: Trials of earlier searches; they inform proposals and are not counted.
        trials: The trials of this search so far, where it goes on from a journal.
        fits: The `fits` of the search until then: it goes on at once, and not only after it has
            fitted everything anew.

    Attributes:
        fits: What the strategy has fitted so far, by a digest of the trials it was fitted to.

    Raises:
        ConfigError: An unknown word, a negative number, a default or an earlier trial outside the
            space.
    """

    def __init__(
        self,
        space: Space,
        *,
        directions: Sequence[str] = ("minimize",),
        seed: int = 0,
        strategy: str = "tree",
        exploration: float = math.sqrt(2),
        selection: str = "ucb1_tuned",
        max_depth: int = 15,
        defaults: Sequence[Mapping[str, Any]] = (),
        prior_trials: Sequence[Trial] = (),
        trials: Sequence[Trial] = (),
        fits: Mapping[str, list[float]] | None = None,
    ) -> None:
        faults = [
            *direction_faults(directions, "directions"),
            *strategy_faults(strategy, selection, exploration, max_depth),
        ]
        if faults:
            raise ConfigError(faults)
        self.space = space
        self.directions = tuple(directions)
        self.signs = [DIRECTIONS[direction] for direction in directions]
        self.max_depth = max_depth
        self.sampler = Sampler(space, seed, defaults)
        self.fits: Fits = dict(fits or {})
        self.strategy = make_strategy(
            strategy, self.sampler, selection, exploration, max_depth, self.fits
        )
        self.prior_trials = list(prior_trials)
        self.trials = list(trials)
        self._rows: list[Array] = []
        self._collect_evidence()  # raises where a trial is not of this space

    def ask(self, n: int = 1) -> list[Trial]:
        """Return up to n new running trials; fewer once every point of the space has been tried."""
        proposed: list[Trial] = []
        with use_one_thread():
            while len(proposed) < n and (row := self._propose()) is not None:
                proposed.append(Trial(len(self.trials), self.sampler.decode(row)))
                self.trials.append(proposed[-1])
        return proposed

    def tell(
        self,
        number: int,
        values: float | Sequence[float] | None = None,
        error: str | None = None,
    ) -> Trial:
        """Record a trial's scores, or that it failed.

        A score that is NaN or infinite counts as a failure.

        Raises:
            ConfigError: No such trial is running, or there are not as many scores as objectives.
        """
        if not 0 <= number < len(self.trials) or self.trials[number].state != "running":
            raise ConfigError(f"trial {number} is not running; expected the number of one that is")
        trial = self.trials[number]
        if error is None and values is not None:
            scores = tuple(map(float, np.atleast_1d(np.asarray(values, dtype=float))))
            if len(scores) != len(self.signs):
                raise ConfigError(
                    f"trial {number} has {len(scores)} scores; expected {len(self.signs)}, one for "
                    "each of the directions"
                )
            if all(map(math.isfinite, scores)):
                trial.values, trial.state = scores, "finished"
                return trial
            error = f"the score is {scores[0] if len(scores) == 1 else scores}"
        trial.error, trial.state = error or "no score", "failed"
        return trial

    def best(self) -> Trial | None:
        """Return the finished trial with the best first score; the earliest of equals."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        if not finished:
            return None
        return finished[int(np.argmin(tabulate_losses(finished, self.signs)[:, 0]))]

    def pareto_front(self) -> list[Trial]:
        """Return the finished trials that no other beats in one objective at no loss in another."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        table = tabulate_losses(finished, self.signs)
        return [
            trial
            for trial, row in zip(finished, table, strict=True)
            if not np.any(np.all(table <= row, axis=1) & np.any(table < row, axis=1))
        ]

    def tree(self) -> dict[str, Any]:
        """Return the tree over the trials so far, whatever the strategy, as nested plain values.

        Every node has `visits`, `value` (mean reward of its trials: 1 − rank of the loss, in
        [0, 1]), `depth`, `best` (number of its best trial, or None), `split` (text, or None in a
        leaf), `lies_in` (how it differs from its sibling, as text) and `children`.
        """
        evidence = self._collect_evidence()
        root = self._grow(evidence)
        return describe(self.space, root, evidence.numbers, evidence.scalarise())

    def list_regions(self, number: int) -> list[set[int]]:
        """Return the other trials in each region of the tree that holds a trial, its leaf first.

        Trials of earlier searches are not among them.
        """
        evidence = self._collect_evidence()
        row, walk = self.space.encode(self.trials[number].params)[None], [self._grow(evidence)]
        while inside := [child for child in walk[-1].children if child.region.holds(row)[0]]:
            walk.append(inside[0])
        numbers = [set(map(int, evidence.numbers[node.members])) for node in reversed(walk)]
        return [each - {number, EARLIER_SEARCH} for each in numbers]

    def _propose(self) -> Array | None:
        number, evidence = len(self.trials), self._collect_evidence()
        if number < self._design_size:
            untried: Array = exclude(self.sampler.design(number + 1), evidence.rows)
            if len(untried):
                first: Array = untried[0]
                return first
        rng = self.sampler.make_generator(number)
        row = self.strategy.propose(evidence, rng) if evidence.is_known.any() else None
        if row is not None:
            return row
        drawn = self.sampler.draw_untried(rng, 1, evidence.rows)
        return drawn[0] if len(drawn) else None

    @property
    def _design_size(self) -> int:
        """How many trials need no scores: the defaults, then the strategy's initial points."""
        initial_points = max(0, self.strategy.initial_points - len(self.prior_trials))
        return len(self.sampler.defaults) + initial_points

    def _grow(self, evidence: Evidence) -> Node:
        rewards = compute_rewards(evidence.scalarise())
        return grow(self.space, evidence.rows, rewards, self.max_depth)

    def _collect_evidence(self) -> Evidence:
        every = [*self.prior_trials, *self.trials]
        self._rows += [self.space.encode(trial.params) for trial in every[len(self._rows) :]]
        rows = np.reshape(self._rows, (len(every), len(self.space.names)))
        return Evidence.collect(rows, self.prior_trials, self.trials, self.signs)


def make_strategy(
    name: str,
    sampler: Sampler,
    selection: str,
    exploration: float,
    max_depth: int,
    fits: Fits | None = None,
) -> Strategy:
    """Make the strategy of this name; see `Search` for the arguments."""
    match name:
        case "tree":
            return TreeSearch(sampler, selection, exploration, max_depth, fits)
        case "uct":
            return UCT(sampler, exploration, max_depth)
        case "random":
            return RandomSearch(sampler)
    raise AssertionError(f"strategy {name!r} has no class")


def direction_faults(directions: Sequence[str], key: str) -> Iterator[str]:
    """Yield what is wrong with the directions, which are given under this key."""
    if not directions:
        yield f"`{key}` is empty; expected `minimize` or `maximize` for each objective"
    for direction in directions:
        if direction not in DIRECTIONS:
            yield f"`{key}` has {direction!r}; expected `minimize` or `maximize`"


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
