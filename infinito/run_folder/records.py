"""What a run leaves for people and programs: provenance.json, summary.json and the final table."""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import infinito
from infinito.errors import ConfigError
from infinito.storage import written_whole

PACKAGES = ("torch", "lightning", "transformers", "tokenizers", "hydra-core", "numpy")


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Writes plain values as JSON, whole or not at all; NaN and infinity become null.

    Raises:
        SaveError: the file could not be written.
    """
    text = json.dumps(_finite(values), indent=2, ensure_ascii=False, allow_nan=False)
    with written_whole(path) as file:
        file.write(f"{text}\n".encode())


def provenance(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return versions, commit, machine and data hashes: what it takes to repeat a run."""
    return {
        "infinito": infinito.__version__,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "commit": git_commit(),
        "machine": {"system": platform.platform(), "cpus": os.cpu_count()},
        "command": sys.argv,
        "data": dict(data),
    }


def git_commit() -> str | None:
    """Return the commit of the checkout that infinito runs from, with "+changes" after edits."""
    root = Path(infinito.__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        commands = (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        head, changes = (
            subprocess.run(
                ["git", "-C", str(root), *command], capture_output=True, text=True, check=True
            ).stdout.strip()
            for command in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return head + ("+changes" if changes else "")


def read_score(summary: Mapping[str, Any], key: str) -> float:
    """Return the figure of a summary that a sweep receives.

    Raises:
        ConfigError: the summary has no such number.
    """
    value = summary.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        known = ", ".join(name for name, each in summary.items() if isinstance(each, int | float))
        raise ConfigError(f"`score`={key}: the summary has no such number. It has: {known}")
    return float(value)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by dotted keys, as TensorBoard's hparams wants them."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (
                value if isinstance(value, bool | int | float | str) else str(value)
            )
    return found
