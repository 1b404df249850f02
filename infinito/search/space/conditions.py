"""Conditions on a space's values, parsed from text that is never run as Python."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from infinito.errors import ConfigError

Columns = Mapping[str, Any]
"""Values by dotted name: single values, or arrays of one length."""

_Term = Callable[[Columns], Any]

_BINARY = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISON = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}


@dataclass(frozen=True)
class Condition:
    """A statement such as `model.dim % attention.heads == 0`.

    Arithmetic, comparisons (chained ones too), `in` a tuple of constants, `and`, `or`, `not`,
    dotted names and constants are allowed; anything more is refused.

    Raises:
        ConfigError: The text is no such statement.
    """

    text: str

    def __post_init__(self) -> None:
        try:
            tree = ast.parse(self.text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise ConfigError(f"condition `{self.text}` is not an expression: {error}") from error
        names: set[str] = set()
        object.__setattr__(self, "_term", self._compile(tree, names))
        object.__setattr__(self, "names", frozenset(names))

    names: frozenset[str] = frozenset()

    def holds(self, columns: Columns) -> Any:
        """Tell whether it is true: one bool, or one for each row where the values are arrays.

        Raises:
            ConfigError: The values cannot be compared or computed with (a number with a text).
        """
        try:
            with np.errstate(all="ignore"):
                return np.asarray(self._term(columns)).astype(bool)  # type: ignore[attr-defined]
        except (TypeError, ZeroDivisionError, OverflowError, ValueError) as error:
            raise ConfigError(
                f"condition `{self.text}` cannot be computed on this space: {error}"
            ) from error

    def _compile(self, node: ast.expr, names: set[str]) -> _Term:
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return lambda _: value
            case ast.Name() | ast.Attribute():
                name = self._dotted(node)
                names.add(name)
                return lambda columns: columns[name]
            case ast.BinOp(left, op, right) if type(op) in _BINARY:
                return self._combine(_BINARY[type(op)], left, right, names)
            case ast.UnaryOp(ast.USub(), operand):
                inner = self._compile(operand, names)
                return lambda columns: -inner(columns)
            case ast.UnaryOp(ast.Not(), operand):
                inner = self._compile(operand, names)
                return lambda columns: np.logical_not(inner(columns))
            case ast.BoolOp(op, values):
                terms = [self._compile(value, names) for value in values]
                join = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return lambda columns: _reduce(join, [term(columns) for term in terms])
            case ast.Compare(left, ops, comparators):
                sides = [left, *comparators]
                links = [
                    self._link(op, a, b, names)
                    for op, a, b in zip(ops, sides[:-1], sides[1:], strict=True)
                ]
                return lambda columns: _reduce(np.logical_and, [link(columns) for link in links])
        raise ConfigError(
            f"condition `{self.text}`: `{ast.unparse(node)}` is not allowed; expected arithmetic, "
            "comparisons, and/or/not, dotted names and constants"
        )

    def _link(self, op: ast.cmpop, left: ast.expr, right: ast.expr, names: set[str]) -> _Term:
        if isinstance(op, ast.In | ast.NotIn) and isinstance(right, ast.Tuple | ast.List):
            same = [self._combine(operator.eq, left, item, names) for item in right.elts]
            wanted = isinstance(op, ast.In)
            return lambda columns: (
                _reduce(np.logical_or, [False, *(s(columns) for s in same)]) == wanted
            )
        if type(op) in _COMPARISON:
            return self._combine(_COMPARISON[type(op)], left, right, names)
        raise ConfigError(f"condition `{self.text}`: this comparison is not allowed")

    def _combine(
        self, op: Callable[[Any, Any], Any], left: ast.expr, right: ast.expr, names: set[str]
    ) -> _Term:
        first, second = self._compile(left, names), self._compile(right, names)
        return lambda columns: op(first(columns), second(columns))

    def _dotted(self, node: ast.expr) -> str:
        match node:
            case ast.Name(name):
                return name
            case ast.Attribute(value, name):
                return f"{self._dotted(value)}.{name}"
        raise ConfigError(f"condition `{self.text}`: `{ast.unparse(node)}` is not a dotted name")


def _reduce(join: Callable[[Any, Any], Any], parts: list[Any]) -> Any:
    whole = parts[0]
    for part in parts[1:]:
        whole = join(whole, part)
    return whole
