"""Turns a composed configuration into a typed `RunConf`, or reports all its faults at once.

Pydantic would collect the faults as well, but its import takes 0.13 s of CPU time, this module with
all its rules 0.05 s (pydantic 2.14, Python 3.11), and every command pays for it. Its errors know
neither the file that set a key, nor a key's older name, nor the override that mends the fault: each
of its error types would be translated here, in about as many lines as the checks have.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from infinito import config
from infinito.cli.rules.all_rules import combination_faults
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.wording import format_override_value, suggest

Origin = Callable[[str], str]
"""Tells where a dotted key got its value, e.g. " (conf/model/distance_lm.yaml)"."""

_WORDS = {
    int: "an integer",
    float: "a number",
    str: "text",
    bool: "true or false",
    list: "a list",
}


def parse(
    values: Mapping[str, Any], origin: Origin = lambda _: "", combinations: bool = True
) -> RunConf:
    """Return the typed configuration of a run.

    Args:
        values: Plain nested values with all interpolations resolved.
        origin: Names the file or command that set a key, for the error text.
        combinations: Look for impossible combinations too; a sweep's fixed part has none to show.

    Raises:
        ConfigError: lists every unknown key, wrong type, value out of its limits and
            impossible combination.
    """
    faults: list[str] = []
    run: RunConf = _node(RunConf, values, "", faults, origin)
    if combinations and not faults:
        faults.extend(combination_faults(run))
    if faults:
        raise ConfigError(faults)
    return run


def key_hint(prefix: str, key: str, known: Iterable[str]) -> str:
    """Return what to use in place of an unknown key: its present name, or the nearest known keys.

    Args:
        prefix: The key's section with a dot, or "".
        key: The unknown key.
        known: Keys of the section.
    """
    return name_elsewhere(prefix, key) or suggest(key, known)


def name_elsewhere(prefix: str, key: str) -> str | None:
    """Return the present name of a key that had another one, or that another library names so."""
    if config.is_renamed(f"{prefix}{key}"):
        return f"it is called `{prefix}{config.RENAMED_KEYS[prefix[:-1]][key]}` now"
    if prefix == "rl." and key in config.SB3_NAMES:
        return f"it is stable-baselines3's name for {config.SB3_NAMES[key]}"
    if key in config.TRL_NAMES:
        return f"it is TRL's name for {config.TRL_NAMES[key]}"
    return None


def parse_group(schema: type, values: Mapping[str, Any], name: str) -> Any:
    """Return one group of a configuration, typed.

    Args:
        schema: The group's dataclass.
        values: Plain values by key; keys left out have their defaults.
        name: The group's name, for messages.

    Raises:
        ConfigError: lists every unknown key, wrong type and value out of its limits.
    """
    faults: list[str] = []
    group = _node(schema, values, f"{name}.", faults, lambda _: "")
    if faults:
        raise ConfigError(faults)
    return group


def _node(schema: type, values: Any, prefix: str, faults: list[str], origin: Origin) -> Any:
    if not isinstance(values, Mapping):
        faults.append(f"`{prefix[:-1]}`={values!r}{origin(prefix[:-1])}: expected a group of keys")
        return None
    schema = _variant(schema, values, prefix, faults, origin)
    hints = typing.get_type_hints(schema)
    fields = {entry.name: entry for entry in dataclasses.fields(schema)}
    for key in sorted(set(values) - set(fields), key=str):
        hint = key_hint(prefix, str(key), fields)
        place = origin(f"{prefix}{key}")
        if "/experiment/" in place:  # it may suit the option that the command replaced
            hint += "" if hint.endswith("?") else "."
            hint += f" Where it is for another `{prefix[:-1]}`, take it out: `~{prefix}{key}`"
        faults.append(f"`{prefix}{key}`{place}: there is no such key; {hint}")
    arguments = {
        name: _value(
            entry, hints[name], values.get(name, dataclasses.MISSING), prefix, faults, origin
        )
        for name, entry in fields.items()
    }
    return schema(
        **{key: value for key, value in arguments.items() if value is not dataclasses.MISSING}
    )


def _variant(
    schema: type, values: Mapping[str, Any], prefix: str, faults: list[str], origin: Origin
) -> type:
    variants = config.VARIANTS.get(prefix[:-1])
    if variants is None:
        return schema
    name = values.get("name", getattr(schema, "name", None))
    if name not in variants:
        hint = suggest(str(name), variants)
        faults.append(f"`{prefix}name`={name}{origin(f'{prefix}name')}: no such kind; {hint}")
    return variants.get(str(name), schema)


def _value(
    entry: dataclasses.Field[Any],
    hint: Any,
    value: Any,
    prefix: str,
    faults: list[str],
    origin: Origin,
) -> Any:
    key = f"{prefix}{entry.name}"
    if dataclasses.is_dataclass(hint):
        return _node(hint, {} if value is dataclasses.MISSING else value, f"{key}.", faults, origin)  # type: ignore[arg-type]
    if value is dataclasses.MISSING:
        return value
    try:
        value = _typed(value, hint)
        _check_limits(value, entry.metadata)
    except ValueError as fault:
        example = _example(key, entry)
        faults.append(
            f"`{key}`={format_override_value(value)}{origin(key)}: expected {fault}{example}"
        )
    return value


def _typed(value: Any, hint: Any) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in options:
        return None
    kind = next(option for option in options if option is not type(None))
    optional = " or null" if type(None) in options else ""
    if typing.get_origin(kind) is list:
        item_kind = typing.get_args(kind)[0]
        if item_kind is str and isinstance(value, str):
            value = [value]
        if not isinstance(value, list):
            raise ValueError("a list" + optional)
        return [_typed(item, item_kind) for item in value]
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind is float and isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a finite number" + optional)
    if kind is str and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
        raise ValueError(_WORDS[kind] + optional)
    return value


def _check_limits(value: Any, limits: Mapping[str, Any]) -> None:
    for item in value if isinstance(value, list) else [value]:
        if item is not None and not _within(item, limits):
            raise ValueError(_described(item, limits))


def _within(value: Any, limits: Mapping[str, Any]) -> bool:
    tests: dict[str, Callable[[Any], bool]] = {
        "above": lambda limit: value > limit,
        "at_least": lambda limit: value >= limit,
        "below": lambda limit: value < limit,
        "at_most": lambda limit: value <= limit,
        "choices": lambda limit: value in limit,
        "pattern": lambda limit: re.fullmatch(limit[0], value) is not None,
    }
    return all(tests[name](limit) for name, limit in limits.items())


def _described(value: Any, limits: Mapping[str, Any]) -> str:
    if "choices" in limits:
        near = suggest(str(value), limits["choices"])
        return f"one of {', '.join(limits['choices'])}{f'; {near}' if 'did you' in near else ''}"
    if "pattern" in limits:
        return str(limits["pattern"][1])
    words = {"above": "above", "at_least": "at least", "below": "below", "at_most": "at most"}
    return "a number " + " and ".join(
        f"{words[name]} {limit:,.10g}" for name, limit in limits.items()
    )


def _example(key: str, entry: dataclasses.Field[Any]) -> str:
    default = entry.default
    if default is dataclasses.MISSING and entry.default_factory is not dataclasses.MISSING:
        default = entry.default_factory()
    if default in (dataclasses.MISSING, "", []):
        return ""
    return f", e.g. `{key}={format_override_value(default)}`"
