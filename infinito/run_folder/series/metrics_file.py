"""metrics.csv: the figures of a run for pandas and spreadsheets, a row a step, a column a metric.

Lightning's `CSVLogger` is not used: it deletes the file of an earlier part of the run, writes a row
for each call, so that a step's training and validation figures stand apart, and loses what it has
not yet written when the process is killed. Here a run that was killed and resumed has the file of
an undisturbed one, but for `CLOCKS`.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from infinito.run_folder.series.step_lines import StepLines, read_lines

FILE = "metrics.csv"

CLOCKS = ("seconds", "memory_mib", "train/tokens_per_s")
"""Columns that differ between equal runs: seconds since the start, those of earlier parts of a
resumed run included; memory that the process holds; tokens per second."""

Columns = dict[str, list[float | None]]
"""Figures by the name of their column, None where a step has none; as long as each other."""


class MetricsFile:
    """Writes metrics.csv, from the first figures on.

    Args:
        folder: The run's.
        per_step: Columns that grow with the step, each with what a step adds, such as "epoch".
        resumed_step: Rows up to this step stay, later ones go; None begins the file anew.
    """

    def __init__(
        self,
        folder: Path,
        per_step: Mapping[str, float] | None = None,
        resumed_step: int | None = None,
    ) -> None:
        self.folder = folder
        self.per_step = dict(per_step or {})
        self.resumed_step = resumed_step
        self._lines = StepLines(folder / FILE)
        self._columns: list[str] | None = None
        self._last: dict[str, float] = {}
        self._earlier_s = 0.0
        self._started_s = time.perf_counter()

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Add figures to the row of a step: the last row, or one behind it."""
        if self._columns is None:
            self._begin()
        assert self._columns is not None
        elapsed_s = self._earlier_s + time.perf_counter() - self._started_s
        row = {
            "step": step,
            **{name: step * each for name, each in self.per_step.items()},
            "seconds": round(elapsed_s, 3),
            **{name: float(value) for name, value in values.items()},
        }
        self._last = {**self._last, **row} if self._last.get("step") == step else row
        if new := [name for name in row if name not in self._columns]:
            self._replace(read_rows(self._lines.path), [*self._columns, *new])
        self._lines.put(step, format_row(self._last, self._columns))

    def sync(self) -> None:
        """Wait until all rows are on the disk."""
        self._lines.sync()

    def _begin(self) -> None:
        """Keep the rows of a resumed run, without the columns that only later rows had."""
        rows = [] if self.resumed_step is None else read_rows(self._lines.path)
        kept = [row for row in rows if row["step"] <= (self.resumed_step or 0)]
        if kept:
            self._last = kept[-1]
            self._earlier_s = self._last.get("seconds", 0.0)
        self._replace(kept, list_columns(kept))

    def _replace(self, rows: Sequence[Mapping[str, float]], columns: list[str]) -> None:
        self._columns = columns
        lines = ((int(row["step"]), format_row(row, columns)) for row in rows)
        self._lines.begin([format_cells(columns)], lines)


def read_metrics(folder: Path) -> Columns:
    """Return the figures of a run's metrics.csv, without columns if there is none."""
    rows = read_rows(folder / FILE)
    return as_columns(rows, list_columns(rows))


def read_rows(path: Path) -> list[dict[str, float]]:
    """Return the figures of each row that has a step, by column; rows in their order."""
    reader = csv.DictReader(read_lines(path), strict=False)
    rows = []
    for cells in reader:
        row = {name: _as_number(cell) for name, cell in cells.items() if name and cell}
        found = {name: value for name, value in row.items() if value is not None}
        if "step" in found:
            rows.append(found)
    return rows


def list_columns(rows: Sequence[Mapping[str, float]]) -> list[str]:
    """Return the columns that rows have, in the order in which they first appear."""
    return list(dict.fromkeys(name for row in rows for name in row))


def as_columns(rows: Sequence[Mapping[str, float]], names: Sequence[str]) -> Columns:
    """Return rows as columns of these names."""
    return {name: [row.get(name) for row in rows] for name in names}


def format_row(row: Mapping[str, float], columns: Sequence[str]) -> str:
    """Return a line of a CSV file; whole numbers have no decimal point."""
    return format_cells([_format_number(row[name]) if name in row else "" for name in columns])


def format_cells(cells: Sequence[str]) -> str:
    """Return cells as a line of a CSV file, quoted where they must be."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="").writerow(cells)
    return buffer.getvalue()


def _format_number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(value)


def _as_number(cell: str) -> float | None:
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
