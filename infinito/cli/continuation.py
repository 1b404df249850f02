"""How a command builds on an older run: what it goes on with, and what it takes over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from infinito.cli.command_line import ADDED_GROUPS
from infinito.config import is_renamed
from infinito.errors import ConfigError, ResumeError
from infinito.run_folder.folder import GROUPS, difference, folder_of, saved_values

FROM_CHECKPOINT = ("model", "attention", "tokenizer")
"""Sections that a trained model fixes."""

FROM_START_STATES = (
    "rl.base_checkpoint",
    "rl.base_steps",
    "rl.base_batch_size",
    "rl.start_states",
    "rl.start_state_steps",
)
"""Keys that the saved start states of a schedule fix."""

READING_TASKS = ("evaluate", "generate", "analyze", "report", "calibrate_phi")
"""Tasks that read a trained model and take its configuration."""

CHANGEABLE = ("trainer.progress_bar", "trainer.log_every", "trainer.sample_tokens")
"""Keys that change what a resumed run shows, not what it computes."""

CONTINUABLE = (
    "rl.total_timesteps",
    "rl.learning_rate",
    "rl.lr_schedule",
    "rl.clip_range",
    "rl.ent_coef",
    "rl.max_grad_norm",
    "rl.validate_every",
    "rl.save_freq",
    "rl.keep",
    "rl.patience",
)
"""Keys that a schedule's training may go on with changed."""


def effective_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """The values a command means, where it builds on an older run; else `values` as they are.

    Args:
        values: Plain values as composed from the command line.
        overrides: The command line's overrides.

    Raises:
        ConfigError: the command changes what a checkpoint fixes.
        ResumeError: the command resumes a run with another configuration.
    """
    if values.get("resume") is not None:
        return _resumed_values(values, overrides)
    if values.get("checkpoint") == "last":
        newest = _newest(Path(str(values["runs_dir"])), "**/checkpoints/best.ckpt", "checkpoint")
        values = {**values, "checkpoint": str(newest)}
    if values.get("task") in READING_TASKS and values.get("checkpoint") is not None:
        return _reading_values(values, overrides)
    return dict(values)


def _resumed_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    folder = resumable(str(values["resume"]), Path(str(values["runs_dir"])), str(values["name"]))
    saved = saved_values(folder)
    typed = _typed_keys(overrides) - {"resume", "dry_run"}
    composes = any(key in GROUPS or key in ADDED_GROUPS for key in typed)
    is_schedule = saved.get("task") == "rl_scheduler"
    if is_schedule:
        typed = {key.replace("/", ".") for key in typed - set(ADDED_GROUPS)}
        typed |= {"task", *CONTINUABLE} if composes else set()
    elif composes:
        typed = set(values)
    if renamed := set(filter(is_renamed, typed)):
        return _with_keys(saved, values, renamed)  # for `parse` to say their present names
    asked = _with_keys(saved, values, typed)
    differences = [
        (key, old, new)
        for key, old, new in difference(saved, asked)
        if key not in (*CHANGEABLE, *CONTINUABLE, "resume", "dry_run")
    ]
    if differences:
        lines = [
            f"  {key}: the run has {old}, the command asks for {new}"
            for key, old, new in differences
        ]
        raise ResumeError(
            f"`resume`={folder} goes on with exactly the run's configuration, "
            "but these keys differ:\n"
            + "\n".join(lines)
            + f"\nLeave them out (`resume={folder}` alone suffices)"
            + (
                f", or start a new run from its weights with `checkpoint={folder}`"
                * (not is_schedule)
            )
            + "."
        )
    kept = _with_keys(saved, asked, {key for key in CHANGEABLE if key in typed})
    if "rl" in saved:
        kept = _with_keys(kept, asked, set(CONTINUABLE))
    return {**kept, "resume": str(folder), "dry_run": values.get("dry_run", False)}


def _reading_values(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    folder = folder_of(Path(str(values["checkpoint"])))
    if folder is None:
        return dict(values)
    saved = saved_values(folder)
    typed = _typed_keys(overrides)
    free = {"attention.backend"}
    if values["task"] == "evaluate" and saved["model"].get("memory", {}).get("name") != "none":
        free.add("model.memory.evaluation")
    fixes: tuple[str, ...] = FROM_CHECKPOINT
    if saved.get("task") == "rl_scheduler":
        fixes += FROM_START_STATES
    fixed = sorted(key for key in typed - free if {key, key.partition(".")[0]} & set(fixes))
    if fixed:
        raise ConfigError(
            [
                f"`{key}` is fixed by `checkpoint`={values['checkpoint']}: leave it out"
                for key in fixed
            ]
        )
    sections = [*FROM_CHECKPOINT, *([] if "data" in typed else ["data"])]
    if saved.get("task") == "rl_scheduler":
        sections += ["rl", "optimizer"]
    measures_phi = saved.get("objective", {}).get("name") == "language_phi"
    chosen = any(key.partition(".")[0] == "objective" for key in typed)
    if values["task"] == "calibrate_phi" and measures_phi and not chosen:
        sections.append("objective")
    merged = {**values, **{section: saved[section] for section in sections}}
    return _with_keys(merged, values, {key for key in typed if "." in key})


def resumable(resume: str, runs_dir: Path, name: str) -> Path:
    """The folder of the run to go on with; `last` is the newest of `runs_dir`/`name`.

    Raises:
        ResumeError: there is none, or it holds no checkpoint.
    """
    if resume == "last":
        return _newest(runs_dir / name, "**/checkpoints/last.ckpt", "resume")
    folder = Path(resume)
    folder = folder.parent.parent if folder.suffix == ".ckpt" else folder
    if not folder.is_dir():
        raise ResumeError(f"`resume`={resume}: there is no such run folder")
    if not (folder / "checkpoints/last.ckpt").is_file():
        raise ResumeError(
            f"`resume`={resume}: {folder} holds no checkpoints/last.ckpt, so nothing was saved "
            "to go on from. Start again without `resume`."
        )
    return folder


def _newest(root: Path, pattern: str, key: str) -> Path:
    files = list(root.glob(pattern))
    if not files:
        raise ResumeError(
            f"`{key}=last`: no run under {root} has a checkpoint. Name its folder, "
            f"`{key}=<run folder>`, or leave `{key}` out to start anew."
        )
    return max(files, key=lambda file: file.stat().st_mtime).parent.parent


def _typed_keys(overrides: Sequence[str]) -> set[str]:
    keys = {override.lstrip("+~").partition("=")[0] for override in overrides}
    return {key for key in keys if not key.startswith("hydra")}


def _with_keys(
    base: Mapping[str, Any], values: Mapping[str, Any], keys: set[str]
) -> dict[str, Any]:
    """`base` with the values of the dotted `keys` taken from `values`."""
    merged = OmegaConf.create(dict(base))
    source = OmegaConf.create(dict(values))
    for key in keys:
        OmegaConf.update(merged, key, OmegaConf.select(source, key), force_add=True)
    return OmegaConf.to_container(merged)  # type: ignore[return-value]
