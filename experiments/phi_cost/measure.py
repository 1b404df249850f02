"""CPU time that Φ and the memory add to a training step, the arms interleaved in one process.

    python experiments/phi_cost/measure.py

Writes results.json beside this file.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from infinito.config import LanguagePhiConf, MemoryConf
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.memory.model import with_memory
from infinito.models.observation.watching import observed
from infinito.objectives.phi import Calibration
from infinito.training.phi.term import PhiObjective

HERE = Path(__file__).parent
BATCH, TIME, DIM, LAYERS, VOCAB = 4, 256, 256, 4, 2048
ROUNDS = 12


def main() -> None:
    """Measure dot and l1 attention and write the medians of paired ratios."""
    torch.set_num_threads(1)
    results = {}
    for metric in ("dot", "l1"):
        results[metric] = measured(metric)
        print(metric, json.dumps(results[metric], indent=1), flush=True)
    sizes = {"batch": BATCH, "time": TIME, "dim": DIM, "layers": LAYERS, "vocab": VOCAB}
    text = json.dumps({"sizes": sizes, "rounds": ROUNDS, **results}, indent=1)
    (HERE / "results.json").write_text(text + "\n")


def measured(metric: str) -> dict[str, float | list[float]]:
    """Return the thread CPU of a step in milliseconds, and what each arm adds to it in per cent."""
    torch.manual_seed(0)
    config = DistanceLMConfig(
        vocab_size=VOCAB, hidden_size=DIM, num_hidden_layers=LAYERS, metric=metric
    )
    model = DistanceLMForCausalLM(config)
    remembering = with_memory(DistanceLMForCausalLM(config), MemoryConf(name="integration"))
    # The band lies above any Φ, so that the gradient flows in each step.
    conf = LanguagePhiConf(band=[11.0, 12.0])
    arms = {
        "plain": (model, None),
        "phi": (model, PhiObjective(conf, Calibration())),
        "memory": (remembering, None),
        "memory and phi": (remembering, PhiObjective(conf, Calibration())),
    }
    spent: dict[str, list[float]] = {name: [] for name in arms}
    for turn in range(ROUNDS + 2):
        batch = torch.randint(0, VOCAB, (BATCH, TIME + 1))
        for name, (trained, phi) in arms.items():
            started_s = time.thread_time()
            step(trained, phi, batch)
            if turn >= 2:
                spent[name].append(time.thread_time() - started_s)
    plain = np.array(spent["plain"])
    found: dict[str, float | list[float]] = {"plain_ms": float(np.median(plain)) * 1e3}
    for name in list(arms)[1:]:
        added = np.array(spent[name]) / plain - 1
        found[f"{name}_added_percent"] = float(np.median(added)) * 100
        low, high = np.quantile(added, [0.25, 0.75]) * 100
        found[f"{name}_added_quartiles"] = [float(low), float(high)]
    return found


def step(model: PreTrainedModel, phi: PhiObjective | None, batch: torch.Tensor) -> None:
    """Run a forward and backward pass without an optimizer: that would only dilute the share."""
    model.zero_grad(set_to_none=True)
    with observed(model) as seen:
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    loss = cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
    if phi is not None:
        loss = phi.add_to(loss, model, seen)
    loss.backward()


if __name__ == "__main__":
    main()
