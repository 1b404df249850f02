"""Composes the configurations of a sweep.

Hydra reads and merges every file anew for every job, a tenth of a second each. Here each choice of
groups is composed once, and values are set on a copy of it. The public `hydra.compose` would merge
all files for every job as well, so this works on Hydra's private config loader.
"""

from __future__ import annotations

import copy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf


class QuickLoader:
    """Hydra's config loader with a faster `load_sweep_config` that gives the same.

    Hydra sets values after it has merged the files that the groups choose, so setting them on a
    copy of an earlier merge is the same.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self._loader = loader
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_loader"], name)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is composed; another process composes for itself."""
        return {"_loader": self._loader, "_composed": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """Return the configuration of one job.

        Args:
            master_config: The sweep's configuration.
            sweep_overrides: The job's overrides.
        """
        overrides = OverridesParser.create(self._loader).parse_overrides(sweep_overrides)
        values = [each for each in overrides if self._is_value(each)]
        choices = tuple(str(each.input_line) for each in overrides if not self._is_value(each))
        if choices not in self._composed:
            self._composed[choices] = self._loader.load_sweep_config(master_config, list(choices))
        config = copy.deepcopy(self._composed[choices])
        self._loader._apply_overrides_to_config(values, config)
        _record(config, master_config, overrides)
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _is_value(self, override: Override) -> bool:
        is_group = self._loader.repository.group_exists(override.key_or_group)
        return not is_group or isinstance(override.value(), dict)


def _record(config: DictConfig, master: DictConfig, overrides: list[Override]) -> None:
    """Record the overrides in the configuration, as Hydra does."""
    task = [each for each in overrides if not each.is_hydra_override()]
    hydra = [each.input_line for each in overrides if each.is_hydra_override()]
    config.hydra.overrides.task = [each.input_line for each in task]
    config.hydra.overrides.hydra = [*master.hydra.overrides.hydra, *hydra]
    names = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        overrides=task,
        kv_sep=names.kv_sep,
        item_sep=names.item_sep,
        exclude_keys=names.exclude_keys,
    )


def compose_fixed(loader: ConfigLoader, master: DictConfig, fixed: list[str]) -> DictConfig:
    """Return the configuration that the jobs of a sweep have in common.

    A group that must be chosen (`???`) may have no option in it: the sweep chooses one.

    Args:
        loader: Hydra's.
        master: The sweep's configuration.
        fixed: Overrides that every job has.
    """
    config = loader.load_configuration(
        config_name=master.hydra.job.config_name,
        overrides=[*master.hydra.overrides.hydra, *fixed],
        run_mode=RunMode.MULTIRUN,
    )
    OmegaConf.copy_cache(from_config=master, to_config=config)
    return config
