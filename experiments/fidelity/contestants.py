"""The searches that are compared. Each trains until its budget is spent.

All see the same grid: a parameter whose values have an order is a whole number, the others are
choices. Rivals keep their defaults except where the name says otherwise; they may train for a
27th of the whole training at least, as Optuna's Hyperband does by default.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from spaces import POINTS, Space
from training_table import Trainer

Point = tuple[int, ...]


def random(trainer: Trainer, seed: int) -> None:
    """Train points drawn without replacement to the end."""
    points = trainer.curves.space.points
    for at in np.random.default_rng(seed).permutation(len(points)):
        trainer.begin()
        trainer.train(points[at], POINTS)


def infinito(
    trainer: Trainer, seed: int, smallest: float | None = None, strategy: str = "tree"
) -> None:
    """Drive the search as a sweep with one worker does.

    Args:
        trainer: Trains.
        seed: Of the search.
        smallest: Where the first trials pause, as a share; None to train them to the end.
        strategy: The search's.
    """
    from infinito.search.rungs import ONE_RUNG, Rungs
    from infinito.search.search import Search
    from infinito.search.space.space import Categorical, Int, Parameter
    from infinito.search.space.space import Space as SearchSpace
    from infinito.sweeps.driving.proposing import Proposals
    from infinito.sweeps.fidelity import space_levels
    from infinito.sweeps.launching.launches import Limits

    space = trainer.curves.space
    parameters: list[Parameter] = [
        Categorical(name, list(range(len(values))))
        if name in space.unordered
        else Int(name, 0, len(values) - 1)
        for name, values in space.values.items()
    ]
    rungs = ONE_RUNG if smallest is None else Rungs(space_levels(smallest, 1.0))
    search = Search(SearchSpace(parameters), seed=seed, strategy=strategy, rungs=rungs)
    proposals = Proposals(search, _NoJournal(), Limits(n_trials=trainer.most))  # type: ignore[arg-type]
    while batch := proposals.take(1, is_idle=True):
        (trial,) = batch
        if not trial.curve:
            trainer.begin()
        until = round(POINTS * search.rungs.shares[len(trial.curve)])
        point = tuple(trial.params[name] for name in space.values)
        search.tell(trial.number, trainer.train(point, until))


class _NoJournal:
    """Forgets."""

    def append(self, event: dict[str, Any]) -> None:
        pass


def optuna(trainer: Trainer, seed: int, sampler: str, pruner: str) -> None:
    """Report every validation, and prune where the pruner says so."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        sampler=getattr(optuna.samplers, sampler)(seed=seed),
        pruner=getattr(optuna.pruners, pruner)(),
    )

    def run(trial: optuna.Trial) -> float:
        trainer.begin()
        point = tuple(
            trial.suggest_categorical(name, list(range(len(values))))
            if name in trainer.curves.space.unordered
            else trial.suggest_int(name, 0, len(values) - 1)
            for name, values in trainer.curves.space.values.items()
        )
        for until in range(1, POINTS + 1):
            loss = trainer.train(point, until)
            trial.report(loss, until)
            if until < POINTS and trial.should_prune():
                raise optuna.TrialPruned
        return loss

    study.optimize(run)


def make_config_space(space: Space, seed: int) -> Any:
    """Return the grid as SMAC, DEHB and HpBandSter read it."""
    import ConfigSpace

    found = ConfigSpace.ConfigurationSpace(seed=seed)
    for name, values in space.values.items():
        found.add(
            ConfigSpace.CategoricalHyperparameter(name, list(range(len(values))))
            if name in space.unordered
            else ConfigSpace.UniformIntegerHyperparameter(name, 0, len(values) - 1)
        )
    return found


def smac(trainer: Trainer, seed: int) -> None:
    """SMAC's multi-fidelity facade."""
    from smac import MultiFidelityFacade, Scenario
    from smac.runhistory.dataclasses import TrialValue

    space = trainer.curves.space
    with tempfile.TemporaryDirectory() as folder:
        scenario = Scenario(
            make_config_space(space, seed),
            deterministic=True,
            n_trials=100_000,
            min_budget=1,
            max_budget=POINTS,
            seed=seed,
            output_directory=folder,
        )
        facade = MultiFidelityFacade(
            scenario, lambda config, seed, budget: 0.0, overwrite=True, logging_level=40
        )
        while True:
            trainer.begin()
            info = facade.ask()
            point = tuple(int(info.config[name]) for name in space.values)
            loss = trainer.train(point, round(info.budget))
            facade.tell(info, TrialValue(cost=loss), save=False)


def dehb(trainer: Trainer, seed: int) -> None:
    """DEHB, asked and told."""
    from dehb import DEHB

    space = trainer.curves.space
    with tempfile.TemporaryDirectory() as folder:
        search = DEHB(
            cs=make_config_space(space, seed),
            min_fidelity=1,
            max_fidelity=POINTS,
            n_workers=1,
            seed=seed,
            output_path=folder,
            save_freq="end",
            log_level="ERROR",
        )
        while True:
            trainer.begin()
            job = search.ask()
            point = tuple(int(job["config"][name]) for name in space.values)
            until = round(float(job["fidelity"]))
            loss = trainer.train(point, until)
            search.tell(job, {"fitness": loss, "cost": float(until)}, replay=False)


CONTESTANTS: dict[str, Callable[[Trainer, int], None]] = {
    "infinito, fidelity": partial(infinito, smallest=1 / 9),
    "infinito, whole trainings": infinito,
    "random with fidelity": partial(infinito, smallest=1 / 9, strategy="random"),
    "random": random,
    "random + median": partial(optuna, sampler="RandomSampler", pruner="MedianPruner"),
    "TPE": partial(optuna, sampler="TPESampler", pruner="NopPruner"),
    "TPE + median": partial(optuna, sampler="TPESampler", pruner="MedianPruner"),
    "TPE + Hyperband": partial(optuna, sampler="TPESampler", pruner="HyperbandPruner"),
    "SMAC": smac,
    "DEHB": dehb,
}
