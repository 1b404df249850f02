"""`task=dpo`: tunes a policy on preference pairs, and judges it on held-out ones."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from logging import Logger
from pathlib import Path

from rich.console import Console

from infinito.config import RunConf
from infinito.errors import NonFiniteError
from infinito.hub import claim_repository, push_model
from infinito.models.checkpoint_file import batches_done, read_checkpoint
from infinito.models.trained import base_inputs
from infinito.preferences.dry_run import estimate
from infinito.preferences.preparation import Prepared
from infinito.preferences.report.outputs import write_outputs
from infinito.preferences.report.run_report import Clock, Outcome
from infinito.preferences.report.verdict import FAILED, Verdict, judge, note_empty_answers
from infinito.preferences.scoring.pinned_pairs import pair_inputs
from infinito.preferences.scoring.scored_pairs import combine_log_probs
from infinito.preferences.training import build_preference_training, score_reference
from infinito.run_folder.tables import print_table
from infinito.training.callbacks.interruption import Interruption
from infinito.training.recording import RunRecord, is_first_process, recorded
from infinito.training.trainer import release_optimizers


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Tune a policy in `folder` and return the score.

    Raises:
        InfinitoError: anything that the user can mend; what was saved before stays.
    """
    console = Console(quiet=not is_first_process())
    if conf.dry_run:
        estimate(conf, console)
        return None
    if is_first_process():
        claim_repository(conf)
    with recorded(conf, folder, overrides) as log:
        return _tune(conf, folder, console, log)


def _tune(conf: RunConf, folder: Path, console: Console, log: Logger) -> float | None:
    clock = Clock()
    checkpoint = folder / "checkpoints/last.ckpt" if conf.resume is not None else None
    last = read_checkpoint(checkpoint, mapped=True) if checkpoint is not None else None
    run_record = RunRecord(folder, last, log)
    run_record.use_threads(conf, log)
    start = folder / "start" if last and (folder / "start").is_dir() else None
    prepared = Prepared(conf, console, start)
    run_record.pin(
        [
            *pair_inputs("training", prepared.training),
            *pair_inputs("held-out", prepared.held_out),
            *base_inputs(prepared.policy.model),
        ]
    )
    print_table(console, f"{conf.name}  →  {folder}", prepared.describe())
    if last:
        console.print(f"going on at step {last['global_step']:,}", highlight=False)
    log.info("pairs are laid out as %s", prepared.layout)
    if last is None and is_first_process():
        prepared.record_start(folder)
    pairs = prepared.training.pairs, prepared.held_out.pairs
    with console.status("scoring and answering before training"):
        reference = score_reference(conf, prepared.policy, prepared.layout, *pairs)
        own = reference.held_out if reference.of_policy else prepared.score_held_out()
        before = combine_log_probs(pairs[1], own, reference.held_out)
        answers_before = prepared.answer_prompts()
    clock.reference_pairs_computed = reference.computed
    interruption = Interruption()
    training = build_preference_training(
        conf,
        folder,
        prepared.policy,
        prepared.layout,
        *pairs,
        reference,
        console,
        interruption,
        last["global_step"] if last else None,
        identity=run_record.identity(conf),
        callbacks=[run_record],
    )
    if last:
        training.data.start_batch = batches_done(last)
    del last  # its file is mapped, and would stay on the disk after the next one replaces it
    outcome = Outcome(prepared, training, before)
    began_s = time.perf_counter()
    try:
        with interruption.listening(), training.peers.watching():
            training.trainer.fit(
                training.task, datamodule=training.data, ckpt_path=checkpoint, weights_only=True
            )
    except NonFiniteError as error:
        if is_first_process():
            outcome.verdict = Verdict(FAILED, str(error))
            write_outputs(conf, folder, outcome, clock, console)
        raise
    clock.training_s = time.perf_counter() - began_s
    release_optimizers(training.trainer)
    if not is_first_process():
        return None
    with console.status("scoring and answering after training"):
        outcome.after = combine_log_probs(pairs[1], prepared.score_held_out(), reference.held_out)
        answers = prepared.answer_prompts()
    outcome.answers = list(zip(prepared.prompts, answers_before, answers, strict=True))
    found = judge(before, outcome.after, conf.dpo.beta)
    notes = (*found.notes, *prepared.list_notes(), *note_empty_answers(answers))
    outcome.verdict = replace(found, notes=notes)
    score = write_outputs(conf, folder, outcome, clock, console)
    push_model(conf, folder, console)
    return score
