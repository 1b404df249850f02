"""Makes table.md of results.json: medians of what was measured, by model and contestant."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import mean, median
from typing import Any

HERE = Path(__file__).parent
STEPS = 6
PHASES = ("imports", "opening", "scoring", "answers", "training", "checkpoint", "outputs", "rest")
HEADING = (
    "| contestant | repeats | CPU s a step | over TRL | steps 2 to 6, CPU s | over TRL "
    "| peak of training, GiB | peak, GiB | over TRL | whole job, CPU s | over TRL "
    "| largest difference of a step's loss |"
)


def yardstick(contestant: str) -> str:
    """Return TRL's run of the same kind."""
    return "TRL LoRA" if "LoRA" in contestant else "TRL"


def medians(runs: list[dict[str, Any]]) -> dict[str, float]:
    """Return seconds a step, peaks in GiB, and the CPU seconds of the whole job."""
    training = [run["phases"]["training"] for run in runs]
    return {
        "step_s": median(each["cpu_s"] for each in training) / STEPS,
        "later_s": median(mean(run.get("steps_s", [0.0] * 2)[1:]) for run in runs),
        "training_gib": median(each["peak_mib"] for each in training) / 1024,
        "gib": median(max(p["peak_mib"] for p in run["phases"].values()) for run in runs) / 1024,
        "job_s": median(sum(p["cpu_s"] for p in run["phases"].values()) for run in runs),
    }


def comparison(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of a table of all contestants of a model."""
    lines = [HEADING, "|" + "---|" * 12]
    for name, runs in results.items():
        own = medians(runs)
        other = results.get(yardstick(name))
        ratios, difference = dict.fromkeys(own, "–"), "–"
        if other:
            ratios = {
                key: f"{own[key] / value:.2f}" if value else "–"
                for key, value in medians(other).items()
            }
            pairs = zip(runs[0]["losses"], other[0]["losses"], strict=True)
            difference = f"{max(abs(a - b) for a, b in pairs):.1e}"
        later = f"{own['later_s']:.2f}" if own["later_s"] else "–"
        lines.append(
            f"| {name} | {len(runs)} | {own['step_s']:.2f} | {ratios['step_s']} "
            f"| {later} | {ratios['later_s']} "
            f"| {own['training_gib']:.2f} | {own['gib']:.2f} | {ratios['gib']} "
            f"| {own['job_s']:.0f} | {ratios['job_s']} | {difference} |"
        )
    return lines


def phases(results: dict[str, list[dict[str, Any]]]) -> list[str]:
    """Return the lines of a table of CPU seconds by phase."""
    lines = ["| contestant | " + " | ".join(PHASES) + " |", "|" + "---|" * (len(PHASES) + 1)]
    for name, runs in results.items():
        cells = [
            f"{median(run['phases'].get(phase, {}).get('cpu_s', 0.0) for run in runs):.1f}"
            for phase in PHASES
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    """Write the file."""
    found: dict[str, Any] = json.loads((HERE / "results.json").read_text())
    parts = []
    for model, results in found.items():
        parts += [f"## {model}", "", *comparison(results), "", "CPU seconds by phase:", ""]
        parts += [*phases(results), ""]
    (HERE / "table.md").write_text("\n".join(parts).rstrip() + "\n")


if __name__ == "__main__":
    main()
