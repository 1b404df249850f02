"""Refuses files that would have transformers run code which is not infinito's or transformers' own.

`trust_remote_code=False` at every opening keeps the code of a folder out (left at its default,
transformers asks on standard input, where prompts come from). A config can also name an attention
kernel of the hub, which is downloaded and run whatever that flag says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infinito.errors import CheckpointError

KNOWN_ATTENTION = ("eager", "sdpa", "flex_attention")
"""Attention that transformers itself has; `infinito_…` is ours. "flash_attention_2" is not among
them, for where flash_attn is not installed, transformers takes a kernel of the hub in its place."""

ATTENTION_KEYS = (
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "experts_implementation",
    "_experts_implementation",
    "_experts_implementation_internal",
)

ADAPTER_FILE = "adapter_config.json"


def check_folder(folder: Path) -> None:
    """Check what a model folder would have transformers open besides its weights.

    Raises:
        CheckpointError: its config names an attention kernel, or it holds an adapter as well.
    """
    if (folder / ADAPTER_FILE).is_file():
        raise CheckpointError(
            f"{folder} holds whole weights and an adapter ({ADAPTER_FILE}), which would be applied "
            "to them. Merge it with peft's `merge_and_unload`, or move the adapter's files away"
        )
    path = folder / "config.json"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from None
    check_config(values, path)


def check_config(values: Any, source: Path | str) -> None:
    """Check that the plain values of a config name no attention but known ones.

    Raises:
        CheckpointError: naming the key and its value.
    """
    for key, name in named_attention(values):
        if name not in KNOWN_ATTENTION and not name.startswith("infinito_"):
            raise CheckpointError(
                f"{source} names the attention `{key}`={name!r}, which transformers could download "
                f"and run. Remove `{key}` from it, or set {' or '.join(KNOWN_ATTENTION)}"
            )


def named_attention(values: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield the keys that choose an attention, at any depth, each with every name in its value."""
    if isinstance(values, dict):
        for name, value in values.items():
            yield from named_attention(value, name if name in ATTENTION_KEYS else key)
    elif isinstance(values, list):
        for value in values:
            yield from named_attention(value, key)
    elif isinstance(values, str) and key:
        yield key, values
