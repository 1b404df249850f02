"""What a training says of itself: figures, their pace, displacement, and a loss not finite."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path

import pytest
import torch

from infinito.errors import NonFiniteError
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.reference.policies import (
    CopyReference,
    FreeReference,
    PrecomputedReference,
)
from infinito.preferences.scoring.layouts import arrange
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from tests.preferences.dpo_module.toy_training import PAIRS, SHARED, task_of, trained
from tests.preferences.pair_models import make

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


def test_figures_by_hand() -> None:
    """Rewards are β times the ratios that `forward` gives; accuracy counts the larger ones."""
    model = make("llama")
    task = task_of(model, CopyReference(make("llama", seed=1)), statistics_every=1)
    batch = arrange(PAIRS, "shared")
    task.training_step(batch, 0)
    means = task.training_means.take()
    with torch.no_grad():
        pairs, tokens = task(batch, statistics=True)
    ratio = pairs.chosen_ratio
    assert means["rewards/chosen"] == pytest.approx(0.1 * float(ratio.mean()))
    assert means["rewards/margins"] == pytest.approx(
        means["rewards/chosen"] - means["rewards/rejected"]
    )
    assert means["rewards/accuracies"] == float((pairs.margin > 0).double().mean())
    assert means["logps/rejected"] == pytest.approx(float(pairs.rejected.mean()))
    assert means["displacement/chosen_fell"] == float((ratio < 0).double().mean())
    per_token = -ratio / torch.tensor([len(pair.chosen_ids) for pair in PAIRS])
    assert means["displacement/kl_chosen"] == pytest.approx(float(per_token.mean()))
    assert tokens.entropy is not None
    assert means["entropy"] == pytest.approx(float(tokens.entropy.mean()), rel=1e-6)
    assert {"logits/chosen", "logits/rejected", "mean_token_accuracy", "loss"} <= set(means)


def test_token_figures_come_at_their_pace() -> None:
    model = make("llama")
    task = task_of(model, FreeReference(), statistics_every=2)
    task.training_step(arrange(PAIRS, "shared"), 0)
    assert "entropy" not in task.training_means.take()
    task.training_step(arrange(PAIRS, "shared"), 1)
    assert "entropy" in task.training_means.take()


def test_displacement_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """apo_down asks for just that: both answers fall, the rejected one more."""
    model = make("llama")
    objective = PreferenceObjective({"apo_down": 1.0}, beta=0.05)
    task = task_of(model, CopyReference(model), objective=objective)
    with caplog.at_level(logging.WARNING, logger="infinito"):
        log = trained(task, tmp_path, 12)
    held_out = [point for point in log.history if "val/rewards/margins" in point]
    displaced = [p for p in held_out if p["val/rewards/margins"] > 0 > p["val/rewards/chosen"]]
    warnings = [each for each in caplog.messages if "less likely than under" in each]
    assert displaced
    assert len(warnings) == 1


def test_a_loss_that_is_not_finite_stops_and_leaves_the_batch(tmp_path: Path) -> None:
    model = make("llama")
    table = tabulate_log_probs(model, PAIRS, SHARED)
    table[3, 0] = math.nan
    task = task_of(model, PrecomputedReference(), fault_folder=tmp_path / "faults")
    before = [each.detach().clone() for each in model.parameters()]
    with pytest.raises(NonFiniteError, match=r"the loss is nan on the pairs of rows .*3"):
        trained(task, tmp_path, 1, table=table, batch_size=8)
    saved = json.loads((tmp_path / "faults/batch_not_finite_rank0.json").read_text())
    assert sorted(saved["rows"]) == list(range(8))
    assert sum(len(part) for part in saved["input_ids"]) == 8
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_what_is_left_of_the_batches_is_logged(tmp_path: Path) -> None:
    model = make("llama")
    log = trained(task_of(model, CopyReference(model)), tmp_path, 5, every=3)
    assert [each["step"] for each in log.history if "train/loss" in each] == [3, 5]
