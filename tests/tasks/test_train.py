"""What the log of a training says of its attention, and what a run holds at its end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infinito.attention import Backend, Request, choose_backend, functional
from infinito.errors import ConfigError
from infinito.training.assembly import LanguageTraining, SavingTrainer
from infinito.training.report.results import summarize

Train = Callable[..., Path]


@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-mixed"])
def test_the_log_names_the_attention_that_serves(
    trained: Train, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    served = []

    def choose(request: Request, backend: str) -> Backend:
        chosen = choose_backend(request, backend)
        served.append((str(request.dtype).removeprefix("torch."), chosen.name))
        return chosen

    monkeypatch.setattr(functional, "choose_backend", choose)
    folder = trained("attention=l1", f"trainer.precision={precision}", "trainer.sample_tokens=0")
    dtype, name = served[0]  # the first step's
    log = (folder / "run.log").read_text()
    assert f"l1 attention on cpu ({dtype}, head dim 8) is served by {name}" in log


def test_a_backend_without_float64_is_refused_before_training(trained: Train) -> None:
    with pytest.raises(ConfigError, match=r"fused_cpu cannot serve l1.*float64"):
        trained("attention=l1", "trainer.precision=64-true", "attention.backend=fused_cpu")


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_the_best_model_is_opened_where_the_optimizer_was(
    trained: Train, monkeypatch: pytest.MonkeyPatch, optimizer: str
) -> None:
    """Gradients and state are gone before another copy of the weights comes."""
    held: list[Any] = []

    def look(folder: Path, training: LanguageTraining, saving: SavingTrainer) -> dict[str, Any]:
        held.extend(each.grad for each in training.model.parameters())
        held.extend(state for each in saving.trainer.optimizers for state in each.state)
        return summarize(folder, training, saving)

    monkeypatch.setattr("infinito.tasks.train.summarize", look)
    trained(f"optimizer={optimizer}", "optimizer.warmup_steps=1")
    assert held
    assert not any(each is not None for each in held)
