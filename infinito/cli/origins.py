"""Where a key of the composed configuration got its value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from infinito.cli.typed_values import Origin


def leaves(values: DictConfig, prefix: str = "") -> Iterator[str]:
    """Yield the dotted keys of all values."""
    for key in map(str, values):
        node = values._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from leaves(node, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def build_origin(
    composed: DictConfig, overrides: Sequence[str], folders: Sequence[Path], config_name: str
) -> Origin:
    """Return a function that names the file or command that set a dotted key.

    Args:
        composed: With Hydra's own node, which tells the chosen options.
        overrides: The command line's overrides.
        folders: Where configuration files lie, the last one winning.
        config_name: The primary configuration.
    """
    typed = {text.lstrip("+~").partition("=")[0] for text in overrides}
    choices = composed.hydra.runtime.choices

    def origin(key: str) -> str:
        if key in typed:
            return " (command line)"
        group, _, rest = key.partition(".")
        files = [
            *(
                (f"{name}/{choices[name]}.yaml", key)
                for name in ("experiment", "search")
                if name in choices
            ),
            *([(f"{group}/{choices[group]}.yaml", rest)] if group in choices else []),
            (f"{config_name}.yaml", key),
        ]
        for name, path in files:
            for folder in reversed(folders):
                if (folder / name).is_file() and holds(OmegaConf.load(folder / name), path):
                    return f" ({folder.name}/{name})"
        return ""

    return origin


def holds(values: Any, path: str) -> bool:
    """Return whether there is a value, or a section, at a dotted path."""
    for part in path.split("."):
        if not isinstance(values, Mapping | DictConfig) or part not in values:
            return False
        values = values._get_node(part) if isinstance(values, DictConfig) else values[part]
    return True
