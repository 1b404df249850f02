"""`task=evaluate`: the loss of a trained model on any split, in all units, as a table and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track
from torch import Tensor

from infinito.config import ConversationsConf, RunConf, SkillsConf
from infinito.data.conversations.assembly import build_conversation_data
from infinito.data.conversations.datamodule import fingerprint
from infinito.data.for_checkpoint import build_data_for_checkpoint
from infinito.device import choose_autocast_dtype
from infinito.errors import NonFiniteError
from infinito.models.assembly import open_trained_model
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.pretrained.opening import check_length
from infinito.models.trained import Trained
from infinito.objectives.units import loss_report
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import provenance, read_score, write_json
from infinito.run_folder.schedules import is_schedule
from infinito.run_folder.series.metrics_file import MetricsFile
from infinito.run_folder.tables import print_table
from infinito.training.assembly import count_text_units
from infinito.training.conversations.assembly import count_units, lay_out
from infinito.training.conversations.skill_scores import list_scores, measure_skills
from infinito.training.module.evaluation import mean_answer_loss, mean_loss

UNLISTED = ("fingerprint", "skills")
"""Entries of evaluation.json that the table leaves out."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Write evaluation.json in `folder` and print it."""
    if is_schedule(conf.checkpoint):
        from infinito.rl.evaluation import against_controls  # it needs an extra

        return against_controls.run(conf, folder, overrides)
    console = Console()
    with console.status("opening the checkpoint"):
        trained = open_trained_model(conf)
    if isinstance(trained.model, MemoryLMForCausalLM) and conf.model.memory.name != "none":
        memory = trained.model.memory
        memory.settings = replace(memory.settings, evaluation=conf.model.memory.evaluation)
    if isinstance(conf.data, ConversationsConf):
        report = measure_conversations(conf, trained, console)
        return _write(conf, folder, overrides, console, report)
    data = build_data_for_checkpoint(conf, trained)
    units = count_text_units(conf, data, conf.split)  # type: ignore[arg-type]
    batches = watched(data.eval_dataloader(conf.split), console)  # type: ignore[arg-type]
    nats, tokens = mean_loss(trained.model, batches, choose_autocast_dtype(conf))
    check_finite_loss(conf, trained, nats)
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
    return _write(conf, folder, overrides, console, report)


def measure_conversations(conf: RunConf, trained: Trained, console: Console) -> dict[str, Any]:
    """Return the loss of what the assistant wrote in the conversations of `split`.

    The model reads each conversation alone.
    """
    vocab = int(trained.model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    data = build_conversation_data(conf, trained.tokenizer, vocab)
    found = data.train if conf.split == "train" else data.valid
    check_length(trained.model, max(len(each.inputs) for each in found.rows))
    layout = lay_out(conf, data, trained.model)
    nats, tokens = mean_answer_loss(
        trained.model, data.eval_dataloader(conf.split), layout.head, choose_autocast_dtype(conf)
    )
    check_finite_loss(conf, trained, nats)
    units = count_units(found)
    skills = {}
    if isinstance(conf.data, SkillsConf) and conf.split == "valid":
        answered = measure_skills(conf.data, trained.model, data.encode)
        print_table(console, "skills (held-out items, exact answers)", list_scores(answered))
        skills = answered.report()
    return {
        "checkpoint": str(trained.source),
        "step": trained.step,
        "split": conf.split,
        "text": found.source,
        **loss_report(nats, units, conf.split if conf.split != "valid" else "val"),
        "conversations": len(found.rows),
        "tokens": tokens,
        "vocab_size": len(trained.tokenizer),
        "bytes_per_token": units.bytes_per_token,
        "fingerprint": fingerprint(found),
        **skills,
    }


def check_finite_loss(conf: RunConf, trained: Trained, nats: float) -> None:
    """Raise NonFiniteError for a loss that is not finite."""
    if not math.isfinite(nats):
        raise NonFiniteError(
            f"the loss of {trained.source} on `split`={conf.split} is {nats}: its numbers leave "
            "the range of floats. Use `trainer.precision=32-true`, or an earlier checkpoint"
        )


def _write(
    conf: RunConf,
    folder: Path,
    overrides: Sequence[str],
    console: Console,
    report: dict[str, Any],
) -> float | None:
    """Write a report and print it; return the score, if it is one of the report's figures."""
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "evaluation.json", {**report, "provenance": provenance({})})
    figures = {name: value for name, value in report.items() if isinstance(value, float)}
    MetricsFile(folder).write(report["step"] or 0, figures)
    shown = {name: value for name, value in report.items() if name not in UNLISTED}
    print_table(console, "evaluation", shown)
    with console.status("writing the page"):
        write_page_or_warn(folder)
    written = f"\nwritten to {folder}: evaluation.json, metrics.csv, report.html"
    console.print(written, highlight=False, soft_wrap=True)
    return read_score(report, conf.score) if conf.score in report else None


def watched(batches: Iterable[Tensor], console: Console) -> Iterator[Tensor]:
    """Yield the same batches under a progress bar."""
    yield from track(batches, "evaluating", console=console, transient=True)
