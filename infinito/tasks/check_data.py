"""`task=check_data`: inspects pairs or conversations before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from infinito.config import ConversationsConf, RunConf
from infinito.data.conversations.checking import inspect_conversations
from infinito.data.conversations.checking import list_findings as list_conversations
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
    is_chat = isinstance(conf.data, ConversationsConf)
    noun = "conversation" if is_chat else "pair"
    report = inspect_conversations(conf) if is_chat else inspect_data(conf)
    list_lines = list_conversations if is_chat else list_findings
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "data_report.json", report)
    for name in ("training", "held_out"):
        print_table(console, f"{name.replace('_', '-')} {noun}s", list_lines(report[name]))
        for bad in report[name]["bad_rows"]["first"][:SHOWN_ROWS]:
            line = f"  row {bad['row']}: {bad['fault']}. {bad['mend']}"
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        console.print()
    shared = report["overlap"]
    print_table(
        console,
        f"held-out {noun}s that are trained on",
        {
            "same prompt": shared["prompts"]["count"],
            f"same {noun}": shared[f"{noun}s"]["count"],
        },
    )
    for note in report["notes"]:
        console.print(f"[yellow]note:[/] {escape(note)}", highlight=False, soft_wrap=True)
    path = folder / "data_report.json"
    console.print(f"\nwritten to {path}", markup=False, highlight=False, soft_wrap=True)
    for name in ("training", "held_out"):
        if not report[name][f"{noun}s"]:
            source, rows = report[name]["source"], report[name]["rows"]
            raise DataError(f"{source} has no usable {noun} (rows read: {rows}); {path} says why")
