"""Options of groups, and swept keys, that cannot be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Sweep, Transformer
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from infinito.cli.command_line import ADDED_GROUPS
from infinito.cli.origins import holds, leaves
from infinito.cli.read_by import ALL
from infinito.cli.read_by import unread as unread_keys
from infinito.cli.typed_values import name_elsewhere
from infinito.extras import install_command
from infinito.wording import suggest

EXTRA_OF_OPTION = {
    "hydra/launcher=joblib": "joblib",
    "hydra/launcher=submitit_local": "slurm",
    "hydra/launcher=submitit_slurm": "slurm",
}
"""What installs an option that is not part of infinito."""


def group_options(key: str) -> list[str]:
    """Return the options of a group, none for the key of a value.

    Hydra copies its whole ConfigStore for each such question; a dotted key is never a group.
    """
    if "." in key:
        return []
    return list(GlobalHydra.instance().config_loader().get_group_options(key))


def group_fault(override: Override, options: Sequence[str]) -> str | None:
    """Return why the choice of a group's option fails; None where it succeeds or is no group."""
    if override.is_delete():
        return None
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


def list_swept(texts: Sequence[str]) -> list[Override]:
    """Return those of the overrides that a sweep varies, but for Hydra's own settings."""
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    parsed = []
    for text in texts:
        with suppress(HydraException):  # reported where overrides are read, or by the sweeper
            parsed += parser.parse_overrides([text])
    return [each for each in parsed if each.is_sweep_override() and not each.is_hydra_override()]


def sweep_faults(composed: DictConfig, overrides: Sequence[str]) -> Iterator[str]:
    """Yield what is wrong with the keys that a sweep varies, before any of its runs starts."""
    params = OmegaConf.select(composed, "hydra.sweeper.params") or {}
    given = [(f"{key}={value}", "hydra.sweeper.params") for key, value in params.items()]
    given += [(text, "command line") for text in overrides]
    swept = [(each, place) for text, place in given for each in list_swept([text])]
    groups = {key for key in composed.hydra.runtime.choices if "/" not in key}
    searched = {override.key_or_group for override, _ in swept} & groups
    for override, place in swept:
        key = override.key_or_group
        if key in groups:
            yield from _option_faults(override, place)
        elif key.partition(".")[0] not in searched and not holds(composed, key):
            known = [name for name in leaves(composed) if not name.startswith("hydra.")]
            section, dot, name = key.rpartition(".")
            hint = name_elsewhere(section + dot, name) or suggest(key, known)
            yield f"`{key}` ({place}): there is no such key; {hint}"
    minutes = OmegaConf.select(composed, "trainer.minutes")
    if minutes is not None or any(each.key_or_group == "trainer.minutes" for each, _ in swept):
        yield (
            "`trainer.minutes` measures each run of a sweep by itself, so that their lengths "
            "differ: use `trainer.max_steps`"
        )
    if composed.push is not None or any(each.key_or_group == "push" for each, _ in swept):
        yield (
            "`push` in a sweep would send every run to the hub: leave it out, and send the best "
            "one with `hf upload <owner/name> <its folder>/model .`"
        )
    direction = OmegaConf.select(composed, "hydra.sweeper.direction")
    directions = [direction] if isinstance(direction, str) else list(direction or ())
    for score, aim in zip(str(composed.score).split(","), directions, strict=False):
        if (score.strip(), aim) == ("composite", "minimize"):
            yield "`score`=composite should rise: `hydra.sweeper.direction=maximize`"


def option_file_faults(
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
    options = group_options(key)
    if not override.is_choice_sweep():
        yield f"`{key}` ({place}): a group has options, not a range; e.g. `{key}=glob(*)`"
        return
    for option in map(str, override.sweep_iterator(transformer=Transformer.str)):
        if option not in options:
            hint = suggest(option, options)
            yield f"`{key}`={option} ({place}): `{key}` has no such option; {hint}"
