"""`task=analyze`: statistics and pictures of a trained model's attention, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.data.for_checkpoint import build_data_for_checkpoint
from infinito.errors import CheckpointError, NonFiniteError
from infinito.models.assembly import open_trained_model
from infinito.models.observation.attention_probe import probe_attention, probe_statistics
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import write_json
from infinito.training.report.heat_maps import attention_figure
from infinito.wording import format_value

WINDOWS = 16
"""Windows of the split to measure."""
SHOWN = 64
"""Positions on each side of a heat map."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write attention.json and attention.png in `folder` and prints the table."""
    console = Console()
    trained = open_trained_model(conf)
    model = trained.model
    data = build_data_for_checkpoint(conf, trained)
    blocks = data.blocks(conf.split)  # type: ignore[arg-type]
    windows = torch.stack(list(islice((blocks[i] for i in range(len(blocks))), WINDOWS)))
    inputs = windows[:, :-1].to(model.device)
    layers, weights = probe_statistics(model, inputs), probe_attention(model, inputs[:1, :SHOWN])
    if not (layers and weights):
        raise CheckpointError(f"{trained.source}: this model does not show its attention")
    if not all(map(math.isfinite, (value for layer in layers for value in layer.values()))):
        raise NonFiniteError(
            f"the attention of {trained.source} is NaN or infinite: its numbers leave the range "
            "of floats. Use an earlier checkpoint"
        )
    record_config(folder, asdict(conf), overrides)
    write_json(
        folder / "attention.json",
        {
            "checkpoint": str(trained.source),
            "split": conf.split,
            "windows": len(windows),
            "layers": layers,
        },
    )
    shown_weights = [layer[0] for layer in weights]
    figure = attention_figure(shown_weights, f"{trained.source}, first {conf.split} window")
    figure.savefig(folder / "attention.png", dpi=110)
    write_page_or_warn(folder)
    table = Table(title="attention", title_justify="left", box=None)
    table.add_column("layer", style="cyan")
    for name in layers[0]:
        table.add_column(name, justify="right")
    for number, statistics in enumerate(layers, start=1):
        table.add_row(str(number), *(format_value(value) for value in statistics.values()))
    console.print(table)
    written = f"\nwritten to {folder}: attention.json, attention.png, report.html"
    console.print(written, highlight=False, soft_wrap=True)
