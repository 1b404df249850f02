"""`task=trial`: a training that leaves nothing but numbers, for searches that run many.

No checkpoint, no TensorBoard, no sample text, no model folder; text and tokenizer are read once in
a process. Train the best configuration in earnest with `task=train`.
"""

from __future__ import annotations

import copy
import signal
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from lightning.pytorch.utilities.exceptions import SIGTERMException

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.datamodule import LanguageDataModule
from infinito.models.assembly import build_language_model
from infinito.models.attention_probe import PROBE_WINDOWS, probe_statistics
from infinito.objectives.units import loss_report
from infinito.run_folder.console import logged_to
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import score_of, write_json
from infinito.training.assembly import (
    build_language_module,
    count_text_units,
    light_trainer,
    plan_length,
)
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.callbacks.step_clock import StepClock
from infinito.training.callbacks.trial_stopping import TrialStopping
from infinito.training.language_model import LanguageModelTask

LOSS_CEILING = 10.0
STEP_CEILING_S = 1.0


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | list[float]:
    """Trains and validates; returns the score, or the scores where `score` names several.

    Raises:
        Interrupted: SIGTERM asked it to stop.
        InfinitoError: anything that the user can mend.
    """
    record_config(folder, asdict(conf), overrides)
    if conf.trainer.threads is not None:
        torch.set_num_threads(conf.trainer.threads)
    try:
        with logged_to(folder / "run.log"):
            summary = {"run": str(folder), **trained(conf, folder)}
    except SIGTERMException as error:
        raise Interrupted(signal.SIGTERM, "stopped by SIGTERM") from error
    write_json(folder / "summary.json", summary)
    scores = [score_of(summary, key.strip()) for key in conf.score.split(",")]
    return scores if len(scores) > 1 else scores[0]


def trained(conf: RunConf, folder: Path) -> dict[str, Any]:
    """The figures of a training, on the validation split after its last step."""
    started_s = time.perf_counter()
    data = reused_data(conf)
    length = plan_length(conf, len(data.blocks("train")))
    data.total_batches = length.batches
    model = build_language_model(conf, data.vocab_size, data.tokenizer.eos_token_id)
    units = count_text_units(conf, data, "valid")
    task = build_language_module(conf, model, data.tokenizer, length, units)
    clock = StepClock()
    callbacks: list[Callback] = [clock]
    if conf.trainer.stop_bad is not None:
        every = length.validate_every
        callbacks.append(TrialStopping(folder, conf.trainer.stop_bad, every, length.batches))
    trainer = light_trainer(conf, length, callbacks)
    trainer.fit(task, datamodule=data)
    steps, stopped = trainer.global_step, trainer.should_stop
    trainer.validate(task, datamodule=data, verbose=False)
    figures = {
        **loss_report(float(trainer.callback_metrics["val/loss"]), units, "val"),
        "train/loss": clock.last_loss,
        **attention_figures(task, data),
        "step_s": clock.median_s,
        "steps": steps,
        "stopped_early": stopped,
        "parameters": model.num_parameters(),
    }
    entropy = figures.get("attention/entropy", 0.0)
    terms = composite(figures["val/loss"], entropy, clock.median_s, conf.entropy_weight)
    return {**figures, **terms, "elapsed_s": time.perf_counter() - started_s}


def composite(
    loss: float, entropy: float, step_s: float, entropy_weight: float
) -> dict[str, float]:
    """max(0, 10 − loss) + entropy weight · entropy + max(0, 1 − step seconds), and its terms.

    Higher is "better", but it rewards attention for being spread out, whatever that does to the
    text, and the last term is noise of the machine: compare by `val/loss`. NaN stays NaN.

    Args:
        loss: nats per token.
        entropy: of attention, 0 to 1.
        step_s: of one optimizer step.
    """
    terms = {
        "composite/loss": max(LOSS_CEILING - loss, 0.0),
        "composite/entropy": entropy_weight * entropy,
        "composite/speed": max(STEP_CEILING_S - step_s, 0.0),
    }
    return {"composite": sum(terms.values()), **terms}


def attention_figures(task: LanguageModelTask, data: LanguageDataModule) -> dict[str, float]:
    """Mean entropy of attention, 0 to 1, on a few validation windows, if the model tells it."""
    blocks = data.blocks("valid")
    windows = blocks.__getitems__(range(min(PROBE_WINDOWS, len(blocks))))
    layers = probe_statistics(task.model, windows[:, :-1].to(task.model.device))
    if not layers:
        return {}
    return {"attention/entropy": statistics.fmean(layer["entropy"] for layer in layers)}


def reused_data(conf: RunConf) -> LanguageDataModule:
    """The data of a run, text and tokens shared with earlier runs of this process."""
    fresh = build_data_module(conf)
    same = replace(conf.data, batch_size=1, eval_batch_size=None, workers=0)
    data = copy.copy(_read(_Same(replace(conf, data=same))))
    for name in ("batch_size", "eval_batch_size", "seed", "workers"):
        setattr(data, name, getattr(fresh, name))
    return data


class _Same:
    """A run that equals every other with the same text and tokenizer."""

    def __init__(self, conf: RunConf) -> None:
        self.conf = conf
        self.key = repr((conf.data, conf.tokenizer))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=4)
def _read(same: _Same) -> LanguageDataModule:
    data = build_data_module(same.conf)
    for split in ("train", "valid"):
        data.split_meta(split)
    return data
