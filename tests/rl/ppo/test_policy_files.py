"""The policy of a run is its best checkpoint; other files are refused by name."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from stable_baselines3 import PPO

from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.rl.assembly import build_ppo
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.ppo.policy_files import (
    build_policy,
    extract_policy_weights,
    import_zip,
    load_policy,
    read_policy_checkpoint,
)

Make = Callable[..., RunConf]

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


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


def test_the_zip_opens_in_stable_baselines3_and_here(
    finished: Path,
    rl_configured: Make,
    shared: SharedParts,
) -> None:
    best = read_checkpoint(finished / "checkpoints/best.ckpt")["state_dict"]
    theirs = PPO.load(finished / "agent.zip", device="cpu")
    ours = build_ppo(rl_configured(), shared)
    import_zip(ours, finished / "agent.zip")
    for ppo in (theirs, ours):
        for name, value in ppo.policy.state_dict().items():
            assert torch.equal(best[f"policy.{name}"], value)


def test_bad_zips_are_refused(
    finished: Path,
    tmp_path: Path,
    rl_configured: Make,
    shared: SharedParts,
) -> None:
    ppo = build_ppo(rl_configured(), shared)
    with pytest.raises(CheckpointError, match="there is no such file"):
        import_zip(ppo, tmp_path / "absent.zip")
    data = (finished / "agent.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        import_zip(ppo, tmp_path / "cut.zip")
    with zipfile.ZipFile(finished / "agent.zip") as source:
        content = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as target:
        for name in set(content) - {"infinito.json"}:
            target.writestr(name, content[name])
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("policy.pth", content["policy.pth"])
    packed = bytearray((tmp_path / "packed.zip").read_bytes())
    packed[60:100] = b"\xff" * 40
    (tmp_path / "packed.zip").write_bytes(packed)
    with pytest.raises(CheckpointError, match="is no zip file, or a damaged one"):
        import_zip(ppo, tmp_path / "packed.zip")
    with pytest.raises(CheckpointError, match=r"not written by infinito.*can run any code"):
        import_zip(ppo, tmp_path / "foreign.zip")
    import_zip(ppo, tmp_path / "foreign.zip", allow_pickle=True)
    wide = build_ppo(rl_configured("rl.net_arch=[16]"), shared)
    with pytest.raises(CheckpointError, match="does not fit this run's policy"):
        import_zip(wide, finished / "agent.zip")
