"""Builds the objects of a run from its configuration: the only place where they are wired."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from lightning import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger
from rich.console import Console
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from infinito import config
from infinito.config import RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.markov import MarkovSource
from infinito.data.sources.python_docs import PythonDocs
from infinito.data.sources.source import Split, TextSource
from infinito.data.sources.text_files import TextFiles
from infinito.data.sources.wikitext2 import WikiText2
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.data.tokenizers.given import GivenTokenizer
from infinito.data.tokenizers.pretrained import PretrainedTokenizer
from infinito.data.tokenizers.spec import TokenizerSpec
from infinito.data.tokenizers.word import WordTokenizer
from infinito.errors import ConfigError, DeviceError
from infinito.models.distance_lm import DistanceLMForCausalLM
from infinito.models.distance_lm_config import DistanceLMConfig
from infinito.paths import cache_dir
from infinito.seeding import child_seed
from infinito.tasks.language_model import LanguageModelTask, TextUnits
from infinito.trainer.checkpoint_io import SafeCheckpointIO
from infinito.trainer.interruption import Interruption
from infinito.trainer.loading import description_of
from infinito.trainer.milestones import Milestones
from infinito.trainer.progress_bar import TrainingBar
from infinito.trainer.training_log import TrainingLog
from infinito.trainer.validation_report import ValidationReport


def source(run: RunConf) -> TextSource | MarkovSource:
    """The text that `data` names."""
    data = run.data
    match data:
        case config.PythonDocsConf():
            return PythonDocs(
                data.parts,  # type: ignore[arg-type]
                valid_fraction=data.valid_fraction,
                test_fraction=data.test_fraction,
                max_bytes=data.max_bytes,
                cache_dir=cache_dir(data.cache_dir),
            )
        case config.TextConf():
            return TextFiles(
                str(data.path),
                valid_fraction=data.valid_fraction,
                test_fraction=data.test_fraction,
                max_bytes=data.max_bytes,
            )
        case config.WikiText2Conf():
            return WikiText2(data.path, max_bytes=data.max_bytes)
        case config.MarkovConf():
            return MarkovSource(
                data.vocab_size,
                order=data.order,
                concentration=data.concentration,
                train_tokens=data.train_tokens,
                valid_tokens=data.valid_tokens,
                test_tokens=data.test_tokens,
                seed=data.source_seed,
            )
    raise ConfigError(f"`data.name`={data.name} has no source")


def tokenizer_spec(run: RunConf) -> TokenizerSpec:
    """The tokenizer recipe that `tokenizer` names."""
    tokenizer = run.tokenizer
    match tokenizer.name:
        case "char":
            return CharTokenizer(unknown=tokenizer.unknown)
        case "bpe":
            return BpeTokenizer(tokenizer.vocab_size or 0)
        case "word":
            return WordTokenizer(tokenizer.vocab_size)
        case _:
            return PretrainedTokenizer(str(tokenizer.path))


def language_model(run: RunConf, vocab_size: int, eos_token_id: int | None) -> PreTrainedModel:
    """A language model with the weights that the run's seed draws."""
    model, attention = run.model, run.attention
    settings = DistanceLMConfig(
        vocab_size=vocab_size,
        hidden_size=model.dim,
        num_hidden_layers=model.layers,
        intermediate_size=round(model.dim * model.mlp_ratio),
        position=model.position,
        max_position_embeddings=model.max_positions,
        dropout=model.dropout,
        tie_word_embeddings=model.tie_embeddings,
        num_attention_heads=attention.heads,
        num_key_value_heads=attention.kv_heads,
        metric=attention.metric,
        p=attention.p,
        scale=attention.scale,
        scale_per=attention.scale_per,
        learned_scale=attention.learned_scale,
        attention_dropout=attention.dropout,
        attention_backend=attention.backend,
        eos_token_id=eos_token_id,
    )
    torch.manual_seed(child_seed(run.seed, "model"))
    built = DistanceLMForCausalLM(settings)
    if model.gradient_checkpointing:
        built.activation_checkpointing_enable()
    return built


def accelerator(run: RunConf) -> str:
    """Lightning's name of the device asked for.

    Raises:
        DeviceError: it is not there; nothing else is taken in its place.
    """
    asked = run.trainer.accelerator
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if asked in there and not there[asked]:
        raise DeviceError(
            f"`trainer.accelerator`={asked}: this machine has no such device. "
            "Use `trainer.accelerator=cpu`, or `auto` for the best that is there."
        )
    if asked == "cuda" and run.trainer.devices > torch.cuda.device_count():
        raise DeviceError(
            f"`trainer.devices`={run.trainer.devices}: this machine has "
            f"{torch.cuda.device_count()}. Use `trainer.devices={torch.cuda.device_count()}`."
        )
    if run.trainer.strategy == "fsdp" and not there["cuda"]:
        raise DeviceError(
            "`trainer.strategy`=fsdp shards over CUDA devices, and there is none here"
        )
    if run.trainer.precision == "16-mixed" and not there["cuda"]:
        raise DeviceError(
            "`trainer.precision`=16-mixed needs a CUDA device. Use `trainer.precision=bf16-mixed`."
        )
    return asked


def torch_device(run: RunConf) -> torch.device:
    """The device of tasks that need no Lightning trainer."""
    asked = accelerator(run)
    if asked == "auto":
        asked = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(asked)


def autocast_dtype(run: RunConf) -> torch.dtype | None:
    """The lower precision that `trainer.precision` asks for, or None."""
    return {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(run.trainer.precision)


def data_module(
    run: RunConf, tokenizer: PreTrainedTokenizerFast | None = None
) -> LanguageDataModule:
    """Windows of tokens of the configured text.

    Args:
        tokenizer: Taken instead of the configured one.
    """
    text = source(run)
    spec = tokenizer_spec(run) if tokenizer is None else GivenTokenizer(tokenizer)
    return LanguageDataModule(
        text,
        None if isinstance(text, MarkovSource) else spec,
        block_size=run.data.block_size,
        batch_size=run.data.batch_size,
        eval_batch_size=run.data.eval_batch_size,
        seed=child_seed(run.seed, "batches"),
        workers=run.data.workers,
        cache_dir=cache_dir(run.data.cache_dir),
    )


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


def training_length(run: RunConf, windows: int) -> Length:
    """How many batches and steps the configuration asks for; the shorter of two limits rules.

    Args:
        windows: Windows of the training split.
    """
    per_epoch = max(1, windows // (run.data.batch_size * run.trainer.devices))
    limits = []
    if run.trainer.epochs is not None:
        limits.append(run.trainer.epochs * per_epoch)
    if run.trainer.max_steps is not None:
        limits.append(run.trainer.max_steps * run.trainer.accumulate)
    batches = min(limits)
    every = run.trainer.validate_every or per_epoch
    return Length(per_epoch, batches, -(-batches // run.trainer.accumulate), min(every, batches))


def text_units(run: RunConf, data: LanguageDataModule, split: Split) -> TextUnits:
    """Bytes and words that a token of a split stands for."""
    meta = data.split_meta(split)
    is_words = run.tokenizer.name == "word" and run.data.name != "markov"
    return TextUnits(
        bytes_per_token=meta.utf8_bytes / meta.tokens,
        words_per_token=meta.words / meta.tokens if is_words else None,
    )


def language_model_task(
    run: RunConf,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    length: Length,
    units: TextUnits,
) -> LanguageModelTask:
    """The Lightning module that trains `model`."""
    return LanguageModelTask(
        model,
        run.optimizer,
        total_steps=length.steps,
        units=units,
        seed=run.seed,
        description=description_of(model, tokenizer),
    )


@dataclass(frozen=True)
class Training:
    """A trainer and those of its callbacks that are asked for results afterwards."""

    trainer: Trainer
    milestones: Milestones
    log: TrainingLog
    report: ValidationReport


def training(
    run: RunConf,
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
    conf = run.trainer
    milestones = Milestones(
        folder / "checkpoints",
        length.batches,
        length.validate_every,
        save_every_steps=conf.checkpoint_every,
        interruption=interruption,
    )
    log = TrainingLog(conf.log_every)
    report = ValidationReport(tokenizer, run.seed, conf.sample_tokens)
    callbacks: list[Callback] = [log, report, milestones]
    if conf.patience is not None:
        callbacks.append(EarlyStopping("val/loss", patience=conf.patience, check_finite=False))
    if conf.progress_bar:
        callbacks.append(TrainingBar(length.batches, length.batches_per_epoch, log, console))
    trainer = Trainer(
        accelerator=accelerator(run),
        devices=conf.devices,
        strategy=conf.strategy,
        precision=conf.precision,  # type: ignore[arg-type]
        max_steps=length.steps,
        accumulate_grad_batches=conf.accumulate,
        check_val_every_n_epoch=2,  # never within the one epoch: Milestones validates
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        logger=TensorBoardLogger(
            folder,
            name=None,
            version="tensorboard",
            default_hp_metric=False,
            purge_step=resumed_step,
        ),
        callbacks=callbacks,
        plugins=[SafeCheckpointIO()],
        enable_progress_bar=conf.progress_bar,
        enable_model_summary=False,
        use_distributed_sampler=False,
        deterministic=run.deterministic,
    )
    return Training(trainer, milestones, log, report)
