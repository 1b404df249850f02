"""What slash commands do, and what they say to wrong ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.chat.commands import COMMANDS, Commands
from infinito.chat.conversation import Conversation
from infinito.errors import DataError, SaveError


@pytest.fixture
def commands(begin: Callable[..., Conversation]) -> Commands:
    made = Commands(begin())
    list(made.conversation.write(made.conversation.begin("has he")))
    return made


def test_help_names_every_command(commands: Commands) -> None:
    lines = commands.run("/help").splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [f"/{name}" for name in COMMANDS]


def test_turns_are_taken_back_and_forgotten(commands: Commands) -> None:
    assert commands.run("/system SHE has it") == "the system's message is set"
    assert commands.run("/undo") == "took back: has he"
    assert commands.run("/undo") == "there is no turn to take back"
    assert commands.run("/reset") == "the conversation begins anew"
    assert commands.conversation.messages == [{"role": "system", "content": "SHE has it"}]
    assert commands.run("/system") == "there is no system's message now"
    assert commands.conversation.messages == []


def test_the_temperature_changes(commands: Commands) -> None:
    assert commands.run("/temperature 0.5") == "temperature 0.5"
    assert commands.conversation.settings.temperature == 0.5


@pytest.mark.parametrize("given", ["warm", "-1", "nan", "inf", ""])
def test_a_temperature_that_is_none_is_refused(commands: Commands, given: str) -> None:
    with pytest.raises(DataError, match=rf"`/temperature {given}`: expected a number from 0"):
        commands.run(f"/temperature {given}")
    assert commands.conversation.settings.temperature == 0


def test_an_unknown_command_is_answered_with_the_near_one(commands: Commands) -> None:
    with pytest.raises(DataError, match=r"`/rest`: there is no such command; .*`/reset`.*two"):
        commands.run("/rest")


def test_quit_ends(commands: Commands) -> None:
    assert not commands.has_ended
    commands.run("/quit")
    assert commands.has_ended


def test_a_conversation_is_saved_as_a_row(commands: Commands, tmp_path: Path) -> None:
    path = tmp_path / "talk.jsonl"
    assert str(path) in commands.run(f"/save {path}")
    (line,) = path.read_text(encoding="utf-8").splitlines()
    assert json.loads(line) == {"messages": commands.conversation.messages}
    commands.run("/undo")
    commands.run(f"/save {path}")  # its own file may be replaced
    assert json.loads(path.read_text()) == {"messages": []}


def test_nothing_is_overwritten_or_half_written(commands: Commands, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(DataError, match="mine is there already"):
        commands.run(f"/save {tmp_path / 'mine'}")
    with pytest.raises(DataError, match="`/save` needs a file"):
        commands.run("/save")
    with pytest.raises(SaveError, match="Cannot write"):
        commands.run(f"/save {tmp_path / 'none' / 'talk'}")
    assert (tmp_path / "mine").read_text() == "mine"
