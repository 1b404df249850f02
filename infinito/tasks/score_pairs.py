"""`task=score_pairs`: measures which answers a trained model prefers, without training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from infinito.config import RunConf
from infinito.data.conversations.rows.faults import count_kinds
from infinito.device import choose_device
from infinito.models.trained import open_trained
from infinito.pages.run_page import write_page_or_warn
from infinito.preferences.scoring.pinned_pairs import check_pairs
from infinito.preferences.scoring.scored_pairs import (
    build_score_report,
    check_tokenizers,
    list_pairs,
    read_scored_pairs,
    score_pairs,
)
from infinito.run_folder.folder import record_config
from infinito.run_folder.pins import with_absolute_paths
from infinito.run_folder.records import write_json
from infinito.run_folder.tables import print_table
from infinito.wording import escape_controls


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Write pair_scores.json in `folder`, print it, and return the accuracy."""
    console = Console()
    device = choose_device(conf)
    policy = open_trained(str(conf.checkpoint)).to(device)
    reference = None
    if conf.dpo.reference_checkpoint is not None:
        reference = open_trained(conf.dpo.reference_checkpoint).to(device)
        check_tokenizers(policy, reference)
    pairs = read_scored_pairs(conf, policy)
    check_pairs(policy.record, with_absolute_paths(asdict(conf))["data"], pairs)
    scores = score_pairs(conf, policy, reference, pairs)
    report = {
        "policy": str(conf.checkpoint),
        "reference": conf.dpo.reference_checkpoint,
        "source": pairs.source,
        "dropped_rows": count_kinds(pairs.bad),
        "beta": conf.dpo.beta,
        **build_score_report(scores, conf.dpo.beta, has_reference=reference is not None),
        "pairs": list_pairs(pairs.pairs, scores, conf.dpo.beta),
    }
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "pair_scores.json", report)
    print_scores(console, report, has_reference=reference is not None)
    write_page_or_warn(folder)
    written = f"\nwritten to {folder}: pair_scores.json, report.html"
    console.print(written, highlight=False, soft_wrap=True)
    return float(report["overall"]["accuracy"]["share"])


def print_scores(console: Console, report: dict[str, Any], has_reference: bool) -> None:
    """Print accuracy and margin, overall and by category, beside the length baselines."""
    table = Table(title=escape(escape_controls(report["source"])), title_justify="left", box=None)
    for column in ("", "pairs", "accuracy", "95 % interval", "margin", "95 % interval"):
        table.add_column(column)
    for name, found in {"all": report["overall"], **report["by_category"]}.items():
        accuracy, margin = found["accuracy"], found["margin"]
        table.add_row(
            escape(escape_controls(name)),
            str(found["pairs"]),
            f"{accuracy['share']:.3f}",
            f"{accuracy['low']:.3f} to {accuracy['high']:.3f}",
            f"{margin['mean']:+.3f}",
            f"{margin['low']:+.3f} to {margin['high']:+.3f}",
        )
    console.print(table)
    correlation = report["reward_length_correlation"]
    rows = {
        name.replace("_", " "): f"{found['share']:.3f}"
        for name, found in report["baselines"].items()
    }
    rows["margin and length"] = "no correlation defined" if correlation is None else correlation
    if not has_reference:
        rows["reference"] = "none: rewards are β · log-probability. `dpo.reference_checkpoint=…`"
    print_table(console, "\nwhat length alone would score", rows)
