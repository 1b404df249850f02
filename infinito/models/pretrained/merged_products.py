"""peft's LoRA layers with the products of base and adapter merged: the same sums, fewer passes.

peft writes the adapter's output, scales it and adds it to the base's, three passes over a tensor of
the layer's output, and as many again backwards. Here each is added as it is multiplied.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from infinito.extras import require_extra


def merge_products(model: PreTrainedModel) -> None:
    """Give the LoRA layers of a model this way to compute; what they hold stays peft's."""
    require_extra("lora")
    from peft.tuners.lora import Linear

    class MergedLinear(Linear):
        """A layer of peft that computes by `AdaptedProduct` where that is the same."""

        def forward(self, x: Tensor, *arguments: Any, **named: Any) -> Tensor:
            """Return base and adapter applied to x (..., in)."""
            name = _single_adapter(self, x) if not arguments and not named else None
            if name is None:
                found: Tensor = super().forward(x, *arguments, **named)
                return found
            dropout = self.lora_dropout[name]
            drops = self.training and isinstance(dropout, nn.Dropout) and dropout.p > 0
            base = self.base_layer
            product: Tensor = AdaptedProduct.apply(
                x,
                dropout(x) if drops else None,
                base.weight.T if isinstance(base, Conv1D) else base.weight,
                base.bias,
                self.lora_A[name].weight,
                self.lora_B[name].weight,
                self.scaling[name],
            )
            return product

    for module in model.modules():
        if type(module) is Linear:
            module.__class__ = MergedLinear


def _single_adapter(layer: Any, x: Tensor) -> str | None:
    """Return the name of a layer's one plain adapter; None where peft must compute it."""
    base, names = layer.base_layer, layer.active_adapters
    if layer.disable_adapters or layer.merged or len(names) != 1 or names[0] not in layer.lora_A:
        return None
    name: str = names[0]
    plain = (
        type(base) in (nn.Linear, Conv1D)
        and not base.weight.requires_grad
        and not base._forward_hooks
        and not base._forward_pre_hooks
        and name not in layer.lora_variant
        and layer.lora_B[name].bias is None
        and x.dtype == base.weight.dtype == layer.lora_A[name].weight.dtype
        and not torch.is_autocast_enabled(x.device.type)
    )
    return name if plain else None


class AdaptedProduct(torch.autograd.Function):
    """x Wᵀ + b + s (x̃ Aᵀ) Bᵀ, where x̃ is x with dropout, and no gradient goes to W and b.

    Source: Hu et al. 2021, LoRA, arXiv:2106.09685, equation 3.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dropped: Tensor | None,
        weight: Tensor,
        bias: Tensor | None,
        down: Tensor,
        up: Tensor,
        scale: float,
    ) -> Tensor:
        inner = (x if dropped is None else dropped).flatten(0, -2)  # (tokens, in)
        output = torch.nn.functional.linear(x, weight, bias)
        low = inner @ down.T  # (tokens, rank)
        output.view(-1, output.shape[-1]).addmm_(low, up.T, alpha=scale)
        ctx.save_for_backward(inner, low, weight, down, up)
        ctx.scale, ctx.shape, ctx.drops = scale, x.shape, dropped is not None
        return output

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inner, low, weight, down, up = ctx.saved_tensors
        flat = gradient.flatten(0, -2)  # (tokens, out)
        by_low = (flat @ up).mul_(ctx.scale)  # (tokens, rank)
        by_x = by_dropped = None
        if ctx.needs_input_grad[0]:
            by_x = flat @ weight
            if not ctx.drops:
                by_x.addmm_(by_low, down)
            by_x = by_x.view(ctx.shape)
        if ctx.drops and ctx.needs_input_grad[1]:
            by_dropped = (by_low @ down).view(ctx.shape)
        by_down = by_low.T @ inner if ctx.needs_input_grad[4] else None
        by_up = (flat.T @ low).mul_(ctx.scale) if ctx.needs_input_grad[5] else None
        return by_x, by_dropped, None, None, by_down, by_up, None
