"""Muon for the weights between hidden states and AdamW for the rest, as one optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn
from torch.optim import AdamW, Muon, Optimizer
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from infinito.config import MuonConf
from infinito.errors import ConfigError
from infinito.training.optimizer.adamw import build_adamw
from infinito.training.optimizer.batched_muon import BatchedMuon


class MuonAndAdamW(Optimizer):
    """Two optimizers that Lightning, a schedule and a checkpoint handle as one.

    Lightning steps several optimizers only by hand. This one holds the groups of both, AdamW's
    first, and one state for all; each step is a step of AdamW and one of Muon.

    Args:
        adamw: takes embeddings, head and vectors.
        muon: takes the hidden matrices.
    """

    def __init__(self, adamw: AdamW, muon: Muon) -> None:
        self.parts: tuple[Optimizer, ...] = (adamw, muon)
        self.sizes = [len(part.param_groups) for part in self.parts]
        super().__init__([group for part in self.parts for group in part.param_groups], {})
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step both; return what `closure` returns, which is called once, before that."""
        result = None
        if closure is not None:
            with torch.enable_grad():
                result = closure()
        for part in self.parts:
            part.step()
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore groups and state, which torch replaces by new objects."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        """Give both parts the very groups and state that the whole has."""
        start = 0
        for part, size in zip(self.parts, self.sizes, strict=True):
            part.param_groups = self.param_groups[start : start + size]
            part.state = self.state
            start += size


def build_muon(model: PreTrainedModel, settings: MuonConf) -> MuonAndAdamW | Muon:
    """Return Muon for the hidden matrices that are trained, with AdamW for the other parameters.

    Where a model trains hidden matrices alone, as with adapters, Muon stands alone.

    Raises:
        ConfigError: no hidden matrix is trained.

    Source: Jordan et al. 2024, Muon, https://kellerjordan.github.io/posts/muon/; torch's
    implementation, with its step length √max(1, rows / columns) · `matrix_lr`, in fewer calls.
    """
    matrices = hidden_matrices(model)
    if not matrices:
        raise ConfigError(
            f"`optimizer`=muon trains the weights of linear layers, and {type(model).__name__} "
            "trains none as it is configured (the head and embeddings do not count). "
            "Use `optimizer=adamw`, or train more of it, e.g. `model.trainable=lora`"
        )
    muon = BatchedMuon(
        list(matrices.values()),
        lr=settings.matrix_lr,
        weight_decay=settings.matrix_weight_decay,
        momentum=settings.momentum,
    )
    taken = {id(each) for each in matrices.values()}
    rest = [each for each in model.parameters() if each.requires_grad and id(each) not in taken]
    return MuonAndAdamW(build_adamw(rest, settings), muon) if rest else muon


def hidden_matrices(model: PreTrainedModel) -> dict[str, nn.Parameter]:
    """Return the weights of linear layers that are trained, by name, without head and embeddings.

    The two matrices of an adapter count, as both map hidden states.
    """
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    left_out = {id(end.weight) for end in ends if end is not None}
    return {
        f"{name}.weight": cast(nn.Parameter, module.weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D)
        and module.weight.requires_grad
        and id(module.weight) not in left_out
    }
