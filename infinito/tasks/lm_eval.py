"""`task=lm_eval`: benchmarks of EleutherAI's lm-evaluation-harness on a trained model."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from infinito.config import RunConf
from infinito.device import choose_autocast_dtype
from infinito.extras import require_extra
from infinito.models.assembly import open_trained_model
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.folder import find_run_folder, record_config
from infinito.run_folder.records import provenance, write_json
from infinito.run_folder.series.metrics_file import MetricsFile
from infinito.run_folder.tables import print_table


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write lm_eval.json and the page, and add the figures to the run's summary and series.

    Raises:
        MissingExtraError: the harness is not installed.
    """
    require_extra("eval")
    progress = Console(stderr=True)
    with progress.status("loading the harness and the model"):
        from infinito.training.report.harness import list_figures, run_tasks

        trained = open_trained_model(conf)
    console = Console()
    if isinstance(trained.model, MemoryLMForCausalLM) and conf.model.memory.name != "none":
        memory = trained.model.memory
        memory.settings = replace(memory.settings, evaluation=conf.model.memory.evaluation)
    with progress.status("asking the model"):
        found = run_tasks(conf.lm_eval, trained, conf.seed, choose_autocast_dtype(conf))
    figures = list_figures(found["results"])
    record_config(folder, asdict(conf), overrides)
    report = {
        "checkpoint": str(trained.source),
        "step": trained.step,
        **figures,
        "versions": found["versions"],
        "shots": found["n-shot"],
        "documents": found["n-samples"],
        "provenance": provenance({}),
    }
    write_json(folder / "lm_eval.json", report)
    step = trained.step or 0
    MetricsFile(folder).write(step, figures)
    write_events(folder, step, figures)
    print_table(console, "lm-evaluation-harness", figures)
    summary = add_to_summary(str(conf.checkpoint), figures)
    with console.status("writing the page"):
        write_page_or_warn(folder)
    names = "lm_eval.json, metrics.csv, report.html, TensorBoard's events"
    console.print(f"\nwritten to {folder}: {names}", highlight=False, soft_wrap=True)
    if summary is not None:
        console.print(f"and to {summary}", highlight=False, soft_wrap=True)


def write_events(folder: Path, step: int, figures: Mapping[str, float]) -> None:
    """Write the figures for TensorBoard, as one step."""
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in figures.items():
            writer.add_scalar(name, value, step)


def add_to_summary(checkpoint: str, figures: Mapping[str, float]) -> Path | None:
    """Add figures to summary.json of the run that was measured; return its path, if it has one."""
    run_folder = find_run_folder(Path(checkpoint))
    path = None if run_folder is None else run_folder / "summary.json"
    if path is None or not path.is_file():
        return None
    summary = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, {**summary, **figures})
    return path
