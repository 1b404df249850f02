"""A trained schedule, opened to be evaluated."""

from __future__ import annotations

from pathlib import Path

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.rl.assembly import build_ppo, describe_schedule
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts
from infinito.rl.evaluation.controls import Policy, agent
from infinito.rl.ppo.policy_files import extract_policy_weights, load_policy, read_policy_checkpoint
from infinito.rl.ppo.ppo_module import check_description
from infinito.run_folder.folder import folder_of, saved_values

POLICIES = ("agent", "agent, sampled")


def is_schedule(checkpoint: str | None) -> bool:
    """Whether a path names a run of `task=rl_scheduler` or a checkpoint of one."""
    folder = folder_of(Path(str(checkpoint)))
    return folder is not None and saved_values(folder).get("task") == "rl_scheduler"


def open_schedule(conf: RunConf) -> tuple[SharedParts, dict[str, Policy], Path, int]:
    """The shared of the run that `checkpoint` names, its policy in both forms, file and steps.

    Raises:
        CheckpointError: the policy is missing, or was trained for something else.
    """
    source, checkpoint = read_policy_checkpoint(Path(str(conf.checkpoint)))
    check_description(checkpoint["infinito"], describe_schedule(conf), "this evaluation")
    folder = folder_of(source)
    assert folder is not None
    shared = load_shared_parts(conf, build_data_module(conf), folder)
    ppo = build_ppo(conf, shared)
    load_policy(ppo.policy, extract_policy_weights(checkpoint), source)
    choosers = {name: agent(ppo.policy, sampled=name != POLICIES[0]) for name in POLICIES}
    return shared, choosers, source, int(checkpoint["ppo"]["num_timesteps"])
