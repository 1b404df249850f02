"""What the recommended setting of a sweep is worth, by trainings with fresh seeds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infinito.search.search import Search
from infinito.search.trials import Trial
from infinito.statistics import Interval, mean_interval, paired_difference


@dataclass(frozen=True)
class Confirmation:
    """Scores of trainings that the search did not choose by.

    Attributes:
        trial: The first one of the recommended setting.
        seeds: How many fresh trainings of it have a score.
        score: Their mean.
        defaults: Mean of the defaults with the same seeds; None where they are the recommended
            setting, or no point of the space.
        difference: Recommended − defaults, paired by seed; None as `defaults`.
        optimism: By how much the best score that was seen is better than the mean.
    """

    trial: Trial
    seeds: int
    score: Interval
    defaults: Interval | None
    difference: Interval | None
    optimism: float

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for optimization_results.yaml; intervals are of 95 %."""
        plain: dict[str, Any] = {
            "params": self.trial.params,
            "seeds": self.seeds,
            **_spell("score", self.score),
            "optimism_of_best_value": self.optimism,
        }
        if self.defaults is not None and self.difference is not None:
            plain |= _spell("defaults", self.defaults)
            plain |= _spell("difference", self.difference)
        return plain

    def describe(self) -> list[str]:
        """Return the figures in a few lines."""
        lines = [
            f"recommended: trial {self.trial.number}, with {self.seeds} fresh seeds "
            f"{format_interval(self.score)}"
        ]
        if self.defaults is not None and self.difference is not None:
            lines.append(
                f"  the defaults {format_interval(self.defaults)}, "
                f"paired difference {format_interval(self.difference, sign='+')}"
            )
        lines.append(f"  the best score that was seen flatters by {self.optimism:.3g}")
        return lines


def summarise_confirmation(search: Search) -> Confirmation | None:
    """Return what fresh seeds say of the recommended setting; None before one has a score."""
    found, best = search.recommend(), search.best()
    if found is None or best is None or best.values is None or len(search.directions) > 1:
        return None
    fresh = _list_fresh(search, found.params)
    if not fresh:
        return None
    score = mean_interval(list(fresh.values()))
    optimism = search.signs[0] * (score.mean - best.values[0])
    defaults = difference = None
    if search.sampler.defaults:
        point = search.sampler.decode(search.sampler.defaults[0])
        others = _list_fresh(search, point)
        both = sorted(fresh.keys() & others.keys())
        if point != found.params and both:
            defaults = mean_interval([others[repeat] for repeat in both])
            difference = paired_difference(
                [fresh[repeat] for repeat in both], [others[repeat] for repeat in both]
            ).difference
    return Confirmation(found, len(fresh), score, defaults, difference, optimism)


def format_interval(interval: Interval, sign: str = "") -> str:
    """Return a mean with its 95 % interval, where it has one."""
    mean, low, high = (f"{each:{sign}.5g}" for each in (interval.mean, interval.low, interval.high))
    return mean if interval.low != interval.low else f"{mean} [{low}, {high}]"


def _list_fresh(search: Search, params: Mapping[str, Any]) -> dict[int, float]:
    """Return scores by repeat, which names the seed."""
    return {
        trial.repeat: trial.values[0]
        for trial in search.trials
        if trial.confirms and trial.values and trial.params == params
    }


def _spell(name: str, interval: Interval) -> dict[str, Any]:
    has_bounds = interval.low == interval.low
    bounds = [interval.low, interval.high] if has_bounds else None
    return {name: interval.mean, f"{name}_interval": bounds}
