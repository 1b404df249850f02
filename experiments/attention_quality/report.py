"""Makes table.md and plot.png of results.csv, which study.py wrote.

python experiments/attention_quality/report.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from study import ATTENTIONS, SCALES, TEXTS, results

from infinito.statistics import mean_interval

HERE = Path(__file__).parent
Losses = dict[str, float]


def main() -> None:
    """Write both files beside this one, of all trainings that are finished."""
    parts = [table(text) for text in TEXTS if losses(text, "fixed", "dot")]
    (HERE / "table.md").write_text("\n".join(parts))
    plot().savefig(HERE / "plot.png", dpi=120)


def losses(text: str, scale: str, attention: str) -> Losses:
    """Return the validation loss in nats per token, by seed."""
    arm = {"text": text, "scale": scale, "attention": attention}
    return {r["seed"]: float(r["loss"]) for r in results() if arm.items() <= r.items()}


def table(text: str) -> str:
    """Return the means, and paired differences to dot with the same kind of λ; 95 % t intervals."""
    columns = "λ | seeds | nats per token | minus dot, 95 % interval | λ at the end"
    rows = [f"| {text} | {columns} |", "|---" * 6 + "|"]
    for scale in SCALES:
        for attention in ATTENTIONS:
            found = losses(text, scale, attention)
            if found:
                gap = "" if attention == "dot" else interval(found, losses(text, scale, "dot"))
                cells = [attention, scale, str(len(found)), f"{np.mean([*found.values()]):.4f}"]
                rows.append(f"| {' | '.join([*cells, gap, mean_scale(text, scale, attention)])} |")
    return "\n".join([*rows, ""])


def interval(found: Losses, control: Losses) -> str:
    """Return the mean difference over seeds that both have; an interval needs two of them."""
    gaps = np.array([found[seed] - control[seed] for seed in found if seed in control])
    if len(gaps) < 2:
        return f"{gaps.mean():+.4f}, one seed" if len(gaps) else ""
    return f"{gaps.mean():+.4f} ± {mean_interval(gaps).half_width:.4f}"


def mean_scale(text: str, scale: str, attention: str) -> str:
    """Return the learned λ, a mean over heads, layers and seeds."""
    arm = {"text": text, "scale": scale, "attention": attention}
    learned = [
        float(r["mean_scale"]) for r in results() if arm.items() <= r.items() and r["mean_scale"]
    ]
    return f"{np.mean(learned):.2f}" if learned else ""


def plot() -> Figure:
    """Draw losses minus those of dot with fixed λ and the same seed, a panel a text."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(TEXTS))
    for axis, text in zip(panels, TEXTS, strict=True):
        control = losses(text, "fixed", "dot")
        for place, attention in enumerate(ATTENTIONS):
            for scale, shift, colour in zip(SCALES, (-0.12, 0.12), ("C0", "C1"), strict=True):
                found = losses(text, scale, attention)
                gaps = [loss - control[seed] for seed, loss in found.items() if seed in control]
                label = f"λ {scale}" if place == 0 else None
                axis.plot([place + shift] * len(gaps), gaps, "o", color=colour, label=label)
        axis.axhline(0.0, color="grey", linewidth=0.8)
        axis.set_xticks(range(len(ATTENTIONS)), ATTENTIONS)
        axis.set_title(text)
    panels[0].set_ylabel("nats per token minus dot, λ fixed")
    panels[0].legend()
    return figure


if __name__ == "__main__":
    main()
