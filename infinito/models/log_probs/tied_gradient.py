"""The gradient of a weight that embedding and head share, made last, and in blocks of rows.

Autograd would make the head's part first, hold it while the activations of all layers are still
there, and give the embedding's part a tensor of the whole weight as well, of which a batch fills a
few hundred rows: half a GiB each with 150,000 tokens of 900 numbers. An optimizer that updates
weights in the backward pass takes the blocks as they are made, and no such tensor is held at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

ROWS = 1024
"""Rows of a block: a few MiB, which stay in a core's cache."""

Blocks = Iterator[tuple[slice, Tensor]]
"""Rows of a gradient, and where they lie."""

block_updates: dict[int, Callable[[Blocks], None]] = {}
"""By the id of a weight: what takes its gradient in blocks, instead of autograd."""


class TiedGradient:
    """The head's gradient of a shared weight, while it waits for the embedding's rows.

    Args:
        calls: Calls of the model before the head.

    Attributes:
        factors: Gradients of logits (tokens, vocab) and inputs of the head (tokens, dim), whose
            products the head's gradient is the sum of.
        rows: Tokens (rows,) and the embedding's gradients of them (rows, dim), a call each.
        lookups: Calls of the embedding whose backward pass is still to come.
        waits: Whether the head has left its gradient here.
    """

    def __init__(self, calls: int) -> None:
        self.calls = calls
        self.factors: list[tuple[Tensor, Tensor]] = []
        self.rows: list[tuple[Tensor, Tensor]] = []
        self.lookups = 0
        self.waits = False

    def waits_for(self, tokens: int, weight: Tensor) -> bool:
        """Return whether the head leaves its gradient as factors, which the embedding takes.

        Only if they are no larger than the gradient, and each call looked its tokens up once.
        """
        self.waits = self.lookups == self.calls and tokens <= weight.shape[1]
        if self.waits:
            torch.autograd.Variable._execution_engine.queue_callback(self._check)
        return self.waits

    def blocks(self, weight: Tensor) -> Blocks:
        """Yield the gradient of both parts in blocks; each is overwritten by the next one."""
        hidden = [each.to(weight.dtype) for _, each in self.factors]
        buffer = weight.new_empty(ROWS, weight.shape[1])
        starts = torch.arange(0, len(weight) + ROWS, ROWS, device=weight.device)
        limits = [torch.searchsorted(rows, starts).tolist() for rows, _ in self.rows]
        for number, start in enumerate(range(0, len(weight), ROWS)):
            block = buffer[: len(weight) - start].zero_()
            end = start + len(block)
            for (by_logits, _), inputs in zip(self.factors, hidden, strict=True):
                block.addmm_(by_logits[:, start:end].T.to(weight.dtype), inputs)
            for (rows, by_row), of_rows in zip(self.rows, limits, strict=True):
                part = slice(of_rows[number], of_rows[number + 1])
                block[rows[part] - start] += by_row[part]
            yield slice(start, end), block
        self.factors, self.rows = [], []

    def take(self, weight: Tensor) -> Tensor | None:
        """Return the whole gradient; None if its blocks have been taken."""
        if update := block_updates.get(id(weight)):
            update(self.blocks(weight))
            return None
        whole = torch.empty_like(weight)
        for rows, block in self.blocks(weight):
            whole[rows] = block
        return whole

    def _check(self) -> None:
        assert not self.factors, "the embedding's backward pass did not follow the head's"


@contextmanager
def tied_gradient(model: nn.Module, calls: int) -> Iterator[TiedGradient | None]:
    """Let the embedding add its rows to the head's gradient, in calls of the model in the block.

    Args:
        model: A causal language model.
        calls: Number of those calls.

    Yields:
        Where the head leaves its gradient; None where the weight is not shared, gets no gradient,
        lies in other processes too, or the embedding does more than look rows up.
    """
    embedding = model.get_input_embeddings()  # type: ignore[operator]
    head = model.get_output_embeddings()  # type: ignore[operator]
    if (
        not torch.is_grad_enabled()
        or not _looks_up(embedding)
        or embedding.weight is not head.weight
    ):
        yield None
        return
    tied = TiedGradient(calls)

    def look_up(module: nn.Embedding, inputs: tuple[Tensor, ...], _: Tensor) -> Tensor:
        found: Tensor = _Lookup.apply(inputs[0], module.weight, module.padding_idx, tied)
        return found

    handle = embedding.register_forward_hook(look_up)
    try:
        yield tied
    finally:
        handle.remove()


def _looks_up(embedding: nn.Module) -> bool:
    """Return whether a module looks rows of a trained weight up, and nothing else."""
    return (
        type(embedding) is nn.Embedding
        and type(embedding.weight) is nn.Parameter  # a sharded one is a DTensor
        and embedding.weight.requires_grad
        and embedding.max_norm is None
        and not embedding.scale_grad_by_freq
        and not embedding.sparse
        and not embedding._forward_hooks
    )


class _Lookup(torch.autograd.Function):
    """Looks rows up; the last of a batch's backward passes hands on the whole gradient."""

    @staticmethod
    def forward(
        ctx: Any, ids: Tensor, weight: Tensor, padding: int | None, tied: TiedGradient
    ) -> Tensor:
        ctx.save_for_backward(ids, weight)
        ctx.padding, ctx.tied = padding, tied
        tied.lookups += 1
        return weight[ids]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        ids, weight = ctx.saved_tensors
        tied: TiedGradient = ctx.tied
        rows, numbers = ids.flatten().unique(return_inverse=True)
        by_row = gradient.new_zeros(len(rows), weight.shape[1])
        by_row.index_add_(0, numbers, gradient.flatten(0, -2))
        if ctx.padding is not None:
            by_row[rows == ctx.padding] = 0
        tied.lookups -= 1
        if not tied.waits:
            own = torch.zeros_like(weight)
            own[rows] = by_row
            return None, own, None, None
        tied.rows.append((rows, by_row))
        if tied.lookups:
            return None, None, None, None
        return None, tied.take(weight), None, None
