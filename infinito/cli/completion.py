"""Completes the values that a schema lists; Hydra completes groups, keys and present values."""

from __future__ import annotations

from infinito.cli.meanings import list_choices


def complete_value(line: str) -> list[str]:
    """Return what the last word of a command line can become, where it is `key=` and part of one.

    Args:
        line: The command line as a shell hands it over in `COMP_LINE`.

    Returns:
        Whole words, or nothing where the key has no list of values.
    """
    key, separator, begun = line.rpartition(" ")[2].partition("=")
    choices = list_choices(key) if separator else ()
    return [f"{key}={choice}" for choice in choices if choice.startswith(begun)]
