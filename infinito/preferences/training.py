"""Assembles a preference tuning: its batches, its reference, its Lightning module, its trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import Callback, Trainer
from rich.console import Console
from torch import Tensor

from infinito.config import RunConf
from infinito.data.conversations.length_buckets import call_tokens
from infinito.models.trained import describe_model
from infinito.paths import cache_dir
from infinito.preferences.assembly import Policy, build_preference_objective
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.log import PreferenceLog
from infinito.preferences.pairs.datamodule import PreferenceDataModule
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.reference.cache import ReferenceCache
from infinito.preferences.reference.policies import (
    AdapterOffReference,
    CopyReference,
    FreeReference,
    PrecomputedReference,
    Reference,
)
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from infinito.seeding import child_seed
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.callbacks.progress_bar import TrainingBar
from infinito.training.callbacks.run_page import RunPage
from infinito.training.dashboards.assembly import build_loggers
from infinito.training.distributed.peers import Peers
from infinito.training.length.planning import Length, plan_length_from
from infinito.training.trainer import (
    build_early_stopping,
    build_trainer,
    count_batches,
)


@dataclass(frozen=True)
class ReferenceScores:
    """Log-probabilities that the reference gives the answers, (pairs, 2) each, in nats."""

    training: Tensor | None
    """None where the reference is computed batch by batch."""
    held_out: Tensor
    computed: int
    """Pairs that were not in the cache."""
    of_policy: bool
    """Whether the reference is the policy before training, so that these are its scores too."""


@dataclass(frozen=True)
class PreferenceTraining:
    """A trainer and what it trains."""

    trainer: Trainer
    task: DpoPolicyTask
    data: PreferenceDataModule
    log: PreferenceLog
    length: Length
    peers: Peers


def score_reference(
    conf: RunConf,
    policy: Policy,
    layout: Layout,
    training: list[TokenizedPair],
    held_out: list[TokenizedPair],
) -> ReferenceScores:
    """Return the log-probabilities that the reference gives the answers; 0 without a reference.

    The reference is the present policy, with adapters that an earlier training left; only for
    `adapter_off` it is the base model. Precomputed values are cached for other runs.
    """
    if conf.dpo.reference == "free":
        nothing = torch.zeros(len(held_out), 2, dtype=torch.float64)
        return ReferenceScores(None, nothing, 0, of_policy=False)
    if conf.dpo.reference != "precomputed":
        adapters = conf.dpo.reference == "copy"
        table = tabulate_log_probs(policy.model, held_out, layout, adapters=adapters)
        of_policy = adapters or conf.checkpoint is None  # new adapters change nothing yet
        return ReferenceScores(None, table, len(held_out), of_policy)
    cache = ReferenceCache(cache_dir(conf.data.cache_dir))
    adapters = conf.checkpoint is not None  # adapters made here do not change anything yet
    found = [cache.look_up(policy.model, pairs, layout, adapters) for pairs in (training, held_out)]
    computed = sum(each.computed for each in found)
    return ReferenceScores(found[0].log_probs, found[1].log_probs, computed, of_policy=True)


def build_reference(conf: RunConf, policy: Policy, layout: Layout) -> Reference:
    """Return the source of the reference's log-probabilities during training."""
    match conf.dpo.reference:
        case "copy":
            return CopyReference(policy.model, layout.head)
        case "adapter_off":
            return AdapterOffReference(policy.model, layout.head)
        case "free":
            return FreeReference()
        case _:
            return PrecomputedReference()


def build_batches(
    conf: RunConf,
    policy: Policy,
    layout: Layout,
    training: list[TokenizedPair],
    held_out: list[TokenizedPair],
    scores: ReferenceScores,
) -> tuple[PreferenceDataModule, Length]:
    """Return the batches of a training, and how many there are."""
    data = PreferenceDataModule(
        training,
        held_out,
        layout=layout.name,
        batch_size=conf.data.batch_size,
        eval_batch_size=conf.data.eval_batch_size,
        seed=child_seed(conf.seed, "batches"),
        bucket=conf.dpo.bucket,
        accumulate=conf.trainer.accumulate,
        call_tokens=call_tokens(policy.model.num_parameters(only_trainable=True)),
        train_reference=scores.training,
        valid_reference=scores.held_out,
    )
    length = plan_length_from(conf, data.batches_per_epoch(conf.trainer.processes))
    data.total_batches = length.batches
    return data, length


def build_task(
    conf: RunConf, policy: Policy, layout: Layout, length: Length, folder: Path | None
) -> DpoPolicyTask:
    """Return the Lightning module of a training; statistics come with the points of its log.

    Args:
        conf: The configuration.
        policy: What is trained.
        layout: One that suits the policy.
        length: How long it is trained.
        folder: Where a batch whose loss is not finite is written; None for nowhere.
    """
    return DpoPolicyTask(
        policy.model,
        layout,
        build_preference_objective(conf),
        conf.optimizer,
        length.steps,
        build_reference(conf, policy, layout),
        dropout=conf.dpo.dropout,
        seed=conf.seed,
        # whole optimizer steps
        statistics_every=conf.trainer.log_every * conf.trainer.accumulate,
        fault_folder=folder,
        description=describe_model(policy.model, policy.tokenizer),
    )


def build_preference_training(
    conf: RunConf,
    folder: Path,
    policy: Policy,
    layout: Layout,
    training: list[TokenizedPair],
    held_out: list[TokenizedPair],
    scores: ReferenceScores,
    console: Console,
    interruption: Interruption,
    resumed_step: int | None = None,
    identity: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> PreferenceTraining:
    """Return a training that writes to `folder`.

    Args:
        conf: The configuration.
        folder: The run's folder.
        policy: What is trained.
        layout: One that suits the policy.
        training: Pairs to train on.
        held_out: Pairs to validate on.
        scores: What `score_reference` returned for them.
        console: Where the progress bar is drawn.
        interruption: What notices a signal to stop.
        resumed_step: Optimizer step after which a resumed run goes on; None for a new run.
        identity: Values that must be equal in all processes of the training.
        callbacks: Further ones.
    """
    data, length = build_batches(conf, policy, layout, training, held_out, scores)
    task = build_task(conf, policy, layout, length, folder)
    log = PreferenceLog(task.statistics_every)
    settings = conf.trainer
    peers = Peers(folder, identity)
    milestones = Milestones(
        folder / "checkpoints",
        length.batches,
        length.validate_every,
        save_every_steps=settings.checkpoint_every,
        interruption=interruption,
        peers=peers,
    )
    per_step = {"epoch": settings.accumulate / length.batches_per_epoch}
    of_validation = count_batches(data.val_dataloader(), settings)
    bar = TrainingBar(length, of_validation, log.throughput, console, settings.progress_bar)
    trainer = build_trainer(
        settings,
        [peers, log, RunPage(folder), milestones, *build_early_stopping(settings), bar, *callbacks],
        steps=length.steps,
        deterministic=conf.deterministic,
        loggers=build_loggers(conf, folder, resumed_step, per_step, console),
    )
    return PreferenceTraining(trainer, task, data, log, length, peers)
