"""Draws the next token of a text as `generation.*` says, from a generator of its own."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from infinito.config import GenerationConf
from infinito.models.generation import FiniteLogits


class Sampler:
    """Draws tokens for one answer; what else is drawn in the process changes none of them.

    Args:
        settings: Temperature, top_k, top_p and repetition penalty; temperature 0 is greedy.
        seed: Of the draws.
        device: Where the logits are.
    """

    def __init__(self, settings: GenerationConf, seed: int, device: torch.device) -> None:
        self.is_greedy = settings.temperature == 0
        self.generator = torch.Generator(device).manual_seed(seed)
        self.processors = LogitsProcessorList([FiniteLogits()])
        if settings.repetition_penalty != 1:
            self.processors.append(RepetitionPenaltyLogitsProcessor(settings.repetition_penalty))
        if self.is_greedy:
            return
        self.processors.append(TemperatureLogitsWarper(settings.temperature))
        if settings.top_k is not None:
            self.processors.append(TopKLogitsWarper(settings.top_k))
        if settings.top_p is not None and settings.top_p < 1:
            self.processors.append(TopPLogitsWarper(settings.top_p))

    def draw(self, ids: list[int], logits: Tensor) -> int:
        """Return the token after a text.

        Args:
            ids: Token ids of the text.
            logits: Of the token after it, (1, vocab).

        Raises:
            NonFiniteError: they are NaN or infinite.
        """
        text = torch.tensor([ids], device=logits.device)  # (1, time)
        scores = self.processors(text, logits)  # type: ignore[arg-type]
        if self.is_greedy:
            return int(scores.argmax(-1))
        return int(torch.multinomial(scores.softmax(-1), 1, generator=self.generator))
