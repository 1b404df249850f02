"""Names that keys had in earlier versions, or have in other libraries, and their names here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED_KEYS: dict[str, dict[str, str]] = {
    "rl": {
        "envs": "n_envs",
        "entropy": "ent_coef",
        "value": "vf_coef",
        "hidden": "net_arch",
        "schedule": "lr_schedule",
        "ground_seed": "shared_seed",
        "lead_steps": "start_state_steps",
    },
}
"""Earlier name → present name of a key, by section. Saved configurations may have either."""

SB3_NAMES = {
    "policy_kwargs": "`rl.net_arch`",
    "eval_freq": "`rl.validate_every`",
    "n_eval_episodes": "`rl.validation_episodes`",
    "max_episode_steps": "`rl.max_steps`",
}
"""Arguments around PPO in stable-baselines3 and gymnasium, and the key that does the same here."""


def translate_renamed(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved configuration with every renamed key under its present name."""
    translated = dict(values)
    for section, names in RENAMED_KEYS.items():
        if isinstance(saved := translated.get(section), Mapping):
            translated[section] = {names.get(key, key): value for key, value in saved.items()}
    return translated


def is_renamed(key: str) -> bool:
    """Return whether a dotted key is the earlier name of a key."""
    section, _, name = key.rpartition(".")
    return name in RENAMED_KEYS.get(section, {})
