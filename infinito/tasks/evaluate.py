"""`task=evaluate`: the loss of a trained model on any split, in all units, as a table and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import Tensor

from infinito.config import RunConf
from infinito.data.assembly import build_data_module, count_text_units
from infinito.data.datamodule import LanguageDataModule
from infinito.device import choose_autocast_dtype
from infinito.errors import CheckpointError
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.open_trained_model import open_trained_model
from infinito.models.trained import Trained
from infinito.rl.evaluation import against_controls as rl_evaluation
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import print_table, provenance, score_of, write_json
from infinito.training.evaluation import mean_loss
from infinito.training.language_model import loss_report


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Writes evaluation.json in `folder` and prints it."""
    if rl_evaluation.is_schedule(conf.checkpoint):
        return rl_evaluation.run(conf, folder, overrides)
    console = Console()
    trained = open_trained_model(conf)
    if isinstance(trained.model, MemoryLMForCausalLM) and conf.model.memory.name != "none":
        memory = trained.model.memory
        memory.settings = replace(memory.settings, evaluation=conf.model.memory.evaluation)
    data = data_for(conf, trained)
    units = count_text_units(conf, data, conf.split)  # type: ignore[arg-type]
    batches = watched(data.eval_dataloader(conf.split), console)  # type: ignore[arg-type]
    nats, tokens = mean_loss(trained.model, batches, choose_autocast_dtype(conf))
    report = {
        "checkpoint": str(trained.source),
        "step": trained.step,
        "split": conf.split,
        "text": data.source.description,
        **loss_report(nats, units, conf.split if conf.split != "valid" else "val"),
        "tokens": tokens,
        "vocab_size": len(trained.tokenizer),
        "bytes_per_token": units.bytes_per_token,
        "fingerprint": data.fingerprint(conf.split),  # type: ignore[arg-type]
    }
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "evaluation.json", {**report, "provenance": provenance({})})
    print_table(console, "evaluation", report)
    console.print(f"\nwritten to {folder / 'evaluation.json'}", highlight=False, soft_wrap=True)
    return score_of(report, conf.score) if conf.score in report else None


def data_for(conf: RunConf, trained: Trained) -> LanguageDataModule:
    """The configured text, tokenised by the checkpoint's own tokenizer.

    Raises:
        CheckpointError: the tokenizer has ids that the model lacks, or windows are too long.
    """
    vocab = int(trained.model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    if len(trained.tokenizer) > vocab:
        raise CheckpointError(
            f"{trained.source}: its tokenizer has {len(trained.tokenizer)} tokens, its model only "
            f"{vocab}; they do not belong together"
        )
    longest = getattr(trained.model.config, "max_position_embeddings", None)
    if longest is not None and conf.data.block_size > longest:
        raise CheckpointError(
            f"`data.block_size`={conf.data.block_size} is longer than the {longest} positions of "
            f"{trained.source}: use `data.block_size={longest}`"
        )
    return build_data_module(conf, trained.tokenizer)


def watched(batches: Iterable[Tensor], console: Console) -> Iterator[Tensor]:
    """The same batches under a progress bar."""
    yield from track(batches, "evaluating", console=console, transient=True)
