"""Hydra's override grammar read as a space, and points of it written as overrides again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    FloatRange,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from infinito.errors import ConfigError
from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Categorical, Float, Int, Parameter, Space


@dataclass
class Grammar:
    """What the overrides of a sweep say.

    Attributes:
        parameters: By name, in the order given.
        fixed: Overrides that every trial has, as given.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    _keys: dict[str, str] = field(default_factory=dict)
    _texts: dict[str, dict[Any, str]] = field(default_factory=dict)

    @classmethod
    def read(
        cls, params: Mapping[str, str], arguments: Iterable[str], loader: ConfigLoader
    ) -> Grammar:
        """Reads `hydra.sweeper.params`, then the command line, which wins.

        Raises:
            ConfigError: Lists every range that cannot be searched.
        """
        grammar, faults = cls(), []
        parser = OverridesParser.create(config_loader=loader)
        for text in [*(f"{key}={value}" for key, value in params.items()), *arguments]:
            try:
                grammar._add(*parser.parse_overrides([text]))
            except HydraException as error:
                faults.append(f"`{text}` cannot be read: {str(error).splitlines()[0]}")
            except ConfigError as error:
                faults += error.faults
        if faults:
            raise ConfigError(faults)
        return grammar

    def space(self, conditions: Sequence[str], config: DictConfig) -> Space:
        """The space with its conditions, which may mention any key of the configuration.

        Raises:
            ConfigError: Nothing is searched, or a condition cannot be met.
        """
        parameters = list(self.parameters.values())
        names = {name for text in conditions for name in _names(text)} - set(self.parameters)
        fixed = {name: _own(config, name) for name in names if _is_key(config, name)}
        return Space(parameters, conditions, fixed)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides that give a job these values, fixed ones included."""
        searched = [f"{self._keys[name]}={self._text(name, params[name])}" for name in params]
        return [*self.fixed, *searched]

    def defaults(self, config: DictConfig, space: Space, seed: int) -> list[dict[str, Any]]:
        """The configuration's own values as the first point to try, without those out of range.

        None where the rest cannot be completed to a point that keeps the conditions.
        """
        own = {each.name: _own(config, each.name) for each in space.parameters}
        kept = {
            each.name: own[each.name] for each in space.parameters if _has(each, own[each.name])
        }
        try:
            Sampler(space, seed, [kept])
        except ConfigError:
            return []
        return [kept] if kept else []

    def _add(self, override: Override) -> None:
        name = override.get_key_element().lstrip("+~")
        self.parameters.pop(name, None)
        self.fixed = [text for text in self.fixed if _name(text) != name]
        if not override.is_sweep_override():
            self.fixed.append(str(override.input_line))
            return
        self._keys[name] = override.get_key_element()
        self.parameters[name] = self._parameter(name, override)

    def _parameter(self, name: str, override: Override) -> Parameter:
        value = override.value()
        known = {"ordered"} if isinstance(value, ChoiceSweep) else {"log"}
        for tag in sorted(getattr(value, "tags", set()) - known):
            raise ConfigError(
                f"`{override.input_line}` has the tag `{tag}`; expected `log` of a range or an "
                "interval, `ordered` of a choice"
            )
        if isinstance(value, IntervalSweep):
            return _interval(name, value)
        if isinstance(value, RangeSweep):
            return _range(name, value)
        if isinstance(value, ChoiceSweep):
            elements = list(value.list)  # the iterator would shuffle it by chance
        else:
            elements = list(override.sweep_iterator())
        if not elements:
            raise ConfigError(f"`{override.input_line}` matches no option")
        values = [_plain(element) for element in elements]
        self._texts[name] = {
            _key(value): _written(element) for value, element in zip(values, elements, strict=True)
        }
        ordered = True if "ordered" in getattr(value, "tags", ()) else None
        return Categorical(name, values, ordered)

    def _text(self, name: str, value: Any) -> str:
        if name in self._texts:
            return self._texts[name][_key(value)]
        return Override._get_value_element_as_str(value)


def _is_key(config: DictConfig, name: str) -> bool:
    missing = object()  # null is a value
    return OmegaConf.select(config, name, default=missing) is not missing


def _own(config: DictConfig, name: str) -> Any:
    """The configuration's value of a key, or the chosen option of a group."""
    choices = config.hydra.runtime.choices
    value = choices[name] if name in choices else OmegaConf.select(config, name)
    return _plain(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _has(parameter: Parameter, value: Any) -> bool:
    try:
        parameter.encode(value)
    except ConfigError:
        return False
    return True


def _interval(name: str, sweep: IntervalSweep) -> Parameter:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int):
        return Int(name, low, high, log)
    return Float(name, float(low), float(high), log)


def _range(name: str, sweep: RangeSweep) -> Parameter:
    if sweep.step == 0:
        raise ConfigError(f"`{name}`: the range has step 0; expected another number")
    values = list(_steps(sweep))
    shown = f"range({sweep.start},{sweep.stop},{sweep.step})"
    if not values:
        raise ConfigError(
            f"`{name}`: {shown} is empty, as it ends before {sweep.stop}. "
            "Write the smaller number first and a larger end"
        )
    if all(isinstance(value, int) for value in values):
        step = abs(int(sweep.step))
        return Int(name, min(values), max(values), "log" in sweep.tags, step)
    return Categorical(name, values, ordered=True)


def _steps(sweep: RangeSweep) -> Iterable[Any]:
    """Its values; Hydra's own sums of 0.1 drift and may reach the end, which is not one of them."""
    numbers = (sweep.start, sweep.stop, sweep.step)
    if all(isinstance(number, int) for number in numbers):
        return sweep.range()
    return FloatRange(*(Decimal(str(number)) for number in numbers))


def _plain(element: Any) -> Any:
    if isinstance(element, QuotedString):
        return element.text
    if element is None or isinstance(element, bool | int | float | str):
        return element
    return Override._get_value_element_as_str(element)


def _written(element: Any) -> str:
    """An element as an override's value; Hydra's `choice` forgets that 'true' was quoted."""
    text = Override._get_value_element_as_str(element)
    if (
        isinstance(element, str)
        and OverridesParser.create().parse_override(f"k={text}").value() != element
    ):
        return QuotedString(element, Quote.single).with_quotes()
    return text


def _key(value: Any) -> tuple[str, Any]:
    return type(value).__name__, value


def _name(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _names(condition: str) -> frozenset[str]:
    from infinito.search.space.conditions import Condition

    return Condition(condition).names
