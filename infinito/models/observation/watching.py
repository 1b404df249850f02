"""Watches a Hugging Face causal LM while it runs, for Φ and the memory: its trunk's states, and its
layers' queries and keys.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from infinito.attention.watching import (
    AttentionCall,
    Calls,
    note,
    row_entropy,
    watched_attention,
)
from infinito.errors import ConfigError
from infinito.models.masks import whole_mask
from infinito.models.pretrained.attention_interface import more_than_scores
from infinito.objectives.phi import PhiComponents, phi_components, sampled_rows


@dataclass
class Observation:
    """What a forward pass leaves to measure."""

    calls: Calls
    hidden: Tensor | None = field(default=None)
    """The trunk's states before any memory, (batch, time, dim)."""

    def components(self) -> PhiComponents:
        """Return the components of Φ, each (batch,), with gradient if the pass had one.

        Raises:
            ConfigError: the text was shorter than Φ needs.
            NonFiniteError: its states are not finite.
        """
        assert self.hidden is not None
        rows = sampled_rows(self.hidden.shape[1], self.hidden.device)
        return phi_components(self.hidden, row_entropy(last_call(self.calls), rows))


@contextmanager
def observed(model: nn.Module) -> Iterator[Observation]:
    """Watch the forward pass that runs inside the block.

    Raises:
        ConfigError: the model's attention does not go through transformers' interface, or it is
            more than scores (softcapping, sinks, a bias), so that its entropy would be wrong.
    """
    with watched_layers(model) as calls:
        seen = Observation(calls)

        def keep(_: nn.Module, __: Any, output: Any) -> None:
            seen.hidden = output[0]

        handle = find_trunk(model).register_forward_hook(keep)
        try:
            yield seen
        finally:
            handle.remove()


def find_trunk(model: nn.Module) -> nn.Module:
    """Return the part of a causal LM that turns tokens into the states which its head reads."""
    while hasattr(model, "get_base_model") or hasattr(model, "causal_lm"):
        peft = getattr(model, "get_base_model", None)
        model = peft() if peft is not None else model.causal_lm  # type: ignore[assignment]
    return model.base_model  # type: ignore[return-value]


def last_call(calls: Calls) -> AttentionCall:
    """Return the last layer's call.

    Raises:
        ConfigError: no call was watched.
    """
    if not calls:
        raise ConfigError(
            "the attention of this model cannot be watched: expected one that goes through "
            "transformers' attention interface and is not compiled. Use `trainer.compile=false`, "
            "or `objective=language memory=none`"
        )
    return calls[-1]


@contextmanager
def watched_layers(model: nn.Module, last: int | None = 1) -> Iterator[Calls]:
    """Watch the attention of a causal LM, distance attention or one of transformers' own.

    Args:
        last: layers to keep, None for all of them.
    """
    config: Any = find_trunk(model).config
    name = config._attn_implementation or ""
    attend = ALL_ATTENTION_FUNCTIONS.get(name)
    with watched_attention(last) as calls:
        if name.startswith("infinito_") or isinstance(attend, _Watched):
            yield calls
            return
        ALL_ATTENTION_FUNCTIONS[name] = _Watched(attend)
        try:
            yield calls
        finally:
            del ALL_ATTENTION_FUNCTIONS[name]
            if ALL_ATTENTION_FUNCTIONS.get(name) is not attend:
                ALL_ATTENTION_FUNCTIONS[name] = attend  # it was itself local to this table


class _Watched:
    """An attention function of transformers that reports its calls to those who watch.

    `attend` is None for eager attention, a function of each architecture's own module.
    """

    def __init__(self, attend: Callable[..., Any] | None) -> None:
        self.attend = attend

    def __call__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **options: Any,
    ) -> Any:
        if reason := more_than_scores(attention_mask, options):
            raise ConfigError(
                f"the attention of {type(module).__name__} cannot be watched: {reason}. Use "
                "`objective=language memory=none`"
            )
        factor = query.shape[-1] ** -0.5 if scaling is None else scaling
        causal = options.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        mask = attention_mask
        if mask is not None and mask.ndim == 4:
            mask = whole_mask(mask)[..., : key.shape[2]]
        note(AttentionCall(query, key, "dot", factor, None, causal, mask))
        attend = self.attend or sys.modules[type(module).__module__].eager_attention_forward
        return attend(module, query, key, value, attention_mask, scaling=scaling, **options)
