"""Composes the configuration ahead of Hydra's own run, to find all of its faults in one go.

Hydra stops at the first key that it does not know and shows a traceback for a wrong value; here
every fault is collected, with the file or command that caused it, before a folder is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
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
from hydra.core.override_parser.types import Override, Sweep
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.parsing import Origin, did_you_mean, parse
from infinito.runs import effective_values


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
    if composed is None:
        raise ConfigError(faults)
    origin = origin_of(composed, overrides, folders, config_name)
    try:
        values = effective_values(plain(composed), overrides)
        run = parse(values, origin, combinations=not (sweep or faults))
    except ConfigError as error:
        raise ConfigError([*faults, *error.faults]) from None
    if faults:
        raise ConfigError(faults)
    return run


@contextmanager
def searching(folders: Sequence[Path]) -> Iterator[None]:
    """Lets Hydra compose from these folders, in the order its own `--config-dir` gives them.

    Raises:
        ConfigError: a folder is missing.
    """
    for folder in folders:
        if not folder.is_dir():
            raise ConfigError(f"there is no folder of configuration {folder}")
    version.setbase("1.3")
    path = create_config_search_path(str(folders[0]))
    for folder in folders[1:]:
        path.prepend("command-line", f"file://{folder.absolute()}", SearchPathQuery("schema"))
    Hydra.create_main_hydra2(task_name="infinito", config_search_path=path)
    try:
        yield
    finally:
        GlobalHydra.instance().clear()


def plain(composed: DictConfig) -> dict[str, Any]:
    """Plain nested values without Hydra's own node, interpolations resolved.

    Raises:
        ConfigError: an interpolation names a key that is not there.
    """
    values = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
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
    hint = did_you_mean(str(missing[0]), options)
    return f"`{key}`={missing[0]} (command line): `{key}` has no such option; {hint}"


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
        cause = f" ({error.__cause__})" if error.__cause__ else ""
        faults.append(re.sub(r"\s+", " ", f"{error}{cause}").strip())
        return None


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
