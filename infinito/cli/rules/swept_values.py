"""Values that a sweep would give its runs, checked before the first of them trains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from hydra.core.override_parser.types import IntervalSweep, Override, QuotedString, RangeSweep
from omegaconf import OmegaConf

from infinito.cli.rules.options import list_swept
from infinito.cli.typed_values import parse
from infinito.errors import ConfigError


def swept_value_faults(
    values: Mapping[str, Any], swept: Sequence[str], groups: Set[str]
) -> Iterator[str]:
    """Yield a fault for each value of a sweep that is of a wrong type or out of its limits.

    Of a range and an interval the ends are checked, which lie furthest out.

    Args:
        values: The configuration that is swept, without faults of its own.
        swept: The sweep's overrides; the others are skipped.
        groups: Names of groups; what a sweep sets in one that it searches too is skipped, as its
            keys depend on the option.
    """
    overrides = list_swept(swept)
    searched = {each.key_or_group for each in overrides} & groups
    for override in overrides:
        key = override.key_or_group
        if key.partition(".")[0] not in searched:
            yield from dict.fromkeys(_find_faults(override, values))


def _find_faults(override: Override, values: Mapping[str, Any]) -> Iterator[str]:
    key = override.key_or_group
    for value in _list_values(override):
        if fault := _find_fault(key, value, values):
            yield fault + _whole_numbers(override, key, values)


def _list_values(override: Override) -> Iterator[Any]:
    """Yield the values to check."""
    swept = override.value()
    if isinstance(swept, IntervalSweep):
        yield from (swept.start, swept.end)
        return
    elements = list(override.sweep_iterator())
    if isinstance(swept, RangeSweep):
        elements = [*elements[:1], *elements[-1:]]
    for element in elements:
        if isinstance(element, QuotedString):
            yield element.text
        elif element is None or isinstance(element, bool | int | float | str):
            yield element


def _find_fault(key: str, value: Any, values: Mapping[str, Any]) -> str | None:
    """Return what the schema says against a value."""
    changed = OmegaConf.create(dict(values))
    OmegaConf.update(changed, key, value, force_add=True)
    try:
        plain: Any = OmegaConf.to_container(changed, resolve=True)
        parse(plain, combinations=False)
    except ConfigError as error:
        return error.faults[0]
    return None


def _whole_numbers(override: Override, key: str, values: Mapping[str, Any]) -> str:
    """Return how to write an interval over a key that takes whole numbers, if that mends it."""
    swept = override.value()
    if not isinstance(swept, IntervalSweep) or not isinstance(swept.start, float):
        return ""
    assert isinstance(swept.end, float)
    if _find_fault(key, round(swept.start), values) or _find_fault(key, round(swept.end), values):
        return ""
    interval = f"int(interval({swept.start:g},{swept.end:g}))"
    return f". An interval gives fractions; whole numbers are `{key}=" + (
        f"tag(log,{interval})`" if "log" in swept.tags else f"{interval}`"
    )
