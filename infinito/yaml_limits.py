"""Bounds on YAML that others wrote: aliases and interpolations may multiply without end."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from infinito.errors import ConfigError
from infinito.wording import format_path

LARGEST_FILE_BYTES = 1 << 20
LARGEST_NODES = 100_000
LARGEST_DEPTH = 50
LARGEST_CHARACTERS = 1 << 20

_REFERENCE = re.compile(r"\$\{([^${}:]+)\}")


def refuse_large_yaml(path: Path) -> None:
    """Refuse a YAML file that would not fit into memory once its aliases are replaced.

    The file is read as a stream of events, in which an alias is still one event. A file that is
    no YAML passes: whoever loads it says where the fault is.

    Raises:
        ConfigError: names the file and the bound.
    """
    if path.stat().st_size > LARGEST_FILE_BYTES:
        raise _too_large(path, f"has more than {LARGEST_FILE_BYTES:,} bytes")
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = [(None, 0)]
    try:
        for event in yaml.parse(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionStartEvent):
                open_nodes.append((event.anchor, 0))
                size = 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, size = open_nodes.pop()
                if anchor is not None:
                    sizes[anchor] = size
            elif isinstance(event, yaml.AliasEvent):
                size = sizes.get(event.anchor, 1)
            elif isinstance(event, yaml.ScalarEvent):
                size = 1
            else:
                continue
            anchor, inner = open_nodes[-1]
            open_nodes[-1] = anchor, inner + size
            if inner + size > LARGEST_NODES:
                raise _too_large(
                    path, f"has more than {LARGEST_NODES:,} values once its aliases are replaced"
                )
            if len(open_nodes) > LARGEST_DEPTH:
                raise _too_large(path, f"is nested more than {LARGEST_DEPTH} levels deep")
    except (yaml.YAMLError, RecursionError):
        return


def load_yaml(path: Path) -> Any:
    """Return a YAML file as OmegaConf reads it, interpolations not resolved.

    Raises:
        ConfigError: the file would not fit into memory, or is no YAML.
        FileNotFoundError: there is none.
    """
    refuse_large_yaml(path)
    try:
        loaded = OmegaConf.load(path)
    except (yaml.YAMLError, UnicodeDecodeError, OmegaConfBaseException, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ConfigError(
            f"{format_path(path)} cannot be read as YAML: {str(error).splitlines()[0]}"
        ) from None
    if isinstance(loaded, DictConfig):
        refuse_large_interpolations(OmegaConf.to_container(loaded))  # type: ignore[arg-type]
    return loaded


def refuse_large_interpolations(values: Mapping[str, Any]) -> None:
    """Refuse values that would not fit into memory once their `${key}` are replaced.

    Args:
        values: Plain nested values, interpolations not resolved.

    Raises:
        ConfigError: names the key that grows most.
    """
    lengths: dict[str, int] = {}

    def measure(key: str, value: Any) -> int:
        if key in lengths:
            return lengths[key]
        lengths[key] = 0  # a circle counts once; OmegaConf reports it when it resolves the values
        if isinstance(value, Mapping):
            length = sum(measure(f"{key}.{name}", child) for name, child in value.items())
        elif isinstance(value, Sequence) and not isinstance(value, str):
            length = sum(measure(f"{key}.{place}", child) for place, child in enumerate(value))
        else:
            length = len(str(value))
            for reference in _REFERENCE.findall(str(value)):
                length += measure(reference, _select(values, reference))
        lengths[key] = length
        if length > LARGEST_CHARACTERS:
            raise ConfigError(
                f"`{key}` has more than {LARGEST_CHARACTERS:,} characters once its `${{…}}` are "
                "replaced: interpolate less"
            )
        return length

    for key, value in values.items():
        measure(str(key), value)


def _select(values: Any, path: str) -> Any:
    for part in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)
    return values


def _too_large(path: Path, reason: str) -> ConfigError:
    return ConfigError(
        f"{format_path(path)} {reason}: it is not read as a configuration. Shorten it"
    )
