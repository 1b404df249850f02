"""Wall times on a device, and what stages share: sizes, tokens and the model that is measured."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM


@dataclass(frozen=True)
class Sizes:
    """How large the work of every stage is."""

    batch: int
    time: int
    dim: int
    layers: int
    heads: int
    vocab: int
    rounds: int
    """Measured calls, after two that are not."""
    attention: tuple[tuple[int, int, int, int], ...]
    """Shapes (batch, heads, time, head dim)."""
    new_tokens: int
    copies: int
    """Models that RL trains side by side."""
    train_steps: int
    """Steps of the training that is killed."""
    dpo_steps: int


FULL = Sizes(
    batch=16, time=1024, dim=768, layers=12, heads=12, vocab=50304, rounds=12,
    attention=((8, 12, 1024, 64), (4, 12, 2048, 64), (2, 12, 4096, 64), (1, 16, 8192, 128)),
    new_tokens=512, copies=64, train_steps=400, dpo_steps=16,
)  # fmt: skip
"""GPT-2's size; the whole of it is made for eight minutes of one GPU."""

TINY = Sizes(
    batch=2, time=16, dim=32, layers=2, heads=2, vocab=64, rounds=2,
    attention=((1, 2, 32, 16),),
    new_tokens=8, copies=3, train_steps=40, dpo_steps=2,
)  # fmt: skip


def measure_s(call: Callable[[], object], rounds: int, device: str) -> float:
    """Return the median seconds of a call, what it started on the device included."""
    for _ in range(2):
        call()
    taken = []
    for _ in range(rounds):
        synchronize(device)
        started_s = time.perf_counter()
        call()
        synchronize(device)
        taken.append(time.perf_counter() - started_s)
    return statistics.median(taken)


def synchronize(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def peak_mib(call: Callable[[], object], device: str) -> float | None:
    """Return the most memory of the device during a call; None for a CPU."""
    if device != "cuda":
        return None
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    call()
    return torch.cuda.max_memory_allocated() / 2**20


def draw_tokens(sizes: Sizes, device: str, extra: int = 1) -> Tensor:
    """Return token ids (batch, time + extra), the same in every process."""
    generator = torch.Generator().manual_seed(0)
    shape = (sizes.batch, sizes.time + extra)
    return torch.randint(sizes.vocab, shape, generator=generator).to(device)


def build_model(sizes: Sizes, metric: str, backend: str, device: str) -> DistanceLMForCausalLM:
    """Return our model with new weights, in training mode."""
    torch.manual_seed(0)
    config = DistanceLMConfig(
        vocab_size=sizes.vocab,
        hidden_size=sizes.dim,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        max_position_embeddings=4 * sizes.time,
        metric=metric,
        attention_backend=backend,
        tie_word_embeddings=True,
    )
    model = DistanceLMForCausalLM(config)
    model.to(torch.device(device))  # type: ignore[arg-type]
    return model.train()
