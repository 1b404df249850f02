"""References: a frozen copy, adapters switched off, a table, or none."""

from __future__ import annotations

import peft
import pytest
import torch

from infinito.errors import ConfigError
from infinito.preferences.reference.policies import (
    AdapterOffReference,
    CopyReference,
    FreeReference,
    PrecomputedReference,
)
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layouts import arrange
from tests.preferences.pair_models import make, random_pairs

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

PAIRS = random_pairs(3)
BATCH = arrange(PAIRS, "shared")


def shift(model: torch.nn.Module) -> None:
    """Change every weight that is trained."""
    with torch.no_grad():
        for each in model.parameters():
            if each.requires_grad:
                each.add_(0.1)


def test_a_copy_stays_what_the_policy_was() -> None:
    policy = make("llama")
    reference = CopyReference(policy)
    before = reference(BATCH)
    shift(policy)
    assert torch.equal(reference(BATCH), before)
    assert not torch.allclose(score_answers(policy, BATCH, "fused").log_probs, before)
    assert not any(each.requires_grad for each in reference.model.parameters())


def test_adapters_off_is_the_model_without_and_leaves_training_on() -> None:
    plain = CopyReference(make("llama"))(BATCH)
    config = peft.LoraConfig(
        r=2, target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM"
    )
    policy = peft.get_peft_model(make("llama"), config).train()
    shift(policy)
    assert torch.equal(AdapterOffReference(policy)(BATCH), plain)
    assert policy.training
    assert not torch.allclose(score_answers(policy.eval(), BATCH, "fused").log_probs, plain)


def test_adapters_off_needs_adapters() -> None:
    with pytest.raises(ConfigError, match="needs a policy with adapters, and this one has none"):
        AdapterOffReference(make("llama"))


def test_a_table_is_read_from_the_batch() -> None:
    table = torch.arange(6, dtype=torch.float64)
    read = PrecomputedReference()(arrange(PAIRS, "shared", reference=table))
    assert torch.equal(read, table)
    with pytest.raises(ConfigError, match="the pairs have no log-probabilities of the reference"):
        PrecomputedReference()(BATCH)


def test_no_reference_is_zero_for_every_answer() -> None:
    assert FreeReference()(BATCH).tolist() == [0.0] * 6
