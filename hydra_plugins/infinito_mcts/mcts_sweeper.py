"""The sweeper's settings and its class; what it does is in `_sweeping`.

Hydra runs this module before it is in `sys.modules`, where a dataclass looks annotations up that
are text: so they are not postponed here.
"""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class MctsSweeperConf:
    """A tree search over whatever the task returns."""

    _target_: str = "hydra_plugins.infinito_mcts.mcts_sweeper.MctsSweeper"
    params: dict[str, str] = field(default_factory=dict)
    """What to search, in Hydra's override grammar: `optimizer.lr: tag(log, interval(1e-4, 1e-2))`.
    The command line adds to it and wins."""
    conditions: list[str] = field(default_factory=list)
    """What every trial must satisfy: `model.dim % attention.heads == 0`."""
    direction: Any = "minimize"
    """`minimize` or `maximize`, or a list with one of them for each objective."""
    n_trials: int = 50
    n_jobs: int = 1
    """Trials in flight at once; the launcher decides where they run."""
    timeout_s: float | None = None
    """No trial is started after so long; null for no limit."""
    trial_timeout_s: float | None = None
    """A trial that takes longer has failed; null for no limit."""
    isolate: bool = False
    """Run trials in a child process, which a crash or a hang in compiled code ends alone."""
    quiet: bool = True
    """Send what a trial prints to `output.log` in its folder."""
    max_failure_rate: float = 0.3
    """Stop once more than this share of `n_trials` has failed."""
    seed: int = 0
    """Of the search; the trials have their own."""
    strategy: str = "tree"
    """`tree`, `uct` (the textbook algorithm over discretised values) or `random`."""
    selection: str = "ucb1_tuned"
    """How the tree is walked down: `ucb1_tuned`, `ucb1` or `puct`."""
    exploration: float = 1.4142135623730951
    """Weight of what is unknown against what was good."""
    max_depth: int = 15
    """Of the tree."""
    warm_start: list[str] = field(default_factory=list)
    """Folders of earlier sweeps, or CSV tables like their trials.csv, to learn from."""
    resume: str | None = None
    """The folder of a sweep to go on with."""
    report: bool = True
    """Write trials to TensorBoard while they end, and report.html with its pictures at last."""


ConfigStore.instance().store(
    group="hydra/sweeper", name="mcts", node=MctsSweeperConf, provider="infinito"
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
        """Takes Hydra's state and makes the launcher."""
        from hydra.core.plugins import Plugins

        from infinito.sweeps.composing import QuickLoader
        from infinito.sweeps.sweeping import check
        from infinito.sweeps.trial import TrialTask, resumed_in

        check(self.settings)
        self.hydra_context = hydra_context
        self.config = resumed_in(config, self.settings.resume)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(
                config_loader=QuickLoader(hydra_context.config_loader),  # type: ignore[arg-type]
                callbacks=hydra_context.callbacks,
            ),
            task_function=TrialTask.of(task_function, self.config, self.settings),
            config=self.config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Runs the whole search; returns the best trial's scores."""
        from infinito.sweeps.sweeping import sweep

        return sweep(self, arguments)
