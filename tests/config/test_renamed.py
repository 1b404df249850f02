"""Keys of earlier versions: read in saved configurations, answered on the command line."""

from __future__ import annotations

import dataclasses

import pytest

from infinito.cli.composition import check
from infinito.config import RENAMED_KEYS, RlConf, is_renamed, translate_renamed
from infinito.errors import ConfigError
from infinito.paths import conf_dir


def test_every_present_name_is_a_key_and_no_earlier_name_is() -> None:
    names = {field.name for field in dataclasses.fields(RlConf)}
    assert set(RENAMED_KEYS["rl"].values()) <= names
    assert not set(RENAMED_KEYS["rl"]) & names


def test_a_saved_configuration_gets_the_present_names() -> None:
    saved = {"seed": 1, "rl": {"entropy": 0.1, "envs": 4, "gamma": 0.9}, "other": {"value": 2}}
    assert translate_renamed(saved) == {
        "seed": 1,
        "rl": {"ent_coef": 0.1, "n_envs": 4, "gamma": 0.9},
        "other": {"value": 2},
    }
    assert translate_renamed({"seed": 1}) == {"seed": 1}


def test_only_the_sections_own_keys_are_renamed() -> None:
    assert is_renamed("rl.entropy")
    assert not is_renamed("entropy")
    assert not is_renamed("rl.reward.value")


@pytest.mark.parametrize(
    ("override", "answer"),
    [
        ("rl.entropy=0.1", r"`rl\.entropy` \(command line\).*it is called `rl\.ent_coef` now"),
        ("rl.hidden=[8]", r"it is called `rl\.net_arch` now"),
        ("rl.eval_freq=9", r"stable-baselines3's name for `rl\.validate_every`"),
    ],
)
def test_other_names_are_answered(override: str, answer: str) -> None:
    with pytest.raises(ConfigError, match=answer):
        check(["+experiment=rl_quick", override], conf_dir())


def test_other_names_in_a_sweep_are_answered() -> None:
    swept = ["+experiment=rl_quick", "rl.entropy=0.1,0.2"]
    with pytest.raises(ConfigError, match=r"`rl\.entropy` .*it is called `rl\.ent_coef` now"):
        check(swept, conf_dir(), sweep=True)
