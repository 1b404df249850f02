"""The one table of what each task reads; refusals, resume, takeover and help all come from it.

A key that a task does not read is refused where a person types it. `tests/cli/test_read_by.py` runs
every task with a configuration that records what is read, and holds the table against the record.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from infinito.cli.defaults import default_values
from infinito.config import TASKS, VARIANTS, ChatDataConf, DataConf, PairsConf, RunConf, SkillsConf

PUSHES = frozenset({"push", "push_private"})

SELECTORS = {"attention": "attention.metric"}
"""The key that a group's option sets, where it is not `<section>.name`."""

PLACES = {"memory": "model.memory", "rl/reward": "rl.reward"}
"""Where a group lies in the configuration, if not under its own name."""


def leaves(schema: type = RunConf, prefix: str = "") -> Iterator[str]:
    """Yield the dotted key of every value that a configuration can hold, for all variants."""
    hints = typing.get_type_hints(schema)
    for entry in dataclasses.fields(schema):
        key = f"{prefix}{entry.name}"
        if dataclasses.is_dataclass(hints[entry.name]):
            for variant in VARIANTS.get(key, {"": hints[entry.name]}).values():
                yield from leaves(variant, f"{key}.")
        else:
            yield key


ALL = frozenset(leaves())


def keys(*names: str) -> frozenset[str]:
    """Return the keys that the names mean: a key itself, or every key of a section."""
    found = {key for key in ALL for name in names if key == name or key.startswith(f"{name}.")}
    assert all(any(key.startswith(name) for key in found) for name in names), names
    return frozenset(found)


RUN = keys("task", "name", "runs_dir")
"""Keys that name the folder of any command."""

COMPUTES = keys("trainer.accelerator", "trainer.threads")

BATCHES = frozenset(leaves(DataConf, "data."))

PAIRS = frozenset(leaves(PairsConf, "data."))

CHAT = frozenset(leaves(ChatDataConf, "data."))

SKILLS = frozenset(leaves(SkillsConf, "data."))

LEARNS = ("data.bucket", "data.text_rows", "data.text_path")
"""Keys of conversations that only a training reads."""

TEXT = keys("data") - ((PAIRS | CHAT | SKILLS) - BATCHES - keys("data.path", "data.revision"))

MODEL = keys("model", "attention", "tokenizer")
"""Keys that a trained model fixes."""

REPEATS = keys("seed", "deterministic")

SHOWS = keys("trainer.progress_bar", "trainer.log_every", "trainer.sample_tokens")
"""Keys that change what a training shows, not what it computes."""

SAMPLES = keys("generation") - keys(
    "generation.agent_every", "generation.json", "generation.prompt", "generation.prompts_file"
)
"""How answers are drawn, where the task brings the prompts."""

DRAWS = SAMPLES - keys("generation.max_new_tokens")
"""How a training draws its sample text, of `trainer.sample_tokens`."""

READS_SCHEDULE = (
    RUN | TEXT | keys("checkpoint", "seed", "trainer.threads", "rl", "optimizer.clip_norm")
) - keys(
    "rl.base_checkpoint",
    "rl.base_steps",
    "rl.base_batch_size",
    "rl.start_states",
    "rl.start_state_steps",
    "rl.export_zip",
    "rl.policy_zip",
    "rl.allow_pickle",
    "rl.save_freq",
    "rl.keep",
    "rl.patience",
    "rl.validate_every",
    "rl.total_timesteps",
)
"""What it takes to open a trained schedule and play it; its saved start states fix the rest."""

TRAINS = (
    RUN
    | REPEATS
    | MODEL
    | keys("optimizer", "trainer", "checkpoint")
    - keys("trainer.stop_bad", "trainer.minutes", "trainer.pause_at", "trainer.paused_in")
)
"""What every training of a model reads."""

CHECKS_PAIRS = (RUN | PAIRS | keys("checkpoint")) - keys(
    "data.batch_size", "data.eval_batch_size", "data.workers", "data.cache_dir"
)

CHECKS_CHAT = (RUN | CHAT | keys("checkpoint", "tokenizer")) - keys(
    *("data.batch_size", "data.eval_batch_size", "data.workers", "data.cache_dir"),
    *("data.layout", "data.on_bad_row"),
    *LEARNS,
)

READ_BY: dict[str, frozenset[str]] = {
    "train": (
        (TRAINS | TEXT | DRAWS)
        | keys("objective", "score", "resume", "dry_run", "trainer.minutes", "logger", *PUSHES)
    ),
    "train on conversations": (
        (TRAINS | CHAT | SKILLS | DRAWS)
        | keys("objective.name", "score", "resume", "dry_run", "logger", *PUSHES)
    )
    - keys("trainer.compile", "trainer.chunked_loss", "data.workers"),
    "trial": (
        (TRAINS | TEXT | keys("objective", "score", "entropy_weight"))
        | keys("trainer.stop_bad", "trainer.pause_at", "trainer.paused_in")
    )
    - (SHOWS | keys("trainer.checkpoint_every")),
    "reproducibility": TRAINS | TEXT | DRAWS | keys("objective"),
    "evaluate": (
        (RUN | COMPUTES | TEXT)
        | keys("checkpoint", "split", "score", "seed", "trainer.precision")
        | keys("attention.backend", "model.memory.evaluation")
    ),
    "evaluate on conversations": (
        RUN
        | COMPUTES
        | (CHAT | SKILLS) - keys("data.workers", "data.cache_dir", *LEARNS)
        | keys("checkpoint", "score", "seed", "trainer.precision", "split")
        | keys("attention.backend", "model.memory.evaluation")
    ),
    "evaluate a schedule": READS_SCHEDULE,
    "lm_eval": (
        (RUN | COMPUTES | keys("checkpoint", "lm_eval", "seed", "trainer.precision"))
        | keys("attention.backend", "model.memory.evaluation")
    ),
    "analyze": (RUN | COMPUTES | TEXT | keys("checkpoint", "split", "seed", "attention.backend")),
    "calibrate_phi": (
        RUN | COMPUTES | TEXT | keys("checkpoint", "seed", "objective", "attention.backend")
    ),
    "report": RUN | keys("checkpoint"),
    "report on a schedule": (READS_SCHEDULE | keys("rl.total_timesteps"))
    - keys("rl.episodes", "rl.null_control"),
    "generate": (
        (RUN | COMPUTES | keys("checkpoint", "agent", "seed", "generation", "attention.backend"))
        - keys("generation.agent_every")
    ),
    "generate with an agent": (
        RUN
        | COMPUTES
        | keys("checkpoint", "agent", "seed", "generation", "attention.backend", "data.block_size")
    ),
    "chat": (RUN | COMPUTES | SAMPLES | keys("checkpoint", "seed", "chat", "attention.backend")),
    "serve": (RUN | COMPUTES | SAMPLES | keys("checkpoint", "seed", "attention.backend", "serve"))
    | keys("chat") - keys("chat.overflow"),
    "dpo": (
        (TRAINS | PAIRS | SAMPLES | keys("dpo", "score", "resume", "dry_run", "logger", *PUSHES))
        - keys("trainer.compile", "trainer.chunked_loss", "trainer.sample_tokens", "data.workers")
        - keys("dpo.reference_checkpoint")
    ),
    "check_data of conversations": CHECKS_CHAT,
    "check_data": (CHECKS_PAIRS | keys("tokenizer")) - keys("data.on_bad_row"),
    "score_pairs": (
        CHECKS_PAIRS | COMPUTES | keys("dpo.beta", "dpo.layout", "dpo.reference_checkpoint")
    ),
    "rl_scheduler": (
        (RUN | REPEATS | MODEL | TEXT)
        | keys("rl", "optimizer.clip_norm", "score", "resume", "dry_run", "logger")
        | keys("trainer.accelerator", "trainer.threads", "trainer.progress_bar")
    ),
    "pipeline": (
        RUN
        | REPEATS
        | keys("data.cache_dir", "resume", "stage_overrides")
        | keys("trainer.accelerator", "trainer.threads", "trainer.progress_bar")
    ),
    "compare": RUN | keys("runs"),
    "search_report": RUN | keys("runs"),
    "export_sweep": RUN | keys("runs"),
    "doctor": RUN | keys("data.cache_dir"),
    "list": RUN,
}
"""The keys that each task reads; some read others where a checkpoint or an agent says so."""

READ_BY["dpo with adapters on a checkpoint"] = (
    READ_BY["dpo"] - keys("tokenizer") - keys("dpo.warmup_steps", "dpo.warmup_lr")
)
READ_BY["dpo from a checkpoint"] = READ_BY["dpo with adapters on a checkpoint"] - MODEL

READ_BY["train adapters on conversations"] = READ_BY["train on conversations"] - keys("tokenizer")
READ_BY["train a checkpoint on conversations"] = READ_BY["train on conversations"] - MODEL

CONVERSATIONS = ("chat", "skills")
"""Names of `data` that hold conversations."""

OF_MODEL = ("model", "attention", "tokenizer", "data")
OF_SCHEDULE = (*OF_MODEL, "rl", "optimizer")

TAKEN: dict[str, tuple[str, ...]] = {
    "evaluate": OF_MODEL,
    "evaluate on conversations": OF_MODEL,
    "evaluate a schedule": OF_SCHEDULE,
    "analyze": OF_MODEL,
    "lm_eval": OF_MODEL,
    "calibrate_phi": OF_MODEL,
    "report on a schedule": OF_SCHEDULE,
    "generate": OF_MODEL,
    "generate with an agent": OF_MODEL,
    "chat": OF_MODEL,
    "serve": OF_MODEL,
}
"""Sections that a task takes from the run that `checkpoint` names, but for the keys it reads."""

CONTINUABLE = keys(
    *("rl.total_timesteps", "rl.learning_rate", "rl.lr_schedule", "rl.clip_range", "rl.ent_coef"),
    *("rl.max_grad_norm", "rl.validate_every", "rl.save_freq", "rl.keep", "rl.patience"),
)
"""Keys that a schedule's training may go on with changed."""


def find_reading(values: Mapping[str, Any], saved: Mapping[str, Any] | None) -> str:
    """Return the row of the table for a command.

    Args:
        values: Of the command.
        saved: Of the run that its checkpoint belongs to, where there is one.
    """
    task = str(values["task"])
    if values.get("data", {}).get("name") in CONVERSATIONS:
        if task == "train" and values.get("checkpoint") is not None:
            is_pretrained = values["model"].get("name") == "pretrained"
            kind = "adapters on conversations" if is_pretrained else "a checkpoint on conversations"
            return f"train {kind}"
        if f"{task} on conversations" in READ_BY:
            return f"{task} on conversations"
        if task == "check_data":
            return "check_data of conversations"
    if task == "evaluate" and saved is not None and saved.get("task") == "rl_scheduler":
        return "evaluate a schedule"
    if task == "report" and saved is not None and saved.get("task") == "rl_scheduler":
        return "report on a schedule"
    if task == "generate" and values.get("agent") is not None:
        return "generate with an agent"
    if task == "dpo" and values.get("checkpoint") is not None:
        is_pretrained = values["model"].get("name") == "pretrained"
        return "dpo with adapters on a checkpoint" if is_pretrained else "dpo from a checkpoint"
    return task


def find_section(key: str) -> str:
    """Return the part of the configuration that a typed key or group sets."""
    return PLACES.get(key, key)


def unread(reading: str, typed: str, values: Mapping[str, Any]) -> frozenset[str]:
    """Return the keys that a typed key or group sets and that a row of the table does not read.

    A group's option counts as its selector, `<section>.name`, and what it sets to other values
    than the schema's own.
    """
    section = find_section(typed)
    below = keys(section) if section in ALL or any(k.startswith(f"{section}.") for k in ALL) else ()
    if section in below or not below:
        return frozenset(below) - READ_BY.get(reading, ALL)
    selector = SELECTORS.get(section, f"{section}.name")
    if selector in below:
        return frozenset({selector}) - READ_BY[reading]
    return frozenset(key for key in below - READ_BY[reading] if _differs(key, values))


def readers(key: str) -> list[str]:
    """Return the tasks that read a key, in the order in which `task=list` names them."""
    rows = [row for row, read in READ_BY.items() if key in read]
    return [task for task in TASKS if any(row.split()[0] == task for row in rows)]


def _differs(key: str, values: Mapping[str, Any]) -> bool:
    default: Any = default_values(RunConf)
    value: Any = values
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return False
        value, default = value[part], default[part]
    return bool(value != default)
