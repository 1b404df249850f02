"""What of metrics.csv must be equal in equal runs."""

from __future__ import annotations

from pathlib import Path

from infinito.run_folder.series.metrics_file import CLOCKS, read_metrics


def figures_of(run: Path) -> list[tuple[str, list[float | None]]]:
    """The columns in their order, but those of clocks and memory."""
    return [each for each in read_metrics(run).items() if each[0] not in CLOCKS]
