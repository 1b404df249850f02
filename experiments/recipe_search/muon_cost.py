"""Cost of a training step by Muon over one by AdamW, on one thread of a CPU.

    python experiments/recipe_search/muon_cost.py

Writes muon_cost.json beside this file. AdamW, infinito's Muon and torch's own take turns in one
process, on equal models and the same tokens; times are of the thread, so waiting for a busy core
does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from functools import partial
from pathlib import Path

import torch
from torch.optim import Muon

from infinito.config import AdamWConf, MuonConf
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.objectives.language import cross_entropy
from infinito.process import keep_freed_memory
from infinito.training.optimizer.assembly import build_optimizer
from infinito.training.optimizer.clipping import clip_gradients

HERE = Path(__file__).parent
VOCAB, LAYERS, BATCH, BLOCK = 5120, 4, 8, 256


class Contestant:
    """A model and its optimizer, and the seconds that the parts of its steps took."""

    def __init__(self, settings: AdamWConf, dim: int, metric: str, precision: torch.dtype) -> None:
        torch.manual_seed(0)
        self.model = DistanceLMForCausalLM(
            DistanceLMConfig(
                vocab_size=VOCAB,
                hidden_size=dim,
                num_hidden_layers=LAYERS,
                max_position_embeddings=BLOCK,
                metric=metric,
            )
        )
        self.parameters = list(self.model.parameters())
        self.optimizer = build_optimizer(self.model, settings)
        self.precision = precision
        self.optimizer_s: list[float] = []
        self.other_s: list[float] = []

    def step(self, tokens: torch.Tensor) -> None:
        started_s = time.thread_time()
        with torch.autocast("cpu", self.precision, enabled=self.precision != torch.float32):
            logits = self.model(input_ids=tokens[:, :-1], use_cache=False).logits
            loss = cross_entropy(logits, tokens[:, 1:])
        self.optimizer.zero_grad()
        loss.backward()
        clip_gradients(self.parameters, 1.0)
        reached_s = time.thread_time()
        self.optimizer.step()
        self.optimizer_s.append(time.thread_time() - reached_s)
        self.other_s.append(reached_s - started_s)


def main() -> None:
    """Measure each metric and precision, and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    results = {
        f"{dim}, {metric}, {str(precision).removeprefix('torch.')}": race(
            dim, metric, precision, arguments.rounds
        )
        for dim, metric, precision in (
            (256, "dot", torch.float32),
            (256, "dot", torch.bfloat16),
            (256, "l1", torch.float32),
            (128, "dot", torch.float32),
        )
    }
    (HERE / "muon_cost.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def race(dim: int, metric: str, precision: torch.dtype, rounds: int) -> dict[str, float]:
    """Return median milliseconds of a step's parts, and ratios of whole steps over AdamW's.

    All but the optimizer's step is the same work for all, so its median is that of all together.
    """
    tokens = torch.randint(VOCAB, (BATCH, BLOCK + 1), generator=torch.Generator().manual_seed(0))
    named = {"adamw": AdamWConf(), "muon": MuonConf(), "torch_muon": MuonConf()}
    racers = {name: Contestant(each, dim, metric, precision) for name, each in named.items()}
    take_torchs_step(racers["torch_muon"].optimizer)
    for _ in range(rounds):
        for each in racers.values():
            each.step(tokens)
    shared_s = statistics.median(s for each in racers.values() for s in each.other_s[1:])
    own_s = {name: statistics.median(each.optimizer_s[1:]) for name, each in racers.items()}
    adamw_s = shared_s + own_s["adamw"]
    return {
        "forward_backward_ms": round(shared_s * 1e3, 1),
        **{f"{name}_ms": round(seconds * 1e3, 1) for name, seconds in own_s.items()},
        "step_ratio": round((shared_s + own_s["muon"]) / adamw_s, 3),
        "torch_step_ratio": round((shared_s + own_s["torch_muon"]) / adamw_s, 3),
    }


def take_torchs_step(optimizer: torch.optim.Optimizer) -> None:
    """Let the part that is Muon step as torch's own class does."""
    [ours] = (part for part in optimizer.parts if isinstance(part, Muon))  # type: ignore[attr-defined]
    vars(ours)["step"] = partial(Muon.step, ours)


if __name__ == "__main__":
    main()
