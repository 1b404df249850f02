"""`task=train`: trains the language model, or goes on with a training, and reports the results."""

from __future__ import annotations

from collections.abc import Sequence
from logging import Logger
from pathlib import Path

from rich.console import Console
from rich.text import Text

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.record import data_record, text_inputs, token_inputs
from infinito.models.checkpoint_file import batches_done, read_checkpoint
from infinito.models.model_folder import export
from infinito.models.trained import base_inputs, open_trained, own_tokenizer
from infinito.run_folder.commands import build_command, show_curves
from infinito.run_folder.records import provenance, score_of, write_json
from infinito.run_folder.tables import print_next, print_table
from infinito.training.assembly import (
    LanguageTraining,
    SavingTrainer,
    build_language_training,
    build_saving_trainer,
    fit,
)
from infinito.training.callbacks.interruption import Interruption
from infinito.training.dry_run import estimate
from infinito.training.optimizer.assembly import describe_optimizer
from infinito.training.recording import RunRecord, is_first_process, recorded
from infinito.training.report.headline import attention_choice, describe_training
from infinito.training.report.hyperparameters import list_hyperparameters, name_score
from infinito.training.report.results import summarize

UNLISTED = ("run", "prompt", "sample")
"""Entries of summary.json that the table of results leaves out."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Train in `folder` and return the score.

    Raises:
        InfinitoError: anything that the user can mend; what was saved before stays.
    """
    console = Console(quiet=not is_first_process())
    if conf.dry_run:
        estimate(conf, console)
        return None
    with recorded(conf, folder, overrides) as log:
        return _train(conf, folder, console, log)


def _train(conf: RunConf, folder: Path, console: Console, log: Logger) -> float | None:
    newest = folder / "checkpoints/last.ckpt"
    last = read_checkpoint(newest, mapped=True) if conf.resume is not None else None
    record = RunRecord(folder, last, log)
    record.use_threads(conf, log)
    with console.status("preparing text and model"):
        data = build_data_module(conf, own_tokenizer(last))
        record.pin(text_inputs(data))
        record.pin(token_inputs(data))
        training = build_language_training(conf, data, last)
        record.pin(base_inputs(training.model))
    log.info(attention_choice(conf, training.model))
    log.info(describe_optimizer(training.model, conf.optimizer))
    print_table(console, f"{conf.name}  →  {folder}", describe_training(conf, training))
    if last is not None:
        steps = f"{last['global_step']:,} of {training.length.steps:,}"
        console.print(f"going on at step {steps}", highlight=False)
    elif is_first_process():
        found = provenance(data_record(training.data))
        write_json(folder / "provenance.json", {**found, "threads": record.values["threads"]})
    interruption = Interruption()
    saving = build_saving_trainer(
        conf,
        folder,
        training,
        console,
        interruption,
        resumed_step=last["global_step"] if last else None,
        identity=record.identity(conf),
        callbacks=[record],
    )
    start, resumed = (0, None) if last is None else (batches_done(last), newest)
    del last  # its file is mapped, and would stay on the disk after the next one replaces it
    with interruption.listening(), saving.peers.watching():
        fit(training, saving.trainer, start=start, checkpoint=resumed)
    return _finish(conf, folder, console, training, saving) if is_first_process() else None


def _finish(
    conf: RunConf, folder: Path, console: Console, training: LanguageTraining, saving: SavingTrainer
) -> float:
    """Write summary, hyper-parameters and the Hugging Face folder; print the results."""
    summary = summarize(folder, training, saving)
    write_json(folder / "summary.json", summary)
    score = score_of(summary, conf.score)
    saving.trainer.logger.log_hyperparams(  # type: ignore[union-attr]
        list_hyperparameters(conf), {name_score(conf): score}, step=saving.trainer.global_step
    )
    saving.trainer.logger.finalize("success")  # type: ignore[union-attr]
    export(open_trained(str(folder)), folder / "model")
    shown = {name: value for name, value in summary.items() if name not in UNLISTED}
    print_table(console, "\nresults (validation split, best checkpoint)", shown)
    if summary["sample"]:
        console.print(
            "\n[bold]sample[/]: a validation document's beginning, and how the model goes on"
        )
        console.print(Text(str(summary["prompt"]), "dim") + Text(summary["sample"]))
    print_next(console, list_next(folder, conf.runs_dir))
    return score


def list_next(folder: Path, runs_dir: str) -> list[tuple[str, str]]:
    """Return the commands that are useful after a training, each with what it does."""
    commands = [
        ({"task": "generate", "generation.prompt": "The "}, "write text"),
        ({"task": "evaluate", "split": "test"}, "an unseen split"),
        ({"task": "analyze"}, "attention: entropy and heat maps"),
    ]
    return [
        *((build_command({**each, "checkpoint": folder}), purpose) for each, purpose in commands),
        (show_curves(folder, runs_dir), "curves, samples, heat maps"),
    ]
