"""Files that grow without bound are refused before they are read whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infinito.cli.composition import check
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.run_folder.folder import saved_values
from infinito.yaml_limits import load_yaml, refuse_large_interpolations, refuse_large_yaml

BOMB = "a0: &a0 [x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30)
)
DEEP = "a: " + "[" * 1000 + "]" * 1000
LONG = "a: " + "x" * (1 << 20)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"bomb\.yaml has more than 100,000 values once its aliases are replaced"),
        (DEEP, r"bomb\.yaml is nested more than 50 levels deep"),
        (LONG, r"bomb\.yaml has more than 1,048,576 bytes"),
    ],
    ids=["aliases", "depth", "size"],
)
def test_a_file_that_grows_is_named_with_the_bound(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bomb.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        refuse_large_yaml(path)


@pytest.mark.parametrize("text", ["a: &a [1]\nb: *a\n", "", "a: [", "b: *unknown"])
def test_ordinary_files_and_files_that_are_no_yaml_pass(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(text)
    refuse_large_yaml(path)


def test_every_file_of_conf_passes() -> None:
    for path in conf_dir().rglob("*.yaml"):
        refuse_large_yaml(path)


def test_a_bomb_in_the_users_own_folder_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/bomb.yaml").write_text(f"# @package _global_\n{BOMB}")
    with pytest.raises(ConfigError, match=r"experiment/bomb\.yaml has more than"):
        check(["+experiment=bomb"], conf_dir(), extra_dir=str(tmp_path))


def test_a_bomb_in_the_configuration_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(BOMB)
    with pytest.raises(ConfigError, match=r"config\.yaml has more than 100,000 values"):
        saved_values(tmp_path)


def test_interpolations_that_double_without_end(configured: Callable[..., Any]) -> None:
    values: dict[str, Any] = {"a0": "x" * 10}
    values |= {f"a{n}": "${a" + str(n - 1) + "}${a" + str(n - 1) + "}" for n in range(1, 60)}
    with pytest.raises(ConfigError, match=r"`a16` has more than 1,048,576 characters once its"):
        refuse_large_interpolations(values)
    doubled = "${name}${name}"
    refuse_large_interpolations({"name": "a", "list": [doubled, {"deep": doubled}], "b": "${b}"})
    assert configured("name=tiny").name == "tiny"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than 100,000 values"),
        ("a: [", r"file\.yaml cannot be read as YAML"),
        (
            "a: "
            + "xx" * 999
            + "".join(
                f"\nb{n}: ${{{'a' if not n else f'b{n - 1}'}}}${{{'a' if not n else f'b{n - 1}'}}}"
                for n in range(12)
            ),
            "interpolate less",
        ),
    ],
)
def test_a_file_that_is_loaded_is_bounded(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        load_yaml(path)
