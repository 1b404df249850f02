"""Ask for trials, tell their scores."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from infinito.errors import ConfigError
from infinito.search.evidence import EARLIER_SEARCH, Evidence, compute_rewards
from infinito.search.recommendation import recommend
from infinito.search.rungs import ONE_RUNG, Rungs, choose_promotion, collect_curves, extrapolate
from infinito.search.space.parameters import Array
from infinito.search.space.sampling import Sampler, exclude
from infinito.search.space.space import Space
from infinito.search.strategies.assembly import make_strategy, repeats_faults, strategy_faults
from infinito.search.strategies.tree import Node, describe
from infinito.search.strategies.tree_search import grow
from infinito.search.surrogate.fitting import Fits
from infinito.search.surrogate.threads import use_one_thread
from infinito.search.trials import Confirmed, Trial, tabulate_losses

DIRECTIONS = {"minimize": 1.0, "maximize": -1.0}
"""Signs that turn a score into a loss."""

FIRST_FRESH = 1_000_000
"""Repeats from this one on have seeds that confirm: no trial of a search goes so far."""


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
        repeats: Trials of each point, each with another seed: a number, or "auto" to try a point
            again where that tells more than a new one. Other than 1, it also says that scores are
            noisy.
        rungs: Where trials pause on the way of their training; the promising ones go on.
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
        repeats: int | str = 1,
        rungs: Rungs = ONE_RUNG,
        defaults: Sequence[Mapping[str, Any]] = (),
        prior_trials: Sequence[Trial] = (),
        trials: Sequence[Trial] = (),
        fits: Mapping[str, list[float]] | None = None,
    ) -> None:
        faults = [
            *direction_faults(directions, "directions"),
            *strategy_faults(strategy, selection, exploration, max_depth),
            *repeats_faults(repeats, strategy, directions),
        ]
        if faults:
            raise ConfigError(faults)
        self.space = space
        self.directions = tuple(directions)
        self.signs = [DIRECTIONS[direction] for direction in directions]
        self.max_depth = max_depth
        self.sampler = Sampler(space, seed, defaults)
        self.fits: Fits = dict(fits or {})
        self.repeats = repeats
        self.rungs = rungs
        self.strategy = make_strategy(
            strategy, self.sampler, selection, exploration, max_depth, self.fits, repeats, rungs
        )
        self.prior_trials = list(prior_trials)
        self.trials = list(trials)
        self._rows: list[Array] = []
        self._collect_evidence()  # raises where a trial is not of this space

    def ask(self, n: int = 1) -> list[Trial]:
        """Return up to n new running trials; fewer once every point of the space has been tried."""
        proposed: list[Trial] = []
        with use_one_thread():
            while len(proposed) < n and (trial := self._propose_trial()) is not None:
                self.trials.append(trial)
                proposed.append(trial)
        return proposed

    def promote(self, closing: bool = False) -> Trial | None:
        """Return the paused trial that goes on to its next rung, running; None where none does.

        Args:
            closing: The search ends: the best trial of a rung goes on however few there are.
        """
        trial = choose_promotion(self.own_trials, self.signs[0], self.rungs, closing)
        if trial is not None:
            trial.state = "running"
        return trial

    def confirm(self, seeds: int) -> list[Trial]:
        """Return new running trials that compare the recommended point with the first default.

        Both have the same seeds, which no other trial had. Points that were compared before, as in
        a search that goes on, have no trial twice.
        """
        found = self.recommend()
        points: dict[Confirmed, dict[str, Any]] = {}
        if found is not None:
            points["recommended"] = found.params
        if self.sampler.defaults:
            points["defaults"] = self.sampler.decode(self.sampler.defaults[0])
        if len(points) == 2 and points["defaults"] == points["recommended"]:
            del points["defaults"]
        had = [(t.params, t.repeat) for t in self.trials if t.confirms and t.state != "failed"]
        new = [
            (FIRST_FRESH + repeat, name, params)
            for repeat in range(seeds)
            for name, params in points.items()
            if (params, FIRST_FRESH + repeat) not in had
        ]
        for repeat, name, params in new:
            trial = Trial(len(self.trials), dict(params), repeat=repeat, confirms=name)
            self.trials.append(trial)
        return self.trials[len(self.trials) - len(new) :]

    def tell(
        self,
        number: int,
        values: float | Sequence[float] | None = None,
        error: str | None = None,
    ) -> Trial:
        """Record a trial's scores, or that it failed.

        Below the last rung a score is that of the training so far, and the trial pauses. A score
        that is NaN or infinite counts as a failure.

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
                trial.settle(scores, is_whole=self.is_whole(trial))
                return trial
            error = f"the score is {scores[0] if len(scores) == 1 else scores}"
        trial.error, trial.state = error or "no score", "failed"
        return trial

    def is_whole(self, trial: Trial) -> bool:
        """Tell whether the launch of a running trial takes it to the end of its training."""
        return trial.confirms is not None or len(trial.curve) == len(self.rungs.shares) - 1

    def best(self) -> Trial | None:
        """Return the finished trial with the best first score; the earliest of equals."""
        finished = [trial for trial in self.own_trials if trial.state == "finished"]
        if not finished:
            return None
        return finished[int(np.argmin(tabulate_losses(finished, self.signs)[:, 0]))]

    def recommend(self) -> Trial | None:
        """Return the first trial of the point to use; None where no trial has finished.

        Where scores are noisy, the point with the best posterior mean, not the luckiest draw.
        """
        if self.repeats == 1:
            return self.best()
        with use_one_thread():
            return recommend(self.own_trials, self._collect_evidence(), self.space, self.fits)

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

    @property
    def own_trials(self) -> list[Trial]:
        """All trials but those that confirm."""
        return [trial for trial in self.trials if trial.confirms is None]

    def _propose_trial(self) -> Trial | None:
        """Return a trial of a new point, or one more of a point that has some."""
        number, own = len(self.trials), self.own_trials
        if isinstance(self.repeats, int) and own and own[-1].repeat + 1 < self.repeats:
            return Trial(number, dict(own[-1].params), repeat=own[-1].repeat + 1)
        evidence = self._collect_evidence()
        row = self._propose(number, evidence)
        if row is None:
            return None
        before = np.flatnonzero((evidence.rows == row).all(axis=1))
        if not len(before):
            return Trial(number, self.sampler.decode(row))
        every = [*self.prior_trials, *own]
        repeat = int((evidence.numbers[before] != EARLIER_SEARCH).sum())
        return Trial(number, dict(every[before[0]].params), repeat=repeat)

    def _propose(self, number: int, evidence: Evidence) -> Array | None:
        points = sum(trial.repeat == 0 for trial in self.own_trials)
        if points < self._design_size:
            untried: Array = exclude(self.sampler.design(points + 1), evidence.rows)
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
        own = self.own_trials
        every = [*self.prior_trials, *own]
        self._rows += [self.space.encode(trial.params) for trial in every[len(self._rows) :]]
        rows = np.reshape(self._rows, (len(every), len(self.space.names)))
        evidence = Evidence.collect(rows, self.prior_trials, own, self.signs)
        if self.rungs is ONE_RUNG:
            return evidence
        evidence.table[len(self.prior_trials) :, 0] = extrapolate(own, self.signs[0])
        return replace(evidence, curves=collect_curves(every, self.signs[0], self.rungs))


def direction_faults(directions: Sequence[str], key: str) -> Iterator[str]:
    """Yield what is wrong with the directions, which are given under this key."""
    if not directions:
        yield f"`{key}` is empty; expected `minimize` or `maximize` for each objective"
    for direction in directions:
        if direction not in DIRECTIONS:
            yield f"`{key}` has {direction!r}; expected `minimize` or `maximize`"
