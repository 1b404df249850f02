"""Text written by a model."""

from __future__ import annotations

from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from infinito.config import GenerationConf
from infinito.errors import ConfigError
from infinito.models.attention_probe import (
    evaluated_eagerly,
)
from infinito.models.pretrained.opening import learned_positions
from infinito.models.trained import Trained


def sample_text(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, tokens: int, seed: int
) -> str:
    """Text drawn from the model at temperature 1, without touching torch's generator."""
    longest = getattr(model.config, "max_position_embeddings", tokens + 1)
    start = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else 0
    with evaluated_eagerly(model), torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        ids = model.generate(  # type: ignore[operator]
            input_ids=torch.tensor([[start]], device=model.device),
            attention_mask=torch.ones(1, 1, dtype=torch.long, device=model.device),
            max_new_tokens=min(tokens, longest - 1),
            do_sample=True,
            top_k=0,
            pad_token_id=start,
            eos_token_id=None,
        )
    return str(tokenizer.decode(ids[0, 1:], skip_special_tokens=False))


def encode_prompt(prompt: str, trained: Trained, settings: GenerationConf) -> torch.Tensor:
    """Token ids (1, time) of a prompt; an empty one becomes the end of a document.

    Raises:
        ConfigError: prompt and continuation are longer than the model's positions.
    """
    ids = trained.tokenizer(prompt)["input_ids"]
    if not ids:
        end = trained.tokenizer.eos_token_id
        ids = [end if end is not None else 0]
    longest = learned_positions(trained.model)
    if longest is not None and len(ids) + settings.max_new_tokens > longest:
        raise ConfigError(
            f"a prompt of {len(ids)} tokens and `generation.max_new_tokens`="
            f"{settings.max_new_tokens} pass the model's {longest} positions: "
            f"use `generation.max_new_tokens={max(1, longest - len(ids))}` or a shorter prompt"
        )
    return torch.tensor([ids], device=trained.model.device)


def sampling_settings(settings: GenerationConf, trained: Trained) -> dict[str, Any]:
    """The arguments of transformers' `generate`."""
    greedy = settings.temperature == 0
    draw: dict[str, Any] = {"do_sample": False}
    if not greedy:
        draw = {
            "do_sample": True,
            "temperature": settings.temperature,
            "top_k": settings.top_k or 0,
            "top_p": settings.top_p or 1.0,
        }
    end = trained.tokenizer.eos_token_id
    return {
        **draw,
        "max_new_tokens": settings.max_new_tokens,
        "repetition_penalty": settings.repetition_penalty,
        "pad_token_id": end if end is not None else 0,
    }
