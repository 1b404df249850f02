"""Tidies the command line before Hydra reads it, so that what people naturally type works.

Hydra 1.3 wants flags before overrides, a `+` before groups that have no default, and quotes around
letters outside ASCII; none of that is the user's business.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence

from infinito.errors import ConfigError
from infinito.wording import format_path

ADDED_GROUPS = ("experiment", "search")
"""Groups that config.yaml has no default for: `experiment=x` means `+experiment=x`."""

_OVERRIDE = re.compile(r"(?P<key>[+~]{0,2}[^=\s'\"]+)=(?P<value>.*)", re.DOTALL)
_NESTED_PIECE = re.compile(r"[^\[\]{}(),:=\s'\"][^\[\]{}(),:='\"]*")


def tidy(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Return the command line in the form that Hydra understands.

    Args:
        argv: Arguments without the program's name.
        parser: Hydra's own argument parser; it tells which flags take a value.
    """
    flags, overrides = split_flags(argv, parser)
    many = "-m" in flags or "--multirun" in flags
    return [*flags, *(tidy_override(override, many) for override in overrides)]


def refuse_other_encodings(argv: Sequence[str]) -> None:
    """Refuse arguments that are not UTF-8, which no configuration file could record.

    Raises:
        ConfigError: names each of them.
    """
    faults = []
    for word in argv:
        try:
            word.encode()
        except UnicodeEncodeError:
            faults.append(
                f"`{format_path(word)}` is not UTF-8, which every value must be. Write "
                "text in UTF-8, and rename a file of such a name; a text's file can also be given "
                "as a pattern, `data=text data.path='text?.txt'`"
            )
    if faults:
        raise ConfigError(faults)


def split_flags(
    argv: Sequence[str], parser: argparse.ArgumentParser
) -> tuple[list[str], list[str]]:
    """Return flags (with their values) and overrides, each in the order typed."""
    takes_value = {
        name for action in parser._actions if action.nargs is None for name in action.option_strings
    }
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(argv)
    for word in rest:
        if not word.startswith("-"):
            overrides.append(word)
            continue
        flags.append(word)
        if word in takes_value and (value := next(rest, None)) is not None:
            flags.append(value)
    return flags, overrides


def tidy_override(override: str, many: bool = False) -> str:
    """Return an override with its group's `+` added and letters outside ASCII quoted.

    Args:
        override: `key=value` as typed.
        many: The command is a sweep, in which a comma separates values.
    """
    match = _OVERRIDE.fullmatch(override)
    if match is None:
        return override
    key, value = match["key"], match["value"]
    if key in ADDED_GROUPS:
        key = f"+{key}"
    return f"{key}={_quote_letters(value, many)}"


def _quote_letters(value: str, many: bool) -> str:
    if value.isascii() or value[:1] in {"'", '"'}:
        return value
    if value[:1] in {"[", "{"}:
        return _NESTED_PIECE.sub(lambda piece: _quoted(piece[0]), value)
    return ",".join(map(_quoted, value.split(","))) if many else _quoted(value)


def _quoted(text: str) -> str:
    if text.isascii():
        return text
    escaped = re.sub(r"(\\*)('|$)", lambda end: end[1] * 2 + ("\\'" if end[2] else ""), text)
    return f"'{escaped}'"
