"""The gradient of a weight that embedding and head share is autograd's, in one tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from infinito.models.log_probs import tied_gradient
from infinito.models.log_probs.chosen_tokens import score_tokens

VOCAB, DIM = 40, 16
IDS = torch.tensor([[3, 5, 5, 0, 7], [5, 9, 3, 3, 0]])
"""Tokens repeat within a row and between rows."""


def build(**settings: Any) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCAB,
        hidden_size=DIM,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        **{"tie_word_embeddings": True, **settings},
    )
    return LlamaForCausalLM(config).double()


def gradients(model: nn.Module, calls: int, tokens: int) -> list[Tensor]:
    """Return the gradients of all weights; each call takes the rows, and scores so many tokens."""
    torch.manual_seed(1)
    targets = torch.randint(VOCAB, (calls * tokens,))
    positions = [torch.arange(tokens)] * calls
    inputs = [{"input_ids": IDS.roll(number, 1)} for number in range(calls)]
    scores = score_tokens(model, inputs, positions, targets).log_probs
    return list(torch.autograd.grad(scores.square().sum(), list(model.parameters())))


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Tensor]]:
    """Gradients by autograd alone."""

    def compute(*arguments: Any) -> list[Tensor]:
        with monkeypatch.context() as context:
            context.setattr(tied_gradient, "_looks_up", lambda _: False)
            return gradients(*arguments)

    return compute


@pytest.mark.parametrize("settings", [{}, {"pad_token_id": 5}], ids=["plain", "padding"])
@pytest.mark.parametrize(("calls", "tokens"), [(1, 10), (2, 4), (3, 9)])
def test_it_is_that_of_autograd(
    settings: dict[str, Any], calls: int, tokens: int, plain: Callable[..., list[Tensor]]
) -> None:
    """27 tokens are more than the width, so that the head's part is no product made later."""
    model = build(**settings)
    for found, wanted in zip(
        gradients(model, calls, tokens), plain(model, calls, tokens), strict=True
    ):
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-14)


def test_it_waits_only_for_a_plain_lookup_of_a_shared_weight() -> None:
    def waits(model: nn.Module) -> bool:
        with tied_gradient.tied_gradient(model, 1) as tied:
            return tied is not None

    assert waits(build())
    assert not waits(build(tie_word_embeddings=False))
    hooked, frozen = build(), build().requires_grad_(False)
    hooked.get_input_embeddings().register_forward_hook(lambda _, __, output: 2 * output)
    assert not waits(hooked)
    assert not waits(frozen)
    with torch.no_grad():
        assert not waits(build())


def test_a_model_that_looks_tokens_up_twice_gets_autograds_gradient() -> None:
    """Its second lookup never has a backward pass, for which the head would wait in vain."""

    class Twice(LlamaForCausalLM):
        def forward(self, *arguments: Any, **named: Any) -> Any:
            self.get_input_embeddings()(IDS)
            return super().forward(*arguments, **named)

    model = build()
    wanted = gradients(model, 1, 10)
    model.__class__ = Twice
    for found, each in zip(gradients(model, 1, 10), wanted, strict=True):
        torch.testing.assert_close(found, each, rtol=1e-12, atol=1e-14)


def test_a_gradient_left_behind_is_an_error() -> None:
    model = build()
    with tied_gradient.tied_gradient(model, 1) as tied:
        hidden = model.model(input_ids=IDS).last_hidden_state.detach().requires_grad_()
    assert tied is not None
    from infinito.models.log_probs.token_log_probs import token_scores

    head = model.get_output_embeddings().weight
    scores = token_scores(hidden[0], head, None, IDS[0], tied=tied)
    with pytest.raises(AssertionError, match="did not follow"):
        scores.log_probs.sum().backward()
