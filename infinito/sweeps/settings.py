"""The settings of a sweep, `hydra.sweeper.*`.

Hydra reads this schema whenever it starts, so nothing but dataclasses is imported here.
"""

from dataclasses import dataclass, field
from typing import Any

HEARTBEAT_S = 60.0
SHORTEST_HEARTBEAT_S = 5.0
"""Compiled code, or a disk that is slow to save, can keep a living driver silent for seconds."""


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
    asynchronous: bool | None = None
    """Propose the next trial the moment one ends, not batch by batch; null where the launcher can.
    What is proposed then depends on the order in which trials end."""
    timeout_s: float | None = None
    """No trial is started later than this; null for no limit."""
    trial_timeout_s: float | None = None
    """A trial that takes longer has failed; null for no limit."""
    repeats: Any = 1
    """Trials of each setting, each with a `seed` of its own: a number, or `auto` to try a setting
    again where that tells more than a new one. Other than 1, scores count as noisy: the setting
    with the best posterior mean is recommended, not the luckiest draw."""
    confirm: int | None = None
    """Fresh seeds with which the recommended setting and the defaults are compared at the end; null
    for 5 where scores are noisy, else for none."""
    fidelity: str | None = None
    """The length of a training that the search spends by promise: `trainer.max_steps` or
    `trainer.epochs`. Trials pause on the way, and the best third goes on (`task=trial`)."""
    fidelity_smallest: float | None = None
    """Length at which a trial pauses first; null for a ninth of the largest."""
    fidelity_largest: float | None = None
    """Length of a whole training; null for the configuration's own."""
    isolate: bool = False
    """Run trials in a child process, so that a crash or hang in compiled code ends one trial."""
    quiet: bool = True
    """Send what a trial prints to `output.log` in its folder."""
    max_failure_rate: float = 0.3
    """Stop once more than this share of `n_trials` has failed."""
    seed: int = 0
    """Seed of the search; the trials have their own."""
    strategy: str = "tree"
    """`tree`, `uct` (the textbook algorithm over discretised values) or `random`."""
    selection: str = "ucb1_tuned"
    """Rule of the walk down the tree: `ucb1_tuned`, `ucb1` or `puct`."""
    exploration: float = 1.4142135623730951
    """Factor c of the confidence bound: the weight of the unknown against the good."""
    max_depth: int = 15
    """Nodes of the tree at this depth are not split."""
    warm_start: list[str] = field(default_factory=list)
    """Folders of earlier sweeps, or CSV tables like their trials.csv, to learn from."""
    resume: str | None = None
    """The folder of a sweep to go on with."""
    shared: str | None = None
    """The folder of a search that several drivers share: the first begins it, and the same command
    on another machine joins. A driver that dies leaves its trials to the others."""
    heartbeat_s: float | None = None
    """A driver of a shared search that is silent for longer counts as dead; null for 60."""
    report: bool = True
    """Write each trial to TensorBoard, and report.html with its pictures at the end."""


def list_directions(settings: MctsSweeperConf) -> list[Any]:
    """Return the direction of each objective."""
    direction = settings.direction
    return direction if isinstance(direction, list) else [direction]


def check(settings: MctsSweeperConf) -> None:
    """Check the settings that only the sweeper reads.

    Raises:
        ConfigError: Lists all that are out of their limits.
    """
    from infinito.errors import ConfigError
    from infinito.search.search import direction_faults
    from infinito.search.strategies.assembly import repeats_faults, strategy_faults

    directions = list_directions(settings)
    limits = {
        "n_trials": (settings.n_trials >= 1, "at least 1"),
        "n_jobs": (settings.n_jobs >= 1, "at least 1"),
        "max_failure_rate": (0 <= settings.max_failure_rate <= 1, "a share from 0 to 1"),
        "timeout_s": (_is_limit(settings.timeout_s), "above 0, or null"),
        "trial_timeout_s": (_is_limit(settings.trial_timeout_s), "above 0, or null"),
        "heartbeat_s": (
            settings.heartbeat_s is None or settings.heartbeat_s >= SHORTEST_HEARTBEAT_S,
            f"at least {SHORTEST_HEARTBEAT_S:g}, since a driver that saves or computes can be "
            f"silent that long, or null for {HEARTBEAT_S:g}",
        ),
        "confirm": (settings.confirm is None or settings.confirm >= 0, "0 or more, or null"),
    }
    faults = [
        f"`hydra.sweeper.{name}`={getattr(settings, name)}: expected {expected}"
        for name, (holds, expected) in limits.items()
        if not holds
    ]
    if all(isinstance(each, str) for each in directions):
        faults += direction_faults(directions, "hydra.sweeper.direction")
    else:
        faults.append(
            f"`hydra.sweeper.direction`={settings.direction}: expected `minimize` or `maximize`, "
            "or a list of them"
        )
    faults += repeats_faults(
        settings.repeats, settings.strategy, directions, prefix="hydra.sweeper."
    )
    if settings.confirm and len(directions) > 1:
        faults.append(
            f"`hydra.sweeper.confirm`={settings.confirm} compares one score, and there are "
            f"{len(directions)} directions; expected 0"
        )
    faults += _find_sharing_faults(settings)
    faults += strategy_faults(
        settings.strategy,
        settings.selection,
        settings.exploration,
        settings.max_depth,
        prefix="hydra.sweeper.",
    )
    if faults:
        raise ConfigError(faults)


def _find_sharing_faults(settings: MctsSweeperConf) -> list[str]:
    if settings.shared is None and settings.resume is None and settings.heartbeat_s is not None:
        return [
            f"`hydra.sweeper.heartbeat_s`={settings.heartbeat_s:g} is of a search that drivers "
            "share: name its folder, `hydra.sweeper.shared=<folder>`, or leave it out"
        ]
    if settings.shared is not None and settings.resume is not None:
        return [
            f"`hydra.sweeper.shared`={settings.shared} and `resume`={settings.resume}: give one. "
            "The same command with `shared` goes on with a search that is there"
        ]
    return []


def _is_limit(seconds: float | None) -> bool:
    return seconds is None or seconds > 0
