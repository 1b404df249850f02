"""What Φ and the memory add to a step of LoRA, as paired ratios in one process."""

from __future__ import annotations

import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from infinito.config import LanguagePhiConf, MemoryConf
from infinito.models.memory.model import with_memory
from infinito.models.observation.watching import observed
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.models.pretrained.opening import open_base
from infinito.objectives.phi import Calibration
from infinito.training.phi.term import PhiObjective

BATCH, TIME, ROUNDS = 4, 256, 6
SETTINGS = LoraSettings(alpha=32.0, dropout=0.1, target_modules=("c_attn", "c_proj"))


def measure(folder: Path) -> dict[str, Any]:
    """Return the thread CPU of a forward and backward pass, and what each arm adds to it."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = open_base(folder)
    add_lora(plain, SETTINGS)
    remembering = with_memory(plain, MemoryConf(name="integration"))
    # The band lies above any Φ, so that the gradient flows in each step.
    phi = PhiObjective(LanguagePhiConf(band=[11.0, 12.0]), Calibration())
    arms = {"plain": (plain, None), "Φ": (plain, phi), "memory": (remembering, None)}
    spent: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(ROUNDS + 1):
        batch = torch.randint(0, 50_257, (BATCH, TIME + 1))
        for name, (model, term) in arms.items():
            started_s = time.thread_time()
            step(model, term, batch)
            if turn:
                spent[name].append(time.thread_time() - started_s)
    base = np.array(spent["plain"])
    found: dict[str, Any] = {"rounds": ROUNDS, "plain_s": float(np.median(base))}
    for name in ("Φ", "memory"):
        ratios = (np.array(spent[name]) / base - 1) * 100
        found[name] = [float(each) for each in np.quantile(ratios, [0.5, 0.25, 0.75])]
    return found


def step(model: Any, phi: PhiObjective | None, batch: torch.Tensor) -> None:
    """Run a forward and backward pass; the adapters' optimizer takes no time beside it."""
    model.zero_grad(set_to_none=True)
    with observed(model) if phi is not None else nullcontext() as seen:
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    if phi is not None and seen is not None:
        loss = phi.add_to(loss, model, seen)
    loss.backward()


def table(found: dict[str, Any]) -> list[str]:
    """Return the lines of a table."""
    lines = ["| added to a pass | median | quartiles |", "|---|---|---|"]
    for name in ("Φ", "memory"):
        middle, low, high = found[name]
        lines.append(f"| {name} | {middle:+.1f} % | {low:+.1f}, {high:+.1f} |")
    return lines
