"""Faults of a configuration that no single key shows, each with the override that mends it."""

from __future__ import annotations

from infinito.cli.rules.data import chat_faults, data_faults, pair_faults
from infinito.cli.rules.hub import push_faults, revision_faults
from infinito.cli.rules.models import (
    chunked_loss_faults,
    head_faults,
    length_faults,
    metric_faults,
    objective_faults,
    pretrained_faults,
)
from infinito.cli.rules.preferences import preference_faults
from infinito.cli.rules.rl import rl_faults
from infinito.cli.rules.scores import score_faults
from infinito.cli.rules.tasks import (
    lean_optimizer_faults,
    logger_faults,
    optimizer_faults,
    pause_faults,
    pipeline_faults,
    process_faults,
    schedule_faults,
    task_faults,
)
from infinito.config import RunConf


def combination_faults(conf: RunConf) -> list[str]:
    """Return faults that no single key shows, each with the override that mends it."""
    checks = (
        metric_faults,
        head_faults,
        pretrained_faults,
        length_faults,
        objective_faults,
        chunked_loss_faults,
        data_faults,
        chat_faults,
        pair_faults,
        revision_faults,
        push_faults,
        preference_faults,
        rl_faults,
        schedule_faults,
        pause_faults,
        process_faults,
        optimizer_faults,
        logger_faults,
        lean_optimizer_faults,
        task_faults,
        pipeline_faults,
        score_faults,
    )
    return [fault for check in checks for fault in check(conf)]
