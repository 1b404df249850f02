"""`task=calibrate_phi`: measures Φ over windows of text and fits a base model's calibration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from infinito.config import LanguagePhiConf, RunConf
from infinito.data.for_checkpoint import build_data_for_checkpoint
from infinito.models.assembly import open_trained_model
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.models.model_folder import export
from infinito.models.trained import Trained
from infinito.objectives.phi import Calibration, PhiComponents, phi
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.commands import build_command
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import write_json
from infinito.run_folder.tables import print_next, print_table
from infinito.training.phi.assembly import spread_windows
from infinito.training.phi.term import measured_components, read_weights
from infinito.wording import format_value

QUANTILES = {"2.5 %": 0.025, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "97.5 %": 0.975}


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write calibration.json and a calibrated copy of the checkpoint in `folder`; prints both."""
    console = Console()
    objective = conf.objective if isinstance(conf.objective, LanguagePhiConf) else LanguagePhiConf()
    trained = open_trained_model(conf)
    data = build_data_for_checkpoint(conf, trained, "train")
    with console.status("measuring"):
        batches = spread_windows(data, objective.calibration_windows, conf.data.batch_size)
        components = measured_components(trained.model, batches)
    raw = phi(components, read_weights(trained.model, objective))
    calibration = Calibration.fitted(raw, (objective.band[0], objective.band[1]))
    report = {
        "checkpoint": str(trained.source),
        "text": data.source.description,
        "windows": len(raw),
        "tokens": conf.data.block_size,
        **calibration._asdict(),
    }
    spreads = quantiles(components, raw, calibration)
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "calibration.json", {**report, "quantiles": spreads})
    place = calibrated_copy(trained, calibration, folder)
    write_page_or_warn(folder)
    print_spreads(console, spreads)
    print_table(console, "\ncalibration", report)
    command = build_command({"objective": "language_phi", "checkpoint": place})
    print_next(console, [(command, "train on with it; add the overrides of its run")])


def quantiles(
    components: PhiComponents, raw: torch.Tensor, calibration: Calibration
) -> dict[str, dict[str, float]]:
    """Return quantiles and interquartile range, over windows, of each component and of Φ."""
    values = {**components._asdict(), "Φ before": raw, "Φ": calibration(raw)}
    found = {}
    for name, each in values.items():
        points = {
            label: float(torch.quantile(each.double(), share)) for label, share in QUANTILES.items()
        }
        found[name] = {**points, "interquartile": points["75 %"] - points["25 %"]}
    return found


def calibrated_copy(trained: Trained, calibration: Calibration, folder: Path) -> Path:
    """Write the model with its calibration, as the kind of file that it came from.

    Returns:
        What `checkpoint=` opens.
    """
    if trained.source.suffix != ".ckpt":
        trained.model.config.phi_calibration = list(calibration)
        export(trained, folder / "model")
        return folder / "model"
    checkpoint: dict[str, Any] = read_checkpoint(trained.source, mapped=True)
    config = json.loads(checkpoint["infinito"]["model_config"])
    config["phi_calibration"] = list(calibration)
    checkpoint["infinito"]["model_config"] = json.dumps(config)
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    # Not best.ckpt: `checkpoint=last` finds the newest run by that name, and this is no run.
    write_checkpoint(checkpoint, folder / "checkpoints" / "calibrated.ckpt")
    return folder


def print_spreads(console: Console, spreads: dict[str, dict[str, float]]) -> None:
    """Print a row for each component."""
    table = Table(title="over windows", title_justify="left", box=None)
    table.add_column("", style="cyan")
    for label in next(iter(spreads.values())):
        table.add_column(label, justify="right")
    for name, values in spreads.items():
        table.add_row(name, *(format_value(value) for value in values.values()))
    console.print(table)
