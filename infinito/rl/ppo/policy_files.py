"""Reads and writes policies: from checkpoints, and as zip files of stable-baselines3."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from stable_baselines3 import PPO
from stable_baselines3.common.policies import ActorCriticPolicy
from torch import nn

from infinito.errors import CheckpointError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.rl.environment.spaces import build_action_space, build_observation_space
from infinito.storage import locked

POLICY_PREFIX = "policy."
_MARK = "infinito.json"
"""File that marks a zip as written by infinito: its tensors are read without unpickling."""


def extract_policy_weights(checkpoint: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Return the policy's weights in a checkpoint, by the policy's own parameter names."""
    return {
        name.removeprefix(POLICY_PREFIX): value
        for name, value in checkpoint["state_dict"].items()
        if name.startswith(POLICY_PREFIX)
    }


def build_policy(widths: Sequence[int]) -> ActorCriticPolicy:
    """Return a new policy without environments, with tanh layers of these widths."""
    return ActorCriticPolicy(
        build_observation_space(),
        build_action_space(),
        lambda _: 0.0,
        net_arch=list(widths),
        activation_fn=nn.Tanh,
    )


def load_policy(policy: ActorCriticPolicy, weights: dict[str, torch.Tensor], source: Path) -> None:
    """Load weights into a policy.

    Raises:
        CheckpointError: names or shapes differ, e.g. for another observation or other layers.
    """
    try:
        policy.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(
            f"{source} does not fit this run's policy (another observation, action set or "
            f"`rl.net_arch`): {' '.join(str(error).split())[:400]}"
        ) from None


def export_zip(ppo: PPO, checkpoint: Path, target: Path) -> None:
    """Write a checkpoint's policy as a zip file that `PPO.load` of stable-baselines3 opens."""
    load_policy(ppo.policy, extract_policy_weights(read_checkpoint(checkpoint)), checkpoint)
    wrapper = ppo.policy.optimizer  # Lightning's, after a training; it cannot be saved
    ppo.policy.optimizer = getattr(wrapper, "optimizer", wrapper)
    with locked(target):
        partial = target.with_name(f"{target.stem}.partial.zip")
        ppo.save(partial, exclude=["env", "rollout_buffer", "ep_info_buffer", "lr_schedule"])
        with zipfile.ZipFile(partial, "a") as archive:
            archive.writestr(_MARK, json.dumps({"checkpoint": str(checkpoint)}))
        partial.replace(target)


def import_zip(ppo: PPO, path: Path, allow_pickle: bool = False) -> None:
    """Load the policy of a zip file into PPO.

    Args:
        allow_pickle: Open a zip that infinito did not write, which unpickles its content.

    Raises:
        CheckpointError: the zip is missing or damaged, its policy has another shape, or infinito
            did not write it and `allow_pickle` is false.
    """
    if not path.is_file():
        raise CheckpointError(f"`rl.policy_zip`={path}: there is no such file")
    try:
        with zipfile.ZipFile(path) as archive:
            names, damaged = archive.namelist(), archive.testzip()
            content = archive.read("policy.pth") if "policy.pth" in names else None
    except (zipfile.BadZipFile, zlib.error, OSError, NotImplementedError) as error:
        raise CheckpointError(f"{path} is no zip file, or a damaged one: {error}") from None
    if damaged is not None or content is None:
        raise CheckpointError(
            f"{path} is damaged or no agent of stable-baselines3: expected an intact policy.pth"
        )
    if _MARK not in names and not allow_pickle:
        raise CheckpointError(
            f"{path} was not written by infinito. Such a zip may hold pickled objects, and "
            "unpickling can run any code. If you trust its source, use `rl.allow_pickle=true`."
        )
    load_policy(ppo.policy, _tensors(content, path, _MARK not in names), path)


def _tensors(content: bytes, path: Path, unpickle: bool) -> dict[str, torch.Tensor]:
    try:
        tensors: dict[str, torch.Tensor] = torch.load(
            io.BytesIO(content), map_location="cpu", weights_only=not unpickle
        )
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    return tensors


def read_policy_checkpoint(path: Path) -> tuple[Path, dict[str, Any]]:
    """Return the checkpoint file that a path names, and its content.

    Args:
        path: A checkpoint file, or a run folder with a best or at least a last checkpoint.

    Raises:
        CheckpointError: the file is missing or damaged, or holds no schedule's policy.
    """
    if path.is_dir():
        names = (path / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
        path = next((each for each in names if each.is_file()), path / "checkpoints/best.ckpt")
    checkpoint = read_checkpoint(path)
    if checkpoint["infinito"].get("kind") != "rl_scheduler":
        raise CheckpointError(f"{path} holds no policy of a schedule (`task=rl_scheduler`)")
    return path, checkpoint
