"""`dry_run=true`: builds everything, trains one batch in memory, estimates memory and time."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Iterable
from typing import Any

import torch
from rich.console import Console
from torch import Tensor
from torch.optim import Optimizer

from infinito.config import RunConf
from infinito.data.conversations.layouts import ConversationBatch
from infinito.device import choose_device
from infinito.process import peak_rss_mib
from infinito.run_folder.progress import preparation
from infinito.run_folder.tables import print_next, print_table
from infinito.training.assembly import build_language_training
from infinito.training.callbacks.validation import count_validations
from infinito.training.conversations.assembly import build_training_data
from infinito.training.length.memory_need import check_memory
from infinito.training.optimizer.assembly import describe_optimizer
from infinito.training.optimizer.optimized_task import OptimizedTask
from infinito.training.report.headline import describe_training
from infinito.training.trainer import count_batches

TIMED_STEPS = 3


def estimate(conf: RunConf, console: Console) -> None:
    """Print what the run is, what it will take, and that nothing was written."""
    device = choose_device(conf)
    with preparation(console, "preparing text and model") as show:
        training = build_language_training(conf, build_training_data(conf, show=show))
    data, task, length = training.data, training.module, training.length
    task.to(device)
    task.train()
    print_table(console, f"{conf.name}: dry run", describe_training(conf, training))
    if device.type == "cpu":
        check_memory(training.model, conf.optimizer)
    optimizer, _ = task.optimizer_and_schedule()
    before_mib = peak_rss_mib()
    batches: Iterable[Any] = data.train_dataloader()
    batch = next(iter(batches)).to(device)
    seconds = []
    for number in range(TIMED_STEPS):
        console.print(f"step {number + 1} of {TIMED_STEPS} …", highlight=False)
        started_s = time.perf_counter()
        loss = take_step(task, optimizer, batch)
        seconds.append(time.perf_counter() - started_s)
    step_s = statistics.median(seconds)
    training_s = step_s * length.batches + max(0.0, seconds[0] - step_s)
    validations = count_validations(
        length.batches, length.validate_every, conf.trainer.accumulate, length.batches
    )
    of_validation = count_batches(data.val_dataloader(), conf.trainer)
    validation_s = time_validation(task, data.val_dataloader(), device) * of_validation
    on_gpu = device.type == "cuda"
    peak_mib = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else peak_rss_mib()
    print_table(
        console,
        "\nestimate; nothing is written but the cache of tokens",
        {
            "parameters": training.model.num_parameters(),
            "optimizer": describe_optimizer(training.model, conf.optimizer),
            "vocabulary": data.vocab_size,
            "batch": describe_shape(batch),
            "loss": f"{loss.item():.3f} nats (log vocabulary {math.log(data.vocab_size):.3f})",
            "steps": length.steps,
            "seconds a batch": step_s,
            "estimated training": f"{training_s / 60:.1f} minutes",
            "estimated validation": f"{validations * validation_s / 60:.1f} minutes",
            "peak memory": f"{peak_mib:,.0f} MiB ({peak_mib - before_mib:,.0f} for the step)"
            if not on_gpu
            else f"{peak_mib:,.0f} MiB on the device",
        },
    )
    print_next(console, [("the same command without dry_run=true", "train")])


@torch.no_grad()
def time_validation(task: OptimizedTask, batches: Iterable[Any], device: Any) -> float:
    """Return the seconds that a validation batch takes, after one that is not counted."""
    batch = next(iter(batches)).to(device)
    task.eval()
    seconds = []
    for _ in range(2):
        started_s = time.perf_counter()
        task.validation_step(batch, 0)
        seconds.append(time.perf_counter() - started_s)
    task.train()
    return seconds[-1]


def take_step(task: OptimizedTask, optimizer: Optimizer, *batches: Any) -> Tensor:
    """Train a module on batches of one optimizer step without a trainer; return the last loss."""
    found: list[Tensor] = []

    def closure() -> float:
        optimizer.zero_grad()
        for batch in batches:
            loss: Any = task.training_step(batch, 0)
            loss.backward()
            found.append(loss.detach())
        return float(found[-1])

    optimizer.step(closure)
    return found[-1]


def describe_shape(batch: torch.Tensor | ConversationBatch) -> str:
    """Return the size of a batch."""
    if isinstance(batch, torch.Tensor):
        return f"{tuple(batch.shape)} token ids"
    return f"{len(batch.rows)} conversations, {batch.input_tokens} token ids"
