"""The results of a training: those of its best checkpoint, for summary.json and the screen."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from infinito.data.conversations.datamodule import ConversationDataModule
from infinito.models.checkpoint_file import read_checkpoint
from infinito.objectives.units import loss_report
from infinito.training.assembly import LanguageTraining, SavingTrainer
from infinito.training.callbacks.milestones import Milestones
from infinito.training.report.baselines import measure_baselines
from infinito.training.report.headline import known_floor


def summarize(folder: Path, training: LanguageTraining, saving: SavingTrainer) -> dict[str, Any]:
    """Return the results of a run: those of its best checkpoint, from when it was saved."""
    best, last = (
        read_checkpoint(folder / f"checkpoints/{name}.ckpt", mapped=True)
        for name in ("best", "last")
    )
    best_loss = best["callbacks"][Milestones.KEY]["best_score"]
    return {
        "run": str(folder),
        **loss_report(best_loss, training.units, "val"),
        **report_data(training),
        **phi_report(best, last),
        "best_step": best["global_step"],
        "steps": last["global_step"],
        "parameters": sum(each.numel() for each in training.module.parameters()),
        "tokens_per_s": saving.log.throughput.mean_tokens_per_s,
        "elapsed_s": saving.log.elapsed_s,
        "stopped_early": saving.trainer.should_stop,
        "prompt": saving.report.prompt,
        "sample": saving.report.sample,
    }


def report_data(training: LanguageTraining) -> dict[str, Any]:
    """Return what the loss is to be compared with."""
    data, units = training.data, training.units
    if isinstance(data, ConversationDataModule):
        chance = loss_report(math.log(data.vocab_size), units, "val")
        return {"baselines": {"untrained": chance}}
    return {**known_floor(data), "baselines": measure_baselines(data, units)}


def phi_report(best: dict[str, Any], last: dict[str, Any]) -> dict[str, Any]:
    """Return Φ of the best checkpoint's validation, and of the steps of the whole training."""
    if "phi" not in last:
        return {}
    return {
        "val/phi": best["phi"]["validation"]["val/phi"],
        "val/phi_share_in_band": best["phi"]["validation"]["val/phi_share_in_band"],
        "train/phi_share_in_band": last["phi"]["steps_in_band"] / max(1, last["phi"]["steps"]),
        "phi_calibration": last["phi"]["calibration"],
    }
