"""Comparison: seeds put together, differences named, no test on identical numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.tasks import compare
from infinito.tasks.compare import grouped, interval, opened, verdict


def test_interval_by_hand() -> None:
    """1, 2, 3: mean 2, standard error 1/√3, t(0.975, 2) = 4.3027: half-width 2.4841."""
    mean, half = interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(2.48414, abs=1e-4)


def test_equal_numbers_are_identical_runs_not_p_nan() -> None:
    assert verdict([1.5, 1.5], [1.5, 1.5]) == "identical runs"
    assert verdict([1.5, 1.5], [1.6, 1.6]) == "no spread over seeds: no test"
    assert verdict([1.5], [1.6]) == "one seed: no interval"


def test_welch_agrees_with_scipy() -> None:
    first, second = [1.0, 1.2, 1.1], [2.0, 2.3, 1.9]
    p = stats.ttest_ind(second, first, equal_var=False).pvalue
    assert f"p = {p:.2g}" in verdict(first, second)


def test_runs_are_put_together_by_seed_and_compared(
    trained: Callable[..., Path],
    configured: Callable[..., RunConf],
    capsys: pytest.CaptureFixture[str],
) -> None:
    folders = [
        trained(f"seed={seed}", f"optimizer.lr={lr}", folder=f"{lr}-{seed}")
        for lr in (0.001, 0.01)
        for seed in (0, 1)
    ]
    groups = grouped([opened(folder) for folder in folders])
    assert [len(group) for group in groups] == [2, 2]
    capsys.readouterr()
    runs = ",".join(map(str, folders))
    compare.run(configured("task=compare", f"runs=[{runs}]"), Path("unused"), [])
    printed = capsys.readouterr().out
    assert "optimizer.lr" in printed
    assert "val/loss" in printed
    assert "p =" in printed


def test_unfinished_runs_are_refused(trained: Callable[..., Path]) -> None:
    folder = trained()
    (folder / "summary.json").unlink()
    with pytest.raises(CheckpointError, match="has not finished"):
        opened(folder)
