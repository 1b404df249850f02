"""Makes table.md and plot.png of results.json, which measure.py wrote.

python experiments/attention_speed/report.py
"""

from __future__ import annotations

import json
from pathlib import Path

from contestants import GOALS, SHAPES, YARDSTICK
from matplotlib.figure import Figure

HERE = Path(__file__).parent
Results = dict[str, dict]


def main() -> None:
    """Write both files beside this one."""
    results = json.loads((HERE / "results.json").read_text())
    parts = [time_table(results["time"]), decoding_table(results["decoding"])]
    parts.append(memory_table(results["memory"]))
    (HERE / "table.md").write_text("\n".join(parts))
    plot(results["time"]).savefig(HERE / "plot.png", dpi=120, bbox_inches="tight")


def time_table(times: Results) -> str:
    """Return the ratios of medians to the yardstick, forward and backward; goals in brackets."""
    columns = [str(shape) for shape in SHAPES]
    rows = ["| forward + backward | " + " | ".join(columns) + " |", "|---" * 4 + "|"]
    unit = [f"{1e3 * times[column][YARDSTICK]['both_s']:.1f} ms" for column in columns]
    rows.append(f"| {YARDSTICK} | " + " | ".join(unit) + " |")
    for name in times[columns[0]]:
        if name == YARDSTICK:
            continue
        goals = GOALS.get(name, (None,) * len(columns))
        cells = [cell(times[c], name, goal) for c, goal in zip(columns, goals, strict=True)]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, ""])


def cell(times: dict[str, dict[str, float]], name: str, goal: float | None) -> str:
    """Return one ratio, with its goal where there is one."""
    if name not in times:
        return "—"
    ratio = times[name]["both_s"] / times[YARDSTICK]["both_s"]
    return f"{ratio:.2f}" + (f" (≤ {goal:.2f})" if goal else "")


def decoding_table(times: Results) -> str:
    """Return the ratios to the yardstick of one new token that attends to a cache."""
    names = list(next(iter(times.values())))
    rows = ["| one token, (batch, heads, kv_heads, cached) | " + " | ".join(names) + " |"]
    rows.append("|---" * (len(names) + 1) + "|")
    for cached, medians in times.items():
        unit = medians[YARDSTICK]
        cells = [f"{1e6 * unit:.0f} µs", *(f"{medians[n] / unit:.2f}" for n in names[1:])]
        rows.append(f"| {cached} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, ""])


def memory_table(peaks: Results) -> str:
    """Return the extra peak of forward and backward, in bytes of the queries."""
    lengths = sorted({length for found in peaks.values() for length in found}, key=int)
    rows = ["| peak / bytes of queries, time | " + " | ".join(lengths) + " |"]
    rows.append("|---" * (len(lengths) + 1) + "|")
    for name, found in peaks.items():
        cells = [f"{found[length]:.1f}" if length in found else "—" for length in lengths]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join([*rows, ""])


def plot(times: Results) -> Figure:
    """Draw ratios to the yardstick as bars, one colour per shape, on a logarithmic axis."""
    names = [name for name in next(iter(times.values())) if name != YARDSTICK]
    figure = Figure(figsize=(8, 0.42 * len(names) + 1))
    axes = figure.subplots()
    for i, shape in enumerate(SHAPES):
        found = times[str(shape)]
        shown = [name for name in names if name in found]
        ratios = [found[name]["both_s"] / found[YARDSTICK]["both_s"] for name in shown]
        places = [names.index(name) + 0.26 * (i - 1) for name in shown]
        axes.barh(places, ratios, height=0.24, label=f"time {shape[2]}")
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set(xscale="log", xlabel=f"forward + backward, times that of {YARDSTICK}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.legend()
    return figure


if __name__ == "__main__":
    main()
