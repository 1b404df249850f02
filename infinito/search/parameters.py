"""What can be searched: numbers, whole numbers and choices, each seen as the unit interval.

Every value owns a stretch of [0, 1] and is encoded as the middle of it; so a uniform draw on the
interval is a uniform draw of values (of their logarithms where `log` is set).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infinito.errors import ConfigError

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Float:
    """A number of [low, high]; with `log`, its logarithm is searched."""

    name: str
    low: float
    high: float
    log: bool = False

    kind = "float"
    count = math.inf
    is_ordered = True

    def __post_init__(self) -> None:
        _check_range(self.name, self.low, self.high, self.log, distinct=True)

    def decode(self, units: Array) -> NDArray[Any]:
        """The values at these coordinates."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return np.clip(np.exp(low + (high - low) * units), self.low, self.high)
        return np.clip(self.low + (self.high - self.low) * units, self.low, self.high)

    def encode(self, value: Any) -> float:
        """The coordinate of a value.

        Raises:
            ConfigError: The value is not of this range.
        """
        if not _is_number(value) or not self.low <= value <= self.high:
            raise ConfigError(_outside(self.name, value, f"a number of [{self.low}, {self.high}]"))
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def snapped(self, units: Array) -> Array:
        """The coordinates of the values nearest to these."""
        return np.clip(units, 0.0, 1.0)


@dataclass(frozen=True)
class Int:
    """A whole number low, low + step, … up to high; with `log`, its logarithm is searched."""

    name: str
    low: int
    high: int
    log: bool = False
    step: int = 1

    kind = "int"
    is_ordered = True

    def __post_init__(self) -> None:
        whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (self.low, self.high))
        if not whole:
            raise ConfigError(
                f"`{self.name}`: the range {self.low}…{self.high} is not of whole numbers; "
                "write it with decimal points to search numbers"
            )
        if not isinstance(self.step, int) or self.step < 1:
            raise ConfigError(f"`{self.name}`: step={self.step!r}; expected a whole number from 1")
        _check_range(self.name, self.low, self.high, self.log, distinct=False)

    @property
    def count(self) -> int:
        """How many values there are."""
        return (self.high - self.low) // self.step + 1

    @property
    def _edges(self) -> tuple[float, float]:
        last = self.low + (self.count - 1) * self.step
        low, high = self.low - self.step / 2, last + self.step / 2
        if not self.log:
            return low, high
        return math.log(max(low, self.low / 2)), math.log(high)

    def decode(self, units: Array) -> NDArray[Any]:
        """The values at these coordinates."""
        low, high = self._edges
        numbers = low + (high - low) * units
        if self.log:
            numbers = np.exp(numbers)
        index = np.floor((numbers - self.low) / self.step + 0.5)
        return self.low + self.step * np.clip(index, 0, self.count - 1).astype(np.int64)

    def encode(self, value: Any) -> float:
        """The coordinate of a value.

        Raises:
            ConfigError: The value is not of this range.
        """
        if (
            not _is_number(value)
            or not self.low <= value <= self.high
            or (value - self.low) % self.step
        ):
            expected = f"one of {self.low}, {self.low + self.step} … {self.high}"
            raise ConfigError(_outside(self.name, value, expected))
        return float(self._coordinates(np.array([float(value)]))[0])

    def snapped(self, units: Array) -> Array:
        """The coordinates of the values nearest to these."""
        return self._coordinates(self.decode(units).astype(np.float64))

    def grid(self) -> Array:
        """(count,): the coordinates of all values."""
        return self._coordinates(self.low + self.step * np.arange(float(self.count)))

    def _coordinates(self, values: Array) -> Array:
        low, high = self._edges
        return ((np.log(values) if self.log else values) - low) / (high - low)


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
        """The values at these coordinates."""
        table = np.array(self.choices)
        if len({type(choice) for choice in self.choices}) > 1 or table.ndim != 1:
            table = np.empty(self.count, dtype=object)
            table[:] = self.choices
        return table[self._index(units)]

    def encode(self, value: Any) -> float:
        """The coordinate of a value.

        Raises:
            ConfigError: The value is not among the choices.
        """
        keys = [_key(choice) for choice in self.choices]
        if _key(value) not in keys:
            raise ConfigError(_outside(self.name, value, f"one of {list(self.choices)}"))
        return (keys.index(_key(value)) + 0.5) / self.count

    def snapped(self, units: Array) -> Array:
        """The coordinates of the values nearest to these."""
        return (self._index(units) + 0.5) / self.count

    def grid(self) -> Array:
        """(count,): the coordinates of all values."""
        return (np.arange(self.count) + 0.5) / self.count

    def _index(self, units: Array) -> NDArray[np.int64]:
        return np.clip(np.floor(units * self.count), 0, self.count - 1).astype(np.int64)


Parameter = Float | Int | Categorical


def _key(value: Any) -> tuple[str, Any]:
    """Values that compare equal but are not the same (1 and True) have different keys."""
    return ("number" if _is_number(value) else type(value).__name__), value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_monotone(choices: tuple[Any, ...]) -> bool:
    if len(choices) < 3 or not all(map(_is_number, choices)):
        return False
    return list(choices) in (sorted(choices), sorted(choices, reverse=True))


def _outside(name: str, value: Any, expected: str) -> str:
    return f"`{name}`={value!r} is not in the space; expected {expected}"


def _check_range(name: str, low: float, high: float, log: bool, distinct: bool) -> None:
    if not (_is_number(low) and _is_number(high) and math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(f"`{name}`: the range {low!r}…{high!r} is not of finite numbers")
    if low > high:
        raise ConfigError(
            f"`{name}`: the range {low}…{high} is reversed; write the smaller number first"
        )
    if distinct and low == high:
        raise ConfigError(f"`{name}`: the range {low}…{high} is empty; write `{name}={low}` alone")
    if log and low <= 0:
        raise ConfigError(
            f"`{name}`: the logarithm of {low} does not exist; start above 0 or leave `log` out"
        )
