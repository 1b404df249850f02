"""Gives Hydra the defaults of the dataclasses, so that each stands once: in its dataclass.

A node of Hydra's ConfigStore is named after its dataclass and holds plain values, since types are
checked by `infinito.cli.typed_values`, all faults in one message. `conf/config.yaml` begins with
`RunConf`; an option of a group that has several schemas begins with its own, as
`conf/data/text.yaml` does with `/TextConf@_here_`. Other files say only what differs.
"""

from __future__ import annotations

import dataclasses
import typing
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore

from infinito.config import VARIANTS, RunConf


def default_values(schema: type) -> dict[str, Any]:
    """Return the plain default values of a dataclass; a field without a default is left out."""
    hints = typing.get_type_hints(schema)
    values = {}
    for entry in dataclasses.fields(schema):
        kind = hints[entry.name]
        if dataclasses.is_dataclass(kind):
            values[entry.name] = default_values(typing.cast(type, kind))
        elif entry.default is not dataclasses.MISSING:
            values[entry.name] = entry.default
        elif entry.default_factory is not dataclasses.MISSING:
            values[entry.name] = entry.default_factory()
    return values


class SharedNode(ConfigNode):
    """A node of the ConfigStore that copies of the store share.

    Hydra copies the whole store for every group that `--help` lists, which would take a second of
    CPU time with these nodes; it copies a node again before it changes it.
    """

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedNode:
        return self


def store_defaults() -> None:
    """Store `RunConf`, with groups of several schemas left empty, and each of those schemas."""
    store_values(RunConf.__name__, default_values(RunConf) | {group: {} for group in VARIANTS})
    for schema in {schema for group in VARIANTS.values() for schema in group.values()}:
        store_values(schema.__name__, default_values(schema))


def store_values(name: str, values: dict[str, Any]) -> None:
    """Store plain values under a name that defaults lists can give."""
    store = ConfigStore.instance()
    store.store(name, values)
    store.repo[f"{name}.yaml"] = SharedNode(**vars(store.repo[f"{name}.yaml"]))
