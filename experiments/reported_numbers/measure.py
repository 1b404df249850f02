"""What the published figures "4122 → 1823" and "perplexity about 95" are made of, computed.

    python experiments/reported_numbers/measure.py

Writes results.json and table.md beside this file.
"""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from infinito import run as program
from infinito.cli.composition import check
from infinito.data.assembly import build_data_module
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.models.trained import open_trained
from infinito.objectives.language import cross_entropy
from infinito.paths import conf_dir
from infinito.training.module.evaluation import mean_loss

HERE = Path(__file__).parent
WORDS, VOCAB, TRAIN_WORDS = 30, 4122, 740
"""Words of the fallback text; a vocabulary whose uniform guess is the first published figure; and
so many words of text that counting them gives the floor."""
UPDATES = (0, 12, 100, 300)
RATES = (2e-4, 1e-3, 3e-3)
DROPOUTS = (0.1, 0.3)
MASKS = 3


def main() -> None:
    """Compute both parts and write them."""
    torch.set_num_threads(1)
    results = {"fallback": fallback(), "dropout": [mode_gap(each) for each in DROPOUTS]}
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    (HERE / "table.md").write_text(as_tables(results))
    print(as_tables(results))


def fallback() -> dict[str, object]:
    """Return perplexities on words drawn uniformly from 30, in a vocabulary of 4122."""
    generator = torch.Generator().manual_seed(0)
    train = torch.randint(0, WORDS, (TRAIN_WORDS,), generator=generator)
    valid = torch.randint(0, WORDS, (64, 33), generator=generator)
    counts = torch.bincount(train, minlength=WORDS).double() + 1
    share = counts / counts.sum()
    return {
        "uniform guess": VOCAB,
        "entropy of the source": WORDS,
        "unigram of the training text": float((-share.log()[valid]).mean().exp()),
        "expected of such a unigram": WORDS * math.exp((WORDS - 1) / (2 * TRAIN_WORDS)),
        "model": {f"lr {rate:g}": trained_on(train, valid, rate) for rate in RATES},
    }


def trained_on(train: Tensor, valid: Tensor, rate: float) -> dict[int, float]:
    """Return the held-out perplexity of a small model by the number of updates."""
    torch.manual_seed(0)
    config = DistanceLMConfig(
        vocab_size=VOCAB, hidden_size=64, num_hidden_layers=2, metric="dot", num_attention_heads=4
    )
    model = DistanceLMForCausalLM(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98))
    generator, found = torch.Generator().manual_seed(1), {}
    for update in range(max(UPDATES) + 1):
        if update in UPDATES:
            found[update] = math.exp(mean_loss(model, [valid])[0])
        starts = torch.randint(0, len(train) - 33, (8,), generator=generator)
        batch = torch.stack([train[start : start + 33] for start in starts.tolist()])
        model.train()
        optimizer.zero_grad()
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        cross_entropy(logits, batch[:, 1:]).backward()
        optimizer.step()
    return found


def mode_gap(dropout: float) -> dict[str, float]:
    """Return the validation perplexity of a trained model, without and with dropout left on."""
    overrides = [
        "model.dim=64", "model.layers=2", "attention=dot", "tokenizer.vocab_size=1024",
        "data.block_size=64", "data.max_bytes=300000", "optimizer.lr=2e-3", "trainer.epochs=null",
        "trainer.max_steps=300", "trainer.validate_every=300", "trainer.sample_tokens=0",
        "trainer.threads=1", "trainer.progress_bar=false", "trainer.accelerator=cpu",
        f"model.dropout={dropout}",
    ]  # fmt: skip
    run = check(overrides, conf_dir())
    with tempfile.TemporaryDirectory() as folder:
        program.execute(run, Path(folder))
        trained = open_trained(folder)
    batches = list(build_data_module(run, trained.tokenizer).eval_dataloader("valid"))
    evaluated = math.exp(mean_loss(trained.model, batches)[0])
    torch.manual_seed(0)
    left_on = [dropped_perplexity(trained.model, batches) for _ in range(MASKS)]
    return {
        "dropout": dropout,
        "evaluation mode": evaluated,
        "dropout left on": float(np.mean(left_on)),
        "spread over masks": float(np.std(left_on)),
    }


@torch.no_grad()
def dropped_perplexity(model: torch.nn.Module, batches: list[Tensor]) -> float:
    """Return the perplexity in training mode."""
    model.train()
    total = count = 0.0
    for batch in batches:
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        total += float(cross_entropy(logits, batch[:, 1:], reduction="sum"))
        count += batch[:, 1:].numel()
    return math.exp(total / count)


def as_tables(results: dict) -> str:
    """Return both parts in Markdown."""
    part = results["fallback"]
    lines = ["| perplexity on held-out words of 30 kinds | |", "|---|---|"]
    lines += [f"| {name} | {value:,.1f} |" for name, value in part.items() if name != "model"]
    lines += ["", "| updates | " + " | ".join(part["model"]) + " |"]
    lines += ["|" + "---|" * (len(RATES) + 1)]
    for update in UPDATES:
        cells = " | ".join(f"{curve[update]:,.1f}" for curve in part["model"].values())
        lines.append(f"| {update} | {cells} |")
    lines += ["", "| dropout | evaluation mode | left on | ± over masks | ratio |"]
    lines += ["|" + "---|" * 5]
    for row in results["dropout"]:
        right, wrong = row["evaluation mode"], row["dropout left on"]
        cells = f"{right:.2f} | {wrong:.2f} | {row['spread over masks']:.2f} | {wrong / right:.3f}"
        lines.append(f"| {row['dropout']} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
