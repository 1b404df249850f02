"""Hydra's override grammar read as a space, and points of that written as overrides again."""

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
from infinito.search.space.conditions import Condition
from infinito.search.space.sampling import Sampler
from infinito.search.space.space import Categorical, Float, Int, Parameter, Space


@dataclass
class Grammar:
    """The overrides of a sweep, read.

    Attributes:
        parameters: What is searched, by name, in the order of the overrides.
        fixed: Overrides that every trial has, as they were written.
    """

    parameters: dict[str, Parameter] = field(default_factory=dict)
    fixed: list[str] = field(default_factory=list)
    _order: list[str] = field(default_factory=list)
    _searched: dict[str, Override] = field(default_factory=dict)
    _texts: dict[str, dict[Any, str]] = field(default_factory=dict)

    @classmethod
    def read(
        cls, params: Mapping[str, str], arguments: Iterable[str], loader: ConfigLoader
    ) -> Grammar:
        """Read `hydra.sweeper.params`, then the command line, which wins.

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
        """Make the space with its conditions, which may name any key of the configuration.

        Raises:
            ConfigError: Nothing is searched, or a condition cannot be met.
        """
        parameters = list(self.parameters.values())
        names = {name for text in conditions for name in Condition(text).names} - set(
            self.parameters
        )
        fixed = {name: _read_value(config, name) for name in names if _is_key(config, name)}
        return Space(parameters, conditions, fixed)

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """Return the overrides of a job with these values, in the order that they were given in."""
        job = {_read_key(text): text for text in self.fixed}
        for name, value in params.items():
            job[name] = f"{self._searched[name].get_key_element()}={self._format(name, value)}"
        return [job[name] for name in self._order]

    def defaults(self, config: DictConfig, space: Space, seed: int) -> list[dict[str, Any]]:
        """Return the configuration's own values as the first point to try.

        Values out of range are left out; the list is empty where the others cannot be completed to
        a point that keeps the conditions.
        """
        own = {each.name: _read_value(config, each.name) for each in space.parameters}
        kept = {
            each.name: own[each.name]
            for each in space.parameters
            if _has_value(each, own[each.name])
        }
        try:
            Sampler(space, seed, [kept])
        except ConfigError:
            return []
        return [kept] if kept else []

    def whole_number_hints(self, config: DictConfig) -> list[str]:
        """Return a hint for each interval of fractions over a key that holds a whole number."""
        hints = []
        for name, parameter in self.parameters.items():
            value = _read_value(config, name)
            is_whole = isinstance(value, int) and not isinstance(value, bool)
            if isinstance(parameter, Float) and is_whole:
                low, high = f"{parameter.low:g}", f"{parameter.high:g}"
                interval = f"int(interval({low},{high}))"
                hints.append(
                    f"`{name}`={value} is a whole number in the configuration, and "
                    f"`interval({low},{high})` gives fractions. Whole numbers are "
                    f"`{name}={f'tag(log,{interval})' if parameter.log else interval}`"
                )
        return hints

    def _add(self, override: Override) -> None:
        """Take an override in, in place of an earlier one of the same key."""
        if override.is_sweep_override() and override.is_hydra_override():
            raise ConfigError(
                "Sweeping over Hydra's configuration is not supported : "
                f"'{override.input_line}'"  # Hydra's own words
            )
        name = override.get_key_element().lstrip("+~")
        for earlier in (self.parameters, self._searched, self._texts):
            earlier.pop(name, None)
        self.fixed = [text for text in self.fixed if _read_key(text) != name]
        self._order = [*(each for each in self._order if each != name), name]
        if not override.is_sweep_override():
            self.fixed.append(str(override.input_line))
            return
        self._searched[name] = override
        self.parameters[name] = self._make_parameter(name, override)

    def _make_parameter(self, name: str, override: Override) -> Parameter:
        value = override.value()
        known = {"ordered"} if isinstance(value, ChoiceSweep) else {"log"}
        for tag in sorted(getattr(value, "tags", set()) - known):
            raise ConfigError(
                f"`{override.input_line}` has the tag `{tag}`; expected `log` of a range or an "
                "interval, `ordered` of a choice"
            )
        if isinstance(value, IntervalSweep):
            return _read_interval(name, value)
        if isinstance(value, RangeSweep):
            return _read_range(name, value)
        if isinstance(value, ChoiceSweep):
            elements = list(value.list)  # the iterator would shuffle it by chance
        else:
            elements = list(override.sweep_iterator())
        if not elements:
            raise ConfigError(f"`{override.input_line}` matches no option")
        values = [_simplify(element) for element in elements]
        self._texts[name] = {
            _tag_type(value): _format_element(element)
            for value, element in zip(values, elements, strict=True)
        }
        ordered = True if "ordered" in getattr(value, "tags", ()) else None
        return Categorical(name, values, ordered)

    def _format(self, name: str, value: Any) -> str:
        if name in self._texts:
            return self._texts[name][_tag_type(value)]
        return Override._get_value_element_as_str(value)


def _is_key(config: DictConfig, name: str) -> bool:
    missing = object()  # null is a value
    return OmegaConf.select(config, name, default=missing) is not missing


def _read_value(config: DictConfig, name: str) -> Any:
    """Return the configuration's value of a key, or the chosen option of a group."""
    choices = config.hydra.runtime.choices
    value = choices[name] if name in choices else OmegaConf.select(config, name)
    return _simplify(OmegaConf.to_container(value) if OmegaConf.is_config(value) else value)


def _has_value(parameter: Parameter, value: Any) -> bool:
    try:
        parameter.encode(value)
    except ConfigError:
        return False
    return True


def _read_interval(name: str, sweep: IntervalSweep) -> Parameter:
    low, high, log = sweep.start, sweep.end, "log" in sweep.tags
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int):
        return Int(name, low, high, log)
    return Float(name, float(low), float(high), log)


def _read_range(name: str, sweep: RangeSweep) -> Parameter:
    if sweep.step == 0:
        raise ConfigError(f"`{name}`: the range has step 0; expected another number")
    values = list(_list_steps(sweep))
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


def _list_steps(sweep: RangeSweep) -> Iterable[Any]:
    """Return a range's values; Hydra's own sums of 0.1 drift and may include the end."""
    numbers = (sweep.start, sweep.stop, sweep.step)
    if all(isinstance(number, int) for number in numbers):
        return sweep.range()
    return FloatRange(*(Decimal(str(number)) for number in numbers))


def _simplify(element: Any) -> Any:
    if isinstance(element, QuotedString):
        return element.text
    if element is None or isinstance(element, bool | int | float | str):
        return element
    return Override._get_value_element_as_str(element)


def _format_element(element: Any) -> str:
    """Write an element as an override's value; Hydra's `choice` forgets that 'true' was quoted."""
    text = Override._get_value_element_as_str(element)
    if (
        isinstance(element, str)
        and OverridesParser.create().parse_override(f"k={text}").value() != element
    ):
        return QuotedString(element, Quote.single).with_quotes()
    return text


def _tag_type(value: Any) -> tuple[str, Any]:
    """Tell apart values that are equal: 1, 1.0 and true."""
    return type(value).__name__, value


def _read_key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0].strip()
