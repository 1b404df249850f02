"""`task=dpo dry_run=true`: takes steps in memory, and says what the whole run will take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from rich.console import Console

from infinito.config import RunConf
from infinito.device import choose_device
from infinito.preferences.preparation import Prepared
from infinito.preferences.scoring.layouts import PairBatch
from infinito.preferences.training import ReferenceScores, build_batches, build_task
from infinito.process import peak_rss_mib
from infinito.run_folder.tables import print_next, print_table
from infinito.training.length.dry_run import take_step
from infinito.training.length.memory_need import check_memory

TOKENS = 4
"""Tokens of the answers that are timed."""

Step = list[PairBatch]
"""Batches of one optimizer step."""


def estimate(conf: RunConf, console: Console) -> None:
    """Print what the run is and what it will take; nothing is written.

    Raises:
        ConfigError: the step needs more memory than this machine has free.
    """
    prepared = Prepared(conf, console)
    print_table(console, f"{conf.name}: dry run, nothing is written", prepared.describe())
    device: Any = choose_device(conf)
    if device.type == "cpu":
        copies = int(conf.dpo.reference == "copy")
        check_memory(prepared.policy.model, conf.optimizer, copies)
    print_table(console, "\nestimate", _measure(conf, prepared, device))
    print_next(console, [("the same command without dry_run=true", "tune")])


def _measure(conf: RunConf, prepared: Prepared, device: Any) -> dict[str, str | int | float]:
    pairs = prepared.training.pairs, prepared.held_out.pairs
    nothing = [torch.zeros(len(each), 2, dtype=torch.float64) for each in pairs]
    scores = ReferenceScores(nothing[0], nothing[1], 0, of_policy=True)
    data, length = build_batches(conf, prepared.policy, prepared.layout, *pairs, scores)
    of_epoch = list(data.train_dataloader())[: length.batches_per_epoch]
    task = build_task(conf, prepared.policy, prepared.layout, length, None)
    task.to(device)
    task.model.train(conf.dpo.dropout)
    scoring_s = _time(prepared.score_held_out)
    answers_s = _time_answers(conf, prepared)
    accumulate = conf.trainer.accumulate
    steps = [of_epoch[first : first + accumulate] for first in range(0, len(of_epoch), accumulate)]
    step_s, first_s = _time_steps(task, steps, device)
    epochs = length.batches / length.batches_per_epoch
    training_s = epochs * sum(step_s(step) for step in steps) + first_s
    share = len(pairs[0]) / len(pairs[1])
    validations = math.ceil(length.batches / length.validate_every)
    scored = 1 + validations + (1 + share if conf.dpo.reference == "precomputed" else 1)
    on_gpu = device.type == "cuda"
    peak_mib = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_rss_mib()
    return {
        "steps": length.steps,
        "seconds a step": training_s / length.steps,
        "training": _minutes(training_s),
        "scoring pairs": _minutes(scored * scoring_s),
        "answers before and after": f"at most {_minutes(2 * answers_s)}",
        "peak memory": f"{peak_mib:,.0f} MiB" + " on the device" * on_gpu,
    }


def _time_steps(task: Any, steps: list[Step], device: Any) -> tuple[Callable[[Step], float], float]:
    """Return the seconds that a step takes, and what the first one takes longer.

    A step lies on a line through the largest and the smallest. The first one makes the moments and
    touches all memory; with the largest batches, it reaches what no later step exceeds.
    """
    by_size = sorted(steps, key=_count_tokens)
    small, large = ([batch.to(device) for batch in step] for step in (by_size[0], by_size[-1]))
    optimizer, _ = task.optimizer_and_schedule()
    first_s = _time(lambda: take_step(task, optimizer, *large))
    large_s = _time(lambda: take_step(task, optimizer, *large))
    small_s = _time(lambda: take_step(task, optimizer, *small))
    tokens = _count_tokens(large) - _count_tokens(small)
    slope = max(0.0, large_s - small_s) / tokens if tokens else 0.0
    return (
        lambda step: large_s - slope * (_count_tokens(large) - _count_tokens(step)),
        max(0.0, first_s - large_s),
    )


def _count_tokens(step: Step) -> int:
    return sum(batch.input_tokens for batch in step)


def _time_answers(conf: RunConf, prepared: Prepared) -> float:
    """Return the seconds of all answers, each as long as it may be."""
    if not prepared.prompts:
        return 0.0
    few = min(TOKENS, conf.generation.max_new_tokens)
    begun = _time(lambda: prepared.answer_prompts(replace(conf.generation, max_new_tokens=1)))
    seconds = _time(lambda: prepared.answer_prompts(replace(conf.generation, max_new_tokens=few)))
    token_s = max(0.0, seconds - begun) / max(1, few - 1)
    return begun + token_s * (conf.generation.max_new_tokens - 1)


def _time(run: Callable[[], Any]) -> float:
    started_s = time.perf_counter()
    run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started_s


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f} minutes"
