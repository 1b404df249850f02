"""Assembles the training of a language model, for every task that trains one."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning import Callback, Trainer
from rich.console import Console
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.config import ConversationsConf, RunConf
from infinito.data.conversations.datamodule import ConversationDataModule
from infinito.data.datamodule import LanguageDataModule, TrainingBatches
from infinito.data.sources.source import Split
from infinito.errors import CheckpointError
from infinito.models.assembly import build_language_model
from infinito.models.log_probs.chunked_loss import check_head
from infinito.models.trained import describe_model, open_trained, start_weights
from infinito.objectives.units import TextUnits
from infinito.run_folder.series.samples_file import SamplesFile
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.callbacks.progress_bar import TrainingBar
from infinito.training.callbacks.run_page import RunPage
from infinito.training.callbacks.training_log import TrainingLog
from infinito.training.callbacks.validation_report import ValidationReport
from infinito.training.conversations.assembly import KEY as LAYOUT
from infinito.training.conversations.assembly import build_start, choose_probe, count_units, lay_out
from infinito.training.dashboards.assembly import build_loggers
from infinito.training.distributed.peers import Peers
from infinito.training.length.planning import Length, plan_length, plan_length_from
from infinito.training.length.stable import stable_end
from infinito.training.module.batch_loss import BatchLoss, ConversationLoss, WindowLoss
from infinito.training.module.language_model import LanguageModelTask
from infinito.training.phi.assembly import build_phi_term
from infinito.training.trainer import (
    build_early_stopping,
    build_trainer,
    count_batches,
)


@dataclass(frozen=True)
class LanguageTraining:
    """A language model with all that trains it, but for the trainer."""

    data: LanguageDataModule | ConversationDataModule
    length: Length
    units: TextUnits
    """Of the validation split."""
    model: PreTrainedModel
    module: LanguageModelTask


def build_language_training(
    conf: RunConf,
    data: LanguageDataModule | ConversationDataModule,
    last: dict[str, Any] | None = None,
) -> LanguageTraining:
    """Return model, Φ term, Lightning module and length, as the configuration asks for them.

    Args:
        conf: The configuration of the run.
        data: Its text.
        last: The checkpoint that a resumed run goes on from. Its weights are the trainer's to
            load; what the module must know before that is taken from it here.

    Raises:
        CheckpointError: `checkpoint` does not fit the model, or has another tokenizer.
        ConfigError: `trainer.chunked_loss`, and a model whose head does not allow it.
    """
    tokenizer = data.tokenizer
    description: dict[str, Any] = {}
    loss: BatchLoss
    phi = None
    if isinstance(data, ConversationDataModule):
        length = plan_length_from(conf, data.batches_per_epoch(conf.trainer.processes))
        units = count_units(data.valid)
        model = build_start(conf, data)
        layout = lay_out(conf, data, model, last)
        loss, description = ConversationLoss(layout.head), {LAYOUT: asdict(layout)}
    else:
        length = plan_length(conf, len(data.blocks("train")))
        units = count_text_units(conf, data, "valid")
        model = build_language_model(conf, data.vocab_size, tokenizer.eos_token_id)
        if last is not None:
            take_calibration(model, last)
        elif conf.checkpoint is not None:
            start_from(model, tokenizer, conf.checkpoint)
        phi = build_phi_term(conf, model, data)
        if conf.trainer.compile:
            model.compile()
        if conf.trainer.chunked_loss:
            check_head(model)
        loss = WindowLoss(chunked=conf.trainer.chunked_loss)
    module = LanguageModelTask(
        model,
        conf.optimizer,
        total_steps=length.steps,
        units=units,
        seed=conf.seed,
        description=describe_model(model, tokenizer) | description,
        phi=phi,
        loss=loss,
    )
    return LanguageTraining(data, length, units, model, module)


@dataclass(frozen=True)
class SavingTrainer:
    """A trainer that writes to a run folder, and those of its callbacks that are read later."""

    trainer: Trainer
    log: TrainingLog
    report: ValidationReport
    page: RunPage
    peers: Peers


def build_saving_trainer(
    conf: RunConf,
    folder: Path,
    training: LanguageTraining,
    console: Console,
    interruption: Interruption,
    *,
    resumed_step: int | None = None,
    identity: Mapping[str, str] | None = None,
    callbacks: Sequence[Callback] = (),
) -> SavingTrainer:
    """Return a trainer that validates, saves, logs and draws.

    Args:
        conf: The configuration of the run.
        folder: The run's.
        training: What is trained.
        console: Where to draw.
        interruption: Holds the signal that stops the run, if one came.
        resumed_step: The optimizer step that a resumed run goes on from.
        identity: Values that must be equal in all processes of the training.
        callbacks: Further ones.
    """
    settings, length = conf.trainer, training.length
    log = TrainingLog(settings.log_every)
    report = ValidationReport(
        training.data.tokenizer,
        conf.seed,
        settings.sample_tokens,
        conf.generation,
        samples=SamplesFile(folder, resumed_step),
        probe=choose_probe(training.data)
        if isinstance(training.data, ConversationDataModule)
        else None,
    )
    page = RunPage(folder, report)
    peers = Peers(folder, identity)
    milestones = Milestones(
        folder / "checkpoints",
        length.batches,
        length.validate_every,
        save_every_steps=settings.checkpoint_every,
        interruption=interruption,
        peers=peers,
        stable_steps=stable_end(conf, length),
    )
    of_validation = count_batches(training.data.val_dataloader(), settings)
    bar = TrainingBar(length, of_validation, log.throughput, console, settings.progress_bar)
    trainer = build_trainer(
        settings,
        [peers, log, report, page, milestones, *build_early_stopping(settings), bar, *callbacks],
        steps=length.steps,
        deterministic=conf.deterministic,
        loggers=build_loggers(conf, folder, resumed_step, count_per_step(conf, length), console),
    )
    return SavingTrainer(trainer, log, report, page, peers)


def fit(
    training: LanguageTraining, trainer: Trainer, *, start: int = 0, checkpoint: Path | None = None
) -> None:
    """Train to the end, or until a callback stops it.

    Args:
        training: What is trained.
        trainer: How.
        start: Batches that are already done.
        checkpoint: The file that holds the state after them.
    """
    trainer.fit(
        training.module,
        datamodule=TrainingBatches(training.data, training.length.batches, start),
        ckpt_path=checkpoint,
        weights_only=True,
    )


def count_per_step(conf: RunConf, length: Length) -> dict[str, float]:
    """Return the epochs and, where windows are of one length, the tokens of an optimizer step."""
    batches = conf.trainer.accumulate
    epoch = {"epoch": batches / length.batches_per_epoch}
    if isinstance(conf.data, ConversationsConf):
        return epoch
    windows = batches * conf.data.batch_size * conf.trainer.processes
    return {**epoch, "tokens": windows * conf.data.block_size}


def count_text_units(conf: RunConf, data: LanguageDataModule, split: Split) -> TextUnits:
    """Return the bytes and words that a token of a split stands for."""
    meta = data.split_meta(split)
    is_words = conf.tokenizer.name == "word" and conf.data.name != "markov"
    return TextUnits(
        bytes_per_token=meta.utf8_bytes / meta.tokens,
        words_per_token=meta.words / meta.tokens if is_words else None,
    )


def start_from(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, checkpoint: str) -> None:
    """Give a new run the weights of a trained model with the same tokenizer.

    Raises:
        CheckpointError: sizes or tokenizers differ.
    """
    trained = open_trained(checkpoint)
    if trained.tokenizer.get_vocab() != tokenizer.get_vocab():
        raise CheckpointError(
            f"`checkpoint`={checkpoint} was trained with another tokenizer "
            f"({len(trained.tokenizer)} tokens) than this run has ({len(tokenizer)}). "
            f"Use `tokenizer=pretrained tokenizer.path={Path(checkpoint) / 'model'}`."
        )
    start_weights(model, trained)


def take_calibration(model: PreTrainedModel, checkpoint: dict[str, Any]) -> None:
    """Give a resumed model the calibration of Φ that its run began with."""
    config = json.loads(checkpoint["infinito"]["model_config"])
    if calibration := config.get("phi_calibration"):
        model.config.phi_calibration = calibration
