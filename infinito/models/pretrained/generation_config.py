"""What a model's folder says about drawing text: taken where transformers accepts it.

infinito draws by `generation.*` alone, so no setting of a folder decides whether its model opens or
can be saved.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from transformers import GenerationConfig, PreTrainedModel

TAKEN = ("bos_token_id", "eos_token_id", "pad_token_id")
"""The entries that say which tokens begin, end and fill a text."""

FILE = "generation_config.json"

_log = logging.getLogger(__name__)


def read_generation_config(folder: Path) -> GenerationConfig | None:
    """Return the special tokens of a folder whose generation config transformers refuses.

    Returns:
        None where transformers reads the folder's own, or makes one where there is none.
    """
    try:
        GenerationConfig.from_pretrained(folder, local_files_only=True)
    except OSError:
        return None
    except Exception as error:  # an entry of another type fails wherever it is first used
        _warn(f"{folder / FILE}", error)
        entries = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return GenerationConfig(
            **{name: entries[name] for name in TAKEN if _is_token(entries.get(name))}
        )
    return None


def make_savable(model: PreTrainedModel) -> None:
    """Keep only the special tokens of a generation config that transformers refuses to save."""
    own = model.generation_config
    if own is None:
        return
    try:
        own.validate(strict=True)
    except ValueError as error:
        _warn("the generation_config of the base", error)
        model.generation_config = keep_tokens(own)


def keep_tokens(own: GenerationConfig) -> GenerationConfig:
    """Return a generation config that says nothing but the special tokens of another."""
    return GenerationConfig(**{name: getattr(own, name) for name in TAKEN})


def _warn(source: str, error: Exception) -> None:
    """Say which settings are left out, and the first of the reasons that transformers gives."""
    reasons = [line.strip(" -") for line in str(error).splitlines() if line.startswith("- ")]
    _log.warning(
        "%s: only its special tokens are taken, as transformers refuses the rest (%.120s)",
        source,
        reasons[0] if reasons else error,
    )


def _is_token(value: Any) -> bool:
    """Tell whether a value is a token id, or several."""
    values = value if isinstance(value, list) and value else [value]
    return all(isinstance(each, int) and not isinstance(each, bool) for each in values)
