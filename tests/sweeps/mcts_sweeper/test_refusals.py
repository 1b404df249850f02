"""Commands that no sweep can follow are refused before the first trial."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.errors import ConfigCompositionException

from infinito.errors import ConfigError, SaveError
from tests.sweeps.mcts_sweeper.tiny_sweeps import Swept


@pytest.mark.parametrize(
    ("overrides", "error"),
    [
        ((), "no parameter to search"),
        (("x=interval(1.0,1.0)",), "is empty"),
        (("x=interval(1.0,0.5)",), "is reversed"),
        (("lr=tag(log,interval(0.0,1.0))",), "logarithm of 0"),
        (("n=range(5,5)",), r"range\(5,5,1\) is empty"),
        (("n=range(1,5)", "hydra.sweeper.conditions=['n > 9']"), "satisfies `n > 9`"),
        (("n=range(1,5)", "hydra.sweeper.conditions=['m > 9']"), "names `m`"),
        (("n=range(1,5)", "hydra.sweeper.strategy=guess"), "expected one of tree, uct, random"),
        (("n=range(1,5)", "hydra.sweeper.direction=down"), "expected `minimize` or `maximize`"),
        (("n=range(1,5)", "hydra.sweeper.n_trials=0"), r"n_trials`=0: expected at least 1"),
        (("n=range(1,5)", "hydra.sweeper.trial_timeout_s=-1"), "above 0, or null"),
        (("n=range(1,5)", "hydra.sweeper.max_failure_rate=2"), "a share from 0 to 1"),
        (("+hydra.sweeper.params={n:'range(1'}",), "cannot be read"),
        (("n=range(1,5)", "hydra.sweeper.warm_start=[nowhere]"), "no such folder or file"),
    ],
)
def test_what_cannot_be_searched_is_refused_without_a_folder(
    swept: Swept, overrides: tuple[str, ...], error: str
) -> None:
    with pytest.raises(ConfigError, match=error):
        swept(*overrides, space=())
    assert not Path("sweep").exists()


def test_a_key_that_the_task_lacks_ends_the_sweep_at_once(swept: Swept) -> None:
    with pytest.raises(ConfigCompositionException, match="Could not override 'xx'"):
        swept("xx=interval(0.0,1.0)")


def test_a_folder_is_not_taken_twice(swept: Swept) -> None:
    swept()
    with pytest.raises(ConfigError, match=r"already holds a sweep: .*resume=sweep"):
        swept()


def test_hydras_own_settings_are_not_searched(swept: Swept) -> None:
    with pytest.raises(ConfigError, match="Sweeping over Hydra's configuration is not supported"):
        swept("+hydra.sweeper.params={hydra.verbose:'true,false'}")


def test_a_read_only_folder_is_refused(swept: Swept, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="Cannot write"):
        swept(folder="file/sweep")


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("direction=3", "`hydra.sweeper.direction`=3: expected `minimize` or `maximize`, or a"),
        ("exploration=-1", "`hydra.sweeper.exploration`=-1.0; expected 0 or more"),
        ("max_depth=-3", "`hydra.sweeper.max_depth`=-3; expected 0 or more"),
    ],
)
def test_settings_that_make_no_sense(swept: Swept, override: str, fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        swept(f"hydra.sweeper.{override}")
