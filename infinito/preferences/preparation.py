"""All that is there before a preference tuning: pairs, policy and layout."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from torch import Tensor

from infinito.config import RunConf
from infinito.device import choose_device
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
from infinito.preferences.report.answers import answers
from infinito.preferences.scoring.layout_probe import Layout, choose_layout
from infinito.preferences.scoring.log_prob_table import log_prob_table
from infinito.training.optimizer.assembly import describe_optimizer


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
            "optimizer": describe_optimizer(model, self.conf.optimizer),
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


def _counted(pairs: PairSet) -> str:
    dropped = f", {len(pairs.bad)} rows dropped" if pairs.bad else ""
    return f"{len(pairs.pairs):,} of {pairs.source}{dropped}"
