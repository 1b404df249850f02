"""A default stands once: in its dataclass, or in the file of configuration that differs from it."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from infinito.cli.composition import plain, searching
from infinito.cli.defaults import default_values
from infinito.cli.origins import leaves
from infinito.cli.typed_values import parse
from infinito.config import VARIANTS, RunConf, TextConf
from infinito.paths import conf_dir

RECIPES = {"experiment", "search"}
"""Groups whose files may repeat a default, so that a recipe stays what it is when that changes."""

OPTIONS = sorted(
    path
    for path in conf_dir().glob("*/**/*.yaml")
    if path.relative_to(conf_dir()).parts[0] not in RECIPES
)

KINDS = {"name", "metric"}
"""Keys that say which option a file is; they stand in every file."""


def option_id(path: Path) -> str:
    return str(path.relative_to(conf_dir()).with_suffix(""))


def section(path: Path) -> str:
    group = path.parent.relative_to(conf_dir()).as_posix().replace("/", ".")
    return {"memory": "model.memory"}.get(group, group)


def without_own_values(path: Path) -> DictConfig:
    """The values that an option would have if its file held its defaults list alone."""
    node = ConfigStore.instance().load("RunConf.yaml").node
    values = OmegaConf.select(node, section(path)) or OmegaConf.create()
    for item in load(path).get("defaults", []):
        if not isinstance(item, str) or item == "_self_":
            continue
        if item.startswith("/"):
            name = item.removeprefix("/").removesuffix("@_here_")
            values = OmegaConf.merge(values, ConfigStore.instance().load(f"{name}.yaml").node)
        else:
            parent = path.with_name(f"{item}.yaml")
            values = OmegaConf.merge(values, without_own_values(parent), own_values(parent))
    return values


def load(path: Path) -> DictConfig:
    values = OmegaConf.load(path)
    assert isinstance(values, DictConfig)
    return values


def own_values(path: Path) -> DictConfig:
    values = load(path)
    values.pop("defaults", None)
    return values


def plain_value(values: DictConfig, key: str) -> Any:
    node = OmegaConf.select(values, key, throw_on_missing=False)
    return OmegaConf.to_container(node) if OmegaConf.is_config(node) else node


def is_repeated(own: DictConfig, base: DictConfig, key: str) -> bool:
    if OmegaConf.is_interpolation(own, key) or key in KINDS:
        return False
    value, before = plain_value(own, key), plain_value(base, key)
    return value == before and type(value) is type(before)


@pytest.mark.parametrize("path", OPTIONS, ids=option_id)
def test_no_file_repeats_a_default(path: Path) -> None:
    own, base = own_values(path), without_own_values(path)
    repeated = [
        f"{key}: {plain_value(own, key)}" for key in leaves(own) if is_repeated(own, base, key)
    ]
    assert not repeated, f"stands in a dataclass or a parent too: {', '.join(repeated)}"


def test_a_repeated_default_is_found() -> None:
    own = OmegaConf.create({"metric": "l1", "heads": 4, "scale": 10.0, "p": None})
    base = OmegaConf.create(default_values(RunConf)["attention"])
    assert [key for key in own if is_repeated(own, base, str(key))] == ["heads", "p"]


def test_the_root_holds_no_value() -> None:
    assert set(OmegaConf.load(conf_dir() / "config.yaml")) == {"defaults", "hydra"}


@pytest.mark.parametrize(
    "path", [path for path in OPTIONS if path.parent.name in VARIANTS], ids=option_id
)
def test_every_value_of_a_schema_is_shown(path: Path) -> None:
    with searching([conf_dir()]):
        composed = plain(hydra.compose("config", [f"{path.parent.name}={path.stem}"]))
    parsed = dataclasses.asdict(parse(composed, combinations=False))
    assert set(leaves(OmegaConf.create(composed))) == set(leaves(OmegaConf.create(parsed)))


def test_the_schemas_are_no_options() -> None:
    with searching([conf_dir()]):
        loader = GlobalHydra.instance().config_loader()
        assert "text" in loader.get_group_options("data")
        assert not [name for name in loader.get_group_options("data") if name.endswith("Conf")]
        assert not [name for name in loader.list_groups("") if name.endswith("Conf")]


def test_copies_of_the_store_share_its_nodes_but_readers_do_not() -> None:
    store = ConfigStore.instance()
    assert copy.deepcopy(store).repo["TextConf.yaml"] is store.repo["TextConf.yaml"]
    store.load("TextConf.yaml").node.block_size = 1
    assert store.load("TextConf.yaml").node == default_values(TextConf)
