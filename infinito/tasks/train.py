"""`task=train`: trains the language model, or goes on with a training, and reports the results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from logging import Logger
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from infinito.cli.continuation import stable_checkpoint
from infinito.config import ConversationsConf, RunConf, SkillsConf
from infinito.data.conversations.datamodule import ConversationDataModule
from infinito.data.datamodule import LanguageDataModule
from infinito.data.record import data_record, training_inputs
from infinito.device import choose_device
from infinito.hub import claim_repository, push_model
from infinito.models.checkpoint_file import batches_done, read_checkpoint
from infinito.models.model_folder import export
from infinito.models.trained import Trained, base_inputs, open_trained
from infinito.pages.kinds.language import list_next
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.progress import preparation
from infinito.run_folder.records import provenance, read_score, write_json
from infinito.run_folder.tables import print_next, print_page, print_table
from infinito.training.assembly import (
    LanguageTraining,
    SavingTrainer,
    build_language_training,
    build_saving_trainer,
    fit,
)
from infinito.training.callbacks.interruption import Interruption
from infinito.training.conversations.assembly import build_training_data
from infinito.training.conversations.skill_scores import list_scores, measure_skills
from infinito.training.dashboards.dashboard import show_end
from infinito.training.length.dry_run import estimate
from infinito.training.length.minutes import fix_length
from infinito.training.length.stable import check_longer, read_stable, take_over
from infinito.training.optimizer.assembly import describe_optimizer
from infinito.training.recording import (
    RunRecord,
    is_first_process,
    recorded,
    wait_for_first_process,
)
from infinito.training.report.baselines import compare_with_baselines
from infinito.training.report.headline import attention_choice, describe_training, takes_model
from infinito.training.report.hyperparameters import list_hyperparameters, name_score
from infinito.training.report.results import summarize
from infinito.training.trainer import release_optimizers

UNLISTED = ("run", "baselines", "prompt", "sample")
"""Entries of summary.json that the table of results leaves out."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Train in `folder` and return the score.

    Raises:
        InfinitoError: anything that the user can mend; what was saved before stays.
    """
    console = Console(quiet=not is_first_process())
    length = None
    on_text = not isinstance(conf.data, ConversationsConf)
    if on_text and conf.trainer.minutes is not None:
        conf, length = fix_length(conf, console)
    stable = stable_checkpoint(conf.resume)
    if stable is not None:
        conf = replace(conf, resume=None)  # what comes after the first step is a run of its own
    if conf.dry_run:
        estimate(conf, console)
        return None
    if is_first_process():
        claim_repository(conf)
    with recorded(conf, folder, overrides) as log:
        wait_for_first_process()
        if length is not None:
            log.info(length)
        return _train(conf, folder, console, log, stable)


def _train(
    conf: RunConf, folder: Path, console: Console, log: Logger, stable: Path | None
) -> float | None:
    newest = folder / "checkpoints/last.ckpt"
    last = None if conf.resume is None else read_checkpoint(newest, mapped=True)
    last = last if stable is None else read_stable(stable, folder)
    record = RunRecord(folder, last, log)
    record.use_threads(conf, log)
    with preparation(console, "preparing text and model") as show:
        data = build_training_data(conf, last, show)
        record.pin(training_inputs(data))
        training = build_language_training(conf, data, last)
        record.pin(base_inputs(training.model))
    if not takes_model(conf):
        log.info(attention_choice(conf, training.model))
    log.info(describe_optimizer(training.model, conf.optimizer))
    print_table(console, f"{conf.name}  →  {folder}", describe_training(conf, training))
    if last is not None:
        steps = f"{last['global_step']:,} of {training.length.steps:,}"
        console.print(f"going on at step {steps}", highlight=False)
    if stable is not None and last is not None:
        check_longer(conf, training.length, last["global_step"])
    if conf.resume is None and is_first_process():
        begun = {} if stable is None else {"continued_from": str(stable.absolute())}
        found = {**provenance(data_record(training.data)), **begun}
        write_json(folder / "provenance.json", {**found, "threads": record.values["threads"]})
    if stable is not None and last is not None and is_first_process():
        take_over(stable, last, folder)
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
    release_optimizers(saving.trainer)  # makes room for the best model beside the last
    with console.status("opening the best checkpoint"):
        summary = summarize(folder, training, saving)
        best = open_trained(str(folder))
    skills = measure_learnt(conf, training, best, console)
    summary |= skills
    write_json(folder / "summary.json", summary)
    score = read_score(summary, conf.score)
    show_end(saving.trainer, list_hyperparameters(conf), name_score(conf), score)
    with console.status("writing the model and the page"):
        export(best, folder / "model")
        saving.page.save_heat_maps()
        page = write_page_or_warn(folder)
    shown = {
        name: value
        for name, value in summary.items()
        if name not in UNLISTED and name not in skills
    }
    print_table(console, "\nresults (validation split, best checkpoint)", shown)
    console.print(compare_with_baselines(summary), highlight=False)
    if summary["sample"]:
        console.print(f"\n[bold]sample[/]: {describe_sample(training.data)}")
        console.print(Text(str(summary["prompt"]), "dim") + Text(summary["sample"]))
    print_page(console, page)
    print_next(console, list_next(folder, asdict(conf)))
    push_model(conf, folder, console)
    return score


def measure_learnt(
    conf: RunConf, training: LanguageTraining, best: Trained, console: Console
) -> dict[str, Any]:
    """Return the skills of the best checkpoint, where `data=skills` taught them, and print them."""
    if not isinstance(conf.data, SkillsConf):
        return {}
    assert isinstance(training.data, ConversationDataModule)
    best.model.to(choose_device(conf))  # type: ignore[arg-type]
    with console.status("asking the held-out questions"):
        found = measure_skills(conf.data, best.model, training.data.encode)
    print_table(console, "\nskills (held-out items, exact answers)", list_scores(found))
    return found.report()


def describe_sample(data: LanguageDataModule | ConversationDataModule) -> str:
    """Return what a sample is, for its heading."""
    if isinstance(data, ConversationDataModule):
        return "a held-out conversation's beginning, and how the model answers"
    return "a validation document's beginning, and how the model goes on"
