"""What each configuration key means, read from the docstrings under the fields of the schemas."""

from __future__ import annotations

import ast
import dataclasses
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from infinito import config
from infinito.cli.defaults import default_values
from infinito.config import RunConf
from infinito.wording import format_override_value

LEFT_COLUMNS = 34
WIDEST = 110


class Key(typing.NamedTuple):
    """One key of a configuration and what its schema says about it."""

    name: str
    meaning: str
    choices: Sequence[str]


def describe_values(values: Mapping[str, Any]) -> str:
    """Return every key with its value and its meaning, section by section.

    Args:
        values: Plain nested values of a whole run.
    """
    width = min(WIDEST, shutil.get_terminal_size().columns)
    lines: list[str] = []
    for section, entries in _sections(RunConf, values):
        lines += ["", *textwrap.wrap(section, width)] if section else []
        for key, value in entries:
            shown = format_override_value(value).replace("\n", "\\n")
            lines += _aligned(f"  {key.name}={shown}", _explain(key), width)
    return "\n".join(lines).lstrip("\n")


def list_sections() -> Iterator[tuple[str, str, list[tuple[str, Any, str]]]]:
    """Yield every group, each of its kinds, and the keys of them with default and meaning.

    Yields:
        A title (`data=text`, empty for keys of no group), a summary, and (key, default, meaning).
    """
    values = default_values(RunConf)
    own = {name: value for name, value in values.items() if not isinstance(value, Mapping)}
    for _, entries in _sections(RunConf, own):
        yield "", "", [(key.name, value, _explain(key)) for key, value in entries]
    for group, hint in typing.get_type_hints(RunConf).items():
        if not dataclasses.is_dataclass(hint):
            continue
        for name, schema in config.VARIANTS.get(group, {"": hint}).items():
            defaults = default_values(typing.cast(type, schema))
            given = {**defaults, "name": name} if name else defaults
            for heading, entries in _sections(typing.cast(type, schema), given, f"{group}."):
                place, _, summary = heading.partition(": ")
                title = f"{group}={name}" if name and place == group else place
                yield title, summary, [(key.name, value, _explain(key)) for key, value in entries]


def list_choices(name: str) -> Sequence[str]:
    """Return the values that a dotted key can take, in any kind of its group; none if unlimited."""
    found: dict[str, None] = {}
    for schema in _list_schemas(RunConf, name.split(".")[:-1], ""):
        if (field := _fields(schema).get(name.rpartition(".")[2])) is not None:
            found.update(dict.fromkeys(_choices(field, typing.get_type_hints(schema)[field.name])))
    return list(found)


def find_meaning(name: str) -> str:
    """Return what the schemas say of a dotted key; nothing where they say nothing."""
    for schema in _list_schemas(RunConf, name.split(".")[:-1], ""):
        if meaning := _meanings(schema).get(name.rpartition(".")[2]):
            return meaning
    return ""


def _sections(
    schema: type, values: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, list[tuple[Key, Any]]]]:
    """Yield each group's heading and its own keys with their values; groups inside follow."""
    schema = config.VARIANTS.get(prefix[:-1], {}).get(str(values.get("name")), schema)
    hints, meanings = typing.get_type_hints(schema), _meanings(schema)
    fields = _fields(schema)
    own = [
        (Key(prefix + name, meanings.get(name, ""), _choices(fields[name], hints[name])), value)
        for name, value in values.items()
        if name in fields and not dataclasses.is_dataclass(hints[name])
    ]
    summary = (schema.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")
    yield (f"{prefix[:-1]}: {' '.join(summary.split())}" if prefix else ""), own
    for name, inner in values.items():
        if isinstance(inner, Mapping) and dataclasses.is_dataclass(hints.get(name)):
            yield from _sections(typing.cast(type, hints[name]), inner, f"{prefix}{name}.")


def _list_schemas(schema: type, parts: Sequence[str], prefix: str) -> Iterator[type]:
    """Yield every schema that may lie at a dotted path."""
    for kind in dict.fromkeys([schema, *config.VARIANTS.get(prefix[:-1], {}).values()]):
        if not parts:
            yield kind
        elif dataclasses.is_dataclass(inner := typing.get_type_hints(kind).get(parts[0])):
            yield from _list_schemas(typing.cast(type, inner), parts[1:], f"{prefix}{parts[0]}.")


def _fields(schema: type) -> dict[str, dataclasses.Field[Any]]:
    return {field.name: field for field in dataclasses.fields(schema)}


def _choices(field: dataclasses.Field[Any], hint: Any) -> list[str]:
    kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    null = ["null"] if type(None) in kinds else []
    if bool in kinds:
        return ["true", "false", *null]
    choices = field.metadata.get("choices", ())
    return [*choices, *null] if choices else []


def _explain(key: Key) -> str:
    is_plain = set(key.choices) <= {"true", "false", "null"}
    choices = "" if is_plain else f"One of {', '.join(key.choices)}."
    return " ".join(part for part in (key.meaning, choices) if part)


def _aligned(left: str, meaning: str, width: int) -> list[str]:
    """Return `left` and the wrapped meaning beside it, or below where `left` is too long."""
    text = textwrap.wrap(meaning, max(20, width - LEFT_COLUMNS))
    if not text:
        return [left]
    beside = len(left) < LEFT_COLUMNS
    first = [left.ljust(LEFT_COLUMNS) + text[0]] if beside else [left]
    return [*first, *(" " * LEFT_COLUMNS + line for line in text[beside:])]


def _meanings(schema: type) -> dict[str, str]:
    """Return the docstring under each field of a schema, those of its parents included."""
    meanings: dict[str, str] = {}
    for parent in reversed(schema.__mro__[:-1]):
        meanings |= _docstrings(parent.__module__).get(parent.__name__, {})
    return meanings


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Return class → field → the string that follows the field in the source of a module."""
    source = Path(str(sys.modules[module].__file__)).read_text(encoding="utf-8")
    found: dict[str, dict[str, str]] = {}
    for node in ast.parse(source).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for field, text in zip(node.body, node.body[1:], strict=False):
            match field, text:
                case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(
                    value=ast.Constant(value=str(meaning))
                ):
                    found.setdefault(node.name, {})[name] = " ".join(meaning.split())
    return found
