"""The space that is searched: parameters, conditions on them, and values that stay fixed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infinito.errors import ConfigError
from infinito.search.space.choices import Categorical
from infinito.search.space.conditions import Condition
from infinito.search.space.parameters import Array, Float, Int

__all__ = ["Categorical", "Float", "Int", "Parameter", "Space"]

Parameter = Float | Int | Categorical

TABLE_LIMIT = 1 << 16
"""Spaces with at most this many combinations are listed point by point."""

_DRAWS = 1 << 14
"""Random points that are tried before a condition counts as impossible."""

_KINDS = {kind.kind: kind for kind in (Float, Int, Categorical)}


class Space:
    """Points are rows of coordinates in [0, 1], one for each parameter (see `parameters`).

    Args:
        parameters: What is searched.
        conditions: Statements that every point must satisfy, such as
            "model.dim % attention.heads == 0".
        fixed: Values of names that conditions mention and the search leaves alone.

    Raises:
        ConfigError: No parameter, a name twice, a condition that names something unknown or that
            no point satisfies.
    """

    def __init__(
        self,
        parameters: Sequence[Parameter],
        conditions: Sequence[str] = (),
        fixed: Mapping[str, Any] | None = None,
    ) -> None:
        self.parameters = tuple(parameters)
        self.fixed = dict(fixed or {})
        self.names = tuple(parameter.name for parameter in self.parameters)
        self.conditions = tuple(Condition(text) for text in conditions)
        self._check_names()
        self.size = math.prod(parameter.count for parameter in self.parameters)
        self.table = self._table()
        self._check_conditions()

    def decode(self, row: Array) -> dict[str, Any]:
        """Return the values of one point by dotted name, as plain Python values."""
        values = (p.decode(row[i : i + 1])[0] for i, p in enumerate(self.parameters))
        return {
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in zip(self.names, values, strict=True)
        }

    def encode(self, values: Mapping[str, Any]) -> Array:
        """Return the point with these values; names that are fixed or not searched are left out.

        Raises:
            ConfigError: A parameter is missing or its value is not in its range.
        """
        missing = [name for name in self.names if name not in values]
        if missing:
            raise ConfigError(f"`{missing[0]}` has no value here; expected one for each parameter")
        return np.array([p.encode(values[p.name]) for p in self.parameters])

    def contains(self, values: Mapping[str, Any]) -> bool:
        """Tell whether these values are a point of the space that keeps its conditions."""
        try:
            row = self.encode(values)
        except ConfigError:
            return False
        return bool(self.is_feasible(row[None])[0])

    def snap(self, rows: Array) -> Array:
        """(points, parameters): the coordinates of the nearest values."""
        return np.stack([p.snap(rows[:, i]) for i, p in enumerate(self.parameters)], axis=1)

    def is_feasible(self, rows: Array) -> NDArray[np.bool_]:
        """(points,): which of these snapped points satisfy every condition."""
        holds = np.ones(len(rows), dtype=bool)
        if not self.conditions:
            return holds
        wanted = frozenset().union(*(condition.names for condition in self.conditions))
        columns: dict[str, Any] = dict(self.fixed)
        for i, parameter in enumerate(self.parameters):
            if parameter.name in wanted:
                columns[parameter.name] = parameter.decode(rows[:, i])
        for condition in self.conditions:
            holds &= condition.holds(columns)
        return holds

    def count(self) -> float:
        """Return how many distinct points there are: a whole number, or inf.

        Where more than `TABLE_LIMIT` combinations exist, those that break a condition are counted
        too.
        """
        return self.size if self.table is None else len(self.table)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values that `from_dict` reads, equal for equal spaces."""
        listed = []
        for parameter in self.parameters:
            fields = dict(vars(parameter))
            if isinstance(parameter, Categorical):
                fields["choices"] = list(parameter.choices)
            listed.append({"kind": parameter.kind, **fields})
        conditions = [condition.text for condition in self.conditions]
        return {"parameters": listed, "conditions": conditions, "fixed": dict(self.fixed)}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Space:
        """Return the space that `to_dict` described.

        Raises:
            ConfigError: An unknown kind of parameter, or a fault of the space itself.
        """
        parameters = []
        for fields in plain["parameters"]:
            arguments = dict(fields)
            kind = arguments.pop("kind", None)
            if kind not in _KINDS:
                raise ConfigError(f"a parameter of kind {kind!r}; expected one of {list(_KINDS)}")
            parameters.append(_KINDS[kind](**arguments))
        return cls(parameters, plain.get("conditions", ()), plain.get("fixed"))

    def _check_names(self) -> None:
        if not self.parameters:
            raise ConfigError(
                "no parameter to search; give at least one a range, e.g. "
                "`optimizer.lr=tag(log,interval(1e-4,1e-2))`"
            )
        known = set(self.names) | set(self.fixed)
        faults = [
            f"`{name}` is given twice; leave one of them out"
            for name in sorted(known)
            if self.names.count(name) + (name in self.fixed) > 1
        ]
        faults += [
            f"condition `{condition.text}` names `{name}`, which is neither searched nor fixed"
            for condition in self.conditions
            for name in sorted(condition.names - known)
        ]
        if faults:
            raise ConfigError(faults)

    def _check_conditions(self) -> None:
        if self.table is not None:
            found = len(self.table)
            tried = f"of its {int(self.size)} points none"
        else:
            draws = np.random.default_rng(0).random((_DRAWS, len(self.parameters)))
            found = int(self.is_feasible(self.snap(draws)).sum())
            tried = f"of {_DRAWS} random points none"
        if not found:
            texts = " and ".join(f"`{condition.text}`" for condition in self.conditions)
            raise ConfigError(f"{tried} satisfies {texts}; loosen a condition or widen a range")

    def _table(self) -> Array | None:
        """(points, parameters): every feasible point where they are few, else None."""
        if self.size > TABLE_LIMIT:
            return None
        axes = [p.grid() for p in self.parameters if not isinstance(p, Float)]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))
        return grid[self.is_feasible(grid)]
