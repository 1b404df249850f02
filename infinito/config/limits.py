"""Fields that say which values they take; `infinito.cli.typed_values` checks a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any


def limited(
    default: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    below: float | None = None,
    at_most: float | None = None,
    choices: Sequence[str] | None = None,
    pattern: tuple[str, str] | None = None,
) -> Any:
    """Return a field whose value must lie in limits, be one of `choices` or match `pattern`.

    The pattern is a regular expression, then what it means in words.
    """
    limits = {
        "above": above,
        "at_least": at_least,
        "below": below,
        "at_most": at_most,
        "choices": choices,
        "pattern": pattern,
    }
    metadata = {name: limit for name, limit in limits.items() if limit is not None}
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata=metadata)
    return field(default=default, metadata=metadata)
