"""`task=generate agent=…`: a schedule's agent chooses how text is decoded, piece by piece."""

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
from infinito.rl.evaluation.controls import probabilities
from infinito.rl.generation.guided_generation import Decide, written
from infinito.rl.ppo.policy_files import (
    load_policy,
    policy_checkpoint,
    policy_weights,
    unbound_policy,
)
from infinito.rl.ppo.ppo_module import check_description
from infinito.run_folder.folder import folder_of, saved_values
from infinito.run_folder.schedules import is_schedule
from infinito.run_folder.tables import print_table
from infinito.seeding import child_seed

Encode = Callable[[str, Trained, GenerationConf], torch.Tensor]
Options = Callable[[GenerationConf, Trained], dict[str, Any]]


def run(
    conf: RunConf, prompts: Sequence[str], encoded: Encode, sampling: Options, console: Console
) -> None:
    """Prints each prompt with its continuation and what the agent did; JSON if asked for.

    Args:
        prompts: What to continue.
        encoded: Makes token ids of a prompt.
        sampling: Makes the options of `generate`.
    """
    settings = conf.generation
    trained = open_trained_model(conf)
    decide, calibration = opened_agent(str(conf.agent))
    for number, prompt in enumerate(prompts):
        torch.manual_seed(child_seed(conf.seed, "generate", number))
        text = written(
            trained.model,
            encoded(prompt, trained, settings),
            decide,
            calibration,
            sampling(settings, trained),
            settings.agent_every,
            conf.data.block_size,
        )
        words = trained.tokenizer.decode(text.ids[0], skip_special_tokens=True)
        if settings.json:
            print(json.dumps({"prompt": prompt, "text": words, **text.report()}))
            continue
        print(words)
        print_table(console, "\nagent", flat(text.report()))


def opened_agent(agent: str) -> tuple[Decide, Calibration]:
    """What an agent decides, its likeliest action, and the calibration of Φ in its run.

    Raises:
        CheckpointError: it is no schedule's agent, or was trained on other observations or actions.
    """
    if not is_schedule(agent):
        raise CheckpointError(f"`agent`={agent} is no run of `task=rl_scheduler`")
    path, checkpoint = policy_checkpoint(Path(agent))
    folder = folder_of(path)
    assert folder is not None
    conf = parse(saved_values(folder), combinations=False)
    check_description(checkpoint["infinito"], describe_schedule(conf), f"the run {folder}")
    policy = unbound_policy(conf.rl.hidden)
    load_policy(policy, policy_weights(checkpoint), path)
    calibration = Calibration(*read_checkpoint(folder / "start_states.ckpt")["calibration"])
    return lambda seen: int(probabilities(policy, seen)[0].argmax()), calibration


def flat(report: dict[str, Any]) -> dict[str, Any]:
    """Nested figures by joined names."""
    found: dict[str, Any] = {}
    for name, value in report.items():
        if isinstance(value, dict):
            found |= {f"{name} {key}": each for key, each in value.items()}
        else:
            found[name] = value
    return found
