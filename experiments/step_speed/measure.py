"""Speed of whole training steps against a nanoGPT-equal model, on one thread of a CPU.

    python experiments/step_speed/measure.py

Writes results.json and table.md beside this file. Contestants take turns in one process; times are
of the thread, medians of all rounds but the first. A step is forward, backward, clipping to norm 1
and AdamW.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from nanogpt import GPT, Attend, flash, naive_l1
from torch import Tensor, nn

from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.objectives.language import cross_entropy

HERE = Path(__file__).parent
VOCAB, DIM, LAYERS, HEADS = 5120, 256, 4, 4
SHAPES = {"8 × 256 tokens": (8, 256, True), "8 × 16 tokens": (8, 16, False)}
"""(batch, time, tied head): the second is the original's, of 5.77 million parameters."""

YARDSTICKS = {"8 × 256 tokens": "nanoGPT-equal", "8 × 16 tokens": "naive l1"}
GOALS = {
    ("8 × 256 tokens", "infinito l1"): 1.08,
    ("8 × 256 tokens", "infinito l1, compile + bf16"): 2.0,
    ("8 × 16 tokens", "infinito l1"): 2.0,
}
"""Wanted steps per second over the yardstick's."""

Step = Callable[[], float]


def main() -> None:
    """Measure both shapes."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = {name: race(*shape, arguments.rounds) for name, shape in SHAPES.items()}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "table.md").write_text(table(results))


def race(batch: int, time_: int, tied: bool, rounds: int) -> dict[str, float]:
    """Return the median seconds of a step, per contestant."""
    racers = contestants(batch, time_, tied)
    taken: dict[str, list[float]] = {name: [] for name in racers}
    for _ in range(rounds):
        for name, step in racers.items():
            start = time.thread_time()
            step()
            taken[name].append(time.thread_time() - start)
    return {name: statistics.median(times[1:]) for name, times in taken.items()}


def contestants(batch: int, time_: int, tied: bool) -> dict[str, Step]:
    """Return a training step of each contestant; all see the same tokens."""
    tokens = torch.randint(VOCAB, (batch, time_ + 1), generator=torch.Generator().manual_seed(0))
    bf16 = torch.bfloat16

    def gpt(attend: Attend, fused: bool = False) -> Step:
        model = GPT(VOCAB, DIM, LAYERS, HEADS, time_, tied, attend)
        return build_step(model, lambda: model(tokens[:, :-1], tokens[:, 1:].contiguous()), fused)

    def ours(metric: str, compiled: bool = False, dtype: torch.dtype | None = None) -> Step:
        model = distance_lm(metric, time_, tied)
        if compiled:
            model.compile()
        return build_step(model, lambda: compute_loss(model, tokens), True, dtype)

    racers = {
        "nanoGPT-equal": gpt(flash),
        "nanoGPT-equal, fused AdamW": gpt(flash, fused=True),
        "infinito dot": ours("dot"),
        "infinito l1": ours("l1"),
        "infinito l1, compile": ours("l1", compiled=True),
        "infinito l1, bf16": ours("l1", dtype=bf16),
        "infinito l1, compile + bf16": ours("l1", compiled=True, dtype=bf16),
    }
    if time_ <= 64:
        racers["naive l1"] = gpt(naive_l1)
    return racers


def distance_lm(metric: str, time_: int, tied: bool) -> DistanceLMForCausalLM:
    """Return our model of the same sizes."""
    config = DistanceLMConfig(
        vocab_size=VOCAB,
        hidden_size=DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=time_,
        metric=metric,
        tie_word_embeddings=tied,
    )
    return DistanceLMForCausalLM(config).train()


def compute_loss(model: DistanceLMForCausalLM, tokens: Tensor) -> Tensor:
    """Return the loss as our task computes it."""
    logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    return cross_entropy(logits, tokens[:, 1:])


def build_step(
    model: nn.Module, loss: Callable[[], Tensor], fused: bool, dtype: torch.dtype | None = None
) -> Step:
    """Return a training step of a model."""
    weights = list(model.parameters())
    optimizer = torch.optim.AdamW(weights, lr=1e-4, fused=fused)

    def step() -> float:
        with torch.autocast("cpu", dtype, enabled=dtype is not None):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        return value.item()

    return step


def table(results: dict[str, dict[str, float]]) -> str:
    """Return the milliseconds and steps per second over the yardstick's, goals in brackets."""
    shapes = list(results)
    rows = ["| a step | " + " | ".join(f"{s}, ms | over yardstick" for s in shapes) + " |"]
    rows.append("|---" * (2 * len(shapes) + 1) + "|")
    for name in dict.fromkeys(name for times in results.values() for name in times):
        cells = [cell(results, shape, name) for shape in shapes]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, ""])


def cell(results: dict[str, dict[str, float]], shape: str, name: str) -> str:
    """Return one contestant on one shape: two columns."""
    times = results[shape]
    if name not in times:
        return "— | —"
    ratio, goal = times[YARDSTICKS[shape]] / times[name], GOALS.get((shape, name))
    return f"{1e3 * times[name]:.1f} | {ratio:.2f}" + (f" (≥ {goal:.2f})" if goal else "")


if __name__ == "__main__":
    main()
