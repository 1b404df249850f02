"""CPU time of a training step of infinito over one of nanoGPT's own model and optimizer.

    python experiments/time_to_quality/step_cost.py --nanogpt <its folder>

On nanoGPT's CPU recipe (4 layers of 128, 4 heads, 12 blocks of 64 characters), one thread. All take
turns in one process on the same tokens, and times are of the thread, so that whatever else the
machine does falls on all alike. Writes step_cost.json beside this file.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from infinito.config import AdamWConf, MuonConf
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.objectives.language import cross_entropy
from infinito.process import keep_freed_memory
from infinito.training.optimizer.assembly import build_optimizer
from infinito.training.optimizer.clipping import clip_gradients

VOCAB, DIM, LAYERS, HEADS, BATCH, BLOCK = 65, 128, 4, 4, 12, 64
RECIPE = {"zero_init_residual": True, "value_embeddings": True, "bigram_embeddings": 8192}


class Contestant:
    """A model, its optimizer, and the seconds of its steps."""

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, loss: Callable[[Tensor], Tensor]
    ) -> None:
        self.parameters, self.optimizer, self.loss = list(model.parameters()), optimizer, loss
        self.seconds: list[float] = []

    def step(self, tokens: Tensor) -> None:
        started_s = time.thread_time()
        self.loss(tokens).backward()
        clip_gradients(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.seconds.append(time.thread_time() - started_s)


def main() -> None:
    """Measure all, and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nanogpt", type=Path, required=True, help="folder of its public code")
    parser.add_argument("--rounds", type=int, default=60)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    racers = {
        "nanoGPT": build_nanogpt(arguments.nanogpt),
        "infinito, AdamW": build_ours(AdamWConf(), {}),
        "infinito, Muon": build_ours(MuonConf(), {}),
        "infinito, recipe": build_ours(MuonConf(), RECIPE),
    }
    generator = torch.Generator().manual_seed(0)
    for _ in range(arguments.rounds):
        tokens = torch.randint(VOCAB, (BATCH, BLOCK + 1), generator=generator)
        for each in racers.values():
            each.step(tokens)
    medians = {name: statistics.median(each.seconds[5:]) for name, each in racers.items()}
    result = {
        name: {"ms": round(seconds * 1e3, 1), "ratio": round(seconds / medians["nanoGPT"], 3)}
        for name, seconds in medians.items()
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


def build_nanogpt(code: Path) -> Contestant:
    """Return nanoGPT's model and optimizer, as its train.py builds them for this recipe."""
    sys.path.insert(0, str(code))
    from model import GPT, GPTConfig

    torch.manual_seed(0)
    sizes = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": DIM, "block_size": BLOCK}
    model = GPT(GPTConfig(**sizes, vocab_size=VOCAB, dropout=0.0, bias=False))
    optimizer = model.configure_optimizers(0.1, 1e-3, (0.9, 0.99), "cpu")

    def loss(tokens: Tensor) -> Tensor:
        _, found = model(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())
        return found

    return Contestant(model, optimizer, loss)


def build_ours(settings: AdamWConf, options: dict[str, object]) -> Contestant:
    """Return infinito's model with ordinary attention."""
    torch.manual_seed(0)
    model = DistanceLMForCausalLM(
        DistanceLMConfig(
            vocab_size=VOCAB,
            hidden_size=DIM,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            max_position_embeddings=BLOCK,
            metric="dot",
            **options,
        )
    )

    def loss(tokens: Tensor) -> Tensor:
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        return cross_entropy(logits, tokens[:, 1:])

    return Contestant(model, build_optimizer(model, settings), loss)


if __name__ == "__main__":
    main()
