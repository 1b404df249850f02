"""Merged products of LoRA layers are peft's outputs and gradients."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, GPT2Config, LlamaConfig

from infinito.models.pretrained import merged_products
from infinito.models.pretrained.lora import (
    LoraSettings,
    adapters_off,
    add_lora,
    merge_adapters,
)

IDS = torch.tensor([[3, 5, 7, 1, 4, 2], [6, 2, 9, 9, 0, 3]])
CONFIGS = {
    "gpt2": GPT2Config(vocab_size=11, n_positions=16, n_embd=16, n_layer=2, n_head=2),
    "llama": LlamaConfig(
        vocab_size=11,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
    ),
}


def build(name: str, merged: bool, **settings: Any) -> Any:
    """Return a model whose adapters change something, by merged products or by peft's own."""
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(CONFIGS[name])
    add_lora(model, LoraSettings(rank=2, alpha=6.0, **settings))
    with torch.no_grad():
        for key, each in model.named_parameters():
            if "lora_B" in key:
                each.normal_()
    if not merged:
        from peft.tuners.lora import Linear

        for module in model.modules():
            if isinstance(module, Linear):
                module.__class__ = Linear
    return model.train()


def outcome(model: nn.Module) -> list[Tensor]:
    """Return logits and the gradients of the adapters."""
    torch.manual_seed(2)
    logits = model(input_ids=IDS).logits
    trained = [each for each in model.parameters() if each.requires_grad]
    return [logits.detach(), *torch.autograd.grad(logits.square().sum(), trained)]


def agree(found: list[Tensor], wanted: list[Tensor]) -> None:
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_outputs_and_gradients_are_those_of_peft(name: str, dropout: float) -> None:
    """With the same masks of dropout."""
    for prepare in (lambda model: model, lambda model: model.double()):
        models = [prepare(build(name, merged, dropout=dropout)) for merged in (True, False)]
        agree(*(outcome(each) for each in models))


def test_every_adapted_layer_is_computed_so(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    apply = merged_products.AdaptedProduct.apply

    def noting(*arguments: Any) -> Any:
        calls.append(1)
        return apply(*arguments)

    monkeypatch.setattr(merged_products.AdaptedProduct, "apply", noting)
    build("llama", True)(input_ids=IDS)
    assert len(calls) == 2 * 7


def test_gradients_by_finite_differences() -> None:
    torch.manual_seed(0)
    x, down, up = (
        torch.randn(*size, dtype=torch.float64, requires_grad=True)
        for size in ((2, 3, 4), (2, 4), (5, 2))
    )
    weight, bias = torch.randn(5, 4).double(), torch.randn(5).double()

    def product(x: Tensor, down: Tensor, up: Tensor, dropped: Tensor | None = None) -> Any:
        return merged_products.AdaptedProduct.apply(x, dropped, weight, bias, down, up, 1.5)

    assert torch.autograd.gradcheck(product, (x, down, up))
    assert torch.autograd.gradcheck(product, (x, down, up, x.detach().clone().requires_grad_()))


def test_adapters_off_merged_copied_and_in_lower_precision() -> None:
    model, other = (build("llama", merged).eval() for merged in (True, False))
    with torch.no_grad(), adapters_off(model), adapters_off(other):
        assert torch.equal(model(input_ids=IDS).logits, other(input_ids=IDS).logits)
    agree(outcome(copy.deepcopy(model)), outcome(other))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(input_ids=IDS).logits, other(input_ids=IDS).logits)
    wanted = outcome(other)[0]
    torch.testing.assert_close(
        merge_adapters(model)(input_ids=IDS).logits, wanted, rtol=1e-4, atol=1e-4
    )
