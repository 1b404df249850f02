"""Measures how far losses are from TRL's and from float64's; run from the repository's root.

python -m experiments.dpo_parity.measure
"""

from __future__ import annotations

import json
import tempfile
import warnings
from pathlib import Path

import torch

from infinito.preferences.objective.weighted_losses import PreferenceObjective
from tests.preferences.pair_models import make
from tests.preferences.test_trl_parity import SMOOTHED, TRL_LOSSES, own_losses, trl_losses

HERE = Path(__file__).parent
MODELS = ("llama", "gpt2")


def compare(name: str, loss: str) -> dict[str, float | str]:
    """Return the largest differences over sixteen steps at a learning rate of 1e-4."""
    smoothing = 0.1 if loss in SMOOTHED else 0.0
    objective = PreferenceObjective({loss: 1.0}, beta=0.2, label_smoothing=smoothing)
    with tempfile.TemporaryDirectory() as folder:
        theirs = trl_losses(
            make(name), Path(folder), loss_type=[loss], beta=0.2, label_smoothing=smoothing
        )
    own = own_losses(make(name), objective)
    exact = own_losses(make(name).double(), objective)
    return {
        "model": name,
        "loss": loss,
        "first": own[0],
        "last": own[-1],
        "to_trl": max(abs(a - b) for a, b in zip(own, theirs, strict=True)),
        "to_trl_relative": max(abs(a - b) / abs(b) for a, b in zip(own, theirs, strict=True)),
        "to_float64": max(abs(a - b) for a, b in zip(own, exact, strict=True)),
        "trl_to_float64": max(abs(a - b) for a, b in zip(theirs, exact, strict=True)),
    }


def main() -> None:
    """Write results.json."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    results = []
    for name in MODELS:
        for loss in TRL_LOSSES:
            results.append(compare(name, loss))
            print(results[-1], flush=True)
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
