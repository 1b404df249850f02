"""The lengths at which the trials of a sweep pause, as `hydra.sweeper.fidelity` asks for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from infinito.errors import ConfigError
from infinito.run_folder.commands import format_text
from infinito.search.rungs import ONE_RUNG, Rungs
from infinito.search.space.parameters import is_number
from infinito.sweeps.grammar import Grammar
from infinito.sweeps.settings import MctsSweeperConf, list_directions

KEYS = ("trainer.max_steps", "trainer.epochs")
"""Lengths of a training within which a trial can pause."""

PAUSE_AT, PAUSED_IN = "trainer.pause_at", "trainer.paused_in"
"""Keys that tell a trial where to pause, and where its state lies meanwhile."""

FOLDER = "paused"
"""In a sweep's folder: the states of paused trials."""

PARTS = 9.0
"""The smallest length is this part of the largest where none is given."""


@dataclass(frozen=True)
class Fidelity:
    """Lengths of trainings.

    Attributes:
        key: Of the configuration.
        levels: Where trials pause, rising; the last one is the whole training.
        reduction: See `Rungs`.
    """

    key: str
    levels: tuple[float, ...]
    reduction: int = 3

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Fidelity:
        """Read what `asdict` gave, as a journal holds it."""
        return cls(plain["key"], tuple(plain["levels"]), plain["reduction"])

    @property
    def rungs(self) -> Rungs:
        """The same as shares of the whole training; all trials to the end where there is one."""
        shares = tuple(level / self.levels[-1] for level in self.levels)
        return Rungs(shares, self.reduction) if len(shares) > 1 else ONE_RUNG


def read_fidelity(
    settings: MctsSweeperConf, grammar: Grammar, config: DictConfig
) -> Fidelity | None:
    """Return where trials pause; None where they train to the end.

    Args:
        settings: The sweeper's.
        grammar: Says what is searched.
        config: What all trials have in common.

    Raises:
        ConfigError: Lists all that does not go together.
    """
    faults = list(_find_faults(settings, grammar, config))
    if faults:
        raise ConfigError(faults)
    if settings.fidelity is None:
        return None
    largest = settings.fidelity_largest or OmegaConf.select(config, settings.fidelity)
    smallest = settings.fidelity_smallest or largest / PARTS
    return Fidelity(settings.fidelity, space_levels(smallest, largest))


def space_levels(smallest: float, largest: float, reduction: int = 3) -> tuple[float, ...]:
    """Return lengths from the largest down, each a `reduction`th, none below the smallest."""
    levels = [float(largest)]
    while levels[0] / reduction >= smallest * (1 - 1e-9):
        levels.insert(0, levels[0] / reduction)
    return tuple(levels)


def pause_overrides(fidelity: Fidelity, sweep: Path, number: int, rung: int) -> list[str]:
    """Return the overrides of a launch that takes a trial to a rung.

    Args:
        fidelity: The sweep's.
        sweep: The sweep's folder.
        number: The trial's.
        rung: Counted from 0.
    """
    words = whole_overrides(fidelity)
    if len(fidelity.levels) > 1:
        words.append(f"{PAUSED_IN}={format_text(find_state(sweep, number).absolute())}")
    share = fidelity.rungs.shares[rung]
    if share < 1:
        words.append(f"{PAUSE_AT}={share!r}")
    return words


def whole_overrides(fidelity: Fidelity) -> list[str]:
    """Return the overrides of a launch that trains from the beginning to the end."""
    return [f"{fidelity.key}={int(fidelity.levels[-1])}"]


def find_state(sweep: Path, number: int) -> Path:
    """Return the folder of a paused trial's state."""
    return sweep / FOLDER / str(number)


def _find_faults(settings: MctsSweeperConf, grammar: Grammar, config: DictConfig) -> Iterator[str]:
    name = "`hydra.sweeper.fidelity`"
    sizes = {
        "fidelity_smallest": settings.fidelity_smallest,
        "fidelity_largest": settings.fidelity_largest,
    }
    for bound, size in sizes.items():
        if size is not None and settings.fidelity is None:
            yield f"`hydra.sweeper.{bound}`={size:g} needs {name}, e.g. {name[:-1]}={KEYS[0]}`"
        elif size is not None and not size > 0:
            yield f"`hydra.sweeper.{bound}`={size:g}: expected above 0"
    key = settings.fidelity
    if key is None:
        return
    if key not in KEYS:
        yield f"{name}={key}: expected {' or '.join(KEYS)}, a length that a training can pause in"
        return
    if key in grammar.parameters:
        yield f"{name}={key} is searched as well. Search other keys, or leave {name} out"
    own = OmegaConf.select(config, key)
    largest = settings.fidelity_largest or own
    if not is_number(largest):
        yield (
            f"{name}={key}, and the configuration's `{key}` is {own}; expected a number: "
            f"`{key}=300`, or `hydra.sweeper.fidelity_largest=300`"
        )
    elif (settings.fidelity_smallest or 0) > largest:
        yield (
            f"`hydra.sweeper.fidelity_smallest`={settings.fidelity_smallest:g} exceeds the largest "
            f"length, {largest:g}. Make it smaller, or `hydra.sweeper.fidelity_largest` larger"
        )
    elif (smallest := settings.fidelity_smallest or 0) > 0 and len(
        space_levels(smallest, largest)
    ) == 1:
        yield (
            f"`hydra.sweeper.fidelity_smallest`={smallest:g} is more than a "
            f"third of the largest length, {largest:g}, so no trial would pause. Use "
            f"`hydra.sweeper.fidelity_smallest={largest / PARTS:.3g}`, or leave {name} out"
        )
    elif settings.fidelity_largest is not None and largest != int(largest):
        yield f"`hydra.sweeper.fidelity_largest`={largest:g}: expected a whole number for `{key}`"
    if len(list_directions(settings)) > 1:
        yield f"{name} needs one objective, and there are {len(list_directions(settings))}"
    if settings.repeats != 1:
        yield (
            f"{name} and `hydra.sweeper.repeats`={settings.repeats} do not go together: a paused "
            "trial would wait for its repeats. Use `hydra.sweeper.repeats=1`, or leave "
            f"{name} out"
        )
    yield from _find_task_faults(name, grammar, config)


def _find_task_faults(name: str, grammar: Grammar, config: DictConfig) -> Iterator[str]:
    task = OmegaConf.select(config, "task")
    is_able = "pause_at" in (OmegaConf.select(config, "trainer") or {})
    if task != "trial" or not is_able:
        yield (
            f"{name} needs a task that can pause and go on, and `task`={task} cannot. "
            "Use `task=trial`"
        )
        return
    for key in ("trainer.stop_bad", "trainer.patience"):
        if key in grammar.parameters or OmegaConf.select(config, key) is not None:
            yield f"{name} decides which trials go on, and so does `{key}`; set `{key}=null`"
    schedule = OmegaConf.select(config, "optimizer.schedule")
    searched = grammar.parameters.get("optimizer.schedule")
    if schedule == "plateau" or "plateau" in getattr(searched, "choices", ()):
        yield (
            f"{name} validates where a trial pauses, which `optimizer.schedule=plateau` would "
            "follow. Use another schedule, e.g. `optimizer.schedule=cosine`"
        )
