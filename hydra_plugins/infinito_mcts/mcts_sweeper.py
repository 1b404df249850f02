"""What Hydra finds of infinito: `hydra/sweeper=mcts` and `hydra/callbacks=plain_sweep`.

What both do is in `infinito.sweeps`.

Hydra imports this module whenever it starts, so heavy imports wait until a sweep begins.
"""

from __future__ import annotations

from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from infinito.sweeps.settings import MctsSweeperConf

ConfigStore.instance().store(
    group="hydra/sweeper", name="mcts", node=MctsSweeperConf, provider="infinito"
)
ConfigStore.instance().store(
    group="hydra/callbacks",
    name="plain_sweep",
    node={"plain_sweep": {"_target_": "infinito.sweeps.plain_sweep.PlainSweepReport"}},
    provider="infinito",
)


class MctsSweeper(Sweeper):
    """Proposes trials by Monte Carlo tree search and runs them through the configured launcher."""

    def __init__(self, **settings: Any) -> None:
        plain: dict[str, Any] = {
            name: OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
            for name, value in settings.items()
        }
        self.settings = MctsSweeperConf(**plain)
        self.hydra_context: HydraContext | None = None
        self.config: DictConfig | None = None
        self.launcher: Launcher | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take Hydra's state and make the launcher."""
        from hydra.core.plugins import Plugins

        from infinito.sweeps.composing import QuickLoader
        from infinito.sweeps.launching.trial import TrialTask
        from infinito.sweeps.record.resuming import settle_in_folder
        from infinito.sweeps.settings import check

        check(self.settings)
        self.hydra_context = hydra_context
        self.config = settle_in_folder(config, self.settings)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(
                config_loader=QuickLoader(hydra_context.config_loader),  # type: ignore[arg-type]
                callbacks=hydra_context.callbacks,
            ),
            task_function=TrialTask.wrap(task_function, self.config, self.settings),
            config=self.config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Run the whole search; return the best trial's scores."""
        from infinito.sweeps.sweeping import sweep

        assert self.hydra_context is not None
        assert self.config is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        return sweep(self.settings, self.config, loader, self.launcher, arguments)
