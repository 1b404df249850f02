"""`task=generate agent=…`: a schedule's agent chooses how each piece of text is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from infinito.cli.typed_values import parse
from infinito.config import GenerationConf, RunConf
from infinito.errors import CheckpointError
from infinito.models.assembly import open_trained_model
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.trained import Trained
from infinito.objectives.phi import Calibration
from infinito.rl.assembly import describe_schedule
from infinito.rl.evaluation.controls import compute_action_probabilities
from infinito.rl.generation.guided_generation import ChooseAction, generate_guided
from infinito.rl.ppo.policy_files import (
    build_policy,
    extract_policy_weights,
    load_policy,
    read_policy_checkpoint,
)
from infinito.rl.ppo.ppo_module import check_description
from infinito.run_folder.folder import find_run_folder, saved_values
from infinito.run_folder.schedules import is_schedule
from infinito.run_folder.tables import print_table
from infinito.seeding import child_seed

Encode = Callable[[str, Trained], torch.Tensor]
Options = Callable[[GenerationConf, Trained], dict[str, Any]]


def run(
    conf: RunConf, prompts: Sequence[str], encode: Encode, build_options: Options, console: Console
) -> None:
    """Print each prompt with its continuation and the agent's actions, as text or as JSON.

    Args:
        prompts: The texts to continue.
        encode: Returns the token ids of a prompt.
        build_options: Returns the arguments of transformers' `generate`.
    """
    settings = conf.generation
    trained = open_trained_model(conf)
    choose, calibration = open_agent(str(conf.agent))
    for number, prompt in enumerate(prompts):
        torch.manual_seed(child_seed(conf.seed, "generate", number))
        text = generate_guided(
            trained.model,
            encode(prompt, trained),
            choose,
            calibration,
            build_options(settings, trained),
            settings.agent_every,
            conf.data.block_size,
        )
        words = trained.tokenizer.decode(text.ids[0], skip_special_tokens=True)
        if settings.json:
            print(json.dumps({"prompt": prompt, "text": words, **text.report()}))
            continue
        print(words)
        print_table(console, "\nagent", flatten_report(text.report()))


def open_agent(agent: str) -> tuple[ChooseAction, Calibration]:
    """Return an agent, which chooses its likeliest action, and the calibration of Φ in its run.

    Raises:
        CheckpointError: the path holds no schedule's agent, or one trained on other observations
            or actions.
    """
    if not is_schedule(agent):
        raise CheckpointError(f"`agent`={agent} is no run of `task=rl_scheduler`")
    path, checkpoint = read_policy_checkpoint(Path(agent))
    folder = find_run_folder(path)
    assert folder is not None
    conf = parse(saved_values(folder), combinations=False)
    check_description(checkpoint["infinito"], describe_schedule(conf), f"the run {folder}")
    policy = build_policy(conf.rl.net_arch)
    load_policy(policy, extract_policy_weights(checkpoint), path)
    calibration = Calibration(*read_checkpoint(folder / "start_states.ckpt")["calibration"])
    return (
        lambda observation: int(compute_action_probabilities(policy, observation)[0].argmax()),
        calibration,
    )


def flatten_report(report: dict[str, Any]) -> dict[str, Any]:
    """Return the nested figures under joined names."""
    flat: dict[str, Any] = {}
    for name, value in report.items():
        if isinstance(value, dict):
            flat |= {f"{name} {key}": each for key, each in value.items()}
        else:
            flat[name] = value
    return flat
