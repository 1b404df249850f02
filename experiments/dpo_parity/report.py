"""Makes table.md and plot.png of results.json."""

from __future__ import annotations

import json
from pathlib import Path

from matplotlib.figure import Figure

HERE = Path(__file__).parent


def main() -> None:
    """Write both files."""
    rows = json.loads((HERE / "results.json").read_text())
    lines = [
        "| model | loss | first → last | to TRL | relative | to float64 | TRL to float64 |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {row['model']} | {row['loss']} | {row['first']:.4f} → {row['last']:.4f} "
            f"| {row['to_trl']:.1e} | {row['to_trl_relative']:.1e} | {row['to_float64']:.1e} "
            f"| {row['trl_to_float64']:.1e} |"
            for row in rows
        ),
    ]
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.subplots()
    for marker, model in zip("os", dict.fromkeys(row["model"] for row in rows), strict=True):
        own = [row for row in rows if row["model"] == model]
        names = [row["loss"] for row in own]
        axes.plot(names, [row["to_trl_relative"] for row in own], marker, label=model)
    axes.axhline(1e-5, color="grey", linestyle="--", label="wanted: at most this")
    axes.set(yscale="log", ylabel="largest |Δloss| / loss against TRL, 16 steps")
    axes.tick_params("x", rotation=60)
    axes.legend()
    figure.savefig(HERE / "plot.png", dpi=110)


if __name__ == "__main__":
    main()
