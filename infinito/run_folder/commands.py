"""Commands to type in a shell, quoted as a person would quote them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infinito.wording import format_override_value

PROGRAM = "python -m infinito.run"

_BARE_WORD = re.compile(r"[\w./@%+=:,-]+", re.ASCII)
"""What no shell reads anything into."""

_BARE_VALUE = re.compile(r"(\.{0,2}/|[a-z_])[\w./@%+-]*", re.ASCII | re.IGNORECASE)
"""What Hydra reads as the text that it is, but for the words of `_KEYWORDS`."""

_KEYWORDS = {"null", "true", "false", "nan", "inf"}


def build_command(overrides: Mapping[str, Any], program: str = PROGRAM) -> str:
    """Return a command of infinito, to be typed in a shell.

    Args:
        overrides: Values by their keys; a `Path`, and any other text, is quoted where Hydra or the
            shell would read it as something else.
        program: What the command begins with.
    """
    words = [f"{key}={format_text(value)}" for key, value in overrides.items()]
    return " ".join([program, *map(quote_word, words)])


def format_text(value: Any) -> str:
    """Return a value as Hydra's grammar wants it."""
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{','.join(map(format_text, value))}]"
    if not isinstance(value, str | Path):
        return format_override_value(value)
    text = str(value)
    if _BARE_VALUE.fullmatch(text) and text.lower() not in _KEYWORDS:
        return text
    mark = "'" if '"' in text else '"'
    escaped = re.sub(
        rf"(\\*)({mark}|$)", lambda end: end[1] * 2 + ("\\" + mark) * bool(end[2]), text
    )
    return f"{mark}{escaped}{mark}"


def quote_word(text: str) -> str:
    """Return a word of a command, quoted only where a shell needs it."""
    if _BARE_WORD.fullmatch(text):
        return text
    if "'" not in text:
        return f"'{text}'"
    return shlex.quote(text) if re.search(r'[$`"\\!]', text) else f'"{text}"'


def list_curves(run: Path, values: Mapping[str, Any], purpose: str) -> list[tuple[str, str]]:
    """Return the command that shows a run's curves in its dashboard, with its purpose.

    Args:
        run: The run's folder.
        values: Its configuration; TensorBoard shows the other runs of its `runs_dir` too.
        purpose: What the curves are good for.

    Returns:
        One command, or none where the run has no dashboard that a command opens.
    """
    logger, runs_dir = values.get("logger", {}), str(values["runs_dir"])
    if shows_in_tensorboard(values):
        is_inside = run.absolute().is_relative_to(Path(runs_dir).absolute())
        folder = quote_word(runs_dir if is_inside else str(run))
        return [(f"tensorboard --logdir {folder}", purpose)]
    if logger["name"] == "wandb" and logger["offline"]:
        return [(f"wandb sync {quote_word(str(run))}/wandb/offline-run-*", "send the run")]
    if logger["name"] == "mlflow" and not logger["tracking_uri"]:
        place = quote_word(f"sqlite:///{Path(runs_dir).absolute()}/mlflow.db")
        return [(f"mlflow ui --backend-store-uri {place}", purpose)]
    if logger["name"] == "trackio" and not logger["server_url"]:
        return [(f"trackio show --project {quote_word(logger['project'])}", purpose)]
    return []


def shows_in_tensorboard(values: Mapping[str, Any]) -> bool:
    """Return whether a run of this configuration writes TensorBoard's files, as all once did."""
    return bool(values.get("logger", {}).get("name", "tensorboard") == "tensorboard")
