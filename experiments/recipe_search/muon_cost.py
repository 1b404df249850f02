"""Cost of a training step by Muon over one by AdamW, on one thread of a CPU.

    python experiments/recipe_search/muon_cost.py

Writes muon_cost.json beside this file. The two take turns in one process, on equal models and the
same tokens; times are of the thread, so waiting for a busy core does not count.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

from infinito.config import AdamWConf, MuonConf
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.objectives.language import cross_entropy
from infinito.process import keep_freed_memory
from infinito.training.optimizer.assembly import build_optimizer
from infinito.training.optimizer.clipping import clip_gradients

HERE = Path(__file__).parent
VOCAB, DIM, LAYERS, BATCH, BLOCK = 5120, 256, 4, 8, 256


class Contestant:
    """A model and its optimizer, and the seconds that the parts of its steps took."""

    def __init__(self, settings: AdamWConf, metric: str, precision: torch.dtype) -> None:
        torch.manual_seed(0)
        self.model = DistanceLMForCausalLM(
            DistanceLMConfig(
                vocab_size=VOCAB,
                hidden_size=DIM,
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
        f"{metric}, {str(precision).removeprefix('torch.')}": race(
            metric, precision, arguments.rounds
        )
        for metric in ("dot", "l1")
        for precision in (torch.float32, torch.bfloat16)
    }
    (HERE / "muon_cost.json").write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


def race(metric: str, precision: torch.dtype, rounds: int) -> dict[str, float]:
    """Return median milliseconds of a step's parts, and the ratio of whole steps.

    All but the optimizer's step is the same work for both, so its median is that of both together.
    """
    tokens = torch.randint(VOCAB, (BATCH, BLOCK + 1), generator=torch.Generator().manual_seed(0))
    adamw = Contestant(AdamWConf(), metric, precision)
    muon = Contestant(MuonConf(), metric, precision)
    for _ in range(rounds):
        for each in (adamw, muon):
            each.step(tokens)
    shared_s = statistics.median(adamw.other_s[1:] + muon.other_s[1:])
    adamw_s, muon_s = (statistics.median(each.optimizer_s[1:]) for each in (adamw, muon))
    return {
        "forward_backward_ms": round(shared_s * 1e3, 1),
        "adamw_ms": round(adamw_s * 1e3, 1),
        "muon_ms": round(muon_s * 1e3, 1),
        "step_ratio": round((shared_s + muon_s) / (shared_s + adamw_s), 3),
    }


if __name__ == "__main__":
    main()
