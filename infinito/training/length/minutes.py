"""How many steps fit into `trainer.minutes`: measured at the start, then fixed.

A few steps, a validation and a save of the same training are timed and thrown away. The run itself
is one of `trainer.max_steps`, to which the minutes leave no trace, so that it is resumed, repeated
and evaluated as any other.
"""

from __future__ import annotations

import gc
import json
import time
from bisect import bisect_right
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from infinito.cli.rules.tasks import schedule_faults
from infinito.config import LoggerConf, RunConf
from infinito.data.assembly import build_data_module
from infinito.data.datamodule import LanguageDataModule
from infinito.device import choose_accelerator
from infinito.errors import ConfigError, InfinitoError, ReportedElsewhere
from infinito.run_folder.console import logged_to
from infinito.run_folder.progress import preparation
from infinito.training.assembly import build_language_training, fit
from infinito.training.callbacks.cost_clock import CostClock, Costs
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.training_log import TrainingLog
from infinito.training.callbacks.validation import count_validations
from infinito.training.callbacks.validation_report import ValidationReport
from infinito.training.dashboards.assembly import build_loggers
from infinito.training.distributed.peers import Peers
from infinito.training.distributed.reduction import of_first_process
from infinito.training.length.planning import plan_length
from infinito.training.recording import is_first_process
from infinito.training.trainer import build_trainer, count_batches

MEASURED_SHARE = 0.05
"""Of the minutes, that the timed steps may take."""

MEASURED_S = 10.0
"""Seconds that they may take at most."""

MEASURED_VALIDATION_BATCHES = 8
"""Batches of a validation that are timed; the time of the others follows from theirs."""

ENDLESS = 1_000_000_000
"""Steps of the training that is measured: more than are ever taken."""


def fix_length(conf: RunConf, console: Console) -> tuple[RunConf, str]:
    """Return a run of `trainer.max_steps` in place of one of `trainer.minutes`, and why so many.

    With several processes each calls this, and the first one's clock decides.

    Raises:
        ConfigError: the minutes are too short for a step and a validation, or for the warm-up.
        Interrupted: a signal stopped the run.
    """
    minutes = conf.trainer.minutes
    assert minutes is not None
    choose_accelerator(conf)
    with preparation(console, "preparing text") as show:
        data = build_data_module(conf, show=show)
        windows = len(data.blocks("train"))
    started_s = time.perf_counter()
    with console.status("measuring the time of a step and of a validation"):
        costs = measure_costs(conf, data)
        gc.collect()  # Lightning's objects hold each other, and with them the model
    spent_s = of_first_process(time.perf_counter() - started_s)  # each has a clock of its own
    steps = count_steps(conf, windows, costs, minutes * 60 - spent_s)
    if steps == 0:
        needed_s = spent_s + estimate_seconds(with_steps(conf, 1), windows, costs)
        raise raised_once(
            f"`trainer.minutes`={minutes:g} are {minutes * 60:.3g} s, too short for one step "
            f"({_shown(costs.step_s)}) and the validation after it "
            f"({_shown(costs.validation_s)}): measuring took {_shown(spent_s)} already. Use "
            f"`trainer.minutes={needed_s / 60 * 1.1:.2g}` or more, or validate on less, e.g. "
            f"`trainer.validation_batches={MEASURED_VALIDATION_BATCHES}`"
        )
    fixed = with_steps(conf, steps)
    why = _described(fixed, windows, costs, minutes)
    if faults := list(schedule_faults(fixed)):
        raise raised_once(*(f"{why}: {fault}" for fault in faults))
    console.print(why, highlight=False)
    return fixed, why


def raised_once(*faults: str) -> InfinitoError:
    """Return the error that all processes end with, which the first one alone prints."""
    error = ConfigError(faults)
    return error if is_first_process() else ReportedElsewhere(error.exit_code)


def measure_costs(conf: RunConf, data: LanguageDataModule) -> Costs:
    """Train a model for some seconds, time it, and forget it."""
    assert conf.trainer.minutes is not None
    endless = with_steps(conf, ENDLESS)
    interruption = Interruption()
    with TemporaryDirectory(prefix="infinito_") as name, logged_to(Path(name) / "run.log"):
        folder = Path(name)
        training = build_language_training(endless, data)
        of_validation = count_batches(data.val_dataloader(), conf.trainer)
        timed = min(of_validation, MEASURED_VALIDATION_BATCHES)
        time_s = min(MEASURED_S, MEASURED_SHARE * conf.trainer.minutes * 60)
        report = ValidationReport(
            data.tokenizer, conf.seed, conf.trainer.sample_tokens, conf.generation
        )
        peers = Peers(folder)
        trainer = build_trainer(
            replace(endless.trainer, validation_batches=timed),
            [
                peers,
                TrainingLog(conf.trainer.log_every),
                report,
                CostClock(folder, time_s, of_validation, interruption, peers),
            ],
            deterministic=conf.deterministic,
            steps=ENDLESS,
            loggers=build_loggers(replace(conf, logger=LoggerConf()), folder, None),
        )
        with interruption.listening(), peers.watching():
            fit(training, trainer)
        file = folder / CostClock.FILE.format(trainer.global_rank)
        return Costs(**json.loads(file.read_text(encoding="utf-8")))


def count_steps(conf: RunConf, windows: int, costs: Costs, budget_s: float) -> int:
    """Return the most optimizer steps that fit into `budget_s` with their validations and saves.

    Args:
        conf: The configuration of the run.
        windows: Windows of the training split.
        costs: What a step, a validation and a save take.
        budget_s: Seconds.
    """
    bound = max(0, int(budget_s / costs.step_s)) + 2
    return bisect_right(
        range(1, bound),
        budget_s,
        key=lambda steps: estimate_seconds(with_steps(conf, steps), windows, costs),
    )


def estimate_seconds(conf: RunConf, windows: int, costs: Costs) -> float:
    """Return the seconds of a training of `trainer.max_steps`; each validation saves twice."""
    steps = conf.trainer.max_steps
    assert steps is not None
    every = conf.trainer.checkpoint_every
    saves = 0 if every is None else steps // every
    of_validations = _validations(conf, windows) * (costs.validation_s + 2 * costs.save_s)
    return steps * costs.step_s + of_validations + saves * costs.save_s


def with_steps(conf: RunConf, steps: int) -> RunConf:
    """Return the configuration with a length in steps and no other."""
    trainer = replace(conf.trainer, minutes=None, epochs=None, max_steps=steps)
    return replace(conf, trainer=trainer)


def _validations(conf: RunConf, windows: int) -> int:
    length, accumulate = plan_length(conf, windows), conf.trainer.accumulate
    return count_validations(length.batches, length.validate_every, accumulate, length.batches)


def _described(conf: RunConf, windows: int, costs: Costs, minutes: float) -> str:
    count = _validations(conf, windows)
    validations = "1 validation" if count == 1 else f"{count:,} validations"
    return (
        f"{minutes:g} minute{'s' * (minutes != 1)} are {conf.trainer.max_steps:,} steps at "
        f"{_shown(costs.step_s)} and {validations} at {_shown(costs.validation_s)}"
    )


def _shown(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2g} s"
