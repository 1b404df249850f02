"""`task=dpo`: answers before, preference tuning, answers after, and a report that can say no."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from logging import Logger
from pathlib import Path

from rich.console import Console

from infinito.config import RunConf
from infinito.errors import NonFiniteError
from infinito.models.checkpoint_file import batches_done, read_checkpoint
from infinito.models.trained import base_inputs
from infinito.preferences.pairs.pair_set import PairSet
from infinito.preferences.preparation import Prepared
from infinito.preferences.reference.cache import pair_digest
from infinito.preferences.report.document import failed
from infinito.preferences.report.outputs import Clock, Outcome, write_outputs
from infinito.preferences.report.verdict import verdict
from infinito.preferences.scoring.scored_pairs import preference_scores
from infinito.preferences.training import build_preference_training, score_reference
from infinito.run_folder.pins import Input
from infinito.run_folder.records import provenance, write_json
from infinito.run_folder.tables import print_table
from infinito.training.callbacks.interruption import Interruption
from infinito.training.recording import RunRecord, is_first_process, recorded, use_threads


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Tunes in `folder` and returns the score.

    Raises:
        InfinitoError: anything that the user can mend; what was saved before stays.
    """
    console = Console(quiet=not is_first_process())
    use_threads(conf)
    if conf.dry_run:
        prepared = Prepared(conf, console)
        print_table(console, f"{conf.name}: dry run, nothing is written", prepared.headline())
        return None
    with recorded(conf, folder, overrides) as log:
        return _tune(conf, folder, console, log)


def _tune(conf: RunConf, folder: Path, console: Console, log: Logger) -> float | None:
    clock = Clock(datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter())
    last = read_checkpoint(folder / "checkpoints/last.ckpt") if conf.resume is not None else None
    run_record = RunRecord(folder, last, log)
    run_record.use_threads(conf, log)
    start = folder / "start" if last and (folder / "start").is_dir() else None
    prepared = Prepared(conf, console, start)
    run_record.pin([*_pair_inputs(prepared), *base_inputs(prepared.policy.model)])
    print_table(console, f"{conf.name}  →  {folder}", prepared.headline())
    if last:
        console.print(f"going on at step {last['global_step']:,}", highlight=False)
    log.info("pairs are laid out as %s", prepared.layout)
    if last is None and is_first_process():
        _record_start(folder, prepared)
    with console.status("scoring and answering before training"):
        pairs = prepared.training.pairs, prepared.held_out.pairs
        reference = score_reference(conf, prepared.policy, prepared.layout, *pairs)
        before = preference_scores(pairs[1], prepared.held_out_table(), reference.held_out)
        said_before = prepared.answers()
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
    )
    training.trainer.callbacks.append(run_record)  # type: ignore[attr-defined]
    if last:
        training.data.start_batch = batches_done(last)
    outcome = Outcome(prepared, training, before)
    clock.training_from_s = time.perf_counter()
    try:
        with interruption.listening():
            training.trainer.fit(
                training.task,
                datamodule=training.data,
                ckpt_path=folder / "checkpoints/last.ckpt" if last else None,
                weights_only=True,
            )
    except NonFiniteError as error:
        if is_first_process():
            outcome.verdict = failed(str(error))
            write_outputs(conf, folder, outcome, clock.stopped(), console)
        raise
    clock.training_to_s = time.perf_counter()
    if not is_first_process():
        return None
    with console.status("scoring and answering after training"):
        after = preference_scores(pairs[1], prepared.held_out_table(), reference.held_out)
        said = zip(prepared.asked, said_before, prepared.answers(), strict=True)
        outcome.after, outcome.answers = after, list(said)
    found = verdict(before, after, conf.dpo.beta)
    outcome.verdict = replace(found, notes=(*found.notes, *prepared.notes()))
    return write_outputs(conf, folder, outcome, clock.stopped(), console)


def _record_start(folder: Path, prepared: Prepared) -> None:
    """Writes what the run starts from; a policy made here is kept nowhere else."""
    sets = {"training": prepared.training, "held_out": prepared.held_out}
    record = {
        name: {"source": each.source, "pairs": len(each.pairs), "fingerprint": _fingerprint(each)}
        for name, each in sets.items()
    }
    write_json(folder / "provenance.json", provenance(record))
    if prepared.policy.is_new:
        prepared.policy.model.save_pretrained(folder / "start")
        prepared.policy.tokenizer.save_pretrained(folder / "start")


def _pair_inputs(prepared: Prepared) -> Iterator[Input]:
    """Yield the pairs as text, and as the token ids that template and tokenizer make of them."""
    for name, pairs in (("training", prepared.training), ("held-out", prepared.held_out)):
        rows = [(each.prompt, each.chosen, each.rejected, each.weight) for each in pairs.texts]
        texts = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
        yield Input(f"{name} pairs", pairs.source, texts)
        ids = f"token ids of the {name} pairs, which chat template and tokenizer make"
        yield Input(ids, pairs.source, _fingerprint(pairs))


def _fingerprint(pairs: PairSet) -> str:
    """SHA-256 of all pairs' token ids."""
    return hashlib.sha256(b"".join(map(pair_digest, pairs.pairs))).hexdigest()
