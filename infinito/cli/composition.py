"""Composes the configuration ahead of Hydra's own run, to find all of its faults in one go.

Hydra stops at the first key that it does not know and shows a traceback for a wrong value; here
every fault is collected, with the file or command that caused it, before a folder is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import hydra
from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from infinito.cli.command_line import ADDED_GROUPS
from infinito.cli.continuation import command_faults, effective_values
from infinito.cli.defaults import store_defaults
from infinito.cli.read_by import ALL
from infinito.cli.read_by import unread as unread_keys
from infinito.cli.rules.scores import score_faults
from infinito.cli.typed_values import Origin, name_elsewhere, parse
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.extras import install_command
from infinito.paths import conf_dir
from infinito.wording import suggest
from infinito.yaml_limits import refuse_large_interpolations, refuse_large_yaml

EXTRA_OF_OPTION = {
    "hydra/launcher=joblib": "joblib",
    "hydra/launcher=submitit_local": "slurm",
    "hydra/launcher=submitit_slurm": "slurm",
    "hydra/launcher=ray": "ray",
}
"""What installs an option that is not part of infinito."""

store_defaults()


def check(
    overrides: Sequence[str],
    conf_dir: Path,
    config_name: str = "config",
    extra_dir: str | None = None,
    sweep: bool = False,
) -> RunConf:
    """The typed configuration that these overrides make; in a sweep, of its fixed part.

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
            faults.extend(_sweep_faults(composed, overrides))
        elif composed is not None and (search := composed.hydra.runtime.choices.get("search")):
            faults.append(f"`search={search}` runs many trials: add -m")
    if composed is None:
        raise ConfigError(faults)
    origin = origin_of(composed, overrides, folders, config_name)
    try:
        values = plain(composed)
        faults.extend(_option_file_faults(composed, values, folders))
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
    if faults:
        raise ConfigError(faults)
    return run


@contextmanager
def searching(folders: Sequence[Path]) -> Iterator[None]:
    """Lets Hydra compose from these folders, in the order its own `--config-dir` gives them.

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
    """Plain nested values without Hydra's own node, interpolations resolved.

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
            faults.append(f"`{text}` cannot be read as an override: {str(error).splitlines()[0]}")
            continue
        if override.is_sweep_override():
            if not sweep:
                faults.append(
                    f"`{text}` holds several values: add -m to run them all, "
                    f"or quote a comma that belongs to the value: {_quoting(text)}"
                )
            continue
        if (fault := _group_fault(override)) is not None:
            faults.append(fault)
        else:
            kept.append(_forced(override, text))
    return kept


def _quoting(text: str) -> str:
    key, _, value = text.partition("=")
    return f"'{key}=\"{value}\"'"


def _group_fault(override: Override) -> str | None:
    """Why this choice of a group's option fails, or None where it does not or is no group."""
    if override.is_delete():
        return None
    loader = GlobalHydra.instance().config_loader()
    options = loader.get_group_options(override.key_or_group)
    choice = override.value()
    if not options or choice is None or isinstance(choice, dict | Sweep):
        return None
    missing = [
        one for one in (choice if isinstance(choice, list) else [choice]) if str(one) not in options
    ]
    if not missing:
        return None
    key = override.key_or_group
    hint = suggest(str(missing[0]), options)
    if (extra := EXTRA_OF_OPTION.get(f"{key}={missing[0]}")) is not None:
        hint = f"it is not installed: {install_command(extra)}"
    return f"`{key}`={missing[0]} (command line): `{key}` has no such option; {hint}"


def _sweep_faults(composed: DictConfig, overrides: Sequence[str]) -> Iterator[str]:
    """What is wrong with the keys that a sweep varies, before any of its runs is started."""
    params = OmegaConf.select(composed, "hydra.sweeper.params") or {}
    given = [(f"{key}={value}", "hydra.sweeper.params") for key, value in params.items()]
    given += [(text, "command line") for text in overrides]
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    swept = []
    for text, place in given:
        with suppress(HydraException):  # reported where overrides are read, or by the sweeper
            (override,) = parser.parse_overrides([text])
            if override.is_sweep_override() and not override.is_hydra_override():
                swept.append((override, place))
    groups = {key for key in composed.hydra.runtime.choices if "/" not in key}
    searched = {override.key_or_group for override, _ in swept} & groups
    for override, place in swept:
        key = override.key_or_group
        if key in groups:
            yield from _option_faults(override, place)
        elif key.partition(".")[0] not in searched and not _holds(composed, key):
            known = [name for name in leaves(composed) if not name.startswith("hydra.")]
            section, dot, name = key.rpartition(".")
            hint = name_elsewhere(section + dot, name) or suggest(key, known)
            yield f"`{key}` ({place}): there is no such key; {hint}"
    direction = OmegaConf.select(composed, "hydra.sweeper.direction")
    directions = [direction] if isinstance(direction, str) else list(direction or ())
    for score, aim in zip(str(composed.score).split(","), directions, strict=False):
        if (score.strip(), aim) == ("composite", "minimize"):
            yield "`score`=composite should rise: `hydra.sweeper.direction=maximize`"


def _option_file_faults(
    composed: DictConfig, values: Mapping[str, Any], folders: Sequence[Path]
) -> Iterator[str]:
    """Yield a fault for each key of an experiment that the task it names itself does not read."""
    for group in ADDED_GROUPS:
        name = f"{group}/{composed.hydra.runtime.choices.get(group)}.yaml"
        for folder in reversed(folders):
            if not (folder / name).is_file():
                continue
            written = OmegaConf.load(folder / name)
            task = written.get("task") if isinstance(written, DictConfig) else None
            if isinstance(written, DictConfig) and task == values.get("task"):
                for key in leaves(written):
                    if key in ALL and unread_keys(str(task), key, values):
                        yield f"`{key}` ({folder.name}/{name}) is not read by `task={task}`"
            break


def _option_faults(override: Override, place: str) -> Iterator[str]:
    key = override.key_or_group
    options = GlobalHydra.instance().config_loader().get_group_options(key)
    if not override.is_choice_sweep():
        yield f"`{key}` ({place}): a group has options, not a range; e.g. `{key}=glob(*)`"
        return
    for option in map(str, override.sweep_iterator(transformer=Transformer.str)):
        if option not in options:
            hint = suggest(option, options)
            yield f"`{key}`={option} ({place}): `{key}` has no such option; {hint}"


def leaves(values: DictConfig, prefix: str = "") -> Iterator[str]:
    """The dotted keys of all values."""
    for key in map(str, values):
        node = values._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none():
            yield from leaves(node, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _forced(override: Override, text: str) -> str:
    """A value override that Hydra accepts even for an unknown key, which `parse` then reports."""
    loader = GlobalHydra.instance().config_loader()
    is_value = not loader.get_group_options(override.key_or_group)
    simple = not (override.is_add() or override.is_delete() or override.is_force_add())
    if is_value and simple and not override.key_or_group.startswith("hydra."):
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


def origin_of(
    composed: DictConfig, overrides: Sequence[str], folders: Sequence[Path], config_name: str
) -> Origin:
    """A function that names the file or command that set a dotted key.

    Args:
        composed: With Hydra's own node, which tells the chosen options.
        overrides: The command line's overrides.
        folders: Where configuration files lie, the last one winning.
        config_name: The primary configuration.
    """
    typed = {text.lstrip("+~").partition("=")[0] for text in overrides}
    choices = composed.hydra.runtime.choices

    def origin(key: str) -> str:
        if key in typed:
            return " (command line)"
        group, _, rest = key.partition(".")
        files = [
            *(
                (f"{name}/{choices[name]}.yaml", key)
                for name in ("experiment", "search")
                if name in choices
            ),
            *([(f"{group}/{choices[group]}.yaml", rest)] if group in choices else []),
            (f"{config_name}.yaml", key),
        ]
        for name, path in files:
            for folder in reversed(folders):
                if (folder / name).is_file() and _holds(OmegaConf.load(folder / name), path):
                    return f" ({folder.name}/{name})"
        return ""

    return origin


def _holds(values: Any, path: str) -> bool:
    for part in path.split("."):
        if not isinstance(values, Mapping | DictConfig) or part not in values:
            return False
        values = values._get_node(part) if isinstance(values, DictConfig) else values[part]
    return True
