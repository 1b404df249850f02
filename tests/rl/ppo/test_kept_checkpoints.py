"""Pruning keeps the checkpoints that `rl.keep` names."""

from __future__ import annotations

from pathlib import Path

from infinito.rl.ppo.kept_checkpoints import find_prunable


def test_pruning_by_hand(tmp_path: Path) -> None:
    """every:20 of 10, 25, 30, 40, 55: the first at or after 20 and 40; 55 is before 60."""
    for steps in (10, 25, 30, 40, 55):
        (tmp_path / f"step_{steps:09d}.ckpt").touch()
    (tmp_path / "best.ckpt").touch()
    gone = [int(path.stem.removeprefix("step_")) for path in find_prunable(tmp_path, ["every:20"])]
    assert gone == [10, 30, 55]
