"""Fields with limits: what is written beside the field, and defaults that are not shared."""

from __future__ import annotations

from dataclasses import dataclass, fields

from infinito.config.limits import limited


@dataclass
class Settings:
    share: float = limited(0.1, above=0, at_most=1)
    names: list[str] = limited(["a"], choices=("a", "b"))


def test_only_the_limits_that_are_given_stand_beside_a_field() -> None:
    share, names = fields(Settings)
    assert dict(share.metadata) == {"above": 0, "at_most": 1}
    assert dict(names.metadata) == {"choices": ("a", "b")}


def test_a_list_is_a_new_one_for_each_section() -> None:
    one, other = Settings(), Settings()
    one.names.append("b")
    assert (other.names, Settings().names) == (["a"], ["a"])
