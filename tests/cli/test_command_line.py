"""The command line as people type it."""

from __future__ import annotations

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from infinito.cli.command_line import refuse_other_encodings, tidy, tidy_override
from infinito.errors import ConfigError

PARSER = get_args_parser()


@pytest.mark.parametrize("place", range(3))
def test_multirun_flag_may_stand_anywhere(place: int) -> None:
    words = ["seed=1,2", "attention=dot"]
    words.insert(place, "-m")
    assert tidy(words, PARSER) == ["-m", "seed=1,2", "attention=dot"]


def test_flags_keep_their_values() -> None:
    words = ["seed=1", "--cfg", "job", "-p", "model", "--config-dir", "mine", "name=x"]
    expected = ["--cfg", "job", "-p", "model", "--config-dir", "mine", "seed=1", "name=x"]
    assert tidy(words, PARSER) == expected


def test_arguments_that_are_not_utf8_are_refused() -> None:
    refuse_other_encodings(["name=ñandú"])
    with pytest.raises(ConfigError, match=r"`data\.path=caf\\xe9` is not UTF-8.*a pattern"):
        refuse_other_encodings(["seed=1", "data.path=caf\udce9"])


@pytest.mark.parametrize("typed", ["experiment=debug", "+experiment=debug"])
def test_experiment_needs_no_plus(typed: str) -> None:
    assert tidy_override(typed) == "+experiment=debug"


@pytest.mark.parametrize(
    ("typed", "value"),
    [
        ("name=ñandú", "ñandú"),
        ("data.path=/tmp/é x.txt", "/tmp/é x.txt"),
        ("name='ñ'", "ñ"),
        ("data.path=o'é", "o'é"),
        ("runs=[a,é b,ü]", ["a", "é b", "ü"]),
    ],
)
def test_letters_outside_ascii_reach_hydra(typed: str, value: object) -> None:
    parsed = OverridesParser.create().parse_override(tidy_override(typed)).value()
    assert (parsed if isinstance(parsed, list) else str(parsed)) == value


def test_sweep_values_are_quoted_one_by_one() -> None:
    assert tidy_override("name=ä,b", many=True) == "name='ä',b"


@given(st.text(alphabet="aé/ '\\.", min_size=1).filter(lambda text: not text.isascii()))
def test_any_quoted_path_survives(text: str) -> None:
    if text[0] in "'\"":
        return
    tidied = tidy_override(f"data.path={text}")
    assert str(OverridesParser.create().parse_override(tidied).value()) == text
