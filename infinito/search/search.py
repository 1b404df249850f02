"""Ask for trials, tell their scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from infinito.errors import ConfigError
from infinito.search.evidence import Evidence, rewards
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler, without
from infinito.search.space.space import Space
from infinito.search.strategies.tree import describe, grow
from infinito.search.strategies.tree_search import Planner
from infinito.search.strategies.uct import UCT
from infinito.search.threads import one_thread
from infinito.search.trials import Trial, losses

STRATEGIES = ("tree", "uct", "random")
SELECTIONS = ("ucb1_tuned", "ucb1", "puct")
START = 8
"""Trials of the Sobol sequence before the surrogate is asked, the defaults not counted."""

DIRECTIONS = {"minimize": 1.0, "maximize": -1.0}


class TreeSearch:
    """A search whose proposals depend on the seed, the trial's number and the trials before it.

    Args:
        space: What is searched.
        directions: "minimize" or "maximize" for each objective.
        seed: Another seed, another search.
        strategy: "tree", "uct" (plain UCT over values cut into steps) or "random".
        exploration: The factor c of UCB, for scores scaled to [0, 1].
        selection: "ucb1_tuned", "ucb1" or "puct".
        max_depth: The tree is not split below this depth.
        defaults: Points that are tried first; parameters that one leaves out are drawn.
        prior_trials: Trials of earlier searches; they inform proposals and are not counted.
        trials: The trials of this search so far, where it goes on from a journal.

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
    ) -> None:
        _check_words(directions, strategy, selection)
        _check_numbers(exploration, max_depth)
        self.space = space
        self.directions = tuple(directions)
        self.signs = [DIRECTIONS[direction] for direction in directions]
        self.seed = seed
        self.strategy = strategy
        self.max_depth = max_depth
        self.sampler = Sampler(space, seed, defaults)
        self._planner = Planner(self.sampler, selection, exploration, max_depth)
        self._uct = UCT(space, exploration, max_depth)
        self.prior_trials = list(prior_trials)
        self.trials = list(trials)
        self._rows: list[Array] = []
        self._evidence()

    def ask(self, n: int = 1) -> list[Trial]:
        """Up to n new running trials; fewer once every point of the space has been tried."""
        asked: list[Trial] = []
        with one_thread():
            while len(asked) < n and (row := self._propose()) is not None:
                asked.append(Trial(len(self.trials), self.sampler.decode(row)))
                self.trials.append(asked[-1])
        return asked

    def tell(
        self,
        number: int,
        values: float | Sequence[float] | None = None,
        error: str | None = None,
    ) -> Trial:
        """Records a trial's scores, or that it failed.

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
        """The finished trial with the best first score; the earliest of equals."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        if not finished:
            return None
        return finished[int(np.argmin(losses(finished, self.signs)[:, 0]))]

    def pareto_front(self) -> list[Trial]:
        """The finished trials that no other beats in one objective without losing in another."""
        finished = [trial for trial in self.trials if trial.state == "finished"]
        table = losses(finished, self.signs)
        return [
            trial
            for trial, row in zip(finished, table, strict=True)
            if not np.any(np.all(table <= row, axis=1) & np.any(table < row, axis=1))
        ]

    def tree(self) -> dict[str, Any]:
        """The tree over the trials so far, as nested plain values.

        Every node has `visits`, `value` (mean reward of its trials: 1 − rank of the loss, in
        [0, 1]), `depth`, `best` (number of its best trial, or None), `split` (text, or None in a
        leaf), `lies_in` (how it differs from its sibling, as text) and `children`.
        """
        evidence = self._evidence()
        losses = evidence.losses()
        root = grow(self.space, evidence.rows, rewards(losses), self.max_depth)
        return describe(self.space, root, evidence.numbers, losses)

    def regions_of(self, number: int) -> list[set[int]]:
        """The other trials in each region of the tree that holds a trial, its leaf first."""
        evidence = self._evidence()
        root = grow(self.space, evidence.rows, rewards(evidence.losses()), self.max_depth)
        row, walk = self.space.encode(self.trials[number].params)[None], [root]
        while inside := [child for child in walk[-1].children if child.region.holds(row)[0]]:
            walk.append(inside[0])
        members = [{int(evidence.numbers[index]) for index in node.members} for node in walk]
        return [each - {number} for each in reversed(members)]

    def _propose(self) -> Array | None:
        number, evidence = len(self.trials), self._evidence()
        if number < self._planned:
            for row in without(self.sampler.design(number + 1), evidence.rows):
                return row
        rng = self.sampler.random(number)
        row = self._chosen(evidence, rng) if evidence.is_known.any() else None
        if row is not None:
            return row
        left = self.sampler.untried(rng, 1, evidence.rows)
        return left[0] if len(left) else None

    def _chosen(self, evidence: Evidence, rng: np.random.Generator) -> Array | None:
        """What the strategy proposes, if it has something new to propose."""
        if self.strategy == "tree":
            return self._planner.propose(evidence, rng)
        if self.strategy == "uct":
            row = self._uct.propose(evidence.rows, rewards(evidence.losses(rng)), rng)
            return row if row is not None and len(without(row[None], evidence.rows)) else None
        return None

    @property
    def _planned(self) -> int:
        """How many trials come from the design: the defaults, then a start for the surrogate."""
        defaults = len(self.sampler.defaults)
        if self.strategy != "tree":
            return defaults
        return defaults + max(0, START - len(self.prior_trials))

    def _evidence(self) -> Evidence:
        every = [*self.prior_trials, *self.trials]
        self._rows += [self.space.encode(trial.params) for trial in every[len(self._rows) :]]
        rows = np.reshape(self._rows, (len(every), len(self.space.names)))
        return Evidence.of(rows, self.prior_trials, self.trials, self.signs)


def _check_words(directions: Sequence[str], strategy: str, selection: str) -> None:
    faults = []
    if not directions:
        faults.append("`directions` is empty; expected `minimize` or `maximize` for each objective")
    for direction in directions:
        if direction not in DIRECTIONS:
            faults.append(f"`directions` has {direction!r}; expected `minimize` or `maximize`")
    if strategy not in STRATEGIES:
        faults.append(f"`strategy`={strategy!r}; expected one of {', '.join(STRATEGIES)}")
    if selection not in SELECTIONS:
        faults.append(f"`selection`={selection!r}; expected one of {', '.join(SELECTIONS)}")
    if faults:
        raise ConfigError(faults)


def _check_numbers(exploration: float, max_depth: int) -> None:
    numbers = {"exploration": exploration, "max_depth": max_depth}
    faults = [f"`{k}`={v}; expected 0 or more" for k, v in numbers.items() if not v >= 0]
    if faults:
        raise ConfigError(faults)
