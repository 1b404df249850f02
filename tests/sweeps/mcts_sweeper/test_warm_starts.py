"""Sweeps that begin with the trials of earlier ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from infinito.errors import ConfigError
from infinito.sweeps.record.history import read_prior
from infinito.sweeps.record.journal import read
from tests.sweeps.mcts_sweeper.tiny_sweeps import Swept, proposals, trials_of


def test_a_sweep_learns_from_earlier_ones(
    swept: Swept, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    earlier = swept("hydra.sweeper.n_trials=10", folder="earlier")
    warm = swept("hydra.sweeper.warm_start=[earlier]", "hydra.sweeper.n_trials=10", folder="warm")
    assert "warm start: the search learns from 10 earlier trials" in capfd.readouterr().out
    table = "hydra.sweeper.warm_start=[earlier/trials.csv]"
    from_csv = swept(table, "hydra.sweeper.n_trials=10", folder="csv")
    assert read_prior(read(warm / "journal.jsonl")) == trials_of(earlier)
    assert proposals(warm) == proposals(from_csv)
    (tmp_path / "short.csv").write_text("x,lr,n,value\n1,2,3,4\n")
    with pytest.raises(ConfigError, match="has no column `kind`; expected one for each of x, lr"):
        swept("hydra.sweeper.warm_start=[short.csv]", folder="none")
    with pytest.raises(ConfigError, match="none of its 10 trials is a finished point"):
        swept("hydra.sweeper.warm_start=[earlier]", "x=interval(5.0,6.0)", folder="none")
    with pytest.raises(ConfigError, match=r"its directions are \['minimize'\], those of this"):
        swept("hydra.sweeper.warm_start=[earlier]", "hydra.sweeper.direction=maximize")


def test_scores_of_another_meaning_are_not_learned_from(swept: Swept) -> None:
    swept("+score=loss", folder="earlier")
    with pytest.raises(ConfigError, match=r"its scores are `score`=loss, .* `score`=accuracy"):
        swept("hydra.sweeper.warm_start=[earlier]", "+score=accuracy")


def test_a_kill_before_the_sweep_began_loses_no_earlier_trial(swept: Swept) -> None:
    swept(folder="earlier")
    warm = ("hydra.sweeper.warm_start=[earlier]", "hydra.sweeper.n_trials=10")
    journal = swept(*warm) / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for left in range(1, 4):
        shutil.rmtree(journal.parent)
        journal.parent.mkdir()
        journal.write_bytes(b"".join(lines[:left])[:-1])
        swept(*warm, "hydra.sweeper.resume=sweep")
        assert len(read_prior(read(journal))) == 3
        assert proposals(journal.parent) == proposals(swept(*warm, folder=f"calm{left}"))


def test_earlier_trials_may_cover_the_space(
    swept: Swept, capsys: pytest.CaptureFixture[str]
) -> None:
    space = ("n=1,2", "kind=good,bad")
    swept("hydra.sweeper.n_trials=4", space=space, folder="earlier")
    swept("hydra.sweeper.warm_start=[earlier]", space=space)
    assert "every point of the space has been tried, in 0 trials" in capsys.readouterr().out
    swept("hydra.sweeper.warm_start=[earlier]", space=("n=1,3", space[1]), folder="other")
    assert "earlier trials; 2 with scores are no points of this space" in capsys.readouterr().out
