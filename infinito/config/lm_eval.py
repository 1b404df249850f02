"""The schema of the `lm_eval` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited


@dataclass
class LmEvalConf:
    """Which benchmarks `task=lm_eval` runs, and how."""

    tasks: list[str] = limited([])
    """Names of the harness's tasks or groups, or of those in `tasks_path`."""
    tasks_path: str | None = None
    """Folder of task files (`*.yaml`) of your own; their `!function` entries run Python code."""
    shots: int | None = limited(None, at_least=0)
    """Examples before each question; null for what each task says."""
    limit: int | None = limited(None, at_least=1)
    """First documents of each task; null for all."""
    batch_size: int = limited(8, at_least=1)
    """Sequences that the model reads at once; a model with a memory reads one."""
    chat: bool = False
    """Put the questions through the model's chat template."""
