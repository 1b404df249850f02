"""Parameters that are numbers or whole numbers, as coordinates of the unit interval.

Every value owns a stretch of [0, 1] and is encoded as the middle of it; so a uniform draw on the
interval is a uniform draw of values (of their logarithms where `log` is set).
"""

from __future__ import annotations

import math
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
        """Return the values at these coordinates."""
        if self.log:
            low, high = math.log(self.low), math.log(self.high)
            return np.clip(np.exp(low + (high - low) * units), self.low, self.high)
        return np.clip(self.low + (self.high - self.low) * units, self.low, self.high)

    def encode(self, value: Any) -> float:
        """Return the coordinate of a value.

        Raises:
            ConfigError: The value is not in this range.
        """
        if not is_number(value) or not self.low <= value <= self.high:
            raise ConfigError(
                format_range_fault(self.name, value, f"a number of [{self.low}, {self.high}]")
            )
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        unit: float = (value - self.low) / (self.high - self.low)
        return unit

    def snap(self, units: Array) -> Array:
        """Return the coordinates of the nearest values."""
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
                f"`{self.name}`: the range {self.low}…{self.high} has an end that is no whole "
                "number; "
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
        """Return the values at these coordinates."""
        low, high = self._edges
        numbers = low + (high - low) * units
        if self.log:
            numbers = np.exp(numbers)
        index = np.floor((numbers - self.low) / self.step + 0.5)
        return self.low + self.step * np.clip(index, 0, self.count - 1).astype(np.int64)

    def encode(self, value: Any) -> float:
        """Return the coordinate of a value.

        Raises:
            ConfigError: The value is not in this range.
        """
        if (
            not is_number(value)
            or not self.low <= value <= self.high
            or (value - self.low) % self.step
        ):
            expected = f"one of {self.low}, {self.low + self.step} … {self.high}"
            raise ConfigError(format_range_fault(self.name, value, expected))
        return float(self._coordinates(np.array([float(value)]))[0])

    def snap(self, units: Array) -> Array:
        """Return the coordinates of the nearest values."""
        return self._coordinates(self.decode(units).astype(np.float64))

    def grid(self) -> Array:
        """(count,): the coordinates of all values."""
        return self._coordinates(self.low + self.step * np.arange(float(self.count)))

    def _coordinates(self, values: Array) -> Array:
        low, high = self._edges
        return ((np.log(values) if self.log else values) - low) / (high - low)


def is_number(value: Any) -> bool:
    """Tell whether this is an int or a float; a bool is neither."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def format_range_fault(name: str, value: Any, expected: str) -> str:
    """Return the fault of a value that its parameter does not have."""
    return f"`{name}`={value!r} is not in the space; expected {expected}"


def _check_range(name: str, low: float, high: float, log: bool, distinct: bool) -> None:
    if not (is_number(low) and is_number(high) and math.isfinite(low) and math.isfinite(high)):
        raise ConfigError(
            f"`{name}`: the range {low!r}…{high!r} has an end that is no finite number"
        )
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
