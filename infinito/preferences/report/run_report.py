"""Collects what a preference tuning did and measured into its training report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infinito.config import PretrainedConf, RunConf
from infinito.data.conversations.rendering.messages import to_text
from infinito.data.conversations.rows.faults import count_kinds
from infinito.preferences.pairs.checking import measure_lengths
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.report.document import FORMAT, describe_held_out, describe_training
from infinito.preferences.report.verdict import Verdict
from infinito.preferences.scoring.figures import PreferenceScores
from infinito.preferences.training import PreferenceTraining

if TYPE_CHECKING:
    from infinito.preferences.preparation import Prepared


@dataclass
class Clock:
    """When a run began and how long its parts took."""

    started: str = field(
        default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"), init=False
    )
    started_s: float = field(default_factory=time.perf_counter, init=False)
    training_s: float = 0.0
    """Seconds of the training itself, validations included; 0 if it did not end."""
    reference_pairs_computed: int = 0
    """Pairs whose reference log-probabilities were not in the cache."""

    @property
    def duration_s(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self.started_s


@dataclass
class Outcome:
    """All that a report says of a run; the last three fields are set after training."""

    prepared: Prepared
    training: PreferenceTraining
    before: PreferenceScores
    verdict: Verdict | None = None
    after: PreferenceScores | None = None
    answers: list[tuple[TextPair, str, str]] = field(default_factory=list)
    """Held-out pairs with the policy's answers before and after training."""


def build_run_report(conf: RunConf, outcome: Outcome, clock: Clock) -> dict[str, Any]:
    """Return the training report, which is equal for equal runs except for its timing."""
    assert outcome.verdict is not None
    prepared, training = outcome.prepared, outcome.training
    duration_s = clock.duration_s
    return {
        "format": FORMAT,
        "status": outcome.verdict.status,
        "reason": outcome.verdict.reason,
        "notes": list(outcome.verdict.notes),
        "seed": conf.seed,
        "model": _describe_model(conf, prepared),
        "method": _describe_method(conf, prepared),
        "data": _describe_data(prepared),
        "samples": len(prepared.training.pairs),
        "held_out_samples": len(prepared.held_out.pairs),
        "epochs": (training.trainer.fit_loop.total_batch_idx + 1)
        / training.length.batches_per_epoch,
        "steps": training.trainer.global_step,
        **describe_training(training.log.history),
        "held_out": None
        if outcome.after is None
        else describe_held_out(outcome.before, outcome.after, conf.dpo.beta),
        "answers": [
            {
                "prompt": to_text(text.prompt),
                "category": text.category,
                "before": before,
                "after": after,
            }
            for text, before, after in outcome.answers
        ],
        "timing": {
            "started": clock.started,
            "duration_seconds": duration_s,
            "duration_minutes": duration_s / 60,
            "training_seconds": clock.training_s,
            "tokens_per_s": training.log.throughput.mean_tokens_per_s,
            "reference_pairs_computed": clock.reference_pairs_computed,
        },
    }


def build_summary(folder: Path, report: Mapping[str, Any]) -> dict[str, Any]:
    """Return the figures of a run that sweeps and comparisons read."""
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


def name_policy(conf: RunConf) -> str:
    """Return the last part of where the policy came from, or the run's name for a new one."""
    if conf.checkpoint is not None:
        return Path(conf.checkpoint).name
    return Path(str(conf.model.path)).name if isinstance(conf.model, PretrainedConf) else conf.name


def _describe_model(conf: RunConf, prepared: Prepared) -> dict[str, Any]:
    policy = prepared.policy
    return {
        "name": name_policy(conf),
        "type": policy.model.config.model_type,
        "origin": policy.origin,
        "parameters": policy.model.num_parameters(),
        "trained_parameters": policy.model.num_parameters(only_trainable=True),
        "tokens": len(policy.tokenizer),
    }


def _describe_method(conf: RunConf, prepared: Prepared) -> dict[str, Any]:
    return {
        **{
            each.name: getattr(conf.dpo, each.name)
            for each in fields(conf.dpo)
            if each.name != "reference_checkpoint"  # of `task=score_pairs`
        },
        "layout": asdict(prepared.layout),
        "learning_rate": conf.optimizer.lr,
        "batch_size": conf.data.batch_size,
        "accumulate": conf.trainer.accumulate,
    }


def _describe_data(prepared: Prepared) -> dict[str, Any]:
    training, held_out = prepared.training, prepared.held_out
    return {
        "training": training.source,
        "held_out": held_out.source,
        "dropped_training": count_kinds(training.bad),
        "dropped_held_out": count_kinds(held_out.bad),
        "lengths": measure_lengths(training.pairs, training.texts),
    }
