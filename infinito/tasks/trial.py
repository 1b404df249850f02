"""`task=trial`: a training that leaves nothing but numbers, for searches that run many.

No checkpoint but that of a trial that pauses, no TensorBoard, no sample text, no model folder; text
and tokenizer are read once in a process. Train the best configuration in earnest with `task=train`.
"""

from __future__ import annotations

import signal
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities.exceptions import SIGTERMException

from infinito.config import RunConf
from infinito.data.datamodule import LanguageDataModule
from infinito.data.reuse import reused_data
from infinito.device import choose_accelerator
from infinito.models.checkpoint_file import batches_done
from infinito.models.observation.attention_probe import PROBE_WINDOWS, probe_statistics
from infinito.objectives.units import loss_report
from infinito.run_folder.console import logged_to
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import read_score, write_json
from infinito.run_folder.series.metrics_file import MetricsFile
from infinito.training.assembly import build_language_training, count_per_step, fit
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.callbacks.step_clock import StepClock
from infinito.training.callbacks.training_log import TrainingLog
from infinito.training.callbacks.trial_stopping import TrialStopping
from infinito.training.callbacks.validation import Validations
from infinito.training.length.pausing import PausedTrial, Pausing
from infinito.training.module.language_model import LanguageModelTask
from infinito.training.report.composite import composite
from infinito.training.report.metrics_logger import MetricsLogger
from infinito.training.trainer import build_early_stopping, build_trainer

LOGGED_POINTS = 20
"""Points of the training in metrics.csv, about."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | list[float]:
    """Train and validate; return the score, or the scores where `score` names several.

    Raises:
        Interrupted: SIGTERM stopped it.
        InfinitoError: anything that the user can mend.
    """
    choose_accelerator(conf)
    record_config(folder, asdict(conf), overrides)
    try:
        with logged_to(folder / "run.log"):
            summary = {"run": str(folder), **train_and_measure(conf, folder)}
    except SIGTERMException as error:
        raise Interrupted(signal.SIGTERM, "stopped by SIGTERM") from error
    write_json(folder / "summary.json", summary)
    scores = [read_score(summary, key.strip()) for key in conf.score.split(",")]
    return scores if len(scores) > 1 else scores[0]


def train_and_measure(conf: RunConf, folder: Path) -> dict[str, Any]:
    """Return the figures of a training, or of its part up to `trainer.pause_at`.

    The validation is that after the last step; with `trainer.patience` it is the best one, the
    one that `task=train` would keep.
    """
    started_s = time.perf_counter()
    data = reused_data(conf)
    paused = PausedTrial(conf)
    last = paused.read()
    training = build_language_training(conf, data, last)
    start, checkpoint, resumed_step = 0, None, None
    if last is not None:
        start, checkpoint, resumed_step = batches_done(last), paused.file, last["global_step"]
        paused.fetch_metrics(folder)
    del last
    clock = StepClock()
    validations = Validations(training.length, on_the_way=is_judged_on_the_way(conf))
    log = TrainingLog(max(1, training.length.steps // LOGGED_POINTS))
    callbacks = [clock, log, validations, *build_early_stopping(conf.trainer)]
    if conf.trainer.stop_bad is not None:
        every = training.length.validate_every
        callbacks.append(TrialStopping(folder, conf.trainer.stop_bad, every))
    pausing = Pausing(paused, training.length.steps)
    if conf.trainer.pause_at is not None:
        callbacks.append(pausing)
    per_step = count_per_step(conf, training.length)
    trainer = build_trainer(
        conf.trainer,
        callbacks,
        steps=training.length.steps,
        deterministic=conf.deterministic,
        loggers=[MetricsLogger(MetricsFile(folder, per_step, resumed_step))],
    )
    fit(training, trainer, start=start, checkpoint=checkpoint)
    steps, stopped = trainer.global_step, trainer.should_stop and not pausing.has_paused
    trainer.validate(training.module, datamodule=training.data, verbose=False)
    if pausing.has_paused:
        trainer.loggers[0].save()
        paused.keep_metrics(folder)
    found = validations.reports
    report = (
        found[-1]
        if conf.trainer.patience is None
        else min(found, key=lambda each: each["val/loss"])
    )
    figures = {
        **loss_report(report["val/loss"], training.units, "val"),
        **phi_figures(training.module, report),
        "train/loss": clock.last_loss,
        **attention_figures(training.module, data),
        "step_s": clock.median_s,
        "steps": steps,
        "stopped_early": stopped,
        "parameters": training.model.num_parameters(),
    }
    entropy = figures.get("attention/entropy", 0.0)
    terms = composite(figures["val/loss"], entropy, clock.median_s, conf.entropy_weight)
    return {**figures, **terms, "elapsed_s": time.perf_counter() - started_s}


def is_judged_on_the_way(conf: RunConf) -> bool:
    """Return whether something judges the validations on the way of a training."""
    settings = conf.trainer
    stops = settings.patience is not None or settings.stop_bad is not None
    return stops or conf.optimizer.schedule == "plateau"


def phi_figures(task: LanguageModelTask, report: dict[str, float]) -> dict[str, float]:
    """Return Φ of a validation and of the training's steps, where Φ is in the objective."""
    if task.phi is None:
        return {}
    of_validation = {name: value for name, value in report.items() if name.startswith("val/phi")}
    share = float(task.phi.steps_in_band) / max(1, task.phi.steps)
    return {**of_validation, "train/phi_share_in_band": share}


def attention_figures(task: LanguageModelTask, data: LanguageDataModule) -> dict[str, float]:
    """Return the mean entropy of attention, 0 to 1, on a few validation windows, where known."""
    blocks = data.blocks("valid")
    windows = blocks.__getitems__(range(min(PROBE_WINDOWS, len(blocks))))
    layers = probe_statistics(task.model, windows[:, :-1].to(task.model.device))
    if not layers:
        return {}
    return {"attention/entropy": statistics.fmean(layer["entropy"] for layer in layers)}
