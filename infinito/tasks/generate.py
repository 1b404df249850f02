"""`task=generate`: continues prompts, streaming the text as it is drawn."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape

from infinito.config import GenerationConf, RunConf
from infinito.device import choose_accelerator
from infinito.errors import ConfigError, DataError
from infinito.models.assembly import open_trained_model
from infinito.models.generation import (
    SlidingStreamer,
    continue_tokens,
    describe_unused_settings,
    encode_prompt,
    find_window,
    sampling_settings,
)
from infinito.models.trained import Trained
from infinito.seeding import child_seed


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Print each prompt with its continuation."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    texts = read_prompts(conf.generation)
    choose_accelerator(conf)
    if conf.agent is not None:
        from infinito.rl.generation import guided_text as guided  # it needs an extra

        guided.run(conf, texts, encode_prompt, sampling_settings, console)
        return
    with Console(stderr=True).status("opening the checkpoint"):
        trained = open_trained_model(conf)
    if note := describe_unused_settings(trained.model):
        console.print(f"[yellow]note:[/] {escape(note)}")
    for number, prompt in enumerate(texts):
        torch.manual_seed(child_seed(conf.seed, "generate", number))
        if number and not conf.generation.json:
            print(f"\n--- {number + 1} of {len(texts)} ---\n", flush=True)
        write_text(prompt, trained, conf.generation, console)


def write_text(prompt: str, trained: Trained, settings: GenerationConf, console: Console) -> None:
    """Print a prompt with its continuation, as it is drawn or as one line of JSON."""
    ids = encode_prompt(prompt, trained)
    unknown = trained.tokenizer.unk_token_id
    if unknown is not None and (ids == unknown).any():
        console.print("[yellow]warning:[/] the prompt holds tokens that the model never saw")
    window, needed = find_window(trained.model), ids.shape[1] + settings.max_new_tokens
    if window is not None and needed > window:
        console.print(
            f"[yellow]note:[/] prompt and text of up to {needed} tokens pass the model's window of "
            f"{window}: beyond it, the model reads the last {window // 2} to {window} tokens"
        )
    streamer = None if settings.json else SlidingStreamer(trained.tokenizer)
    options = sampling_settings(settings, trained)
    text = continue_tokens(trained.model, ids, streamer=streamer, **options)
    if streamer is not None:
        streamer.finish()
        return
    words = trained.tokenizer.decode(text[0], skip_special_tokens=True)
    print(json.dumps({"prompt": prompt, "text": words}))


def read_prompts(settings: GenerationConf) -> list[str]:
    """Return what to continue: the prompt, the file's lines, or those of standard input.

    Raises:
        DataError: the file is missing or empty, standard input is empty, or bytes are not UTF-8.
        ConfigError: no prompt, and standard input is a terminal; or one that is not UTF-8.
    """
    if settings.prompt is not None:
        return [checked_argument(settings.prompt)]
    if settings.prompts_file is not None:
        path = Path(settings.prompts_file)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise DataError(f"`generation.prompts_file`={path} cannot be read: {error}") from None
        return split_lines(content, f"`generation.prompts_file`={path}")
    if sys.stdin is None or sys.stdin.isatty():
        raise ConfigError(
            'there is no prompt: give `generation.prompt="The "`, '
            "`generation.prompts_file=<file>`, or lines on standard input"
        )
    binary = getattr(sys.stdin, "buffer", None)
    content = sys.stdin.read().encode() if binary is None else binary.read()
    return split_lines(content, "standard input")


def checked_argument(prompt: str) -> str:
    """Return the prompt of the command line; Python keeps its bytes that are not UTF-8 aside.

    Raises:
        ConfigError: it holds such bytes.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise ConfigError(
            f"`generation.prompt` is not UTF-8 at character {error.start + 1}. Give it in UTF-8, "
            "or in a file converted to it, `generation.prompts_file=<file>`"
        ) from None
    return prompt


def split_lines(content: bytes, source: str) -> list[str]:
    """Return the lines of a UTF-8 text that are not blank, without a byte order mark.

    Raises:
        DataError: a line that is not UTF-8, or no line.
    """
    lines = []
    for number, line in enumerate(content.splitlines(), start=1):
        try:
            lines.append(line.decode("utf-8-sig" if number == 1 else "utf-8"))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{source}: line {number} is not UTF-8 at byte {error.start + 1}. Convert it, e.g. "
                "with `iconv -f latin1 -t utf-8`"
            ) from None
    prompts = [line for line in lines if line.strip()]
    if not prompts:
        raise DataError(f"{source} holds no prompt: expected one a line")
    return prompts
