"""What λ of the Φ objective does to a small language model, over paired seeds.

    python experiments/phi_ablation/study.py [--text python_docs|wikitext2] [--seeds 5]

Resumable: a run whose folder holds study.json is not repeated. Whatever is finished goes into
results.csv, table.md and plot.png beside this file; `--report` does only that.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from paired_runs import differences, finished, interval, run_once, table, write_csv  # noqa: E402

LAMBDAS = (0.0, 0.3, 0.6, 1.0)
CONTROL = "λ 0"
OVERRIDES = (
    "model.dim=64", "model.layers=2", "attention=dot", "tokenizer.vocab_size=1024",
    "data.block_size=64", "data.batch_size=16", "data.max_bytes=300000", "optimizer.lr=2e-3",
    "optimizer.warmup_steps=40", "trainer.epochs=null", "trainer.max_steps=500",
    "trainer.validate_every=100", "trainer.log_every=25", "objective=language_phi",
)  # fmt: skip
METRICS = {
    "perplexity": 2, "bits_per_byte": 4, "phi": 2, "share_in_band": 2,
    "distinct_2": 3, "repetition": 4,
}  # fmt: skip


def main() -> None:
    """Run what is missing, a seed of every λ after the other, and report after each."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", default="python_docs", choices=("python_docs", "wikitext2"))
    parser.add_argument("--path", help="folder of WikiText-2's train.txt and valid.txt")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--runs", type=Path, default=Path("multirun/phi_ablation"))
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    runs = arguments.runs / arguments.text
    for seed in range(0 if arguments.report else arguments.seeds):
        for weight in LAMBDAS:
            text = [f"data={arguments.text}"]
            text += [f"data.path={arguments.path}"] if arguments.path else []
            own = [f"objective.lambda_phi={weight}", f"seed={seed}"]
            about = {"text": arguments.text, "arm": f"λ {weight:g}", "seed": seed}
            run_once(runs / f"lambda{weight:g}_seed{seed}", [*text, *OVERRIDES, *own], about)
            report(runs, arguments.text)
    report(runs, arguments.text)


def report(runs: Path, text: str) -> None:
    """Write results, table and picture of all finished runs."""
    rows = finished(runs)
    arms = [f"λ {weight:g}" for weight in LAMBDAS]
    write_csv(HERE / f"results_{text}.csv", rows)
    (HERE / f"table_{text}.md").write_text(table(rows, arms, CONTROL, METRICS))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for place, arm in enumerate(arms[1:]):
        change = differences(rows, arm, CONTROL, "bits_per_byte")
        if change:
            mean, half = interval(change)
            left.errorbar([place], [mean], yerr=[0 if np.isnan(half) else half], fmt="o", capsize=4)
            left.plot([place] * len(change), change, ".", color="grey", alpha=0.6)
    left.axhline(0, color="black", lw=0.8)
    left.set_xticks(range(len(arms) - 1), arms[1:])
    left.set_ylabel("bits per byte less those of λ 0")
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        right.plot(
            [row["share_in_band"] for row in own], [row["phi"] for row in own], "o", label=arm
        )
    right.set_xlabel("share of steps in the band")
    right.set_ylabel("Φ on the validation split")
    right.legend()
    figure.savefig(HERE / f"plot_{text}.png", dpi=110)


if __name__ == "__main__":
    main()
