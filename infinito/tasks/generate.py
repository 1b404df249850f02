"""`task=generate`: continues prompts, streaming the text as it is drawn."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from transformers import TextStreamer

from infinito.config import GenerationConf, RunConf
from infinito.device import choose_accelerator
from infinito.errors import ConfigError, DataError
from infinito.models.assembly import open_trained_model
from infinito.models.generation import encode_prompt, sampling_settings
from infinito.seeding import child_seed


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Prints each prompt with its continuation."""
    console = Console(stderr=True, highlight=False)
    choose_accelerator(conf)
    if conf.agent is not None:
        from infinito.rl.generation import guided_text as guided  # it needs an extra

        guided.run(conf, prompts(conf.generation), encode_prompt, sampling_settings, console)
        return
    trained = open_trained_model(conf)
    for number, prompt in enumerate(prompts(conf.generation)):
        torch.manual_seed(child_seed(conf.seed, "generate", number))
        inputs = encode_prompt(prompt, trained, conf.generation)
        unknown = trained.tokenizer.unk_token_id
        if unknown is not None and (inputs == unknown).any():
            console.print("[yellow]warning:[/] the prompt holds tokens that the model never saw")
        trained.model.generate(  # type: ignore[operator]
            input_ids=inputs,
            attention_mask=torch.ones_like(inputs),
            streamer=TextStreamer(trained.tokenizer, skip_special_tokens=True),
            **sampling_settings(conf.generation, trained),
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
