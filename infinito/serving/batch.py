"""Texts that one model continues together, each as if it were alone."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from infinito.chat.reading import Reader, last_logits_only
from infinito.models.memory.model import StateLayer

MERGEABLE = (DynamicLayer, StateLayer)
"""Layers of a cache that hold every token of a text in order, so that others can stand beside."""


class Batch(ABC):
    """Texts that grow by a token at a time; they join and leave at any step."""

    @abstractmethod
    def add(self, ids: Sequence[int]) -> Tensor:
        """Let a text join as the last row; return the logits after it, (1, vocab)."""

    @abstractmethod
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Put a token behind each text; return the logits after them, (rows, vocab)."""

    @abstractmethod
    def keep(self, rows: Sequence[int]) -> None:
        """Let all texts leave but these rows, in this order."""


class SingleText(Batch):
    """A batch of one text, for a model whose cache takes no others beside.

    Such are models with sliding windows or a state that is no list of keys and values.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.reader = Reader(model)
        self.ids: list[int] = []

    def add(self, ids: Sequence[int]) -> Tensor:
        """Take the text in place of none."""
        assert not self.ids
        logits = self.reader.read(ids)
        self.ids = list(ids)
        return logits

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Put the one token behind the text."""
        self.ids += tokens
        return self.reader.read(self.ids)

    def keep(self, rows: Sequence[int]) -> None:
        """Forget the text unless its row is kept."""
        if not rows:
            self.ids = []
            self.reader.forget()


class PaddedBatch(Batch):
    """Texts of different lengths, padded on the left, whose caches lie side by side.

    A joining text is read alone, exactly as without others, and its keys and values are then put
    beside theirs. What is padding is masked, and positions count without it.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.ids = torch.zeros(0, 0, dtype=torch.long, device=model.device)  # (rows, time)
        self.mask = torch.zeros_like(self.ids)
        self.cache: Cache | None = None
        self._options = last_logits_only(model)
        self._takes_positions = "position_ids" in inspect.signature(model.forward).parameters

    def add(self, ids: Sequence[int]) -> Tensor:
        """Read the text alone and put its cache beside the others."""
        own = torch.tensor([ids], device=self.model.device)  # (1, time)
        output = self._forward(own, torch.ones_like(own), None, len(ids))
        cache = output.past_key_values
        width = max(own.shape[1], self.ids.shape[1])
        if self.cache is not None:
            for layer, joining in zip(self.cache.layers, cache.layers, strict=True):
                for name in ("keys", "values"):
                    both = getattr(layer, name), getattr(joining, name)
                    setattr(layer, name, torch.cat([pad_left(each, width, -2) for each in both]))
        else:
            self.cache = cache
        self.ids = torch.cat([pad_left(each, width, -1) for each in (self.ids, own)])
        ones = torch.ones_like(own)
        self.mask = torch.cat([pad_left(each, width, -1) for each in (self.mask, ones)])
        return output.logits[:, -1].float()  # type: ignore[no-any-return]

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Read the new token of every text in one pass."""
        column = torch.tensor(tokens, device=self.model.device)[:, None]  # (rows, 1)
        self.ids = torch.cat([self.ids, column], dim=1)
        self.mask = torch.cat([self.mask, torch.ones_like(column)], dim=1)
        output = self._forward(self.ids, self.mask, self.cache, 1)
        return output.logits[:, -1].float()  # type: ignore[no-any-return]

    def keep(self, rows: Sequence[int]) -> None:
        """Drop other rows, and padding that no row needs any more."""
        if not rows:
            self.ids, self.mask, self.cache = self.ids[:0, :0], self.mask[:0, :0], None
            return
        assert self.cache is not None
        index = torch.tensor(rows, device=self.model.device)
        self.ids, self.mask = self.ids[index], self.mask[index]
        surplus = int(self.mask.argmax(dim=1).min())
        self.ids, self.mask = self.ids[:, surplus:], self.mask[:, surplus:]
        layers: Sequence[Any] = self.cache.layers
        for layer in layers:
            layer.keys = layer.keys[index, ..., surplus:, :]
            layer.values = layer.values[index, ..., surplus:, :]

    @torch.no_grad()
    def _forward(self, ids: Tensor, mask: Tensor, cache: Cache | None, new: int) -> Any:
        positions = (mask.cumsum(1) - 1).clamp(min=0)  # (rows, time)
        inputs = self.model.prepare_inputs_for_generation(  # type: ignore[operator]
            ids,
            next_sequence_length=new,
            past_key_values=cache,
            attention_mask=mask,
            use_cache=True,
            is_first_iteration=cache is None,
            **({"position_ids": positions} if self._takes_positions else {}),
        )
        return self.model(**inputs, **self._options)


def build_batch(model: PreTrainedModel) -> Batch:
    """Return a batch for a model: of many texts if its cache takes them side by side."""
    ids = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    with torch.no_grad():
        cache = model(input_ids=ids, use_cache=True).get("past_key_values")
    merges = isinstance(cache, Cache) and all(type(each) in MERGEABLE for each in cache.layers)
    return PaddedBatch(model) if merges else SingleText(model)


def pad_left(values: Tensor, length: int, axis: int) -> Tensor:
    """Return a tensor with zeros before it, so that an axis (−1 or −2) has a length."""
    missing = length - values.shape[axis]
    return pad(values, (0, 0) * (-1 - axis) + (missing, 0))
