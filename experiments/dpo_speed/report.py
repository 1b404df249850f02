"""Makes table.md and plot.png of results.json: medians of what was measured."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import NamedTuple

from matplotlib.figure import Figure
from recipes import RECIPES

HERE = Path(__file__).parent
HEADING = (
    "| row | repeats | TRL, CPU s a step | infinito | TRL/infinito | wanted "
    "| TRL, MiB | infinito | infinito/TRL | wanted |"
)


class Row(NamedTuple):
    """Medians of a recipe against one way to run TRL."""

    label: str
    repeats: int
    seconds: tuple[float, float]
    mib: tuple[float, float]
    wanted_speed: float | None
    wanted_memory: float | None

    @property
    def speed(self) -> float:
        """TRL's time over ours."""
        return self.seconds[0] / self.seconds[1]

    def markdown(self) -> str:
        """Return the line of the table."""
        wanted = f"≥ {self.wanted_speed}" if self.wanted_speed else ""
        memory = f"≤ {self.wanted_memory}" if self.wanted_memory else ""
        return (
            f"| {self.label} | {self.repeats} | {self.seconds[0]:.3f} | {self.seconds[1]:.3f} "
            f"| {self.speed:.2f} | {wanted} | {self.mib[0]:.0f} | {self.mib[1]:.0f} "
            f"| {self.mib[1] / self.mib[0]:.2f} | {memory} |"
        )


def rows() -> list[Row]:
    """Return a row for each recipe that was measured; bucketed ones against TRL at random, too."""
    results = json.loads((HERE / "results.json").read_text())
    found = []
    for name, recipe in RECIPES.items():
        runs = {**results.get(name.removesuffix(", bucketed"), {}), **results.get(name, {})}
        own = results.get(name, {}).get("infinito")
        for yardstick in ("TRL", "TRL grouped"):
            if not own or not runs.get(yardstick):
                continue
            both = (runs[yardstick], own)
            plain = yardstick == "TRL"
            found.append(
                Row(
                    name if plain else f"{name}, TRL with `group_by_length`",
                    min(len(each) for each in both),
                    tuple(median(run["cpu_s"] for run in each) for each in both),
                    tuple(median(run["mib"] for run in each) for each in both),
                    recipe.wanted_speed if plain else None,
                    recipe.wanted_memory if plain else None,
                )
            )
    return found


def main() -> None:
    """Write both files."""
    found = rows()
    lines = [HEADING, "|" + "---|" * 10, *(row.markdown() for row in found)]
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    figure = Figure(figsize=(8, 0.5 * len(found) + 1.2), layout="constrained")
    axes = figure.subplots()
    labels = [row.label.replace("`", "") for row in found]
    axes.barh(labels, [row.speed for row in found])
    for place, row in enumerate(found):
        if row.wanted_speed:
            axes.plot([row.wanted_speed] * 2, [place - 0.4, place + 0.4], color="black")
    axes.set_xlabel("CPU time of a step, TRL over infinito (black: wanted)")
    axes.axvline(1, color="grey", linewidth=0.8)
    axes.invert_yaxis()
    figure.savefig(HERE / "plot.png", dpi=110)


if __name__ == "__main__":
    main()
