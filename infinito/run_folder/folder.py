"""Run folders: what they record, which one to go on with, and how a command builds on an older run.

<folder>/config.yaml overrides.yaml provenance.json run.log summary.json
<folder>/checkpoints/{best,last}.ckpt   <folder>/tensorboard/   <folder>/model/ (Hugging Face)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from infinito.config import translate_renamed
from infinito.errors import CheckpointError, ConfigError
from infinito.yaml_limits import refuse_large_yaml

GROUPS = ("model", "attention", "data", "tokenizer", "optimizer", "trainer", "generation")
"""The groups of a configuration, each a section of its values."""


def saved_values(folder: Path) -> dict[str, Any]:
    """The configuration that a run folder records, keys of earlier versions under present names.

    Raises:
        CheckpointError: it is missing or unreadable.
        ConfigError: it is too large for a configuration.
    """
    path = folder / "config.yaml"
    try:
        refuse_large_yaml(path)
        values = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no run folder: it holds no config.yaml") from None
    except ConfigError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not set(GROUPS) <= set(values):
        raise CheckpointError(f"{path} is not the configuration of a run")
    return translate_renamed({str(key): value for key, value in values.items()})


def folder_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint path names or lies in, or None."""
    for folder in (checkpoint, checkpoint.parent, checkpoint.parent.parent):
        if (folder / "config.yaml").is_file():
            return folder
    return None


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, with both values (None where absent)."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from difference(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", before, after


def record_config(folder: Path, values: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Claims a new run folder and writes its configuration.

    Raises:
        ConfigError: the folder already is another run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / "config.yaml").open("x", encoding="utf-8") as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(dict(values))))
    except FileExistsError:
        raise ConfigError(
            f"{folder} already holds a run: choose another `hydra.run.dir`, "
            f"or go on with that run by `resume={folder}`"
        ) from None
    (folder / "overrides.yaml").write_text(
        OmegaConf.to_yaml(OmegaConf.create(list(overrides))), encoding="utf-8"
    )


def quoted(path: Path | str) -> str:
    """A path or text as a value of an override, whatever characters it has."""
    return "'" + str(path).replace("'", "\\'") + "'"
