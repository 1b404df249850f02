"""The chunked loss against cross entropy of the model's own logits."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from infinito.errors import ConfigError
from infinito.models.log_probs import token_log_probs
from infinito.models.log_probs.chunked_loss import check_head, chunked_cross_entropy
from infinito.objectives.language import cross_entropy
from tests.models.tiny_models import CONFIGS, VOCAB, tokens


def build(name: str) -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(CONFIGS[name]).eval()


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "computed again"])
def test_loss_and_gradients(name: str, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In chunks of 7 tokens, of which the last is smaller."""
    monkeypatch.setattr(token_log_probs, "CHUNK_BYTES", 7 * VOCAB * 4)
    if not kept:
        monkeypatch.setattr(token_log_probs, "KEPT_BYTES", 0)
    model, ids = build(name), tokens()
    weights = list(model.parameters())
    found = chunked_cross_entropy(model, ids[:, :-1], ids[:, 1:])
    logits = model(input_ids=ids[:, :-1], use_cache=False).logits
    wanted = cross_entropy(logits, ids[:, 1:])
    torch.testing.assert_close(found, wanted)
    for mine, theirs in zip(
        torch.autograd.grad(found, weights), torch.autograd.grad(wanted, weights), strict=True
    ):
        torch.testing.assert_close(mine, theirs, atol=1e-6, rtol=1e-4)


def test_the_head_works_as_before_afterwards() -> None:
    model, ids = build("distance"), tokens()
    before = model(input_ids=ids).logits
    chunked_cross_entropy(model, ids[:, :-1], ids[:, 1:])
    assert torch.equal(model(input_ids=ids).logits, before)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_linear_head_passes_the_trial(name: str) -> None:
    model = build(name).train()
    check_head(model)
    assert model.training


def test_other_heads_are_refused() -> None:
    model = build("gpt2")
    model.lm_head.register_forward_hook(lambda _, __, logits: 2 * logits)
    with pytest.raises(ConfigError, match=r"`trainer.chunked_loss`=true: GPT2LMHeadModel makes"):
        check_head(model)
    model = build("gpt2")
    model.lm_head = nn.Sequential(nn.Linear(16, VOCAB))
    with pytest.raises(ConfigError, match=r"Use `trainer.chunked_loss=false`"):
        check_head(model)
