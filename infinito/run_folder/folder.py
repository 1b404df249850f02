"""Run folders: what they record, which one to go on with, and how a command builds on an older run.

<folder>/config.yaml overrides.yaml provenance.json run.log summary.json
<folder>/checkpoints/{best,last}.ckpt   <folder>/tensorboard/   <folder>/model/ (Hugging Face)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from infinito.cli.command_line import ADDED_GROUPS
from infinito.errors import CheckpointError, ConfigError, ResumeError

GROUPS = ("model", "attention", "data", "tokenizer", "optimizer", "trainer", "generation")
"""The groups of a configuration, each a section of its values."""

FROM_CHECKPOINT = ("model", "attention", "tokenizer")
"""Sections that a trained model fixes."""

FROM_START_STATES = (
    "rl.base_checkpoint",
    "rl.base_steps",
    "rl.base_batch_size",
    "rl.start_states",
    "rl.lead_steps",
)
"""Keys that the saved start states of a schedule fix."""

READING_TASKS = ("evaluate", "generate", "analyze", "report", "calibrate_phi")
"""Tasks that read a trained model and take its configuration."""

CHANGEABLE = ("trainer.progress_bar", "trainer.log_every", "trainer.sample_tokens")
"""Keys that change what a resumed run shows, not what it computes."""

CONTINUABLE = (
    "rl.total_timesteps",
    "rl.learning_rate",
    "rl.schedule",
    "rl.clip_range",
    "rl.entropy",
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


def saved_values(folder: Path) -> dict[str, Any]:
    """The configuration that a run folder records.

    Raises:
        CheckpointError: it is missing or unreadable.
    """
    path = folder / "config.yaml"
    try:
        values = OmegaConf.to_container(OmegaConf.load(path))
    except FileNotFoundError:
        raise CheckpointError(f"{folder} is no run folder: it holds no config.yaml") from None
    except Exception as error:
        raise CheckpointError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(values, dict) or not set(GROUPS) <= set(values):
        raise CheckpointError(f"{path} is not the configuration of a run")
    return {str(key): value for key, value in values.items()}


def folder_of(checkpoint: Path) -> Path | None:
    """The run folder that a checkpoint path names or lies in, or None."""
    for folder in (checkpoint, checkpoint.parent, checkpoint.parent.parent):
        if (folder / "config.yaml").is_file():
            return folder
    return None


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


def difference(
    old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Dotted keys whose values differ, with both values (None where absent)."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from difference(before, after, f"{prefix}{key}.")
        elif before != after:
            yield f"{prefix}{key}", before, after


def record_config(folder: Path, values: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Claims a new run folder and writes its configuration.

    Raises:
        ConfigError: the folder already is another run's.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with (folder / "config.yaml").open("x", encoding="utf-8") as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(dict(values))))
    except FileExistsError:
        raise ConfigError(
            f"{folder} already holds a run: choose another `hydra.run.dir`, "
            f"or go on with that run by `resume={folder}`"
        ) from None
    (folder / "overrides.yaml").write_text(
        OmegaConf.to_yaml(OmegaConf.create(list(overrides))), encoding="utf-8"
    )


def quoted(path: Path | str) -> str:
    """A path or text as a value of an override, whatever characters it has."""
    return "'" + str(path).replace("'", "\\'") + "'"


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
