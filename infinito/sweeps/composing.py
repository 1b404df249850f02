"""Composes the trials of a sweep quickly: each choice of groups once, values on a copy of it.

Hydra reads and merges every file anew for every job, a tenth of a second each.
"""

from __future__ import annotations

import copy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf


class QuickLoader:
    """Hydra's own config loader but for `load_sweep_config`, which gives the same faster.

    Hydra sets values after it has merged the files that the groups choose, so setting them on a
    copy of what was merged before is the same.
    """

    def __init__(self, loader: ConfigLoaderImpl) -> None:
        self._loader = loader
        self._composed: dict[tuple[str, ...], DictConfig] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_loader"], name)

    def __getstate__(self) -> dict[str, Any]:
        """Without what is composed: another process composes for itself."""
        return {"_loader": self._loader, "_composed": {}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)

    def load_sweep_config(
        self, master_config: DictConfig, sweep_overrides: list[str]
    ) -> DictConfig:
        """The configuration of one job.

        Args:
            master_config: Of the sweep.
            sweep_overrides: Of the job.
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
    """Writes down what was overridden, as Hydra does."""
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
