"""Text that a model writes: within its window, by the settings of the command alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TextStreamer,
)
from transformers.generation.streamers import BaseStreamer

from infinito.config import GenerationConf
from infinito.errors import NonFiniteError
from infinito.models.observation.attention_probe import evaluated_eagerly
from infinito.models.pretrained.generation_config import TAKEN, keep_tokens
from infinito.models.trained import Trained

DECIDED = (
    "do_sample",
    "max_length",
    "max_new_tokens",
    "output_attentions",
    "output_hidden_states",
    "transformers_version",
    "use_cache",
)
"""Entries of a generation config that change no text beside the command's settings."""

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
        settings: how the text is drawn, and how many tokens.
        seed: of the draw.
    """
    drawn = replace(settings, top_p=settings.top_p or SAMPLE_TOP_P)
    options = sampling_settings(drawn, Trained(model, tokenizer, Path()))  # type: ignore[arg-type]
    with evaluated_eagerly(model), torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        written = continue_tokens(
            model,
            prompt[None].to(model.device),  # (1, time)
            **options,
        )
    return str(tokenizer.decode(written[0, len(prompt) :], skip_special_tokens=True))


def encode_prompt(prompt: str, trained: Trained) -> Tensor:
    """Return the token ids (1, time) of a prompt; an empty one becomes the end of a document."""
    ids = trained.tokenizer(prompt)["input_ids"]
    if not ids:
        end = trained.tokenizer.eos_token_id
        ids = [end if end is not None else 0]
    return torch.tensor([ids], device=trained.model.device)


def sampling_settings(settings: GenerationConf, trained: Trained) -> dict[str, Any]:
    """Return the arguments of `continue_tokens` that the command's settings stand for."""
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


def find_window(model: PreTrainedModel) -> int | None:
    """Return the longest text that a model was made for, in tokens; None where it says nothing."""
    longest = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    return longest if longest is not None and longest > 0 else None


def continue_tokens(
    model: PreTrainedModel,
    ids: Tensor,
    *,
    max_new_tokens: int,
    streamer: BaseStreamer | None = None,
    **options: Any,
) -> Tensor:
    """Return a text with its continuation, (1, time + new).

    The model never reads more than its window: a text that fills it is continued from its last
    half-window, and so is a longer prompt.

    Args:
        ids: token ids (1, time).
        max_new_tokens: tokens to add; fewer where the text ends before.
        streamer: receives the tokens as they are drawn.
        options: of transformers' `generate`. What the model's own generation config holds besides
            is not used; see `unused_settings`.

    Raises:
        NonFiniteError: the model's logits are NaN or infinite.
    """
    window, left = find_window(model), max_new_tokens
    with reset_generation_config(model):
        end = options.get("eos_token_id", model.generation_config.eos_token_id)
        ends = set(end) if isinstance(end, list) else {end}
        while left > 0:
            context, piece = ids, left
            if window is not None:
                if ids.shape[1] >= window:
                    context = ids[:, -max(1, window // 2) :]  # (1, window / 2)
                piece = max(1, min(left, window - context.shape[1]))
            longer = model.generate(  # type: ignore[operator]
                input_ids=context,
                attention_mask=torch.ones_like(context),
                max_new_tokens=piece,
                streamer=streamer,
                logits_processor=LogitsProcessorList([FiniteLogits()]),
                **options,
            )
            new = longer[:, context.shape[1] :]
            ids = torch.cat([ids, new], dim=1)  # (1, time + new)
            left -= new.shape[1]
            if new.shape[1] < piece or int(ids[0, -1]) in ends:
                break
    return ids


def continue_together(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], ends: Sequence[int], **options: Any
) -> list[list[int]]:
    """Return the continuations of prompts of any length, without the token that ends them.

    Args:
        model: One that obeys padding masks; its window holds prompts and continuations.
        prompts: Token ids, each at least one.
        ends: Tokens of which each ends a continuation.
        options: Of transformers' `generate`, as `sampling_settings` returns them.

    Raises:
        NonFiniteError: the model's logits are NaN or infinite.
    """
    time = max(map(len, prompts))
    ids = torch.zeros(len(prompts), time, dtype=torch.long)  # (batch, time), padded on the left
    mask = torch.zeros_like(ids)
    for row, prompt in enumerate(prompts):
        ids[row, time - len(prompt) :] = torch.tensor(prompt)
        mask[row, time - len(prompt) :] = 1
    with reset_generation_config(model):
        written = model.generate(  # type: ignore[operator]
            input_ids=ids.to(model.device),
            attention_mask=mask.to(model.device),
            eos_token_id=list(ends) or None,
            logits_processor=LogitsProcessorList([FiniteLogits()]),
            **options,
        )
    rows = written[:, time:].tolist()
    stops = [next((n for n, each in enumerate(row) if each in ends), len(row)) for row in rows]
    return [row[:stop] for row, stop in zip(rows, stops, strict=True)]


@contextmanager
def reset_generation_config(model: PreTrainedModel) -> Iterator[None]:
    """Let a model's own generation config say nothing but its special tokens."""
    own = model.generation_config
    assert own is not None
    model.generation_config = keep_tokens(own)
    try:
        yield
    finally:
        model.generation_config = own


def unused_settings(model: PreTrainedModel) -> dict[str, Any]:
    """Return what a model's own generation config holds and `continue_tokens` does not use."""
    own = model.generation_config
    assert own is not None
    return {
        name: value
        for name, value in own.to_diff_dict().items()
        if name not in (*TAKEN, *DECIDED) and not name.startswith("_")
    }


def describe_unused_settings(model: PreTrainedModel) -> str | None:
    """Return the note on a model's own generation config that is not used, None without one."""
    unused = unused_settings(model)
    if not unused:
        return None
    listed = ", ".join(f"{name}={value}" for name, value in unused.items())
    return (
        "`generation.*` decides how text is drawn; not used of the model's own generation_config: "
        f"{listed}"
    )


class FiniteLogits(LogitsProcessor):
    """Raises where a prediction is NaN or infinite; −∞, which other processors set, may stand."""

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        if not (scores < torch.inf).all():
            raise NonFiniteError(
                f"the model's logits after {input_ids.shape[1]} tokens are NaN or infinite: no "
                "token can be drawn. Use a checkpoint of an earlier step"
            )
        return scores


class SlidingStreamer(TextStreamer):
    """Prints a text that several calls of `generate` write, each prompted with what stands there.

    `finish` prints what is left at the end of the text.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(tokenizer, skip_special_tokens=True)
        self.is_prompt, self.has_begun = True, False

    def put(self, value: Tensor) -> None:
        """Print a prompt (1, time) if it is the first, and each token after it."""
        was_prompt, self.is_prompt = self.is_prompt, False
        if was_prompt and self.has_begun:
            return
        self.has_begun = True
        super().put(value)

    def end(self) -> None:
        """Expect the prompt of the next call."""
        self.is_prompt = True

    def finish(self) -> None:
        """Print what is left, and end the line."""
        super().end()
