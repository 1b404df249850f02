"""Runs a causal LM over a growing text, with the keys and values of what it has already read."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel


class Reader:
    """A model and the text that it has read.

    A text that begins as the last one did costs only the tokens after their common beginning.

    Args:
        model: Any causal LM in evaluation mode.
    """

    def __init__(self, model: PreTrainedModel) -> None:
        self.model = model
        self.ids: list[int] = []
        """Tokens that the cache holds."""
        self.computed = 0
        """Tokens that passed through the model since the reader was made."""
        self.lost = False
        """Whether a cache could not be shortened or kept, so that whole texts were read again."""
        self._cache: Cache | None = None
        self._options = last_logits_only(model)

    def forget(self) -> None:
        """Drop the text and its cache."""
        self.ids, self._cache = [], None

    @torch.no_grad()
    def read(self, ids: Sequence[int]) -> Tensor:
        """Return the logits of the token after a text, (1, vocab), in float32.

        Args:
            ids: Token ids of the whole text, at least one.
        """
        kept = self._keep(common_length(self.ids, ids))
        if kept == len(ids):  # the logits of the last token are not in the cache
            kept = self._keep(kept - 1)
        whole = torch.tensor([ids], device=self.model.device)  # (1, time)
        inputs = self.model.prepare_inputs_for_generation(  # type: ignore[operator]
            whole,
            next_sequence_length=len(ids) - kept,
            past_key_values=self._cache,
            attention_mask=torch.ones_like(whole),
            use_cache=True,
            is_first_iteration=True,
        )
        self.ids, cache, self._cache = [], self._cache, None  # an error leaves no half of a cache
        output = self.model(**inputs, **self._options)
        self.computed += len(ids) - kept
        cache = output.get("past_key_values", cache)
        if isinstance(cache, Cache):
            self.ids, self._cache = list(ids), cache
        self.lost = self.lost or self._cache is None
        return output.logits[:, -1].float()  # type: ignore[no-any-return]

    def _keep(self, count: int) -> int:
        """Shorten the cache to so many tokens; return how many are left, 0 if it cannot be."""
        surplus = len(self.ids) - count
        if surplus and self._cache is not None:
            try:
                if not self._cache.is_croppable:
                    raise RuntimeError("this kind of cache cannot be shortened")
                self._cache.crop(-surplus)
            except RuntimeError:  # a sliding window has forgotten what would be its beginning
                self.lost, self._cache = True, None
        if count == 0 or self._cache is None:
            self.forget()
        self.ids = self.ids[:count]
        return len(self.ids)


def common_length(first: Sequence[int], second: Sequence[int]) -> int:
    """Return how many tokens two texts have in common from their beginning on."""
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:  # much faster than the loop
        return shorter
    return next(at for at in range(shorter) if first[at] != second[at])


def last_logits_only(model: PreTrainedModel) -> dict[str, int]:
    """Return the argument that spares a model the logits of all positions but the last, if any."""
    takes = "logits_to_keep" in inspect.signature(model.forward).parameters
    return {"logits_to_keep": 1} if takes else {}
