"""Prepares a preference tuning: pairs, policy and layout, before anything is trained."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from torch import Tensor

from infinito.config import GenerationConf, RunConf
from infinito.device import choose_device
from infinito.models.gguf.weights import check_gguf
from infinito.models.pretrained.lora import inside_memory
from infinito.models.trained import Trained
from infinito.preferences.assembly import (
    build_pair_sets,
    build_pair_tokenizer,
    build_policy,
    count_token_ids,
    read_pair_texts,
)
from infinito.preferences.pairs.checking import find_overlap
from infinito.preferences.pairs.pair_set import PairSet
from infinito.preferences.report.answers import write_answers, write_likeliest_answers
from infinito.preferences.scoring.layout_probe import Layout, choose_layout
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from infinito.preferences.scoring.pinned_pairs import hash_pairs
from infinito.run_folder.records import provenance, write_json
from infinito.training.optimizer.assembly import describe_optimizer


class Prepared:
    """Pairs, policy and layout of a preference tuning.

    Args:
        conf: The configuration.
        console: Shows that preparation is under way.
        start: Where a stopped run keeps the policy that it made; None to make or open one.
    """

    def __init__(self, conf: RunConf, console: Console, start: Path | None = None) -> None:
        self.conf = conf
        with console.status("preparing pairs and policy"):
            texts = read_pair_texts(conf)
            self.policy = build_policy(conf, texts, start)
            model = self.policy.model
            if "gguf" in conf.dpo.export:
                check_gguf(model, self.policy.tokenizer)
            self.encode = build_pair_tokenizer(conf, self.policy.tokenizer, count_token_ids(model))
            self.training, self.held_out = build_pair_sets(conf, texts, self.encode)
            pairs = [*self.training.pairs, *self.held_out.pairs]
            self.layout: Layout = choose_layout(model, pairs, conf.dpo.layout)
        self.prompts = self.held_out.texts[: conf.dpo.answers]
        """Held-out pairs whose prompts the policy answers."""

    def describe(self) -> dict[str, str | int | float]:
        """Return what the run is, for the top of its output."""
        model = self.policy.model
        trained = model.num_parameters(only_trainable=True)
        return {
            "policy": f"{model.num_parameters():,} parameters, {trained:,} trained",
            "origin": self.policy.origin,
            "training pairs": _count_pairs(self.training),
            "held-out pairs": _count_pairs(self.held_out),
            "loss": f"{' + '.join(self.conf.dpo.loss)}, β = {self.conf.dpo.beta:g}",
            "reference": self.conf.dpo.reference,
            "optimizer": describe_optimizer(model, self.conf.optimizer),
            "layout": f"{self.layout.name}, {self.layout.head} head",
            "seed": self.conf.seed,
        }

    def list_notes(self) -> list[str]:
        """Return what a reader of the verdict should know of its policy and its held-out pairs."""
        overlap = find_overlap(self.training.texts, self.held_out.texts)
        notes = [
            f"{each['count']} of {len(self.held_out.pairs)} held-out {name} trained on too"
            for name, each in (("pairs are", overlap["pairs"]), ("prompts are", overlap["prompts"]))
            if each["count"]
        ]
        chosen_by = {
            "`trainer.patience`": self.conf.trainer.patience is not None,
            "`optimizer.schedule=plateau`": self.conf.optimizer.schedule == "plateau",
        }
        notes += [
            f"{name} used the held-out pairs that the verdict is computed on"
            for name, is_on in chosen_by.items()
            if is_on
        ]
        if self.policy.is_new and not self.conf.dpo.warmup_steps:
            notes.append(
                "the policy began with random weights (`dpo.warmup_steps=0`): its margins say "
                "nothing about a model that can write"
            )
        return notes

    def record_start(self, folder: Path) -> None:
        """Write what the run starts from; nothing else keeps a policy that was made here."""
        record = {
            name: {"source": each.source, "pairs": len(each.pairs), "fingerprint": hash_pairs(each)}
            for name, each in (("training", self.training), ("held_out", self.held_out))
        }
        write_json(folder / "provenance.json", provenance(record))
        if self.policy.is_new:
            self.policy.model.save_pretrained(folder / "start")
            self.policy.tokenizer.save_pretrained(folder / "start")

    def score_held_out(self) -> Tensor:
        """Return the policy's present log-probabilities of the held-out answers, (pairs, 2)."""
        self.policy.model.to(choose_device(self.conf))  # type: ignore[arg-type]
        return tabulate_log_probs(self.policy.model, self.held_out.pairs, self.layout)

    def answer_prompts(self, settings: GenerationConf | None = None) -> list[str]:
        """Return the policy's present answers to `prompts`, drawn as the run says by default."""
        trained = Trained(self.policy.model, self.policy.tokenizer, Path())
        settings = settings or self.conf.generation
        model = self.policy.model
        plain = settings.temperature == 0 and settings.repetition_penalty == 1
        obeys_padding = self.layout.name == "shared" and inside_memory(model) is model
        if plain and obeys_padding:
            return write_likeliest_answers(trained, self.encode, self.prompts, settings)
        return write_answers(trained, self.encode, self.prompts, settings, self.conf.seed)


def _count_pairs(pairs: PairSet) -> str:
    dropped = f", {len(pairs.bad)} rows dropped" if pairs.bad else ""
    return f"{len(pairs.pairs):,} of {pairs.source}{dropped}"
