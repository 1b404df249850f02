"""Hydra's override grammar as a space, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from infinito.cli.composition import searching
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.search.search import Search
from infinito.search.space.space import Categorical, Float, Int, Parameter, Space
from infinito.sweeps.grammar import Grammar


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with searching([conf_dir()]):
        yield GlobalHydra.instance().config_loader()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval(0.5,2)", Float("k", 0.5, 2.0)),
        ("interval(1,8)", Float("k", 1.0, 8.0)),  # Hydra's intervals are of numbers
        ("tag(log,interval(1e-4,0.1))", Float("k", 1e-4, 0.1, log=True)),
        ("tag(log,int(interval(1,100)))", Int("k", 1, 100, log=True)),
        ("int(interval(1.2,8.9))", Int("k", 1, 8)),
        ("range(1,10,2)", Int("k", 1, 9, step=2)),
        ("range(10,1,-3)", Int("k", 4, 10, step=3)),
        ("tag(log,range(1,9))", Int("k", 1, 8, log=True)),
        ("range(0.1,0.4,0.1)", Categorical("k", [0.1, 0.2, 0.3], ordered=True)),
        ("choice(a,b)", Categorical("k", ["a", "b"])),
        ("a,b", Categorical("k", ["a", "b"])),
        ("shuffle(choice(b,a))", Categorical("k", ["b", "a"])),
        ("true,null,1,0.5,'1'", Categorical("k", [True, None, 1, 0.5, "1"])),
        ("choice(8,16,32)", Categorical("k", [8, 16, 32], ordered=True)),
        ("tag(ordered,choice(low,mid,high))", Categorical("k", ["low", "mid", "high"], True)),
    ],
)
def test_grammar_by_hand(loader: ConfigLoader, text: str, expected: Parameter) -> None:
    grammar = Grammar.read({}, [f"k={text}"], loader)
    assert grammar.parameters == {"k": expected}


def test_glob_lists_the_options_of_a_group(loader: ConfigLoader) -> None:
    grammar = Grammar.read({}, ["attention=glob(l*,exclude=lp)"], loader)
    assert grammar.parameters["attention"] == Categorical("attention", ["l1", "l2", "linf"])
    with pytest.raises(ConfigError, match="matches no option"):
        Grammar.read({}, ["attention=glob(z*)"], loader)


@pytest.mark.parametrize(
    "choices", ["'a,b','c=d'", "[1,[2]],[x]", "{a:1,b:[2]},{a:2}", "true,1,'true'", "1e-5,2.5"]
)
def test_values_are_overrides_of_themselves(loader: ConfigLoader, choices: str) -> None:
    grammar = Grammar.read({}, [f"+k=choice({choices})"], loader)
    parser = OverridesParser.create()
    asked = parser.parse_override(f"+k=choice({choices})").value().list  # type: ignore[union-attr]
    parameter = grammar.parameters["k"]
    assert isinstance(parameter, Categorical)
    for value, element in zip(parameter.choices, asked, strict=True):
        (text,) = grammar.overrides({"k": value})
        override = parser.parse_override(text)
        assert override.get_key_element() == "+k"
        assert repr(override.value()) == repr(Override._convert_value(element))


def test_numbers_survive_as_they_are(loader: ConfigLoader) -> None:
    grammar = Grammar.read({}, ["lr=interval(1e-9,1.0)"], loader)
    for number in (0.1 + 0.2, 1e-9, 1 / 3):
        (text,) = grammar.overrides({"lr": number})
        assert OverridesParser.create().parse_override(text).value() == number


def test_the_command_line_wins_and_order_is_kept(loader: ConfigLoader) -> None:
    params = {"a": "interval(0.0,1.0)", "b": "choice(1,2)", "c": "3"}
    grammar = Grammar.read(params, ["b=5", "c=choice(x,y)", "d=1", "a=range(1,3)"], loader)
    assert list(grammar.parameters) == ["c", "a"]
    assert grammar.parameters["a"] == Int("a", 1, 2)
    assert grammar.fixed == ["b=5", "d=1"]
    assert grammar.overrides({"c": "x", "a": 2}) == ["b=5", "c=x", "d=1", "a=2"]


def test_all_faults_are_told_together(loader: ConfigLoader) -> None:
    with pytest.raises(ConfigError) as raised:
        Grammar.read(
            {}, ["a=range(1,1)", "b=interval(2.0,1.0)", "c=range(1,5,0)", "d=range("], loader
        )
    assert len(raised.value.faults) == 4


@pytest.mark.parametrize("text", ["tag(lgo,interval(1.0,2.0))", "tag(log,choice(1,2))"])
def test_a_tag_without_meaning_is_refused(loader: ConfigLoader, text: str) -> None:
    with pytest.raises(ConfigError, match="has the tag"):
        Grammar.read({}, [f"k={text}"], loader)


def test_defaults_without_those_out_of_range(loader: ConfigLoader) -> None:
    texts = ["a=choice([sigmoid],[ipo])", "lr=tag(log,interval(1e-5,0.03))", "n=range(1,4)"]
    grammar = Grammar.read({}, texts, loader)
    own = {"a": ["sigmoid"], "lr": 0.001, "n": 9, "hydra": {"runtime": {"choices": {}}}}
    space = Space(list(grammar.parameters.values()))
    (found,) = grammar.defaults(OmegaConf.create(own), space, 0)
    assert found == {"a": "[sigmoid]", "lr": 0.001}
    (trial,) = Search(space, defaults=[found]).ask()
    assert (trial.params["a"], trial.params["lr"]) == ("[sigmoid]", 0.001)
    never = Space(space.parameters, ["lr > 0.01"])
    assert grammar.defaults(OmegaConf.create(own), never, 0) == []


def test_conditions_read_lists_and_null_of_the_configuration(loader: ConfigLoader) -> None:
    own: dict[str, Any] = {"loss": ["cdpo"], "steps": None, "hydra": {"runtime": {"choices": {}}}}
    grammar = Grammar.read({}, ["smoothing=choice(0.0,0.1)"], loader)
    conditions = ["smoothing == 0 or loss == '[cdpo]'", "steps == None"]
    space = grammar.space(conditions, OmegaConf.create(own))
    assert space.count() == 2
    assert space.to_dict()["fixed"] == {"loss": "[cdpo]", "steps": None}
    with pytest.raises(ConfigError, match="names `step`, which is neither searched nor fixed"):
        grammar.space(["step == None"], OmegaConf.create(own))
