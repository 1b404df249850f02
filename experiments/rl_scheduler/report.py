"""Tables, intervals and the plot of the study, from the files that `study.py` wrote.

python experiments/rl_scheduler/report.py [folder of controls.json and seeds/]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from infinito.rl.evaluation.controls import CONTROLS
from infinito.run_folder.records import write_json
from infinito.statistics import cluster_bootstrap

POLICIES = ("agent", "agent, sampled")


def main() -> None:
    """Write results.json and excess.png, and print the table."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent
    controls = json.loads((folder / "controls.json").read_text())
    seeds = [json.loads(path.read_text()) for path in sorted((folder / "seeds").glob("*.json"))]
    baseline, states = controls["baseline"], len(controls["start_phi"])
    rows: list[dict[str, Any]] = []
    for policy in (name for name in POLICIES if all(name in seed for seed in seeds)):
        rows.append(build_row(policy, [seed[policy] for seed in seeds], controls[baseline], states))
    for name in CONTROLS:
        rows.append(build_row(name, [controls[name]], controls[baseline], states))
    if (folder / "rule.json").is_file():
        rule = json.loads((folder / "rule.json").read_text())
        rows.append(build_row("rule by hand", [rule], controls[baseline], states))
    each = {
        seed["seed"]: build_row("agent", [seed["agent"]], controls[baseline], states)["excess"]
        for seed in seeds
    }
    report = {
        "baseline": baseline,
        "seeds": len(seeds),
        "episodes": len(controls[baseline]["returns"]),
        "start_states": states,
        "timesteps": seeds[0]["timesteps"],
        "largest_null_difference": max(seed.get("null_difference", 0.0) for seed in seeds),
        "policies": rows,
        "agent_by_seed": each,
    }
    write_json(folder / "results.json", report)
    print(f"| policy | return | excess over {baseline} | test perplexity | in band | actions |")
    print("|---|---|---|---|---|---|")
    for line in rows:
        print(
            f"| {line['policy']} | {line['return']:.3f} | {format_interval(line['excess'])} "
            f"| {line['test_perplexity']:.2f} | {line['in_band']:.1%} "
            f"| {'/'.join(f'{share:.0%}' for share in line['actions'])} |"
        )
    for seed, found in each.items():
        print(f"seed {seed}: {format_interval(found)}")
    plot(rows, each, baseline).savefig(folder / "excess.png", dpi=130)


def build_row(
    name: str, policies: list[dict[str, Any]], baseline: dict[str, Any], states: int
) -> dict[str, Any]:
    """Return the row of a policy of one or several seeds; its interval is over seeds and states."""
    excess = np.array([policy["returns"] for policy in policies]) - np.array(baseline["returns"])
    starts = np.arange(excess.shape[1]) % states  # episodes go through them in turn
    interval = cluster_bootstrap(excess, starts)
    return {
        "policy": name,
        "return": float(np.mean([policy["returns"] for policy in policies])),
        "excess": vars(interval),
        "test_perplexity": float(np.exp(np.mean([policy["final_loss"] for policy in policies]))),
        "in_band": float(np.mean([policy["in_band"] for policy in policies])),
        "actions": np.mean([policy["actions"] for policy in policies], axis=0).tolist(),
    }


def format_interval(interval: dict[str, float]) -> str:
    """Return an interval for the table."""
    return f"{interval['mean']:+.3f} [{interval['low']:+.3f}, {interval['high']:+.3f}]"


def plot(rows: list[dict[str, Any]], each: dict[int, dict[str, float]], baseline: str) -> Figure:
    """Return a plot of the excess returns with intervals, of all policies and of each seed's."""
    lines = [(line["policy"], line["excess"]) for line in rows]
    lines += [(f"agent, seed {seed}", found) for seed, found in each.items()]
    figure = Figure(figsize=(7, 0.35 * len(lines) + 1), layout="constrained")
    axis = figure.subplots()
    for place, (name, found) in enumerate(reversed(lines)):
        axis.plot([found["low"], found["high"]], [place, place], color="tab:blue")
        axis.plot(found["mean"], place, "o", color="tab:blue" if "agent" in name else "grey")
    axis.set_yticks(range(len(lines)), [name for name, _ in reversed(lines)], fontsize=8)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xscale("symlog", linthresh=1)
    axis.set_xlabel(f"return minus that of {baseline}, paired test episodes, 95 %")
    return figure


if __name__ == "__main__":
    main()
