"""Composes the configuration ahead of Hydra's own run, to find all of its faults in one go.

Hydra stops at the first key that it does not know and shows a traceback for a wrong value; here
every fault is collected, with the file or command that caused it, before a folder is made.

Hydra's public `initialize_config_dir` opens one folder; a second one (`--config-dir`) has no public
way in before `compose`, and its groups must be known to tell a group's option from a value. So
`searching` builds Hydra's search path as `hydra.main` does, with two of its private functions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from infinito.cli.continuation import command_faults, effective_values
from infinito.cli.defaults import store_defaults
from infinito.cli.origins import build_origin
from infinito.cli.rules.options import (
    group_fault,
    group_options,
    option_file_faults,
    sweep_faults,
)
from infinito.cli.rules.scores import score_faults
from infinito.cli.rules.swept_values import swept_value_faults
from infinito.cli.typed_values import parse
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.wording import suggest
from infinito.yaml_limits import refuse_large_interpolations, refuse_large_yaml

store_defaults()


def check(
    overrides: Sequence[str],
    conf_dir: Path,
    config_name: str = "config",
    extra_dir: str | None = None,
    sweep: bool = False,
) -> RunConf:
    """Return the typed configuration of these overrides; in a sweep, that of its fixed part.

    Args:
        overrides: The command line's overrides, tidied.
        conf_dir: Folder of `config_name`.yaml and the groups.
        extra_dir: The user's own folder of configuration (`--config-dir`).
        sweep: The overrides may hold several values each.

    Raises:
        ConfigError: lists every fault.
    """
    faults: list[str] = []
    folders = [conf_dir, *([Path(extra_dir)] if extra_dir else [])]
    with searching(folders):
        kept = _checked_overrides(overrides, sweep, faults)
        composed = _compose(config_name, kept, faults)
        if composed is not None and sweep:
            faults.extend(sweep_faults(composed, overrides))
        elif composed is not None and (search := composed.hydra.runtime.choices.get("search")):
            faults.append(f"`search={search}` runs many trials: add -m")
    if composed is None:
        raise ConfigError(faults)
    origin = build_origin(composed, overrides, folders, config_name)
    try:
        values = plain(composed)
        faults.extend(option_file_faults(composed, values, folders))
        searched = OmegaConf.select(composed, "hydra.sweeper.params") if sweep else None
        given = [*overrides, *(f"{key}={value}" for key, value in (searched or {}).items())]
        faults.extend(unread := command_faults(values, given))
        if unread and values.get("resume") is not None:
            raise ConfigError([])  # their differences from the run are the same faults again
        run = parse(effective_values(values, given), origin, combinations=not (sweep or faults))
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from None
    if sweep:
        faults.extend(score_faults(run))
        groups = {key for key in composed.hydra.runtime.choices if "/" not in key}
        with searching(folders):
            faults.extend(swept_value_faults(values, given, groups))
    if faults:
        raise ConfigError(faults)
    return run


@contextmanager
def searching(folders: Sequence[Path]) -> Iterator[None]:
    """Let Hydra compose from these folders, in the order that its own `--config-dir` gives them.

    Raises:
        ConfigError: a folder is missing, or a file of the user's own folder is too large.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"there is no folder of configuration {folder}")
    for file in (
        file for folder in folders if folder != conf_dir() for file in folder.rglob("*.yaml")
    ):
        refuse_large_yaml(file)
    version.setbase("1.3")
    path = create_config_search_path(str(folders[0]))
    for folder in folders[1:]:
        path.prepend("command-line", f"file://{folder.absolute()}", SearchPathQuery("schema"))
    Hydra.create_main_hydra2(task_name="infinito", config_search_path=path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def compose_values(config_name: str, overrides: Sequence[str]) -> DictConfig:
    """Compose inside `searching`, with Hydra's own node.

    Raises:
        ConfigError: lists every fault of the overrides.
    """
    faults: list[str] = []
    kept = _checked_overrides(overrides, False, faults)
    composed = _compose(config_name, kept, faults)
    if composed is None or faults:
        raise ConfigError(faults)
    return composed


def plain(composed: DictConfig) -> dict[str, Any]:
    """Return plain nested values without Hydra's own node, interpolations resolved.

    Raises:
        ConfigError: an interpolation names a key that is not there, or grows without bound.
    """
    values = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
    refuse_large_interpolations(OmegaConf.to_container(values))  # type: ignore[arg-type]
    try:
        return OmegaConf.to_container(values, resolve=True)  # type: ignore[return-value]
    except OmegaConfBaseException as error:
        raise ConfigError(f"{error.full_key}: {str(error).splitlines()[0]}") from None


def _checked_overrides(overrides: Sequence[str], sweep: bool, faults: list[str]) -> list[str]:
    parser = OverridesParser.create()
    kept = []
    for text in overrides:
        try:
            override = parser.parse_override(text)
        except HydraException as error:
            mend = f". Quote the value: {_quoting(text)}" if "=" in text else ""
            cause = str(error).splitlines()[0]
            faults.append(f"`{text}` cannot be read as an override: {cause}{mend}")
            continue
        if override.is_sweep_override():
            if not sweep:
                faults.append(
                    f"`{text}` holds several values: add -m to run them all, "
                    f"or quote a comma that belongs to the value: {_quoting(text)}"
                )
            continue
        options = group_options(override.key_or_group)
        if (fault := group_fault(override, options)) is not None:
            faults.append(fault)
        else:
            kept.append(text if options else _forced(override, text))
    return kept


def _quoting(text: str) -> str:
    key, _, value = text.partition("=")
    return f"'{key}=\"{value}\"'"


def _forced(override: Override, text: str) -> str:
    """A value override that Hydra accepts even for an unknown key, which `parse` then reports."""
    simple = not (override.is_add() or override.is_delete() or override.is_force_add())
    if simple and not override.key_or_group.startswith("hydra."):
        return f"++{text}"
    return text


def _compose(config_name: str, overrides: list[str], faults: list[str]) -> DictConfig | None:
    try:
        return hydra.compose(config_name, overrides, return_hydra_config=True)
    except (HydraException, OmegaConfBaseException) as error:
        faults.append(_composition_fault(error))
        return None


def _composition_fault(error: Exception) -> str:
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError):
        parent = cause.parent_node
        if isinstance(parent, DictConfig):
            hint = suggest(str(cause.key), [str(key) for key in parent])
            return f"`{cause.full_key}` (command line): there is no such key; {hint}"
    text = f"{error}{f' ({cause})' if cause else ''}"
    return re.sub(r"\s+", " ", text).strip()
