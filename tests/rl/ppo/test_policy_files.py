"""The policy of a run is its best checkpoint; other files are refused by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from infinito.errors import CheckpointError
from infinito.models.checkpoint_file import write_checkpoint
from infinito.rl.ppo.policy_files import (
    build_policy,
    extract_policy_weights,
    load_policy,
    read_policy_checkpoint,
)


def write(path: Path, kind: str = "rl_scheduler") -> Path:
    path.parent.mkdir(exist_ok=True)
    policy = {f"policy.{name}": value for name, value in build_policy([4]).state_dict().items()}
    content = {"infinito": {"format": 1, "kind": kind}, "state_dict": {**policy, "other": 1}}
    write_checkpoint(content, path)
    return path


def test_a_run_folder_names_its_best_checkpoint_or_its_last(tmp_path: Path) -> None:
    last = write(tmp_path / "checkpoints/last.ckpt")
    assert read_policy_checkpoint(tmp_path)[0] == last
    best = write(tmp_path / "checkpoints/best.ckpt")
    assert read_policy_checkpoint(tmp_path)[0] == best
    assert read_policy_checkpoint(last)[0] == last


def test_weights_survive_the_file(tmp_path: Path) -> None:
    path, checkpoint = read_policy_checkpoint(write(tmp_path / "checkpoints/best.ckpt"))
    policy = build_policy([4])
    load_policy(policy, extract_policy_weights(checkpoint), path)
    for name, value in policy.state_dict().items():
        assert torch.equal(value, checkpoint["state_dict"][f"policy.{name}"])


def test_a_policy_of_other_widths_is_refused(tmp_path: Path) -> None:
    path, checkpoint = read_policy_checkpoint(write(tmp_path / "checkpoints/best.ckpt"))
    with pytest.raises(CheckpointError, match=r"does not fit this run's policy.*`rl.net_arch`"):
        load_policy(build_policy([8]), extract_policy_weights(checkpoint), path)


def test_a_checkpoint_of_a_language_model_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "checkpoints/best.ckpt", kind="language_model")
    with pytest.raises(CheckpointError, match="holds no policy of a schedule"):
        read_policy_checkpoint(path)
