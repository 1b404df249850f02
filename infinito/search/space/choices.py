"""Parameters with a list of values, as stretches of the unit interval (see `parameters`)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infinito.errors import ConfigError
from infinito.search.space.parameters import Array, format_range_fault, is_number


@dataclass(frozen=True)
class Categorical:
    """One of several texts, numbers, booleans or null.

    Attributes:
        ordered: Neighbours in the list are alike. By default so for three or more numbers that
            rise or fall.
    """

    name: str
    choices: Sequence[Any]
    ordered: bool | None = None

    kind = "categorical"

    def __post_init__(self) -> None:
        choices = tuple(self.choices)
        if not choices:
            raise ConfigError(f"`{self.name}`: no choices; expected one or more")
        for choice in choices:
            if not (choice is None or isinstance(choice, bool | int | float | str)):
                raise ConfigError(
                    f"`{self.name}`: the choice {choice!r} is a {type(choice).__name__}; "
                    "expected texts, numbers, booleans or null"
                )
            if isinstance(choice, float) and not math.isfinite(choice):
                raise ConfigError(f"`{self.name}`: the choice {choice} is not a finite number")
        if len({_key(choice) for choice in choices}) < len(choices):
            raise ConfigError(f"`{self.name}`: the choices {list(choices)} repeat themselves")
        object.__setattr__(self, "choices", choices)
        if self.ordered is None:
            object.__setattr__(self, "ordered", _is_monotone(choices))

    @property
    def count(self) -> int:
        """How many values there are."""
        return len(self.choices)

    @property
    def is_ordered(self) -> bool:
        """Whether neighbouring values are alike."""
        return bool(self.ordered)

    def decode(self, units: Array) -> NDArray[Any]:
        """Return the values at these coordinates."""
        table = np.array(self.choices)
        if len({type(choice) for choice in self.choices}) > 1 or table.ndim != 1:
            table = np.empty(self.count, dtype=object)
            table[:] = self.choices
        return table[self._index(units)]

    def encode(self, value: Any) -> float:
        """Return the coordinate of a value.

        Raises:
            ConfigError: The value is not among the choices.
        """
        keys = [_key(choice) for choice in self.choices]
        if _key(value) not in keys:
            raise ConfigError(format_range_fault(self.name, value, f"one of {list(self.choices)}"))
        return (keys.index(_key(value)) + 0.5) / self.count

    def snap(self, units: Array) -> Array:
        """Return the coordinates of the nearest values."""
        return (self._index(units) + 0.5) / self.count

    def grid(self) -> Array:
        """(count,): the coordinates of all values."""
        return (np.arange(self.count) + 0.5) / self.count

    def _index(self, units: Array) -> NDArray[np.int64]:
        return np.clip(np.floor(units * self.count), 0, self.count - 1).astype(np.int64)


def _key(value: Any) -> tuple[str, Any]:
    """Return a key that differs for values that are equal but not the same (1 and True)."""
    return ("number" if is_number(value) else type(value).__name__), value


def _is_monotone(choices: tuple[Any, ...]) -> bool:
    if len(choices) < 3 or not all(map(is_number, choices)):
        return False
    return list(choices) in (sorted(choices), sorted(choices, reverse=True))
