"""`task=dpo`: answers before, preference tuning, answers after, and a report that can say no."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from logging import Logger
from pathlib import Path

from rich.console import Console
from torch import Tensor

from infinito.config import RunConf
from infinito.device import choose_device
from infinito.errors import NonFiniteError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.gguf.weights import check_gguf
from infinito.models.trained import Trained
from infinito.preferences.assembly import (
    build_pair_set,
    build_pair_tokenizer,
    build_policy,
    count_token_ids,
    read_pair_texts,
)
from infinito.preferences.pairs.checking import overlap
from infinito.preferences.pairs.pair_set import PairSet
from infinito.preferences.reference.cache import pair_digest
from infinito.preferences.report.answers import answers
from infinito.preferences.report.document import failed
from infinito.preferences.report.outputs import Clock, Outcome, write_outputs
from infinito.preferences.report.verdict import verdict
from infinito.preferences.scoring.layout_probe import Layout, choose_layout
from infinito.preferences.scoring.log_prob_table import log_prob_table
from infinito.preferences.training import build_preference_training, score_reference
from infinito.run_folder.records import print_table, provenance, write_json
from infinito.tasks.score_pairs import preference_scores
from infinito.training.callbacks.interruption import Interruption
from infinito.training.recording import is_first_process, recorded, use_threads


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


class Prepared:
    """Pairs, policy and layout: all that is there before training."""

    def __init__(self, conf: RunConf, console: Console, start: Path | None = None) -> None:
        self.conf = conf
        with console.status("preparing pairs and policy"):
            texts = read_pair_texts(conf)
            self.policy = build_policy(conf, texts[0], start)
            model = self.policy.model
            if "gguf" in conf.dpo.export:
                check_gguf(model, self.policy.tokenizer)
            self.encode = build_pair_tokenizer(conf, self.policy.tokenizer, count_token_ids(model))
            self.training, self.held_out = (
                build_pair_set(conf, each, self.encode) for each in texts
            )
            pairs = [*self.training.pairs, *self.held_out.pairs]
            self.layout: Layout = choose_layout(model, pairs, conf.dpo.layout)
        self.asked = self.held_out.texts[: conf.dpo.answers]

    def headline(self) -> dict[str, str | int | float]:
        """What the run is, for the top of its output."""
        model = self.policy.model
        trained = model.num_parameters(only_trainable=True)
        return {
            "policy": f"{model.num_parameters():,} parameters, {trained:,} trained",
            "origin": self.policy.origin,
            "training pairs": _counted(self.training),
            "held-out pairs": _counted(self.held_out),
            "loss": f"{' + '.join(self.conf.dpo.loss)}, β = {self.conf.dpo.beta:g}",
            "reference": self.conf.dpo.reference,
            "layout": f"{self.layout.name}, {self.layout.head} head",
            "seed": self.conf.seed,
        }

    def notes(self) -> list[str]:
        """What makes the held-out pairs less than unseen."""
        shared = overlap(self.training.texts, self.held_out.texts)
        found = [
            f"{each['count']} of {len(self.held_out.pairs)} held-out {name} trained on too"
            for name, each in (("pairs are", shared["pairs"]), ("prompts are", shared["prompts"]))
            if each["count"]
        ]
        chosen_by = {
            "`trainer.patience`": self.conf.trainer.patience is not None,
            "`optimizer.schedule=plateau`": self.conf.optimizer.schedule == "plateau",
        }
        found += [
            f"{name} watched the held-out pairs, which the verdict is of as well"
            for name, is_on in chosen_by.items()
            if is_on
        ]
        return found

    def held_out_table(self) -> Tensor:
        """What the policy says of the held-out answers now, (pairs, 2) in nats."""
        self.policy.model.to(choose_device(self.conf))  # type: ignore[arg-type]
        return log_prob_table(self.policy.model, self.held_out.pairs, self.layout)

    def answers(self) -> list[str]:
        """What the policy answers to held-out prompts now."""
        trained = Trained(self.policy.model, self.policy.tokenizer, Path())
        return answers(trained, self.encode, self.asked, self.conf.generation, self.conf.seed)


def _tune(conf: RunConf, folder: Path, console: Console, log: Logger) -> float | None:
    clock = Clock(datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter())
    last = read_checkpoint(folder / "checkpoints/last.ckpt") if conf.resume is not None else None
    start = folder / "start" if last and (folder / "start").is_dir() else None
    prepared = Prepared(conf, console, start)
    print_table(console, f"{conf.name}  →  {folder}", prepared.headline())
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
    if last:
        progress = last["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        training.data.start_batch = progress["current"]["completed"]
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


def _counted(pairs: PairSet) -> str:
    dropped = f", {len(pairs.bad)} rows dropped" if pairs.bad else ""
    return f"{len(pairs.pairs):,} of {pairs.source}{dropped}"


def _fingerprint(pairs: PairSet) -> str:
    """SHA-256 of all pairs' token ids."""
    return hashlib.sha256(b"".join(map(pair_digest, pairs.pairs))).hexdigest()
