"""A trained schedule, opened to be evaluated."""

from __future__ import annotations

from pathlib import Path

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.rl.assembly import build_ppo, describe_schedule
from infinito.rl.environment.shared_parts import Ground, load_ground
from infinito.rl.evaluation.controls import Chooser, agent
from infinito.rl.ppo.policy_files import load_policy, policy_checkpoint, policy_weights
from infinito.rl.ppo.ppo_module import check_description
from infinito.run_folder.folder import folder_of

POLICIES = ("agent", "agent, sampled")


def open_schedule(conf: RunConf) -> tuple[Ground, dict[str, Chooser], Path, int]:
    """The ground of the run that `checkpoint` names, its policy in both forms, file and steps.

    Raises:
        CheckpointError: the policy is missing, or was trained for something else.
    """
    source, checkpoint = policy_checkpoint(Path(str(conf.checkpoint)))
    check_description(checkpoint["infinito"], describe_schedule(conf), "this evaluation")
    folder = folder_of(source)
    assert folder is not None
    ground = load_ground(conf, build_data_module(conf), folder)
    ppo = build_ppo(conf, ground)
    load_policy(ppo.policy, policy_weights(checkpoint), source)
    choosers = {name: agent(ppo.policy, sampled=name != POLICIES[0]) for name in POLICIES}
    return ground, choosers, source, int(checkpoint["ppo"]["num_timesteps"])
