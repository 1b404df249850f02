"""What a preference tuning leaves in its folder: report, plots, summary, exported policy."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from infinito.config import PretrainedConf, RunConf
from infinito.hub import names_a_folder
from infinito.models.gguf.weights import write_gguf
from infinito.models.trained import Trained, export
from infinito.preferences.assembly import require_pairs
from infinito.preferences.pairs.checking import measure_lengths
from infinito.preferences.pairs.text_pair import TextPair, count_kinds, to_text
from infinito.preferences.report.curves import draw_curves, save_figures
from infinito.preferences.report.document import (
    FORMAT,
    describe_held_out,
    describe_training,
    render_markdown,
)
from infinito.preferences.report.model_card import render_model_card
from infinito.preferences.report.sweep_table import render_sweep_table
from infinito.preferences.report.verdict import Verdict
from infinito.preferences.scoring.figures import PreferenceScores
from infinito.preferences.training import PreferenceTraining
from infinito.run_folder.folder import quoted
from infinito.run_folder.records import flatten, score_of, write_json
from infinito.run_folder.tables import print_next, print_table
from infinito.storage import locked, written_whole
from infinito.wording import format_override_value, format_value

if TYPE_CHECKING:
    from infinito.preferences.preparation import Prepared


@dataclass
class Clock:
    """When a run began and how long its parts took."""

    started: str
    started_s: float
    training_from_s: float = 0.0
    training_to_s: float = 0.0
    duration_s: float = 0.0
    reference_pairs_computed: int = 0

    def stopped(self) -> Clock:
        """The same, its duration taken."""
        self.duration_s = time.perf_counter() - self.started_s
        return self


@dataclass
class Outcome:
    """All that a report tells of a run; what comes after training is set then."""

    prepared: Prepared
    training: PreferenceTraining
    before: PreferenceScores
    verdict: Verdict | None = None
    after: PreferenceScores | None = None
    answers: list[tuple[TextPair, str, str]] = field(default_factory=list)


def write_outputs(
    conf: RunConf, folder: Path, outcome: Outcome, clock: Clock, console: Console
) -> float | None:
    """Writes everything, prints the verdict, and returns the score; None for a failed run."""
    report = build_run_report(conf, outcome, clock)
    history = outcome.training.log.history
    pictures = save_figures(draw_curves(history), folder / "plots")
    write_json(folder / "training_report.json", report)
    (folder / "training_report.md").write_text(render_markdown(report), encoding="utf-8")
    if outcome.after is None:
        console.print(f"\nthe report is in {folder / 'training_report.md'}", highlight=False)
        compare_sweep(console, folder)
        return None
    summary = build_summary(folder, report)
    write_json(folder / "summary.json", summary)
    score = score_of(summary, conf.score)
    _log_to_tensorboard(conf, outcome, pictures, report, score)
    export_policy(conf, folder, outcome.prepared, report)
    print_outcome(console, folder, report, conf)
    compare_sweep(console, folder)
    return score


def build_run_report(conf: RunConf, outcome: Outcome, clock: Clock) -> dict[str, Any]:
    """The training report; equal for equal runs but for its timing."""
    assert outcome.verdict is not None
    prepared, training = outcome.prepared, outcome.training
    policy, data = prepared.policy, prepared.training
    batches = training.trainer.fit_loop.total_batch_idx + 1
    said = [
        {"prompt": to_text(text.prompt), "category": text.category, "before": old, "after": new}
        for text, old, new in outcome.answers
    ]
    dpo = conf.dpo
    return {
        "format": FORMAT,
        "status": outcome.verdict.status,
        "reason": outcome.verdict.reason,
        "notes": list(outcome.verdict.notes),
        "seed": conf.seed,
        "model": {
            "name": name_policy(conf),
            "type": policy.model.config.model_type,
            "origin": policy.origin,
            "parameters": policy.model.num_parameters(),
            "trained_parameters": policy.model.num_parameters(only_trainable=True),
            "tokens": len(policy.tokenizer),
        },
        "method": {
            **{key: value for key, value in asdict(dpo).items() if key != "reference_checkpoint"},
            "layout": asdict(prepared.layout),
            "learning_rate": conf.optimizer.lr,
            "batch_size": conf.data.batch_size,
            "accumulate": conf.trainer.accumulate,
        },
        "data": {
            "training": data.source,
            "held_out": prepared.held_out.source,
            "dropped_training": count_kinds(data.bad),
            "dropped_held_out": count_kinds(prepared.held_out.bad),
            "lengths": measure_lengths(data.pairs, data.texts),
        },
        "samples": len(data.pairs),
        "held_out_samples": len(prepared.held_out.pairs),
        "epochs": batches / training.length.batches_per_epoch,
        "steps": training.trainer.global_step,
        **describe_training(training.log.history),
        "held_out": None
        if outcome.after is None
        else describe_held_out(outcome.before, outcome.after, dpo.beta),
        "answers": said,
        "timing": {
            "started": clock.started,
            "duration_seconds": clock.duration_s,
            "duration_minutes": clock.duration_s / 60,
            "training_seconds": max(0.0, clock.training_to_s - clock.training_from_s),
            "tokens_per_s": training.log.mean_tokens_per_s,
            "reference_pairs_computed": clock.reference_pairs_computed,
        },
    }


def name_policy(conf: RunConf) -> str:
    """What the policy is called."""
    if conf.checkpoint is not None:
        return Path(conf.checkpoint).name
    return Path(str(conf.model.path)).name if isinstance(conf.model, PretrainedConf) else conf.name


def build_summary(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a run that sweeps and comparisons read."""
    after = report["held_out"]["after"]
    losses = [each["val/loss"] for each in report["history"] if "val/loss" in each]
    return {
        "run": str(folder),
        "status": report["status"],
        "held_out/margin": after["margin"]["mean"],
        "held_out/margin_low": after["margin"]["low"],
        "held_out/margin_high": after["margin"]["high"],
        "held_out/accuracy": after["accuracy"]["share"],
        "held_out/raw_accuracy": after["raw_accuracy"]["share"],
        "val/loss": losses[-1] if losses else None,
        "train/loss": report["final_loss"],
        "steps": report["steps"],
        "elapsed_s": report["timing"]["duration_seconds"],
    }


def export_policy(
    conf: RunConf, folder: Path, prepared: Prepared, report: Mapping[str, Any]
) -> None:
    """Writes the policy in the forms that `dpo.export` names, each with card and report."""
    policy = prepared.policy
    on_hub = isinstance(conf.model, PretrainedConf) and not names_a_folder(policy.origin)
    base = policy.origin if on_hub else None
    card = render_model_card(report, base)
    if "adapter" in conf.dpo.export:
        policy.model.save_pretrained(folder / "adapter")
        policy.tokenizer.save_pretrained(folder / "adapter")
        _describe(folder / "adapter", card, report)
    if {"model", "gguf"} & set(conf.dpo.export):
        export(Trained(policy.model, policy.tokenizer, folder), folder / "model")  # merges adapters
        _describe(folder / "model", card, report)
    if "gguf" in conf.dpo.export:
        write_gguf(policy.model, policy.tokenizer, folder / "model.gguf")


def compare_sweep(console: Console, folder: Path) -> None:
    """Writes comparison.md, a line for each run that has ended of the sweep, and prints it.

    Args:
        folder: A run's; those of a sweep have numbers as names, and others are left alone.
    """
    if not folder.name.isdigit():
        return
    sweep = folder.parent
    paths = sorted(sweep.glob("*/training_report.json"), key=lambda path: path.parent.name.zfill(9))
    reports = {path.parent.name: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    target = sweep / "comparison.md"
    text = render_sweep_table(reports)
    with locked(target), written_whole(target) as file:
        file.write(f"{text}\n".encode())
    console.print(f"\n[bold]the sweep so far[/]  {target}", highlight=False, soft_wrap=True)
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def _describe(folder: Path, card: str, report: Mapping[str, Any]) -> None:
    (folder / "README.md").write_text(card, encoding="utf-8")
    write_json(folder / "training_report.json", report)


def _log_to_tensorboard(
    conf: RunConf,
    outcome: Outcome,
    pictures: Mapping[str, Any],
    report: Mapping[str, Any],
    score: float,
) -> None:
    logger: Any = outcome.training.trainer.logger
    step = outcome.training.trainer.global_step
    for name, pixels in pictures.items():
        logger.experiment.add_image(f"report/{name}", pixels, step, dataformats="HWC")
    logger.experiment.add_text("report", render_markdown({**report, "history": []}), step)
    logger.log_hyperparams(flatten(asdict(conf)), {f"final/{conf.score}": score}, step=step)
    logger.finalize("success")


def print_outcome(console: Console, folder: Path, report: Mapping[str, Any], conf: RunConf) -> None:
    """Prints verdict, figures, one pair of answers, and what can be done next."""
    colour = {"ok": "green", "no_improvement": "yellow"}.get(report["status"], "red")
    console.print(f"\n[bold {colour}]{report['status']}[/]: {report['reason']}", highlight=False)
    for note in report["notes"]:
        console.print(f"  [dim]note:[/] {note}", highlight=False)
    after = report["held_out"]["after"]
    rows: dict[str, Any] = {
        "training loss": " → ".join(
            format_value(report[f"{when}_loss"]) for when in ("initial", "final")
        ),
        "training accuracy": report["final_accuracy"],
        "held-out margin": after["margin"]["mean"],
        "held-out accuracy": f"{after['accuracy']['share']:.3f} "
        f"({after['accuracy']['low']:.3f} to {after['accuracy']['high']:.3f})",
    }
    for name, each in report["held_out"]["baselines"].items():
        rows[name.replace("_", " ")] = f"{each['share']:.3f}"
    print_table(console, "", rows)
    for said in report["answers"][:1]:
        console.print(f"\n[bold]{escape(said['prompt'])}[/]", highlight=False)
        console.print(f"before: {said['before'].strip()}", markup=False, highlight=False)
        console.print(f"after:  {said['after'].strip()}", markup=False, highlight=False)
    name, dpo = "python -m infinito.run", folder / "training_report.md"
    start = folder / "start" if (folder / "start").is_dir() else conf.checkpoint
    if isinstance(conf.model, PretrainedConf) and conf.checkpoint is None:
        start = conf.model.path
    same = shlex.join([f"dpo.reference_checkpoint={start}", *list_reading_overrides(conf)])
    print_next(
        console,
        [
            (f"less {dpo}", "the report: every answer, category and interval"),
            (
                f"{name} task=score_pairs data=pairs checkpoint={folder / 'model'} {same}",
                "score other pairs by data.path=…",
            ),
            (f"tensorboard --logdir {conf.runs_dir}", "curves"),
        ],
    )


def list_reading_overrides(conf: RunConf) -> list[str]:
    """How this run reads its pairs, where that is not as conf/data/pairs.yaml has it."""
    data = require_pairs(conf)
    usual = {
        "block_size": 256,
        "truncate": "never",
        "chat": True,
        "chat_template": "plain",
        "end_token": None,
    }
    own = {name: getattr(data, name) for name in usual}
    return [
        f"data.{name}={quoted(value) if isinstance(value, str) else format_override_value(value)}"
        for name, value in own.items()
        if value != usual[name]
    ]
