"""`--help` says what every key means, quickly, and completion knows every listed value."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.cli.completion import complete_value
from infinito.cli.composition import searching
from infinito.cli.help import help_text, summarise_task
from infinito.cli.meanings import list_choices, list_sections
from infinito.cli.origins import leaves
from infinito.config import TASKS
from infinito.errors import ConfigError
from infinito.paths import conf_dir


def help_of(*overrides: str, extra: Path | None = None) -> str:
    return help_text(overrides, [conf_dir(), *([extra] if extra else [])], "config")


def test_every_key_of_the_configuration_stands_in_the_help() -> None:
    import hydra

    text = help_of()
    with searching([conf_dir()]):
        composed = hydra.compose("config")
    for key in leaves(composed):
        assert f"  {key}=" in text


def test_every_task_stands_in_the_help_with_what_it_does() -> None:
    lines = help_of().splitlines()
    for task in TASKS:
        assert summarise_task(task)
        assert any(line.startswith(f"{task}: ") for line in lines)


def test_keys_of_another_choice_and_their_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of("data=text").splitlines()
    assert "  data.path=null                  File, folder or glob." in lines
    assert max(map(len, lines)) <= 100
    text = " ".join(help_of("data=wikitext2", "seed=3").split())
    assert "seed=3" in text
    assert "split=valid What `task=evaluate` and `task=analyze` read. One of train" in text


def test_groups_of_the_users_own_folder_are_named(tmp_path: Path) -> None:
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment/mine.yaml").write_text("# @package _global_\nseed: 1\n")
    assert " mine," in help_of(extra=tmp_path)


def test_help_for_a_wrong_choice_names_it() -> None:
    with pytest.raises(ConfigError, match=r"`data`=tex .*did you mean `text`"):
        help_of("data=tex")


def test_every_key_of_every_choice_has_a_meaning() -> None:
    silent = {key for _, _, entries in list_sections() for key, _, text in entries if not text}
    assert silent == set()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("infinito task=", [f"task={name}" for name in TASKS]),
        ("infinito seed=1 task=ev", ["task=evaluate"]),
        ("infinito data.parts=t", ["data.parts=topics"]),
        ("infinito deterministic=", ["deterministic=true", "deterministic=false"]),
        ("infinito trainer.stop_bad=n", ["trainer.stop_bad=null"]),
        ("infinito model.memory.gate=s", ["model.memory.gate=static"]),
        ("infinito seed=", []),
        ("infinito no.such.key=", []),
        ("infinito task=train ", []),
        ("infinito ta", []),
        ("", []),
    ],
)
def test_completion_of_values(line: str, completed: list[str]) -> None:
    assert complete_value(line) == completed


def test_choices_of_a_key_that_only_one_kind_has() -> None:
    assert list(list_choices("data.truncate")) == ["never", "prompt_start", "answer_end"]
