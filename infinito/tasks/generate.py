"""`task=generate`: continues prompts, streaming the text as it is drawn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers import TextStreamer

from infinito.config import GenerationConf, RunConf
from infinito.device import choose_accelerator
from infinito.errors import ConfigError, DataError
from infinito.models.open_trained_model import open_trained_model
from infinito.models.pretrained.opening import learned_positions
from infinito.models.trained import Trained
from infinito.rl.generation import guided_text as guided
from infinito.seeding import child_seed


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Prints each prompt with its continuation."""
    console = Console(stderr=True, highlight=False)
    choose_accelerator(conf)
    if conf.agent is not None:
        guided.run(conf, prompts(conf.generation), encoded, sampling, console)
        return
    trained = open_trained_model(conf)
    for number, prompt in enumerate(prompts(conf.generation)):
        torch.manual_seed(child_seed(conf.seed, "generate", number))
        inputs = encoded(prompt, trained, conf.generation)
        unknown = trained.tokenizer.unk_token_id
        if unknown is not None and (inputs == unknown).any():
            console.print("[yellow]warning:[/] the prompt holds tokens that the model never saw")
        trained.model.generate(  # type: ignore[operator]
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            streamer=TextStreamer(trained.tokenizer, skip_special_tokens=True),
            **sampling(conf.generation, trained),
        )


def prompts(settings: GenerationConf) -> list[str]:
    """What to continue: the prompt, the lines of the file, or the lines of standard input.

    Raises:
        DataError: the file is missing or empty.
        ConfigError: no prompt, and standard input is a terminal.
    """
    if settings.prompt is not None:
        return [settings.prompt]
    if settings.prompts_file is not None:
        path = Path(settings.prompts_file)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"`generation.prompts_file`={path} cannot be read: {error}") from None
        if not any(lines):
            raise DataError(f"`generation.prompts_file`={path} holds no prompt")
        return [line for line in lines if line]
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError(
            'there is no prompt: give `generation.prompt="The "`, '
            "`generation.prompts_file=<file>`, or lines on standard input"
        )
    return [line.rstrip("\n") for line in sys.stdin if line.strip()]


def encoded(prompt: str, trained: Trained, settings: GenerationConf) -> torch.Tensor:
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


def sampling(settings: GenerationConf, trained: Trained) -> dict[str, Any]:
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
