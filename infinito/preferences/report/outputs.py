"""Writes what a preference tuning leaves in its folder: report, plots, summary, tuned policy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from infinito.config import PretrainedConf, RunConf
from infinito.hub import names_a_folder
from infinito.models.gguf.weights import write_gguf
from infinito.models.model_folder import export
from infinito.models.trained import Trained
from infinito.pages.run_page import write_page_or_warn
from infinito.preferences.report.curves import draw_curves, save_figures
from infinito.preferences.report.document import render_markdown
from infinito.preferences.report.model_card import render_model_card
from infinito.preferences.report.run_report import Clock, Outcome, build_run_report, build_summary
from infinito.preferences.report.screen import print_outcome
from infinito.preferences.report.sweep_table import compare_sweep
from infinito.run_folder.records import read_score, write_json
from infinito.run_folder.tables import print_page
from infinito.training.dashboards.dashboard import list_dashboards, show_end
from infinito.training.report.hyperparameters import list_hyperparameters, name_score

if TYPE_CHECKING:
    from infinito.preferences.preparation import Prepared


def write_outputs(
    conf: RunConf, folder: Path, outcome: Outcome, clock: Clock, console: Console
) -> float | None:
    """Write everything, print the verdict, and return the score; None for a failed run."""
    report = build_run_report(conf, outcome, clock)
    with console.status("drawing the curves"):
        pictures = save_figures(draw_curves(outcome.training.log.history), folder / "plots")
    write_json(folder / "training_report.json", report)
    (folder / "training_report.md").write_text(render_markdown(report), encoding="utf-8")
    if outcome.after is None:
        write_page_or_warn(folder)
        console.print(f"\nthe report is in {folder / 'training_report.md'}", highlight=False)
        compare_sweep(console, folder)
        return None
    summary = build_summary(folder, report)
    write_json(folder / "summary.json", summary)
    score = read_score(summary, conf.score)
    _show_in_dashboards(conf, outcome, pictures, report, score)
    with console.status("writing the policy and the page"):
        export_policy(conf, folder, outcome.prepared, report)
        page = write_page_or_warn(folder)
    print_page(console, page)
    print_outcome(console, folder, report, conf)
    compare_sweep(console, folder)
    return score


def export_policy(
    conf: RunConf, folder: Path, prepared: Prepared, report: Mapping[str, Any]
) -> None:
    """Write the policy as `dpo.export` says, each folder with its model card and the report."""
    policy = prepared.policy
    on_hub = isinstance(conf.model, PretrainedConf) and not names_a_folder(policy.origin)
    card = render_model_card(report, policy.origin if on_hub else None)
    if "adapter" in conf.dpo.export:
        policy.model.save_pretrained(folder / "adapter")
        policy.tokenizer.save_pretrained(folder / "adapter")
        _write_card(folder / "adapter", card, report)
    if {"model", "gguf"} & set(conf.dpo.export):
        export(Trained(policy.model, policy.tokenizer, folder), folder / "model")  # merges adapters
        _write_card(folder / "model", card, report)
    if "gguf" in conf.dpo.export:
        write_gguf(policy.model, policy.tokenizer, folder / "model.gguf")


def _write_card(folder: Path, card: str, report: Mapping[str, Any]) -> None:
    (folder / "README.md").write_text(card, encoding="utf-8")
    write_json(folder / "training_report.json", report)


def _show_in_dashboards(
    conf: RunConf,
    outcome: Outcome,
    pictures: Mapping[str, Any],
    report: Mapping[str, Any],
    score: float,
) -> None:
    trainer = outcome.training.trainer
    for board in list_dashboards(trainer):
        for name, pixels in pictures.items():
            board.show_picture(f"report/{name}", pixels, trainer.global_step)
        text = render_markdown({**report, "history": []})
        board.show_text("report", text, trainer.global_step)
    show_end(trainer, list_hyperparameters(conf), name_score(conf), score)
