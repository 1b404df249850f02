"""The samplers that are compared: each minimises a task and says what it saw and what it cost.

Optuna's samplers keep their defaults except where the name says otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np
from tasks import Task

Run = Iterator[tuple[float, float]]
"""For each trial the value seen and the CPU seconds that the suggestion took."""


def random(task: Task, seed: int) -> Run:
    rng = np.random.default_rng(seed)
    while True:
        yield task.evaluate(task.draw(rng)), 0.0


def optuna_tpe(task: Task, seed: int) -> Run:
    from optuna.samplers import TPESampler

    return _optuna(task, TPESampler(seed=seed))


def optuna_tpe_multivariate(task: Task, seed: int) -> Run:
    from optuna.samplers import TPESampler

    return _optuna(task, TPESampler(seed=seed, multivariate=True))


def optuna_gp(task: Task, seed: int) -> Run:
    import torch
    from optuna.samplers import GPSampler

    torch.set_num_threads(1)
    return _optuna(task, GPSampler(seed=seed))


def _optuna(task: Task, sampler) -> Run:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=sampler)
    while True:
        start = time.thread_time()
        trial = study.ask()
        values = suggest(trial, task)
        spent = time.thread_time() - start
        value = task.evaluate(values)
        start = time.thread_time()
        study.tell(trial, value)
        yield value, spent + time.thread_time() - start


def suggest(trial, task: Task) -> dict:
    """Return the values that one of Optuna's trials proposes."""
    values = {}
    for kind, name, *rest in task.parameters:
        if kind == "choice":
            values[name] = trial.suggest_categorical(name, rest[0])
        elif kind == "int":
            values[name] = trial.suggest_int(name, *rest)
        elif kind == "int_log":
            values[name] = trial.suggest_int(name, *rest, log=True)
        else:
            values[name] = trial.suggest_float(name, *rest[:2], log=rest[2])
    return values


def make_space(task: Task):
    from infinito.search.space.space import Categorical, Float, Int, Parameter, Space

    kinds: dict[str, Callable[..., Parameter]] = {
        "float": lambda name, low, high, log: Float(name, low, high, log=log),
        "int": Int,
        "int_log": lambda name, low, high: Int(name, low, high, log=True),
        "choice": Categorical,
    }
    return Space([kinds[kind](name, *rest) for kind, name, *rest in task.parameters])


def infinito(task: Task, seed: int, in_flight: int = 1, **options) -> Run:
    """Yield trials in batches of `in_flight`: none of a batch knows the others' scores."""
    from infinito.search.search import Search

    search = Search(make_space(task), seed=seed, **options)
    while True:
        start = time.thread_time()
        trials = search.ask(in_flight)
        spent = (time.thread_time() - start) / max(len(trials), 1)
        for trial in trials:
            value = task.evaluate(trial.params)
            search.tell(trial.number, value)
            yield value, spent


CONTESTANTS: dict[str, Callable[[Task, int], Run]] = {
    "random": random,
    "optuna5_tpe": optuna_tpe,
    "optuna49_tpe_multivariate": optuna_tpe_multivariate,
    "optuna49_gp": optuna_gp,
    "tree": infinito,
    "tree_4_in_flight": lambda task, seed: infinito(task, seed, in_flight=4),
    "surrogate_alone": lambda task, seed: infinito(task, seed, max_depth=0),
    "uct": lambda task, seed: infinito(task, seed, strategy="uct"),
}
