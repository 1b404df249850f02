"""`task=check_data`: inspects preference pairs before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infinito.config import RunConf
from infinito.errors import DataError
from infinito.preferences.report.data_report import inspect_data, list_findings
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import write_json
from infinito.run_folder.tables import print_table

SHOWN_ROWS = 5


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write data_report.json in `folder` and print it.

    Raises:
        DataError: no row of a set can be used; raised after the report is written.
    """
    console = Console()
    report = inspect_data(conf)
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "data_report.json", report)
    for name in ("training", "held_out"):
        print_table(console, f"{name.replace('_', '-')} pairs", list_findings(report[name]))
        for bad in report[name]["bad_rows"]["first"][:SHOWN_ROWS]:
            line = f"  row {bad['row']}: {bad['fault']}. {bad['mend']}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print()
    shared = report["overlap"]
    print_table(
        console,
        "held-out pairs that are trained on",
        {"same prompt": shared["prompts"]["count"], "same pair": shared["pairs"]["count"]},
    )
    for note in report["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    path = folder / "data_report.json"
    console.print(f"\nwritten to {path}", markup=False, highlight=False, soft_wrap=True)
    for name in ("training", "held_out"):
        if not report[name]["pairs"]:
            raise DataError(
                f"{report[name]['source']} has no usable pair (rows read: {report[name]['rows']}); "
                f"{path} says why"
            )
