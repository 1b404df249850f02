"""`task=evaluate`: the loss of a trained model on any split, in all units, as a table and JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import Tensor

from infinito.config import RunConf
from infinito.data.for_checkpoint import build_data_for_checkpoint
from infinito.device import choose_autocast_dtype
from infinito.errors import NonFiniteError
from infinito.models.assembly import open_trained_model
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.objectives.units import loss_report
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import provenance, score_of, write_json
from infinito.run_folder.schedules import is_schedule
from infinito.run_folder.series.metrics_file import MetricsFile
from infinito.run_folder.tables import print_table
from infinito.training.assembly import count_text_units
from infinito.training.evaluation import mean_loss


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Write evaluation.json in `folder` and print it."""
    if is_schedule(conf.checkpoint):
        from infinito.rl.evaluation import against_controls  # it needs an extra

        return against_controls.run(conf, folder, overrides)
    console = Console()
    trained = open_trained_model(conf)
    if isinstance(trained.model, MemoryLMForCausalLM) and conf.model.memory.name != "none":
        memory = trained.model.memory
        memory.settings = replace(memory.settings, evaluation=conf.model.memory.evaluation)
    data = build_data_for_checkpoint(conf, trained)
    units = count_text_units(conf, data, conf.split)  # type: ignore[arg-type]
    batches = watched(data.eval_dataloader(conf.split), console)  # type: ignore[arg-type]
    nats, tokens = mean_loss(trained.model, batches, choose_autocast_dtype(conf))
    if not math.isfinite(nats):
        raise NonFiniteError(
            f"the loss of {trained.source} on `split`={conf.split} is {nats}: its numbers leave "
            "the range of floats. Use `trainer.precision=32-true`, or an earlier checkpoint"
        )
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
    figures = {name: value for name, value in report.items() if isinstance(value, float)}
    MetricsFile(folder).write(trained.step or 0, figures)
    shown = {name: value for name, value in report.items() if name != "fingerprint"}
    print_table(console, "evaluation", shown)
    write_page_or_warn(folder)
    written = f"\nwritten to {folder}: evaluation.json, metrics.csv, report.html"
    console.print(written, highlight=False, soft_wrap=True)
    return score_of(report, conf.score) if conf.score in report else None


def watched(batches: Iterable[Tensor], console: Console) -> Iterator[Tensor]:
    """Yield the same batches under a progress bar."""
    yield from track(batches, "evaluating", console=console, transient=True)
