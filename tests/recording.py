"""A configuration that writes down which of its keys are read."""

from __future__ import annotations

import dataclasses
import sys
from types import FrameType
from typing import Any

from infinito.config import RunConf

GENERATED = ("<string>", dataclasses.__file__)
"""Files of the code that dataclasses generate, and of `asdict`."""


def record_reads(conf: RunConf, reads: set[str]) -> RunConf:
    """Return an equal configuration that adds each dotted key that is read to `reads`.

    Recording the whole configuration, comparing and copying it reads no key; `asdict` of a section
    reads all keys of the section.
    """
    return _recorded(conf, "", reads)


def _recorded(section: Any, prefix: str, reads: set[str]) -> Any:
    kind = type(section)
    names = {each.name for each in dataclasses.fields(section)}

    def read(self: Any, name: str) -> Any:
        value = object.__getattribute__(self, name)
        if name in names and not _is_copying(sys._getframe(1), is_whole=not prefix):
            reads.add(f"{prefix}{name}.name" if dataclasses.is_dataclass(value) else prefix + name)
        return value

    watched = type(kind.__name__, (kind,), {"__getattribute__": read, "__module__": __name__})
    copy: Any = object.__new__(watched)
    for name in names:
        value = object.__getattribute__(section, name)
        nested = dataclasses.is_dataclass(value)
        vars(copy)[name] = _recorded(value, f"{prefix}{name}.", reads) if nested else value
    return copy


def _is_copying(frame: FrameType | None, is_whole: bool) -> bool:
    """Whether the code that reads is generated, or copies the whole configuration."""
    if frame is None or frame.f_code.co_filename not in GENERATED:
        return False
    if frame.f_code.co_filename == "<string>" or frame.f_code.co_name == "replace":
        return True
    while frame is not None and frame.f_code.co_name != "asdict":
        frame = frame.f_back
    return is_whole or (frame is not None and isinstance(frame.f_locals["obj"], RunConf))
