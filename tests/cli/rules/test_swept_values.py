"""A value that no run could take ends a sweep before its first run."""

from __future__ import annotations

import re

import pytest

from infinito.cli.composition import check
from infinito.errors import ConfigError
from infinito.paths import conf_dir

SEARCH = ("hydra/sweeper=mcts", "task=trial")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            (*SEARCH, "trainer.accumulate=interval(1,4)"),
            "`trainer.accumulate`=1.0.*an integer.*`trainer.accumulate=int(interval(1,4))`",
        ),
        (
            (*SEARCH, "data.batch_size=tag(log,interval(8,64))"),
            "`data.batch_size=tag(log,int(interval(8,64)))`",
        ),
        (
            (*SEARCH, "+hydra.sweeper.params={attention.heads:'interval(1,4)'}"),
            "`attention.heads=int(interval(1,4))`",
        ),
        ((*SEARCH, "trainer.max_steps=interval(5,9)"), "`trainer.max_steps=int(interval(5,9))`"),
        ((*SEARCH, "optimizer.lr=interval(-1,1)"), "`optimizer.lr`=-1.0.*above 0"),
        (("seed=0,1.5",), "`seed`=1.5.*an integer"),
        (("trainer.max_steps=range(-5,20,5)",), "`trainer.max_steps`=-5.*at least"),
        (("attention.metric=dot,manhatan",), "`attention.metric`=manhatan.*one of"),
    ],
)
def test_it_is_refused(overrides: tuple[str, ...], message: str) -> None:
    pattern = re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(ConfigError, match=pattern):
        check(overrides, conf_dir(), sweep=True)


@pytest.mark.parametrize(
    "overrides",
    [
        (*SEARCH, "trainer.accumulate=int(interval(1,4))", "optimizer.lr=interval(1,2)"),
        ("seed=0,1", "attention=dot,l1", "attention.p=null,2", "trainer.max_steps=range(2,9)"),
        ("optimizer.betas=[0.9,0.99],[0.8,0.9]",),
        ("model=distance_lm,gpt2", "model.dropout=0,0.1"),
    ],
)
def test_others_are_taken(overrides: tuple[str, ...]) -> None:
    check(overrides, conf_dir(), sweep=True)
