"""The two designs of the original system against a plain model, and against their own controls.

    python experiments/v51_v52/study.py [--seeds 5]

One causal trunk, equal data, tokens and parameters (within 2 %). Resumable: a run whose folder
holds study.json is not repeated. Whatever is finished goes into results.csv, table.md and plot.png
beside this file; `--report` does only that.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from paired_runs import differences, finished, interval, run_once, table, write_csv  # noqa: E402

OVERRIDES = (
    "model.dim=64", "model.layers=2", "attention=dot", "tokenizer.vocab_size=1024",
    "data.block_size=64", "data.batch_size=16", "data.max_bytes=300000", "optimizer.lr=2e-3",
    "optimizer.warmup_steps=40", "trainer.epochs=null", "trainer.max_steps=300",
    "trainer.validate_every=50", "trainer.log_every=25",
)  # fmt: skip
WIDER = ("model.mlp_ratio=4.75",)
"""As many parameters more as the memory's three projections have."""
MEMORY = ("memory=integration", "model.memory.segment=8", "model.memory.slots=256")
PHI = ("objective=language_phi", "objective.lambda_phi=0.6")
THREE = "objective.component_weights=[0.375,0.375,0.25,0]"
V52 = (*MEMORY, *PHI, "objective.weights=learned")
ARMS = {
    "plain": WIDER,
    "v5.1": (*MEMORY, *PHI, "model.memory.priority=age", THREE),
    "v5.2": V52,
    "v5.2 without memory": (*WIDER, *PHI),
    "v5.2 fixed weights": (*MEMORY, *PHI),
    "v5.2 random priorities": (*MEMORY, *PHI, "model.memory.priority=random"),
    "v5.2 λ 0": (*V52, "objective.lambda_phi=0"),
}
"""v5.1: the oldest segment goes, Φ of three components; v5.2: the lowest priority goes, Φ of four
with learned weights. Random priorities do not read the weights, so their control has fixed ones."""
METRICS = {
    "perplexity": 2, "bits_per_byte": 4, "tokens_to_target": 0, "cpu_s": 1, "peak_rss_mib": 0,
    "phi": 2, "share_in_band": 2, "distinct_2": 3, "repetition": 4, "parameters": 0,
}  # fmt: skip


def main() -> None:
    """Run what is missing, a seed of every arm after the other, and report after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("multirun/v51_v52"))
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    for seed in range(0 if arguments.report else arguments.seeds):
        for arm, own in ARMS.items():
            folder = arguments.runs / f"{arm.replace(' ', '_').replace('λ', 'lambda')}_seed{seed}"
            run_once(folder, [*OVERRIDES, *own, f"seed={seed}"], {"arm": arm, "seed": seed})
            report(arguments.runs)
    report(arguments.runs)


def report(runs: Path) -> None:
    """Write results, table and picture of all finished runs."""
    rows = finished(runs)
    target = np.mean([loss_at(row, 0.8) for row in rows if row["arm"] == "plain"])
    for row in rows:
        row["tokens_to_target"] = tokens_to(row, float(target))
    write_csv(HERE / "results.csv", rows)
    note = f"\nTokens to a validation perplexity of {np.exp(target):.1f}, which the plain model "
    note += "reaches after 80 % of its training (mean over seeds).\n"
    (HERE / "table.md").write_text(table(rows, list(ARMS), "plain", METRICS) + note)
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    others = list(ARMS)[1:]
    for place, arm in enumerate(others):
        change = differences(rows, arm, "plain", "bits_per_byte")
        if change:
            mean, half = interval(change)
            xerr = [0 if np.isnan(half) else half]
            left.errorbar([mean], [place], xerr=xerr, fmt="o", capsize=4)
            left.plot(change, [place] * len(change), ".", color="grey", alpha=0.6)
    left.axvline(0, color="black", lw=0.8)
    left.set_yticks(range(len(others)), others)
    left.set_xlabel("bits per byte less those of the plain model")
    for arm in ARMS:
        own = [row for row in rows if row["arm"] == arm]
        if own:
            steps = [step for step, _ in own[0]["curve"]]
            losses = np.mean([[loss for _, loss in row["curve"]] for row in own], axis=0)
            right.plot(steps, losses, label=arm)
    right.set_xlabel("step")
    right.set_ylabel("validation loss, nats a token")
    right.legend(fontsize=7)
    figure.savefig(HERE / "plot.png", dpi=110)


def loss_at(row: Mapping[str, Any], share: float) -> float:
    """Return the validation loss after a share of the training, linear between validations."""
    steps, losses = zip(*row["curve"], strict=True)
    return float(np.interp(share * steps[-1], steps, losses))


def tokens_to(row: Mapping[str, Any], target: float) -> float | None:
    """Return the tokens trained on when the validation loss first was `target`, or None."""
    for (before, high), (after, low) in zip(row["curve"], row["curve"][1:], strict=False):
        if low <= target <= high:
            step = before + (after - before) * (high - target) / (high - low)
            return step * 16 * 64
    return None


if __name__ == "__main__":
    main()
