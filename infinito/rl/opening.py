"""Opens the trained policy of a run, for evaluation."""

from __future__ import annotations

from pathlib import Path

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.rl.assembly import build_ppo, describe_schedule
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts
from infinito.rl.evaluation.controls import Policy, build_agent
from infinito.rl.ppo.policy_files import (
    extract_policy_weights,
    load_policy,
    read_policy_checkpoint,
)
from infinito.rl.ppo.ppo_module import check_description
from infinito.run_folder.folder import find_run_folder

POLICIES = ("agent", "agent, sampled")
"""The trained policy with its likeliest actions, and with actions drawn from its distribution."""


def open_schedule(conf: RunConf) -> tuple[SharedParts, dict[str, Policy], Path, int]:
    """Open the run that `checkpoint` names.

    Returns:
        The shared parts of its environments, its policy under both names of `POLICIES`, the
        checkpoint file, and the environment steps that trained the policy.

    Raises:
        CheckpointError: the policy is missing, or was trained for another reward, action set or
            observation.
    """
    source, checkpoint = read_policy_checkpoint(Path(str(conf.checkpoint)))
    check_description(checkpoint["infinito"], describe_schedule(conf), "this evaluation")
    folder = find_run_folder(source)
    assert folder is not None
    shared = load_shared_parts(conf, build_data_module(conf), folder)
    ppo = build_ppo(conf, shared)
    load_policy(ppo.policy, extract_policy_weights(checkpoint), source)
    policies = {name: build_agent(ppo.policy, sampled=name != POLICIES[0]) for name in POLICIES}
    return shared, policies, source, int(checkpoint["ppo"]["num_timesteps"])
