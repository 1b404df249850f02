"""Text written by a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
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

SAMPLE_TOP_P = 0.95
"""What a sample takes for `generation.top_p` where that is null: without the rarest tokens."""


def sample_text(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompt: torch.Tensor,
    settings: GenerationConf,
    seed: int,
) -> str:
    """Return how the model continues a prompt, drawn as `task=generate` draws.

    Neither torch's generator nor the model's mode is touched.

    Args:
        prompt: token ids (time,), at least one.
        settings: `max_new_tokens` is cut to the length that the model is made for.
        seed: of the draw.
    """
    longest = getattr(model.config, "max_position_embeddings", None)
    room = settings.max_new_tokens if longest is None else longest - len(prompt)
    drawn = replace(
        settings,
        max_new_tokens=min(settings.max_new_tokens, room),
        top_p=settings.top_p or SAMPLE_TOP_P,
    )
    ids = prompt[None].to(model.device)
    with evaluated_eagerly(model), torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        written = model.generate(  # type: ignore[operator]
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            **sampling_settings(drawn, Trained(model, tokenizer, Path())),  # type: ignore[arg-type]
        )
    return str(tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True))


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
