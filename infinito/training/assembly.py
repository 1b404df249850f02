"""Builds the training of a language model: its length, its task, its trainer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.config import RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.source import Split
from infinito.device import choose_accelerator
from infinito.models.chunked_loss import check_head
from infinito.models.trained import description_of
from infinito.objectives.units import TextUnits
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.callbacks.progress_bar import TrainingBar
from infinito.training.callbacks.training_log import TrainingLog
from infinito.training.callbacks.validation_report import ValidationReport
from infinito.training.checkpoint_plugin import SafeCheckpointIO
from infinito.training.language_model import LanguageModelTask
from infinito.training.phi_term import PhiObjective


@dataclass(frozen=True)
class Length:
    """How long a training is."""

    batches_per_epoch: int
    batches: int
    """Of the whole training."""
    steps: int
    """Optimizer steps of the whole training."""
    validate_every: int
    """Batches."""


def plan_length(conf: RunConf, windows: int) -> Length:
    """How many batches and steps the configuration asks for; the shorter of two limits rules.

    Args:
        windows: Windows of the training split.
    """
    return plan_length_from(conf, max(1, windows // (conf.data.batch_size * conf.trainer.devices)))


def plan_length_from(conf: RunConf, per_epoch: int) -> Length:
    """The same from the batches of an epoch."""
    limits = []
    if conf.trainer.epochs is not None:
        limits.append(conf.trainer.epochs * per_epoch)
    if conf.trainer.max_steps is not None:
        limits.append(conf.trainer.max_steps * conf.trainer.accumulate)
    batches = min(limits)
    every = conf.trainer.validate_every or per_epoch
    return Length(per_epoch, batches, -(-batches // conf.trainer.accumulate), min(every, batches))


def build_language_module(
    conf: RunConf,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    length: Length,
    units: TextUnits,
    phi: PhiObjective | None = None,
) -> LanguageModelTask:
    """The Lightning module that trains `model`; `phi` is what `phi_objective` made.

    Raises:
        ConfigError: `trainer.chunked_loss`, and a model whose head does not allow it.
    """
    if conf.trainer.chunked_loss:
        check_head(model)
    return LanguageModelTask(
        model,
        conf.optimizer,
        total_steps=length.steps,
        units=units,
        seed=conf.seed,
        description=description_of(model, tokenizer),
        phi=phi,
        chunked_loss=conf.trainer.chunked_loss,
    )


@dataclass(frozen=True)
class Training:
    """A trainer and those of its callbacks that are asked for results afterwards."""

    trainer: Trainer
    milestones: Milestones
    log: TrainingLog
    report: ValidationReport


def build_training(
    conf: RunConf,
    folder: Path,
    length: Length,
    tokenizer: PreTrainedTokenizerBase,
    console: Console,
    interruption: Interruption,
    resumed_step: int | None = None,
) -> Training:
    """A trainer that writes to `folder`.

    Args:
        resumed_step: The optimizer step a resumed run goes on from.
    """
    settings = conf.trainer
    milestones = Milestones(
        folder / "checkpoints",
        length.batches,
        length.validate_every,
        save_every_steps=settings.checkpoint_every,
        interruption=interruption,
    )
    log = TrainingLog(settings.log_every)
    report = ValidationReport(tokenizer, conf.seed, settings.sample_tokens, conf.generation)
    callbacks: list[Callback] = [log, report, milestones]
    if settings.patience is not None:
        callbacks.append(EarlyStopping("val/loss", patience=settings.patience, check_finite=False))
    if settings.progress_bar:
        callbacks.append(TrainingBar(length.batches, length.batches_per_epoch, log, console))
    trainer = build_trainer(conf, folder, length, callbacks, resumed_step)
    return Training(trainer, milestones, log, report)


def build_trainer(
    conf: RunConf,
    folder: Path,
    length: Length,
    callbacks: list[Callback],
    resumed_step: int | None = None,
) -> Trainer:
    """A Lightning trainer of one epoch over a stream of batches, with these callbacks."""
    settings = conf.trainer
    return Trainer(
        accelerator=choose_accelerator(conf),
        devices=settings.devices,
        strategy=settings.strategy,
        precision=settings.precision,  # type: ignore[arg-type]
        max_steps=length.steps,
        accumulate_grad_batches=settings.accumulate,
        check_val_every_n_epoch=2,  # never within the one epoch: Milestones validates
        num_sanity_val_steps=0,
        limit_val_batches=settings.validation_batches,
        log_every_n_steps=1,
        logger=build_tensorboard_logger(folder, resumed_step),
        callbacks=callbacks,
        plugins=[SafeCheckpointIO()],
        enable_progress_bar=settings.progress_bar,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic=conf.deterministic,
    )


def build_tensorboard_logger(folder: Path, resumed_step: int | None) -> TensorBoardLogger:
    """Writes to the run's `tensorboard` folder.

    Args:
        folder: The run's.
        resumed_step: What has been logged up to this step stays, what came after it is hidden.
    """
    return TensorBoardLogger(
        folder,
        name=None,
        version="tensorboard",
        default_hp_metric=False,
        purge_step=None if resumed_step is None else resumed_step + 1,
    )


def count_text_units(conf: RunConf, data: LanguageDataModule, split: Split) -> TextUnits:
    """Bytes and words that a token of a split stands for."""
    meta = data.split_meta(split)
    is_words = conf.tokenizer.name == "word" and conf.data.name != "markov"
    return TextUnits(
        bytes_per_token=meta.utf8_bytes / meta.tokens,
        words_per_token=meta.words / meta.tokens if is_words else None,
    )


def light_trainer(conf: RunConf, length: Length, callbacks: list[Callback]) -> Trainer:
    """A trainer that writes nothing."""
    trainer = conf.trainer
    return Trainer(
        accelerator=choose_accelerator(conf),
        devices=trainer.devices,
        strategy=trainer.strategy,
        precision=trainer.precision,  # type: ignore[arg-type]
        max_steps=length.steps,
        accumulate_grad_batches=trainer.accumulate,
        check_val_every_n_epoch=2,  # never within the one epoch
        num_sanity_val_steps=0,
        limit_val_batches=trainer.validation_batches,
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic=conf.deterministic,
    )
