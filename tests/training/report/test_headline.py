"""What the headline of a training says of its model."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinito.config import RunConf
from infinito.models.assembly import build_language_model
from infinito.training.report.headline import attention_choice


@pytest.mark.parametrize("memory", ["none", "integration"])
def test_the_log_tells_the_attention_inside_a_memory(
    configured: Callable[..., RunConf], memory: str
) -> None:
    run = configured(f"memory={memory}", "model.memory.segment=8", "attention=l1")
    model = build_language_model(run, 20, None)
    assert attention_choice(run, model).startswith("l1 attention on cpu")
